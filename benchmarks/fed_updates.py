"""Time updates that are fed by the pipeline against ones that draw their own batches.

    python benchmarks/fed_updates.py [--width=16] [--data_dir=DIR]

The pictures of `--data_dir`, else synthetic ones, feed the compiled update of the
paper's networks in three ways: one batch that is on the device already (nothing is
fed), the pipeline, and the whole dataset on the device. The three take turns; a turn is
`--updates` updates with one wait at the end, in calls of one update.

Prints a table and, last, one JSON object on a line; `ratio` is the seconds of an update
on the device divided by those of one that the pipeline feeds.
"""

import json
import os
import platform
import runpy
import statistics
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from absl import app, flags
from flax import nnx

from jaxart.gan import devices
from jaxart.gan.networks import Discriminator, Generator
from jaxart.gan.update import start
from jaxart.paintings import choice, pipeline, resident


_WIDTH = flags.DEFINE_integer("width", 16, "width of both networks", lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 128, "of a batch", lower_bound=1)
_UPDATES = flags.DEFINE_integer("updates", 10, "updates of a turn", lower_bound=1)
_REPEATS = flags.DEFINE_integer("repeats", 5, "turns of each way", lower_bound=1)
_DATA_DIR = flags.DEFINE_string("data_dir", "", "prepared paintings")

CONFIG = Path(__file__).parents[1] / "configs" / "art.py"
NOTHING, PIPELINE, DEVICE = "nothing", "pipeline", "dataset on the device"


def ways() -> dict[str, Callable[[int], float]]:
    """Return what times some updates, by what feeds them."""
    config: Any = runpy.run_path(str(CONFIG))["get_config"]()
    name = "paintings" if _DATA_DIR.value else "synthetic"
    pictures = choice.open_pictures(name, _DATA_DIR.value, source="", size=config.size)
    shape = {"size": config.size, "dtype": config.dtype, "rngs": nnx.Rngs(0)}
    generator = Generator(width=_WIDTH.value, latent=100, **shape)
    discriminator = Discriminator(width=_WIDTH.value, **shape)
    optimizer = optax.adam(**config.optimizer)
    size = {"size": config.size, "batch_size": _BATCH_SIZE.value}
    compiled = devices.compiled(
        generator,
        discriminator,
        optimizer,
        loss=config.loss,
        parallel="jit",
        batch_size=_BATCH_SIZE.value,
        draw=partial(resident.batch, **size),
    )
    batches = pipeline.batches(pictures, **size, seed=0)
    one = compiled.feed(next(batches)[None])
    kept = compiled.keep(resident.load(pictures))(1)
    feeds: dict[str, Callable[[], devices.Fed]] = {
        NOTHING: lambda: one,
        PIPELINE: lambda: compiled.feed(np.asarray(next(batches))[None]),
        DEVICE: lambda: kept,
    }

    def timer(fed: Callable[[], devices.Fed]) -> Callable[[int], float]:
        state = compiled.spread(start(generator, discriminator, optimizer, 0))

        def timed(updates: int) -> float:
            nonlocal state
            begin = time.perf_counter()
            for _ in range(updates):
                state = compiled.steps(state, fed())[0]
            jax.block_until_ready(state)
            return (time.perf_counter() - begin) / updates

        return timed

    return {name: timer(fed) for name, fed in feeds.items()}


def main(_: list[str]) -> None:
    """Time the three ways and print what was found out."""
    timers = ways()
    first = {name: timed(1) for name, timed in timers.items()}
    turns: dict[str, list[float]] = {name: [] for name in timers}
    for _round in range(_REPEATS.value):
        for name, timed in timers.items():
            turns[name].append(timed(_UPDATES.value))
    found: dict[str, dict[str, float]] = {}
    print(f"{'fed by':28}{'s/update':>10}{'spread':>9}{'images/s':>10}")
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
    pairs = zip(turns[DEVICE], turns[PIPELINE], strict=True)
    packages = ("jax", "flax", "grain", "numpy")
    line = {
        "name": "fed_updates",
        **found[DEVICE],
        "width": _WIDTH.value,
        "batch_size": _BATCH_SIZE.value,
        "ways": found,
        "ratio": statistics.median(a / b for a, b in pairs),
        "device": f"{jax.device_count()} {jax.devices()[0].device_kind}, "
        f"{os.cpu_count()} cores, {platform.machine()}",
        "versions": {name: version(name) for name in packages},
    }
    print(json.dumps(line))


if __name__ == "__main__":
    app.run(main)
