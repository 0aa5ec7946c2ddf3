"""Paintings by each gradient method, compared where they are equally good.

The same number of strokes in squared error, without refinement. A better method also
needs fewer strokes, so seconds for a number of strokes say too little: each is compared
with autodiff at the PSNR that the worse of the two reaches in the end, in seconds that
each needed to come there (between two stages, along a straight line).
"""

from dataclasses import replace

import numpy as np
from painter.clock import Record, time_painting
from painter.options import Options
from painter.pictures import Pixels, psnr, render
from painter.tables import STROKES, Column, Row

from jaxart.drawing.strokes import PADDING
from jaxart.painter.painting import Painting
from jaxart.painter.settings import Settings


EQUAL = (
    Column("slope", "slope", 20),
    STROKES,
    Column("psnr", "dB", 8, ".2f"),
    Column("seconds", "seconds", 9, ".2f"),
    Column("strokes_per_second", "strokes/s", 11, ".1f"),
    Column("equal_psnr", "at dB", 8, ".2f"),
    Column("equal_seconds", "seconds", 9, ".2f"),
    Column("autodiff_seconds", "autodiff's", 12, ".2f"),
    Column("times_autodiff", "ratio", 8, ".2f"),
)


def equal_quality(
    name: str, picture: Pixels, settings: Settings, options: Options
) -> list[Row]:
    """Compare the gradient methods at equal PSNR."""
    settings = replace(settings, strokes=options.count, distance="mse", refine=0)
    methods = ("autodiff", "finite_differences", "monte_carlo")
    records = {method: [] for method in methods}
    for _ in range(options.repeats):
        for method in methods:
            changed = replace(settings, slope=method)
            records[method].append(time_painting(picture, changed))
    curves = {
        method: _curve(turns, settings, picture) for method, turns in records.items()
    }
    autodiff_seconds, autodiff_psnr = curves["autodiff"]
    rows = []
    for method, (seconds, psnrs) in curves.items():
        equal = min(autodiff_psnr[-1], psnrs[-1])
        own_seconds = float(np.interp(equal, psnrs, seconds))
        reference = float(np.interp(equal, autodiff_psnr, autodiff_seconds))
        count = records[method][0].last.seeds.size
        rows.append(
            {
                "what": "gradients",
                "picture": name,
                "slope": method,
                "strokes": count,
                "psnr": psnrs[-1],
                "seconds": seconds[-1],
                "strokes_per_second": count / seconds[-1],
                "equal_psnr": equal,
                "equal_seconds": own_seconds,
                "autodiff_seconds": reference,
                "times_autodiff": own_seconds / reference,
                "compile_seconds": records[method][0].compiling,
            }
        )
    return rows


def _curve(
    turns: list[Record], settings: Settings, picture: Pixels
) -> tuple[list[float], list[float]]:
    """Return seconds, medians over the turns, and PSNR, never falling, by stage."""
    seconds = np.median([[at for at, _ in turn.stages] for turn in turns], axis=0)
    psnrs = [
        psnr(render(_pad(painting, settings.strokes), settings, picture), picture)
        for _, painting in turns[0].stages
    ]
    return seconds.tolist(), np.maximum.accumulate(psnrs).tolist()


def _pad(painting: Painting, count: int) -> Painting:
    """Pad a painting to some strokes, so that all are drawn by one program."""
    num_padding = count - len(painting.strokes)
    strokes = np.concatenate([painting.strokes, np.tile(PADDING, (num_padding, 1))])
    return painting._replace(
        strokes=strokes, seeds=np.pad(painting.seeds, (0, num_padding))
    )
