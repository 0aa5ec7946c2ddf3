"""Strokes in the cells of grids, drawn for a batch of small square canvases.

A painting is made of *levels*, which are laid from the coarsest to the finest: the
first has a few large strokes from the whole canvas, each other one a grid of cells with
a few strokes in each.

A stroke of a cell never leaves its window, which is two cells wide and has the cell in
its middle. The windows of every second cell of every second row do not overlap, so that
one stroke of each such cell, a quarter of all cells, is composited in one pass over the
canvas, whose rows and columns are only seen in another shape: nothing is gathered.
A level of k strokes a cell takes 4k passes, however many cells it has; a level of one
cell takes k, each over the whole canvas.

Cost: some 40 FLOP for each pixel of a pass, by the formula of a brush without hairs;
the gradient evaluates it again, and several times as much. It needs the canvas before
each pass: 12 bytes a pixel.

Source: Kerbl et al., "3D Gaussian Splatting for Real-Time Radiance Field Rendering",
2023, section 4, for gradients of marks that are composited in order.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jaxart.drawing.brushes import Brush, mark


PHASES = ((0, 0), (0, 1), (1, 1), (1, 0))  # one step each
MIN_CELL = 4  # pixels along a side of a cell
MAX_STROKES = 1_000  # of a cell

# A plane of colour, seen as windows: rows of windows, their rows, and columns likewise.
Windows = Float[Array, "b rows side columns side"]
# What the strokes of a pass are, one in each window.
OfWindows = Float[Array, "b rows columns p"]


class Level(NamedTuple):
    """A grid of cells with strokes.

    Args:
        cells: along a side; 1, or an even number.
        strokes: of each cell.
    """

    cells: int
    strokes: int

    @property
    def num_strokes(self) -> int:
        """How many strokes there are."""
        return self.cells**2 * self.strokes

    @property
    def phases(self) -> tuple[tuple[int, int], ...]:
        """Which of every second row and column of cells, pass by pass."""
        return PHASES if self.cells > 1 else PHASES[:1]


def parse(text: str, size: int) -> tuple[Level, ...]:
    """Return the levels of "1x12,4x4": twelve strokes of the whole, four of each cell.

    Args:
        text: cells along a side, and strokes of each cell, by levels.
        size: side of the canvas, in pixels.

    Raises:
        ValueError: it says something else, or cells are too small for the canvas.
    """
    levels = []
    for part in text.split(","):
        cells, _, count = part.partition("x")
        # No more digits than any allowed number has.
        if not (cells.isdecimal() and count.isdecimal() and len(part) < 9):
            raise ValueError(f'must be as "1x12,4x4"; got {text[:80]!r}')
        if not 1 <= int(count) <= MAX_STROKES:
            raise ValueError(
                f"must have 1 to {MAX_STROKES:,} strokes of a cell; got {text!r}"
            )
        levels.append(Level(int(cells), int(count)))
    grids = [level.cells for level in levels]
    allowed = [1] + [n for n in (4, 8, 16, 32, 64) if n * MIN_CELL <= size]
    if grids != sorted(set(grids)) or not set(grids) <= set(allowed):
        raise ValueError(
            f"must have grids of {', '.join(map(str, allowed))} cells along a side, "
            f"from few to many, on {size} pixels; got {text!r}"
        )
    return tuple(levels)


def in_order(
    of_cells: Float[Array, "b rows columns k p"],
) -> Float[Array, "k phases b r c p"]:
    """Return what belongs to the strokes of a level's cells by passes, in their order.

    A pass lays the n-th stroke of every cell of its phase.
    """
    slots = of_cells.transpose(3, 0, 1, 2, 4)
    if slots.shape[2] == 1:
        return slots[:, None]
    return jnp.stack([slots[:, :, y::2, x::2] for y, x in PHASES], 1)


def flat(by_passes: Float[Array, "k phases b r c p"]) -> Float[Array, "b n p"]:
    """Return the strokes of each canvas in the order in which they are laid."""
    p = by_passes.shape[-1]
    by_canvas = jnp.moveaxis(by_passes, 2, 0)
    return by_canvas.reshape(len(by_canvas), -1, p)


def draw_level(
    canvas: Float[Array, "3 b h w"],
    strokes: Float[Array, "k phases b r c 8"],
    seeds: Float[Array, "k phases r c"],
    brush: Brush,
    level: Level,
) -> Float[Array, "3 b h w"]:
    """Lay the strokes of a level over square canvases.

    Differentiable in canvas and strokes. The same as `strokes.draw` of each canvas's
    strokes, one after the other, if none leaves its window; else it is cut off there.

    Args:
        canvas: planes of red, green and blue.
        strokes: by passes, see `in_order`; the columns are those of `strokes`.
        seeds: pick the hairs of each stroke, in [0, 1).
        brush: of all strokes, whose numbers are Python's.
        level: their grid.
    """
    size = canvas.shape[-1]
    starts = [_first_pixel(phase, level, size) for phase in level.phases]
    # The canvas is rolled so that the windows of a pass begin at its first pixel.
    # Rolling copies it once; cutting windows out and putting them back costs more.
    at_first, *turns = [
        (a[0] - b[0], a[1] - b[1])
        for a, b in zip([*starts, starts[0]], [(0, 0), *starts], strict=True)
    ]

    def lay_all_phases(canvas: Array, of_slot: tuple[Array, Array]):
        passes = zip(starts, turns, *of_slot, strict=True)
        for start, turn, strokes, seeds in passes:
            canvas = _roll(_lay(canvas, strokes, seeds, brush, start), turn)
        return canvas, None

    canvas, _ = lax.scan(lay_all_phases, _roll(canvas, at_first), (strokes, seeds))
    return _roll(canvas, (-at_first[0], -at_first[1]))


def _first_pixel(phase: tuple[int, int], level: Level, size: int) -> tuple[int, int]:
    """Return row and column at which the first window of a phase begins."""
    if level.cells == 1:
        return 0, 0
    cell = size // level.cells
    return phase[0] * cell - cell // 2, phase[1] * cell - cell // 2


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _roll(canvas: Float[Array, "3 b h w"], by: tuple[int, int]):
    """Return the canvas from another pixel on; what is before it comes last."""
    for axis, shift in zip((-2, -1), by, strict=True):
        if shift:
            canvas = jnp.roll(canvas, -shift, axis)
    return canvas


# That of slices and their concatenation would pad and add.
_roll.defvjp(
    lambda canvas, by: (_roll(canvas, by), None),
    lambda by, _, cotangent: (_roll(cotangent, (-by[0], -by[1])),),
)


def _inside(start: int, size: int, side: int) -> Float[np.ndarray, "n side"]:
    """Return 1 for the pixels of each window that are on the canvas, along an axis."""
    places = start + np.arange(size)
    return ((places >= 0) & (places < size)).astype(np.float32).reshape(-1, side)


def _lay(
    canvas: Float[Array, "3 b h w"],
    strokes: OfWindows,
    seeds: Float[Array, "r c"],
    brush: Brush,
    start: tuple[int, int],
) -> Float[Array, "3 b h w"]:
    """Lay one stroke in each window; the first begins at the first pixel."""
    size, rows = canvas.shape[-1], strokes.shape[1]
    side = size // rows
    corners = [(first + side * jnp.arange(rows)) / size for first in start]
    u, v = _affine_maps(strokes, corners[0], corners[1], size)
    down, right = (_inside(first, size, side) for first in start)
    mask = down[:, :, None, None] * right
    windows = canvas.reshape(3, -1, rows, side, rows, side)
    drawn: Array = _composite(windows, u, v, strokes[..., 5:], (seeds, mask), brush)
    return drawn.reshape(canvas.shape)


def _affine_maps(
    strokes: OfWindows,
    corners_y: Float[Array, " r"],
    corners_x: Float[Array, " c"],
    resolution: int,
) -> tuple[Float[Array, "b r c 3"], Float[Array, "b r c 3"]]:
    """Return stroke coordinates as affine functions of (1, x, y) of a window."""
    x, y, length, width, angle = jnp.moveaxis(strokes[..., :5], -1, 0)
    cos, sin = 2 * jnp.cos(angle), 2 * jnp.sin(angle)
    right = corners_x[None, None, :] + 0.5 / resolution - x
    down = corners_y[None, :, None] + 0.5 / resolution - y
    u = jnp.stack([right * cos + down * sin, cos / resolution, sin / resolution], -1)
    v = jnp.stack([down * cos - right * sin, -sin / resolution, cos / resolution], -1)
    return u / length[..., None], v / width[..., None]


def _evaluate(affine: Float[Array, "b r c 3"], side: int) -> Windows:
    """Return an affine function of (1, x, y) at each pixel of each window."""
    start, right, down = (affine[:, :, None, :, None, i] for i in range(3))
    x, y = _steps(side)
    return start + right * x + down * y


def _steps(side: int) -> tuple[Float[Array, "1 1 1 1 s"], Float[Array, "1 1 s 1 1"]]:
    """Return columns and rows of the pixels of windows."""
    steps = jnp.arange(side, dtype=jnp.float32)
    return steps.reshape(1, 1, 1, 1, side), steps.reshape(1, 1, side, 1, 1)


@partial(jax.custom_vjp, nondiff_argnums=(5,))
def _composite(
    windows: Float[Array, "3 b r side c side"],
    u: Float[Array, "b r c 3"],
    v: Float[Array, "b r c 3"],
    colours: Float[Array, "b r c 3"],
    seeds_and_mask: tuple[Float[Array, "r c"], Float[Array, "r side c side"]],
    brush: Brush,
) -> Float[Array, "3 b r side c side"]:
    """Composite one mark in each window."""
    side = windows.shape[-1]
    places = _evaluate(u, side), _evaluate(v, side)
    coverage = _coverage(brush, *places, *seeds_and_mask)
    if brush.hairs:
        # Too much to do it for each plane.
        coverage = lax.optimization_barrier(coverage)
    paints = _of_pixels(colours)
    return jnp.stack(
        [plane + coverage * (paints[i] - plane) for i, plane in enumerate(windows)]
    )


def _coverage(
    brush: Brush,
    u: Windows,
    v: Windows,
    seeds: Float[Array, "r c"],
    mask: Float[Array, "r side c side"],
) -> Windows:
    return mask[None] * mark(brush, u, v, seeds[None, :, None, :, None])[0]


def _of_pixels(colours: Float[Array, "b r c 3"]) -> Float[Array, "3 b r 1 c 1"]:
    return jnp.moveaxis(colours, -1, 0)[:, :, :, None, :, None]


def _forward(windows, u, v, colours, seeds_and_mask, brush):
    drawn = _composite(windows, u, v, colours, seeds_and_mask, brush)
    return drawn, (windows, u, v, colours, seeds_and_mask)


def _backward(brush, residuals, cotangent):
    windows, u, v, colours, seeds_and_mask = residuals
    side = windows.shape[-1]
    places = _evaluate(u, side), _evaluate(v, side)
    coverage, coverage_vjp = jax.vjp(
        lambda u, v: _coverage(brush, u, v, *seeds_and_mask), *places
    )
    # Plane by plane: sums over so few planes are slow on a CPU.
    of_planes = zip(cotangent, _of_pixels(colours), windows, strict=True)
    u_cotangent, v_cotangent = coverage_vjp(
        sum(of_plane * (paint - plane) for of_plane, paint, plane in of_planes)
    )
    return (
        jnp.stack([of_plane * (1 - coverage) for of_plane in cotangent]),
        _moments(u_cotangent),
        _moments(v_cotangent),
        jnp.stack([(plane * coverage).sum(2).sum(-1) for plane in cotangent], -1),
        None,
    )


def _moments(values: Windows) -> Float[Array, "b r c 3"]:
    """Return sums over the pixels of each window, times 1, x and y.

    By matrix products: sums over short axes are slow on a CPU.
    """
    b, rows, side, columns, _ = values.shape
    steps = np.arange(side, dtype=np.float32)
    powers = np.stack([np.ones(side, np.float32), steps])
    product = partial(jnp.matmul, precision=lax.Precision.HIGHEST)
    of_rows = product(values.reshape(-1, side), powers.T)
    sums = product(powers, of_rows.reshape(b * rows, side, columns * 2))
    sums = jnp.moveaxis(sums.reshape(b, rows, 2, columns, 2), 2, -2)
    return jnp.stack([sums[..., 0, 0], sums[..., 0, 1], sums[..., 1, 0]], -1)


_composite.defvjp(_forward, _backward)
