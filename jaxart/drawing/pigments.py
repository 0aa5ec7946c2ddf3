"""Pigments: the space in which paints mix.

A half transparent stroke leaves the average of its own colour and the one below it.
Averaging sRGB makes yellow over blue grey; averaging absorbance makes it green. A
pigment is the map from colours to the space in which its paints are averaged, its
*paint space*, and back. Strokes of either are composited in the same way.

Source: ctmakro's opencv_playground, painterfun.py, for the absorbance 1 - c**(2.2 / k):
the exponent 2.2 / k differs by channel.
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

CHANNEL_K = (7.0, 3.0, 13.0)  # k of red, green and blue
TOE = 1 / 1024  # where the curve of absorbance begins, in sRGB: a quarter of a level


class Pigment(NamedTuple):
    """How paints mix.

    Both functions take red, green and blue as the first axis, are each other's inverse
    on [0, 1], and have finite gradients there, ends included.

    Args:
        to_paint: from sRGB in [0, 1] to paint space.
        to_srgb: from paint space to sRGB.
    """

    to_paint: Callable[[Planes], Planes]
    to_srgb: Callable[[Planes], Planes]


def absorbance(colours: Planes) -> Planes:
    """Return what share of the light a thin layer of each colour absorbs.

    Args:
        colours: sRGB in [0, 1]; values outside are clipped.
    """
    power, black, white = _curve(colours.ndim)
    return (white - _clip(colours + TOE, TOE, 1 + TOE) ** power) / (white - black)


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
    power = 2.2 / np.array(CHANNEL_K, np.float32).reshape(3, *[1] * (ndim - 1))
    return power, np.float32(TOE) ** power, np.float32(1 + TOE) ** power


def _clip(values: Planes, low: float, high: float) -> Planes:
    """Clip just beyond the ends: at the very ends a clip would halve the gradient."""
    return jnp.clip(values, low - TOE / 2, high + TOE / 2)


def _identity(planes: Planes) -> Planes:
    return planes


RGB = Pigment(_identity, _identity)
ABSORBANCE = Pigment(absorbance, transmitted)

PIGMENTS = {"rgb": RGB, "absorbance": ABSORBANCE}
