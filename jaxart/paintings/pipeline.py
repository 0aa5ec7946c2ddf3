"""Training batches: shuffle, draw crops, batch, shard; the only file that knows Grain.

Where a crop is cut is drawn: which record, and its top left corner. A batch of draws
is a pure function of its number: the order of the records comes from the seed and the
epoch, and the corner from a counter, the crop's number in that endless order. So a run
that resumes names its next batch and sees the very crops it would have seen, processes
that share a batch, however many, cut the very crops that one would have cut, and crops
are the same wherever they are cut: on the host from records, or on the device from an
`Atlas`.

The corner depends on the picture's sides, which the host knows after reading the
record. Until then a draw has random bits. Pixels travel as bytes; they become
numbers on the device, which is four times less to copy. Each of Grain's stages costs
some microseconds an element, so that an element is a whole batch.

Source: Beyers and Loane, section 3.1: a random 64 by 64 patch of each picture, another
one each time; Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011, for
the counter.
"""

import functools
import os
import signal
from collections.abc import Sequence
from contextlib import closing
from typing import Any, NamedTuple

import grain
import jax
import numpy as np
from jaxtyping import Float32, Int32, Int64, PyTree, UInt8, UInt64
from tqdm import tqdm

from jaxart.paintings.atlas import Atlas


ENDLESS = 1 << 40  # batches
CROPS = 100  # read at a time where no batch size is given, if as many are wanted


class CropDraws(NamedTuple):
    """What decides where the crops of a batch are cut."""

    record_indices: Int64[np.ndarray, " b"]  # index of each crop's record
    # Random bits, of which `corners` makes the top left corner.
    random_bits: UInt64[np.ndarray, "b 2"]

    def corners(
        self, sides: Int64[np.ndarray, "b 2"], size: int
    ) -> Int64[np.ndarray, "b 2"]:
        """Return top row and left column of each crop, given its picture's sides."""
        # The remainder of 64 bits is as good as uniform.
        return (self.random_bits % (sides - size + 1).astype(np.uint64)).astype(
            np.int64
        )


class DrawCrops(grain.transforms.Map):
    """Draw the crops of a batch, from its number and the seed alone."""

    def __init__(self, records: int, batch_size: int, seed: int):
        self._records = records
        self._batch_size = batch_size
        self._seed = seed

    def map(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, element: int
    ) -> CropDraws:
        """Return the draws of the batch with a number."""
        first, count = element * self._batch_size, self._batch_size
        epochs, positions = np.divmod(np.arange(first, first + count), self._records)
        records = np.empty(count, np.int64)
        for epoch in range(epochs[0], epochs[-1] + 1):
            in_epoch = epochs == epoch
            records[in_epoch] = _order(self._records, self._seed, epoch)[
                positions[in_epoch]
            ]
        bits = np.random.Philox(key=self._seed, counter=first)
        # Each count of the counter gives four numbers of 64 bits.
        return CropDraws(records, bits.random_raw(4 * count).reshape(-1, 4)[:, :2])


@functools.lru_cache(maxsize=4)
def _order(records: int, seed: int, epoch: int) -> Int64[np.ndarray, " n"]:
    """Return the order of the records in an epoch."""
    # The key's first half is the seed; with a zero in the other, it draws the bits.
    bits = np.random.Philox(key=seed + ((epoch + 1) << 64))
    return np.random.Generator(bits).permutation(records)


class Conditioned(NamedTuple):
    """A batch of crops or of their corners, each with its picture's condition.

    Args:
        crops: as without conditions.
        condition: `Float32[np.ndarray, "b c"]`.
    """

    crops: Any
    condition: Any


class HostCrops(grain.transforms.Map):
    """Read the record of each draw, and cut its crop."""

    def __init__(self, source: Sequence[dict[str, Any]], size: int):
        self._source = source
        self._size = size

    def map(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, element: CropDraws
    ) -> UInt8[np.ndarray, "b h w 3"]:
        """Return crops as pixels."""
        size = self._size
        pictures = [
            self._source[index]["pixels"] for index in element.record_indices.tolist()
        ]
        sides = np.array([picture.shape[:2] for picture in pictures])
        corners = element.corners(sides, size).tolist()
        crops = np.empty((len(pictures), size, size, 3), np.uint8)
        for crop, picture, (top, left) in zip(crops, pictures, corners, strict=True):
            crop[:] = picture[top : top + size, left : left + size]
        return crops


class AtlasCorners(grain.transforms.Map):
    """Look up where in an atlas the crop of each draw is."""

    def __init__(self, atlas: Atlas, size: int):
        # Not the pixels, which would be copied to each worker.
        self._rectangles = np.asarray(atlas.rectangles)
        self._size = size

    def map(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, element: CropDraws
    ) -> Int32[np.ndarray, "b 2"]:
        """Return the first row and the first pixel of that row for each crop."""
        rectangles = self._rectangles[element.record_indices]
        corners = element.corners(rectangles[:, 2:].astype(np.int64), self._size)
        return (rectangles[:, :2] + corners).astype(np.int32)


class WithConditions(grain.transforms.Map):
    """Do what another map does, and look up the condition of each draw's picture."""

    def __init__(
        self, inner: HostCrops | AtlasCorners, conditions: Float32[np.ndarray, "n c"]
    ):
        self._inner = inner
        self._conditions = conditions

    def map(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, element: CropDraws
    ) -> Conditioned:
        """Return both."""
        condition = self._conditions[element.record_indices]
        return Conditioned(self._inner.map(element), condition)


def batches(
    source: Sequence[dict[str, Any]] | Atlas,
    *,
    size: int,
    batch_size: int,
    seed: int,
    conditions: Float32[np.ndarray, "n c"] | None = None,
    workers: int = 0,
    process: int = 0,
    processes: int = 1,
    first: int = 0,
) -> grain.DatasetIterator:
    """Return an endless iterator of batches.

    Each epoch has a new order. A batch may end one epoch and begin the next.

    Args:
        source: records with `pixels`, both sides at least `size`, of which batches of
            crops are cut, `UInt8[np.ndarray, "b h w 3"]`; or an atlas of them, for
            which batches are the corners of the same crops, `Int32[np.ndarray, "b 2"]`,
            to be cut by `atlas.crops`.
        size: side of the crops, in pixels.
        batch_size: pictures of a batch, over all processes.
        seed: of the order and of the crops.
        conditions: of each record, with which a batch is `Conditioned`; or None.
        workers: processes that work ahead; with 0, a thread of this one does.
        process: index of this process among those that share the batch.
        processes: how many these are.
        first: number of the batch to begin with.

    Raises:
        ValueError: the processes cannot share the batch equally, or there is no
            picture.
    """
    if batch_size % processes:
        raise ValueError(
            f"batch_size must be a multiple of the {processes} processes; "
            f"got {batch_size}"
        )
    in_atlas = isinstance(source, Atlas)
    count = len(source.rectangles) if in_atlas else len(source)
    if not count:
        raise ValueError("there must be a picture; got none")
    load = AtlasCorners(source, size) if in_atlas else HostCrops(source, size)
    if conditions is not None:
        load = WithConditions(load, conditions)
    dataset = (
        grain.MapDataset.range(first * processes + process, ENDLESS, processes)
        .map(DrawCrops(count, batch_size // processes, seed))
        .map(load)
        .to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=4))
    )
    if workers:
        dataset = dataset.mp_prefetch(
            grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=4),
            worker_init_fn=_ignore_ctrl_c,
        )
    return iter(dataset)


def batches_shape(
    source: Sequence[dict[str, Any]] | Atlas,
    shape: tuple[int, ...],
    size: int,
    condition_size: int = 0,
) -> PyTree[jax.ShapeDtypeStruct]:
    """Return shapes and types of stacked batches: of so many batches of so many crops.

    With a `condition_size`, they are those of batches with conditions.
    """
    if isinstance(source, Atlas):
        crops = jax.ShapeDtypeStruct((*shape, 2), np.int32)
    else:
        crops = jax.ShapeDtypeStruct((*shape, size, size, 3), np.uint8)
    if not condition_size:
        return crops
    return Conditioned(
        crops, jax.ShapeDtypeStruct((*shape, condition_size), np.float32)
    )


def crops(
    source: Sequence[dict[str, Any]], *, size: int, count: int, seed: int
) -> UInt8[np.ndarray, "n h w 3"]:
    """Return the first `count` crops in the order of `seed`, the same for every count.

    Raises:
        ValueError: there is no picture.
    """
    pixels = np.empty((count, size, size, 3), np.uint8)
    batch_size = min(count, CROPS)
    with (
        closing(batches(source, size=size, batch_size=batch_size, seed=seed)) as parts,
        tqdm(total=count, desc="crops", unit="picture", leave=False) as bar,
    ):
        for first in range(0, count, batch_size):
            part = pixels[first : first + batch_size]
            part[:] = next(parts)[: len(part)]
            bar.update(len(part))
    return pixels


def _ignore_ctrl_c(worker: int, workers: int) -> None:
    """Ctrl-C reaches every process of a terminal; only the parent may act on it."""
    del worker, workers
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["JAX_PLATFORMS"] = "cpu"
