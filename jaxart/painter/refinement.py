"""Joint refinement: all strokes are optimised at once.

A stroke was placed before those that now cover it. So at the end all parameters of all
strokes are optimised together by Adam, with exact gradients through the whole drawing,
in the order in which they were painted. A step costs about four drawings of the
painting and three evaluations of the distance.

Source: Zou et al., "Stylized Neural Painting" (2021), for a joint optimisation after a
greedy one.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from jaxart.drawing.medium import Medium
from jaxart.drawing.pigments import Planes
from jaxart.drawing.strokes import COLOUR, LENGTH, SIZE, WIDTH, Canvas
from jaxart.painter.distances import Distance


# Learning rates: position and sides in shares of the stroke's own size, angle in
# radians for a round stroke, colours.
POSITION_RATE = 0.05
SIZE_RATE = 0.05
ANGLE_RATE = 0.08
COLOUR_RATE = 0.02

FINAL_RATE = 0.05  # share of the learning rates at the last step, of the first one
SHORTEST = 1.5  # side of a stroke, in pixels

# Gradients of a small stroke are tiny. The memory of their squares is short: they fall
# by much in the first steps.
ADAM = optax.scale_by_adam(0.9, 0.9, eps=1e-14)


class Objective(NamedTuple):
    """What is minimised.

    Args:
        picture: sRGB in [0, 1].
        weights: how much each pixel counts; their sum is 1.
        ground: colour of the empty canvas, sRGB in [0, 1].
        distance: between canvas and picture.
        medium: brush and pigment.
        bare: cost of paint on each pixel, if some are to stay bare.
    """

    picture: Float[Array, "3 h w"]
    weights: Float[Array, "h w"]
    ground: Float[Array, " 3"]
    distance: Distance
    medium: Medium
    bare: Float[Array, "h w"] | None = None


class RefineState(NamedTuple):
    """State of a joint refinement.

    Args:
        strokes: the parameters.
        opt_state: Adam's.
        scales: learning rate of each parameter at the first step.
        step: steps taken.
    """

    strokes: Float[Array, "n 8"]
    opt_state: optax.OptState
    scales: Float[Array, "n 8"]
    step: Int[Array, ""]


def init_state(strokes: Float[Array, "n 8"], step_scale: float = 1.0) -> RefineState:
    """Return the state before the first step.

    Args:
        strokes: where to begin.
        step_scale: factor of all learning rates.
    """
    length, width = strokes[:, LENGTH], strokes[:, WIDTH]
    thin = jnp.minimum(length, width)
    # The far end of a long stroke moves as far as that of a short one.
    angle = ANGLE_RATE * thin / jnp.maximum(length, width)
    position, colour = POSITION_RATE * thin, COLOUR_RATE * jnp.ones_like(thin)
    sides = [SIZE_RATE * length, SIZE_RATE * width]
    scales = jnp.stack([position, position, *sides, angle, *3 * [colour]], axis=1)
    return RefineState(strokes, ADAM.init(strokes), step_scale * scales, jnp.int32(0))


@partial(jax.jit, static_argnames="count")
def refine(
    state: RefineState,
    seeds: Float[Array, " n"],
    objective: Objective,
    total_steps: Int[Array, ""],
    *,
    count: int,
) -> tuple[RefineState, Float[Array, ""]]:
    """Take some steps of a joint refinement.

    Args:
        state: of the refinement.
        seeds: of the strokes' hairs.
        objective: what is minimised.
        total_steps: of the whole refinement, over which learning rates fall.
        count: how many steps to take now.

    Returns:
        The state, and the weighted mean squared error before its last step.
    """
    distance, weights = objective.distance, objective.weights
    target = distance.features(objective.picture[None])

    def loss_fn(strokes):
        canvas = render(strokes, seeds, objective)
        image = objective.medium.pigment.to_srgb(canvas[:3])
        features = distance.features(image[None])
        loss = distance.loss(features, target, weights[None])[0]
        if objective.bare is not None:
            loss += (objective.bare * canvas[4]).sum()
        return loss, error_map(image, objective).sum()

    def step(state, _):
        grad_fn = jax.value_and_grad(loss_fn, has_aux=True)
        (_, error), grads = grad_fn(state.strokes)
        t = jnp.minimum(state.step / total_steps, 1)
        rate = FINAL_RATE + (1 - FINAL_RATE) * (1 + jnp.cos(jnp.pi * t)) / 2
        # In units of each parameter's own scale.
        updates, opt_state = ADAM.update(grads * state.scales, state.opt_state)
        strokes = state.strokes - rate * state.scales * updates
        strokes = _clip(strokes, SHORTEST / objective.picture.shape[1])
        return RefineState(strokes, opt_state, state.scales, state.step + 1), error

    state, errors = jax.lax.scan(step, state, None, count)
    return state, errors[-1]


def _clip(strokes: Float[Array, "n 8"], shortest: float) -> Float[Array, "n 8"]:
    """Keep sides above a length in picture heights, and colours in [0, 1]."""
    strokes = strokes.at[:, SIZE].set(jnp.maximum(strokes[:, SIZE], shortest))
    return strokes.at[:, COLOUR].set(jnp.clip(strokes[:, COLOUR], 0, 1))


def render(
    strokes: Float[Array, "n 8"], seeds: Float[Array, " n"], objective: Objective
) -> Canvas:
    """Return the painting at the size of the objective's picture, in paint space.

    Where something is to stay bare, thickness and coverage follow.
    """
    _, height, width = objective.picture.shape
    canvas = objective.medium.blank(objective.ground, height, width)
    if objective.bare is not None:
        canvas = jnp.pad(canvas, ((0, 2), (0, 0), (0, 0)))
    return objective.medium.draw(canvas, strokes, seeds, resolution=height)


def error_map(image: Planes, objective: Objective) -> Float[Array, "h w"]:
    """Return the weighted squared error of each pixel of an sRGB image."""
    return ((image - objective.picture) ** 2).mean(0) * objective.weights
