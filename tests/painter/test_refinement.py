from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxart.painter import refinement
from jaxart.painter.brushes import BRUSHES
from jaxart.painter.distances import HALF, Distance, Look, Perceptual, SquaredError
from jaxart.painter.pigments import ABSORBANCE, RGB, Pigment
from jaxart.painter.refinement import SHORTEST, Scene


COUNT = 12
SEEDS = jnp.linspace(0.1, 0.9, COUNT)
BRUSH = BRUSHES["round"]
painted = jax.jit(refinement.painted, static_argnames=("brush", "pigment"))


@pytest.fixture(scope="module")
def scene(disc: np.ndarray) -> Scene:
    h, w, _ = disc.shape
    weights = np.random.default_rng(0).random((h, w)).astype(np.float32)
    weights /= weights.sum()
    picture = jnp.array(np.moveaxis(disc, 2, 0), jnp.float32) / 255
    return Scene(picture, jnp.array(weights), jnp.array([0.8, 0.8, 0.8]))


@pytest.fixture(scope="module")
def numbers() -> jax.Array:
    low = [0, 0, 0.2, 0.1, 0, 0, 0, 0]
    high = [1.2, 1, 0.6, 0.3, 6, 1, 1, 1]
    rng = np.random.default_rng(1)
    return jnp.array(rng.uniform(low, high, (COUNT, 8)), jnp.float32)


def descended(
    numbers,
    scene: Scene,
    distance: Distance,
    count=10,
    pigment: Pigment = RGB,
):
    descent, error = refinement.descend(
        refinement.begin(numbers),
        SEEDS,
        scene,
        distance,
        jnp.int32(40),
        brush=BRUSH,
        pigment=pigment,
        count=count,
    )
    return descent, float(error)


def error_of(numbers, scene: Scene, pigment: Pigment = RGB) -> float:
    canvas = painted(numbers, SEEDS, scene, BRUSH, pigment)
    light = np.asarray(pigment.to_light(canvas), float)
    apart = ((light - np.asarray(scene.picture)) ** 2).mean(0)
    return float((apart * np.asarray(scene.weights)).sum())


@pytest.mark.parametrize("pigment", [RGB, ABSORBANCE])
def test_squared_error_falls(numbers, scene: Scene, pigment: Pigment):
    before = error_of(numbers, scene, pigment)
    descent, _ = descended(numbers, scene, SquaredError(), pigment=pigment)
    first = error_of(descent.numbers, scene, pigment)
    descent, error = refinement.descend(
        descent,
        SEEDS,
        scene,
        SquaredError(),
        jnp.int32(40),
        brush=BRUSH,
        pigment=pigment,
        count=10,
    )
    second = error_of(descent.numbers, scene, pigment)
    assert second < first < 0.9 * before
    assert second < float(error) < first
    assert int(descent.step) == 20


def test_what_vgg_sees_falls(numbers, scene: Scene, vgg_weights):
    looks = (Look(HALF, ("relu1_2", "relu2_2"), 1.0),)
    distance = Perceptual(vgg_weights, looks, 0.0, directions=True)

    @partial(jax.jit)
    def seen(numbers) -> jax.Array:
        canvas = refinement.painted(numbers, SEEDS, scene, BRUSH, RGB)
        one, other = distance.see(canvas[None]), distance.see(scene.picture[None])
        return distance.between(one, other, scene.weights[None])[0]

    descent, _ = descended(numbers, scene, distance)
    assert float(seen(descent.numbers)) < 0.9 * float(seen(numbers))


def test_steps_in_two_calls_equal_steps_in_one(numbers, scene: Scene):
    whole, _ = descended(numbers, scene, SquaredError(), count=10)
    half, _ = descended(numbers, scene, SquaredError(), count=5)
    half, _ = refinement.descend(
        half,
        SEEDS,
        scene,
        SquaredError(),
        jnp.int32(40),
        brush=BRUSH,
        pigment=RGB,
        count=5,
    )
    np.testing.assert_allclose(half.numbers, whole.numbers, atol=1e-4)


def test_numbers_stay_where_they_may_be_and_in_their_order(numbers, scene: Scene):
    thin = numbers.at[:, 3].set(0.001).at[:, 5:].set(jnp.round(numbers[:, 5:]))
    # What is half transparent can never be white enough.
    white = scene._replace(picture=jnp.ones_like(scene.picture))
    descent, _ = descended(thin, white, SquaredError())
    height = scene.picture.shape[1]
    found = np.asarray(descent.numbers)
    assert np.isfinite(found).all()
    assert found[:, 2:4].min() >= SHORTEST / height * (1 - 1e-6)
    assert found[:, 5:].min() >= 0
    assert found[:, 5:].max() <= 1
    # A step is short, so each stroke is still closest to where it was.
    descent, _ = descended(numbers, scene, SquaredError())
    now, then = np.asarray(descent.numbers)[:, None], np.asarray(numbers)[None]
    assert (abs(now - then).sum(2).argmin(1) == np.arange(COUNT)).all()
    assert (now[:, 0] != then[0]).all(0).any()


def test_what_a_stroke_shows_is_what_is_left_of_it(numbers, scene: Scene):
    covered = numbers.at[0].set(numbers[-1])  # all but hidden by the last one
    found = refinement.shown(covered, SEEDS, scene, brush=BRUSH)
    black = scene._replace(ground=jnp.zeros(3))
    dark = covered.at[:, 5:].set(0)
    expected = [
        (
            painted(dark.at[k, 5:].set(1), SEEDS, black, BRUSH, RGB)[0] * scene.weights
        ).sum()
        for k in range(COUNT)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-7)
    assert found[0] < 0.1 * found[-1]
