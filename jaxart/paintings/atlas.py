"""All pictures of a dataset in one array in device memory, from which crops are cut.

Pictures of all sides stand side by side in rows, sorted by height so that little is
lost above them: all of them are one array, and a crop is a rectangle of it. The paper's
203,274 pictures take some 1,650,000 rows of 6,144 bytes: no index comes near 2³¹,
although the array has 10¹⁰ elements. A row holds the three channels of a pixel side by
side, and not in an axis of their own, because accelerators pad the last axis of an
array to as many as 128.

The host says where each crop is (`pipeline.batches`), which is eight bytes a crop; the
device cuts it inside the compiled step.
"""

import mmap
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Int, Int32, UInt8
from tqdm import tqdm


ROW = 2048  # pixels of a row, if no picture is wider
SAMPLED = 256  # records by which the bytes of a dataset are estimated


class Atlas(NamedTuple):
    """A dataset as one array."""

    # All pictures, each in a rectangle of its own; three bytes a pixel.
    pixels: UInt8[Array, "r c"] | UInt8[np.ndarray, "r c"]
    # Of each picture its first row, first pixel, height and width.
    rectangles: Int32[np.ndarray, "n 4"]


def pack(
    sides: Int[np.ndarray, "n 2"],
) -> tuple[Int32[np.ndarray, "n 4"], tuple[int, int]]:
    """Return the rectangle of each picture, and the shape of the atlas in bytes.

    >>> rectangles, shape = pack(np.array([[2, 1500], [3, 700], [2, 400]]))
    >>> rectangles.tolist(), shape
    ([[3, 0, 2, 1500], [0, 0, 3, 700], [0, 700, 2, 400]], (5, 6144))

    Args:
        sides: height and width of each picture, in pixels; at least one picture.
    """
    row = max(ROW, int(sides[:, 1].max()))
    rectangles = np.empty((len(sides), 4), np.int32)
    top = left = 0
    tallest_first = np.argsort(-sides[:, 0], kind="stable")
    bottom = int(sides[tallest_first[0], 0])
    for index in tallest_first:
        height, width = sides[index].tolist()
        if left + width > row:
            top, bottom, left = bottom, bottom + height, 0
        rectangles[index] = top, left, height, width
        left += width
    return rectangles, (bottom, 3 * row)


def load(source: Sequence[dict[str, Any]]) -> Atlas:
    """Read all pictures of a dataset, twice: their sides first, then their pixels."""
    sides = np.array([pixels.shape[:2] for pixels in _read(source, "sizes")])
    rectangles, shape = pack(sides)
    # Whole pages of memory: where the device is the CPU, JAX takes them as they are.
    pages = mmap.mmap(-1, shape[0] * shape[1])
    atlas = np.frombuffer(pages, np.uint8).reshape(shape)
    for (top, left, height, width), pixels in zip(
        rectangles.tolist(), _read(source, "pictures"), strict=True
    ):
        rows = atlas[top : top + height, 3 * left : 3 * (left + width)]
        rows[:] = pixels.reshape(height, 3 * width)
    return Atlas(atlas, rectangles)


def estimate_bytes(source: Sequence[dict[str, Any]]) -> int:
    """Return about how many bytes a dataset takes, by a sample of it."""
    count = min(len(source), SAMPLED)
    sample = np.linspace(0, len(source) - 1, count).astype(int)
    nbytes = sum(source[int(index)]["pixels"].nbytes for index in sample)
    return nbytes * len(source) // count


def crops(
    pixels: UInt8[Array, "r c"], corners: Int32[Array, "b 2"], size: int
) -> UInt8[Array, "b h w 3"]:
    """Return crops of `size` by `size` of an atlas, given their first row and pixel."""

    def crop(corner: Int32[Array, "2"]) -> UInt8[Array, "h w 3"]:
        start = corner[0], 3 * corner[1]
        rows = jax.lax.dynamic_slice(pixels, start, (size, 3 * size))
        return rows.reshape(size, size, 3)

    return jax.vmap(crop)(corners)


def crop_batch(
    pixels: UInt8[Array, "r c"] | None,
    batch: Array | tuple[Array, Float[Array, "b c"]],
    size: int,
) -> UInt8[Array, "b h w 3"] | tuple[UInt8[Array, "b h w 3"], Float[Array, "b c"]]:
    """Cut a batch's crops from the atlas; conditions stay beside them.

    Where the host cut them already, without an atlas, return the batch.
    """
    if isinstance(batch, tuple):
        corners, condition = batch
        cut = corners if pixels is None else crops(pixels, corners, size)
        return cut, condition
    return batch if pixels is None else crops(pixels, batch, size)


def _read(
    source: Sequence[dict[str, Any]], title: str
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Yield the pixels of all records."""
    for index in tqdm(range(len(source)), desc=title, unit="picture", leave=False):
        yield source[index]["pixels"]
