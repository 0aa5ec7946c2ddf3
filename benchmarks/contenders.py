"""Updates that are timed: ours, PyTorch's, and the machine's own matrix products.

A contender does updates when told to, in this process or in one of its own, so that it
shares threads, heap and device with no other.
"""

import contextlib
import multiprocessing
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import jax
import numpy as np
import timing
from jaxtyping import UInt8

from jaxart import machine, malloc
from jaxart.gan import parallel
from jaxart.gan.settings import Settings
from jaxart.gan.update import init_state


Config = Any  # an ml_collections.ConfigDict; no type knows its keys


class Contender(NamedTuple):
    """Something that does updates.

    Args:
        turn: does some, and returns the seconds that one of them needed.
        compile_seconds: what the first one needed beyond a usual one.
        program_bytes: that the program takes on the device; None if it is unknown.
    """

    turn: Callable[[], float]
    compile_seconds: float
    program_bytes: int | None = None


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


def bare(config: Config, updates: int) -> Contender:
    """Return our compiled update alone, on batches that are already on the device.

    Args:
        config: of the run.
        updates: of a turn; a multiple of `config.steps_per_call`.
    """
    settings = Settings.from_config(config)
    networks = settings.make_networks(settings.seed)
    recipe = settings.make_recipe()
    parallel_update = parallel.make_parallel_update(
        *networks,
        recipe,
        parallel=settings.parallel,
        batch_size=settings.batch_size,
    )
    state = parallel_update.replicate(init_state(*networks, recipe, settings.seed))
    steps = settings.steps_per_call
    pixels = random_pixels(steps * settings.batch_size, settings.size)
    pixels = pixels.reshape(steps, settings.batch_size, *pixels.shape[1:])
    batches = parallel_update.shard(pixels)
    begin = time.perf_counter()
    shape = jax.ShapeDtypeStruct(pixels.shape, pixels.dtype)
    run = parallel_update.compile(state, None, shape)
    compile_seconds = time.perf_counter() - begin

    def turn() -> float:
        nonlocal state
        begin = time.perf_counter()
        for _ in range(updates // steps):
            state, _ = run(state, None, batches)
        jax.block_until_ready(state)
        return (time.perf_counter() - begin) / updates

    turn()
    return Contender(turn, compile_seconds, program_bytes(run))


def program_bytes(compiled: jax.stages.Compiled) -> int | None:
    """Return the device memory that a program takes; None if it is unknown."""
    sizes: Any = compiled.memory_analysis()
    if sizes is None:
        return None
    return (
        sizes.argument_size_in_bytes
        + sizes.output_size_in_bytes
        + sizes.temp_size_in_bytes
        - sizes.alias_size_in_bytes
    )


def product() -> Contender:
    """Return the product of two square matrices, in float32; an update is a product."""
    flop_per_second = machine.matmul_timer("float32")
    return Contender(lambda: 2 * machine.SIDE**3 / flop_per_second(), 0.0)


def torch_peer(config: Config, updates: int, **switches: bool) -> Contender:
    """Return the PyTorch twin with some of its switches."""
    import torch  # pyright: ignore[reportMissingImports]
    from peers import torch_dcgan

    device = "cuda" if torch.cuda.is_available() else "cpu"
    twin = torch_dcgan.twin(config.generator.width, device=device, **switches)
    pixels = torch.from_numpy(random_pixels(config.batch_size, config.size)).to(device)

    # As XLA does by default; PyTorch does so for convolutions only.
    torch.backends.cuda.matmul.allow_tf32 = True
    is_bfloat16 = config.dtype == "bfloat16"

    def run(updates: int) -> None:
        for _ in range(updates):
            real = torch_dcgan.to_images(
                pixels, channels_last=switches.get("channels_last", False)
            )
            z = torch.randn(len(pixels), torch_dcgan.LATENT, 1, 1, device=device)
            with torch.autocast(device, torch.bfloat16, enabled=is_bfloat16):
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
        turn, compile_seconds, _ = make()
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
