"""Time one update of the paper's DCGAN: bare, inside the training loop, and in PyTorch.

    python benchmarks/train_step.py --width=128 --batch_size=32 --loop

The contenders take turns (A B C A B C ...), because machines drift; a ratio is the
median over the rounds of the ratio within a round. Each has a process of its own, so
that none has to share threads or a heap with another one. A turn of the bare update or
of PyTorch is `--updates` updates with one wait at the end.

The loop is `jaxart.train.main` itself in a temporary folder, and a turn takes that run
`2·updates + 1` updates further. What counts is its own log line of the second half: the
first half gets it going, and behind the last update lie the samples and the checkpoint.

Beside them, in the same rounds, the machine multiplies two matrices, so that an update
can be told as a share of the machine's rate. Freed memory is kept, by all of them, as
`jaxart.train` does it.

Prints a table and, last, one JSON object on a line.
"""

import contextlib
import importlib.util
import io
import json
import os
import platform
import runpy
import statistics
import tempfile
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import timing
from absl import app, flags
from contenders import (
    Config,
    Contender,
    Times,
    bare,
    in_own_process,
    product,
    torch_peer,
)

from jaxart import machine, train
from jaxart.gan import cost
from jaxart.gan.settings import Settings


_WIDTH = flags.DEFINE_integer("width", 128, "width of both networks", lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "images of a batch", lower_bound=1)
_UPDATES = flags.DEFINE_integer("updates", 5, "updates of a turn", lower_bound=1)
_REPEATS = flags.DEFINE_integer("repeats", 5, "turns of each contender", lower_bound=1)
_PEER = flags.DEFINE_enum(
    "peer", "torch", ["torch", "none"], "whom to compare with, if it is installed"
)
_LOOP = flags.DEFINE_bool("loop", False, "time the training loop as well")
_DATA_DIR = flags.DEFINE_string(
    "data_dir", "", "prepared paintings for the loop; default: synthetic ones"
)

CONFIG = Path(__file__).parents[1] / "configs" / "art.py"
BARE, LOOP = "jaxart, bare update", "jaxart, training loop"
PRODUCT = "matrix product"
LAYOUTS = {  # name of a peer -> its switches
    "torch, eager": {},
    "torch, eager, channels last": {"channels_last": True},
    "torch, compiled": {"compiled": True},
    "torch, compiled, channels last": {"channels_last": True, "compiled": True},
}


def config_of_flags() -> Config:
    """Return the paper's config with what the flags say."""
    config = runpy.run_path(str(CONFIG))["get_config"]()
    config.batch_size = _BATCH_SIZE.value
    config.generator.width = config.discriminator.width = _WIDTH.value
    config.data.name = "paintings" if _DATA_DIR.value else "synthetic"
    config.data.data_dir = _DATA_DIR.value
    return config


def loop(config: Config, updates: int, folder: str) -> Contender:
    """Return the training loop; each turn goes on with a run in `folder`."""
    # It compiles anew at each turn; with this, it reads the update instead.
    jax.config.update("jax_compilation_cache_dir", f"{folder}/compiled")
    workdir = f"{folder}/run"
    config.log.every_steps = updates
    config.steps = 1

    def turn() -> float:
        config.steps += 2 * updates
        with contextlib.redirect_stdout(io.StringIO()):
            train.main(config=config.copy_and_resolve_references(), workdir=workdir)
        last = (Path(workdir) / "metrics.jsonl").read_text().splitlines()[-1]
        return config.batch_size / json.loads(last)["images_per_second"]

    begin = time.perf_counter()
    seconds = turn()
    elapsed = time.perf_counter() - begin
    return Contender(turn, elapsed - (2 * updates + 1) * seconds)


def take_turns(contenders: dict[str, Contender], repeats: int) -> dict[str, Times]:
    """Return what each needed, one after the other, `repeats` times."""
    times = {name: Times([], one.compile_seconds) for name, one in contenders.items()}
    for _ in range(repeats):
        for name, contender in contenders.items():
            times[name].turns.append(contender.turn())
    return times


def ratio(ours: Times, theirs: Times) -> float:
    """Return the median over all rounds of our seconds divided by theirs."""
    return timing.ratio(ours.turns, theirs.turns)


def print_table(times: dict[str, Times], batch_size: int, flop: int) -> None:
    """Print a line for each contender."""
    print(
        f"{'':32}{'s/update':>10}{'spread':>9}{'images/s':>10}"
        f"{'GFLOP/s':>9}{'compile s':>11}"
    )
    for name, one in times.items():
        summary = one.summary()
        rate = batch_size / summary["median_seconds"]
        print(
            f"{name:32}{summary['median_seconds']:>10.3f}{summary['spread']:>9.3f}"
            f"{rate:>10.1f}{rate * flop / 1e9:>9.0f}{summary['compile_seconds']:>11.1f}"
        )


def report(times: dict[str, Times], config: Config, flop: int) -> dict[str, Any]:
    """Return all that was found out, for the JSON line."""
    ours = times[BARE]
    rate = config.batch_size / ours.summary()["median_seconds"]
    packages = ["jax", "jaxlib", "flax", "optax", "numpy"]
    found: dict[str, Any] = {
        "name": "train_step",
        "width": config.generator.width,
        "batch_size": config.batch_size,
        "updates": _UPDATES.value,
        "repeats": _REPEATS.value,
        **ours.summary(),
        "images_per_second": rate,
        "gflop_per_image": flop / 1e9,
        "gflop_per_second": rate * flop / 1e9,
        "device": f"{jax.device_count()} {jax.devices()[0].device_kind}, "
        f"{os.cpu_count()} cores, {platform.machine()}",
    }
    if LOOP in times:
        found["loop"] = times[LOOP].summary()
        found["loop_share"] = ratio(ours, times[LOOP])
    peers = {name: one for name, one in times.items() if name in LAYOUTS}
    if peers:
        best = min(peers, key=lambda name: statistics.median(peers[name].turns))
        found["peers"] = {name: one.summary() for name, one in peers.items()}
        found["peer"] = best
        found["peer_median_seconds"] = statistics.median(peers[best].turns)
        found["ratio"] = ratio(ours, peers[best])
        packages.append("torch")
    versions = {package: version(package) for package in packages}
    found["versions"] = {"python": platform.python_version(), **versions}
    return found


def share(ours: Times, products: Times, config: Config, flop: int) -> dict[str, float]:
    """Return the machine's rate, and the median share of it that we have in a round."""
    each = flop * config.batch_size / (2 * machine.SIDE**3)  # products in an update
    rate = 2 * machine.SIDE**3 / statistics.median(products.turns) / 1e9
    return {
        "product_gflop_per_second": rate,
        "product_share": each / ratio(ours, products),
    }


def main(_: list[str]) -> None:
    """Time all contenders and print what was found out."""
    config, updates = config_of_flags(), _UPDATES.value
    makers = {PRODUCT: product, BARE: partial(bare, config, updates)}
    contenders = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        if _LOOP.value:
            makers[LOOP] = partial(loop, config, updates, folder)
        if _PEER.value == "torch" and importlib.util.find_spec("torch"):
            for name, switches in LAYOUTS.items():
                makers[name] = partial(torch_peer, config, updates, **switches)
        elif _PEER.value == "torch":
            print("PyTorch is not installed (pip install -e .[peers]): no peer")
        for name, make in makers.items():
            try:
                contenders[name] = stack.enter_context(in_own_process(make))
            except RuntimeError as error:
                print(f"{name}: left out: {error}", flush=True)
        times = take_turns(contenders, _REPEATS.value)
    products = times.pop(PRODUCT)
    flop = cost.flop_per_image(*Settings.from_config(config).make_networks(0))
    found = report(times, config, flop) | share(times[BARE], products, config, flop)
    print_table(times, config.batch_size, flop)
    print(
        f"an update runs at {found['product_share']:.0%} of the rate of a matrix "
        f"product, {found['product_gflop_per_second']:.0f} GFLOP/s"
    )
    if "loop_share" in found:
        print(f"the loop has {found['loop_share']:.1%} of the bare update's images/s")
    if "ratio" in found:
        print(f"an update takes {found['ratio']:.2f} times that of {found['peer']}")
    print(json.dumps(found))


if __name__ == "__main__":
    app.run(main)
