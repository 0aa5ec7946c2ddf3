import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxart.drawing.brushes import BRUSHES
from jaxart.drawing.medium import Medium
from jaxart.drawing.pigments import ABSORBANCE, RGB, Pigment
from jaxart.painter import refinement
from jaxart.painter.distances import HALF, FeatureSpec, Perceptual, SquaredError
from jaxart.painter.refinement import SHORTEST, Objective, RefineState


COUNT = 12
SEEDS = jnp.linspace(0.1, 0.9, COUNT)
BRUSH = BRUSHES["soft"]
TOTAL_STEPS = jnp.int32(40)
render = jax.jit(refinement.render)


@pytest.fixture(scope="module")
def objective(disc: np.ndarray) -> Objective:
    h, w, _ = disc.shape
    weights = np.random.default_rng(0).random((h, w)).astype(np.float32)
    weights /= weights.sum()
    picture = jnp.array(np.moveaxis(disc, 2, 0), jnp.float32) / 255
    ground = jnp.array([0.8, 0.8, 0.8])
    medium = Medium(BRUSH, RGB)
    return Objective(picture, jnp.array(weights), ground, SquaredError(), medium)


@pytest.fixture(scope="module")
def strokes() -> jax.Array:
    low = [0, 0, 0.2, 0.1, 0, 0, 0, 0]
    high = [1.2, 1, 0.6, 0.3, 6, 1, 1, 1]
    rng = np.random.default_rng(1)
    return jnp.array(rng.uniform(low, high, (COUNT, 8)), jnp.float32)


def refined(state, objective: Objective, count=5) -> tuple[RefineState, float]:
    """Take some steps from a state, or from strokes."""
    if not isinstance(state, RefineState):
        state = refinement.init_state(state)
    state, error = refinement.refine(state, SEEDS, objective, TOTAL_STEPS, count=count)
    return state, float(error)


def error_of(strokes, objective: Objective) -> float:
    canvas = render(strokes, SEEDS, objective)
    srgb = np.asarray(objective.medium.pigment.to_srgb(canvas), float)
    error = ((srgb - np.asarray(objective.picture)) ** 2).mean(0)
    return float((error * np.asarray(objective.weights)).sum())


@pytest.mark.parametrize("pigment", [RGB, ABSORBANCE])
def test_squared_error_falls(strokes, objective: Objective, pigment: Pigment):
    objective = objective._replace(medium=Medium(BRUSH, pigment))
    before = error_of(strokes, objective)
    state, _ = refined(strokes, objective)
    first = error_of(state.strokes, objective)
    state, error = refined(state, objective)
    second = error_of(state.strokes, objective)
    assert second < first < 0.9 * before
    assert second < error < first
    assert int(state.step) == 10


def test_a_loss_of_vgg_features_falls(strokes, objective: Objective, vgg_weights):
    specs = (FeatureSpec(HALF, ("relu1_2",), 1.0),)
    distance = Perceptual(vgg_weights, specs, 0.0, normalised=True)

    @jax.jit
    def loss_of(strokes) -> jax.Array:
        canvas = refinement.render(strokes, SEEDS, objective)
        features = distance.features(canvas[None])
        target = distance.features(objective.picture[None])
        return distance.loss(features, target, objective.weights[None])[0]

    state, _ = refined(strokes, objective._replace(distance=distance))
    assert float(loss_of(state.strokes)) < 0.9 * float(loss_of(strokes))


def test_steps_in_two_calls_equal_steps_in_one(strokes, objective: Objective):
    whole, _ = refined(strokes, objective, count=10)
    half, _ = refined(strokes, objective)
    half, _ = refined(half, objective)
    np.testing.assert_allclose(half.strokes, whole.strokes, atol=1e-4)


def test_strokes_stay_in_range_and_in_their_order(strokes, objective: Objective):
    thin = strokes.at[:, 3].set(0.001).at[:, 5:].set(jnp.round(strokes[:, 5:]))
    # What is half transparent can never be white enough.
    white = objective._replace(picture=jnp.ones_like(objective.picture))
    state, _ = refined(thin, white)
    height = objective.picture.shape[1]
    found = np.asarray(state.strokes)
    assert np.isfinite(found).all()
    assert found[:, 2:4].min() >= SHORTEST / height * (1 - 1e-6)
    assert found[:, 5:].min() >= 0
    assert found[:, 5:].max() <= 1
    # A step is short, so each stroke is still closest to where it was.
    state, _ = refined(strokes, objective)
    after, before = np.asarray(state.strokes)[:, None], np.asarray(strokes)[None]
    assert (abs(after - before).sum(2).argmin(1) == np.arange(COUNT)).all()
    assert (after[:, 0] != before[0]).all(0).any()
