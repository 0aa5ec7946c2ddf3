"""Time N GANs trained side by side in one call against N calls, one after the other.

    python benchmarks/seeds.py --width=16 --batch_size=32 --seeds=4

Both do the updates that `jaxart.train` does, with batches that are already on the
device, and take turns in one process: that is what N separate runs would need if
nothing came on top of their arithmetic. A ratio below 1 is what `seeds` gains.

Prints a table and, last, one JSON object on a line.
"""

import json
import platform
import runpy
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import jax
import numpy as np
import optax
from absl import app, flags
from flax import nnx

from jaxart.gan import devices
from jaxart.gan.networks import Discriminator, Generator
from jaxart.gan.update import init_state


_WIDTH = flags.DEFINE_integer("width", 16, "width of both networks", lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "images of a batch", lower_bound=1)
_SEEDS = flags.DEFINE_multi_integer("seeds", [4], "how many at once; may be repeated")
_UPDATES = flags.DEFINE_integer("updates", 3, "updates of a turn", lower_bound=1)
_REPEATS = flags.DEFINE_integer("repeats", 5, "turns of each", lower_bound=1)

CONFIG = Path(__file__).parents[1] / "configs" / "art.py"


def main(_: list[str]) -> None:
    """Measure each number of seeds, and print what was found."""
    print("| seeds | one after the other, s | side by side, s | ratio | spread |")
    print("|---|---|---|---|---|")
    found = {}
    for seeds in _SEEDS.value:
        apart, together, compile_seconds = _turns(seeds)
        ratios = [b / a for a, b in zip(apart, together, strict=True)]
        low, high = np.percentile(ratios, [25, 75])
        found[seeds] = {
            "apart_seconds": statistics.median(apart),
            "median_seconds": statistics.median(together),
            "ratio": statistics.median(ratios),
            "spread": float(high - low),
            "compile_seconds": compile_seconds,
        }
        print(
            f"| {seeds} | {statistics.median(apart):.3f} | "
            f"{statistics.median(together):.3f} | {statistics.median(ratios):.2f} | "
            f"{high - low:.2f} |"
        )
    summary = {
        "name": "seeds",
        "width": _WIDTH.value,
        "batch_size": _BATCH_SIZE.value,
        "seeds": found,
        "device": jax.devices()[0].device_kind,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("jax", "flax")},
        },
    }
    print(json.dumps(summary))


def _turns(seeds: int) -> tuple[list[float], list[float], float]:
    """Return the seconds of all updates apart and together, and of compiling."""
    apart, together = _updates(seeds, 1), _updates(1, seeds)
    apart()
    begin = time.perf_counter()
    together()
    compile_seconds = time.perf_counter() - begin
    times: tuple[list[float], list[float]] = [], []
    for _ in range(_REPEATS.value):
        for way, seconds in zip((apart, together), times, strict=True):
            begin = time.perf_counter()
            for _ in range(_UPDATES.value):
                way()
            seconds.append((time.perf_counter() - begin) / _UPDATES.value)
    return *times, compile_seconds


def _updates(calls: int, seeds: int) -> Callable[[], None]:
    """Return what does an update of `calls` times `seeds` GANs."""
    config = runpy.run_path(str(CONFIG))["get_config"]()
    rngs = nnx.Rngs(config.seed)
    shape = {"size": 64, "width": _WIDTH.value, "dtype": config.dtype, "rngs": rngs}
    networks = Generator(latent=100, **shape), Discriminator(**shape)
    optimizer = optax.adam(**config.optimizer)
    compiled = devices.compiled(
        *networks,
        optimizer,
        loss=config.loss,
        parallel="jit",
        batch_size=_BATCH_SIZE.value,
        seeds=seeds,
    )
    rng = np.random.default_rng(0)
    states, batches = [], []
    for _ in range(calls):
        own = [init_state(*networks, optimizer, seed) for seed in range(seeds)]
        states.append(compiled.spread(devices.together(own)))
        size = (seeds, 1, _BATCH_SIZE.value, 64, 64, 3)
        pixels = list(rng.integers(0, 256, size, dtype=np.uint8))
        batches.append(compiled.feed(devices.together(pixels)))

    def update() -> None:
        for number, batch in enumerate(batches):
            states[number], _ = compiled.steps(states[number], batch)
        jax.block_until_ready(states)

    return update


if __name__ == "__main__":
    app.run(main)
