from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxart.painter import placement
from jaxart.painter.placement import WINDOW, Level, make_layout, make_level


LAYOUT = make_layout(90, 120, reach=5, stride=4)
place = jax.jit(placement.place, static_argnames=("layout", "count"))


def level_of(picture: np.ndarray, height: int = 80) -> Level:
    return make_level(picture, None, height, LAYOUT)


def noise(h: int = 90, w: int = 120) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (h, w, 3), np.uint8)


ERROR = np.random.default_rng(1).random(LAYOUT.shape).astype(np.float32)


@pytest.mark.parametrize("key", range(4))
def test_windows_of_a_round_are_apart_by_their_margins(key: int):
    count = LAYOUT.rows * LAYOUT.columns
    assert count > 4
    placed = place(jax.random.key(key), level_of(noise()), ERROR, LAYOUT, count)
    apart = WINDOW + 2 * LAYOUT.margin
    for one, other in combinations(np.asarray(placed.corners), 2):
        assert abs(one - other).max() >= apart
    # Another round's grid is another one.
    assert len({*map(tuple, np.asarray(placed.corners) % apart)}) == 1


def test_grids_shift_from_round_to_round_by_whole_strides():
    starts = set()
    for key in range(20):
        placed = place(jax.random.key(key), level_of(noise()), ERROR, LAYOUT, 1)
        starts.add(tuple(np.asarray(placed.corners[0])))
        assert not (np.asarray(placed.corners[0]) % LAYOUT.stride).any()
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
    at = make_layout(height, width, reach=reach, stride=stride)
    assert at.margin >= reach
    assert at.margin % stride == 0
    assert at.period % stride == 0
    shift = stride * data.draw(st.integers(0, at.period // stride - 1))
    first = at.border - at.period + shift
    for side, count, whole in zip(
        (height, width), (at.rows, at.columns), at.shape, strict=True
    ):
        # Two margins around each window, and the grid over all of the picture.
        assert first - 2 * at.margin >= 0
        last = first + (count - 1) * at.period
        assert last + WINDOW + 2 * at.margin <= whole
        assert first <= at.border
        assert first + count * at.period >= at.border + side
        assert at.border + side <= whole


def test_windows_lie_where_the_error_is():
    error = np.zeros(LAYOUT.shape, np.float32)
    row, column = 100, 130
    error[row - 3 : row + 3, column - 3 : column + 3] = 1
    for key in range(8):
        placed = place(jax.random.key(key), level_of(noise()), error, LAYOUT, 4)
        corner = np.asarray(placed.corners[0])
        inside = ((corner <= [row, column]) & (corner + WINDOW > [row, column])).all()
        # The spot may lie in a margin, between all windows.
        assert inside or not placed.has_error.any()
        has_error = np.asarray(placed.has_error)
        starts = np.asarray(placed.strokes)[has_error, :2] * 80
        corners = np.asarray(placed.corners)[has_error]
        for corner, (x, y) in zip(corners, starts, strict=True):
            assert abs(x - column) <= 3
            assert abs(y - row) <= 3
            assert (corner <= [y, x]).all()
            assert (corner + WINDOW >= [y, x]).all()


def test_without_an_error_no_window_has_one():
    error = np.zeros(LAYOUT.shape, np.float32)
    placed = place(jax.random.key(0), level_of(noise()), error, LAYOUT, 4)
    assert not placed.has_error.any()


def test_the_same_key_starts_the_same_strokes():
    one, again, other = (
        place(jax.random.key(key), level_of(noise()), ERROR, LAYOUT, 4)
        for key in (3, 3, 4)
    )
    jax.tree.map(np.testing.assert_array_equal, one, again)
    assert (one.strokes != other.strokes).any()


@pytest.mark.parametrize("height", [90, 61, 40, 1])
def test_levels_share_a_shape_and_count_only_the_picture(height: int):
    weights = np.random.default_rng(2).random((90, 120)).astype(np.float32)
    weights[:, 60:] = 0
    level = make_level(noise(), weights, height, LAYOUT)
    assert level.picture.shape == (3, *LAYOUT.shape)
    assert level.weights.shape == level.orientation.shape == LAYOUT.shape
    h, w = level.size
    assert h == height
    assert w == round(height * 120 / 90)
    assert level.weights.sum() == pytest.approx(1, rel=1e-5)
    part = np.s_[LAYOUT.border : LAYOUT.border + h, LAYOUT.border : LAYOUT.border + w]
    outside = np.ones(LAYOUT.shape, bool)
    outside[part] = False
    assert not level.weights[outside].any()
    if height == 90:
        np.testing.assert_allclose(level.weights[part], weights / weights.sum())
        np.testing.assert_allclose(
            np.moveaxis(np.asarray(level.picture)[:, *part], 0, 2),
            noise() / 255,
            atol=1e-6,
        )
    # Its border goes on around it.
    start = level.picture[:, LAYOUT.border, LAYOUT.border]
    np.testing.assert_array_equal(level.picture[:, 0, 0], start)


@settings(max_examples=20)
@given(angle=st.floats(0, np.pi))
def test_orientations_follow_stripes(angle: float):
    y, x = np.mgrid[:90, :120]
    across = y * np.cos(angle) - x * np.sin(angle)
    grey = 127 + 100 * np.sin(across / 2.5)
    picture = np.repeat(grey[..., None], 3, 2).astype(np.uint8)
    level = level_of(picture, height=90)
    inner = slice(LAYOUT.border + 20, LAYOUT.border + 70)
    middle = level.orientation[inner, inner]
    # Orientations are the same after half a turn.
    assert np.cos(2 * (middle - angle)).min() > 0.97


def test_a_bright_edge_does_not_turn_strokes_at_the_opposite_edge():
    picture = noise()
    bright = picture.copy()
    bright[:, :2] = 255
    plain, changed = (level_of(p, height=90).orientation for p in (picture, bright))
    rows = slice(LAYOUT.border, LAYOUT.border + 90)
    left = slice(LAYOUT.border, LAYOUT.border + 20)
    right = slice(LAYOUT.border + 20, LAYOUT.border + 120)
    assert (plain[rows, left] != changed[rows, left]).any()
    np.testing.assert_array_equal(plain[rows, right], changed[rows, right])


@pytest.mark.parametrize("sides", [(1, 1), (1, 30), (30, 1), (2, 2)])
def test_the_smallest_pictures_have_levels(sides: tuple[int, int]):
    at = make_layout(*sides, reach=0, stride=1)
    level = make_level(noise(*sides), None, sides[0], at)
    assert np.isfinite(level.orientation).all()
    error, count = jnp.asarray(level.weights), at.rows * at.columns
    placed = place(jax.random.key(0), level, error, at, count)
    assert np.isfinite(placed.strokes).all()
