"""Relief: light on the height of the paint, the look of thick oil.

Each stroke lays down paint of some thickness. Its furrows and edges tilt the surface,
and a lamp makes what faces it brighter and what turns away darker, with a glint where
wet paint mirrors it. Level paint keeps its colour exactly, so that a lit painting is
the same painting.

Thickness, like all lengths of the painter, is in picture heights, and the grain of the
paint is a share of the picture too: a painting looks the same at any size in pixels.

Source: Lambert's diffuse light, and Blinn, "Models of Light Reflection for Computer
Synthesized Pictures" (1977), for the gloss.
Deviation: brightness counts from that of level paint, not from darkness.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, ScalarLike


# Standard deviation of the blur that takes steps between pixels from the height, in
# picture heights: wider than a pixel from about 700 pixels on.
GRAIN = 0.0014
SHEEN = 24  # Blinn's exponent: how small the glints are
GAMMA = 2.2  # from light to sRGB, nearly


class Light(NamedTuple):
    """A lamp far away, and the paint that it falls on.

    Args:
        azimuth: where the lamp stands, in degrees: 0 above the picture, 90 to its
            right.
        elevation: how far it stands before the picture, in degrees above 0, at which it
            would graze the paint, to 90.
        depth: thickness of the thickest paint, in picture heights.
        gloss: how strongly the paint mirrors the lamp, in [0, 1].
    """

    azimuth: ScalarLike = 315.0
    elevation: ScalarLike = 40.0
    depth: ScalarLike = 0.006
    gloss: ScalarLike = 0.25


def check(light: Light) -> None:
    """Refuse numbers that no lamp has.

    Raises:
        ValueError: a number of `light` is out of the range that `Light` gives it.
    """
    azimuth, elevation, depth, gloss = (float(np.asarray(number)) for number in light)
    if not np.isfinite(azimuth):
        raise ValueError(f"azimuth must be a finite number of degrees; got {azimuth}")
    if not 0 < elevation <= 90:
        raise ValueError(f"elevation must be above 0 and at most 90; got {elevation}")
    if not 0 <= depth <= 1:
        raise ValueError(f"depth must be between 0 and 1; got {depth}")
    if not 0 <= gloss <= 1:
        raise ValueError(f"gloss must be between 0 and 1; got {gloss}")


@partial(jax.jit, static_argnames="pixels")
def lit(
    canvas: Float[Array | np.ndarray, "4 h w"], *, light: Light, pixels: int
) -> Float[Array, "3 h w"]:
    """Return a painting as the light shows it.

    Args:
        canvas: sRGB and thickness of the paint, both in [0, 1].
        light: the lamp; see `check`.
        pixels: height of the picture, in pixels of this canvas; for each, this function
            is compiled anew.
    """
    canvas = jnp.asarray(canvas)
    colours, thickness = canvas[:3], _blurred(canvas[3], GRAIN * pixels)
    down, right = _slopes(jnp.asarray(light.depth * pixels) * thickness)
    lamp = _towards(light)
    # Half way between the lamp and the eye, which is right before the picture.
    middle = (lamp + jnp.array([0, 0, 1])) / jnp.sqrt(2 + 2 * lamp[2])
    upright = 1 / jnp.sqrt(1 + right**2 + down**2)

    def facing(way):
        """Return the cosine between the surface and a way, at least 0."""
        across = way[2] - way[0] * right - way[1] * down
        return jnp.maximum(across * upright, 0)

    brightness = (facing(lamp) / lamp[2])[None]
    mirrored = facing(middle) ** SHEEN - middle[2] ** SHEEN
    glint = light.gloss * jnp.maximum(mirrored, 0)[None]
    # To multiply the light is to multiply sRGB, by a little less.
    shaded = jnp.minimum(colours * brightness ** (1 / GAMMA), 1)
    return shaded + glint * (1 - shaded)


def _towards(light: Light) -> Float[Array, "3"]:
    """Return the way to the lamp: right, down and out of the picture; of length 1."""
    azimuth, elevation = jnp.deg2rad(light.azimuth), jnp.deg2rad(light.elevation)
    right, up = jnp.sin(azimuth), jnp.cos(azimuth)
    level = jnp.cos(elevation)
    return jnp.stack([level * right, -level * up, jnp.sin(elevation)])


def _blurred(plane: Float[Array, "h w"], deviation: float) -> Float[Array, "h w"]:
    """Return a plane under a Gaussian blur, its edges continued."""
    reach = int(np.ceil(3 * deviation))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    weights = (weights / weights.sum()).astype(np.float32)
    for axis, size in enumerate(plane.shape):
        margins = [(reach * (axis == other),) * 2 for other in (0, 1)]
        wide = jnp.pad(plane, margins, mode="edge")
        plane = jnp.zeros_like(plane)
        for at, weight in enumerate(weights):
            plane += weight * lax.slice_in_dim(wide, at, at + size, axis=axis)
    return plane


def _slopes(
    plane: Float[Array, "h w"],
) -> tuple[Float[Array, "h w"], Float[Array, "h w"]]:
    """Return how steeply a plane rises downwards and to the right, per pixel."""
    wide = jnp.pad(plane, 1, mode="edge")
    down = (wide[2:, 1:-1] - wide[:-2, 1:-1]) / 2
    right = (wide[1:-1, 2:] - wide[1:-1, :-2]) / 2
    return down, right
