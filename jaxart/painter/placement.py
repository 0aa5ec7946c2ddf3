"""Where the next strokes go: disjoint windows where the error is large.

The picture is seen at one size at a time, its *level*: at a level every stroke is about
as long, in pixels, so a stroke costs the same whether it spans a sky or an eyelid, and
whatever the size of the picture. Levels live in arrays of few shapes, so that
they share few compiled programs; around the picture these arrays show the picture's own
border, in the canvas as well, so that there is nothing to see.

A round lays a grid of windows over the level, shifted at random. Between windows lies a
margin, of twice what the distance can see: so strokes in different windows of a round
know nothing of each other.

Source: ctmakro's opencv_playground, painterfun.py: places drawn by error, ways along
the picture's edges.
Deviation: that program's tries collide; our windows cannot. Ways come from the
structure tensor (Bigun and Granlund, 1987), which does not cancel where an edge has two
sides.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, UInt8
from PIL import Image


WINDOW = 48  # side of the square that holds a stroke, in pixels of its level
USUAL = (16.0, 30.0)  # length of a stroke when it starts, in pixels of its level
FLATNESS = 0.4  # width of a stroke when it starts, in its lengths
BLURS = 2  # how often the structure tensor is averaged, 5 x 5


class Level(NamedTuple):
    """The picture at one size, in arrays that are larger than it.

    Args:
        picture: sRGB in [0, 1], from row and column `edge` on; its border around it.
        weights: how much each pixel counts; their sum is 1, and 0 outside the picture.
        ways: angle of the picture's edges at each pixel, in radians.
        pixels: height of the picture, in pixels.
        size: height and width of the picture, in pixels.
    """

    picture: Float[Array | np.ndarray, "3 h w"]
    weights: Float[Array | np.ndarray, "h w"]
    ways: Float[Array | np.ndarray, "h w"]
    pixels: Float[Array | np.ndarray, ""]
    size: Int[Array | np.ndarray, " 2"]


class Sites(NamedTuple):
    """Windows of a round, and how a stroke starts in each.

    Args:
        corners: row and column of each window's upper left pixel.
        numbers: the strokes; their colour is not set yet.
        is_open: whether the window has anything to paint.
    """

    corners: Int[Array, "k 2"]
    numbers: Float[Array, "k 8"]
    is_open: Bool[Array, " k"]


class Layout(NamedTuple):
    """The arrays and the grid of all levels that share them; plain numbers.

    Args:
        margin: around a window, as far as the distance can see from it, in pixels.
        stride: by how many pixels the grid may shift.
        rows: of windows.
        columns: of windows.
    """

    margin: int
    stride: int
    rows: int
    columns: int

    @property
    def period(self) -> int:
        """Pixels from one window to the next: whole strides, as the map has them."""
        return -(-(WINDOW + 2 * self.margin) // self.stride) * self.stride

    @property
    def edge(self) -> int:
        """Pixels around the picture, above and to the left of it."""
        return self.period + 2 * self.margin

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the arrays."""
        more = self.edge + 2 * self.margin
        return self.rows * self.period + more, self.columns * self.period + more


def layout(height: int, width: int, *, reach: int, stride: int) -> Layout:
    """Return the layout for pictures of up to a size.

    Args:
        height: of the largest level, in pixels.
        width: of the largest level, in pixels.
        reach: how far a place of the distance's map sees, in pixels.
        stride: from one place of that map to the next, in pixels.
    """
    margin = -(-reach // stride) * stride
    period = Layout(margin, stride, 1, 1).period
    return Layout(margin, stride, -(-height // period) + 1, -(-width // period) + 1)


def level(
    picture: UInt8[np.ndarray, "h w 3"],
    weights: Float[np.ndarray, "h w"] | None,
    height: int,
    at: Layout,
) -> Level:
    """Return a picture as it is seen at one size.

    Args:
        picture: of any size.
        weights: how much each of its pixels counts, not below 0; None for all alike.
        height: of the level, in pixels; not above the picture's.
        at: a layout that is large enough.
    """
    h, w = picture.shape[:2]
    size = (max(1, round(w * height / h)), height)
    planes, counts = resized(picture, weights, size)
    rows, columns = (
        (at.edge, whole - at.edge - part)
        for whole, part in zip(at.shape, counts.shape, strict=True)
    )
    ways = _ways(planes.mean(0))
    return Level(
        np.pad(planes, ((0, 0), rows, columns), "edge"),
        np.pad(counts, (rows, columns)),
        np.pad(ways, (rows, columns)),
        np.array(height, np.float32),
        np.array(counts.shape, np.int32),
    )


def resized(
    picture: UInt8[np.ndarray, "h w 3"],
    weights: Float[np.ndarray, "h w"] | None,
    size: tuple[int, int],
) -> tuple[Float[np.ndarray, "3 tall wide"], Float[np.ndarray, "tall wide"]]:
    """Return a picture, in [0, 1], and its weights, with sum 1, at another size.

    Args:
        picture: of any size.
        weights: how much each of its pixels counts; None for all alike.
        size: width and height.
    """
    small = Image.fromarray(picture).resize(size, Image.Resampling.BOX)
    planes = np.moveaxis(np.asarray(small, np.float32) / 255, 2, 0)
    counts = np.ones(planes.shape[1:], np.float32)
    if weights is not None:
        mask = Image.fromarray(weights.astype(np.float32))
        counts = np.asarray(mask.resize(size, Image.Resampling.BOX))
    return planes, counts / counts.sum()


def sites(
    key: PRNGKeyArray, seen: Level, error: Float[Array, "h w"], at: Layout, count: int
) -> Sites:
    """Return where a round's strokes start.

    Args:
        key: of the grid's shift and the strokes.
        seen: the level.
        error: how wrong the canvas is at each pixel; 0 outside the picture.
        at: the level's layout.
        count: windows of the round; those where the error is largest.
    """
    shift_key, stroke_key = jax.random.split(key)
    shift = at.stride * jax.random.randint(shift_key, (2,), 0, at.period // at.stride)
    first = at.edge - at.period + shift
    total = (at.rows * at.period, at.columns * at.period)
    grid = lax.dynamic_slice(error, first, total)
    grid = grid.reshape(at.rows, at.period, at.columns, at.period)
    sums = grid[:, :WINDOW, :, :WINDOW].sum((1, 3)).ravel()
    _, which = lax.top_k(sums, count)
    places = jnp.stack(jnp.divmod(which, at.columns), axis=1)
    corners = first[None] + at.period * places
    numbers, found = jax.vmap(partial(_start, seen, error))(
        jax.random.split(stroke_key, count), corners
    )
    return Sites(corners, numbers, found)


def _start(
    seen: Level, error: Float[Array, "h w"], key: PRNGKeyArray, corner: Int[Array, " 2"]
) -> tuple[Float[Array, " 8"], Bool[Array, ""]]:
    """Return a stroke without colour in a window, and whether there is an error."""
    half = WINDOW // 2
    inner = lax.dynamic_slice(error, corner + half // 2, (half, half)).ravel()
    place_key, length_key = jax.random.split(key)
    place = jax.random.categorical(place_key, jnp.log(inner + 1e-30))
    at = corner + half // 2 + jnp.stack(jnp.divmod(place, half))
    y, x = (at + 0.5) / seen.pixels
    low, high = USUAL
    length = jax.random.uniform(length_key, (), minval=low, maxval=high) / seen.pixels
    colour = jnp.zeros(3)
    numbers = jnp.stack([x, y, length, FLATNESS * length, seen.ways[*at]])
    return jnp.concatenate([numbers, colour]), inner.max() > 0


def _ways(grey: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Return the angle of the edges at each pixel."""
    if min(grey.shape) < 2:
        return np.zeros_like(grey)
    down, right = np.gradient(grey)
    # Angles are averaged twice as large, because an edge has no front.
    cos, sin = right**2 - down**2, 2 * right * down
    for _ in range(BLURS):
        cos, sin = _blurred(cos), _blurred(sin)
    across = np.arctan2(sin, cos) / 2
    return (across + np.pi / 2).astype(np.float32)


def _blurred(plane: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Return the average of 5 x 5 places around each."""
    for axis in (0, 1):
        plane = np.mean([np.roll(plane, by, axis) for by in range(-2, 3)], axis=0)
    return plane
