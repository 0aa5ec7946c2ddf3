"""Each picture in squared error and by VGG16, with the same number of strokes.

Both are as the config has them: "vgg" has its last descent on top of the one in squared
error, and pays for it in seconds. There are two judges, LPIPS with VGG16's heads and
with AlexNet's; no painter ever sees the second.
"""

from dataclasses import replace

import jax
from painter.clock import Record, watched
from painter.options import Options
from painter.pictures import Pixels, lpips, psnr, save, seen
from painter.tables import (
    COMPILING,
    JUDGES,
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
    Column("distance", "distance", 10),
    STROKES,
    Column("psnr", "dB", 8, ".2f"),
    *JUDGES,
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
        pair, paintings = [], []
        for distance in ("mse", "vgg"):
            one = replace(settings, strokes=options.count, distance=distance)
            record = watched(picture, one)
            paintings.append(seen(record.last, one, picture))
            pair.append(perceptual_row(name, picture, distance, record, paintings[-1]))
            print_row(pair[-1], PERCEPTUAL)
        save(options.out, f"{name}-picture-mse-vgg", picture, *paintings)
        pair[1]["ratios"] = ratios(*pair)
        print(", ".join(f"{key} x {by:.3f}" for key, by in pair[1]["ratios"].items()))
        rows += pair
        jax.clear_caches()
    return rows


def perceptual_row(
    name: str, picture: Pixels, distance: str, record: Record, painted: Pixels
) -> Row:
    """Return how good a painting is to three judges, and what it took."""
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
