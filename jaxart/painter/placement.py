"""Where the next strokes go: disjoint windows where the error is large.

The picture is painted at one size at a time, a *level*: at a level all strokes are
about equally long in pixels, so a stroke costs the same whether it spans a sky or an
eyelid, and whatever the size of the picture. Levels are stored in arrays of few shapes,
so that they share few compiled programs; the picture is padded with its own edges, and
so is the canvas, so that there is no error outside.

A round lays a grid of windows over the level, shifted at random. Between windows lies a
margin of twice the distance's reach: so the losses of strokes in different windows of a
round do not depend on each other.

Source: ctmakro's opencv_playground, painterfun.py: positions drawn by error,
orientations along the picture's edges.
Deviation: that program's proposals collide; our windows cannot. Orientations come from
the structure tensor (Bigun and Granlund, 1987), which does not cancel where an edge has
two sides.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, UInt8
from PIL import Image
from scipy import ndimage


WINDOW = 48  # side of the square that holds a stroke, in pixels of its level
LENGTHS = (16.0, 30.0)  # range of a stroke's initial length, in pixels of its level
ASPECT = 0.4  # initial width of a stroke, in its lengths
BOX_SIDE = 5  # of the box filter that averages the structure tensor, in pixels
BARE = 0.03  # cost of hiding what should stay bare, in squared errors of 1
BOX_PASSES = 2  # how often it is applied


class Level(NamedTuple):
    """The picture at one size, in arrays that are larger than it.

    Args:
        picture: sRGB in [0, 1], from row and column `border` on; its edges around it.
        weights: how much each pixel counts; their sum is 1, and 0 outside the picture.
        orientation: angle of the picture's edges at each pixel, in radians.
        resolution: as in `strokes.Drawing`.
        size: height and width of the picture, in pixels.
        bare: cost of paint on each pixel, where some are to stay bare; 0 outside.
    """

    picture: Float[Array | np.ndarray, "3 h w"]
    weights: Float[Array | np.ndarray, "h w"]
    orientation: Float[Array | np.ndarray, "h w"]
    resolution: Float[Array | np.ndarray, ""]
    size: Int[Array | np.ndarray, " 2"]
    bare: Float[Array | np.ndarray, "h w"] | None = None


class Placement(NamedTuple):
    """Windows of a round, and the initial stroke of each.

    Args:
        corners: upper left pixel (row, column) of each window.
        strokes: whose colours are not set yet.
        has_error: whether there is an error near the middle of the window.
    """

    corners: Int[Array, "k 2"]
    strokes: Float[Array, "k 8"]
    has_error: Bool[Array, " k"]


class Layout(NamedTuple):
    """The arrays and the grid of all levels that share them; Python numbers.

    Args:
        margin: the distance's reach around a window, in pixels.
        stride: the grid shifts by multiples of it, in pixels.
        rows: of windows.
        columns: of windows.
    """

    margin: int
    stride: int
    rows: int
    columns: int

    @property
    def period(self) -> int:
        """Pixels from one window to the next: a multiple of the stride."""
        return -(-(WINDOW + 2 * self.margin) // self.stride) * self.stride

    @property
    def border(self) -> int:
        """Pixels above the picture, and to the left of it."""
        return self.period + 2 * self.margin

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the arrays."""
        around = self.border + 2 * self.margin
        return self.rows * self.period + around, self.columns * self.period + around


def make_layout(height: int, width: int, *, reach: int, stride: int) -> Layout:
    """Return the layout for pictures of up to a size.

    Args:
        height: of the largest level, in pixels.
        width: of the largest level, in pixels.
        reach: of the distance, in pixels.
        stride: from one position of its map to the next, in pixels.
    """
    margin = -(-reach // stride) * stride
    period = Layout(margin, stride, 1, 1).period
    return Layout(margin, stride, -(-height // period) + 1, -(-width // period) + 1)


def make_level(
    picture: UInt8[np.ndarray, "h w 3"],
    weights: Float[np.ndarray, "h w"] | None,
    height: int,
    layout: Layout,
    alpha: Float[np.ndarray, "h w"] | None = None,
) -> Level:
    """Return the level of a picture at one size.

    Args:
        picture: of any size.
        weights: how much each of its pixels counts, not below 0; None for all alike.
        height: of the level, in pixels.
        layout: one that is large enough.
        alpha: share of each pixel that is to be painted; None for all.
    """
    planes, pixel_weights, bare = resize(picture, weights, height, alpha)
    rows, columns = (
        (layout.border, array_side - layout.border - side)
        for array_side, side in zip(layout.shape, pixel_weights.shape, strict=True)
    )
    return Level(
        np.pad(planes, ((0, 0), rows, columns), "edge"),
        np.pad(pixel_weights, (rows, columns)),
        np.pad(_orientation(planes.mean(0)), (rows, columns)),
        np.array(height, np.float32),
        np.array(pixel_weights.shape, np.int32),
        None if bare is None else np.pad(bare, (rows, columns)),
    )


def resize(
    picture: UInt8[np.ndarray, "h w 3"],
    weights: Float[np.ndarray, "h w"] | None,
    height: int,
    alpha: Float[np.ndarray, "h w"] | None = None,
) -> tuple[
    Float[np.ndarray, "3 h2 w2"],
    Float[np.ndarray, "h2 w2"],
    Float[np.ndarray, "h2 w2"] | None,
]:
    """Return a picture at another height.

    Args:
        picture: of any size.
        weights: how much each of its pixels counts; None for all alike.
        height: in pixels; the aspect ratio is kept.
        alpha: share of each pixel that is to be painted; None for all.

    Returns:
        The picture in [0, 1]; the pixels' weights, of sum 1; and None or, where
        `alpha` is below 1, what paint costs there.
    """
    h, w = picture.shape[:2]
    size = (max(1, round(w * height / h)), height)
    box, bilinear = Image.Resampling.BOX, Image.Resampling.BILINEAR
    resampling = box if height <= h else bilinear
    other = Image.fromarray(picture).resize(size, resampling)
    planes = np.moveaxis(np.asarray(other, np.float32) / 255, 2, 0)

    def other_map(values: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h2 w2"]:
        given = Image.fromarray(values.astype(np.float32))
        return np.asarray(given.resize(size, resampling))

    if alpha is not None:
        weights = alpha if weights is None else alpha * weights
    pixel_weights = np.ones(planes.shape[1:], np.float32)
    if weights is not None:
        pixel_weights = other_map(weights)
    total = pixel_weights.sum()
    bare = None if alpha is None else BARE * other_map(1 - alpha) / total
    return planes, pixel_weights / total, bare


def place(
    key: PRNGKeyArray,
    level: Level,
    error: Float[Array, "h w"],
    layout: Layout,
    count: int,
) -> Placement:
    """Return a round's windows and their initial strokes.

    Args:
        key: of the grid's shift and the strokes.
        level: the picture.
        error: of the canvas at each pixel; 0 outside the picture.
        layout: of the level.
        count: windows of the round; those where the error is largest.
    """
    rows, columns, period = layout.rows, layout.columns, layout.period
    shift_key, stroke_key = jax.random.split(key)
    shift = jax.random.randint(shift_key, (2,), 0, period // layout.stride)
    origin = layout.border - period + layout.stride * shift
    grid = lax.dynamic_slice(error, origin, (rows * period, columns * period))
    grid = grid.reshape(rows, period, columns, period)
    window_errors = grid[:, :WINDOW, :, :WINDOW].sum((1, 3)).ravel()
    _, indices = lax.top_k(window_errors, count)
    cells = jnp.stack(jnp.divmod(indices, columns), axis=1)
    corners = origin[None] + period * cells
    strokes, has_error = jax.vmap(partial(_initial_stroke, level, error))(
        jax.random.split(stroke_key, count), corners
    )
    return Placement(corners, strokes, has_error)


def _initial_stroke(
    level: Level,
    error: Float[Array, "h w"],
    key: PRNGKeyArray,
    corner: Int[Array, " 2"],
) -> tuple[Float[Array, " 8"], Bool[Array, ""]]:
    """Return a stroke without colour in a window, and whether there is an error."""
    half = WINDOW // 2
    inner = lax.dynamic_slice(error, corner + half // 2, (half, half)).ravel()
    position_key, length_key = jax.random.split(key)
    index = jax.random.categorical(position_key, jnp.log(inner + 1e-30))
    pixel = corner + half // 2 + jnp.stack(jnp.divmod(index, half))
    y, x = (pixel + 0.5) / level.resolution
    low, high = LENGTHS
    length = (
        jax.random.uniform(length_key, (), minval=low, maxval=high) / level.resolution
    )
    geometry = [x, y, length, ASPECT * length, level.orientation[*pixel]]
    stroke = jnp.concatenate([jnp.stack(geometry), jnp.zeros(3)])
    return stroke, inner.max() > 0


def _orientation(grey: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Return the angle of the edges at each pixel, from the structure tensor."""
    if min(grey.shape) < 2:
        return np.zeros_like(grey)
    down, right = np.gradient(grey)
    # The double angle is averaged, because an edge has no direction.
    cos, sin = right**2 - down**2, 2 * right * down
    for _ in range(BOX_PASSES):
        cos, sin = (
            ndimage.uniform_filter(plane, BOX_SIDE, mode="nearest")
            for plane in (cos, sin)
        )
    normal = np.arctan2(sin, cos) / 2
    return (normal + np.pi / 2).astype(np.float32)
