"""What pictures of 64, 128 and 256 pixels cost: arithmetic, memory, images a second.

    python benchmarks/sizes.py --width=32
    python benchmarks/sizes.py --width=128 --batch_sizes=16,64,128 --repeats=0

The update of `configs/art.py` and of `configs/best.py` is compiled for each size and
batch, and the compiler tells the memory that it needs. Those of the smallest batch are
timed: all sizes and recipes take turns, each in a process of its own. *times* is the
median over the rounds of an update's seconds, over those of the recipe's smallest
pictures in the same round; it holds where the machine is shared. GFLOP an image are
those of convolutions and matrix products by formula; the penalties of `best.py`, in
every fourth update, come on top of them.

Prints a table and, last, one JSON object on a line.
"""

import contextlib
import json
import runpy
import statistics
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import timing
from absl import app, flags
from contenders import Config, Times, bare, in_own_process
from flax import nnx

from jaxart.gan import cost, parallel
from jaxart.gan.cost import Cost
from jaxart.gan.settings import Settings
from jaxart.gan.update import init_state


_WIDTH = flags.DEFINE_integer("width", 32, "width of both networks", lower_bound=1)
_SIZES = flags.DEFINE_list("sizes", ["64", "128", "256"], "sides of the pictures")
_BATCH_SIZES = flags.DEFINE_list("batch_sizes", ["16", "64"], "images of a batch")
_UPDATES = flags.DEFINE_integer("updates", 4, "updates of a turn", lower_bound=1)
_REPEATS = flags.DEFINE_integer("repeats", 3, "turns; 0: nothing is timed")

CONFIGS = Path(__file__).parents[1] / "configs"
RECIPES = ("art", "best")


def make_config(recipe: str, size: int, batch_size: int) -> Config:
    """Return the config of a recipe for pictures of a size."""
    config = runpy.run_path(str(CONFIGS / f"{recipe}.py"))["get_config"]()
    config.size, config.batch_size = size, batch_size
    config.generator.width = config.discriminator.width = _WIDTH.value
    return config


def estimate(config: Config) -> Cost:
    """Return what a run costs, from its compiled update; no array is made."""
    settings = Settings.from_config(config)
    networks = nnx.eval_shape(lambda: settings.make_networks(0))
    recipe = settings.make_recipe()
    updates = parallel.make_parallel_update(
        *networks, recipe, parallel="jit", batch_size=settings.batch_size
    )
    init = jax.jit(lambda seed: init_state(*settings.make_networks(seed), recipe, seed))
    shape = (1, settings.batch_size, settings.size, settings.size, 3)
    batches = jax.ShapeDtypeStruct(shape, np.uint8)
    compiled = updates.compile(init.eval_shape(np.uint32(0)), None, batches)
    return cost.estimate_cost(*networks, compiled, settings.batch_size)


def time_all(configs: dict[tuple[str, int], Config]) -> dict[tuple[str, int], Times]:
    """Return the seconds of an update of each, which take turns."""
    times = {}
    with contextlib.ExitStack() as stack:
        contenders = {}
        for name, config in configs.items():
            make = partial(bare, config, _UPDATES.value)
            contenders[name] = stack.enter_context(in_own_process(make))
            times[name] = Times([], contenders[name].compile_seconds)
        for _ in range(_REPEATS.value):
            for name, contender in contenders.items():
                times[name].turns.append(contender.turn())
    return times


def main(_: list[str]) -> None:
    """Print the table."""
    sizes, batch_sizes = (
        sorted(int(number) for number in flag.value) for flag in (_SIZES, _BATCH_SIZES)
    )
    smallest = batch_sizes[0]
    runs = [(recipe, size) for recipe in RECIPES for size in sizes]
    times = {}
    if _REPEATS.value:
        times = time_all({run: make_config(*run, smallest) for run in runs})
    print(
        f"{'':6}{'size':>5}{'G':>12}{'D':>12}{'GFLOP/image':>13}"
        + "".join(f"{f'GB at {n}':>11}" for n in batch_sizes)
        + (f"{'images/s':>10}{'fastest':>9}{'times':>7}" if times else "")
    )
    rows = []
    for recipe, size in runs:
        costs = {n: estimate(make_config(recipe, size, n)) for n in batch_sizes}
        one = costs[smallest]
        row: dict[str, Any] = {
            "recipe": recipe,
            "size": size,
            "generator_parameters": one.generator_parameters,
            "discriminator_parameters": one.discriminator_parameters,
            "gflop_per_image": one.flop_per_image / 1e9,
            "bytes_needed": {n: costs[n].bytes_needed for n in batch_sizes},
        }
        line = (
            f"{recipe:6}{size:>5}{one.generator_parameters:>12,}"
            f"{one.discriminator_parameters:>12,}{row['gflop_per_image']:>13.3g}"
        )
        for each in costs.values():
            line += f"{cost.format_giga(each.bytes_needed):>11}"
        if times:
            turns = times[recipe, size].turns
            rates = [smallest / seconds for seconds in turns]
            ratio = timing.ratio(turns, times[recipe, sizes[0]].turns)
            row |= {"images_per_second": rates, "times": ratio}
            rate = statistics.median(rates)
            line += f"{rate:>10.1f}{max(rates):>9.1f}{ratio:>7.1f}"
        print(line, flush=True)
        rows.append(row)
    about = {"width": _WIDTH.value, "batch_size": smallest, "repeats": _REPEATS.value}
    print(json.dumps({"name": "sizes", **about, "rows": rows}))


if __name__ == "__main__":
    app.run(main)
