"""All pictures in one array: packed without overlap, and cut where a corner says."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxart import images
from jaxart.paintings import atlas


INT32 = 2**31


def pictures(count: int) -> list[dict[str, Any]]:
    """Pictures of different sides; red tells which, green and blue tell where."""
    return [{"pixels": picture(number)} for number in range(count)]


def picture(number: int) -> np.ndarray:
    height, width = 40 + number % 7, 50 - number % 5
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[..., 0] = number
    pixels[..., 1] = np.arange(height)[:, None]
    pixels[..., 2] = np.arange(width)
    return pixels


def sides_of_paintings(count: int) -> np.ndarray:
    """Sides as `prepare` leaves them, of pictures up to eight times as long as wide."""
    rng = np.random.default_rng(0)
    ratios = np.exp(rng.uniform(-2.1, 2.1, 1000) * rng.uniform(0, 1, 1000))
    sides = [images.smallest_sides(2000, round(2000 * ratio)) for ratio in ratios]
    return np.resize(np.array(sides), (count, 2))


def test_pictures_are_packed_without_overlap_and_without_much_loss():
    sides = sides_of_paintings(3000)
    sides[7] = 70, 3000  # wider than a row usually is
    rectangles, (rows, row_length) = atlas.pack(sides)
    taken = np.zeros((rows, row_length // 3), np.uint8)
    for top, left, height, width in rectangles:
        taken[top : top + height, left : left + width] += 1
    np.testing.assert_array_equal(rectangles[:, 2:], sides)
    assert taken.sum(dtype=int) == sides.prod(axis=1).sum()
    assert taken.max() == 1
    assert taken.mean() > 0.9


def test_a_crop_is_cut_where_its_corner_says():
    packed = atlas.load(pictures(20))
    tops, lefts, _, _ = packed.rectangles.T
    corners = np.stack([tops + 3, lefts + 5], axis=1)
    crops = jax.jit(partial(atlas.crops, size=32))(packed.pixels, corners)
    expected = [picture(number)[3:35, 5:37] for number in range(20)]
    np.testing.assert_array_equal(crops, expected)


def test_a_dataset_of_more_than_int32_bytes_is_cut_where_it_should(tmp_path: Path):
    rows, row_length = 400_000, 6144
    assert rows * row_length > INT32
    file = tmp_path / "holes"  # all of it, until a page is written
    pixels = np.memmap(file, np.uint8, "w+", shape=(rows, row_length))
    last = picture(5)
    height, width, _ = last.shape
    top, left = rows - height, 2048 - width
    pixels[top:, 3 * left :] = last.reshape(height, 3 * width)
    corners = np.array([[top, left], [top + 8, left + 9]], np.int32)
    crops = jax.jit(partial(atlas.crops, size=32))(pixels, corners)
    np.testing.assert_array_equal(crops, [last[:32, :32], last[8:40, 9:41]])


def test_no_index_of_the_papers_collection_comes_near_int32():
    sides = sides_of_paintings(203_274)
    rectangles, shape = atlas.pack(sides)
    rows, row_length = shape
    assert 9.9e9 < rows * row_length < 11.5e9
    assert max(shape) < INT32 // 1000
    assert (rectangles[:, 0] + rectangles[:, 2]).max() == rows
    assert 3 * (rectangles[:, 1] + rectangles[:, 3]).max() <= row_length
    program = (
        jax.jit(partial(atlas.crops, size=64))
        .lower(
            jax.ShapeDtypeStruct(shape, jnp.uint8),
            jax.ShapeDtypeStruct((128, 2), jnp.int32),
        )
        .compile()
    )
    memory: Any = program.memory_analysis()
    assert memory.argument_size_in_bytes > rows * row_length
    assert memory.temp_size_in_bytes < 2**24


def test_the_bytes_of_a_dataset_are_estimated_from_a_sample():
    source = pictures(40)
    exact = sum(record["pixels"].nbytes for record in source)
    assert atlas.estimate_bytes(source) == exact
    assert atlas.estimate_bytes(source * 30) == pytest.approx(30 * exact, rel=0.02)
