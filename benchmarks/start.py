"""Time from the start of a command to its first result: first start, second start.

    python benchmarks/start.py --width=32 --batch_size=128

Each start is a process of its own. The first ones find an empty folder of compiled
programs, the second ones what the first has left there; nothing else changes, and both
find the dataset prepared. For `train` the result is the first finished update, which is
when its line of metrics is on disk; for `paint` the end of a painting of few strokes.

Prints a table and, last, one JSON object on a line.
"""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import jax
import numpy as np
from absl import app, flags
from PIL import Image

from jaxart.paintings import preparation
from jaxart.paintings.sources import inputs


_WIDTH = flags.DEFINE_integer("width", 32, "width of both networks", lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 128, "images of a batch")
_REPEATS = flags.DEFINE_integer("repeats", 1, "pairs of starts", lower_bound=1)
_PAINT = flags.DEFINE_bool("paint", True, "time the painter as well")

ROOT = Path(__file__).parents[1]
PICTURES = 24  # of the dataset, small ones


def main(_: list[str]) -> None:
    """Start, and start again."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pictures = _prepared(folder)
        commands = {"train": _train}
        if _PAINT.value:
            commands["paint"] = _paint
        times: dict[str, list[list[float]]] = {}
        for name, start in commands.items():
            times[name] = []
            for turn in range(_REPEATS.value):
                del turn
                cache = folder / "compiled"
                shutil.rmtree(cache, ignore_errors=True)
                pair = [start(folder, pictures, cache) for _ in range(2)]
                times[name].append(pair)
    _print(times)


def _prepared(folder: Path) -> Path:
    """Write a small dataset; return one of its pictures."""
    pictures = folder / "pictures"
    pictures.mkdir()
    rng = np.random.default_rng(0)
    for number in range(PICTURES):
        pixels = rng.integers(0, 256, (140, 150, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(pictures / f"{number:02d}.png")
    preparation.prepare(inputs.open_inputs([pictures]), folder / "data")
    return pictures / "00.png"


def _train(folder: Path, picture: Path, cache: Path) -> float:
    """Return the seconds until the first update is done."""
    del picture
    workdir = folder / "run"
    shutil.rmtree(workdir, ignore_errors=True)
    words = [
        "--config=configs/art.py",
        f"--workdir={workdir}",
        f"--config.generator.width={_WIDTH.value}",
        f"--config.discriminator.width={_WIDTH.value}",
        f"--config.batch_size={_BATCH_SIZE.value}",
        f"--config.data.data_dir={folder / 'data'}",
        "--config.steps=2",
        "--config.log.every_steps=1",
    ]
    begin = time.perf_counter()
    process = _started("jaxart.train", words, cache)
    metrics = workdir / "metrics.jsonl"
    while not (metrics.exists() and metrics.stat().st_size):
        if process.poll() is not None:
            raise RuntimeError(process.communicate()[1])
        time.sleep(0.005)
    seconds = time.perf_counter() - begin
    process.communicate()
    return seconds


def _paint(folder: Path, picture: Path, cache: Path) -> float:
    """Return the seconds that a small painting takes."""
    out = folder / "painting.png"
    words = [str(picture), f"--out={out}", "--config.strokes=50", "--config.refine=10"]
    begin = time.perf_counter()
    process = _started("jaxart.paint", words, cache)
    _, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(errors)
    return time.perf_counter() - begin


def _started(module: str, words: list[str], cache: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", module, *words],
        cwd=ROOT,
        env={**os.environ, "JAX_COMPILATION_CACHE_DIR": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _print(times: dict[str, list[list[float]]]) -> None:
    print("| command | first start, s | second start, s | second / first |")
    print("|---|---|---|---|")
    found = {}
    for name, pairs in times.items():
        first = statistics.median(a for a, _ in pairs)
        second = statistics.median(b for _, b in pairs)
        ratio = statistics.median(b / a for a, b in pairs)
        found[name] = {
            "first_seconds": first,
            "median_seconds": second,
            "ratio": ratio,
            "spread": max(b for _, b in pairs) - min(b for _, b in pairs),
        }
        print(f"| {name} | {first:.1f} | {second:.1f} | {ratio:.2f} |")
    print(
        json.dumps(
            {
                "name": "start",
                "width": _WIDTH.value,
                "batch_size": _BATCH_SIZE.value,
                **found,
                "device": jax.devices()[0].device_kind,
                "versions": {
                    "python": platform.python_version(),
                    **{name: version(name) for name in ("jax", "flax")},
                },
            }
        )
    )


if __name__ == "__main__":
    app.run(main)
