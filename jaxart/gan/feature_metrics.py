"""Features of pictures, metrics on them, and the discriminator's accuracy.

The features of a picture are those of some layers of VGG16, averaged over positions and
concatenated. `metrics.py` compares two sets of pictures by them.

The default layers relu3_3, relu4_3 and relu5_3 have receptive fields of 40, 92 and 196
pixels: of a crop of 64 the texture, the shapes, and all of it. Their total variances
over crops of paintings are alike (202, 393 and 263), so that none dominates; those of
earlier layers are smaller by ten times and more.

Features of the dataset are cached on disk, under a hash of the pixels and of the
extractor: another dataset, split, seed, count, layer or weight has another hash.

Source: Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local
Nash Equilibrium" (2017); Kynkäänniemi et al., "Improved Precision and Recall Metric for
Assessing Generative Models" (2019), for VGG16 in place of InceptionV3.
Deviation: these metrics are not FID, which uses InceptionV3, and their names say so;
FID needs a file of weights that the user provides. The discriminator classifies batches
of one kind of pictures, with the batch's own statistics as in training. Its running
statistics are of real and fake batches mixed: with them a D classified 88 % of its G's
samples as real, and with the batch's own 13 %.
"""

import functools
import hashlib
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Float32, PyTree, UInt8

from jaxart import atomic, batches, images, inception, metrics, vgg
from jaxart.gan.networks import Discriminator
from jaxart.gan.update import NetworkState, apply


LAYERS = ("relu3_3", "relu4_3", "relu5_3")
BATCH_SIZE = 50  # pictures of one compiled call of an extractor
VERSION = 1  # of the extractors; features cached by another version are not used

# Of the kernel distance: the least subsets, and the most pictures of each.
SUBSETS, MAX_SUBSET_SIZE = 10, 1000
MIN_COUNT = 2 * SUBSETS  # pictures that the metrics need

FRECHET_KEY = "vgg_frechet_distance"  # in metrics.jsonl and `compare_features`

Pixels = UInt8[np.ndarray, "n h w 3"]
FeatureMatrix = Float32[np.ndarray, "n c"]


class Extractor(NamedTuple):
    """A network that extracts features from pictures."""

    name: str  # of all that the features depend on besides the pictures
    # The compiled function, for batches of one size.
    extract: Callable[[UInt8[np.ndarray, "b h w 3"]], Float32[Array, "b c"]]


class Features(NamedTuple):
    """A row of features for each picture, and the seconds it took; None if cached."""

    values: FeatureMatrix
    seconds: float | None


def cache_dir(data_dir: str | os.PathLike[str]) -> Path:
    """Return the folder where features of the datasets in a folder are cached."""
    return Path(data_dir, "features")


def vgg_extractor(layers: Sequence[str] = LAYERS) -> Extractor:
    """Return VGG16 with its packaged weights as an extractor.

    Features of the layers are averaged over positions and concatenated.

    Raises:
        ValueError: a layer is unknown or named twice, or there is none.
    """
    if not layers or len(set(layers)) < len(layers):
        raise ValueError(
            f"layers must be one or more, each once; got {','.join(layers)!r}"
        )
    for layer in layers:
        vgg.receptive_field(layer)  # raises if there is no such layer

    def features(
        weights: vgg.Weights, images: Float[Array, "b h w 3"]
    ) -> Float[Array, "b c"]:
        maps = vgg.features(weights, images, layers)
        return jnp.concatenate([x.mean(axis=(1, 2)) for x in maps], axis=1)

    name = " ".join(["vgg16", vgg.WEIGHTS_SHA256, *layers])
    return _make_extractor(name, vgg.load(), features)


def inception_extractor(path: str | os.PathLike[str]) -> Extractor:
    """Return InceptionV3 as an extractor, for the Fréchet inception distance.

    Raises:
        ValueError: as in `inception.load`, which reads its weights.
    """
    weights = inception.load(path)
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return _make_extractor(f"inception {digest}", weights, inception.features)


def _make_extractor(
    name: str,
    weights: PyTree,
    features: Callable[[PyTree, Float[Array, "b h w 3"]], Float[Array, "b c"]],
) -> Extractor:
    @jax.jit
    def extract(
        weights: PyTree, pixels: UInt8[Array, "b h w 3"]
    ) -> Float32[Array, "b c"]:
        # So that features from a GPU can be compared with those from a CPU.
        with jax.default_matmul_precision("highest"):
            return features(weights, pixels.astype(jnp.float32) / 255)

    return Extractor(f"{VERSION} {name}", functools.partial(extract, weights))


def extract_features(
    extractor: Extractor,
    pixels: Pixels,
    title: str,
    cache: str | os.PathLike[str] | None = None,
) -> Features:
    """Extract features from pictures, or read them from the cache, if there is one.

    Where the cache cannot be written, nothing is cached.
    """
    path = None if cache is None else Path(cache) / f"{_hash(extractor, pixels)}.npz"
    rows = None if path is None else _read_cache(path, len(pixels))
    if rows is not None:
        return Features(rows, None)
    start = time.perf_counter()
    parts = batches.map_batches(extractor.extract, pixels, BATCH_SIZE, title)
    rows = np.concatenate([*parts])
    seconds = time.perf_counter() - start
    if path is not None:
        _write_cache(path, rows)
    return Features(rows, seconds)


def compare_features(
    real: FeatureMatrix, fake: FeatureMatrix, *, network: str, seed: int
) -> dict[str, float]:
    """Return all metrics of two sets of features, each with its error.

    Their names begin with the network's; the seed draws the kernel distance's subsets.

    Raises:
        ValueError: one of the two has fewer than `MIN_COUNT` rows.
    """
    count = min(len(real), len(fake))
    if count < MIN_COUNT:
        raise ValueError(f"pictures must be at least {MIN_COUNT}; got {count}")
    size = min(MAX_SUBSET_SIZE, count // SUBSETS)
    kernel = metrics.kernel_distance(
        real, fake, seed=seed, subsets=count // size, subset_size=size
    )
    estimates = {
        "frechet_distance": metrics.frechet_distance(real, fake),
        "kernel_distance": kernel,
        **metrics.prdc(real, fake)._asdict(),
    }
    scalars = {}
    for name, estimate in estimates.items():
        scalars[f"{network}_{name}"] = estimate.value
        scalars[f"{network}_{name}_error"] = estimate.error
    return scalars


def make_real_fraction(
    discriminator: Discriminator, batch_size: int
) -> Callable[[NetworkState, Pixels], metrics.Estimate]:
    """Return a function that returns the fraction of pictures classified as real.

    Batches are of one kind of pictures, as in training; an incomplete last batch is
    left out. The error is over batches, and NaN if there is only one. Of
    `discriminator` only the structure is used.
    """
    graphdef = nnx.graphdef(discriminator)

    @jax.jit
    def fraction_of_batch(
        state: NetworkState, pixels: UInt8[Array, "b h w 3"]
    ) -> Float[Array, ""]:
        logits, _ = apply(graphdef, state, images.to_images(pixels))
        return jnp.mean(logits > 0)

    def real_fraction(state: NetworkState, pixels: Pixels) -> metrics.Estimate:
        starts = range(0, len(pixels) - batch_size + 1, batch_size)
        fractions = np.array(
            [
                fraction_of_batch(state, pixels[start : start + batch_size])
                for start in starts
            ]
        )
        if len(fractions) == 1:
            return metrics.Estimate(float(fractions[0]), math.nan)
        return metrics.mean(fractions)

    return real_fraction


def _hash(extractor: Extractor, pixels: Pixels) -> str:
    digest = hashlib.sha256(f"{extractor.name} {pixels.shape} ".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def _read_cache(path: Path, count: int) -> FeatureMatrix | None:
    """Return the cached features, unless the file is missing or damaged."""
    try:
        with np.load(path) as file:
            rows = file["rows"]
    # Readers of damaged archives raise nearly anything.
    except Exception:
        return None
    fits = rows.dtype == np.float32 and rows.ndim == 2 and len(rows) == count
    return rows if fits and np.isfinite(rows).all() else None


def _write_cache(path: Path, rows: FeatureMatrix) -> None:
    try:
        # The name is a hash of the content: a file there is ours, and damaged.
        with atomic.replacing(path, lambda _: True) as temporary:
            np.savez(temporary, rows=rows)
    except OSError:
        return  # a full or read-only disk only costs time
