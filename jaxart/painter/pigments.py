"""Pigments: the space in which paints mix.

A half transparent stroke leaves the average of its own colour and the one below it.
What that looks like depends on what is averaged. If it is light, as in plain RGB,
yellow over blue is grey. If it is what each paint absorbs of the light, it is green. A
pigment is the map from colours to the space in which its paints are averaged, its
*paint space*, and back. Strokes of either are composited in the same way.

Source: ctmakro's opencv_playground, painterfun.py, for the absorbance 1 - c**(2.2 / k):
2.2 turns sRGB into light, and k layers of paint, more for blue than for green, take it
away.
Deviation: that curve is infinitely steep at black, so gradient descent of a colour
would never converge. Ours begins `TOE` above black, scaled to the same ends.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


# Red, green and blue on the first axis.
Planes = Float[Array | np.ndarray, "3 *point"]

LAYERS = (7.0, 3.0, 13.0)  # of paint, in red, green and blue
TOE = 1 / 1024  # where the curve of absorbance begins, in sRGB: a quarter of a level


class Pigment(NamedTuple):
    """How paints mix.

    Both functions take red, green and blue as the first axis, are each other's inverse
    on [0, 1], and have finite gradients there, ends included.

    Args:
        to_paint: from sRGB in [0, 1] to paint space.
        to_light: from paint space to sRGB.
    """

    to_paint: Callable[[Planes], Planes]
    to_light: Callable[[Planes], Planes]


def absorbance(light: Planes) -> Planes:
    """Return what share of the light a thin layer of each colour absorbs.

    Args:
        light: sRGB in [0, 1]; values outside are clipped.
    """
    power, black, white = _curve(light.ndim)
    return (white - _clip(light + TOE, TOE, 1 + TOE) ** power) / (white - black)


def transmitted(absorbed: Planes) -> Planes:
    """Return the colours of `absorbance`: its inverse.

    Args:
        absorbed: share of the light in [0, 1]; values outside are clipped.
    """
    power, black, white = _curve(absorbed.ndim)
    passed = white - _clip(absorbed, 0.0, 1.0) * (white - black)
    return passed ** (1 / power) - TOE


def _curve(ndim: int) -> tuple[Float[np.ndarray, "3 ..."], ...]:
    """Return exponents of the curve, and its values at black and at white."""
    power = 2.2 / np.array(LAYERS, np.float32).reshape(3, *[1] * (ndim - 1))
    return power, np.float32(TOE) ** power, np.float32(1 + TOE) ** power


def _clip(values: Planes, low: float, high: float) -> Planes:
    """Clip just beyond the ends: at the very ends a clip would halve the gradient."""
    return jnp.clip(values, low - TOE / 2, high + TOE / 2)


def _identity(planes: Planes) -> Planes:
    return planes


RGB = Pigment(_identity, _identity)
ABSORBANCE = Pigment(absorbance, transmitted)

PIGMENTS = {"rgb": RGB, "absorbance": ABSORBANCE}
