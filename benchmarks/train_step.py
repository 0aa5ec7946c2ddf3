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
import multiprocessing
import os
import platform
import runpy
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import timing
from absl import app, flags
from jaxtyping import UInt8

from jaxart import machine, malloc, train
from jaxart.gan import cost, parallel
from jaxart.gan.settings import Settings
from jaxart.gan.update import init_state


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


Config = Any  # an ml_collections.ConfigDict; no type knows its keys


class Contender(NamedTuple):
    """Something that does updates.

    Args:
        turn: does some, and returns the seconds that one of them needed.
        compile_seconds: what the first one needed beyond a usual one.
    """

    turn: Callable[[], float]
    compile_seconds: float


class Times(NamedTuple):
    """What a contender needed for an update, in seconds, turn by turn."""

    turns: list[float]
    compile_seconds: float

    def summary(self) -> dict[str, float]:
        """Return the median, the distance between the quartiles, and compilation."""
        median, spread = timing.median_and_spread(self.turns)
        return {
            "median_seconds": median,
            "spread": spread,
            "compile_seconds": self.compile_seconds,
        }


def config_of_flags() -> Config:
    """Return the paper's config with what the flags say."""
    config = runpy.run_path(str(CONFIG))["get_config"]()
    config.batch_size = _BATCH_SIZE.value
    config.generator.width = config.discriminator.width = _WIDTH.value
    config.data.name = "paintings" if _DATA_DIR.value else "synthetic"
    config.data.data_dir = _DATA_DIR.value
    return config


def bare(config: Config, updates: int) -> Contender:
    """Return our compiled update alone, on a batch that is already on the device."""
    settings = Settings.from_config(config)
    networks = settings.make_networks(settings.seed)
    recipe = settings.make_recipe()
    compiled = parallel.make_parallel_update(
        *networks,
        recipe,
        parallel=settings.parallel,
        batch_size=settings.batch_size,
    )
    state = compiled.replicate(init_state(*networks, recipe, settings.seed))
    batch = compiled.shard(random_pixels(settings.batch_size, settings.size)[None])

    def run(updates: int) -> None:
        nonlocal state
        for _ in range(updates):
            state, _ = compiled.run(state, None, batch)
        jax.block_until_ready(state)

    return warmed_up(run, updates)


def product() -> Contender:
    """Return the product of two square matrices, in float32; an update is a product."""
    flop_per_second = machine.matmul_timer("float32")
    return Contender(lambda: 2 * machine.SIDE**3 / flop_per_second(), 0.0)


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


def torch_peer(config: Config, updates: int, **switches: bool) -> Contender:
    """Return the PyTorch twin with some of its switches."""
    import torch  # pyright: ignore[reportMissingImports]
    from peers import torch_dcgan

    device = "cuda" if torch.cuda.is_available() else "cpu"
    twin = torch_dcgan.twin(config.generator.width, device=device, **switches)
    pixels = torch.from_numpy(random_pixels(config.batch_size, config.size)).to(device)

    def run(updates: int) -> None:
        for _ in range(updates):
            real = torch_dcgan.to_images(
                pixels, channels_last=switches.get("channels_last", False)
            )
            z = torch.randn(len(pixels), torch_dcgan.LATENT, 1, 1, device=device)
            torch_dcgan.update(twin, real, z)
        if device == "cuda":
            torch.cuda.synchronize()

    return warmed_up(run, updates)


@contextlib.contextmanager
def in_own_process(make: Callable[[], Contender]) -> Iterator[Contender]:
    """Yield a contender that another process makes and runs.

    Raises:
        RuntimeError: it cannot be made there.
    """
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=serve, args=(make, there), daemon=True)
    process.start()
    compile_seconds = here.recv()
    if isinstance(compile_seconds, str):
        raise RuntimeError(compile_seconds)

    def turn() -> float:
        here.send(True)
        return here.recv()

    yield Contender(turn, compile_seconds)
    here.send(False)
    process.join()


def serve(make: Callable[[], Contender], pipe: Connection) -> None:
    """Make a contender, tell how long it compiled or what is wrong, and take turns."""
    malloc.retain_freed_memory()  # before there are threads
    try:
        turn, compile_seconds = make()
    except Exception as error:
        # A missing C++ compiler has many faces.
        pipe.send((str(error).splitlines() or [type(error).__name__])[0])
        return
    pipe.send(compile_seconds)
    while pipe.recv():
        pipe.send(turn())


def random_pixels(count: int, size: int) -> UInt8[np.ndarray, "b h w 3"]:
    """Return pictures of noise."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, size, size, 3), np.uint8)


def warmed_up(run: Callable[[int], None], updates: int) -> Contender:
    """Return a contender that has compiled.

    Args:
        run: does so many updates, and waits for the last.
        updates: of a turn.
    """

    def timed(updates: int) -> float:
        begin = time.perf_counter()
        run(updates)
        return time.perf_counter() - begin

    first, second = timed(1), timed(1)
    return Contender(lambda: timed(updates) / updates, max(first - second, 0.0))


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
