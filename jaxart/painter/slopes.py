"""Which way is downhill: three ways to better a stroke.

`finite_differences` is the essay's: the loss at the stroke and at its neighbours, one
for each number, all in one batched call. `autodiff` differentiates the drawing and the
distance. `monte_carlo`, the essay's first algorithm, knows no slope: it proposes, and
keeps what is better.

Source: the seed essay, "Training of Artists"; its author's opencv_playground for the
limits on a move. Kingma and Ba, "Adam" (2015), for the moves themselves.
Deviation: the essay's moves are as long as the slope is steep, up to a limit; ours are
Adam's, which need no such limit.
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray


Point = Float[Array, " p"]
Loss = Float[Array, ""]
Slope = Literal["finite_differences", "autodiff", "monte_carlo"]

NUDGE = 0.25  # of a number, in units of its scale

DECAY = (0.7, 0.9)  # Adam's, for a dozen steps instead of thousands
STEP = 0.5  # length of the first move, in units of each number's scale
EPSILON = 1e-12


def finite_differences(
    f: Callable[[Float[Array, "m p"]], Float[Array, " m"]], at: Point, nudges: Point
) -> tuple[Loss, Point]:
    """Return the value and the slope of `f`, from p + 1 values in one batch.

    Args:
        f: evaluates a batch of points.
        at: the point.
        nudges: how far the neighbours are away.
    """
    values = f(jnp.concatenate([at[None], at[None] + jnp.diag(nudges)]))
    return values[0], (values[1:] - values[0]) / nudges


def autodiff(
    f: Callable[[Float[Array, "m p"]], Float[Array, " m"]], at: Point
) -> tuple[Loss, Point]:
    """Return the value and the exact slope of `f`, which evaluates batches."""
    return jax.value_and_grad(lambda point: f(point[None])[0])(at)


def descend(
    f: Callable[[Float[Array, "m p"]], Float[Array, " m"]],
    start: Point,
    key: PRNGKeyArray,
    *,
    slope: Slope,
    scales: Point,
    limit: Callable[[Point], Point],
    steps: int,
) -> tuple[Point, Loss]:
    """Return the best point met on the way down from `start`, and its loss.

    Args:
        f: evaluates a batch of points.
        start: where to begin.
        key: of the proposals of `monte_carlo`; else unused.
        slope: how the way is found.
        scales: how far a move in each number should go.
        limit: brings a point back to where points may be.
        steps: how many moves. Each costs nine evaluations by finite differences, about
            three by autodiff, and one by Monte Carlo; and one more at the end.
    """
    start = limit(start)
    if slope == "monte_carlo":
        return _propose(f, start, key, scales, limit, steps)

    def step(carry, k):
        at, mean, square, best, least = carry
        if slope == "autodiff":
            value, found = autodiff(f, at)
        else:
            value, found = finite_differences(f, at, NUDGE * scales)
        best = jnp.where(value < least, at, best)
        least = jnp.minimum(value, least)
        # Of numbers in units of their scales.
        found = found * scales
        mean = DECAY[0] * mean + (1 - DECAY[0]) * found
        square = DECAY[1] * square + (1 - DECAY[1]) * found**2
        ahead = mean / (1 - DECAY[0] ** (k + 1))
        size = jnp.sqrt(square / (1 - DECAY[1] ** (k + 1))) + EPSILON
        move = STEP * (1 - k / steps) * ahead / size
        return (limit(at - move * scales), mean, square, best, least), None

    zero = jnp.zeros_like(start)
    carry = (start, zero, zero, start, jnp.inf)
    (last, _, _, best, least), _ = lax.scan(step, carry, jnp.arange(steps))
    value = f(last[None])[0]
    return jnp.where(value < least, last, best), jnp.minimum(value, least)


def _propose(
    f: Callable[[Float[Array, "m p"]], Float[Array, " m"]],
    start: Point,
    key: PRNGKeyArray,
    scales: Point,
    limit: Callable[[Point], Point],
    steps: int,
) -> tuple[Point, Loss]:
    """Return the best of proposals around the best so far, which grow more timid."""

    def step(carry, k):
        best, least = carry
        noise = jax.random.normal(jax.random.fold_in(key, k), best.shape)
        proposal = limit(best + 2 * (1 - k / steps) * scales * noise)
        value = f(proposal[None])[0]
        better = value < least
        return (
            jnp.where(better, proposal, best),
            jnp.where(better, value, least),
        ), None

    (best, least), _ = lax.scan(step, (start, f(start[None])[0]), jnp.arange(steps))
    return best, least
