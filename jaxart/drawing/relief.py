"""Relief: light on the thickness of the paint, the look of thick oil.

Paint has some thickness. Its furrows and edges tilt the surface, and a lamp makes what
faces it brighter and what faces away darker, with specular highlights. Level paint
keeps its colour exactly.

Thickness, like all lengths of the painter, is in picture heights, and so is the blur of
its map: a painting is the same at any size in pixels.

Source: Lambert's diffuse light, and Blinn, "Models of Light Reflection for Computer
Synthesized Pictures" (1977), for the highlights.
Deviation: brightness is relative to that of level paint.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, ScalarLike


# Standard deviation of the blur of the thickness, in picture heights: wider than a
# pixel from about 700 pixels on.
GRAIN = 0.0014
SHININESS = 24  # Blinn's exponent
GAMMA = 2.2  # from light to sRGB, approximately
AZIMUTH = 315.0  # of the lamp, if not given, in degrees


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

    azimuth: ScalarLike = AZIMUTH
    elevation: ScalarLike = 40.0
    depth: ScalarLike = 0.006
    gloss: ScalarLike = 0.25


def check(light: Light) -> None:
    """Check a light.

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


@partial(jax.jit, static_argnames="resolution")
def lit(
    canvas: Float[Array | np.ndarray, "4 h w"], *, light: Light, resolution: int
) -> Float[Array, "3 h w"]:
    """Return a painting as the light shows it.

    Args:
        canvas: sRGB and thickness of the paint, both in [0, 1].
        light: the lamp; see `check`.
        resolution: as in `strokes.Drawing`; for each, this function is compiled anew.
    """
    canvas = jnp.asarray(canvas)
    colours, thickness = canvas[:3], _blur(canvas[3], GRAIN * resolution)
    down, right = _gradient(jnp.asarray(light.depth * resolution) * thickness)
    lamp = _direction(light)
    # Between the directions of the lamp and of the eye, which is before the picture.
    halfway = (lamp + jnp.array([0, 0, 1])) / jnp.sqrt(2 + 2 * lamp[2])
    normal_z = 1 / jnp.sqrt(1 + right**2 + down**2)

    def cosine(direction):
        """Return the cosine between the surface's normal and a direction, or 0."""
        product = direction[2] - direction[0] * right - direction[1] * down
        return jnp.maximum(product * normal_z, 0)

    brightness = (cosine(lamp) / lamp[2])[None]
    specular = cosine(halfway) ** SHININESS - halfway[2] ** SHININESS
    highlight = light.gloss * jnp.maximum(specular, 0)[None]
    # To multiply the light is to multiply sRGB, by a little less.
    shaded = jnp.minimum(colours * brightness ** (1 / GAMMA), 1)
    return shaded + highlight * (1 - shaded)


def _direction(light: Light) -> Float[Array, "3"]:
    """Return the unit vector to the lamp: right, down and out of the picture."""
    azimuth, elevation = jnp.deg2rad(light.azimuth), jnp.deg2rad(light.elevation)
    right, up = jnp.sin(azimuth), jnp.cos(azimuth)
    horizontal = jnp.cos(elevation)
    return jnp.stack([horizontal * right, -horizontal * up, jnp.sin(elevation)])


def _blur(plane: Float[Array, "h w"], deviation: float) -> Float[Array, "h w"]:
    """Return a plane under a Gaussian blur, its edges continued."""
    reach = int(np.ceil(3 * deviation))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    weights = (weights / weights.sum()).astype(np.float32)
    for axis, size in enumerate(plane.shape):
        padding = [(reach * (axis == other),) * 2 for other in (0, 1)]
        padded = jnp.pad(plane, padding, mode="edge")
        plane = jnp.zeros_like(plane)
        for first, weight in enumerate(weights):
            part = lax.slice_in_dim(padded, first, first + size, axis=axis)
            plane += weight * part
    return plane


def _gradient(
    plane: Float[Array, "h w"],
) -> tuple[Float[Array, "h w"], Float[Array, "h w"]]:
    """Return the rise of a plane downwards and to the right, per pixel."""
    # Central differences, one-sided at the edges.
    padded = jnp.pad(plane, 1, mode="reflect", reflect_type="odd")
    down = (padded[2:, 1:-1] - padded[:-2, 1:-1]) / 2
    right = (padded[1:-1, 2:] - padded[1:-1, :-2]) / 2
    return down, right
