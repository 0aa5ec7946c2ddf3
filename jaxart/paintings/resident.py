"""The whole dataset in device memory, and batches cut from it inside the compiled step.

A batch is a pure function of the seed and the number of the step: which pictures are
its turn, and where each is cut, is computed on the device. There is no iterator whose
state a checkpoint must hold, and the host has nothing to do.

Pictures of all shapes stand on shelves, side by side, sorted by height so that little
is lost above them: all of them are one array of rows, and a crop is a rectangle of it.
A place is a row and a byte of that row. The paper's 203,274 pictures take some
1,650,000 rows of 6,144 bytes: no number comes near 2³¹, although the array has 10¹⁰
elements. Rows hold the three channels of a pixel side by side, and not in an axis of
their own, because accelerators pad the last axis of an array to as many as 128.

Each epoch visits every picture once, in the order of a keyed shuffle that is computed
for the places of a batch alone. In each of its rounds the places, as if laid on a ring,
are paired by a reflection at a random point, and each pair is swapped or not by a
random bit. One round takes a picture to a random place with probability 1/2, and parts
two pictures with probability 1/2.

Source: Hoang, Morris and Rogaway, "An Enciphering Scheme Based on a Card Shuffle", 2012
(the swap-or-not shuffle); Beyers and Loane, section 3.1, for the crops.
Deviation: the bits come from a mixing function of 32 bits and not from a cipher, and
there are 32 rounds: enough for training, not for secrets.
"""

import mmap
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Int32, Key, UInt8, UInt32
from tqdm import tqdm


SHELF = 2048  # pixels of a row, if no picture is wider
ROUNDS = 32  # of the shuffle
DRAWS = 2**32 - 1  # folded into a run's key; no step is, for these are below 2³¹
SAMPLED = 256  # records by which the size of a dataset is guessed


class Resident(NamedTuple):
    """A dataset in memory.

    Args:
        shelves: all pictures, each in a rectangle of its own; three bytes a pixel.
        places: of each picture its first row, first pixel, height and width.
    """

    shelves: UInt8[Array, "r c"] | UInt8[np.ndarray, "r c"]
    places: Int32[Array, "n 4"] | Int32[np.ndarray, "n 4"]


def arranged(
    sides: Int[np.ndarray, "n 2"],
) -> tuple[Int32[np.ndarray, "n 4"], tuple[int, int]]:
    """Return the place of each picture, and the shape of the shelves in bytes.

    >>> places, shape = arranged(np.array([[2, 1500], [3, 700], [2, 400]]))
    >>> places.tolist(), shape
    ([[3, 0, 2, 1500], [0, 0, 3, 700], [0, 700, 2, 400]], (5, 6144))

    Args:
        sides: height and width of each picture, in pixels; at least one picture.
    """
    width = max(SHELF, int(sides[:, 1].max()))
    places = np.empty((len(sides), 4), np.int32)
    top = column = 0
    tallest_first = np.argsort(-sides[:, 0], kind="stable")
    bottom = int(sides[tallest_first[0], 0])
    for number in tallest_first:
        high, wide = sides[number].tolist()
        if column + wide > width:
            top, bottom, column = bottom, bottom + high, 0
        places[number] = top, column, high, wide
        column += wide
    return places, (bottom, 3 * width)


def load(source: Sequence[dict[str, Any]]) -> Resident:
    """Read all pictures of a dataset, twice: their sides first, then their pixels.

    Args:
        source: records with `pixels`, at least one.
    """
    sides = np.array([pixels.shape[:2] for pixels in _read(source, "sizes")])
    places, shape = arranged(sides)
    # Whole pages of memory: where the device is the CPU, JAX takes them as they are.
    pages = mmap.mmap(-1, shape[0] * shape[1])
    shelves = np.frombuffer(pages, np.uint8).reshape(shape)
    for (top, left, high, wide), pixels in zip(
        places.tolist(), _read(source, "pictures"), strict=True
    ):
        rows = shelves[top : top + high, 3 * left : 3 * (left + wide)]
        rows[:] = pixels.reshape(high, 3 * wide)
    return Resident(shelves, places)


def size(source: Sequence[dict[str, Any]]) -> int:
    """Return about how many bytes a dataset takes, by a sample of it."""
    count = min(len(source), SAMPLED)
    sample = np.linspace(0, len(source) - 1, count).astype(int)
    nbytes = sum(source[int(number)]["pixels"].nbytes for number in sample)
    return nbytes * len(source) // count


def batch(
    data: Resident,
    key: Key[Array, ""],
    step: Int[Array, ""],
    *,
    size: int,
    batch_size: int,
    axis: str | None = None,
) -> UInt8[Array, "b h w 3"]:
    """Return the crops of a step.

    Args:
        data: the dataset, both sides of its pictures at least `size`.
        key: of the run.
        step: number of the step, from 0.
        size: side of the crops, in pixels.
        batch_size: pictures of a step, over all devices.
        axis: name of the mapped axis over devices, if each is to cut its part only.

    Raises:
        ValueError: as in `visited`.
    """
    order, corners = jax.random.split(jax.random.fold_in(key, DRAWS))
    numbers = visited(order, step, batch_size, len(data.places))
    top, left, high, wide = data.places[numbers].T
    room = jnp.stack([high, wide], 1) - (size - 1)
    bits = jax.random.bits(jax.random.fold_in(corners, step), room.shape)
    # The remainder of 32 bits is uniform to one in millions.
    moved = (bits % room.astype(jnp.uint32)).astype(jnp.int32)
    starts = jnp.stack([top, left], 1) + moved
    if axis is not None:
        share = batch_size // jax.lax.axis_size(axis)
        first = jax.lax.axis_index(axis) * share
        starts = jax.lax.dynamic_slice_in_dim(starts, first, share)

    def cut(start: Int32[Array, "2"]) -> UInt8[Array, "h w 3"]:
        corner = start[0], 3 * start[1]
        rows = jax.lax.dynamic_slice(data.shelves, corner, (size, 3 * size))
        return rows.reshape(size, size, 3)

    return jax.vmap(cut)(starts)


def countable(pictures: int, count: int) -> bool:
    """Return whether `visited` can count so many pictures, so many at a step."""
    return pictures * count < 2**32


def visited(
    key: Key[Array, ""], step: Int[Array, ""], count: int, pictures: int
) -> UInt32[Array, " b"]:
    """Return whose turn it is: every picture once in an epoch, in an order of its own.

    A batch may end one epoch and begin the next.

    Args:
        key: of the orders.
        step: number of the step, from 0.
        count: pictures of a step.
        pictures: how many there are.

    Raises:
        ValueError: `pictures` times `count` is 2³² or more.
    """
    if not countable(pictures, count):
        raise ValueError(
            f"pictures times batch_size must be below 2**32 with data.on_device; got "
            f"{pictures} times {count}"
        )
    # Whole epochs first, so that nothing overflows.
    rounds, rest = jnp.divmod(step.astype(jnp.uint32), jnp.uint32(pictures))
    turns = rest * count + jnp.arange(count, dtype=jnp.uint32)
    epochs, places = jnp.divmod(turns, jnp.uint32(pictures))
    first = rounds * count + epochs[0]
    touched = first + jnp.arange((count - 1) // pictures + 2, dtype=jnp.uint32)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, touched)
    bits = jax.vmap(lambda key: jax.random.bits(key, (ROUNDS, 2)))(keys)
    mirrors, salts = bits[..., 0] % pictures, bits[..., 1]
    epochs -= epochs[0]

    def shuffle(number: Int[Array, ""], places: UInt32[Array, " b"]):
        mirror = mirrors[epochs, number]
        partners = jnp.where(places > mirror, mirror + pictures, mirror) - places
        # Both of a pair ask for the same bit.
        pairs = jnp.maximum(places, partners) ^ salts[epochs, number]
        return jnp.where(_mixed(pairs) >> 31 == 1, partners, places)

    # Unrolled by part: a kernel for each round costs more than its arithmetic, and all
    # of them as one take a second longer to compile; by eight, LLVM did not come to an
    # end with batches of four.
    return jax.lax.fori_loop(0, ROUNDS, shuffle, places, unroll=4)


def _mixed(bits: UInt32[Array, " b"]) -> UInt32[Array, " b"]:
    """Mix the bits of numbers so that each one changes all, as MurmurHash3 ends."""
    bits = (bits ^ (bits >> 16)) * jnp.uint32(0x85EBCA6B)
    bits = (bits ^ (bits >> 13)) * jnp.uint32(0xC2B2AE35)
    return bits ^ (bits >> 16)


def _read(
    source: Sequence[dict[str, Any]], what: str
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Yield the pixels of all records."""
    for number in tqdm(range(len(source)), desc=what, unit="picture", leave=False):
        yield source[number]["pixels"]
