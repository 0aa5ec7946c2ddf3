"""Ablation: recipes for the GAN, each trained for equally long, and how good they are.

    python benchmarks/recipes.py --data_dir=DIR --out=DIR --minutes=10

Each row is a run of `jaxart.train` by itself, stopped by a signal after so many
minutes from its start, compilation included, and measured by `jaxart.evaluate`: with
the average of its weights, where it has one, and with the last ones. Rows differ from
`configs/best.py` or `configs/art.py` in the settings that their names say. Where the
machine does other things as well, `--cpu_minutes` stops a run after so many minutes of
its processor time instead.

    python benchmarks/recipes.py --measure_rates=FILE.json
    python benchmarks/recipes.py --data_dir=DIR --out=DIR --minutes=10 --rates=FILE.json

The first measures how many updates a second each recipe makes here. With the second, on
a faster machine, each run makes as many as the machine of the file makes in those
minutes, compilation included: what is compared is equal time there.

A row whose result is in `OUT/results.jsonl` is not run again, so that a benchmark that
was stopped goes on. Prints a table and, last, one JSON object on a line.
"""

import itertools
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import contenders
from absl import app, flags
from painter.tables import Column, print_head, print_row


_DATA_DIR = flags.DEFINE_string("data_dir", None, "the dataset")
_OUT = flags.DEFINE_string("out", None, "folder of runs and results")
_MINUTES = flags.DEFINE_float("minutes", 10, "of each run", lower_bound=0)
_CPU_MINUTES = flags.DEFINE_float("cpu_minutes", None, "of processor time, instead")
_ONLY = flags.DEFINE_list("only", [], "names of rows; default: all")
_SEEDS = flags.DEFINE_list("seeds", ["0"], "of each row")
_WIDTH = flags.DEFINE_integer("width", 32, "of both networks", lower_bound=1)
_MEASURE_RATES = flags.DEFINE_string("measure_rates", None, "file of rates to write")
_RATES = flags.DEFINE_string("rates", None, "file of rates of another machine")
_SET = flags.DEFINE_list("set", [], "KEY=VALUE of all configs")
_JOBS = flags.DEFINE_integer("jobs", 1, "runs at a time", lower_bound=1)
_LAST = flags.DEFINE_bool(
    "last", True, "the last weights too, where there is an average"
)
_COUNT = flags.DEFINE_integer("count", 1000, "samples that are measured")

CONFIGS = Path(__file__).parents[1] / "configs"
FOREVER = 10_000_000  # updates
RATE_UPDATES, RATE_TURNS = 8, 3
POLL = 0.5  # seconds from one look at the clock to the next

PAPER = {"batch_size": 64, "optimizer.learning_rate": 4e-4}
AUGMENTED = {"augment.transformations": "colour,translation,cutout"}
BATCH_NORM = {"discriminator.normalisation": "batch"}


class Recipe(NamedTuple):
    """A config, and the settings that are changed."""

    config: str
    changes: dict[str, Any]


RECIPES = {
    "paper": Recipe("art.py", PAPER),
    "paper averaged and mirrored": Recipe(
        "art.py", PAPER | {"generator.average": 0.998, "data.mirrored": True}
    ),
    "best": Recipe("best.py", {}),
    "non-saturating loss": Recipe("best.py", {"loss": "non_saturating"}),
    "hinge loss": Recipe("best.py", {"loss": "hinge"}),
    "no penalties": Recipe("best.py", {"penalty.r1": 0.0, "penalty.r2": 0.0}),
    "penalties always": Recipe("best.py", {"penalty.every_steps": 1}),
    "no R2": Recipe("best.py", {"penalty.r2": 0.0}),
    "weights of 1": Recipe("best.py", {"penalty.r1": 1.0, "penalty.r2": 1.0}),
    "weights of 0.01": Recipe("best.py", {"penalty.r1": 0.01, "penalty.r2": 0.01}),
    "batch norm in D": Recipe("best.py", BATCH_NORM),
    "spectral D": Recipe("best.py", {"discriminator.normalisation": "spectral"}),
    "no norm in G": Recipe("best.py", {"generator.normalisation": "none"}),
    "strided G": Recipe("best.py", {"generator.resampling": "strided"}),
    "smooth D": Recipe("best.py", {"discriminator.resampling": "smooth"}),
    "excitation": Recipe("best.py", {"generator.excitation": True}),
    "not mirrored": Recipe("best.py", {"data.mirrored": False}),
    "augmented": Recipe("best.py", AUGMENTED | {"augment.probability": 0.3}),
    "augmented adaptively": Recipe(
        "best.py", AUGMENTED | {"augment.adaptive_target": 0.6}
    ),
    "batch of 64": Recipe("best.py", {"batch_size": 64}),
    "batch of 32": Recipe("best.py", {"batch_size": 32}),
    "batch of 8": Recipe("best.py", {"batch_size": 8}),
    "rate doubled": Recipe("best.py", {"optimizer.learning_rate": 6e-4}),
    "D slower": Recipe("best.py", {"discriminator.learning_rate_ratio": 0.5}),
}

KEYS = {
    "frechet": "vgg_frechet_distance",
    "error": "vgg_frechet_distance_error",
    "precision": "vgg_precision",
    "recall": "vgg_recall",
    "coverage": "vgg_coverage",
    "checkerboard": "checkerboard",
    "fine power": "fine_power",
    "copies": "copies",
}
COLUMNS = (
    Column("recipe", "recipe", 28),
    Column("seed", "seed", 5),
    Column("weights", "weights", 9),
    Column("step", "updates", 8, ",d"),
    Column("frechet", "Fréchet", 9, ",.0f"),
    Column("error", "±", 5, ",.0f"),
    *(Column(key, key, 12, ".2f") for key in [*KEYS][2:]),
)


def main(_: list[str]) -> None:
    """Measure rates, or train each recipe and measure it."""
    if _MEASURE_RATES.value:
        rates = {name: _rate(name) for name in _ONLY.value or RECIPES}
        Path(_MEASURE_RATES.value).write_text(json.dumps(rates, indent=1))
        return
    if not (_DATA_DIR.value and _OUT.value):
        raise app.UsageError("data_dir and out must be given")
    out = Path(_OUT.value)
    out.mkdir(parents=True, exist_ok=True)
    results = out / "results.jsonl"
    text = results.read_text() if results.exists() else ""
    rows = [json.loads(line) for line in text.splitlines()]
    print_head(COLUMNS)
    for row in rows:
        print_row(row, COLUMNS)
    done = {(row["recipe"], row["seed"]) for row in rows}
    wanted = itertools.product(_SEEDS.value, _ONLY.value or RECIPES)
    with ThreadPoolExecutor(_JOBS.value) as pool:
        runs = [
            pool.submit(_measured, name, seed, out)
            for seed, name in wanted
            if (name, seed) not in done
        ]
        for run in as_completed(runs):
            for row in run.result():
                rows.append(row)
                print_row(row, COLUMNS)
                with results.open("a") as file:
                    file.write(json.dumps(row) + "\n")
    print(json.dumps({"rows": rows}))


def _settings(name: str) -> dict[str, Any]:
    """Return what a recipe and the flags change in its config."""
    given: dict[str, Any] = {}
    for item in _SET.value:
        key, _, given[key] = item.partition("=")
    width = {"generator.width": _WIDTH.value, "discriminator.width": _WIDTH.value}
    return {**width, **RECIPES[name].changes, **given}


def _rate(name: str) -> dict[str, float]:
    """Return updates a second, and the seconds of their compilation.

    In processor time divided by the cores, which tells the time of a quiet machine
    where something else is running.
    """
    config = runpy.run_path(str(CONFIGS / RECIPES[name].config))["get_config"]()
    config.update_from_flattened_dict(_settings(name))
    begin = time.process_time()
    contender = contenders.bare(config, RATE_UPDATES)
    compiling = time.process_time() - begin
    seconds = []
    for _ in range(RATE_TURNS):
        begin = time.process_time()
        contender.turn()
        seconds.append(time.process_time() - begin)
    cores = len(os.sched_getaffinity(0))
    rate = {
        "updates_per_second": RATE_UPDATES * cores / min(seconds),
        "compile_seconds": compiling / cores,
    }
    print(f"{name}: {rate}", flush=True)
    return rate


def _measured(name: str, seed: str, out: Path) -> list[dict[str, Any]]:
    """Train a recipe, and return a row for each kind of weights."""
    workdir = out / f"{name.replace(' ', '_').replace(',', '')}_{seed}"
    settings = {
        "seed": seed,
        "steps": FOREVER,
        "data.data_dir": _DATA_DIR.value,
        "checkpoints.every_steps": FOREVER,
        "evaluate.every_steps": 0,
        **_settings(name),
    }
    if _RATES.value:
        rate = json.loads(Path(_RATES.value).read_text())[name]
        seconds = 60 * _MINUTES.value - rate["compile_seconds"]
        settings["steps"] = int(seconds * rate["updates_per_second"]) // 100 * 100
    config = CONFIGS / RECIPES[name].config
    command = [*_command("train", workdir), f"--config={config}"]
    command += [f"--config.{key}={value}" for key, value in settings.items()]
    seconds = _train(command, workdir.with_suffix(".log"))
    averaged = json.loads((workdir / "config.json").read_text())["generator"]["average"]
    rows = []
    measured = ["average"] if averaged else ["last"]
    if averaged and _LAST.value:
        measured.append("last")
    for weights in measured:
        evaluation = _evaluate(workdir, weights)
        values = {short: evaluation[key] for short, key in KEYS.items()}
        about = {"recipe": name, "seed": seed, "weights": weights}
        rows.append({**about, "step": evaluation["step"], **values, **seconds})
    return rows


def _train(command: list[str], log: Path) -> dict[str, float]:
    """Train until the time is over, or all updates are made; return the seconds.

    Raises:
        RuntimeError: the run failed, or had not begun by then.
    """
    start, cpu = time.monotonic(), 0.0
    with log.open("w") as output:
        run = subprocess.Popen(command, stdout=output, stderr=output)
        while run.poll() is None and not _is_over(run.pid, start):
            cpu = _cpu_seconds(run.pid)
            time.sleep(POLL)
        seconds = {"seconds": time.monotonic() - start, "cpu": cpu}
        if run.poll() is None:
            run.send_signal(signal.SIGTERM)
            if run.wait() < 0:
                raise RuntimeError(
                    f"a run had not begun yet: give it more time than {log}"
                )
        elif run.returncode or not _RATES.value:
            raise RuntimeError(f"a run ended by itself: see {log}")
    return {key: round(value) for key, value in seconds.items()}


def _is_over(pid: int, start: float) -> bool:
    if _RATES.value:
        return False
    if _CPU_MINUTES.value is not None:
        return _cpu_seconds(pid) > 60 * _CPU_MINUTES.value
    return time.monotonic() - start > 60 * _MINUTES.value


def _cpu_seconds(pid: int) -> float:
    """Return the processor time of a running process (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _evaluate(workdir: Path, weights: str) -> dict[str, Any]:
    command = _command("evaluate", workdir)
    command += [f"--count={_COUNT.value}", f"--weights={weights}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def _command(name: str, workdir: Path) -> list[str]:
    return [sys.executable, "-m", f"jaxart.{name}", f"--workdir={workdir}"]


if __name__ == "__main__":
    app.run(main)
