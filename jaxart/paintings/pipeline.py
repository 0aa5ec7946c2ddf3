"""Training batches: shuffle, crop, batch, shard; the only file that knows Grain.

A batch is a pure function of its number: the order of the pictures comes from the seed
and the epoch, and where each is cut from a counter, its place in that endless order. So
a run that resumes names its next batch and sees the very crops it would have seen, and
processes that share a batch, however many, cut the very crops that one would have cut.

Pixels travel as bytes; they become numbers on the device, which is four times less to
copy. Grain sees the numbers of records alone: each of its stages costs some
microseconds a picture, and a stage of random numbers ten.

Source: Beyers and Loane, section 3.1: a random 64 by 64 patch of each picture, another
one each time; Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011, for
the counter.
"""

import os
import signal
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import grain
import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm


CROPS = 100  # read at a time where no batch size is given, if as many are wanted


class RandomCrops(grain.transforms.MapWithIndex):
    """Cut a square out of each picture of a batch, anywhere with equal probability.

    Args:
        source: as in `batches`.
        size: side of the squares, in pixels.
        seed: of the places.
    """

    def __init__(self, source: Sequence[dict[str, Any]], size: int, seed: int):
        self._source = source
        self._size = size
        self._seed = seed

    def map_with_index(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, index: int, element: Sequence[int]
    ) -> UInt8[np.ndarray, "b h w 3"]:
        """Return crops of the records with these numbers.

        Args:
            index: number of the batch, all of which have equally many pictures.
            element: numbers of the records.
        """
        size = self._size
        crops = np.empty((len(element), size, size, 3), np.uint8)
        counter = np.random.Philox(key=self._seed, counter=index * len(element))
        # Each count of the counter gives four numbers of 64 bits.
        bits = counter.random_raw(4 * len(element)).reshape(-1, 4)[:, :2].tolist()
        for crop, number, (row, column) in zip(crops, element, bits, strict=True):
            pixels = self._source[number]["pixels"]
            height, width, _ = pixels.shape
            # The remainder of 64 bits is as good as uniform.
            top, left = row % (height - size + 1), column % (width - size + 1)
            crop[:] = pixels[top : top + size, left : left + size]
        return crops


def batches(
    source: Sequence[dict[str, Any]],
    *,
    size: int,
    batch_size: int,
    seed: int,
    workers: int = 0,
    process: int = 0,
    processes: int = 1,
    first: int = 0,
) -> grain.DatasetIterator:
    """Return an endless iterator of batches, `UInt8[np.ndarray, "b h w 3"]`.

    Each epoch has a new order. A batch may end one epoch and begin the next.

    Args:
        source: records with `pixels`, both sides at least `size`.
        size: side of the crops, in pixels.
        batch_size: pictures of a batch, over all processes.
        seed: of the order and of the crops.
        workers: processes that read ahead; with 0, threads of this one do.
        process: number of this process among those that share the batch.
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
    if not len(source):
        raise ValueError("there must be a picture; got none")
    if workers < 0:
        raise ValueError(f"workers must not be negative; got {workers}")
    dataset = (
        grain.MapDataset.range(len(source))
        .seed(seed)
        .shuffle()
        .repeat(None, reseed_each_epoch=True)
        .batch(batch_size // processes, drop_remainder=True, batch_fn=list)
        .map_with_index(RandomCrops(source, size, seed))[
            first * processes + process :: processes
        ]
        .to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=4))
    )
    if workers:
        dataset = dataset.mp_prefetch(
            grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=4),
            worker_init_fn=_leave_signals_to_the_parent,
        )
    return iter(dataset)


def crops(
    source: Sequence[dict[str, Any]], *, size: int, count: int, seed: int
) -> UInt8[np.ndarray, "n h w 3"]:
    """Return the first `count` crops of the order of `seed`: every picture in its turn.

    Args:
        source: as in `batches`.
        size: side of the crops, in pixels.
        count: how many, at least 1; the first of them are the same for every count.
        seed: of the order and of the crops.

    Raises:
        ValueError: there is no picture.
    """
    found = np.empty((count, size, size, 3), np.uint8)
    at_once = min(count, CROPS)
    with (
        closing(batches(source, size=size, batch_size=at_once, seed=seed)) as parts,
        tqdm(total=count, desc="crops", unit="picture", leave=False) as bar,
    ):
        for first in range(0, count, at_once):
            part = found[first : first + at_once]
            part[:] = next(parts)[: len(part)]
            bar.update(len(part))
    return found


def _leave_signals_to_the_parent(worker: int, workers: int) -> None:
    """Ctrl-C reaches every process of a terminal; only the parent may act on it."""
    del worker, workers
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["JAX_PLATFORMS"] = "cpu"
