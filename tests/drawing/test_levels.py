import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxart.drawing import levels
from jaxart.drawing import strokes as rasterizer
from jaxart.drawing.brushes import BRISTLE, SOFT, Brush
from jaxart.drawing.levels import Level


SIZE = 32
GRIDS = (Level(1, 2), Level(4, 2), Level(8, 1))
GROUND = 0.6


def strokes_of(level: Level, count: int, seed: int = 0) -> np.ndarray:
    """Strokes of every cell of `count` canvases, none of which leaves its window."""
    rng = np.random.default_rng(seed)
    shape = (count, level.cells, level.cells, level.strokes)
    middles = (np.arange(level.cells) + 0.5) / level.cells
    x = middles[None, None, :, None] + rng.uniform(-0.4, 0.4, shape) / level.cells
    y = middles[None, :, None, None] + rng.uniform(-0.4, 0.4, shape) / level.cells
    length = rng.uniform(0.8, 1.1, shape) / level.cells
    width, angle = 0.4 * length, rng.uniform(0, 6, shape)
    geometry = np.stack([x, y, length, width, angle], -1)
    colours = rng.random((*shape, 3))
    return np.concatenate([geometry, colours], -1).astype(np.float32)


def by_passes(count: int) -> list[jax.Array]:
    return [
        levels.in_order(jnp.asarray(strokes_of(level, count, level.cells)))
        for level in GRIDS
    ]


def seeds_of(strokes: jax.Array) -> jax.Array:
    k, phases, _, rows, columns, _ = strokes.shape
    seeds = np.random.default_rng(k).random((k, phases, rows, columns))
    return jnp.asarray(seeds, jnp.float32)


def drawn(passes: list[jax.Array], brush: Brush) -> jax.Array:
    canvas = jnp.full((3, passes[0].shape[2], SIZE, SIZE), GROUND)
    for level, strokes in zip(GRIDS, passes, strict=True):
        seeds = seeds_of(strokes)
        canvas = levels.draw_level(canvas, strokes, seeds, brush, level)
    return canvas


def drawn_one_by_one(strokes: jax.Array, seeds: jax.Array, brush: Brush) -> jax.Array:
    canvas = jnp.full((3, SIZE, SIZE), GROUND)
    return rasterizer.draw(canvas, strokes, brush, seeds, resolution=SIZE)


def flat(passes: list[jax.Array]) -> jax.Array:
    return jnp.concatenate([levels.flat(strokes) for strokes in passes], axis=1)


@pytest.mark.parametrize(("brush", "atol"), [(SOFT, 1e-5), (BRISTLE, 5e-4)])
def test_levels_are_the_same_strokes_drawn_one_after_the_other(
    brush: Brush, atol: float
):
    passes = by_passes(count=2)
    seeds = jnp.concatenate([seeds_of(strokes).ravel() for strokes in passes])
    canvases = jax.jit(drawn, static_argnums=1)(passes, brush)
    for number in range(2):
        expected = drawn_one_by_one(flat(passes)[number], seeds, brush)
        np.testing.assert_allclose(canvases[:, number], expected, atol=atol)


def test_gradients_are_those_of_strokes_drawn_one_after_the_other():
    passes = by_passes(count=1)
    seeds = jnp.concatenate([seeds_of(strokes).ravel() for strokes in passes])
    weights = jnp.asarray(np.random.default_rng(5).normal(size=(3, SIZE, SIZE)))

    def loss(passes):
        return jnp.sum(drawn(passes, SOFT)[:, 0] * weights)

    def expected_loss(strokes):
        return jnp.sum(drawn_one_by_one(strokes, seeds, SOFT) * weights)

    gradients = flat(jax.jit(jax.grad(loss))(passes))[0]
    expected = jax.grad(expected_loss)(flat(passes)[0])
    np.testing.assert_allclose(gradients, expected, rtol=1e-3, atol=1e-3)


def test_gradients_are_those_of_finite_differences():
    level = Level(4, 1)
    strokes = levels.in_order(jnp.asarray(strokes_of(level, 1)))
    rng = np.random.default_rng(6)
    weights = jnp.asarray(rng.normal(size=(3, 1, SIZE, SIZE)), jnp.float32)
    direction = jnp.asarray(rng.normal(size=strokes.shape), jnp.float32)
    scales = jnp.array([0.02, 0.02, 0.02, 0.02, 0.2, 1, 1, 1])
    direction *= scales.reshape(1, 1, 1, 1, 1, 8)

    @jax.jit
    def loss(strokes):
        canvas = jnp.full((3, 1, SIZE, SIZE), GROUND)
        seeds = seeds_of(strokes)
        return jnp.sum(levels.draw_level(canvas, strokes, seeds, SOFT, level) * weights)

    h = 1e-2
    difference = (loss(strokes + h * direction) - loss(strokes - h * direction)) / 2 / h
    derivative = jnp.sum(jax.grad(loss)(strokes) * direction)
    np.testing.assert_allclose(derivative, difference, rtol=2e-2)


def test_a_canvas_does_not_depend_on_the_others_of_its_batch():
    passes = by_passes(count=3)
    together = jax.jit(drawn, static_argnums=1)(passes, SOFT)
    last = [strokes[:, :, 2:] for strokes in passes]
    alone = jax.jit(drawn, static_argnums=1)(last, SOFT)
    np.testing.assert_allclose(together[:, 2], alone[:, 0], atol=1e-6)


def test_levels_are_read_from_text():
    grids = levels.parse("1x12,4x6,8x3", 64)
    assert grids == (Level(1, 12), Level(4, 6), Level(8, 3))
    assert sum(grid.num_strokes for grid in grids) == 300


@pytest.mark.parametrize(
    "text",
    [
        *("", "12", "1x", "x4", "1x0", "2x4", "4x4,1x12", "4x4,4x2", "16x1", "4x-1"),
        *("1x1001", "1x" + 5_000 * "9"),
    ],
)
def test_levels_that_do_not_fit_are_refused(text: str):
    with pytest.raises(ValueError, match="must "):
        levels.parse(text, 32)
