import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxart import vgg
from jaxart.painter.brushes import ROUND
from jaxart.painter.distances import WHOLE, Distance, Look, Perceptual, SquaredError
from jaxart.painter.slopes import autodiff, descend, finite_differences
from jaxart.painter.strokes import Strokes, draw


START = np.array([0.45, 0.52, 0.6, 0.3, 0.5, 0.9, 0.2, 0.1])
SIDE = 24
PICTURE = np.random.default_rng(0).random((1, 3, SIDE, SIDE))


@pytest.fixture(params=["mse", "vgg"])
def distance(request: pytest.FixtureRequest, vgg_weights: vgg.Weights) -> Distance:
    if request.param == "mse":
        return SquaredError()
    with jax.enable_x64(True):
        exact = jax.tree.map(lambda part: jnp.asarray(part, float), vgg_weights)
    return Perceptual(exact, (Look(WHOLE, ("relu1_2",), 1.0),), 1.0, directions=True)


def losses(distance: Distance, points):
    """How far the picture is from a grey canvas with each of some strokes."""

    def painted(point):
        canvas = jnp.full((3, SIDE, SIDE), 0.5, point.dtype)
        seeds = jnp.full(1, 0.3, point.dtype)
        return draw(canvas, Strokes(*point[:, None]), ROUND, seeds, pixels=SIDE)

    canvases = jax.vmap(painted)(points)
    weights = jnp.full((len(points), SIDE, SIDE), 1 / SIDE**2)
    target = jnp.broadcast_to(jnp.asarray(PICTURE), canvases.shape)
    return distance.between(distance.see(canvases), distance.see(target), weights)


def test_nine_in_one_call_equal_nine_single_calls(distance: Distance):
    with jax.enable_x64(True):
        nudges = jnp.full(8, 0.01)
        one = jax.jit(lambda point: losses(distance, point[None])[0])
        value, slope = jax.jit(
            lambda at: finite_differences(lambda p: losses(distance, p), at, nudges)
        )(jnp.array(START))
        first = one(jnp.array(START))
        singly = [(one(START + 0.01 * way) - first) / 0.01 for way in np.eye(8)]
    assert float(value) == pytest.approx(float(first), rel=1e-12)
    np.testing.assert_allclose(slope, singly, rtol=1e-8)


def test_both_slopes_agree_where_the_loss_is_smooth(distance: Distance):
    with jax.enable_x64(True):
        at, nudges = jnp.array(START), jnp.full(8, 1e-6)
        value, exact = jax.jit(lambda at: autodiff(lambda p: losses(distance, p), at))(
            at
        )
        same, near = jax.jit(
            lambda at: finite_differences(lambda p: losses(distance, p), at, nudges)
        )(at)
    assert float(value) == pytest.approx(float(same), rel=1e-12)
    assert abs(exact).min() > 1e-5
    np.testing.assert_allclose(near, exact, rtol=1e-3)


def bowl(points):
    """Least at (1, -2, 3), narrow in one number and wide in another."""
    apart = (points - jnp.array([[1.0, -2.0, 3.0]])) / jnp.array([[0.1, 1.0, 5.0]])
    return (apart**2).sum(1)


def went(f, slope, key=0, steps=12, limit=lambda point: point):
    return descend(
        f,
        jnp.zeros(3),
        jax.random.key(key),
        slope=slope,
        scales=jnp.array([0.2, 0.5, 2.0]),
        limit=limit,
        steps=steps,
    )


every_slope = pytest.mark.parametrize(
    "slope", ["autodiff", "finite_differences", "monte_carlo"]
)


@every_slope
def test_the_way_goes_down(slope):
    start = float(bowl(jnp.zeros((1, 3)))[0])
    best, least = went(bowl, slope, steps=60)
    assert float(least) < 0.05 * start
    assert float(least) == float(bowl(best[None])[0])


@every_slope
def test_the_best_point_met_is_returned(slope):
    """Where each move leads uphill, that is the start."""

    def deceit(points):
        # The slope says left, where it is higher.
        far = abs(points).sum(1)
        return jnp.where(far == 0, 0.0, 1.0 + far) + 0.1 * points.sum(1)

    best, least = went(deceit, slope)
    np.testing.assert_array_equal(best, 0)
    assert least == 0


@every_slope
def test_points_stay_where_they_may_be(slope):
    best, _ = went(bowl, slope, steps=30, limit=lambda p: jnp.clip(p, -0.5, 0.5))
    assert abs(best).max() <= 0.5
    np.testing.assert_allclose(best[1], -0.5, atol=0.2)


def test_proposals_never_raise_the_loss_and_depend_on_the_key():
    values = [float(went(bowl, "monte_carlo", steps=steps)[1]) for steps in (1, 4, 40)]
    assert max(values) <= float(bowl(jnp.zeros((1, 3)))[0])
    assert values[2] < values[0]
    for key in (0, 1):
        one, again, other = (went(bowl, "monte_carlo", k)[0] for k in (key, key, 7))
        np.testing.assert_array_equal(one, again)
        assert (one != other).any()
