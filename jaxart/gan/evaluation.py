"""Evaluate a trained GAN: metrics of its samples, and accuracy of its discriminator.

Samples are compared with real crops, and so are a floor of other real crops and noise.
"""

import math
import os
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32
from tqdm import tqdm

from jaxart import images, metrics, spectra
from jaxart.gan import feature_metrics, latents
from jaxart.gan.feature_metrics import FeatureMatrix, Pixels
from jaxart.gan.trained import TrainedNetwork


# In the picture of nearest crops: how many samples, and crops beside each.
SAMPLES, NEIGHBOURS = 16, 7


class PictureSets(NamedTuple):
    """Pictures to extract features from, equally many of each."""

    crops: Pixels
    samples: Pixels
    floor: Pixels
    noise: Pixels
    held_out: Pixels | None  # None if no pictures were held out


SETS_COMPARED_WITH_CROPS = ("samples", "floor", "noise")


class Timer:
    """Seconds, rounded for a person."""

    def __init__(self):
        self._start = self._last_lap = time.perf_counter()

    def lap(self) -> float:
        """Return the seconds since the last lap."""
        last, self._last_lap = self._last_lap, time.perf_counter()
        return round(self._last_lap - last, 2)

    def total(self) -> float:
        """Return the seconds since the start."""
        return round(time.perf_counter() - self._start, 2)


def sample(
    generator: TrainedNetwork,
    count: int,
    seed: int,
    conditions: Float32[np.ndarray, "m c"] | None = None,
) -> Pixels:
    """Return the first `count` samples of a seed; see `latents.points_like`."""
    sampler = latents.make_sampler(generator.network)
    points = latents.points_like(generator.settings, seed, count, conditions)
    parts = latents.sample_pictures(sampler, generator.state, points)
    return np.concatenate([*parts])


def extract(
    network: str,
    extractor: feature_metrics.Extractor,
    sets: PictureSets,
    cache: str | os.PathLike[str],
) -> tuple[dict[str, FeatureMatrix], dict[str, float | None]]:
    """Return the features of each set, and the seconds they took; None if cached.

    Features of samples are not cached.
    """
    rows: dict[str, FeatureMatrix] = {}
    seconds: dict[str, float | None] = {}
    for name, pixels in sets._asdict().items():
        if pixels is None:
            continue
        folder = None if name == "samples" else cache
        title = f"{network}, {name}"
        features = feature_metrics.extract_features(extractor, pixels, title, folder)
        rows[name] = features.values
        seconds[name] = None
        if features.seconds is not None:
            seconds[name] = round(features.seconds, 2)
    return rows, seconds


def compare_sets(
    features: Mapping[str, Mapping[str, FeatureMatrix]],
    seed: int,
    seconds: dict[str, Any],
) -> dict[str, dict[str, float]]:
    """Return the metrics of each set against the crops, for all networks.

    Args:
        features: of each network, by set.
        seed: of the kernel distance's subsets.
        seconds: of each network; those of comparing the samples are added.
    """
    scalars: dict[str, dict[str, float]] = {
        name: {} for name in SETS_COMPARED_WITH_CROPS
    }
    pairs = [
        (network, name) for network in features for name in SETS_COMPARED_WITH_CROPS
    ]
    for network, name in tqdm(pairs, "distances", leave=False, delay=2):
        timer = Timer()
        rows = features[network]
        scalars[name] |= feature_metrics.compare_features(
            rows["crops"], rows[name], network=network, seed=seed
        )
        if name == "samples":
            seconds[network]["compare"] = timer.lap()
    return scalars


def compare_spectra(sets: PictureSets) -> dict[str, dict[str, float]]:
    """Return the spectra of each set over those of the crops; see `spectra`."""
    scalars: dict[str, dict[str, float]] = {}
    crops = spectra.powers(sets.crops)
    for name in SETS_COMPARED_WITH_CROPS:
        found = spectra.compare(spectra.powers(getattr(sets, name)), crops)
        scalars[name] = {}
        for key, estimate in found._asdict().items():
            scalars[name][key] = estimate.value
            scalars[name][f"{key}_error"] = estimate.error
    return scalars


def count_copies(
    rows: Mapping[str, FeatureMatrix],
) -> dict[str, dict[str, float | None]]:
    """Return the share of copies in each set, by features; None if nothing is held out.

    See `metrics.copies`. The threshold is that of all sets.
    """
    scalars: dict[str, dict[str, float | None]] = {}
    for name in SETS_COMPARED_WITH_CROPS:
        share = error = threshold = None
        if "held_out" in rows:
            (share, error), threshold = metrics.copies(
                rows[name], rows["crops"], rows["held_out"]
            )
        scalars[name] = {
            "copies": share,
            "copies_error": error,
            "copies_threshold": threshold,
        }
    return scalars


def save_nearest(
    path: str, sets: PictureSets, rows: Mapping[str, FeatureMatrix]
) -> None:
    """Write a PNG of the first samples, each to the left of its nearest crops."""
    neighbours = metrics.nearest_neighbours(
        rows["samples"][:SAMPLES], rows["crops"], NEIGHBOURS
    )
    samples = sets.samples[:SAMPLES, None]
    tiles = np.concatenate([samples, sets.crops[neighbours.indices]], axis=1)
    tiles = tiles.reshape(-1, *samples.shape[2:])
    images.save_png(path, images.grid(tiles, 1 + NEIGHBOURS))


def accuracy(
    discriminator: TrainedNetwork,
    train: Pixels,
    held_out: Pixels | None,
    samples: Pixels,
) -> dict[str, float | None]:
    """Return the fraction of each set that is classified correctly, and its error.

    None with the relativistic loss, where only differences of answers have a meaning,
    and for a run with conditions, where an answer without one has none.
    """
    settings = discriminator.settings
    if settings.loss == "relativistic" or settings.condition.known.size:
        names = ("train", "held_out", "samples")
        return {key: None for name in names for key in (name, f"{name}_error")}
    batch_size = min(settings.batch_size, len(samples))
    real_fraction = feature_metrics.make_real_fraction(
        discriminator.network, batch_size
    )
    sets = {"train": train, "held_out": held_out, "samples": samples}
    scalars: dict[str, float | None] = {}
    for name, pixels in sets.items():
        scalars[name] = scalars[f"{name}_error"] = None
        if pixels is not None:
            real, error = real_fraction(discriminator.state, pixels)
            scalars[name] = 1 - real if name == "samples" else real
            scalars[f"{name}_error"] = None if math.isnan(error) else error
    return scalars
