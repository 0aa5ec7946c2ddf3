"""The eight numbers of a stroke, and drawing it.

Strokes are drawn in two steps. Their marks, which are most of the arithmetic and do not
depend on each other, are made all at once (`jax.vmap`), each in a small window around
its stroke. Then they are laid on the canvas in order (`lax.scan`), each touching its
window and nothing else: the cost of a stroke does not grow with the canvas.

Places and sizes are in units of the picture's height, so that the same strokes make the
same painting at any size in pixels. The canvas is smooth in all eight numbers.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, ScalarLike

from jaxart.painter.brushes import Brush, mark


# Red, green and blue, sRGB in [0, 1], and the thickness of the paint in [0, 1]. The
# planes come first: a row of pixels is then one run of memory.
Canvas = Float[Array, "4 h w"]


# Of each stroke, or of one; NumPy's where strokes are planned on the host.
Number = Float[Array | np.ndarray, "*n"]


class Strokes(NamedTuple):
    """Strokes in the order in which they are laid, or one stroke.

    Args:
        x: of the centre, from the picture's left edge, in picture heights.
        y: of the centre, from its upper edge downwards, in picture heights.
        length: along the stroke, in picture heights, above zero.
        width: across the stroke, in picture heights, above zero.
        angle: of the stroke's way, in radians, from right towards down.
        red: sRGB in [0, 1].
        green: sRGB in [0, 1].
        blue: sRGB in [0, 1].
    """

    x: Number
    y: Number
    length: Number
    width: Number
    angle: Number
    red: Number
    green: Number
    blue: Number


def draw(
    canvas: Canvas,
    strokes: Strokes,
    brushes: Brush,
    seeds: Float[Array | np.ndarray, " n"],
    *,
    pixels: ScalarLike,
    window: int,
) -> Canvas:
    """Lay strokes on a canvas, the first one first.

    Args:
        canvas: the painting so far.
        strokes: of which some may lie partly or wholly outside.
        brushes: the brush of each stroke; each of its numbers is an array of n.
        seeds: pick the hairs of each stroke, in [0, 1).
        pixels: height of the picture, in pixels of this canvas.
        window: side of the square around a stroke that is drawn, in pixels. What a
            stroke has outside it is cut off: the diagonal of the longest stroke and one
            pixel is enough.
    """
    _, h, w = canvas.shape
    corners = jax.vmap(lambda stroke: _corner(stroke, pixels, window, h, w))(strokes)
    coverage, height = jax.vmap(
        lambda stroke, brush, seed, corner: _in_window(
            stroke, brush, seed, corner, pixels, window
        )
    )(strokes, brushes, seeds, corners)
    colours = jnp.stack([strokes.red, strokes.green, strokes.blue], axis=1)

    def lay(canvas, stroke):
        corner, coverage, height, colour = stroke
        at = (0, *(corner + window))
        under = lax.dynamic_slice(canvas, at, (4, window, window))
        flat = jnp.broadcast_to(colour[:, None, None], (3, window, window))
        paint = jnp.concatenate([flat, height[None]])
        over = under + coverage[None] * (paint - under)
        return lax.dynamic_update_slice(canvas, over, at), None

    # A window may hang over the edge by its whole side.
    margins = ((0, 0), (window, window), (window, window))
    laid, _ = lax.scan(
        lay, jnp.pad(canvas, margins), (corners, coverage, height, colours)
    )
    return laid[:, window : window + h, window : window + w]


def _corner(
    stroke: Strokes, pixels: ScalarLike, window: int, h: int, w: int
) -> Int[Array, "2"]:
    """Return row and column of the window's upper left pixel."""
    centre = jnp.stack([stroke.y, stroke.x]) * pixels
    corner = jnp.round(centre - window / 2).astype(int)
    # Beyond that there is nothing to see, and an index below zero would be taken to
    # count from the other end.
    return jnp.clip(corner, -window, jnp.array([h, w]))


def _in_window(
    stroke: Strokes,
    brush: Brush,
    seed: Float[Array, ""],
    corner: Int[Array, "2"],
    pixels: ScalarLike,
    window: int,
) -> tuple[Float[Array, "window window"], Float[Array, "window window"]]:
    """Return coverage and height of one stroke's mark at the pixels of its window."""
    centres = corner[:, None] + jnp.arange(window)[None, :] + 0.5
    down = (centres[0] / pixels - stroke.y)[:, None]
    right = (centres[1] / pixels - stroke.x)[None, :]
    cos, sin = jnp.cos(stroke.angle), jnp.sin(stroke.angle)
    u = (right * cos + down * sin) * (2 / stroke.length)
    v = (down * cos - right * sin) * (2 / stroke.width)
    return mark(brush, u, v, seed)
