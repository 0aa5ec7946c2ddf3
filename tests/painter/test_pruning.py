import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from jaxart.drawing.brushes import BRUSHES
from jaxart.drawing.medium import Medium
from jaxart.drawing.pigments import ABSORBANCE, RGB, Pigment
from jaxart.painter import pruning, refinement
from jaxart.painter.distances import SquaredError
from jaxart.painter.refinement import Objective


COUNT, HEIGHT, WIDTH = 40, 70, 90
SEEDS = jnp.linspace(0.1, 0.9, COUNT)
render = jax.jit(refinement.render)


def make_objective(pigment: Pigment, *, bare: bool) -> Objective:
    rng = np.random.default_rng(0)
    picture = 0.3 * rng.random((3, HEIGHT, WIDTH)).astype(np.float32)  # dark
    weights = rng.random((HEIGHT, WIDTH)).astype(np.float32)
    weights /= weights.sum()
    return Objective(
        jnp.array(picture),
        jnp.array(weights),
        jnp.array([0.8, 0.8, 0.8]),
        SquaredError(),
        Medium(BRUSHES["round"], pigment),
        jnp.array(weights * rng.random((HEIGHT, WIDTH)), jnp.float32) if bare else None,
    )


def make_strokes() -> jax.Array:
    low = [-0.1, -0.1, 0.05, 0.02, 0, 0, 0, 0]
    high = [1.4, 1.1, 0.5, 0.2, 6, 1, 1, 1]
    rng = np.random.default_rng(1)
    return jnp.array(rng.uniform(low, high, (COUNT, 8)), jnp.float32)


def error_of(strokes: jax.Array, seeds: jax.Array, objective: Objective) -> float:
    canvas = render(strokes, seeds, objective)
    image = objective.medium.pigment.to_srgb(canvas[:3])
    error = ((image - objective.picture) ** 2).mean(0) * objective.weights
    paint = 0 if objective.bare is None else objective.bare * canvas[4]
    return float(np.asarray(error + paint, float).sum())


@pytest.mark.parametrize(("pigment", "bare"), [(RGB, False), (ABSORBANCE, True)])
def test_left_out_in_groups_is_left_out_one_by_one(pigment: Pigment, bare: bool):
    objective, strokes = make_objective(pigment, bare=bare), make_strokes()
    found = pruning.error_rises(strokes, SEEDS, objective)
    whole = error_of(strokes, SEEDS, objective)
    for k in range(COUNT):
        rest = [jnp.delete(part, k, axis=0) for part in (strokes, SEEDS)]
        rise = error_of(rest[0], rest[1], objective) - whole
        assert found[k] == pytest.approx(rise, rel=1e-3, abs=1e-6 * whole)
    assert found.max() > 0 > found.min()


def test_there_are_far_fewer_groups_than_strokes():
    objective, strokes = make_objective(RGB, bare=False), make_strokes()
    strokes = strokes.at[:, 2:4].multiply(0.2)
    reached = np.asarray(pruning._reached(strokes, SEEDS, objective))
    assert 1 < pruning.disjoint_groups(reached).max() + 1 < COUNT / 3


@hypothesis.given(
    st.integers(0, 20), st.integers(1, 9), st.floats(0, 1), st.integers(0, 99)
)
def test_no_two_strokes_of_a_group_share_a_tile(n: int, t: int, share: float, seed):
    reached = np.random.default_rng(seed).random((n, t)) < share
    group_of = pruning.disjoint_groups(reached)
    for group in set(group_of):
        assert reached[group_of == group].sum(0).max() <= 1
    most = reached.sum(0).max(initial=0)
    assert len(set(group_of)) >= most
