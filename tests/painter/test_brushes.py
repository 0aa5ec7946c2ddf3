import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxart.painter.brushes import BRISTLE, DRY, FLAT, KNIFE, ROUND, Brush, mark


BRUSHES = {
    "round": ROUND,
    "flat": FLAT,
    "bristle": BRISTLE,
    "dry": DRY,
    "knife": KNIFE,
}
every_brush = pytest.mark.parametrize("brush", BRUSHES.values(), ids=BRUSHES.keys())
u, v = jnp.meshgrid(jnp.linspace(-1.5, 1.5, 121), jnp.linspace(-1.5, 1.5, 121))


def average(brush: Brush, where) -> tuple[float, float]:
    """Coverage and height in a part of the frame, averaged over many seeds."""
    seeds = jnp.linspace(0, 0.99, 50)
    coverage, height = jax.vmap(lambda seed: mark(brush, u, v, seed))(seeds)
    return float(coverage[:, where].mean()), float(height[:, where].mean())


@every_brush
def test_coverage_and_height_are_shares(brush: Brush):
    for seed in (0.0, 0.3, 0.99):
        for values in mark(brush, u, v, seed):
            assert values.min() >= 0
            assert values.max() <= 1


@every_brush
def test_no_paint_lies_outside_the_frame(brush: Brush):
    coverage, _ = mark(brush, u, v, 0.4)
    assert not coverage[(abs(u) >= 1) | (abs(v) >= 1)].any()


@every_brush
def test_the_middle_is_painted(brush: Brush):
    assert average(brush, (abs(u) < 0.4) & (abs(v) < 0.4))[0] > 0.25


@every_brush
def test_the_seed_picks_the_hairs(brush: Brush):
    first, again, other = (mark(brush, u, v, seed)[1] for seed in (0.2, 0.2, 0.7))
    np.testing.assert_array_equal(first, again)
    assert abs(first - other).max() > 0.1


@every_brush
def test_a_mark_has_gradients(brush: Brush):
    @jax.jit
    def values(point):
        return jnp.stack(mark(brush, point[0], point[1], 0.37))

    step = 1e-5
    with jax.enable_x64(True):
        points = jnp.array(np.random.default_rng(0).uniform(-0.99, 0.99, (50, 2)))
        jacobians = jax.jit(jax.vmap(jax.jacobian(values)))(points)
        for axis, nudge in enumerate(step * jnp.eye(2)[:, None]):
            above, below = (jax.vmap(values)(points + n) for n in (nudge, -nudge))
            expected = (above - below) / (2 * step)
            np.testing.assert_allclose(jacobians[..., axis], expected, atol=1e-3)


def test_a_round_brush_leaves_the_corners_that_a_knife_fills():
    corner = (u > -0.85) & (u < -0.7) & (abs(v) > 0.75) & (abs(v) < 0.85)
    assert average(ROUND, corner)[0] == 0
    assert average(KNIFE, corner)[0] > 0.5


def test_a_dry_brush_runs_out_of_paint():
    start, end = (abs(u - place) < 0.2 for place in (-0.5, 0.5))
    middle = abs(v) < 0.7
    dry = average(DRY, end & middle)[0] / average(DRY, start & middle)[0]
    flat = average(FLAT, end & middle)[0] / average(FLAT, start & middle)[0]
    assert dry < 0.85 < 0.9 < flat


def test_a_knife_leaves_ridges_at_its_edges():
    along = abs(u) < 0.5
    edge, middle = abs(v) > 0.85, abs(v) < 0.3
    assert average(KNIFE, along & edge)[1] > 1.3 * average(KNIFE, along & middle)[1]


def test_bristles_leave_streaks_along_the_stroke():
    _, height = mark(BRISTLE, u, v, 0.1)
    inner = np.asarray(height)[40:81, 40:81]
    along, across = (np.abs(np.diff(inner, axis=axis)).mean() for axis in (1, 0))
    assert across > 4 * along
