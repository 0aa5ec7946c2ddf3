"""Paintings by each kind of slope, compared where they are equally good.

The same number of strokes in squared error, without refinement. A better slope also
needs fewer strokes, so seconds for a number of strokes say too little: each is compared
with autodiff at the PSNR that the worse of the two reaches in the end, in seconds that
each needed to come there (between two stages, along a straight line).
"""

from dataclasses import replace

import numpy as np
from painter.clock import Record, watched
from painter.options import Options
from painter.pictures import Pixels, psnr, seen
from painter.tables import STROKES, Column, Row

from jaxart.painter.painting import Painting
from jaxart.painter.settings import Settings
from jaxart.painter.strokes import NOTHING, Strokes


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
    """Compare the kinds of slopes at equal PSNR."""
    settings = replace(settings, strokes=options.count, distance="mse", refine=0)
    kinds = ("autodiff", "finite_differences", "monte_carlo")
    records = {kind: [] for kind in kinds}
    for _ in range(options.repeats):
        for kind in kinds:
            one = replace(settings, slope=kind)
            records[kind].append(watched(picture, one))
    ways = {kind: _way(turns, settings, picture) for kind, turns in records.items()}
    best_seconds, best = ways["autodiff"]
    rows = []
    for kind, (seconds, decibels) in ways.items():
        equal = min(best[-1], decibels[-1])
        mine = float(np.interp(equal, decibels, seconds))
        theirs = float(np.interp(equal, best, best_seconds))
        count = records[kind][0].last.seeds.size
        rows.append(
            {
                "what": "slopes",
                "picture": name,
                "slope": kind,
                "strokes": count,
                "psnr": decibels[-1],
                "seconds": seconds[-1],
                "strokes_per_second": count / seconds[-1],
                "equal_psnr": equal,
                "equal_seconds": mine,
                "autodiff_seconds": theirs,
                "times_autodiff": mine / theirs,
                "compile_seconds": records[kind][0].compiling,
            }
        )
    return rows


def _way(
    turns: list[Record], settings: Settings, picture: Pixels
) -> tuple[list[float], list[float]]:
    """Return seconds, medians over the turns, and PSNR, never falling, by stage."""
    seconds = np.median([[at for at, _ in turn.stages] for turn in turns], axis=0)
    decibels = [
        psnr(seen(_filled_up(one, settings.strokes), settings, picture), picture)
        for _, one in turns[0].stages
    ]
    return seconds.tolist(), np.maximum.accumulate(decibels).tolist()


def _filled_up(one: Painting, count: int) -> Painting:
    """Fill a painting up to some strokes, so that all are drawn by one program."""
    spare = count - one.seeds.size
    columns = zip(one.strokes, NOTHING, strict=True)
    strokes = [np.pad(have, (0, spare), constant_values=no) for have, no in columns]
    return one._replace(strokes=Strokes(*strokes), seeds=np.pad(one.seeds, (0, spare)))
