"""Time updates on crops from the host against ones that crop an atlas on the device.

    python benchmarks/fed_updates.py [--width=16] [--data_dir=DIR]

The pictures of `--data_dir`, else synthetic ones, feed the compiled update of the
paper's networks in three ways: one batch that is on the device already, crops from the
host, and corners of the same crops in an atlas on the device. The three take turns; a
turn is `--updates` updates with one wait at the end, in calls of one update.

Prints a table and, last, one JSON object on a line; `ratio` is the seconds of an update
from the atlas divided by those of one on crops from the host; `share` is the seconds of
an update whose batch is on the device already divided by those of one from the atlas.
"""

import json
import os
import platform
import runpy
import statistics
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import app, flags
from feeding import ATLAS, HOST, READY, ways

from jaxart.gan.settings import Settings
from jaxart.paintings import training_data


_WIDTH = flags.DEFINE_integer("width", 16, "width of both networks", lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 128, "of a batch", lower_bound=1)
_UPDATES = flags.DEFINE_integer("updates", 10, "updates of a turn", lower_bound=1)
_REPEATS = flags.DEFINE_integer("repeats", 5, "turns of each way", lower_bound=1)
_DATA_DIR = flags.DEFINE_string("data_dir", "", "prepared paintings")

CONFIG = Path(__file__).parents[1] / "configs" / "art.py"
SYNTHETIC = "synthetic"


def main(_: list[str]) -> None:
    """Time the three ways and print what was found out."""
    config: Any = runpy.run_path(str(CONFIG))["get_config"]()
    config.generator.width = config.discriminator.width = _WIDTH.value
    config.batch_size = _BATCH_SIZE.value
    settings = Settings.from_config(config)
    name = "paintings" if _DATA_DIR.value else SYNTHETIC
    records = training_data.open_records_by_name(
        name, _DATA_DIR.value, source="", size=settings.size
    )
    timers = ways(settings, records)
    first = {name: timed(1) for name, timed in timers.items()}
    turns: dict[str, list[float]] = {name: [] for name in timers}
    for _round in range(_REPEATS.value):
        for name, timed in timers.items():
            turns[name].append(timed(_UPDATES.value))
    found: dict[str, dict[str, float]] = {}
    print(f"{'crops of':28}{'s/update':>10}{'spread':>9}{'images/s':>10}")
    for name, seconds in turns.items():
        low, high = np.percentile(seconds, [25, 75])
        median = statistics.median(seconds)
        found[name] = {
            "median_seconds": median,
            "spread": float(high - low),
            "compile_seconds": max(first[name] - median, 0.0),
        }
        rate = _BATCH_SIZE.value / median
        print(f"{name:28}{median:>10.4f}{high - low:>9.4f}{rate:>10.1f}")
    pairs = zip(turns[ATLAS], turns[HOST], strict=True)
    packages = ("jax", "flax", "grain", "numpy")
    line = {
        "name": "fed_updates",
        **found[ATLAS],
        "width": _WIDTH.value,
        "batch_size": _BATCH_SIZE.value,
        "ways": found,
        "ratio": statistics.median(a / b for a, b in pairs),
        "share": statistics.median(
            a / b for a, b in zip(turns[READY], turns[ATLAS], strict=True)
        ),
        "device": f"{jax.device_count()} {jax.devices()[0].device_kind}, "
        f"{os.cpu_count()} cores, {platform.machine()}",
        "versions": {name: version(name) for name in packages},
    }
    print(json.dumps(line))


if __name__ == "__main__":
    app.run(main)
