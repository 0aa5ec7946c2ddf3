"""The eight parameters of a stroke, and drawing strokes on a canvas.

Strokes are an array (n, 8), in the order in which they are drawn. Positions and sizes
are in units of the picture's height, so that the same strokes make the same painting at
any size in pixels. The canvas is a smooth function of all eight parameters.

The canvas is cut into small tiles. Each has a bin, the list of the strokes that reach
it in the order of drawing, and only they are composited there: a stroke costs the tiles
that it touches, and nothing grows with the canvas but the number of its tiles. Tiles do
not depend on each other, so many are drawn at once.

The backward pass is written by hand. The gradient of a stroke needs the tile below it;
each tile is drawn again, and checkpointed for `SEGMENT` strokes at a time, so memory
does not grow with the number of strokes. Time grows with the strokes times the pixels
of their tiles.

Source: the tiles and their bins follow Kerbl et al., "3D Gaussian Splatting for
Real-Time Radiance Field Rendering", 2023, section 6.
Deviation: strokes are not sorted by depth; their order is that of drawing.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, ScalarLike

from jaxart.painter.brushes import Brush, PictureBrush, mark


TILE = 16  # side of a tile, in pixels
GROUP = 32  # tiles that are drawn at once
SEGMENT = 32  # strokes of a tile whose canvases the backward pass stores at a time

# Columns of an array of strokes:
# X, Y: position of the centre, from the picture's upper left corner to the right and
#   downwards, in picture heights.
# LENGTH, WIDTH: along the stroke and across it, in picture heights, above zero.
# ANGLE: direction of the stroke, in radians, from right towards down.
# COLOUR: red, green and blue of its paint, in [0, 1].
X, Y, LENGTH, WIDTH, ANGLE = range(5)
POSITION, SIZE, COLOUR = slice(0, 2), slice(2, 4), slice(5, 8)
COLUMNS = ("x", "y", "length", "width", "angle", "red", "green", "blue")

Strokes = Float[Array, "n 8"]
HostStrokes = Float[np.ndarray, "n 8"]

# Colours first, and perhaps the thickness of the paint and its opacity after them: a
# row of pixels is then contiguous in memory.
Canvas = Float[Array, "c h w"]

# Tiles of one group with the upper left pixel (row, column) of each, and all tiles of a
# canvas in groups.
Tiles = Float[Array, "t c side side"]
Corners = Int[Array, "t 2"]
Groups = Float[Array, "m t c side side"]

# A stroke so far outside that it leaves no paint: buffers and bins are padded with it.
PADDING = np.array([-1e3, -1e3, 1, 1, 0, 0, 0, 0], np.float32)


class StrokeBuffer(NamedTuple):
    """A preallocated array of strokes.

    Args:
        strokes: rows from `count` on are `PADDING`.
        seeds: pick the hairs of each, in [0, 1).
        count: how many strokes.
    """

    strokes: Strokes
    seeds: Float[Array, " n"]
    count: Int[Array, ""]  # pyright: ignore[reportIncompatibleMethodOverride]


class Drawing(NamedTuple):
    """Strokes, their brush and the resolution: everything that is drawn.

    Args:
        brush: of all strokes.
        strokes: in their order.
        seeds: pick the hairs of each, in [0, 1).
        resolution: pixels in one picture height.
    """

    brush: Brush | PictureBrush
    strokes: Strokes
    seeds: Float[Array, " n"]
    resolution: ScalarLike


class Bins(NamedTuple):
    """The strokes of each tile of a group.

    Args:
        corners: upper left pixel (row, column) of each tile.
        indices: of the strokes that may reach each tile, in order; then of the last
            stroke of all, which is `PADDING`.
        max_length: strokes in the longest bin.
    """

    corners: Corners
    indices: Int[Array, "t m"]
    max_length: Int[Array, ""]


def empty_buffer(capacity: int) -> StrokeBuffer:
    """Return a buffer without strokes."""
    strokes = jnp.tile(PADDING, (capacity, 1))
    return StrokeBuffer(strokes, jnp.zeros(capacity), jnp.int32(0))


def draw(
    canvas: Canvas,
    strokes: Strokes | HostStrokes,
    brush: Brush | PictureBrush,
    seeds: Float[Array | np.ndarray, " n"],
    *,
    resolution: ScalarLike,
) -> Canvas:
    """Composite strokes over a canvas, in order.

    Differentiable in the canvas and the strokes; not in brush, seeds and resolution.

    Args:
        canvas: three planes of colour and, if there are more, the thickness of the
            paint and its opacity.
        strokes: of which some may lie partly or wholly outside.
        brush: of all these strokes; if its numbers are Python's, features that it does
            not have are not computed.
        seeds: pick the hairs of each stroke, in [0, 1).
        resolution: as in `Drawing`.
    """
    _, h, w = canvas.shape
    padding = jnp.asarray(PADDING, strokes.dtype)[None]
    strokes = jnp.concatenate([jnp.asarray(strokes), padding])
    seeds = jnp.concatenate([jnp.asarray(seeds), jnp.zeros(1)])
    # A closure, because a traced brush must not be an argument of a custom_vjp.
    rasterize = _rasterizer(brush)
    tiles = rasterize(
        _to_tiles(canvas), strokes, seeds, _tile_corners(h, w), resolution
    )
    return _from_tiles(tiles, h, w)


def footprints(
    drawing: Drawing, corners: Int[Array, "n 2"], side: int
) -> tuple[Float[Array, "n side side"], Float[Array, "n side side"]]:
    """Return coverage and thickness of each stroke's mark, each in a square of its own.

    Args:
        drawing: the strokes.
        corners: upper left pixel (row, column) of each square.
        side: of the squares, in pixels.
    """
    to_stroke = partial(_pixel_to_stroke, resolution=drawing.resolution)
    maps = jax.vmap(to_stroke)(drawing.strokes, corners)
    u, v = (_affine_grid(maps[:, axis], side) for axis in (0, 1))
    return jax.vmap(partial(mark, drawing.brush))(u, v, drawing.seeds)


def composite(
    canvases: Float[Array, "n c h w"],
    colours: Float[Array | np.ndarray, "n 3"],
    coverage: Float[Array, "n h w"],
    thickness: Float[Array, "n h w"],
) -> Float[Array, "n c h w"]:
    """Return each canvas with one mark composited over it; `c` is as in `draw`."""
    paints = [*colours.T[:, :, None, None], thickness, 1.0][: canvases.shape[1]]
    # Plane by plane, because XLA is slow on a CPU at sums over so few planes, which the
    # gradient of a broadcast coverage would be.
    planes = jnp.moveaxis(canvases, 1, 0)
    over = [
        plane + coverage * (paint - plane)
        for plane, paint in zip(planes, paints, strict=True)
    ]
    return jnp.stack(over, axis=1)


def _rasterizer(brush: Brush | PictureBrush) -> Callable[..., Groups]:
    """Return the differentiable function that draws on all tiles with a brush."""

    @jax.custom_vjp
    def rasterize(tiles, strokes, seeds, corners, resolution):
        return _draw_groups(Drawing(brush, strokes, seeds, resolution), tiles, corners)

    def forward(*args):
        return rasterize(*args), args

    def backward(residuals, cotangent):
        tiles, strokes, seeds, corners, resolution = residuals
        drawing = Drawing(brush, strokes, seeds, resolution)
        grads = _backward_groups(drawing, tiles, corners, cotangent)
        return (*grads, None, None, None)

    rasterize.defvjp(forward, backward)
    return rasterize


def _draw_groups(
    drawing: Drawing, tiles: Groups, corners: Int[Array, "m t 2"]
) -> Groups:
    """Draw on all tiles, group by group."""

    def draw_group(group):
        tiles, corners, counts = group

        def draw_bins(tiles):
            bins = _bin(drawing, corners)
            composite_nth = partial(_composite_nth, drawing, bins)
            return lax.fori_loop(0, bins.max_length, composite_nth, tiles)

        # Not even bins are made where no stroke is, as around a picture.
        return lax.cond(counts.max() > 0, draw_bins, lambda tiles: tiles, tiles)

    order, counts = _order_by_count(drawing, corners)
    groups = (_permute(tiles, order), _permute(corners, order), counts)
    return _permute(lax.map(draw_group, groups), jnp.argsort(order))


def _backward_groups(
    drawing: Drawing, tiles: Groups, corners: Int[Array, "m t 2"], cotangent: Groups
) -> tuple[Groups, Strokes]:
    """Return the cotangents of tiles and strokes, from that of the drawn tiles."""
    order, _ = _order_by_count(drawing, corners)
    groups = (
        _permute(tiles, order),
        _permute(corners, order),
        _permute(cotangent, order),
    )
    backward_group = partial(_backward_group, drawing)
    zeros = jnp.zeros_like(drawing.strokes)
    strokes_cotangent, tiles_cotangent = lax.scan(backward_group, zeros, groups)
    return _permute(tiles_cotangent, jnp.argsort(order)), strokes_cotangent


def _composite_nth(
    drawing: Drawing, bins: Bins, n: Int[Array, ""], tiles: Tiles
) -> Tiles:
    """Composite the n-th stroke of each tile's bin over the tile."""
    drawing = _gather(drawing, bins.indices[:, n])
    coverage, thickness = footprints(drawing, bins.corners, TILE)
    return composite(tiles, drawing.strokes[:, COLOUR], coverage, thickness)


def _gather(drawing: Drawing, indices: Int[Array, " t"]) -> Drawing:
    return drawing._replace(
        strokes=drawing.strokes[indices], seeds=drawing.seeds[indices]
    )


def _backward_group(
    drawing: Drawing,
    strokes_cotangent: Strokes,
    group: tuple[Tiles, Corners, Tiles],
) -> tuple[Strokes, Tiles]:
    """Add a group's share to the strokes' cotangent; return its tiles' cotangent, too.

    Goes from the last stroke of each bin to the first, segment by segment. What was
    below a stroke cannot be computed from what is above it, so each segment is drawn
    again, and the tiles before each of its strokes are stored.
    """
    tiles, corners, cotangent = group
    bins = _bin(drawing, corners)
    segments = (bins.max_length + SEGMENT - 1) // SEGMENT

    def backward_segment(index, carry):
        first = (segments - 1 - index) * SEGMENT
        count = jnp.minimum(bins.max_length - first, SEGMENT)
        stored = _store_segment(drawing, bins, tiles, first, count)

        def backward_nth(k, carry):
            k = count - 1 - k
            indices = bins.indices[:, first + k]
            return _backward_strokes(drawing, corners, indices, stored[k], carry)

        return lax.fori_loop(0, count, backward_nth, carry)

    carry = (cotangent, strokes_cotangent)
    cotangent, strokes_cotangent = lax.fori_loop(0, segments, backward_segment, carry)
    return strokes_cotangent, cotangent


def _store_segment(
    drawing: Drawing,
    bins: Bins,
    tiles: Tiles,
    first: Int[Array, ""],
    count: Int[Array, ""],
) -> Float[Array, "k t c h w"]:
    """Return the tiles as they were before each of `count` strokes from `first` on."""
    composite_nth = partial(_composite_nth, drawing, bins)

    def store(k, carry):
        tiles, stored = carry
        return composite_nth(first + k, tiles), stored.at[k].set(tiles)

    start = lax.fori_loop(0, first, composite_nth, tiles)
    stored = jnp.zeros((SEGMENT, *tiles.shape), tiles.dtype)
    return lax.fori_loop(0, count, store, (start, stored))[1]


def _backward_strokes(
    drawing: Drawing,
    corners: Corners,
    indices: Int[Array, " t"],
    below: Tiles,
    carry: tuple[Tiles, Strokes],
) -> tuple[Tiles, Strokes]:
    """Backpropagate through one stroke of each tile.

    Args:
        drawing: all strokes.
        corners: of the tiles.
        indices: which stroke it is, for each tile.
        below: the tiles before it.
        carry: cotangents of the tiles after it, and of all strokes.
    """
    cotangent, strokes_cotangent = carry
    planes = cotangent.shape[1] - 2  # of a mark: coverage, and thickness if it is drawn
    has_opacity = cotangent.shape[1] == 5
    drawing = _gather(drawing, indices)

    def marks(strokes):
        return footprints(drawing._replace(strokes=strokes), corners, TILE)[:planes]

    (coverage, *thickness), vjp = jax.vjp(marks, drawing.strokes)
    colours = cotangent[:, :3]
    paint = drawing.strokes[:, COLOUR, None, None]
    coverage_cotangent = (colours * (paint - below[:, :3])).sum(1)
    if has_opacity:
        coverage_cotangent += cotangent[:, 4] * (1 - below[:, 4])
    if thickness:
        coverage_cotangent += cotangent[:, 3] * (thickness[0] - below[:, 3])
        (grads,) = vjp((coverage_cotangent, cotangent[:, 3] * coverage))
    else:
        (grads,) = vjp((coverage_cotangent,))
    grads = grads.at[:, COLOUR].add(jnp.einsum("tchw,thw->tc", colours, coverage))
    strokes_cotangent = strokes_cotangent.at[indices].add(grads)
    return cotangent * (1 - coverage[:, None]), strokes_cotangent


def _bin(drawing: Drawing, corners: Corners) -> Bins:
    """Return the bins of some tiles."""
    overlaps = _overlaps(drawing, corners)
    last = drawing.strokes.shape[0] - 1
    slot = jnp.where(overlaps, jnp.cumsum(overlaps, axis=1) - 1, last + SEGMENT)
    empty = jnp.full((corners.shape[0], last + SEGMENT), last)
    rows = jnp.arange(corners.shape[0])[:, None]
    indices = empty.at[rows, slot].set(jnp.arange(last + 1)[None], mode="drop")
    return Bins(corners, indices, overlaps.sum(1).max())


def _order_by_count(
    drawing: Drawing, corners: Int[Array, "m t 2"]
) -> tuple[Int[Array, " mt"], Int[Array, "m t"]]:
    """Return the order of the tiles by falling number of strokes that reach them.

    A group of tiles takes as long as the longest bin in it. Also returned are these
    numbers, in that order.
    """
    counts = lax.map(lambda corners: _overlaps(drawing, corners).sum(1), corners)
    order = jnp.argsort(-counts.ravel())
    return order, _permute(counts, order)


def _permute(
    groups: Float[Array, "m t *rest"] | Int[Array, "m t *rest"],
    order: Int[Array, " mt"],
) -> Array:
    """Return the tiles of all groups in another order, in groups."""
    flat = groups.reshape(-1, *groups.shape[2:])
    return flat[order].reshape(groups.shape)


def _overlaps(drawing: Drawing, corners: Corners) -> Bool[Array, "t n"]:
    """Return which strokes may reach each tile."""
    x, y, length, width, angle = drawing.strokes[:, :5].T
    down, right = (
        ((corners + TILE / 2) / drawing.resolution)[:, :, None]
        - jnp.stack([y, x])[None]
    ).swapaxes(0, 1)
    cos, sin = jnp.cos(angle)[None], jnp.sin(angle)[None]
    reach = TILE / 2**0.5 / drawing.resolution
    along = jnp.abs(right * cos + down * sin) < (length / 2 + reach)[None]
    across = jnp.abs(down * cos - right * sin) < (width / 2 + reach)[None]
    return along & across


def _pixel_to_stroke(
    stroke: Float[Array, " 8"], corner: Int[Array, " 2"], resolution: ScalarLike
) -> Float[Array, "2 3"]:
    """Return the affine map from a square's pixels to stroke coordinates.

    Pixel (x, y) has coordinates u and v there (see `brushes`); each is the product of a
    row of the map with (1, x, y).
    """
    x, y, length, width, angle = stroke[:5]
    cos, sin = 2 * jnp.cos(angle), 2 * jnp.sin(angle)
    turn = jnp.stack([jnp.stack([cos, sin]) / length, jnp.stack([-sin, cos]) / width])
    offset = (corner[::-1] + 0.5) / resolution - jnp.stack([x, y])
    return jnp.concatenate([(turn @ offset)[:, None], turn / resolution], axis=1)


def _evaluate_affine(
    coefficients: Float[Array, "n 3"], side: int
) -> Float[Array, "n side side"]:
    """Return an affine function of (1, x, y) at each pixel of a square."""
    steps = jnp.arange(side, dtype=float)[None, None]
    start, right, down = jnp.moveaxis(coefficients[..., None, None], 1, 0)
    return start + right * steps + down * steps.swapaxes(1, 2)


def _affine_forward(
    coefficients: Float[Array, "n 3"], side: int
) -> tuple[Float[Array, "n side side"], None]:
    return _evaluate_affine(coefficients, side), None


def _affine_backward(
    side: int, _: None, cotangent: Float[Array, "n side side"]
) -> tuple[Float[Array, "n 3"]]:
    # A product with (1, x, y): sums over all pixels of a square are what XLA is slowest
    # at on a CPU.
    y, x = jnp.indices((side, side), dtype=float).reshape(2, -1)
    basis = jnp.stack([jnp.ones_like(x), x, y], axis=1)
    return (cotangent.reshape(len(cotangent), -1) @ basis,)


_affine_grid = jax.custom_vjp(_evaluate_affine, nondiff_argnums=(1,))
_affine_grid.defvjp(_affine_forward, _affine_backward)


def _tile_corners(h: int, w: int) -> Int[Array, "m t 2"]:
    """Return the upper left pixel (row, column) of each tile, in groups."""
    rows, columns = -(-h // TILE), -(-w // TILE)
    corners = TILE * jnp.indices((rows, columns)).reshape(2, -1).T
    num_padding = -corners.shape[0] % GROUP
    # What fills up the last group has the corner of the first tile; it is dropped.
    return jnp.pad(corners, ((0, num_padding), (0, 0))).reshape(-1, GROUP, 2)


def _to_tiles(canvas: Canvas) -> Groups:
    """Return the tiles of a canvas, in groups."""
    c, h, w = canvas.shape
    padded = jnp.pad(canvas, ((0, 0), (0, -h % TILE), (0, -w % TILE)))
    rows, columns = padded.shape[1] // TILE, padded.shape[2] // TILE
    tiles = padded.reshape(c, rows, TILE, columns, TILE).transpose(1, 3, 0, 2, 4)
    tiles = tiles.reshape(-1, c, TILE, TILE)
    tiles = jnp.pad(tiles, ((0, -tiles.shape[0] % GROUP), *[(0, 0)] * 3))
    return tiles.reshape(-1, GROUP, c, TILE, TILE)


def _from_tiles(tiles: Groups, h: int, w: int) -> Canvas:
    """Undo `_to_tiles`."""
    c = tiles.shape[2]
    rows, columns = -(-h // TILE), -(-w // TILE)
    tiles = tiles.reshape(-1, c, TILE, TILE)[: rows * columns]
    grid = tiles.reshape(rows, columns, c, TILE, TILE).transpose(2, 0, 3, 1, 4)
    return grid.reshape(c, rows * TILE, columns * TILE)[:, :h, :w]
