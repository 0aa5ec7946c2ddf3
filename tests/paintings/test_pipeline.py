import itertools
from contextlib import closing
from functools import partial
from typing import Any

import jax
import numpy as np
import pytest

from jaxart.paintings import atlas, pipeline


def pictures(count: int) -> list[dict[str, Any]]:
    """Pictures of different sizes; red tells which, green and blue tell where."""
    return [{"pixels": picture(number)} for number in range(count)]


def picture(number: int) -> np.ndarray:
    height, width = 64 + number % 7, 70 - number % 5
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[..., 0] = number
    pixels[..., 1] = np.arange(height)[:, None]
    pixels[..., 2] = np.arange(width)
    return pixels


def taken(count: int, of: int = 20, **settings: Any) -> list[np.ndarray]:
    settings = {"size": 32, "batch_size": 4, "seed": 3, **settings}
    with closing(pipeline.batches(pictures(of), **settings)) as batches:
        return list(itertools.islice(batches, count))


def which(batches: list[np.ndarray]) -> list[int]:
    """Numbers of the pictures that were cut, in order."""
    return np.concatenate(batches)[:, 0, 0, 0].tolist()


def test_a_batch_holds_whole_crops_as_bytes():
    for batch in taken(20):
        assert batch.shape == (4, 32, 32, 3)
        assert batch.dtype == np.uint8
        for crop in batch:
            assert (np.diff(crop[..., 1].astype(int), axis=0) == 1).all()
            assert (np.diff(crop[..., 2].astype(int), axis=1) == 1).all()
            assert np.ptp(crop[..., 0]) == 0


def test_an_epoch_shows_every_picture_once_and_the_next_in_another_order():
    order = which(taken(10))
    first, second = order[:20], order[20:]
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second
    assert first != list(range(20))


def test_crops_fall_everywhere_and_differ_from_epoch_to_epoch():
    crops = np.concatenate(taken(300, of=1))
    tops = crops[:, 0, 0, 1]
    # One picture of 64 rows has 33 places for a crop of 32.
    assert set(tops.tolist()) == set(range(33))


def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not():
    np.testing.assert_array_equal(taken(7), taken(7))
    assert not np.array_equal(taken(7), taken(7, seed=4))


def test_orders_and_corners_are_those_of_counters():
    epochs = (np.random.Philox(key=3 + ((epoch + 1) << 64)) for epoch in range(3))
    order = [np.random.Generator(epoch).permutation(20) for epoch in epochs]
    expected = []
    for index, number in enumerate(np.concatenate(order)[:48].tolist()):
        pixels = picture(number)
        bits = np.random.Philox(key=3).advance(index).random_raw(2)
        top, left = (bits % np.subtract(pixels.shape[:2], 31).astype("u8")).tolist()
        expected.append(pixels[top : top + 32, left : left + 32])
    np.testing.assert_array_equal(np.concatenate(taken(12)), expected)


@pytest.mark.parametrize("batch_size", [1, 8, 12, 48])
def test_the_size_of_the_batches_changes_no_crop(batch_size: int):
    other = np.concatenate(taken(48 // batch_size, batch_size=batch_size))
    np.testing.assert_array_equal(other, np.concatenate(taken(12)))


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_cut_together_what_one_would_have_cut(processes: int):
    parts = [
        taken(12, batch_size=8, process=process, processes=processes)
        for process in range(processes)
    ]
    whole = [np.concatenate(shares) for shares in zip(*parts, strict=True)]
    np.testing.assert_array_equal(whole, taken(12, batch_size=8))


@pytest.mark.parametrize(
    "settings", [{}, {"process": 1, "processes": 2}, {"workers": 1}]
)
def test_crops_of_an_atlas_are_those_of_the_host(settings: dict[str, Any]):
    packed = atlas.load(pictures(20))
    keys = {"size": 32, "batch_size": 4, "seed": 3, **settings}
    crop = jax.jit(partial(atlas.crops, size=32))
    with closing(pipeline.batches(packed, first=7, **keys)) as batches:
        crops = [crop(packed.pixels, next(batches)) for _ in range(12)]
    np.testing.assert_array_equal(crops, taken(12, first=7, **settings))


@pytest.mark.parametrize("settings", [{}, {"process": 1, "processes": 2}])
def test_batches_begin_where_asked_to(settings: dict[str, int]):
    settings = {"batch_size": 6, **settings}
    np.testing.assert_array_equal(
        taken(9, first=8, **settings), taken(17, **settings)[8:]
    )


def test_a_worker_process_yields_the_same_batches():
    np.testing.assert_array_equal(taken(6, workers=1), taken(6))


def test_crops_are_the_first_ones_of_the_batches():
    expected = np.concatenate(taken(40))
    for count in (7, 130):
        crops = pipeline.crops(pictures(20), size=32, count=count, seed=3)
        assert crops.shape == (count, 32, 32, 3)
        np.testing.assert_array_equal(crops, expected[:count])


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"batch_size": 5, "processes": 2}, "batch_size must be a multiple"),
        ({"of": 0}, "there must be a picture; got none"),
    ],
)
def test_what_cannot_be_batched_is_refused(settings: dict[str, int], complaint: str):
    with pytest.raises(ValueError, match=complaint):
        taken(1, **settings)
