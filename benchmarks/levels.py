"""Drawing levels of strokes for a batch: forwards, and forwards and backwards.

    python benchmarks/levels.py

Beside each row the plain way: a scan over the strokes, each over the whole canvas of
every picture. "times" is its seconds divided by ours, in one run. Prints a table and,
last, one JSON object on a line.
"""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from flax import nnx
from jax import lax
from painter.tables import Column, print_head, print_row
from timing import median_and_spread, ratio, time_call

from jaxart import malloc
from jaxart.drawing import levels
from jaxart.drawing.brushes import SOFT, mark
from jaxart.gan.strokes import StrokeHead, bounds_of, hair_seeds


_BATCH = flags.DEFINE_integer(
    "batch", 16, "pictures of 64 pixels at a time; a quarter of 128", lower_bound=4
)
_TURNS = flags.DEFINE_integer("turns", 5, "of everything", lower_bound=1)

COLUMNS = (
    Column("grids", "grids", 24),
    Column("size", "pixels", 7),
    Column("strokes", "strokes", 8, ",d"),
    Column("passes", "passes", 7, ",d"),
    Column("gradient", "gradient", 9),
    Column("seconds", "seconds", 9, ".4f"),
    Column("spread", "spread", 8, ".4f"),
    Column("rate", "pictures/s", 11, ",.0f"),
    Column("ratio", "times", 6, ".1f"),
)


SMALLEST = 64  # pixels along a side


class Case(NamedTuple):
    """What is drawn."""

    grids: str
    size: int

    @property
    def batch(self) -> int:
        """How many pictures: as many pixels in each case, as a scan keeps them all."""
        return _BATCH.value * SMALLEST**2 // self.size**2


CASES = (
    Case("1x12,4x4", 64),
    Case("1x12,4x6,8x3", 64),
    Case("1x8,4x2,8x2,16x2", 64),
    Case("1x8,4x2,8x2,16x2", 128),
    Case("1x12,4x8,8x6,16x2", 128),
)

Draw = Callable[[list[jax.Array]], jax.Array]


def strokes_of(case: Case) -> list[jax.Array]:
    """Return strokes by passes, within their bounds, of random features."""
    grids = levels.parse(case.grids, case.size)
    rngs, passes = nnx.Rngs(0), []
    canvas = _ground(case)
    for grid in grids:
        bounds = bounds_of(grid, grids)
        head = StrokeHead(8, grid, bounds=bounds, normalisation="none", rngs=rngs)
        features = rngs.normal((case.batch, grid.cells, grid.cells, 8))
        passes.append(head(features, canvas))
    return passes


def by_levels(case: Case) -> Draw:
    """Return our drawing."""

    def draw(passes: list[jax.Array]) -> jax.Array:
        canvas, grids = _ground(case), levels.parse(case.grids, case.size)
        for grid, strokes in zip(grids, passes, strict=True):
            seeds = jnp.asarray(hair_seeds(grid.num_strokes))
            seeds = seeds.reshape(*strokes.shape[:2], *strokes.shape[3:5])
            canvas = levels.draw_level(canvas, strokes, seeds, SOFT, grid)
        return canvas

    return draw


def by_scan(case: Case) -> Draw:
    """Return the plain drawing."""
    y, x = (np.indices((case.size, case.size), np.float32) + 0.5) / case.size

    def lay(canvas: jax.Array, stroke: jax.Array) -> tuple[jax.Array, None]:
        left, top, length, width, angle, *colour = stroke.T[:, :, None, None]
        cos, sin = 2 * jnp.cos(angle), 2 * jnp.sin(angle)
        u = ((x[None] - left) * cos + (y[None] - top) * sin) / length
        v = ((y[None] - top) * cos - (x[None] - left) * sin) / width
        coverage = mark(SOFT, u, v, 0.0)[0]
        return canvas + coverage * (jnp.stack(colour) - canvas), None

    def draw(passes: list[jax.Array]) -> jax.Array:
        strokes = jnp.concatenate([levels.flat(part) for part in passes], axis=1)
        return lax.scan(lay, _ground(case), strokes.swapaxes(0, 1))[0]

    return draw


def seconds_of(function: Callable[..., Any], passes: list[jax.Array]) -> list[float]:
    """Return the seconds of each turn, compiled before."""
    run = jax.jit(function)
    jax.block_until_ready(run(passes))
    return [time_call(lambda: run(passes)) for _ in range(_TURNS.value)]


def measure(case: Case) -> list[dict[str, Any]]:
    """Return a row for drawing, and one for drawing with its gradient."""
    grids = levels.parse(case.grids, case.size)
    passes = strokes_of(case)
    ways = by_levels(case), by_scan(case)
    rows = []
    for gradient in ("no", "yes"):
        # One way after the other: a scan's memory would slow the next turn of ours.
        turns = [
            seconds_of(draw if gradient == "no" else jax.grad(_loss_of(draw)), passes)
            for draw in ways
        ]
        seconds, spread = median_and_spread(turns[0])
        rows.append(
            {
                "grids": case.grids,
                "size": str(case.size),
                "strokes": sum(grid.num_strokes for grid in grids),
                "passes": sum(grid.strokes * len(grid.phases) for grid in grids),
                "gradient": gradient,
                "seconds": seconds,
                "spread": spread,
                "rate": case.batch / seconds,
                "ratio": ratio(turns[1], turns[0]),
            }
        )
    return rows


def _ground(case: Case) -> jax.Array:
    return jnp.full((3, case.batch, case.size, case.size), 0.6)


def _loss_of(draw: Draw) -> Callable[[list[jax.Array]], jax.Array]:
    return lambda passes: jnp.sum(draw(passes) ** 2)


def main(_: list[str]) -> None:
    """Measure all cases."""
    malloc.retain_freed_memory()  # as training does, before there are threads
    print_head(COLUMNS)
    rows = []
    for case in CASES:
        for row in measure(case):
            rows.append(row)
            print_row(row, COLUMNS)
    print(json.dumps({"name": "levels", "batch": _BATCH.value, "rows": rows}))


if __name__ == "__main__":
    app.run(main)
