"""Evaluate a trained GAN: its samples against crops of its dataset.

Four sets of pictures, `count` of each: crops of training pictures, which all others are
compared with, samples of the generator, a floor of other real crops, and noise.
"""

import math
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from tqdm import tqdm

from jaxart import images, metrics
from jaxart.gan import latents, quality, run_dir, trained
from jaxart.gan.quality import Pixels, Rows
from jaxart.gan.settings import Settings
from jaxart.gan.trained import Trained
from jaxart.paintings import choice, pipeline


# In the picture of nearest crops: how many samples, and crops beside each.
SAMPLES, NEIGHBOURS = 16, 7

COMPARED = ("samples", "floor", "noise")

Records = Sequence[dict[str, Any]]


def evaluate(
    workdir: str,
    *,
    step: str | None,
    count: int,
    seed: int,
    layers: Sequence[str],
    floor: str,
    nearest: str | None,
    inception_weights: str | None,
    data_dir: str | None,
) -> dict[str, Any]:
    """Restore a checkpoint, and return metrics of its samples and of D's accuracy.

    Args:
        workdir: folder of the run.
        step: which checkpoint, as for `trained.generator`.
        count: pictures of each set, at least `quality.MIN_COUNT`.
        seed: of the samples and of the crops, not negative.
        layers: of VGG16, as for `quality.vgg_extractor`.
        floor: split that the other real crops are of, "train" or "held_out".
        nearest: PNG to write, of samples and their nearest crops; None for none.
        inception_weights: file of weights, to compute FID as well; None not to.
        data_dir: folder of datasets, if not the run's.

    Raises:
        ValueError: an argument is out of range, or there is no such run, checkpoint,
            dataset or file of weights.
    """
    timer = _Timer()
    if count < quality.MIN_COUNT:
        raise ValueError(f"count must be at least {quality.MIN_COUNT}; got {count}")
    if seed < 0:
        raise ValueError(f"seed must not be negative; got {seed}")
    extractors = {"vgg": quality.vgg_extractor(layers)}
    if inception_weights is not None:
        extractors["inception"] = quality.inception_extractor(inception_weights)
    settings = run_dir.read_settings(workdir).with_data_dir(data_dir)
    train, held_out = _open_splits(settings, floor)
    generator = trained.generator(workdir, step)
    # Of the same step, even if the run saves another one meanwhile.
    discriminator = trained.discriminator(workdir, str(generator.step))
    timer.lap()

    samples = _sample(generator, count, seed)
    seconds: dict[str, Any] = {"draw": timer.lap()}
    cut = partial(pipeline.crops, size=settings.size, seed=seed)
    sets = _cut_sets(cut, train, held_out, floor, count) | {
        "samples": samples,
        "noise": np.random.default_rng(seed).integers(0, 256, samples.shape, np.uint8),
    }
    classified = _cut_classified(cut, train, held_out, sets, seed)
    seconds["cut"] = timer.lap()

    cache = quality.cache_dir(choice.folder(settings.data.data_dir))
    features = {}
    for network, extractor in extractors.items():
        features[network], seconds[network] = _extract(network, extractor, sets, cache)
    if nearest is not None:
        _save_nearest(nearest, sets, features["vgg"])
    scalars = _compare(features, seed, seconds)
    accuracy = _accuracy(discriminator, classified)
    return {
        "step": generator.step,
        "count": count,
        "dataset": settings.data.name,
        "pictures": {"train": len(train), "held_out": len(held_out)},
        "layers": list(layers),
        **scalars["samples"],
        "floor": {"split": floor, **scalars["floor"]},
        "noise": scalars["noise"],
        "discriminator_accuracy": accuracy,
        "seconds": seconds | {"total": timer.total()},
    }


class _Timer:
    def __init__(self):
        self._start = self._last_lap = time.perf_counter()

    def lap(self) -> float:
        """Return the seconds since the last lap."""
        last, self._last_lap = self._last_lap, time.perf_counter()
        return round(self._last_lap - last, 2)

    def total(self) -> float:
        """Return the seconds since the start."""
        return round(time.perf_counter() - self._start, 2)


def _open_splits(settings: Settings, floor: str) -> tuple[Records, Records]:
    """Return the pictures of training, and those held out; none if there are none."""
    train = choice.pictures(settings)
    try:
        return train, choice.pictures(settings, held_out=True)
    except choice.NoHeldOutError as error:
        if floor == "held_out":
            raise
        print(f"no accuracy on held-out pictures: {error}", file=sys.stderr)
        return train, []


def _sample(generator: Trained, count: int, seed: int) -> Pixels:
    sampler = latents.make_sampler(generator.network)
    points = latents.draw(seed, range(count), generator.settings.generator.latent)
    parts = latents.sample_pictures(sampler, generator.state, points)
    return np.concatenate([*parts])


def _cut_sets(
    cut: Callable[..., Pixels],
    train: Records,
    held_out: Records,
    floor: str,
    count: int,
) -> dict[str, Pixels]:
    """Return the crops that all are compared with, and those of the floor."""
    if floor == "held_out":
        return {"crops": cut(train, count=count), "floor": cut(held_out, count=count)}
    # Crops that follow are different ones, and of different pictures if there are more.
    crops = cut(train, count=2 * count)
    return {"crops": crops[:count], "floor": crops[count:]}


def _cut_classified(
    cut: Callable[..., Pixels],
    train: Records,
    held_out: Records,
    sets: dict[str, Pixels],
    seed: int,
) -> dict[str, Pixels | None]:
    """Return what the discriminator classifies.

    The crops are of as many training pictures, chosen at random, as were held out: it
    uses the statistics of a batch, which depend on how many pictures its crops are of.
    """
    crops, samples = sets["crops"], sets["samples"]
    if not len(held_out):
        return {"train": crops, "held_out": None, "samples": samples}
    count = len(crops)
    order = np.random.default_rng(seed).permutation(len(train))
    subset = [
        {"pixels": train[int(index)]["pixels"]}
        for index in order[: min(len(held_out), count)]
    ]
    return {
        "train": cut(subset, count=count),
        "held_out": cut(held_out, count=count),
        "samples": samples,
    }


def _extract(
    network: str, extractor: quality.Extractor, sets: dict[str, Pixels], cache: Any
) -> tuple[dict[str, Rows], dict[str, float | None]]:
    """Return the features of each set, and the seconds they took; None if cached."""
    rows: dict[str, Rows] = {}
    seconds: dict[str, float | None] = {}
    for name in ("crops", *COMPARED):
        # Samples are of one checkpoint: they are not worth a file.
        found = quality.extract_features(
            extractor,
            sets[name],
            f"{network}, {name}",
            None if name == "samples" else cache,
        )
        rows[name] = found.rows
        seconds[name] = None if found.seconds is None else round(found.seconds, 2)
    return rows, seconds


def _compare(
    features: dict[str, dict[str, Rows]], seed: int, seconds: dict[str, Any]
) -> dict[str, dict[str, float]]:
    """Return the metrics of each set against the crops, for all networks.

    Args:
        features: of each network, by set.
        seed: of the kernel distance's subsets.
        seconds: of each network; those of comparing the samples are added.
    """
    scalars: dict[str, dict[str, float]] = {name: {} for name in COMPARED}
    pairs = [(network, name) for network in features for name in COMPARED]
    for network, name in tqdm(pairs, "distances", leave=False, delay=2):
        timer = _Timer()
        scalars[name] |= quality.compare(
            features[network]["crops"],
            features[network][name],
            network=network,
            seed=seed,
        )
        if name == "samples":
            seconds[network]["compare"] = timer.lap()
    return scalars


def _save_nearest(path: str, sets: dict[str, Pixels], rows: dict[str, Rows]) -> None:
    """Write the first samples, each to the left of its nearest crops."""
    neighbours = metrics.nearest_neighbours(
        rows["samples"][:SAMPLES], rows["crops"], NEIGHBOURS
    )
    samples = sets["samples"][:SAMPLES, None]
    tiles = np.concatenate([samples, sets["crops"][neighbours.indices]], axis=1)
    tiles = tiles.reshape(-1, *samples.shape[2:])
    images.save_png(path, images.grid(tiles, 1 + NEIGHBOURS))


def _accuracy(
    discriminator: Trained, classified: dict[str, Pixels | None]
) -> dict[str, float | None]:
    """Return the fraction of each set that is classified correctly, and its error."""
    samples = classified["samples"]
    assert samples is not None
    batch_size = min(discriminator.settings.batch_size, len(samples))
    real_fraction = quality.make_real_fraction(discriminator.network, batch_size)
    scalars: dict[str, float | None] = {}
    for name, pixels in classified.items():
        scalars[name] = scalars[f"{name}_error"] = None
        if pixels is not None:
            real, error = real_fraction(discriminator.state, pixels)
            scalars[name] = 1 - real if name == "samples" else real
            scalars[f"{name}_error"] = None if math.isnan(error) else error
    return scalars
