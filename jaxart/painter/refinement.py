"""Better than greedy: all strokes move at once, and what cannot be seen is dropped.

A stroke was placed when those that now lie on it were not there yet. So at the end all
numbers of all strokes descend together, along exact slopes through the whole drawing,
in the order in which they were laid. A step costs about four drawings of the painting
and three looks at it.

Source: Zou et al., "Stylized Neural Painting" (2021), for a joint descent after a
greedy one; Kerbl et al. (2023, see `strokes.py`) for dropping what hardly shows.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from jaxart.painter.brushes import Brush
from jaxart.painter.distances import Distance
from jaxart.painter.pigments import Pigment
from jaxart.painter.strokes import Canvas, Numbers, Strokes, draw


# How far one step may go at first: sides and places in shares of the stroke's own
# size, angle in radians for a round stroke, colours.
PLACE = 0.05
SIDES = 0.05
TURN = 0.08
COLOUR = 0.02

LAST = 0.05  # share of it that is left at the last step
SHORTEST = 1.5  # side of a stroke, in pixels


class Scene(NamedTuple):
    """The picture that a painting is refined for.

    Args:
        picture: sRGB in [0, 1].
        weights: how much each pixel counts; their sum is 1.
        ground: colour of the empty canvas, sRGB in [0, 1].
    """

    picture: Float[Array, "3 h w"]
    weights: Float[Array, "h w"]
    ground: Float[Array, " 3"]


class Descent(NamedTuple):
    """Strokes on their way down.

    Args:
        numbers: of the strokes.
        adam: Adam's memory.
        scales: how far each number may go in a step.
        step: steps done.
    """

    numbers: Numbers
    adam: optax.OptState
    scales: Numbers
    step: Int[Array, ""]


ADAM = optax.scale_by_adam(0.9, 0.99)


def begin(numbers: Numbers, pace: float = 1.0) -> Descent:
    """Return a descent that begins at some strokes.

    Args:
        numbers: the strokes.
        pace: how far its steps go, in steps of the usual size.
    """
    length, width = numbers[:, 2:4].T
    thin = jnp.minimum(length, width)
    one = jnp.ones_like(thin)
    # The far end of a long stroke turns as far as that of a short one.
    turn = TURN * thin / jnp.maximum(length, width)
    scales = [PLACE * thin, PLACE * thin, SIDES * length, SIDES * width, turn]
    scales = jnp.stack([*scales, *3 * [COLOUR * one]], axis=1)
    return Descent(numbers, ADAM.init(numbers), pace * scales, jnp.int32(0))


@partial(jax.jit, static_argnames=("brush", "pigment", "count"))
def descend(
    descent: Descent,
    seeds: Float[Array, " n"],
    scene: Scene,
    distance: Distance,
    steps: Int[Array, ""],
    *,
    brush: Brush,
    pigment: Pigment,
    count: int,
) -> tuple[Descent, Float[Array, ""]]:
    """Take some steps of a joint descent.

    Args:
        descent: where it is.
        seeds: of the strokes' hairs.
        scene: what the strokes are to show.
        distance: what is to fall.
        steps: of the whole descent; moves become shorter towards its end.
        brush: of the strokes.
        pigment: of their paints.
        count: how many steps to take now.

    Returns:
        The descent, and the weighted mean squared error before its last step.
    """
    target = distance.see(scene.picture[None])

    def loss(numbers):
        seen = pigment.to_light(painted(numbers, seeds, scene, brush, pigment))
        total = distance.between(distance.see(seen[None]), target, scene.weights[None])[
            0
        ]
        error = (((seen - scene.picture) ** 2).mean(0) * scene.weights).sum()
        return total, error

    def step(descent, _):
        (_, error), slopes = jax.value_and_grad(loss, has_aux=True)(descent.numbers)
        done = jnp.minimum(descent.step / steps, 1)
        rate = LAST + (1 - LAST) * (1 + jnp.cos(jnp.pi * done)) / 2
        # In units of each number's own scale, where all may go equally far.
        moves, adam = ADAM.update(slopes * descent.scales, descent.adam)
        numbers = descent.numbers - rate * descent.scales * moves
        sides = jnp.maximum(numbers[:, 2:4], SHORTEST / scene.picture.shape[1])
        numbers = numbers.at[:, 2:4].set(sides)
        numbers = numbers.at[:, 5:].set(jnp.clip(numbers[:, 5:], 0, 1))
        return Descent(numbers, adam, descent.scales, descent.step + 1), error

    descent, errors = jax.lax.scan(step, descent, None, count)
    return descent, errors[-1]


def painted(
    numbers: Numbers,
    seeds: Float[Array, " n"],
    scene: Scene,
    brush: Brush,
    pigment: Pigment,
) -> Canvas:
    """Return the painting at the size of its picture, in paint space."""
    ground = pigment.to_paint(scene.ground)[:, None, None]
    strokes = Strokes(*numbers[:, :5].T, *pigment.to_paint(numbers[:, 5:].T))
    canvas = jnp.broadcast_to(ground, scene.picture.shape)
    return draw(canvas, strokes, brush, seeds, pixels=scene.picture.shape[1])


@partial(jax.jit, static_argnames="brush")
def shown(
    numbers: Numbers, seeds: Float[Array, " n"], scene: Scene, *, brush: Brush
) -> Float[Array, " n"]:
    """Return how much of each stroke can be seen, in weights of the picture.

    The canvas is linear in each colour, with a slope that is just that.
    """

    def seen(red):
        strokes = Strokes(*numbers[:, :5].T, *3 * [red])
        start = jnp.zeros_like(scene.picture)
        canvas = draw(start, strokes, brush, seeds, pixels=scene.picture.shape[1])
        return (canvas[0] * scene.weights).sum()

    return jax.grad(seen)(jnp.zeros(len(seeds)))
