"""Batches cut on the device: whose turn it is, where it is cut, and that it fits."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxart import images
from jaxart.paintings import resident


KEY = jax.random.key(3)
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


@pytest.fixture(scope="module")
def data() -> resident.Resident:
    return jax.device_put(resident.load(pictures(20)))


@pytest.fixture(scope="module")
def batch(data: resident.Resident):
    """Return the batch of a key and a step, compiled."""
    return jax.jit(partial(resident.batch, data, size=32, batch_size=8))


def whose_turn(steps: range, *, count: int, of: int) -> np.ndarray:
    take = jax.jit(lambda step: resident.visited(KEY, step, count, of))
    turns = [np.asarray(take(np.int32(step))) for step in steps]
    return np.concatenate(turns).astype(int)


def uniform(counts: np.ndarray) -> bool:
    return stats.chisquare(counts).pvalue > 1e-3


def sides_of_paintings(count: int) -> np.ndarray:
    """Sides as `prepare` leaves them, of pictures up to eight times as long as wide."""
    rng = np.random.default_rng(0)
    ratios = np.exp(rng.uniform(-2.1, 2.1, 1000) * rng.uniform(0, 1, 1000))
    sides = [images.smallest_sides(2000, round(2000 * ratio)) for ratio in ratios]
    return np.resize(np.array(sides), (count, 2))


def test_pictures_lie_on_the_shelves_without_overlap_and_without_much_loss():
    sides = sides_of_paintings(3000)
    sides[7] = 70, 3000  # wider than a shelf usually is
    places, (rows, row_length) = resident.arranged(sides)
    taken = np.zeros((rows, row_length // 3), np.uint8)
    for top, left, height, width in places:
        taken[top : top + height, left : left + width] += 1
    np.testing.assert_array_equal(places[:, 2:], sides)
    assert taken.sum(dtype=int) == sides.prod(axis=1).sum()
    assert taken.max() == 1
    assert taken.mean() > 0.9


def test_every_crop_is_a_part_of_the_picture_it_says(batch):
    for step in range(10):
        crops = np.asarray(batch(KEY, step=np.int32(step)))
        assert crops.shape == (8, 32, 32, 3)
        for crop in crops:
            number, top, left = crop[0, 0].tolist()
            part = picture(number)[top : top + 32, left : left + 32]
            np.testing.assert_array_equal(crop, part)


def test_the_pictures_of_the_batches_are_those_whose_turn_it_is(batch):
    numbers = [np.asarray(batch(KEY, step=np.int32(s)))[:, 0, 0, 0] for s in range(5)]
    epochs = np.concatenate(numbers).reshape(2, 20)
    for epoch in epochs:
        assert sorted(epoch) == list(range(20))


@pytest.mark.parametrize(("of", "count"), [(1, 4), (3, 8), (20, 7), (391, 128)])
def test_an_epoch_visits_every_picture_once(of: int, count: int):
    order = whose_turn(range(3 * of), count=count, of=of).reshape(-1, of)
    assert (np.sort(order, axis=1) == np.arange(of)).all()


def test_every_order_of_an_epoch_is_as_likely_as_any_other():
    orders = whose_turn(range(1), count=4 * 6000, of=4).reshape(-1, 4)
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(counts) == 24
    assert uniform(counts)


def test_every_place_of_an_epoch_and_every_neighbour_is_as_likely_as_any_other():
    orders = whose_turn(range(1), count=50 * 2000, of=50).reshape(-1, 50)
    for place in (0, 1, 24, 49):
        assert uniform(np.bincount(orders[:, place], minlength=50))
    neighbours = np.diff(orders, axis=1) % 50
    assert uniform(np.bincount(neighbours.ravel())[1:])
    epoch_later = np.diff(orders, axis=0) % 50
    assert uniform(np.bincount(epoch_later.ravel()))


def test_the_order_is_right_up_to_the_last_step_that_is_a_number():
    last = (INT32 - 1) // 5 * 5  # 20 pictures take 5 steps of 4
    order = whose_turn(range(last - 10, last), count=4, of=20).reshape(2, 20)
    assert (np.sort(order, axis=1) == np.arange(20)).all()
    assert (order[0] != order[1]).any()


def test_crops_fall_everywhere_with_equal_probability():
    data = resident.load(pictures(1))
    cut = jax.jit(partial(resident.batch, size=32, batch_size=9 * 19 * 40))
    crops = cut(data, KEY, jnp.int32(0))
    tops, lefts = np.asarray(crops)[:, 0, 0, 1:].T
    counts = np.zeros((9, 19), int)
    np.add.at(counts, (tops, lefts), 1)
    assert counts.sum() == 9 * 19 * 40
    assert uniform(counts.ravel())


def test_a_batch_depends_on_key_and_step_alone(data, batch):
    steps = jnp.arange(3)
    one_by_one = [batch(KEY, step=step) for step in steps]

    def scanned(key):
        def body(_, step):
            return None, resident.batch(data, key, step, size=32, batch_size=8)

        return jax.lax.scan(body, None, steps)[1]

    together = jax.jit(scanned)(KEY)
    np.testing.assert_array_equal(together, one_by_one)
    assert not np.array_equal(one_by_one[0], one_by_one[1])
    assert not np.array_equal(one_by_one[0], batch(jax.random.key(4), step=steps[0]))


def test_many_seeds_at_once_get_what_each_gets_alone(batch):
    keys = jax.random.split(KEY, 3)
    together = jax.vmap(lambda key: batch(key, step=jnp.int32(5)))(keys)
    alone = [batch(key, step=jnp.int32(5)) for key in keys]
    np.testing.assert_array_equal(together, alone)


def test_a_dataset_of_more_than_int32_bytes_is_cut_where_it_should(tmp_path: Path):
    rows, row_length = 400_000, 6144
    assert rows * row_length > INT32
    file = tmp_path / "holes"  # all of it, until a page is written
    shelves = np.memmap(file, np.uint8, "w+", shape=(rows, row_length))
    painted = picture(5)
    height, width, _ = painted.shape
    place = rows - height, 2048 - width, height, width
    shelves[place[0] :, 3 * place[1] :] = painted.reshape(height, 3 * width)
    data = resident.Resident(shelves, np.array([place], np.int32))
    cut = jax.jit(partial(resident.batch, size=32, batch_size=4))
    crops = cut(data, KEY, jnp.int32(0))
    for crop in np.asarray(crops):
        number, top, left = crop[0, 0].tolist()
        assert number == 5
        part = painted[top : top + 32, left : left + 32]
        np.testing.assert_array_equal(crop, part)


def test_no_index_of_the_papers_collection_comes_near_int32():
    sides = sides_of_paintings(203_274)
    places, shape = resident.arranged(sides)
    rows, row_length = shape
    assert 9.9e9 < rows * row_length < 11.5e9
    assert max(shape) < INT32 // 1000
    assert (places[:, 0] + places[:, 2]).max() == rows
    assert 3 * (places[:, 1] + places[:, 3]).max() <= row_length
    data = resident.Resident(
        jax.ShapeDtypeStruct(shape, jnp.uint8),  # pyright: ignore[reportArgumentType]
        jax.ShapeDtypeStruct(places.shape, jnp.int32),  # pyright: ignore[reportArgumentType]
    )
    crops = partial(resident.batch, size=64, batch_size=128)
    step = jax.ShapeDtypeStruct((), jnp.int32)
    program = jax.jit(crops).lower(data, KEY, step).compile()
    memory: Any = program.memory_analysis()
    assert memory.argument_size_in_bytes > rows * row_length
    assert memory.temp_size_in_bytes < 2**24


def test_the_size_of_a_dataset_is_guessed_from_a_sample():
    source = pictures(40)
    assert resident.size(source) == sum(one["pixels"].nbytes for one in source)
    many = source * 30
    assert resident.size(many) == pytest.approx(30 * resident.size(source), rel=0.02)
