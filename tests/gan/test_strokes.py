import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxart.drawing import levels
from jaxart.drawing import strokes as rasterizer
from jaxart.drawing.brushes import SOFT
from jaxart.gan import strokes
from jaxart.gan.strokes import StrokeGenerator, StrokeHead


SIZE = 32
GRIDS = levels.parse("1x3,4x2,8x1", SIZE)


@pytest.fixture(scope="module")
def generator() -> StrokeGenerator:
    return new_generator()


def new_head(channels: int, level: levels.Level, bounds: strokes.Bounds) -> StrokeHead:
    return StrokeHead(
        channels, level, bounds=bounds, normalisation="none", rngs=nnx.Rngs(0)
    )


def noise(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(1).normal(size=shape), jnp.float32)


def test_images_are_the_strokes_drawn_one_after_the_other(generator: StrokeGenerator):
    z = noise(2, 10)
    painted, images = generator.paint(z), generator(z)
    assert painted.strokes.shape == (2, 3 + 32 + 64, 8)
    assert images.shape == (2, SIZE, SIZE, 3)
    for number in range(2):
        ground = painted.ground[number][:, None, None]
        canvas = rasterizer.draw(
            jnp.broadcast_to(ground, (3, SIZE, SIZE)),
            painted.strokes[number],
            SOFT,
            strokes.hair_seeds(99),
            resolution=SIZE,
        )
        expected = 2 * np.moveaxis(np.asarray(canvas), 0, -1) - 1
        np.testing.assert_allclose(images[number], expected, atol=1e-4)


def test_no_stroke_of_a_cell_leaves_its_window():
    raw = 10 * noise(3, 8, 8, 5, 8)
    geometry = np.asarray(strokes._geometry(raw, 8, strokes.OF_CELLS))
    x, y, length, width, angle = np.moveaxis(geometry, -1, 0)
    reach_x = abs(length / 2 * np.cos(angle)) + abs(width / 2 * np.sin(angle))
    reach_y = abs(length / 2 * np.sin(angle)) + abs(width / 2 * np.cos(angle))
    middles = (np.arange(8) + 0.5) / 8
    assert (abs(x - middles[:, None]) + reach_x <= 1 / 8 + 1e-6).all()
    assert (abs(y - middles[:, None, None]) + reach_y <= 1 / 8 + 1e-6).all()


def test_strokes_without_a_difference_have_the_colour_below_them():
    colour = np.array([0.2, 0.5, 0.8], np.float32)
    canvas = jnp.broadcast_to(colour[:, None, None, None], (3, 2, 32, 32))
    head = new_head(6, levels.Level(4, 2), strokes.OF_CELLS)
    head.out.kernel[...] = jnp.zeros_like(head.out.kernel[...])
    passes = head(noise(2, 4, 4, 6), canvas)
    found = passes[..., 5:]
    np.testing.assert_allclose(found, np.broadcast_to(colour, found.shape), rtol=1e-5)


@pytest.mark.parametrize("below", [0.0, 0.5, 1.0])
def test_every_colour_has_a_gradient(below: float):
    canvas = jnp.full((3, 1, 32, 32), below)
    head = new_head(1, levels.Level(1, 1), strokes.OF_WHOLE)
    head.out.kernel[...] = jnp.ones((1, 8))
    head.out.bias = nnx.Param(jnp.zeros(8))

    def blue_of(number: jax.Array) -> jax.Array:
        # Leaky: what a head sees of a positive number is the number.
        return head(jnp.full((1, 1, 1, 1), number), canvas)[..., 7].sum()

    # From black to white and back; in between 0.35 radians a number.
    near, gradient = jax.value_and_grad(blue_of)(jnp.float32(1))
    assert abs(gradient) > 0.1
    assert abs(near - below) < 0.4
    assert abs(blue_of(jnp.float32(np.pi / 2 / 0.35)) - (1 - below)) < 0.07


def test_chalk_is_greys_on_black():
    generator = new_generator(levels.parse("1x4", SIZE), palette="chalk")
    painted = generator.paint(noise(3, 10))
    assert (np.asarray(painted.ground) == 0).all()
    red, green, blue = np.moveaxis(np.asarray(painted.strokes)[..., 5:], -1, 0)
    np.testing.assert_array_equal(red, green)
    np.testing.assert_array_equal(red, blue)
    assert red.std() > 0.01


@pytest.mark.parametrize(("text", "least"), [("1x40", 0.1), ("1x40,4x1", 0.25)])
def test_large_strokes_are_smaller_where_no_cells_follow(text: str, least: float):
    generator = new_generator(levels.parse(text, SIZE))
    lengths = np.asarray(generator.paint(9 * noise(9, 10)).strokes)[:, :40, 2]
    assert least <= lengths.min() < 1.3 * least


def test_the_colour_at_a_place_is_the_one_there():
    canvas = np.zeros((3, 1, 32, 32), np.float32)
    canvas[1, 0, 20:24, 8:12] = 1
    positions = jnp.array([10.5 / 32, 21.5 / 32]).reshape(1, 1, 1, 1, 2)
    positions = jnp.broadcast_to(positions, (1, 2, 2, 1, 2))
    found = strokes._colours_at(jnp.asarray(canvas), positions, 2)
    np.testing.assert_allclose(found, np.broadcast_to([0.0, 1.0, 0.0], found.shape))


def test_seeds_of_hairs_are_spread_and_do_not_depend_on_how_many_there_are():
    seeds = strokes.hair_seeds(100)
    np.testing.assert_array_equal(seeds[:10], strokes.hair_seeds(10))
    assert np.diff(np.sort(seeds)).max() < 0.03


def new_generator(
    grids: tuple[levels.Level, ...] = GRIDS, palette: strokes.Palette = "colours"
) -> StrokeGenerator:
    generator = StrokeGenerator(
        SIZE,
        4,
        10,
        grids=grids,
        brush="soft",
        palette=palette,
        dtype="float32",
        rngs=nnx.Rngs(0),
    )
    return nnx.view(generator, use_running_average=True)


def test_a_larger_canvas_shows_the_same_painting(generator: StrokeGenerator):
    larger = new_generator()
    larger.draw_at(2 * SIZE)
    z = noise(2, 10)
    images = larger(z).reshape(2, SIZE, 2, SIZE, 2, 3).mean((2, 4))
    np.testing.assert_allclose(images, generator(z), atol=0.15)
    assert np.abs(images - generator(z)).mean() < 0.01


def test_another_canvas_and_brush_show_the_same_strokes(generator: StrokeGenerator):
    larger = new_generator()
    larger.draw_at(2 * SIZE, "bristle")
    z = noise(2, 10)
    expected, painted = generator.paint(z), larger.paint(z)
    np.testing.assert_array_equal(painted.strokes, expected.strokes)
    assert painted.images.shape == (2, 2 * SIZE, 2 * SIZE, 3)
    smaller = painted.images.reshape(2, SIZE, 2, SIZE, 2, 3).mean((2, 4))
    assert np.abs(smaller - expected.images).max() > 0.1


@pytest.mark.parametrize("size", [SIZE // 2, SIZE + 1, 0, -SIZE])
def test_a_canvas_that_cells_do_not_divide_is_refused(size: int):
    with pytest.raises(ValueError, match="pixels must be a multiple of the 32 of the"):
        new_generator().draw_at(size)


def test_a_brush_without_a_name_is_refused():
    with pytest.raises(
        ValueError, match=r"brush must be one of soft, round.*; got 'a.p"
    ):
        new_generator().draw_at(SIZE, "a.png")
