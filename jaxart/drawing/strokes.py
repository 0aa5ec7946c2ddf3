"""The eight parameters of a stroke, and drawing strokes on a canvas.

Strokes are an array (n, 8), in the order in which they are drawn. Positions and sizes
are in units of the picture's height, so that the same strokes make the same painting at
any size in pixels. The canvas is a smooth function of all eight parameters.

The canvas is cut into small tiles. Each has a bin, the list of the strokes that reach
it in the order of drawing, and only they are composited there: a stroke costs the tiles
that it touches, and nothing grows with the canvas but the number of its tiles. Tiles do
not depend on each other, so many are drawn at once. How many suits the device (see
`Sizes`): a CPU wants what its caches hold, other devices few steps and much in each.

The backward pass is written by hand. The gradient of a stroke needs the tile below it;
each tile is drawn again, and checkpointed for `SEGMENT` steps at a time, so memory does
not grow with the number of strokes. Time grows with the strokes times the pixels of
their tiles.

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

from jaxart.drawing.brushes import Brush, PictureBrush, mark
from jaxart.drawing.tiles import (
    TILE,
    Corners,
    Tiles,
    join_tiles,
    split_tiles,
    tile_corners,
)


SEGMENT = 32  # steps of drawing whose tiles the backward pass stores at a time
STROKES_OF_STEP = 8  # strokes of a tile that devices other than CPUs draw in a step
GROUP_BYTES = 1 << 30  # that a group of tiles may take there

# Positions and sums over pixels need all digits of float32, which an accelerator's
# products do not have by default.
EXACT = lax.Precision.HIGHEST

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


class Sizes(NamedTuple):
    """How much is drawn at once.

    Args:
        tiles: of a group. Groups are drawn one after the other.
        strokes: of each tile that a step of the loop over its bin composites.
    """

    tiles: int
    strokes: int


ON_CPU = Sizes(tiles=32, strokes=1)


class Bins(NamedTuple):
    """The strokes of each tile of a group.

    Args:
        corners: upper left pixel (row, column) of each tile.
        indices: of the strokes that may reach each tile, in order; then of the last
            stroke of all, which is `PADDING`.
        steps: that it takes to composite the longest bin.
    """

    corners: Corners
    indices: Int[Array, "t m"]
    steps: Int[Array, ""]


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
    padding = jnp.asarray(PADDING, strokes.dtype)[None]
    strokes = jnp.concatenate([jnp.asarray(strokes), padding])
    seeds = jnp.concatenate([jnp.asarray(seeds), jnp.zeros(1)])
    # A closure, because a traced brush must not be an argument of a custom_vjp.
    return _rasterizer(brush)(canvas, strokes, seeds, resolution)


def sizes_for_device(shape: tuple[int, ...], num_strokes: int) -> Sizes:
    """Return how much is drawn at once on this machine's devices.

    On those other than CPUs, where each step is a launch, all tiles, or as many as
    `GROUP_BYTES` hold: of each, the canvases that the backward pass stores, and its bin
    while it is made. Chosen when tracing, because to trace both takes twice as long.

    Args:
        shape: of the canvas: planes, height and width.
        num_strokes: of all that are drawn.
    """
    if jax.default_backend() == "cpu":
        return ON_CPU
    planes, h, w = shape
    tile_bytes = 4 * (SEGMENT * planes * TILE**2 + 4 * (num_strokes + SEGMENT))
    tiles = min(-(-h // TILE) * -(-w // TILE), max(1, GROUP_BYTES // tile_bytes))
    return Sizes(tiles, STROKES_OF_STEP)


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


def _rasterizer(brush: Brush | PictureBrush) -> Callable[..., Canvas]:
    """Return the differentiable function that draws on a canvas with a brush."""

    @jax.custom_vjp
    def rasterize(canvas, strokes, seeds, resolution):
        drawing = Drawing(brush, strokes, seeds, resolution)
        return _draw_groups(
            drawing, canvas, sizes_for_device(canvas.shape, len(strokes))
        )

    def forward(*args):
        return rasterize(*args), args

    def backward(residuals, cotangent):
        canvas, strokes, seeds, resolution = residuals
        drawing = Drawing(brush, strokes, seeds, resolution)
        sizes = sizes_for_device(canvas.shape, len(strokes))
        return (*_backward_groups(drawing, canvas, cotangent, sizes), None, None)

    rasterize.defvjp(forward, backward)
    return rasterize


def _draw_groups(drawing: Drawing, canvas: Canvas, sizes: Sizes) -> Canvas:
    """Draw on all tiles, group by group."""
    _, h, w = canvas.shape
    tiles, corners = split_tiles(canvas, sizes.tiles), tile_corners(h, w, sizes.tiles)

    def draw_group(group):
        tiles, corners, counts = group

        def draw_bins(tiles):
            bins = _bin(drawing, corners, sizes)
            composite_nth = partial(_composite_nth, drawing, bins, sizes)
            return lax.fori_loop(0, bins.steps, composite_nth, tiles)

        # Not even bins are made where no stroke is, as around a picture.
        return lax.cond(counts.max() > 0, draw_bins, lambda tiles: tiles, tiles)

    order, counts = _order_by_count(drawing, corners)
    groups = (_permute(tiles, order), _permute(corners, order), counts)
    drawn = _permute(lax.map(draw_group, groups), jnp.argsort(order))
    return join_tiles(drawn, h, w)


def _backward_groups(
    drawing: Drawing, canvas: Canvas, cotangent: Canvas, sizes: Sizes
) -> tuple[Canvas, Strokes]:
    """Return the cotangents of canvas and strokes, from that of the drawn canvas."""
    _, h, w = canvas.shape
    corners = tile_corners(h, w, sizes.tiles)
    order, _ = _order_by_count(drawing, corners)
    groups = (
        _permute(split_tiles(canvas, sizes.tiles), order),
        _permute(corners, order),
        _permute(split_tiles(cotangent, sizes.tiles), order),
    )
    backward_group = partial(_backward_group, drawing, sizes)
    zeros = jnp.zeros_like(drawing.strokes)
    strokes_cotangent, tiles_cotangent = lax.scan(backward_group, zeros, groups)
    canvas_cotangent = _permute(tiles_cotangent, jnp.argsort(order))
    return join_tiles(canvas_cotangent, h, w), strokes_cotangent


def _composite_nth(
    drawing: Drawing, bins: Bins, sizes: Sizes, n: Int[Array, ""], tiles: Tiles
) -> Tiles:
    """Composite the strokes of the n-th step over each tile."""
    indices = _indices_of_step(bins, sizes, n)
    strokes = _gather(drawing, indices)
    marks = footprints(strokes, _corner_of_each(bins.corners, indices), TILE)
    return _composite_step(tiles, strokes, marks)[-1]


def _composite_step(
    tiles: Tiles, drawing: Drawing, marks: tuple[Float[Array, "tk side side"], ...]
) -> list[Tiles]:
    """Return the tiles before each stroke of a step, and after all of them.

    Args:
        tiles: before the step.
        drawing: the strokes of the first tile, then those of the second, and so on.
        marks: coverage and thickness of each.
    """
    colours, coverage, thickness = (
        array.reshape(len(tiles), -1, *array.shape[1:])
        for array in (drawing.strokes[:, COLOUR], *marks)
    )
    canvases = [tiles]
    for k in range(colours.shape[1]):
        above = composite(canvases[-1], colours[:, k], coverage[:, k], thickness[:, k])
        canvases.append(above)
    return canvases


def _indices_of_step(bins: Bins, sizes: Sizes, n: Int[Array, ""]) -> Int[Array, " tk"]:
    """Return which strokes the n-th step draws: those of the first tile first."""
    first, count = n * sizes.strokes, sizes.strokes
    return lax.dynamic_slice_in_dim(bins.indices, first, count, axis=1).ravel()


def _corner_of_each(corners: Corners, indices: Int[Array, " tk"]) -> Int[Array, "tk 2"]:
    """Return the corner of the tile that each stroke of a step is drawn on."""
    return jnp.repeat(corners, len(indices) // len(corners), axis=0)


def _gather(drawing: Drawing, indices: Int[Array, " t"]) -> Drawing:
    return drawing._replace(
        strokes=drawing.strokes[indices], seeds=drawing.seeds[indices]
    )


def _backward_group(
    drawing: Drawing,
    sizes: Sizes,
    strokes_cotangent: Strokes,
    group: tuple[Tiles, Corners, Tiles],
) -> tuple[Strokes, Tiles]:
    """Add a group's share to the strokes' cotangent; return its tiles' cotangent, too.

    Goes from the last step to the first, segment by segment. What was below a stroke
    cannot be computed from what is above it, so each segment is drawn again, and the
    tiles before each of its steps are stored.
    """
    tiles, corners, cotangent = group
    bins = _bin(drawing, corners, sizes)
    segments = (bins.steps + SEGMENT - 1) // SEGMENT

    def backward_segment(index, carry):
        first = (segments - 1 - index) * SEGMENT
        count = jnp.minimum(bins.steps - first, SEGMENT)
        composite_nth = partial(_composite_nth, drawing, bins, sizes)
        stored = _store_segment(composite_nth, tiles, first, count)

        def backward_nth(k, carry):
            k = count - 1 - k
            indices = _indices_of_step(bins, sizes, first + k)
            return _backward_step(drawing, corners, indices, stored[k], carry)

        return lax.fori_loop(0, count, backward_nth, carry)

    carry = (cotangent, strokes_cotangent)
    cotangent, strokes_cotangent = lax.fori_loop(0, segments, backward_segment, carry)
    return strokes_cotangent, cotangent


def _store_segment(
    composite_nth: Callable[[Int[Array, ""], Tiles], Tiles],
    tiles: Tiles,
    first: Int[Array, ""],
    count: Int[Array, ""],
) -> Float[Array, "k t c h w"]:
    """Return the tiles as they were before each of `count` steps from `first` on."""

    def store(k, carry):
        tiles, stored = carry
        return composite_nth(first + k, tiles), stored.at[k].set(tiles)

    start = lax.fori_loop(0, first, composite_nth, tiles)
    stored = jnp.zeros((SEGMENT, *tiles.shape), tiles.dtype)
    return lax.fori_loop(0, count, store, (start, stored))[1]


def _backward_step(
    drawing: Drawing,
    corners: Corners,
    indices: Int[Array, " tk"],
    below: Tiles,
    carry: tuple[Tiles, Strokes],
) -> tuple[Tiles, Strokes]:
    """Backpropagate through one step.

    Args:
        drawing: all strokes.
        corners: of the tiles.
        indices: the strokes of the step; see `_indices_of_step`.
        below: the tiles before it.
        carry: cotangents of the tiles after it, and of all strokes.
    """
    cotangent, strokes_cotangent = carry
    planes = cotangent.shape[1] - 2  # of a mark: coverage, and thickness if it is drawn
    drawing = _gather(drawing, indices)
    corner_of_each = _corner_of_each(corners, indices)

    def draw_marks(strokes):
        drawn = drawing._replace(strokes=strokes)
        return footprints(drawn, corner_of_each, TILE)[:planes]

    marks, vjp = jax.vjp(draw_marks, drawing.strokes)
    colours = drawing.strokes[:, COLOUR].reshape(len(below), -1, 3)
    # What is not drawn has no plane that it is composited over.
    coverage, thickness = (
        mark.reshape(*colours.shape[:2], TILE, TILE) for mark in (marks[0], marks[-1])
    )
    canvases = _composite_step(below, drawing, (marks[0], marks[-1]))
    shares = []
    for k in reversed(range(colours.shape[1])):
        of_stroke = colours[:, k], coverage[:, k], thickness[:, k]
        shares.append(_backward_stroke(canvases[k], of_stroke, cotangent))
        cotangent = cotangent * (1 - coverage[:, k, None])
    *marks_cotangent, colours_cotangent = (
        jnp.stack(parts[::-1], axis=1).reshape(-1, *parts[0].shape[1:])
        for parts in zip(*shares, strict=True)
    )
    (grads,) = vjp(tuple(marks_cotangent[:planes]))
    grads = grads.at[:, COLOUR].add(colours_cotangent)
    return cotangent, strokes_cotangent.at[indices].add(grads)


def _backward_stroke(
    below: Tiles,
    stroke: tuple[
        Float[Array, "t 3"], Float[Array, "t side side"], Float[Array, "t side side"]
    ],
    cotangent: Tiles,
) -> tuple[
    Float[Array, "t side side"], Float[Array, "t side side"], Float[Array, "t 3"]
]:
    """Return the cotangents of coverage, thickness and colour of a stroke of each tile.

    Args:
        below: the tiles before it.
        stroke: its colour, coverage and thickness.
        cotangent: of the tiles after it.
    """
    colour, coverage, thickness = stroke
    colours = cotangent[:, :3]
    coverage_cotangent = (colours * (colour[:, :, None, None] - below[:, :3])).sum(1)
    thickness_cotangent = jnp.zeros_like(coverage)
    if cotangent.shape[1] == 5:
        coverage_cotangent += cotangent[:, 4] * (1 - below[:, 4])
    if cotangent.shape[1] > 3:
        coverage_cotangent += cotangent[:, 3] * (thickness - below[:, 3])
        thickness_cotangent = cotangent[:, 3] * coverage
    colour_cotangent = jnp.einsum("tchw,thw->tc", colours, coverage, precision=EXACT)
    return coverage_cotangent, thickness_cotangent, colour_cotangent


def _bin(drawing: Drawing, corners: Corners, sizes: Sizes) -> Bins:
    """Return the bins of some tiles."""
    overlaps = _overlaps(drawing, corners)
    last = drawing.strokes.shape[0] - 1
    slot = jnp.where(overlaps, jnp.cumsum(overlaps, axis=1) - 1, last + SEGMENT)
    empty = jnp.full((corners.shape[0], last + SEGMENT), last)
    rows = jnp.arange(corners.shape[0])[:, None]
    indices = empty.at[rows, slot].set(jnp.arange(last + 1)[None], mode="drop")
    return Bins(corners, indices, -(-overlaps.sum(1).max() // sizes.strokes))


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


def reached_tiles(drawing: Drawing, height: int, width: int) -> Bool[Array, "n t"]:
    """Return which of a canvas's tiles, row by row, each stroke may reach.

    Args:
        drawing: the strokes.
        height: of the canvas, in pixels.
        width: of the canvas, in pixels.
    """
    corners = tile_corners(height, width, 1)[:, 0]
    return _overlaps(drawing, corners).T


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
    start = jnp.matmul(turn, offset, precision=EXACT)
    return jnp.concatenate([start[:, None], turn / resolution], axis=1)


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
    flat = cotangent.reshape(len(cotangent), -1)
    return (jnp.matmul(flat, basis, precision=EXACT),)


_affine_grid = jax.custom_vjp(_evaluate_affine, nondiff_argnums=(1,))
_affine_grid.defvjp(_affine_forward, _affine_backward)
