"""How good a generator is, by what VGG16 sees in its pictures and in the dataset's.

A picture becomes a row of numbers: the features of some layers of VGG16, averaged over
all places and set side by side. `metrics.py` compares two collections of such rows; and
the discriminator says what it thinks of pictures that it has not seen.

The layers by default, relu3_3, relu4_3 and relu5_3, see 40, 92 and 196 pixels: of a
crop of 64 the texture, the forms, and all of it. Their numbers vary alike (summed
variances of 202, 393 and 263 over crops of paintings), so that none drowns the others;
those of earlier layers vary less by ten times and more.

The dataset's rows are kept on disk, under a hash of the very pixels and of what
describes them: no other dataset, split, seed, count, layer or weight can be mistaken
for them.

Source: Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local
Nash Equilibrium" (2017); Kynkäänniemi et al., "Improved Precision and Recall Metric for
Assessing Generative Models" (2019), for VGG16 in place of InceptionV3.
Deviation: these numbers are not FID, which looks through InceptionV3, and are named so
that nobody takes them for it; FID itself needs a file of weights of the user's. The
discriminator judges batches of one kind of pictures, normalised by the batch's own
statistics as in training. Its running ones are of real and fake batches mixed: with
them, a D took 88 % of its G's samples for paintings, where with the batch's own it took
13 %.
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
BATCH = 50  # pictures of one compiled call of VGG16
VERSION = 1  # of what describes them; another one, and nothing kept is used again

# A kernel distance is averaged over at least so many subsets of at most so many.
SUBSETS, SUBSET = 10, 1000
LEAST = 2 * SUBSETS  # pictures that the metrics can do with

FRECHET = "vgg_frechet_distance"  # as metrics.jsonl names it, and `distances`

Pixels = UInt8[np.ndarray, "n h w 3"]


class Extractor(NamedTuple):
    """What describes pictures by numbers.

    Args:
        name: says all that the numbers depend on but the pictures.
        describe: a compiled call, for batches of one size.
    """

    name: str
    describe: Callable[[UInt8[np.ndarray, "b h w 3"]], Float32[Array, "b c"]]


class Description(NamedTuple):
    """Pictures as rows of numbers, and the seconds that this took; None if kept."""

    rows: Float32[np.ndarray, "n c"]
    seconds: float | None


def folder(data_dir: str | os.PathLike[str]) -> Path:
    """Return where the descriptions of the datasets in a folder are kept."""
    return Path(data_dir, "features")


def vgg_extractor(layers: Sequence[str] = LAYERS) -> Extractor:
    """Return VGG16 with its packaged weights.

    Args:
        layers: whose features are averaged over all places.

    Raises:
        ValueError: a layer is unknown or named twice, or there is none.
    """
    if not layers or len(set(layers)) < len(layers):
        raise ValueError(f"layers must be some, each once; got {','.join(layers)!r}")
    for layer in layers:
        vgg.receptive_field(layer)  # which knows the layers' names

    def features(
        weights: vgg.Weights, images: Float[Array, "b h w 3"]
    ) -> Float[Array, "b c"]:
        maps = vgg.features(weights, images, layers)
        return jnp.concatenate([x.mean(axis=(1, 2)) for x in maps], axis=1)

    return _compiled(" ".join(["vgg16", vgg.PACKAGED, *layers]), vgg.load(), features)


def inception_extractor(path: str | os.PathLike[str]) -> Extractor:
    """Return InceptionV3 with the user's weights; its Fréchet distance is FID.

    Args:
        path: as for `inception.load`.

    Raises:
        ValueError: as in `inception.load`.
    """
    weights = inception.load(path)
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return _compiled(f"inception {digest}", weights, inception.features)


def _compiled(
    name: str,
    weights: PyTree,
    features: Callable[[PyTree, Float[Array, "b h w 3"]], Float[Array, "b c"]],
) -> Extractor:
    @jax.jit
    def describe(
        weights: PyTree, pixels: UInt8[Array, "b h w 3"]
    ) -> Float32[Array, "b c"]:
        # So that rows from a GPU can be compared with rows from a CPU.
        with jax.default_matmul_precision("highest"):
            return features(weights, pixels.astype(jnp.float32) / 255)

    return Extractor(f"{VERSION} {name}", functools.partial(describe, weights))


def described(
    extractor: Extractor,
    pixels: Pixels,
    what: str,
    folder: str | os.PathLike[str] | None = None,
) -> Description:
    """Describe pictures, or read how they were described before.

    Args:
        extractor: what describes them.
        pixels: the pictures.
        what: they are; shown by the progress bar.
        folder: where descriptions are kept; None to keep nothing. If nothing can be
            written there, nothing is.
    """
    path = None if folder is None else Path(folder) / f"{_hash(extractor, pixels)}.npz"
    rows = None if path is None else _read(path, len(pixels))
    if rows is not None:
        return Description(rows, None)
    begin = time.perf_counter()
    rows = np.concatenate(
        [*batches.map_batches(extractor.describe, pixels, BATCH, what)]
    )
    seconds = time.perf_counter() - begin
    if path is not None:
        _keep(path, rows)
    return Description(rows, seconds)


def compared(
    real: Float32[np.ndarray, "n c"],
    fake: Float32[np.ndarray, "m c"],
    *,
    network: str,
    seed: int,
) -> dict[str, float]:
    """Return how two descriptions compare: their distances, and who is near whom.

    Each figure comes with its error, and begins with the network that described them.

    Args:
        real: rows of the dataset's pictures.
        fake: rows of the pictures that are compared with them.
        network: that described them.
        seed: of the kernel distance's subsets.

    Raises:
        ValueError: one of the two has fewer than `LEAST` rows.
    """
    count = min(len(real), len(fake))
    if count < LEAST:
        raise ValueError(f"pictures must be at least {LEAST}; got {count}")
    size = min(SUBSET, count // SUBSETS)
    kernel = metrics.kernel_distance(
        real, fake, seed=seed, subsets=count // size, subset_size=size
    )
    estimates = {
        "frechet_distance": metrics.frechet_distance(real, fake),
        "kernel_distance": kernel,
        **metrics.prdc(real, fake)._asdict(),
    }
    figures = {}
    for name, estimate in estimates.items():
        figures[f"{network}_{name}"] = estimate.value
        figures[f"{network}_{name}_error"] = estimate.error
    return figures


def judge(
    discriminator: Discriminator, batch_size: int
) -> Callable[[NetworkState, Pixels], metrics.Estimate]:
    """Return the compiled call that says which share a discriminator takes for real.

    It sees batches of one kind, as in training; what does not fill one is left out.
    The error is over the batches, and NaN if there is only one.

    Args:
        discriminator: only its structure is used; values are in the player.
        batch_size: pictures of a batch; at most as many as there will be.
    """
    structure = nnx.graphdef(discriminator)

    @jax.jit
    def believed(
        player: NetworkState, pixels: UInt8[Array, "b h w 3"]
    ) -> Float[Array, ""]:
        logits, _ = apply(structure, player, images.to_images(pixels))
        return jnp.mean(logits > 0)

    def share(player: NetworkState, pixels: Pixels) -> metrics.Estimate:
        firsts = range(0, len(pixels) - batch_size + 1, batch_size)
        batches = (pixels[first : first + batch_size] for first in firsts)
        shares = np.array([believed(player, batch) for batch in batches])
        error = math.nan
        if len(shares) > 1:
            error = float(shares.std(ddof=1)) / math.sqrt(len(shares))
        return metrics.Estimate(float(shares.mean()), error)

    return share


def _hash(extractor: Extractor, pixels: Pixels) -> str:
    digest = hashlib.sha256(f"{extractor.name} {pixels.shape} ".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def _read(path: Path, count: int) -> Float32[np.ndarray, "n c"] | None:
    """Return what is kept in a file, unless it is missing or damaged."""
    try:
        with np.load(path) as file:
            rows = file["rows"]
    # Readers of damaged archives raise nearly anything.
    except Exception:
        return None
    fits = rows.dtype == np.float32 and rows.ndim == 2 and len(rows) == count
    return rows if fits and np.isfinite(rows).all() else None


def _keep(path: Path, rows: Float32[np.ndarray, "n c"]) -> None:
    try:
        # Its name says what it holds: what is there was ours, and is damaged.
        with atomic.replacing(path, lambda _: True) as unfinished:
            np.savez(unfinished, rows=rows)
    except OSError:
        return  # a full or read-only disk costs time, and nothing else
