from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxart import vgg
from jaxart.drawing.brushes import ROUND
from jaxart.drawing.strokes import draw
from jaxart.painter.distances import (
    WHOLE,
    Distance,
    FeatureSpec,
    Perceptual,
    SquaredError,
)
from jaxart.painter.gradients import (
    Method,
    SearchSpace,
    autodiff,
    finite_differences,
    minimize,
)


START = np.array([0.45, 0.52, 0.6, 0.3, 0.5, 0.9, 0.2, 0.1])
SIDE = 16
PICTURE = np.random.default_rng(0).random((1, 3, SIDE, SIDE))


@pytest.fixture(params=["mse", "vgg"])
def distance(request: pytest.FixtureRequest, vgg_weights: vgg.Weights) -> Distance:
    if request.param == "mse":
        return SquaredError()
    with jax.enable_x64(True):
        network = jax.tree.map(lambda part: jnp.asarray(part, float), vgg_weights)
    specs = (FeatureSpec(WHOLE, ("relu1_1",), 1.0),)
    return Perceptual(network, specs, 1.0, normalised=True)


def losses(distance: Distance, strokes):
    """How far the picture is from a grey canvas with each of some strokes."""

    def painted(stroke):
        canvas = jnp.full((3, SIDE, SIDE), 0.5, stroke.dtype)
        seeds = jnp.full(1, 0.3, stroke.dtype)
        return draw(canvas, stroke[None], ROUND, seeds, resolution=SIDE)

    canvases = jax.vmap(painted)(strokes)
    weights = jnp.full((len(strokes), SIDE, SIDE), 1 / SIDE**2)
    target = jnp.broadcast_to(jnp.asarray(PICTURE), canvases.shape)
    target = distance.features(target)
    return distance.loss(distance.features(canvases), target, weights)


def test_nine_losses_in_one_call_equal_nine_single_calls(distance: Distance):
    with jax.enable_x64(True):
        step_sizes = jnp.full(8, 0.01)
        one = jax.jit(lambda stroke: losses(distance, stroke[None])[0])
        value, grads = jax.jit(
            finite_differences(lambda p: losses(distance, p), step_sizes)
        )(jnp.array(START))
        first = one(jnp.array(START))
        singly = [(one(START + 0.01 * unit) - first) / 0.01 for unit in np.eye(8)]
    assert float(value) == pytest.approx(float(first), rel=1e-12)
    np.testing.assert_allclose(grads, singly, rtol=1e-8)


def test_both_gradients_agree_where_the_loss_is_smooth(distance: Distance):
    with jax.enable_x64(True):
        at, step_sizes = jnp.array(START), jnp.full(8, 1e-6)
        value, exact = jax.jit(autodiff(lambda p: losses(distance, p)))(at)
        same, near = jax.jit(
            finite_differences(lambda p: losses(distance, p), step_sizes)
        )(at)
    assert float(value) == pytest.approx(float(same), rel=1e-12)
    assert abs(exact).min() > 1e-5
    np.testing.assert_allclose(near, exact, rtol=1e-3)


def bowl(points):
    """Least at (1, -2, 3), narrow in one parameter and wide in another."""
    offsets = (points - jnp.array([[1.0, -2.0, 3.0]])) / jnp.array([[0.1, 1.0, 5.0]])
    return (offsets**2).sum(1)


def minimum(loss, method, key=0, steps=12, project=lambda point: point):
    return minimize(
        loss,
        jnp.zeros(3),
        jax.random.key(key),
        method=method,
        space=SearchSpace(jnp.array([0.2, 0.5, 2.0]), project),
        steps=steps,
    )


every_method = pytest.mark.parametrize("method", get_args(Method))


@every_method
def test_the_loss_falls(method: Method):
    start = float(bowl(jnp.zeros((1, 3)))[0])
    best, best_loss = minimum(bowl, method, steps=60)
    assert float(best_loss) < 0.05 * start
    assert float(best_loss) == float(bowl(best[None])[0])


@every_method
def test_the_best_point_met_is_returned(method: Method):
    """Where each step leads uphill, that is the start."""

    def deceptive(points):
        # The gradient says left, where the loss is higher.
        norm = abs(points).sum(1)
        return jnp.where(norm == 0, 0.0, 1.0 + norm) + 0.1 * points.sum(1)

    best, best_loss = minimum(deceptive, method)
    np.testing.assert_array_equal(best, 0)
    assert best_loss == 0


@every_method
def test_points_stay_within_bounds(method: Method):
    best, _ = minimum(bowl, method, steps=30, project=lambda p: jnp.clip(p, -0.5, 0.5))
    assert abs(best).max() <= 0.5
    np.testing.assert_allclose(best[1], -0.5, atol=0.2)


def test_proposals_never_raise_the_loss_and_depend_on_the_key():
    values = [
        float(minimum(bowl, "monte_carlo", steps=steps)[1]) for steps in (1, 4, 40)
    ]
    assert max(values) <= float(bowl(jnp.zeros((1, 3)))[0])
    assert values[2] < values[0]
    for key in (0, 1):
        one, again, other = (minimum(bowl, "monte_carlo", k)[0] for k in (key, key, 7))
        np.testing.assert_array_equal(one, again)
        assert (one != other).any()
