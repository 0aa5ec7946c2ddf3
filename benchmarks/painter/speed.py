"""Strokes a second, at two sizes and with two distances, without refinement.

The same picture as a square of some pixels and, enlarged by Lanczos, of four times as
many.
"""

from collections.abc import Sequence
from dataclasses import replace

from painter.clock import Record, time_painting
from painter.options import Options
from painter.pictures import Pixels, psnr, render, resized, square
from painter.tables import (
    COMPILING,
    STROKES,
    Column,
    Row,
    print_head,
    print_row,
    summary,
)
from timing import ratio

from jaxart.painter.settings import Settings


SPEED = (
    Column("distance", "distance", 10),
    Column("side", "pixels", 8, ",d"),
    STROKES,
    Column("psnr", "dB", 8, ".2f"),
    Column("seconds", "seconds", 9, ".2f"),
    Column("spread", "spread", 8, ".2f"),
    Column("strokes_per_second", "strokes/s", 11, ".1f"),
    Column("milliseconds_per_stroke", "ms/stroke", 11, ".2f"),
    COMPILING,
)


def speed(
    name: str, picture: Pixels, settings: Settings, options: Options
) -> list[Row]:
    """Time a picture against the same one with four times the side."""
    settings = replace(settings, refine=0, refine_half=0, refine_whole=0)
    counts = {"mse": options.count, "vgg_rounds": options.perceived}
    small = square(picture, options.size)
    pictures = [small, resized(small, *[4 * options.size] * 2)]
    print_head(SPEED)
    rows = []
    for distance in (distance for distance, count in counts.items() if count):
        one = replace(settings, distance=distance, strokes=counts[distance])
        turns = [
            [time_painting(p, one) for p in pictures] for _ in range(options.repeats)
        ]
        records = list(zip(*turns, strict=True))
        pair = [
            speed_row(name, picture, one, turns)
            for picture, turns in zip(pictures, records, strict=True)
        ]
        for row in pair:
            print_row(row, SPEED)
        per_stroke = [
            [record.greedy[0] / record.last.seeds.size for record in turns]
            for turns in records
        ]
        pair[1]["ratio"] = ratio(per_stroke[1], per_stroke[0])
        print(f"a stroke at four times the side takes {pair[1]['ratio']:.2f} times")
        rows += pair
    return rows


def speed_row(
    name: str, picture: Pixels, settings: Settings, records: Sequence[Record]
) -> Row:
    """Return what some paintings of one picture took, all of them the same."""
    times = summary([record.greedy[0] for record in records])
    count = records[0].last.seeds.size
    return {
        "what": "speed",
        "picture": name,
        "distance": settings.distance,
        "side": len(picture),
        "strokes": count,
        "psnr": psnr(render(records[0].last, settings, picture), picture),
        **times,
        "strokes_per_second": count / times["seconds"],
        "milliseconds_per_stroke": 1_000 * times["seconds"] / count,
        "compile_seconds": records[0].compiling,
    }
