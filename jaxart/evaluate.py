"""Say how good a model is: `python -m jaxart.evaluate --workdir=DIR`.

One JSON object on standard output. Samples are compared with crops of the training
pictures, and so are other real crops, the floor: what a perfect model would get. The
numbers are seen through VGG16, whence their names, and depend on `count`: only those of
the same dataset, layers and count may be compared with each other.

`discriminator_accuracy` tells over-fitting: a discriminator that knows the training
pictures by heart takes them for real, and those that were held out for fakes.

Source: Beyers and Loane, section 5, who judge by eye; `jaxart/metrics.py`.
"""

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal, NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8

from jaxart import command, images, metrics
from jaxart.checkpoints import read_config
from jaxart.command import Config
from jaxart.gan import latents, quality, trained
from jaxart.paintings import choice, pipeline


# Of the picture of nearest crops: its samples, and the crops beside each.
SAMPLES, NEIGHBOURS = 16, 7

Pixels = UInt8[np.ndarray, "n h w 3"]
Rows = Float32[np.ndarray, "n c"]


class Real(NamedTuple):
    """Crops of the dataset.

    Args:
        crops: of training pictures, which the samples are compared with.
        others: what these are compared with to find the floor.
        held_out: of pictures that training never saw, if there are any.
        pictures: how many pictures they all were cut from, by split.
    """

    crops: Pixels
    others: Pixels
    held_out: Pixels | None
    pictures: dict[str, int]


class Restored(NamedTuple):
    """What a checkpoint can do.

    Args:
        step: of the checkpoint.
        samples: of its generator.
        believed: the share of pictures that its discriminator takes for real.
    """

    step: int
    samples: Pixels
    believed: Callable[[Pixels], float]


class Described(NamedTuple):
    """What a network makes of them: a row for each picture, and the seconds it took."""

    crops: Rows
    others: Rows
    samples: Rows
    seconds: float


def main(
    workdir: Annotated[str, "folder of a run"],
    count: Annotated[int, "how many samples, and crops to compare them with"] = 10_000,
    seed: Annotated[int, "of the samples and of the crops"] = 0,
    step: Annotated[
        str | None, "which checkpoint: a number, or best; the latest, if not given"
    ] = None,
    layers: Annotated[str, "of VGG16, set side by side"] = ",".join(quality.LAYERS),
    floor: Annotated[
        Literal["train", "held_out"], "where the other real crops come from"
    ] = "train",
    nearest: Annotated[
        str | None, "FILE.png for samples, each with its nearest training crops"
    ] = None,
    inception_weights: Annotated[
        str | None, "pt_inception-2015-12-05-6726825d.pth, to find FID as well"
    ] = None,
) -> None:
    """Restore a checkpoint and measure how good its samples are."""
    begin = time.perf_counter()
    if count < quality.LEAST:
        raise ValueError(f"count must be at least {quality.LEAST}; got {count}")
    if nearest is not None:
        if not nearest.endswith(".png"):
            raise ValueError(f"nearest must be FILE.png; got {nearest!r}")
        images.check_replaceable(nearest, images.is_our_png)
    extractors = {"vgg": quality.vgg_extractor(layers.split(","))}
    if inception_weights is not None:
        extractors["inception"] = quality.inception_extractor(inception_weights)
    config = read_config(workdir)
    model = _restored(config, workdir, step, count, seed)
    real = _real(config, floor, count, seed)
    rows = {
        network: _described(config, network, extractor, model, real)
        for network, extractor in extractors.items()
    }
    if nearest is not None:
        _save_nearest(nearest, model.samples, real.crops, rows["vgg"])
    samples = {network: (each.crops, each.samples) for network, each in rows.items()}
    others = {network: (each.crops, each.others) for network, each in rows.items()}
    figures = {
        "step": model.step,
        "count": count,
        "dataset": config.data.name,
        "pictures": real.pictures,
        "layers": layers.split(","),
        **_compared(samples, seed),
        "floor": {"split": floor, **_compared(others, seed)},
        "discriminator_accuracy": _accuracy(model, real),
        **{f"{name}_seconds": round(each.seconds, 1) for name, each in rows.items()},
        "seconds": round(time.perf_counter() - begin, 1),
    }
    print(json.dumps(figures))


def _described(
    config: Config,
    network: str,
    extractor: quality.Extractor,
    model: Restored,
    real: Real,
) -> Described:
    folder = quality.folder(choice.folder(config.data.data_dir))
    crops = quality.described(extractor, real.crops, f"{network}, crops", folder)
    others = quality.described(extractor, real.others, f"{network}, others", folder)
    samples = quality.described(extractor, model.samples, f"{network}, samples")
    seconds = crops.seconds + others.seconds + samples.seconds
    return Described(crops.rows, others.rows, samples.rows, seconds)


def _compared(pairs: dict[str, tuple[Rows, Rows]], seed: int) -> dict[str, float]:
    """Return how pictures compare with the crops, by the networks that saw them."""
    figures = {}
    for network, (crops, pictures) in pairs.items():
        figures |= quality.distances(crops, pictures, network=network, seed=seed)
    return figures | quality.neighbourhoods(*pairs["vgg"])


def _save_nearest(path: str, samples: Pixels, crops: Pixels, rows: Described) -> None:
    """Write the first samples, each at the left of its nearest crops."""
    found = metrics.nearest(rows.samples[:SAMPLES], rows.crops, NEIGHBOURS)
    lines = [samples[:SAMPLES, None], crops[found.indices]]
    pixels = np.concatenate(lines, axis=1).reshape(-1, *samples.shape[1:])
    images.save_png(path, images.grid(pixels, 1 + NEIGHBOURS))


def _restored(
    config: Config, workdir: str, step: str | None, count: int, seed: int
) -> Restored:
    generator = trained.generator(workdir, step)
    discriminator = trained.discriminator(workdir, step)
    samples = quality.drawn(
        latents.sampler(generator.network),
        generator.player,
        count=count,
        seed=seed,
        latent=config.generator.latent,
    )
    judge = quality.judge(discriminator.network, min(config.batch_size, count))
    return Restored(generator.step, samples, partial(judge, discriminator.player))


def _real(config: Config, floor: str, count: int, seed: int) -> Real:
    open_pictures = partial(
        choice.open_pictures,
        config.data.name,
        config.data.data_dir,
        source=config.data.source,
        size=config.size,
    )
    cut = partial(pipeline.crops, size=config.size, seed=seed)
    train = open_pictures()
    try:
        unseen = open_pictures(held_out=True)
    except ValueError as error:
        if floor == "held_out":
            raise
        print(f"no accuracy on held-out pictures: {error}", file=sys.stderr)
        unseen = []
    held_out = cut(unseen, count=count) if len(unseen) else None
    pictures = {"train": len(train), "held_out": len(unseen)}
    if floor == "held_out" and held_out is not None:
        return Real(cut(train, count=count), held_out, held_out, pictures)
    # The crops that come next are other ones, of other pictures as long as there are.
    crops = cut(train, count=2 * count)
    return Real(crops[:count], crops[count:], held_out, pictures)


def _accuracy(model: Restored, real: Real) -> dict[str, float | None]:
    """Return how often the discriminator is right, by what it is shown."""
    held_out = None if real.held_out is None else model.believed(real.held_out)
    return {
        "train": model.believed(real.crops),
        "held_out": held_out,
        "samples": 1 - model.believed(model.samples),
    }


if __name__ == "__main__":
    command.run(main)
