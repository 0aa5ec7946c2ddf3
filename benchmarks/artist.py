"""The artist beside other ways to find strokes, on pictures it was never trained on.

    python benchmarks/artist.py
    python benchmarks/artist.py --picture=FILE --strokes=100,300,1000 --curves=FILE.png

Settings are those of `configs/paint.py`, and each contender changes a few of them (see
`CONTENDERS`). All paint the middle square of each picture at `--size`, so that they
share compiled programs; each has painted the first one before, so that seconds are
without compilation, but with it for `--whole` pictures, whose shapes differ. They are
those of the processor, over all cores, because machines are shared; and those of the
clock. Stages before refinement and the whole are told apart. Decibels and LPIPS are of
the finished painting, in eight bits. With several numbers of strokes, `--curves` draws
the means over strokes and over seconds; with `--out`, the paintings of a picture are
written side by side as well.

Prints a line for each painting, then the means, and last one JSON object on a line.
"""

import json
import os
import platform
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import app, flags, logging
from ml_collections import config_flags
from painter.curves import draw_curves
from painter.pictures import (
    SAMPLES,
    Pixels,
    lpips,
    pictures,
    psnr,
    render,
    save,
    shrunk,
    square,
)

from jaxart import figures, images
from jaxart.painter import painting
from jaxart.painter.problem import make_problem
from jaxart.painter.settings import Settings


CONFIG = Path(__file__).parents[1] / "configs" / "paint.py"

# What each changes in the settings: `joint` is 30 steps of refinement, at half size.
CONTENDERS: dict[str, dict[str, Any]] = {
    "Monte Carlo": {"slope": "monte_carlo", "steps": 48},
    "finite differences": {"slope": "finite_differences"},
    "autodiff": {"slope": "autodiff"},
    "artist": {"slope": "artist"},
    "artist + moves": {"slope": "artist+autodiff", "steps": 14},
    "4 steps + joint": {"slope": "autodiff", "steps": 4, "refine": 30},
    "artist + joint": {"slope": "artist", "refine": 30},
    "autodiff + joint": {"slope": "autodiff", "refine": 30},
    "artist + moves + joint": {"slope": "artist+autodiff", "steps": 14, "refine": 30},
    "VGG16": {"slope": "finite_differences", "distance": "vgg_rounds"},
}
SLOW = "VGG16"  # the essay's way: not among those that paint by default
COLUMNS = ("greedy_cpu", "cpu", "seconds", "psnr", "lpips_alex", "lpips_vgg")

_CONFIG = config_flags.DEFINE_config_file("config", str(CONFIG), "the painter")
_PICTURE = flags.DEFINE_multi_string(
    "picture",
    [],
    "picture, folder, or one of scikit-image's by name; may be repeated. Default: "
    "flower.jpg and ten paintings of ../shared, and " + ", ".join(SAMPLES),
)
_SIZE = flags.DEFINE_integer("size", 512, "side of the squares", lower_bound=64)
_WHOLE = flags.DEFINE_bool(
    "whole", False, "paint whole pictures, with sides of at most `size`"
)
_STROKES = flags.DEFINE_list("strokes", ["1000"], "strokes of the paintings")
_ONLY = flags.DEFINE_list(
    "only",
    [name for name in CONTENDERS if name != SLOW],
    f"which contenders paint; by default all but {SLOW}",
)
flags.register_validator(
    _ONLY,
    lambda names: set(names) <= set(CONTENDERS),
    f"must be of {', '.join(CONTENDERS)}",
)
_OUT = flags.DEFINE_string("out", "", "folder that receives the paintings")
_CURVES = flags.DEFINE_string("curves", "", "file that receives the curves")


def paint(picture: Pixels, settings: Settings) -> tuple[dict[str, float], Pixels]:
    """Paint a picture, timed; return what was measured, and the painting."""
    cpu, clock, greedy_cpu = time.process_time(), time.perf_counter(), 0.0
    progress = None
    for progress in painting.progress(make_problem(picture, settings)):
        if progress.phase == "painting":
            greedy_cpu = time.process_time() - cpu
    assert progress, "there is always a stage"
    found = {
        "greedy_cpu": greedy_cpu,
        "cpu": time.process_time() - cpu,
        "seconds": time.perf_counter() - clock,
    }
    painted = render(progress.painting, settings, picture)
    found |= {"psnr": psnr(painted, picture), **lpips(painted, picture)}
    return found, painted


def print_row(name: str, contender: str, row: dict[str, float]) -> None:
    """Print a line of the table."""
    numbers = " ".join(f"{row[column]:>10.4g}" for column in COLUMNS)
    print(f"{name:12} {contender:24} {row['strokes']:>6.0f} {numbers}", flush=True)


def means_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the means over all pictures, by contender and number of strokes."""
    groups: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["contender"], row["strokes"]), []).append(row)
    return [
        {"contender": contender, "strokes": count}
        | {c: float(np.mean([row[c] for row in group])) for c in COLUMNS}
        for (contender, count), group in groups.items()
    ]


def save_side_by_side(paintings: dict[str, list[Pixels]]) -> None:
    """Write what all contenders made of each picture, by its file's name."""
    for file, several in paintings.items():
        tiles = figures.add_captions(np.stack(several), _ONLY.value)
        save(_OUT.value, file, figures.hstack(list(tiles)))


def main(_: list[str]) -> None:
    """Let all contenders paint all pictures."""
    logging.set_verbosity(logging.WARNING)
    settings = Settings(**_CONFIG.value)
    settings = replace(settings, refine=0, refine_half=0, refine_whole=0, prune=0.0)
    chosen, skipped = pictures(_PICTURE.value, 10_000)
    cut = shrunk if _WHOLE.value else square
    parts = {name: cut(one, _SIZE.value) for name, one in chosen.items()}
    heads = " ".join(f"{column:>10}" for column in COLUMNS)
    print(f"{'picture':12} {'contender':24} {'strokes':>6} {heads}")
    rows: list[dict[str, Any]] = []
    paintings: dict[str, list[Pixels]] = {}
    for contender in _ONLY.value:
        for count in map(int, _STROKES.value):
            own = replace(settings, strokes=count, **CONTENDERS[contender])
            paint(next(iter(parts.values())), own)  # compiles
            for name, picture in parts.items():
                row, painted = paint(picture, own)
                row = {"strokes": float(count), **row}
                rows.append({"picture": name, "contender": contender, **row})
                print_row(name, contender, row)
                file = f"{name}-{count}"
                save(_OUT.value, f"{file}-{contender.replace(' ', '-')}", painted)
                paintings.setdefault(file, []).append(painted)
        jax.clear_caches()
    if _OUT.value:
        save_side_by_side(paintings)
    means = means_of(rows)
    for mean in means:
        print_row("mean", mean["contender"], mean)
    if _CURVES.value:
        curves = {
            name: [mean for mean in means if mean["contender"] == name]
            for name in _ONLY.value
        }
        images.save_png(Path(_CURVES.value), draw_curves(curves))
    report = {
        "name": "artist",
        "size": _SIZE.value,
        "skipped": skipped,
        "device": f"{jax.devices()[0].device_kind}, {os.cpu_count()} cores, "
        f"{platform.machine()}",
        "means": means,
        "rows": rows,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    app.run(main)
