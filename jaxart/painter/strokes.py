"""The eight numbers of a stroke, and drawing it.

Places and sizes are in units of the picture's height, so that the same strokes make the
same painting at any size in pixels. The canvas is smooth in all eight numbers.

The canvas is cut into small tiles. Each has a list of the strokes that reach it, in the
order in which they are laid, and only they are drawn there: a stroke costs the tiles
that it touches, and nothing grows with the canvas but the number of its tiles. Tiles do
not depend on each other, so many are drawn in one go.

The slopes of a drawing are written by hand. What a stroke was laid on is needed to know
its slopes; each tile is drawn again, and remembered for `KEPT` strokes at a time, so
memory does not grow with the number of strokes. Time grows with the strokes times the
pixels of their tiles.

Source: the tiles and their lists follow Kerbl et al., "3D Gaussian Splatting for
Real-Time Radiance Field Rendering", 2023, section 6.
Deviation: strokes are opaque enough to need no sorting but their own order.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, ScalarLike

from jaxart.painter.brushes import Brush, mark


TILE = 16  # side of a tile, in pixels
TILES = 32  # drawn in one go
KEPT = 32  # strokes of which a tile remembers what they were laid on

# Colours first, and perhaps the height of the paint after them: a row of pixels is then
# one run of memory.
Canvas = Float[Array, "c h w"]

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
        red: of its paint, in [0, 1]; so are the next two.
        green: of its paint.
        blue: of its paint.
    """

    x: Number
    y: Number
    length: Number
    width: Number
    angle: Number
    red: Number
    green: Number
    blue: Number


# Strokes as one array, a stroke a row.
Numbers = Float[Array, "n 8"]

# The place in a stroke's own frame of a pixel (x, y) of a square: u and v are each the
# product of three numbers with (1, x, y).
Frames = Float[Array, "n 2 3"]

# Tiles drawn in one go, row and column of the upper left pixel of each; and all tiles
# of a canvas, in groups of as many.
Tiles = Float[Array, "t c side side"]
Corners = Int[Array, "t 2"]
Groups = Float[Array, "m t c side side"]

# So far outside that it leaves no paint; lists are filled up with it.
NOTHING = np.array([-1e3, -1e3, 1, 1, 0, 0, 0, 0], np.float32)


def draw(
    canvas: Canvas,
    strokes: Strokes,
    brush: Brush,
    seeds: Float[Array | np.ndarray, " n"],
    *,
    pixels: ScalarLike,
) -> Canvas:
    """Lay strokes on a canvas, the first one first.

    Slopes are those of the canvas and the strokes; brush, seeds and pixels have none.

    Args:
        canvas: the painting so far: three planes of colour and, if there is a fourth,
            the height of the paint.
        strokes: of which some may lie partly or wholly outside.
        brush: of all these strokes; if its numbers are Python's, what it has not is
            not computed.
        seeds: pick the hairs of each stroke, in [0, 1).
        pixels: height of the picture, in pixels of this canvas.
    """
    _, h, w = canvas.shape
    numbers = jnp.stack([*jnp.broadcast_arrays(*strokes)], axis=1)
    numbers = jnp.concatenate([numbers, jnp.asarray(NOTHING, numbers.dtype)[None]])
    seeds = jnp.concatenate([jnp.asarray(seeds), jnp.zeros(1)])
    # Its own function, because a traced brush must not reach a custom rule's arguments.
    lay = _drawing(brush)
    return _join(lay(_cut(canvas), numbers, seeds, _corners(h, w), pixels), h, w)


def marks(
    numbers: Numbers,
    brush: Brush,
    seeds: Float[Array, " n"],
    corners: Int[Array, "n 2"],
    pixels: ScalarLike,
    side: int,
) -> tuple[Float[Array, "n side side"], Float[Array, "n side side"]]:
    """Return coverage and height of each stroke's mark in a square of its own.

    Args:
        numbers: the strokes.
        brush: of all of them.
        seeds: pick the hairs of each.
        corners: row and column of each square's upper left pixel.
        pixels: height of the picture, in pixels.
        side: of the squares, in pixels.
    """
    frames = jax.vmap(partial(_frame, pixels=pixels))(numbers, corners)
    u, v = (_along(frames[:, axis], side) for axis in (0, 1))
    return jax.vmap(partial(mark, brush))(u, v, seeds)


def _along_of(axis: Float[Array, "n 3"], side: int) -> Float[Array, "n side side"]:
    """Return how far along one axis of its stroke's frame each pixel of a square is."""
    far = jnp.arange(side, dtype=float)[None, None]
    start, right, down = jnp.moveaxis(axis[..., None, None], 1, 0)
    return start + right * far + down * far.swapaxes(1, 2)


def _along_forwards(
    axis: Float[Array, "n 3"], side: int
) -> tuple[Float[Array, "n side side"], None]:
    return _along_of(axis, side), None


def _along_backwards(
    side: int, _: None, slopes: Float[Array, "n side side"]
) -> tuple[Float[Array, "n 3"]]:
    # A product with (1, x, y): sums over all pixels of a square are what XLA is slowest
    # at on a CPU.
    return (slopes.reshape(len(slopes), -1) @ _grid(side),)


_along = jax.custom_vjp(_along_of, nondiff_argnums=(1,))
_along.defvjp(_along_forwards, _along_backwards)


def _drawing(brush: Brush) -> Callable[..., Groups]:
    """Return the function that draws all tiles with a brush, and knows its slopes."""

    @jax.custom_vjp
    def drawing(
        tiles: Groups,
        numbers: Numbers,
        seeds: Float[Array, " n"],
        corners: Int[Array, "m t 2"],
        pixels: ScalarLike,
    ) -> Groups:
        def some(given: tuple[Tiles, Corners, Int[Array, " t"]]) -> Tiles:
            tiles, corners, counts = given
            lay = partial(_lay, brush, numbers, seeds, corners, pixels)
            # Not even lists are made where nothing lies, as around a picture.
            return lax.cond(counts.max() > 0, lay, lambda tiles: tiles, tiles)

        order, counts = _order(numbers, corners, pixels)
        groups = (_sorted(tiles, order), _sorted(corners, order), counts)
        return _sorted(lax.map(some, groups), jnp.argsort(order))

    def forwards(*given: Any) -> tuple[Groups, tuple[Any, ...]]:
        return drawing(*given), given

    def backwards(
        given: tuple[Any, ...], slopes: Groups
    ) -> tuple[Groups, Numbers, None, None, None]:
        tiles, numbers, seeds, corners, pixels = given

        def some(
            gathered: Numbers, given: tuple[Tiles, Corners, Tiles]
        ) -> tuple[Numbers, Tiles]:
            return _slopes(brush, numbers, seeds, pixels, gathered, given)

        order, _ = _order(numbers, corners, pixels)
        groups = (
            _sorted(tiles, order),
            _sorted(corners, order),
            _sorted(slopes, order),
        )
        gathered, slopes = lax.scan(some, jnp.zeros_like(numbers), groups)
        return _sorted(slopes, jnp.argsort(order)), gathered, None, None, None

    drawing.defvjp(forwards, backwards)
    return drawing


def _lay(
    brush: Brush,
    numbers: Numbers,
    seeds: Float[Array, " n"],
    corners: Corners,
    pixels: ScalarLike,
    tiles: Tiles,
) -> Tiles:
    """Draw on some tiles what reaches them."""
    lists, depth = _lists(numbers, corners, pixels)
    lay = partial(_lay_one, brush, numbers, seeds, corners, pixels, lists)
    return lax.fori_loop(0, depth, lay, tiles)


def _lay_one(
    brush: Brush,
    numbers: Numbers,
    seeds: Float[Array, " n"],
    corners: Corners,
    pixels: ScalarLike,
    lists: Int[Array, "t m"],
    place: Int[Array, ""],
    tiles: Tiles,
) -> Tiles:
    """Draw on each tile the stroke that is at a place of its list."""
    which = lists[:, place]
    coverage, height = marks(numbers[which], brush, seeds[which], corners, pixels, TILE)
    return lay(tiles, numbers[which, 5:], coverage, height)


def lay(
    under: Float[Array, "n c h w"],
    colours: Float[Array | np.ndarray, "n 3"],
    coverage: Float[Array, "n h w"],
    height: Float[Array, "n h w"],
) -> Float[Array, "n c h w"]:
    """Return canvases with one mark laid on each; `c` is as in `draw`."""
    paints = [*colours.T[:, :, None, None], height][: under.shape[1]]
    # Plane by plane, because XLA is slow on a CPU at sums over so few planes, which the
    # slope of a broadcast coverage would be.
    planes = jnp.moveaxis(under, 1, 0)
    over = [
        plane + coverage * (paint - plane)
        for plane, paint in zip(planes, paints, strict=True)
    ]
    return jnp.stack(over, axis=1)


def _slopes(
    brush: Brush,
    numbers: Numbers,
    seeds: Float[Array, " n"],
    pixels: ScalarLike,
    gathered: Numbers,
    given: tuple[Tiles, Corners, Tiles],
) -> tuple[Numbers, Tiles]:
    """Add the slopes of some tiles in the strokes; return those in the tiles, too.

    Strokes are taken back one by one from the last. What each was laid on cannot be
    had from what came after, so it is drawn again, `KEPT` strokes at a time.
    """
    tiles, corners, slopes = given
    lists, depth = _lists(numbers, corners, pixels)
    lay = partial(_lay_one, brush, numbers, seeds, corners, pixels, lists)
    rounds = (depth + KEPT - 1) // KEPT

    def take_back(
        index: Int[Array, ""], carry: tuple[Tiles, Numbers]
    ) -> tuple[Tiles, Numbers]:
        first = (rounds - 1 - index) * KEPT
        count = jnp.minimum(depth - first, KEPT)

        def keep(
            k: Int[Array, ""], drawn: tuple[Tiles, Float[Array, "k t c h w"]]
        ) -> tuple[Tiles, Float[Array, "k t c h w"]]:
            canvas, kept = drawn
            return lay(first + k, canvas), kept.at[k].set(canvas)

        start = lax.fori_loop(0, first, lay, tiles)
        _, kept = lax.fori_loop(
            0, count, keep, (start, jnp.zeros((KEPT, *tiles.shape), tiles.dtype))
        )

        def take_back_one(
            k: Int[Array, ""], carry: tuple[Tiles, Numbers]
        ) -> tuple[Tiles, Numbers]:
            k = count - 1 - k
            which = lists[:, first + k]
            return _slopes_of_one(
                brush, numbers, seeds, corners, pixels, which, kept[k], carry
            )

        return lax.fori_loop(0, count, take_back_one, carry)

    slopes, gathered = lax.fori_loop(0, rounds, take_back, (slopes, gathered))
    return gathered, slopes


def _slopes_of_one(
    brush: Brush,
    numbers: Numbers,
    seeds: Float[Array, " n"],
    corners: Corners,
    pixels: ScalarLike,
    which: Int[Array, " t"],
    under: Tiles,
    carry: tuple[Tiles, Numbers],
) -> tuple[Tiles, Numbers]:
    """Take one stroke of each tile back: see `_slopes`."""
    slopes, gathered = carry
    planes = slopes.shape[1] - 2  # of the mark: coverage, and height if it is drawn

    def mark_of(numbers: Numbers) -> tuple[Float[Array, "t side side"], ...]:
        return marks(numbers, brush, seeds[which], corners, pixels, TILE)[:planes]

    (coverage, *height), pull = jax.vjp(mark_of, numbers[which])
    colours = slopes[:, :3]
    fade = (colours * (numbers[which, 5:, None, None] - under[:, :3])).sum(1)
    if height:
        fade += slopes[:, 3] * (height[0] - under[:, 3])
        (found,) = pull((fade, slopes[:, 3] * coverage))
    else:
        (found,) = pull((fade,))
    flat = jnp.einsum("tchw,thw->tc", colours, coverage)
    gathered = gathered.at[which].add(found.at[:, 5:].add(flat))
    return slopes * (1 - coverage[:, None]), gathered


def _lists(
    numbers: Numbers, corners: Corners, pixels: ScalarLike
) -> tuple[Int[Array, "t m"], Int[Array, ""]]:
    """Return for each tile the strokes that may reach it, and the most of any tile.

    A list is in order. It goes on with the last stroke of all, which is `NOTHING`.
    """
    hit = _hits(numbers, corners, pixels)
    last = numbers.shape[0] - 1
    place = jnp.where(hit, jnp.cumsum(hit, axis=1) - 1, last + KEPT)
    empty = jnp.full((corners.shape[0], last + KEPT), last)
    rows = jnp.arange(corners.shape[0])[:, None]
    lists = empty.at[rows, place].set(jnp.arange(last + 1)[None], mode="drop")
    return lists, hit.sum(1).max()


def _order(
    numbers: Numbers, corners: Int[Array, "m t 2"], pixels: ScalarLike
) -> tuple[Int[Array, " mt"], Int[Array, "m t"]]:
    """Return the order of the tiles in which those that most strokes reach come first.

    A group of tiles takes as long as the one with the most strokes. Also returned is
    how many reach each tile, in that order.
    """
    counts = lax.map(lambda some: _hits(numbers, some, pixels).sum(1), corners)
    order = jnp.argsort(-counts.ravel())
    return order, _sorted(counts, order)


def _sorted(
    groups: Float[Array, "m t *rest"] | Int[Array, "m t *rest"],
    order: Int[Array, " mt"],
) -> Array:
    flat = groups.reshape(-1, *groups.shape[2:])
    return flat[order].reshape(groups.shape)


def _hits(numbers: Numbers, corners: Corners, pixels: ScalarLike) -> Bool[Array, "t n"]:
    """Return which strokes may reach each tile."""
    x, y, length, width, angle = numbers[:, :5].T
    down, right = (
        ((corners + TILE / 2) / pixels)[:, :, None] - jnp.stack([y, x])[None]
    ).swapaxes(0, 1)
    cos, sin = jnp.cos(angle)[None], jnp.sin(angle)[None]
    reach = TILE / 2**0.5 / pixels
    along = jnp.abs(right * cos + down * sin) < (length / 2 + reach)[None]
    across = jnp.abs(down * cos - right * sin) < (width / 2 + reach)[None]
    return along & across


def _frame(
    numbers: Float[Array, " 8"], corner: Int[Array, " 2"], pixels: ScalarLike
) -> Float[Array, "2 3"]:
    x, y, length, width, angle = numbers[:5]
    cos, sin = 2 * jnp.cos(angle), 2 * jnp.sin(angle)
    turn = jnp.stack([jnp.stack([cos, sin]) / length, jnp.stack([-sin, cos]) / width])
    offset = (corner[::-1] + 0.5) / pixels - jnp.stack([x, y])
    return jnp.concatenate([(turn @ offset)[:, None], turn / pixels], axis=1)


def _grid(side: int) -> Float[Array, "p 3"]:
    """Return (1, x, y) of each pixel of a square."""
    y, x = jnp.indices((side, side), dtype=float).reshape(2, -1)
    return jnp.stack([jnp.ones_like(x), x, y], axis=1)


def _corners(h: int, w: int) -> Int[Array, "m t 2"]:
    """Return row and column of the upper left pixel of each tile, in groups."""
    rows, columns = -(-h // TILE), -(-w // TILE)
    corners = TILE * jnp.indices((rows, columns)).reshape(2, -1).T
    spare = -corners.shape[0] % TILES
    # What fills up the last group has the corner of the first tile; it is dropped.
    return jnp.pad(corners, ((0, spare), (0, 0))).reshape(-1, TILES, 2)


def _cut(canvas: Canvas) -> Groups:
    """Return the tiles of a canvas, in groups."""
    c, h, w = canvas.shape
    padded = jnp.pad(canvas, ((0, 0), (0, -h % TILE), (0, -w % TILE)))
    rows, columns = padded.shape[1] // TILE, padded.shape[2] // TILE
    tiles = padded.reshape(c, rows, TILE, columns, TILE).transpose(1, 3, 0, 2, 4)
    tiles = tiles.reshape(-1, c, TILE, TILE)
    tiles = jnp.pad(tiles, ((0, -tiles.shape[0] % TILES), *[(0, 0)] * 3))
    return tiles.reshape(-1, TILES, c, TILE, TILE)


def _join(tiles: Groups, h: int, w: int) -> Canvas:
    """Undo `_cut`."""
    c = tiles.shape[2]
    rows, columns = -(-h // TILE), -(-w // TILE)
    tiles = tiles.reshape(-1, c, TILE, TILE)[: rows * columns]
    grid = tiles.reshape(rows, columns, c, TILE, TILE).transpose(2, 0, 3, 1, 4)
    return grid.reshape(c, rows * TILE, columns * TILE)[:, :h, :w]
