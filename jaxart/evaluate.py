"""Say how good a model is: `python -m jaxart.evaluate --workdir=DIR`.

One JSON object on standard output. Samples are compared with crops of the training
pictures, and so are other real crops, the floor, which is what a perfect model would
get, and noise: random pixels, what a model that knows nothing gets. The numbers are
seen through VGG16, whence their names, and depend on `count`: only those of the same
dataset, layers and count may be compared with each other.

The errors are of drawing crops and samples, with the pictures given. Many crops are of
one picture and not independent: for what other pictures of the same kind would give,
the errors are several times too small where there are few pictures.

`discriminator_accuracy` tells over-fitting: a discriminator that knows the training
pictures by heart takes them for real, and those that were held out for fakes. It judges
by the statistics of its batch, which many crops of few pictures move. So as many
training pictures are chosen as were held out, at random, and cut and batched alike. The
errors are over batches, null if there is only one.

`seconds` are those of drawing samples, of cutting all crops, and for each network of
describing each set, null for what is kept from before, and of comparing the samples
with the crops. All sets are in memory, at size 64 about 12 kB a picture of six sets:
0.7 GB at 10,000.

Source: Beyers and Loane, section 5, who judge by eye; `jaxart/metrics.py`.
"""

import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8
from tqdm import tqdm

from jaxart import atomic, command, images, metrics
from jaxart.gan import latents, quality, run_dir, trained
from jaxart.gan.settings import Settings
from jaxart.paintings import choice, pipeline


# Of the picture of nearest crops: its samples, and the crops beside each.
SAMPLES, NEIGHBOURS = 16, 7

Pixels = UInt8[np.ndarray, "n h w 3"]
Rows = Float32[np.ndarray, "n c"]
Source = Sequence[dict[str, Any]]


class Pictures(NamedTuple):
    """The pictures of a dataset.

    Args:
        train: those that training saw.
        held_out: those that it never did; none, where nothing was held out.
    """

    train: Source
    held_out: Source


class Model(NamedTuple):
    """What a checkpoint can do.

    Args:
        step: of the checkpoint.
        draw: makes so many samples of its generator.
        believed: the share of pictures that its discriminator takes for real.
    """

    step: int
    draw: Callable[[], Pixels]
    believed: Callable[[Pixels], metrics.Estimate]


class Sets(NamedTuple):
    """Pictures that are described, `count` of each.

    Args:
        crops: of training pictures, which all others are compared with.
        samples: of the generator.
        floor: other real crops.
        noise: random pixels.
    """

    crops: Pixels
    samples: Pixels
    floor: Pixels
    noise: Pixels


class Judged(NamedTuple):
    """Crops that the discriminator judges.

    Args:
        train: of as many training pictures as there are held-out ones, if there are.
        held_out: of pictures that training never saw, if there are any.
    """

    train: Pixels
    held_out: Pixels | None


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
    data_dir: Annotated[str | None, "where the dataset is, if not where it was"] = None,
) -> None:
    """Restore a checkpoint and measure how good its samples are."""
    clock = _Clock()
    if count < quality.LEAST:
        raise ValueError(f"count must be at least {quality.LEAST}; got {count}")
    if seed < 0:
        raise ValueError(f"seed must not be negative; got {seed}")
    if nearest is not None:
        if not nearest.endswith(".png"):
            raise ValueError(f"nearest must be FILE.png; got {nearest!r}")
        atomic.check_replaceable(nearest, images.is_our_png)
    extractors = {"vgg": quality.vgg_extractor(layers.split(","))}
    if inception_weights is not None:
        extractors["inception"] = quality.inception_extractor(inception_weights)
    settings = run_dir.read_settings(workdir)
    if data_dir is not None:
        settings = settings.with_data(data_dir=data_dir)
    pictures = _opened(settings, floor)
    model = _restored(settings, workdir, step, count, seed)
    clock.lap()
    samples = model.draw()
    seconds: dict[str, Any] = {"draw": clock.lap()}
    crops, others, judged = _cut(settings, pictures, floor, count, seed)
    seconds["cut"] = clock.lap()
    noise = np.random.default_rng(seed).integers(0, 256, samples.shape, np.uint8)
    sets = Sets(crops, samples, others, noise)
    rows = {}
    for network, extractor in extractors.items():
        rows[network], seconds[network] = _described(settings, network, extractor, sets)
    if nearest is not None:
        _save_nearest(nearest, sets, rows["vgg"])
    figures = _compared(rows, seed, seconds)
    print(
        json.dumps(
            {
                "step": model.step,
                "count": count,
                "dataset": settings.data.name,
                "pictures": {name: len(of) for name, of in pictures._asdict().items()},
                "layers": layers.split(","),
                **figures["samples"],
                "floor": {"split": floor, **figures["floor"]},
                "noise": figures["noise"],
                "discriminator_accuracy": _accuracy(model, judged, samples),
                "seconds": seconds | {"total": clock.total()},
            }
        )
    )


class _Clock:
    def __init__(self):
        self._begin = self._last = time.perf_counter()

    def lap(self) -> float:
        """Return the seconds since it was last looked at."""
        last, self._last = self._last, time.perf_counter()
        return round(self._last - last, 2)

    def total(self) -> float:
        return round(time.perf_counter() - self._begin, 2)


def _described(
    settings: Settings, network: str, extractor: quality.Extractor, sets: Sets
) -> tuple[dict[str, Rows], dict[str, float | None]]:
    """Return a row for each picture of each set, and the seconds that these took."""
    folder = quality.folder(choice.folder(settings.data.data_dir))
    rows, seconds = {}, {}
    for name, pixels in sets._asdict().items():
        keep = None if name == "samples" else folder
        found = quality.described(extractor, pixels, f"{network}, {name}", keep)
        rows[name] = found.rows
        seconds[name] = None if found.seconds is None else round(found.seconds, 2)
    return rows, seconds


def _compared(
    rows: dict[str, dict[str, Rows]], seed: int, seconds: dict[str, Any]
) -> dict[str, dict[str, float]]:
    """Return how sets compare with the crops, by the networks that saw them.

    Args:
        rows: of each network, by set.
        seed: of the kernel distance's subsets.
        seconds: of each network; those of comparing the samples are added.
    """
    others = [name for name in Sets._fields if name != "crops"]
    figures: dict[str, dict[str, float]] = {name: {} for name in others}
    pairs = [(network, name) for network in rows for name in others]
    for network, name in tqdm(pairs, "distances", leave=False, delay=2):
        clock = _Clock()
        figures[name] |= quality.compared(
            rows[network]["crops"], rows[network][name], network=network, seed=seed
        )
        if name == "samples":
            seconds[network]["compare"] = clock.lap()
    return figures


def _save_nearest(path: str, sets: Sets, rows: dict[str, Rows]) -> None:
    """Write the first samples, each at the left of its nearest crops."""
    found = metrics.nearest(rows["samples"][:SAMPLES], rows["crops"], NEIGHBOURS)
    lines = [sets.samples[:SAMPLES, None], sets.crops[found.indices]]
    pixels = np.concatenate(lines, axis=1).reshape(-1, *sets.samples.shape[1:])
    images.save_png(path, images.grid(pixels, 1 + NEIGHBOURS))


def _restored(
    settings: Settings, workdir: str, step: str | None, count: int, seed: int
) -> Model:
    generator = trained.generator(workdir, step)
    # Of the same step, even if a run saves another one meanwhile.
    discriminator = trained.discriminator(workdir, str(generator.step))
    points = latents.draw(seed, 0, count, settings.generator.latent)
    sampler = latents.sampler(generator.network)

    def draw() -> Pixels:
        return np.concatenate([*latents.pictures(sampler, generator.state, points)])

    judge = quality.judge(discriminator.network, min(settings.batch_size, count))
    return Model(generator.step, draw, partial(judge, discriminator.state))


def _opened(settings: Settings, floor: str) -> Pictures:
    train = choice.pictures(settings)
    try:
        return Pictures(train, choice.pictures(settings, held_out=True))
    except choice.NoHeldOutError as error:
        if floor == "held_out":
            raise
        print(f"no accuracy on held-out pictures: {error}", file=sys.stderr)
        return Pictures(train, [])


def _cut(
    settings: Settings, pictures: Pictures, floor: str, count: int, seed: int
) -> tuple[Pixels, Pixels, Judged]:
    """Return crops, others for the floor, and those that are judged."""
    cut = partial(pipeline.crops, size=settings.size, seed=seed)
    train, unseen = pictures
    # The crops that come next are other ones, of other pictures as long as there are.
    both = cut(train, count=2 * count if floor == "train" else count)
    crops, others = both[:count], both[count:]
    if not len(unseen):
        return crops, others, Judged(crops, None)
    held_out = cut(unseen, count=count)
    seen = cut(_some(train, min(len(unseen), count), seed), count=count)
    others = others if floor == "train" else held_out
    return crops, others, Judged(seen, held_out)


def _some(pictures: Source, count: int, seed: int) -> Source:
    """Return so many of them, or all if they are less, chosen at random."""
    chosen = np.random.default_rng(seed).permutation(len(pictures))[:count]
    return [{"pixels": pictures[int(number)]["pixels"]} for number in chosen]


def _accuracy(model: Model, judged: Judged, samples: Pixels) -> dict[str, float | None]:
    """Return how often the discriminator is right, by what it is shown."""
    shown = {"train": judged.train, "held_out": judged.held_out, "samples": samples}
    figures: dict[str, float | None] = {}
    for name, pixels in shown.items():
        figures[name] = figures[f"{name}_error"] = None
        if pixels is not None:
            share, error = model.believed(pixels)
            figures[name] = 1 - share if name == "samples" else share
            figures[f"{name}_error"] = None if math.isnan(error) else error
    return figures


if __name__ == "__main__":
    command.run(main)
