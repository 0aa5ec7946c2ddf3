"""All that is fast here, measured on one accelerator with one command.

    python benchmarks/accelerator.py --out=accelerator.json

Takes `--minutes`, compilation included, on one GPU that has compiled nothing before;
after them no part begins, and none repeats what it measures. A part that fails is a row
with its error, and the others are measured; what there was no time for is a row that
says so. Parts are in the order of what one most wants to know:

* **matrix products**: the rate that nothing exceeds; "of peak" is a share of it.
* **update**: the compiled update of the DCGAN on a batch on the device.
* **update of best.py**: that of the best recipe; "of peak" leaves out its penalties.
* **torch**: the paper's in PyTorch, where it is installed, in a process of its own;
  "times" is our seconds divided by its.
* **calls**: updates of which many are in one call; "times" those of one in each.
* **fed by**: updates on crops from the host, or from an atlas on the device
  (`data.on_device`); "times" the seconds on a batch that is there.
* **painter**: a whole painting without refinement, and a step of refinement.
* **VGG16**: features and gradients of windows and of a canvas.

"program" is the device memory that XLA plans for one program, "in use" the most that
was taken up to then; where the device does not say, it is a dash.

`--small` does all of it with tiny sizes, compiled in a hurry, to see that it runs.
Prints a table and, last, one JSON object on a line, which `--out` receives after each
part.
"""

import importlib.util
import json
import os
import platform
import runpy
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import contenders
import feeding
import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags, logging
from painter import network, speed
from painter.clock import CLOCK, time_painting
from painter.made_up import blots, painted
from painter.tables import Column, Row, print_head, print_row, summary
from timing import ratio, time_call

from jaxart import atomic, machine, vgg
from jaxart.gan import cost
from jaxart.gan.settings import Settings
from jaxart.painter import refinement
from jaxart.painter.problem import make_problem
from jaxart.painter.settings import Settings as PainterSettings


_MINUTES = flags.DEFINE_float("minutes", 8.0, "to measure at most", lower_bound=0)
_SMALL = flags.DEFINE_bool("small", False, "tiny sizes, to see that it runs")
_OUT = flags.DEFINE_string("out", "", "file that receives the JSON object")
_ONLY = flags.DEFINE_list("only", [], "beginnings of the names of parts; default: all")

CONFIGS = Path(__file__).parents[1] / "configs"
NAME = "accelerator"
DTYPES = ("float32", "bfloat16")
TORCH = ("torch, eager, channels last", "torch, compiled, channels last")

TABLE = (
    Column("part", "part", 46),
    Column("seconds", "seconds", 11, ".5f"),
    Column("spread", "spread", 10, ".5f"),
    Column("rate", "rate", 13, ",.1f"),
    Column("unit", "  of", 13),
    Column("of_peak", "of peak", 8, ".0%"),
    Column("ratio", "times", 7, ".2f"),
    Column("compile_seconds", "compile s", 11, ".1f"),
    Column("program_mb", "program MB", 12, ",.0f"),
    Column("in_use_mb", "in use MB", 11, ",.0f"),
    Column("note", "  ", 10),
)


class Sizes(NamedTuple):
    """How much is measured.

    Args:
        product: side of the matrices.
        image: side of the GAN's images, in pixels.
        widths: of the GAN's networks; the first is that of the paper.
        batch: images of an update.
        updates: of a turn, and the most in one call.
        turns: of everything.
        side: of the painter's picture, in pixels.
        strokes: of a painting in squared error, and by VGG16.
        refined: strokes that are refined together.
        steps: of refinement, in a turn.
        deep: with VGG16's deeper layers, and not just the first two.
    """

    product: int
    image: int
    widths: tuple[int, ...]
    batch: int
    updates: int
    turns: int
    side: int
    strokes: tuple[int, int]
    refined: int
    steps: int
    deep: bool


NORMAL = Sizes(8_192, 64, (128, 32, 16), 128, 16, 5, 512, (1_000, 200), 2_048, 10, True)
SMALL = Sizes(256, 64, (2,), 4, 2, 1, 48, (4, 2), 16, 1, False)


class Run:
    """What parts share: sizes, the time that is left, and what was found before.

    Args:
        sizes: how much is measured.
        deadline: when to stop, by `time.monotonic`.
    """

    def __init__(self, sizes: Sizes, deadline: float):
        self.sizes = sizes
        self.deadline = deadline
        self.peaks: dict[str, float] = {}  # FLOP/s by dtype
        self.updates: dict[tuple[int, str], list[float]] = {}  # seconds, by turns

    @property
    def is_over(self) -> bool:
        """Whether there is no time left."""
        return time.monotonic() >= self.deadline

    def turns(self, turn: Callable[[], float]) -> list[float]:
        """Return the seconds of turns: at least one, and no more once time is up."""
        seconds = [turn()]
        while len(seconds) < self.sizes.turns and not self.is_over:
            seconds.append(turn())
        return seconds

    def of_peak(self, flop: float, seconds: float, dtype: str) -> float | None:
        """Return a share of the rate of matrix products, if that is known."""
        peak = self.peaks.get(dtype)
        return flop / seconds / peak if peak else None


# Measures something, and yields rows.
Part = Callable[[Run], Iterator[Row]]


def products(dtype: str, run: Run) -> Iterator[Row]:
    """Measure the rate of matrix products."""
    side = run.sizes.product
    rate_of_turn = machine.matmul_timer(dtype, side)
    seconds = run.turns(lambda: 2 * side**3 / rate_of_turn())
    row = summary(seconds)
    run.peaks[dtype] = 2 * side**3 / row["seconds"]
    yield {**row, "rate": run.peaks[dtype] / 1e12, "unit": "  TFLOP/s"}


def config_of(run: Run, width: int, dtype: str, recipe: str = "art") -> Any:
    """Return a config, by default the paper's, at another width and dtype."""
    config: Any = runpy.run_path(str(CONFIGS / f"{recipe}.py"))["get_config"]()
    config.size, config.batch_size, config.dtype = (
        run.sizes.image,
        run.sizes.batch,
        dtype,
    )
    config.generator.width = config.discriminator.width = width
    return config


def update_row(run: Run, config: Any, seconds: list[float]) -> Row:
    """Return the row of an update."""
    networks = Settings.from_config(config).make_networks(0)
    flop = cost.flop_per_image(*networks) * config.batch_size
    row = summary(seconds)
    return {
        **row,
        "rate": config.batch_size / row["seconds"],
        "unit": "  images/s",
        "of_peak": run.of_peak(flop, row["seconds"], config.dtype),
    }


def update(width: int, dtype: str, run: Run, recipe: str = "art") -> Iterator[Row]:
    """Measure our update."""
    config = config_of(run, width, dtype, recipe)
    ours = contenders.bare(config, run.sizes.updates)
    seconds = run.turns(ours.turn)
    if recipe == "art":
        run.updates[width, dtype] = seconds
    yield {
        **update_row(run, config, seconds),
        "compile_seconds": ours.compile_seconds,
        "program_mb": _megabytes(ours.program_bytes),
    }


def torch(width: int, dtype: str, run: Run) -> Iterator[Row]:
    """Measure PyTorch's update, in the forms that are fast on a GPU."""
    config = config_of(run, width, dtype)
    forms = {
        TORCH[0]: {"channels_last": True},
        TORCH[1]: {"channels_last": True, "compiled": True},
    }
    # Compilation takes a minute; one width shows what it gains.
    if width != run.sizes.widths[0]:
        del forms[TORCH[1]]
    for name, switches in forms.items():
        make = partial(contenders.torch_peer, config, run.sizes.updates, **switches)
        with contenders.in_own_process(make) as theirs:
            seconds = run.turns(theirs.turn)
        row = update_row(run, config, seconds)
        ours = run.updates.get((width, dtype))
        if ours:
            row["ratio"] = summary(ours)["seconds"] / row["seconds"]
        yield {
            "part": f"{name}, width {width}, {dtype}",
            **row,
            "compile_seconds": theirs.compile_seconds,
        }


def calls(width: int, run: Run) -> Iterator[Row]:
    """Measure updates of which many are in one call, against one in each."""
    found = []
    for steps in (1, run.sizes.updates):
        config = config_of(run, width, "float32")
        config.steps_per_call = steps
        ours = contenders.bare(config, run.sizes.updates)
        seconds = run.turns(ours.turn)
        found.append(summary(seconds)["seconds"])
        yield {
            "part": f"calls of {steps}, width {width}",
            **update_row(run, config, seconds),
            "ratio": found[-1] / found[0],
            "compile_seconds": ours.compile_seconds,
            "program_mb": _megabytes(ours.program_bytes),
        }


def fed(width: int, run: Run) -> Iterator[Row]:
    """Measure updates by where their crops come from, in turns."""
    config = config_of(run, width, "float32")
    rng, side = np.random.default_rng(0), 2 * config.size
    records = [
        {"pixels": rng.integers(0, 256, (side, side, 3), np.uint8)} for _ in range(400)
    ]
    ways = feeding.ways(Settings.from_config(config), records)
    first = {name: timed(1) for name, timed in ways.items()}  # compiles
    turns: dict[str, list[float]] = {name: [] for name in ways}
    while not all(turns.values()) or (
        len(turns[feeding.READY]) < run.sizes.turns and not run.is_over
    ):
        for name, timed in ways.items():
            turns[name].append(timed(run.sizes.updates))
    for name, seconds in turns.items():
        yield {
            "part": f"fed by {name}, width {width}",
            **update_row(run, config, seconds),
            "ratio": ratio(seconds, turns[feeding.READY]),
            "compile_seconds": max(first[name] - min(seconds), 0.0),
        }


def painter_settings(run: Run, distance: str, strokes: int) -> PainterSettings:
    """Return the painter's usual settings with another distance and fewer strokes."""
    config = runpy.run_path(str(CONFIGS / "paint.py"))["get_config"]()
    config.distance, config.strokes = distance, strokes
    if not run.sizes.deep:
        config.refine_layers = config.layers
    return PainterSettings(**config)


def painting(distance: str, run: Run) -> Iterator[Row]:
    """Measure strokes a second."""
    strokes = run.sizes.strokes[distance != "mse"]
    settings = painter_settings(run, distance, strokes)
    settings = replace(settings, refine=0, refine_half=0, refine_whole=0)
    picture, records = blots(run.sizes.side), []

    def turn() -> float:
        records.append(time_painting(picture, settings))
        return records[-1].greedy[0]

    run.turns(turn)
    row = speed.speed_row("blots", picture, settings, records)
    row |= {"rate": row["strokes_per_second"], "unit": "  strokes/s"}
    yield {key: row[key] for key in row if key not in ("what", "picture")}


def refining(distance: str, run: Run) -> Iterator[Row]:
    """Measure a step of the joint refinement."""
    number, steps = run.sizes.refined, run.sizes.steps
    problem = make_problem(
        blots(run.sizes.side), painter_settings(run, distance, number)
    )
    objective = problem.objective(problem.refined_height, problem.distances.half)
    buffer = painted(problem, number)
    state = refinement.init_state(buffer.strokes[:number])
    args = state, buffer.seeds[:number], objective, jnp.int32(100)
    begin = time.perf_counter()
    refine = refinement.refine.lower(*args, count=steps).compile()
    compile_seconds = time.perf_counter() - begin
    jax.block_until_ready(refine(*args))
    row = summary(run.turns(lambda: time_call(lambda: refine(*args)) / steps))
    yield {
        **row,
        "rate": 1 / row["seconds"],
        "unit": "  steps/s",
        "compile_seconds": compile_seconds,
        "program_mb": _megabytes(contenders.program_bytes(refine)),
    }


def vgg16(run: Run) -> Iterator[Row]:
    """Measure VGG16 as the painter uses it."""
    weights, picture = vgg.load(), blots(run.sizes.side)
    workloads = network.workloads(run.sizes.side // 2)
    for workload in workloads if run.sizes.deep else workloads[:2]:
        if run.is_over:
            raise TimeoutError(f"no time left for {workload.name}")
        compiled = CLOCK.compiling
        row = network.compare(picture, weights, workload, run.sizes.turns, False)
        seconds = row["seconds"]
        yield {
            "part": f"VGG16 to {workload.layer}, {workload.name}",
            "seconds": seconds,
            "spread": row["spread"],
            "rate": workload.images / seconds,
            "unit": "  pictures/s",
            "of_peak": run.of_peak(workload.flop, seconds, "float32"),
            "compile_seconds": CLOCK.compiling - compiled,
        }


def parts(sizes: Sizes) -> dict[str, Part]:
    """Return all parts by name, in their order."""
    paper, *others = sizes.widths
    found: dict[str, Part] = {}
    for dtype in DTYPES:
        found[f"matrix products, {dtype}"] = partial(products, dtype)
    for dtype in DTYPES:
        found[f"update, width {paper}, {dtype}"] = partial(update, paper, dtype)
    for distance in ("mse", "vgg_rounds"):
        found[f"painter, {distance}"] = partial(painting, distance)
        found[f"refinement, {distance}"] = partial(refining, distance)
    found["VGG16"] = vgg16
    for width in others:
        for dtype in DTYPES:
            found[f"update, width {width}, {dtype}"] = partial(update, width, dtype)
    for dtype in DTYPES:
        name = f"update of best.py, width {paper}, {dtype}"
        found[name] = partial(update, paper, dtype, recipe="best")
    narrow = sizes.widths[-1]
    found[f"calls, width {narrow}"] = partial(calls, narrow)
    found[f"fed, width {narrow}"] = partial(fed, narrow)
    if importlib.util.find_spec("torch"):
        for width in sizes.widths:
            for dtype in DTYPES:
                found[f"torch, width {width}, {dtype}"] = partial(torch, width, dtype)
    return found


def measure(
    chosen: dict[str, Part], run: Run, keep: Callable[[list[Row]], None]
) -> list[Row]:
    """Run parts, one after the other, whatever becomes of each.

    Args:
        chosen: the parts by name.
        run: what they share.
        keep: is given all rows so far after each part.

    Returns:
        Rows. Each has a `part` and a `status`: "measured", "failed", with the first
        line of the `error`, or "not reached".
    """
    rows: list[Row] = []

    def add(row: Row) -> None:
        rows.append({**row, "note": f"  {row.get('error') or row['status']}"})
        print_row(rows[-1], TABLE)
        del rows[-1]["note"]

    for name, part in chosen.items():
        if run.is_over:
            add({"part": name, "status": "not reached"})
            continue
        try:
            for row in part(run):
                add({"part": name, **row, "status": "measured", **_in_use()})
        except TimeoutError as error:
            add({"part": name, "status": "not reached", "error": str(error)})
        except Exception as error:
            # Whatever is wrong with one part, the others can be measured.
            line = (str(error).splitlines() or [""])[0]
            text = f"{type(error).__name__}: {line}"
            add({"part": name, "status": "failed", "error": text})
        keep(rows)
    return rows


def _in_use() -> dict[str, float | None]:
    """Return the most memory that was taken so far, where the device says."""
    stats = jax.local_devices()[0].memory_stats() or {}
    return {"in_use_mb": _megabytes(stats.get("peak_bytes_in_use"))}


def _megabytes(count: int | None) -> float | None:
    return None if count is None else count / 1e6


def report(rows: list[Row]) -> Row:
    """Return all that was found out, for the JSON line."""
    packages = ["jax", "jaxlib", "flax", "optax", "numpy"]
    if importlib.util.find_spec("torch"):
        packages.append("torch")
    return {
        "name": NAME,
        "small": _SMALL.value,
        "minutes": _MINUTES.value,
        "device": f"{jax.device_count()} {jax.devices()[0].device_kind}, "
        f"{os.cpu_count()} cores, {platform.machine()}",
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in packages},
        },
        "rows": rows,
    }


def _is_ours(path: Path) -> bool:
    """Whether a file is an earlier result of this script."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("name") == NAME


def _write(rows: list[Row]) -> None:
    if _OUT.value:
        with atomic.replacing(_OUT.value, _is_ours) as path:
            path.write_text(json.dumps(report(rows), indent=1) + "\n")


def main(_: list[str]) -> None:
    """Measure all parts that are wanted."""
    logging.set_verbosity(logging.WARNING)  # JAX logs which devices it did not find
    jax.config.update("jax_disable_most_optimizations", _SMALL.value)
    # PyTorch's process needs memory of the same device.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    try:
        if _OUT.value:
            atomic.check_replaceable(_OUT.value, _is_ours)
    except FileExistsError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    sizes = SMALL if _SMALL.value else NORMAL
    wanted = tuple(_ONLY.value) or ("",)
    chosen = {
        name: part for name, part in parts(sizes).items() if name.startswith(wanted)
    }
    print_head(TABLE)
    run = Run(sizes, time.monotonic() + 60 * _MINUTES.value)
    rows = measure(chosen, run, _write)
    if not importlib.util.find_spec("torch"):
        print("PyTorch is not installed (pip install -e .[peers]): no peer")
    print(json.dumps(report(rows)))
    if any(row["status"] == "failed" for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    app.run(main)
