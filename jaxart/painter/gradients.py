"""Minimising the loss of a stroke: finite differences, autodiff or random search.

`finite_differences` is that of ctmakro's essay: the loss of the stroke and of its
neighbours, one for each parameter, all in one batched call. `autodiff` differentiates
the drawing and the distance. `monte_carlo`, the essay's first algorithm, needs no
gradient: it proposes random changes, and accepts those that lower the loss.

Source: ctmakro, "Training of Artists"; the author's opencv_playground for the
limits on a step. Kingma and Ba, "Adam" (2015), for the steps themselves.
Deviation: the essay's steps are proportional to the gradient, up to a limit; ours are
Adam's, which need no such limit.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray


Point = Float[Array, " p"]
Loss = Float[Array, ""]
BatchLoss = Callable[[Float[Array, "m p"]], Float[Array, " m"]]
Method = Literal["finite_differences", "autodiff", "monte_carlo"]

DIFFERENCE_STEP = 0.25  # step of a finite difference, in units of the parameter's scale

# Short memory: there are a dozen steps. Gradients may be tiny.
ADAM = optax.scale_by_adam(b1=0.7, b2=0.9, eps=1e-12)
LEARNING_RATE = 0.5  # of the first step, in units of each parameter's scale


class SearchSpace(NamedTuple):
    """The units of a point's parameters, and the points that are allowed.

    Args:
        scales: how far a step in each parameter should go.
        project: returns the allowed point for any point.
    """

    scales: Point
    project: Callable[[Point], Point]


def finite_differences(
    loss: BatchLoss, step_sizes: Point
) -> Callable[[Point], tuple[Loss, Point]]:
    """Return the function of a point that returns the loss and its gradient.

    Args:
        loss: evaluates a batch of points; p + 1 at once.
        step_sizes: distances to the neighbour in each parameter.
    """

    def value_and_grad(point: Point) -> tuple[Loss, Point]:
        losses = loss(
            jnp.concatenate([point[None], point[None] + jnp.diag(step_sizes)])
        )
        return losses[0], (losses[1:] - losses[0]) / step_sizes

    return value_and_grad


def autodiff(loss: BatchLoss) -> Callable[[Point], tuple[Loss, Point]]:
    """Return the function of a point that returns the loss and its exact gradient."""
    return jax.value_and_grad(lambda point: loss(point[None])[0])


def minimize(
    loss: BatchLoss,
    start: Point,
    key: PRNGKeyArray,
    *,
    method: Method,
    space: SearchSpace,
    steps: int,
) -> tuple[Point, Loss]:
    """Return the best point found from `start` on, and its loss.

    Args:
        loss: evaluates a batch of points.
        start: where to begin.
        key: of the proposals of `monte_carlo`; else unused.
        method: how the gradient is computed, if at all.
        space: units of a step, and allowed points.
        steps: how many. Each costs nine evaluations by finite differences, about three
            by autodiff, and one by Monte Carlo; and one more at the end.
    """
    scales, project = space
    start = project(start)
    if method == "monte_carlo":
        return _random_search(loss, start, key, space, steps)
    if method == "autodiff":
        value_and_grad = autodiff(loss)
    else:
        value_and_grad = finite_differences(loss, DIFFERENCE_STEP * scales)

    def step(carry, k):
        point, opt_state, best, best_loss = carry
        value, grads = value_and_grad(point)
        best = jnp.where(value < best_loss, point, best)
        best_loss = jnp.minimum(value, best_loss)
        # Of parameters in units of their scales.
        updates, opt_state = ADAM.update(grads * scales, opt_state)
        rate = LEARNING_RATE * (1 - k / steps)
        point = project(point - rate * scales * updates)
        return (point, opt_state, best, best_loss), None

    carry = (start, ADAM.init(start), start, jnp.inf)
    (last, _, best, best_loss), _ = lax.scan(step, carry, jnp.arange(steps))
    value = loss(last[None])[0]
    return jnp.where(value < best_loss, last, best), jnp.minimum(value, best_loss)


def _random_search(
    loss: BatchLoss, start: Point, key: PRNGKeyArray, space: SearchSpace, steps: int
) -> tuple[Point, Loss]:
    """Return the best of random proposals around the best so far, closer and closer."""

    def step(carry, k):
        best, best_loss = carry
        noise = jax.random.normal(jax.random.fold_in(key, k), best.shape)
        step_size = 2 * (1 - k / steps)
        proposal = space.project(best + step_size * space.scales * noise)
        value = loss(proposal[None])[0]
        accepted = value < best_loss
        return (
            jnp.where(accepted, proposal, best),
            jnp.where(accepted, value, best_loss),
        ), None

    (best, best_loss), _ = lax.scan(
        step, (start, loss(start[None])[0]), jnp.arange(steps)
    )
    return best, best_loss
