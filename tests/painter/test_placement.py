from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxart.painter import placement
from jaxart.painter.placement import WINDOW, Layout, layout, level


LAYOUT = layout(90, 120, reach=5, stride=4)
sites = jax.jit(placement.sites, static_argnames=("at", "count"))


def seen(picture: np.ndarray, height: int = 80, at: Layout = LAYOUT):
    return level(picture, None, height, at)


def noise(h: int = 90, w: int = 120) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (h, w, 3), np.uint8)


def everywhere(at: Layout) -> np.ndarray:
    return np.random.default_rng(1).random(at.shape).astype(np.float32)


@pytest.mark.parametrize("key", range(4))
def test_windows_of_a_round_are_apart_by_their_margins(key: int):
    count = LAYOUT.rows * LAYOUT.columns
    assert count > 4
    found = sites(jax.random.key(key), seen(noise()), everywhere(LAYOUT), LAYOUT, count)
    apart = WINDOW + 2 * LAYOUT.margin
    for one, other in combinations(np.asarray(found.corners), 2):
        assert abs(one - other).max() >= apart
    # Another round's grid is another one.
    assert len({*map(tuple, np.asarray(found.corners) % apart)}) == 1


def test_grids_shift_from_round_to_round_by_whole_strides():
    starts = set()
    for key in range(20):
        found = sites(jax.random.key(key), seen(noise()), everywhere(LAYOUT), LAYOUT, 1)
        starts.add(tuple(np.asarray(found.corners[0])))
        assert not (np.asarray(found.corners[0]) % LAYOUT.stride).any()
    assert len(starts) > 15


@given(
    height=st.integers(1, 400),
    width=st.integers(1, 400),
    reach=st.integers(0, 60),
    stride=st.sampled_from([1, 2, 4, 8, 16, 32]),
    data=st.data(),
)
def test_every_pixel_has_a_window_and_every_window_its_surroundings(
    height: int, width: int, reach: int, stride: int, data: st.DataObject
):
    at = layout(height, width, reach=reach, stride=stride)
    assert at.margin >= reach
    assert at.margin % stride == 0
    assert at.period % stride == 0
    shift = stride * data.draw(st.integers(0, at.period // stride - 1))
    first = at.edge - at.period + shift
    for side, count, whole in zip(
        (height, width), (at.rows, at.columns), at.shape, strict=True
    ):
        # Two margins around each window, and the grid over all of the picture.
        assert first - 2 * at.margin >= 0
        last = first + (count - 1) * at.period
        assert last + WINDOW + 2 * at.margin <= whole
        assert first <= at.edge
        assert first + count * at.period >= at.edge + side
        assert at.edge + side <= whole


def test_windows_lie_where_the_error_is():
    error = np.zeros(LAYOUT.shape, np.float32)
    row, column = 100, 130
    error[row - 3 : row + 3, column - 3 : column + 3] = 1
    for key in range(8):
        found = sites(jax.random.key(key), seen(noise()), error, LAYOUT, 4)
        corner = np.asarray(found.corners[0])
        inside = ((corner <= [row, column]) & (corner + WINDOW > [row, column])).all()
        # The spot may lie in a margin, between all windows.
        assert inside or not found.is_open.any()
        is_open = np.asarray(found.is_open)
        starts = np.asarray(found.numbers)[is_open, :2] * 80
        corners = np.asarray(found.corners)[is_open]
        for corner, (x, y) in zip(corners, starts, strict=True):
            assert abs(x - column) <= 3
            assert abs(y - row) <= 3
            assert (corner <= [y, x]).all()
            assert (corner + WINDOW >= [y, x]).all()


def test_where_nothing_is_wrong_no_window_is_open():
    error = np.zeros(LAYOUT.shape, np.float32)
    assert not sites(jax.random.key(0), seen(noise()), error, LAYOUT, 4).is_open.any()


def test_the_same_key_starts_the_same_strokes():
    one, again, other = (
        sites(jax.random.key(key), seen(noise()), everywhere(LAYOUT), LAYOUT, 4)
        for key in (3, 3, 4)
    )
    jax.tree.map(np.testing.assert_array_equal, one, again)
    assert (one.numbers != other.numbers).any()


@pytest.mark.parametrize("height", [90, 61, 40, 1])
def test_levels_share_a_shape_and_count_only_the_picture(height: int):
    weights = np.random.default_rng(2).random((90, 120)).astype(np.float32)
    weights[:, 60:] = 0
    found = level(noise(), weights, height, LAYOUT)
    assert found.picture.shape == (3, *LAYOUT.shape)
    assert found.weights.shape == found.ways.shape == LAYOUT.shape
    h, w = found.size
    assert h == height
    assert w == round(height * 120 / 90)
    assert found.weights.sum() == pytest.approx(1, rel=1e-5)
    part = np.s_[LAYOUT.edge : LAYOUT.edge + h, LAYOUT.edge : LAYOUT.edge + w]
    outside = np.ones(LAYOUT.shape, bool)
    outside[part] = False
    assert not found.weights[outside].any()
    if height == 90:
        np.testing.assert_allclose(found.weights[part], weights / weights.sum())
        np.testing.assert_allclose(
            np.moveaxis(np.asarray(found.picture)[:, *part], 0, 2),
            noise() / 255,
            atol=1e-6,
        )
    # Its border goes on around it.
    start = found.picture[:, LAYOUT.edge, LAYOUT.edge]
    np.testing.assert_array_equal(found.picture[:, 0, 0], start)


@settings(max_examples=20)
@given(angle=st.floats(0, np.pi))
def test_ways_follow_stripes(angle: float):
    y, x = np.mgrid[:90, :120]
    across = y * np.cos(angle) - x * np.sin(angle)
    grey = 127 + 100 * np.sin(across / 2.5)
    picture = np.repeat(grey[..., None], 3, 2).astype(np.uint8)
    found = seen(picture, height=90)
    inner = slice(LAYOUT.edge + 20, LAYOUT.edge + 70)
    middle = found.ways[inner, inner]
    # A stroke has no front: angles are the same after half a turn.
    assert np.cos(2 * (middle - angle)).min() > 0.97


@pytest.mark.parametrize("sides", [(1, 1), (1, 30), (30, 1), (2, 2)])
def test_the_smallest_pictures_have_levels(sides: tuple[int, int]):
    at = layout(*sides, reach=0, stride=1)
    found = level(noise(*sides), None, sides[0], at)
    assert np.isfinite(found.ways).all()
    numbers = sites(
        jax.random.key(0), found, jnp.asarray(found.weights), at, at.rows * at.columns
    ).numbers
    assert np.isfinite(numbers).all()
