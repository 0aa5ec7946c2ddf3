import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxart.painter import strokes as painter
from jaxart.painter.brushes import BRISTLE, FLAT, ROUND, Brush
from jaxart.painter.strokes import Strokes


draw = jax.jit(painter.draw, static_argnames="window")

# A sharp opaque rectangle, of which everything is known.
STAMP = Brush(0.0, 0.01, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
RED = (0.9, 0.2, 0.1)
BLUE = (0.1, 0.2, 0.9)


def stroke(x, y, length, width, angle, colour=RED) -> Strokes:
    numbers = (x, y, length, width, angle, *colour)
    return Strokes(*(jnp.array([number]) for number in numbers))


def laid(strokes, brush=BRISTLE, size=64, window=64, width=None, pixels=None):
    """The strokes on a black canvas without any relief."""
    n = strokes.x.size
    return np.asarray(
        draw(
            jnp.zeros((4, size, width or size)),
            strokes,
            Brush(*(jnp.full(n, number) for number in brush)),
            jnp.linspace(0.1, 0.9, n),
            pixels=pixels or size,
            window=window,
        )
    )


def test_a_stroke_paints_its_own_area_in_its_own_colour():
    canvas = laid(stroke(0.5, 0.5, 0.5, 0.25, 0.3), STAMP, size=128, window=128)
    covered = canvas[:3].sum((1, 2)) / 128**2
    np.testing.assert_allclose(covered, 0.5 * 0.25 * np.array(RED), rtol=0.02)
    np.testing.assert_allclose(canvas[:3, 64, 64], RED, rtol=1e-6)


def test_angles_go_from_right_towards_down():
    canvas = laid(stroke(0.5, 0.5, 0.8, 0.1, np.pi / 4), STAMP)
    assert canvas[0, 48, 48] > 0.8
    assert canvas[0, 16, 48] == 0


def test_x_is_right_and_y_is_down_in_picture_heights():
    canvas = laid(stroke(1.5, 0.25, 0.2, 0.2, 0.0), STAMP, width=128)
    rows, columns = np.nonzero(canvas[0])
    assert rows.mean() + 0.5 == pytest.approx(0.25 * 64, abs=0.01)
    assert columns.mean() + 0.5 == pytest.approx(1.5 * 64, abs=0.01)


def test_a_stroke_moved_by_one_pixel_is_the_same_stroke_one_pixel_on():
    here = laid(stroke(0.5, 0.5, 0.5, 0.25, 0.3))
    there = laid(stroke(0.5 + 1 / 64, 0.5 + 2 / 64, 0.5, 0.25, 0.3))
    np.testing.assert_allclose(np.roll(here, (2, 1), (1, 2)), there, atol=1e-5)


def test_a_stroke_moved_by_less_than_a_pixel_changes():
    here, there = (laid(stroke(x, 0.5, 0.5, 0.25, 0.3)) for x in (0.5, 0.502))
    assert 1e-3 < abs(here - there).max() < 0.5


def test_a_quarter_turn_turns_the_picture():
    level = laid(stroke(0.5, 0.5, 0.5, 0.25, 0.4))
    turned = laid(stroke(0.5, 0.5, 0.5, 0.25, 0.4 + np.pi / 2))
    np.testing.assert_allclose(np.rot90(level, -1, (1, 2)), turned, atol=1e-5)


@pytest.mark.parametrize("brush", [ROUND, BRISTLE])
def test_a_painting_is_the_same_at_any_size(brush: Brush):
    strokes = stroke(0.45, 0.52, 0.8, 0.4, 0.5)
    small = laid(strokes, brush, size=64, window=64)
    large = laid(strokes, brush, size=256, window=256)
    pooled = large.reshape(4, 64, 4, 64, 4).mean((2, 4))
    assert abs(small - pooled).mean() < 0.005
    assert abs(small).mean() > 0.05


def test_a_window_that_holds_the_stroke_shows_no_border():
    strokes = stroke(0.4, 0.6, 0.4, 0.2, 0.7)
    tight, wide = (laid(strokes, window=window) for window in (30, 100))
    np.testing.assert_allclose(tight, wide, atol=1e-6)


@pytest.mark.parametrize(("x", "y"), [(0.02, 0.03), (0.97, 0.02), (0.99, 1.0)])
def test_a_stroke_over_the_edge_is_a_part_of_the_whole_stroke(x: float, y: float):
    part = laid(stroke(x, y, 0.4, 0.2, 0.7), window=40)
    whole = laid(stroke(x + 0.5, y + 0.5, 0.4, 0.2, 0.7), size=128, pixels=64)
    np.testing.assert_allclose(part, whole[:, 32:96, 32:96], atol=1e-5)
    assert part.max() > 0.5


@pytest.mark.parametrize(
    ("x", "y"), [(-1.2, 0.5), (0.5, -1.2), (0.5, 7.0), (40.0, -40.0)]
)
def test_a_stroke_far_outside_leaves_no_paint(x: float, y: float):
    assert not laid(stroke(x, y, 0.4, 0.2, 0.7), window=40).any()


def test_the_last_stroke_lies_on_top():
    below = stroke(0.5, 0.5, 0.6, 0.2, 0.0, RED)
    above = stroke(0.5, 0.5, 0.6, 0.2, 1.5, BLUE)
    both = jax.tree.map(lambda *parts: jnp.concatenate(parts), below, above)
    canvas = laid(both, STAMP)
    np.testing.assert_allclose(canvas[:3, 32, 32], BLUE, rtol=1e-6)
    np.testing.assert_allclose(canvas[:3, 32, 18], RED, rtol=1e-6)


def test_strokes_laid_at_once_equal_strokes_laid_one_by_one():
    rng = np.random.default_rng(1)
    n, size = 12, 48
    numbers = (
        rng.uniform(0, 1, (8, n)) * np.array([1, 1, 0.5, 0.3, 3, 1, 1, 1])[:, None]
    )
    strokes = Strokes(*jnp.array(numbers))
    brushes = Brush(*(jnp.full(n, number) for number in FLAT))
    seeds = jnp.array(rng.random(n))
    canvas = jnp.zeros((4, size, size))
    at_once = draw(canvas, strokes, brushes, seeds, pixels=size, window=32)
    for k in range(n):
        one = jax.tree.map(lambda part, k=k: part[k : k + 1], (strokes, brushes, seeds))
        canvas = draw(canvas, *one, pixels=size, window=32)
    np.testing.assert_allclose(at_once, canvas, atol=1e-4)


@pytest.mark.parametrize("brush", [ROUND, BRISTLE])
def test_the_canvas_has_a_slope_in_each_number(brush: Brush):
    weights = np.random.default_rng(2).random((4, 32, 32))

    @jax.jit
    def seen(numbers):
        canvas = draw(
            jnp.zeros((4, 32, 32)),
            Strokes(*numbers[:, None]),
            Brush(*(jnp.full(1, value) for value in brush)),
            jnp.array([0.3]),
            pixels=32,
            window=32,
        )
        return (weights * canvas).sum()

    with jax.enable_x64(True):
        at, step = jnp.array([0.45, 0.52, 0.6, 0.3, 0.5, *RED]), 1e-6
        nudges = step * jnp.eye(8)
        ahead, behind = (
            np.array([seen(at + n) for n in side]) for side in (nudges, -nudges)
        )
        rise = (ahead - behind) / (2 * step)
        slope = np.asarray(jax.grad(seen)(at))
    assert abs(rise).min() > 0.1
    np.testing.assert_allclose(slope, rise, rtol=1e-4)
