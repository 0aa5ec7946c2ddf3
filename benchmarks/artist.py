"""The artist beside other ways to find strokes, on pictures it was never trained on.

    python benchmarks/artist.py
    python benchmarks/artist.py --picture=FILE --strokes=100,300,1000 --out=paintings

Settings are those of `configs/paint.py`, and each contender changes a few of them (see
`CONTENDERS`). All paint the middle square of each picture at `--size`, so that they
share compiled programs; each has painted the first one before, so that seconds are
without compilation. They are those of the processor, over all cores, because machines
are shared; and those of the clock. Stages before refinement and the whole are told
apart. Decibels and LPIPS are of the finished painting, in eight bits.

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
from painter.pictures import (
    SAMPLES,
    Pixels,
    lpips,
    pictures,
    psnr,
    render,
    save,
    square,
)

from jaxart.painter import painting
from jaxart.painter.problem import make_problem
from jaxart.painter.settings import Settings


CONFIG = Path(__file__).parents[1] / "configs" / "paint.py"

# What each changes in the settings: `joint` is 30 steps of refinement, at half size.
CONTENDERS: dict[str, dict[str, Any]] = {
    "monte_carlo": {"slope": "monte_carlo", "steps": 48},
    "finite_differences": {"slope": "finite_differences"},
    "autodiff": {"slope": "autodiff"},
    "artist": {"slope": "artist"},
    "artist+moves": {"slope": "artist+autodiff", "steps": 14},
    "autodiff+joint": {"slope": "autodiff", "refine": 30},
    "artist+moves+joint": {"slope": "artist+autodiff", "steps": 14, "refine": 30},
}
COLUMNS = ("greedy_cpu", "cpu", "seconds", "psnr", "lpips_alex", "lpips_vgg")

_CONFIG = config_flags.DEFINE_config_file("config", str(CONFIG), "the painter")
_PICTURE = flags.DEFINE_multi_string(
    "picture",
    [],
    "picture, folder, or one of scikit-image's by name; may be repeated. Default: "
    "flower.jpg and ten paintings of ../shared, and " + ", ".join(SAMPLES),
)
_SIZE = flags.DEFINE_integer("size", 512, "side of the squares", lower_bound=64)
_STROKES = flags.DEFINE_list("strokes", ["1000"], "strokes of the paintings")
_ONLY = flags.DEFINE_list("only", list(CONTENDERS), "which contenders paint")
_OUT = flags.DEFINE_string("out", "", "folder that receives the paintings")


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


def main(_: list[str]) -> None:
    """Let all contenders paint all pictures."""
    logging.set_verbosity(logging.WARNING)
    settings = replace(Settings(**_CONFIG.value), refine=0, prune=0.0)
    chosen, skipped = pictures(_PICTURE.value, 10_000)
    squares = {name: square(one, _SIZE.value) for name, one in chosen.items()}
    heads = " ".join(f"{column:>10}" for column in COLUMNS)
    print(f"{'picture':12} {'contender':24} {'strokes':>6} {heads}")
    rows = []
    for contender in _ONLY.value:
        for count in map(int, _STROKES.value):
            own = replace(settings, strokes=count, **CONTENDERS[contender])
            paint(next(iter(squares.values())), own)  # compiles
            for name, picture in squares.items():
                row, painted = paint(picture, own)
                row = {"strokes": float(count), **row}
                rows.append({"picture": name, "contender": contender, **row})
                print_row(name, contender, row)
                file = (
                    f"{name}-{contender.replace(', ', '-').replace(' ', '-')}-{count}"
                )
                save(_OUT.value, file, painted)
        jax.clear_caches()
    means = []
    for contender in _ONLY.value:
        for count in map(float, _STROKES.value):
            mine = [
                row
                for row in rows
                if (row["contender"], row["strokes"]) == (contender, count)
            ]
            mean = {c: float(np.mean([row[c] for row in mine])) for c in COLUMNS}
            means.append({"contender": contender, "strokes": count, **mean})
            print_row("mean", contender, means[-1])
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
