import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxart.drawing import strokes as rasterizer
from jaxart.drawing.brushes import BRISTLE, FLAT, ROUND, SOFT, Brush, mark
from jaxart.drawing.strokes import (
    GROUP_BYTES,
    ON_CPU,
    PADDING,
    SEGMENT,
    Drawing,
    Sizes,
    sizes_for_device,
)
from jaxart.drawing.tiles import TILE


draw = jax.jit(rasterizer.draw)
draw_known = jax.jit(rasterizer.draw, static_argnames="brush")

# A sharp opaque rectangle, of which everything is known.
STAMP = Brush(0.0, 0.01, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
RED = (0.9, 0.2, 0.1)
BLUE = (0.1, 0.2, 0.9)


def stroke(x, y, length, width, angle, colour=RED) -> jax.Array:
    return jnp.array([[x, y, length, width, angle, *colour]])


def random_strokes(n: int, seed: int = 1, wide: float = 1.0) -> jax.Array:
    """Strokes all over the canvas, some of them over its edge."""
    low = np.array([-0.1, -0.1, 0.1, 0.05, 0, 0, 0, 0])
    high = np.array([wide + 0.1, 1.1, 0.6, 0.3, 6, 1, 1, 1])
    strokes = np.random.default_rng(seed).uniform(low, high, (n, 8))
    return jnp.array(strokes, jnp.float32)


def seeds_of(strokes: jax.Array) -> jax.Array:
    return jnp.linspace(0.1, 0.9, len(strokes))


def on_black(
    strokes, brush=BRISTLE, size=64, width=None, resolution=None
) -> np.ndarray:
    """The strokes on a black canvas without any relief."""
    canvas = jnp.zeros((4, size, width or size))
    seeds = seeds_of(strokes)
    return np.asarray(
        draw(canvas, strokes, brush, seeds, resolution=resolution or size)
    )


def drawn_without_tiles(canvas, strokes, brush, resolution) -> np.ndarray:
    """The expected canvas: each mark is evaluated at every pixel."""
    canvas = np.array(canvas, float)
    _, h, w = canvas.shape
    # On a grid of always the same size, which compiles once.
    y, x = (np.indices((64, 64)) + 0.5) / resolution
    for stroke, seed in zip(strokes, seeds_of(strokes), strict=True):
        at_x, at_y, length, width, angle, *colour = map(float, stroke)
        right, down = x - at_x, y - at_y
        u = (right * np.cos(angle) + down * np.sin(angle)) * 2 / length
        v = (down * np.cos(angle) - right * np.sin(angle)) * 2 / width
        coverage, height = mark(brush, jnp.array(u), jnp.array(v), seed)
        paint = [*(np.full_like(u, part) for part in colour), np.asarray(height)]
        layer, alpha = np.stack(paint)[: len(canvas), :h, :w], np.asarray(coverage)
        canvas += alpha[:h, :w] * (layer - canvas)
    return canvas


def test_a_stroke_paints_its_own_area_in_its_own_colour():
    canvas = on_black(stroke(0.5, 0.5, 0.5, 0.25, 0.3), STAMP, size=128)
    covered = canvas[:3].sum((1, 2)) / 128**2
    np.testing.assert_allclose(covered, 0.5 * 0.25 * np.array(RED), rtol=0.02)
    np.testing.assert_allclose(canvas[:3, 64, 64], RED, rtol=1e-6)


def test_opacity_is_what_a_ground_lacks_behind_paint():
    strokes = random_strokes(5)
    black, white = (jnp.full((5, 64, 64), level).at[4].set(0) for level in (0.0, 1.0))
    on_black, on_white = (
        np.asarray(draw(canvas, strokes, BRISTLE, seeds_of(strokes), resolution=64))
        for canvas in (black, white)
    )
    expected = 1 - (on_white[:3] - on_black[:3])
    np.testing.assert_allclose(
        np.broadcast_to(on_black[4], expected.shape), expected, atol=1e-6
    )


def test_angles_go_from_right_towards_down():
    canvas = on_black(stroke(0.5, 0.5, 0.8, 0.1, np.pi / 4), STAMP)
    assert canvas[0, 48, 48] > 0.8
    assert canvas[0, 16, 48] == 0


def test_x_is_right_and_y_is_down_in_picture_heights():
    canvas = on_black(stroke(1.5, 0.25, 0.2, 0.2, 0.0), STAMP, width=128)
    rows, columns = np.nonzero(canvas[0])
    assert rows.mean() + 0.5 == pytest.approx(0.25 * 64, abs=0.01)
    assert columns.mean() + 0.5 == pytest.approx(1.5 * 64, abs=0.01)


def test_a_stroke_moved_by_one_pixel_is_the_same_stroke_one_pixel_on():
    here = on_black(stroke(0.5, 0.5, 0.5, 0.25, 0.3))
    there = on_black(stroke(0.5 + 1 / 64, 0.5 - 2 / 64, 0.5, 0.25, 0.3))
    np.testing.assert_allclose(np.roll(here, (-2, 1), (1, 2)), there, atol=1e-4)


def test_a_stroke_moves_by_less_than_a_pixel():
    here, there = (
        on_black(stroke(x, 0.5, 0.5, 0.25, 0.3), STAMP) for x in (0.5, 0.5 + 0.3 / 64)
    )
    columns = np.arange(64)
    centres = [(c[0].sum(0) * columns).sum() / c[0].sum() for c in (here, there)]
    assert centres[1] - centres[0] == pytest.approx(0.3, abs=0.1)


def test_a_quarter_turn_turns_the_picture():
    level = on_black(stroke(0.5, 0.5, 0.5, 0.25, 0.4))
    turned = on_black(stroke(0.5, 0.5, 0.5, 0.25, 0.4 + np.pi / 2))
    np.testing.assert_allclose(np.rot90(level, -1, (1, 2)), turned, atol=1e-4)


@pytest.mark.parametrize("brush", [ROUND, BRISTLE])
def test_a_painting_is_the_same_at_any_size(brush: Brush):
    strokes = stroke(0.45, 0.52, 0.8, 0.4, 0.5)
    small, large = on_black(strokes, brush, size=64), on_black(strokes, brush, size=256)
    pooled = large.reshape(4, 64, 4, 64, 4).mean((2, 4))
    assert abs(small - pooled).mean() < 0.005
    assert abs(small).mean() > 0.05


@pytest.mark.parametrize(
    ("planes", "h", "w"),
    [
        (4, 64, 64),
        (4, 37, 53),
        (3, 50, 21),
        (4, TILE, TILE),
        (4, TILE + 1, 2),
        (3, 2, 5),
    ],
)
def test_no_tile_shows_its_border(planes: int, h: int, w: int):
    strokes = random_strokes(12, wide=w / h)
    canvas = np.random.default_rng(0).random((planes, h, w), np.float32)
    found = draw(canvas, strokes, BRISTLE, seeds_of(strokes), resolution=h)
    expected = drawn_without_tiles(canvas, strokes, BRISTLE, h)
    np.testing.assert_allclose(found, expected, atol=2e-4)
    assert abs(found - canvas).max() > 0.05


def test_what_no_stroke_reaches_stays_as_it_was():
    canvas = np.random.default_rng(0).random((4, 48, 48), np.float32)
    strokes = jnp.concatenate(
        [stroke(0.5, 0.5, 0.3, 0.2, angle) for angle in (0.2, 0.9, 2.0)]
    )
    found = np.asarray(draw(canvas, strokes, BRISTLE, seeds_of(strokes), resolution=48))
    y, x = (np.indices((48, 48)) + 0.5) / 48 - 0.5
    outside = np.hypot(x, y) > np.hypot(0.3, 0.2) / 2
    np.testing.assert_array_equal(found[:, outside], canvas[:, outside])
    assert (found != canvas)[:, np.hypot(x, y) < 0.05].any()


@pytest.mark.parametrize(("x", "y"), [(0.02, 0.03), (0.97, 0.02), (0.99, 1.0)])
def test_a_stroke_over_the_edge_is_a_part_of_the_whole_stroke(x: float, y: float):
    part = on_black(stroke(x, y, 0.4, 0.2, 0.7))
    whole = on_black(stroke(x + 0.5, y + 0.5, 0.4, 0.2, 0.7), size=128, resolution=64)
    np.testing.assert_allclose(part, whole[:, 32:96, 32:96], atol=1e-4)
    assert part.max() > 0.5


@pytest.mark.parametrize(
    ("x", "y"), [(-1.2, 0.5), (0.5, -1.2), (0.5, 7.0), (40.0, -40.0)]
)
def test_a_stroke_far_outside_leaves_no_paint(x: float, y: float):
    assert not on_black(stroke(x, y, 0.4, 0.2, 0.7)).any()


def test_padding_leaves_no_paint():
    assert not on_black(jnp.array(PADDING)[None]).any()


def test_the_last_stroke_lies_on_top():
    below = stroke(0.5, 0.5, 0.6, 0.2, 0.0, RED)
    above = stroke(0.5, 0.5, 0.6, 0.2, 1.5, BLUE)
    canvas = on_black(jnp.concatenate([below, above]), STAMP)
    np.testing.assert_allclose(canvas[:3, 32, 32], BLUE, rtol=1e-6)
    np.testing.assert_allclose(canvas[:3, 32, 18], RED, rtol=1e-6)


def test_strokes_drawn_at_once_equal_strokes_drawn_one_by_one():
    strokes, size = random_strokes(12), 48
    seeds = seeds_of(strokes)
    canvas = jnp.zeros((4, size, size))
    at_once = draw(canvas, strokes, FLAT, seeds, resolution=size)
    for k in range(12):
        one = slice(k, k + 1)
        canvas = draw(canvas, strokes[one], FLAT, seeds[one], resolution=size)
    np.testing.assert_allclose(at_once, canvas, atol=1e-6)


@pytest.mark.parametrize("brush", [SOFT, BRISTLE])
def test_a_brush_that_is_known_when_compiling_draws_the_same(brush: Brush):
    strokes = random_strokes(6)
    canvas, seeds = jnp.zeros((4, 48, 48)), seeds_of(strokes)
    known = draw_known(canvas, strokes, brush=brush, seeds=seeds, resolution=48)
    traced = draw(canvas, strokes, brush, seeds, resolution=48)
    np.testing.assert_allclose(known, traced, atol=1e-5)


# Of the pixels, in a weighted sum of a canvas that is not black.
WEIGHTS = np.random.default_rng(2).random((5, 32, 32))
GROUND = np.random.default_rng(3).random((5, 32, 32))


def weighted_sum(strokes, ground, brush: Brush, planes: int):
    canvas = jnp.asarray(ground[:planes])
    canvas = rasterizer.draw(canvas, strokes, brush, seeds_of(strokes), resolution=32)
    return (WEIGHTS[:planes] * canvas).sum()


static = ("brush", "planes")
value_of = jax.jit(weighted_sum, static_argnames=static)
grads_of = jax.jit(jax.grad(weighted_sum, (0, 1)), static_argnames=static)


@pytest.mark.parametrize(("brush", "planes"), [(BRISTLE, 4), (ROUND, 3), (SOFT, 5)])
def test_the_canvas_has_a_gradient_in_each_parameter(brush: Brush, planes: int):
    step = 1e-6
    with jax.enable_x64(True):
        strokes = jnp.array([[0.45, 0.52, 0.6, 0.3, 0.5, *RED]])
        differences = [
            value_of(strokes + nudge, GROUND, brush, planes)
            - value_of(strokes - nudge, GROUND, brush, planes)
            for nudge in step * jnp.eye(8)[:, None]
        ]
        grads, _ = grads_of(strokes, GROUND, brush, planes)
    expected = np.array(differences) / (2 * step)
    assert abs(expected).min() > 0.1
    np.testing.assert_allclose(grads[0], expected, rtol=1e-4)


def test_gradients_are_right_under_more_strokes_than_a_segment():
    count, step = 2 * SEGMENT + 5, 1e-6
    rng = np.random.default_rng(4)
    with jax.enable_x64(True):
        low, high = [0.4, 0.4, 0.3, 0.2, 0, 0, 0, 0], [0.6, 0.6, 0.8, 0.4, 3, 1, 1, 1]
        strokes = rng.uniform(low, high, (count, 8))
        grads, canvas_grads = grads_of(strokes, GROUND, ROUND, 4)
        # The first strokes are all but hidden; their gradients count as well.
        assert abs(grads[0]).max() > 0
        for first in (0, SEGMENT - 2, SEGMENT, 2 * SEGMENT - 1, count - 4):
            direction = np.zeros_like(strokes)
            direction[first : first + 4] = rng.normal(size=(4, 8))
            above, below = (
                value_of(strokes + by * direction, GROUND, ROUND, 4)
                for by in (step, -step)
            )
            expected = (above - below) / (2 * step)
            assert abs(expected) > 1e-7
            found = float((grads * direction).sum())
            assert found == pytest.approx(float(expected), rel=1e-3)
        direction = rng.normal(size=GROUND.shape)
        above, below = (
            value_of(strokes, GROUND + by * direction, ROUND, 4) for by in (0.5, -0.5)
        )
        found = float((canvas_grads * direction).sum())
        assert found == pytest.approx(float(above - below))


def drawn_with(sizes: Sizes, count: int) -> tuple[jax.Array, ...]:
    """A canvas of strokes, and the gradients of a weighted sum of it."""
    strokes = jnp.concatenate([random_strokes(count), PADDING[None]])
    drawing = Drawing(BRISTLE, strokes, seeds_of(strokes), 32)
    canvas, cotangent = (jnp.asarray(a[:4], jnp.float32) for a in (GROUND, WEIGHTS))
    drawn = rasterizer._draw_groups(drawing, canvas, sizes)
    return drawn, *rasterizer._backward_groups(drawing, canvas, cotangent, sizes)


# Of four tiles: all at once; a group that is not full, and steps that do not divide a
# bin; several segments of steps.
@pytest.mark.parametrize(
    ("sizes", "count"), [(Sizes(4, 8), 40), (Sizes(3, 7), 11), (Sizes(4, 2), 150)]
)
def test_a_canvas_does_not_depend_on_how_much_is_drawn_at_once(
    sizes: Sizes, count: int
):
    draw_both = jax.jit(drawn_with, static_argnums=(0, 1))
    for wide, narrow in zip(
        draw_both(sizes, count), draw_both(ON_CPU, count), strict=True
    ):
        np.testing.assert_allclose(
            wide, narrow, rtol=0, atol=1e-5 * float(abs(narrow).max())
        )


def test_other_devices_draw_as_many_tiles_at_once_as_fit(
    monkeypatch: pytest.MonkeyPatch,
):
    assert sizes_for_device((3, 512, 500), 2_000) == ON_CPU
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert sizes_for_device((3, 512, 500), 2_000).tiles == 32 * 32
    tiles = sizes_for_device((4, 8192, 8192), 300_000).tiles
    # The bins of these tiles: a number for each stroke, four times while they are made.
    assert GROUP_BYTES / 2 < 16 * 300_000 * tiles < GROUP_BYTES
