"""Pigments: the space in which paints mix.

A half transparent stroke leaves the average of its own colour and the one below it.
What that looks like depends on what is averaged. Light, as in plain RGB: then yellow
over blue is grey. Or what each paint takes from the light, as pigments do: then it is
green. A pigment is the way from colours to the space in which its paints are averaged,
its *paint space*, and back. Strokes of either are laid by the same arithmetic.

Source: ctmakro's opencv_playground, painterfun.py, for the absorbance 1 - c**(2.2 / k):
2.2 turns sRGB into light, and k layers of paint, more for blue than for green, take it
away.
Deviation: that curve is infinitely steep at black, so a colour descending along it
would never come to rest. Ours begins `TOE` above black, stretched to the same ends.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


# Red, green and blue, first axis, at any places.
Planes = Float[Array | np.ndarray, "3 *place"]

LAYERS = (7.0, 3.0, 13.0)  # of paint, in red, green and blue
TOE = 1 / 1024  # where the curve of absorbance begins, in sRGB: a quarter of a level


class Pigment(NamedTuple):
    """A way in which paints mix.

    Both functions take red, green and blue as the first axis, are each other's inverse
    on [0, 1], and have finite slopes there, ends included.

    Args:
        to_paint: from sRGB in [0, 1] to paint space.
        to_light: from paint space to sRGB.
    """

    to_paint: Callable[[Planes], Planes]
    to_light: Callable[[Planes], Planes]


def absorbance(light: Planes) -> Planes:
    """Return what share of the light a thin layer of each colour takes away.

    Args:
        light: sRGB in [0, 1]; what lies further out counts as nearly the end.
    """
    power, black, white = _curve(light.ndim)
    return (white - _within(light + TOE, TOE, 1 + TOE) ** power) / (white - black)


def transmitted(absorbed: Planes) -> Planes:
    """Return the colours of `absorbance`: its inverse.

    Args:
        absorbed: share of the light in [0, 1]; what lies further out counts as
            nearly the end.
    """
    power, black, white = _curve(absorbed.ndim)
    passed = white - _within(absorbed, 0.0, 1.0) * (white - black)
    return passed ** (1 / power) - TOE


def _curve(ndim: int) -> tuple[Float[np.ndarray, "3 ..."], ...]:
    """Return exponents of the curve, and its values at black and at white."""
    power = 2.2 / np.array(LAYERS, np.float32).reshape(3, *[1] * (ndim - 1))
    return power, np.float32(TOE) ** power, np.float32(1 + TOE) ** power


def _within(values: Planes, low: float, high: float) -> Planes:
    """Clip, just beyond the ends: at the very ends a clip would halve the slope."""
    return jnp.clip(values, low - TOE / 2, high + TOE / 2)


def _as_it_is(planes: Planes) -> Planes:
    return planes


RGB = Pigment(_as_it_is, _as_it_is)
ABSORBANCE = Pigment(absorbance, transmitted)

PIGMENTS = {"rgb": RGB, "absorbance": ABSORBANCE}
