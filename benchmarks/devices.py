"""What eight devices cost in total work: one against eight simulated on the same cores.

    python benchmarks/devices.py --width=128 --batch_size=64

The same update of the same global batch, on one CPU device and on eight that share its
cores: with `jit` over a mesh, and with `pmap`. As all of them have the same cores, what
eight devices need beyond one is what dividing costs: work that each does again (Adam,
sums of kernels), copies, and products that are smaller.

Each contender has a process of its own, because JAX counts devices once; they take
turns, a turn is `--updates` updates, and a ratio is the median over the rounds of the
ratio within a round. Beside seconds stand the CPU seconds of all threads, and what XLA
counts in the compiled programs of all devices together.

Prints a table and, last, one JSON object on a line.
"""

import json
import os
import platform
import re
import runpy
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import jax
import numpy as np
from absl import app, flags
from timing import median_and_spread, ratio

from jaxart.gan.parallel import Parallel, make_parallel_update
from jaxart.gan.settings import Settings
from jaxart.gan.update import init_state


_WIDTH = flags.DEFINE_integer("width", 128, "width of both networks", lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 64, "images of a batch", lower_bound=1)
_DEVICES = flags.DEFINE_integer("devices", 8, "how many to simulate", lower_bound=1)
_UPDATES = flags.DEFINE_integer("updates", 1, "updates of a turn", lower_bound=1)
_REPEATS = flags.DEFINE_integer("repeats", 3, "turns of each contender", lower_bound=1)
_PMAP = flags.DEFINE_bool("pmap", True, "with pmap as well")
_CONTENDER = flags.DEFINE_enum("contender", None, get_args(Parallel), "for its own use")

CONFIG = Path(__file__).parents[1] / "configs" / "art.py"
ONE = "one device"
SIZES = {"f32": 4, "s32": 4, "u32": 4, "pred": 1}  # bytes of a number in HLO's text
REDUCED = re.compile(r"= (.*?) all-reduce(?:-start)?\(")
ARRAY = re.compile(r"(\w+)\[([\d,]*)\]")


def contend(parallel: Any) -> None:
    """Be one contender: compile, say what that gave, and do a turn for each line read.

    Args:
        parallel: of the config.
    """
    config = runpy.run_path(str(CONFIG))["get_config"]()
    config.generator.width = config.discriminator.width = _WIDTH.value
    settings = Settings.from_config(config)
    size, count = settings.size, _BATCH_SIZE.value
    networks, recipe = settings.make_networks(0), settings.make_recipe()
    updates = make_parallel_update(
        *networks, recipe, parallel=parallel, batch_size=count
    )
    pixels = np.random.default_rng(0).integers(0, 256, (1, count, size, size, 3))
    state = updates.replicate(init_state(*networks, recipe, 0))
    batch = updates.shard(pixels.astype(np.uint8))
    begin = time.perf_counter()
    run: Any = updates.run
    found = {}
    if parallel == "jit":
        run = run.lower(state, None, batch).compile()
        found = counted(run)
    state, _ = jax.block_until_ready(run(state, None, batch))
    found["compile_seconds"] = time.perf_counter() - begin
    print(json.dumps(found), flush=True)
    for _ in sys.stdin:
        begin, before = time.perf_counter(), time.process_time()
        for _ in range(_UPDATES.value):
            state, _ = run(state, None, batch)
        jax.block_until_ready(state)
        seconds = time.perf_counter() - begin, time.process_time() - before
        print(json.dumps([value / _UPDATES.value for value in seconds]), flush=True)


def counted(compiled: jax.stages.Compiled) -> dict[str, float]:
    """Return what XLA counts in the programs of all devices together."""
    analysis: Any = compiled.cost_analysis()
    text = compiled.as_text() or ""
    reduced = [
        SIZES.get(kind, 4) * int(np.prod([int(n) for n in sides.split(",") if n]))
        for shapes in REDUCED.findall(text)
        for kind, sides in ARRAY.findall(shapes)
    ]
    return {
        "gflop": analysis["flops"] * jax.device_count() / 1e9,
        "gigabytes": analysis["bytes accessed"] * jax.device_count() / 1e9,
        "all_reduces": len(REDUCED.findall(text)),
        "reduced_megabytes": sum(reduced) / 1e6,
    }


class Contender:
    """A process that does updates when told to.

    Args:
        parallel: of the config.
        count: devices that it sees.
    """

    def __init__(self, parallel: str, count: int):
        own = [flag for flag in sys.argv[1:] if not flag.startswith("--contender")]
        environment = {
            **os.environ,
            "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} "
            f"--xla_force_host_platform_device_count={count}",
            "JAX_PLATFORMS": "cpu",
        }
        self._process = subprocess.Popen(
            [sys.executable, __file__, *own, f"--contender={parallel}"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.turns: list[list[float]] = []
        self.found: dict[str, float] = self._read()

    def turn(self) -> None:
        """Do some updates; note the seconds, and CPU seconds, that one needed."""
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self.turns.append(self._read())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def summary(self) -> dict[str, float]:
        """Return all that was found out."""
        seconds, cpu_seconds = zip(*self.turns, strict=True)
        median, spread = median_and_spread(seconds)
        return {
            "median_seconds": median,
            "spread": spread,
            "cpu_seconds": statistics.median(cpu_seconds),
            **self.found,
        }

    def _read(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            sys.exit("a contender has ended; its error stands above")
        return json.loads(line)


def ratios(ours: Contender, one: Contender) -> dict[str, float]:
    """Return seconds and CPU seconds as multiples of one device's, by rounds."""
    seconds, cpu_seconds = (
        ratio(*columns)
        for columns in zip(
            zip(*ours.turns, strict=True), zip(*one.turns, strict=True), strict=True
        )
    )
    return {"seconds": seconds, "cpu_seconds": cpu_seconds}


def print_table(summaries: dict[str, dict[str, float]]) -> None:
    """Print a line for each contender."""
    columns = {
        "s/update": ("median_seconds", ".3f"),
        "spread": ("spread", ".3f"),
        "CPU s": ("cpu_seconds", ".2f"),
        "GFLOP": ("gflop", ".1f"),
        "GB": ("gigabytes", ".2f"),
        "all-reduces": ("all_reduces", ".0f"),
        "MB of them": ("reduced_megabytes", ".1f"),
        "compile s": ("compile_seconds", ".1f"),
    }
    print(f"{'':24}" + "".join(f"{title:>12}" for title in columns))
    for name, summary in summaries.items():
        cells = [
            format(summary[key], form) if key in summary else ""
            for key, form in columns.values()
        ]
        print(f"{name:24}" + "".join(f"{cell:>12}" for cell in cells))


def main(argv: list[str]) -> None:
    """Time all contenders and print what was found out."""
    del argv
    if _CONTENDER.value:
        contend(_CONTENDER.value)
        return
    count = _DEVICES.value
    contenders = {
        ONE: Contender("jit", 1),
        f"{count} devices, jit": Contender("jit", count),
    }
    if _PMAP.value:
        contenders[f"{count} devices, pmap"] = Contender("pmap", count)
    for _ in range(_REPEATS.value):
        for contender in contenders.values():
            contender.turn()
    for contender in contenders.values():
        contender.close()
    summaries = {name: one.summary() for name, one in contenders.items()}
    found: dict[str, Any] = {
        "name": "devices",
        "width": _WIDTH.value,
        "batch_size": _BATCH_SIZE.value,
        "devices": count,
        **summaries[ONE],
        "contenders": summaries,
        "ratios": {
            name: ratios(ours, contenders[ONE])
            for name, ours in contenders.items()
            if name != ONE
        },
        "device": f"{os.cpu_count()} cores, {platform.machine()}",
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in ("jax", "jaxlib", "flax")},
        },
    }
    print_table(summaries)
    for name, ratios_of_one in found["ratios"].items():
        print(
            f"{name}: {ratios_of_one['seconds']:.2f} times the seconds of one device, "
            f"{ratios_of_one['cpu_seconds']:.2f} times its CPU seconds"
        )
    print(json.dumps(found))


if __name__ == "__main__":
    app.run(main)
