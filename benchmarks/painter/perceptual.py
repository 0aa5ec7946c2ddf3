"""Each picture in squared error and by VGG16, with the same number of strokes.

All are as the config has them: "vgg" has its last descent on top of the one in squared
error, "vgg_rounds" has VGG16 in each stroke as well, and they pay for it in seconds.
There are two metrics, LPIPS with VGG16's heads and with AlexNet's; no painting is
optimised for the second.
"""

from dataclasses import replace

import jax
from painter.clock import Record, time_painting
from painter.options import Options
from painter.pictures import Pixels, lpips, psnr, render, save
from painter.tables import (
    COMPILING,
    LPIPS,
    PICTURE,
    STROKES,
    Column,
    Row,
    print_head,
    print_row,
)

from jaxart.painter.settings import Settings


PERCEPTUAL = (
    PICTURE,
    Column("distance", "distance", 12),
    STROKES,
    Column("psnr", "dB", 8, ".2f"),
    *LPIPS,
    Column("greedy_milliseconds_per_stroke", "greedy ms/stroke", 18, ".2f"),
    Column("milliseconds_per_stroke", "ms/stroke", 11, ".2f"),
    COMPILING,
)


def perceptual(
    chosen: dict[str, Pixels], settings: Settings, options: Options
) -> list[Row]:
    """Paint all pictures in squared error and by VGG16."""
    print_head(PERCEPTUAL)
    rows = []
    for name, picture in chosen.items():
        several, paintings = [], []
        for distance in ("mse", "vgg", "vgg_rounds"):
            one = replace(settings, strokes=options.count, distance=distance)
            record = time_painting(picture, one)
            paintings.append(render(record.last, one, picture))
            row = perceptual_row(name, picture, distance, record, paintings[-1])
            several.append(row)
            print_row(row, PERCEPTUAL)
        save(options.out, f"{name}-picture-mse-vgg-rounds", picture, *paintings)
        for row in several[1:]:
            row["ratios"] = ratios(several[0], row)
            print(", ".join(f"{key} x {by:.3f}" for key, by in row["ratios"].items()))
        rows += several
        jax.clear_caches()
    return rows


def perceptual_row(
    name: str, picture: Pixels, distance: str, record: Record, painted: Pixels
) -> Row:
    """Return three metrics of a painting, and what it took."""
    greedy_seconds, first = record.greedy
    return {
        "what": "perceptual",
        "picture": name,
        "distance": distance,
        "strokes": record.last.seeds.size,
        "psnr": psnr(painted, picture),
        **lpips(painted, picture),
        "seconds": record.seconds,
        "greedy_milliseconds_per_stroke": 1_000 * greedy_seconds / first.seeds.size,
        "milliseconds_per_stroke": 1_000 * record.seconds / record.last.seeds.size,
        "compile_seconds": record.compiling,
    }


def ratios(plain: Row, perceived: Row) -> dict[str, float]:
    """Return what is measured by VGG16's painting in units of the other's."""
    keys = ("lpips_vgg", "lpips_alex")
    keys += ("greedy_milliseconds_per_stroke", "milliseconds_per_stroke")
    return {key: perceived[key] / plain[key] for key in keys}
