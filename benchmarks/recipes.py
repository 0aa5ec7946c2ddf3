"""Ablation: recipes for the GAN, each trained for equally long, and how good they are.

    python benchmarks/recipes.py --data_dir=DIR --out=DIR --minutes=10

Each row is a run of `jaxart.train` by itself, stopped by a signal after so many
minutes from its start, compilation included, and measured by `jaxart.evaluate`: with
the average of its weights, where it has one, and with the last ones. Rows differ from
`configs/best.py` or `configs/art.py` in the settings that their names say. Where the
machine does other things as well, `--cpu_minutes` stops a run after so many minutes of
its processor time instead.

A row whose result is in `OUT/results.jsonl` is not run again, so that a benchmark that
was stopped goes on. Prints a table and, last, one JSON object on a line.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from absl import app, flags
from painter.tables import Column, print_head, print_row


_DATA_DIR = flags.DEFINE_string("data_dir", None, "the dataset", required=True)
_OUT = flags.DEFINE_string("out", None, "folder of runs and results", required=True)
_MINUTES = flags.DEFINE_float("minutes", 10, "of each run", lower_bound=0)
_CPU_MINUTES = flags.DEFINE_float("cpu_minutes", None, "of processor time, instead")
_ONLY = flags.DEFINE_list("only", [], "names of rows; default: all")
_SEEDS = flags.DEFINE_list("seeds", ["0"], "of each row")
_WIDTH = flags.DEFINE_integer("width", 32, "of both networks", lower_bound=1)
_COUNT = flags.DEFINE_integer("count", 1000, "samples that are measured")

CONFIGS = Path(__file__).parents[1] / "configs"
FOREVER = 10_000_000  # updates
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
    "paper, averaged, mirrored": Recipe(
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
    "smooth G": Recipe("best.py", {"generator.resampling": "smooth"}),
    "smooth D": Recipe("best.py", {"discriminator.resampling": "smooth"}),
    "excitation": Recipe("best.py", {"generator.excitation": True}),
    "not mirrored": Recipe("best.py", {"data.mirrored": False}),
    "augmented": Recipe("best.py", AUGMENTED | {"augment.probability": 0.3}),
    "augmented, adaptive": Recipe(
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
    """Train each recipe, and measure it."""
    out = Path(_OUT.value)
    out.mkdir(parents=True, exist_ok=True)
    results = out / "results.jsonl"
    rows = (
        [json.loads(line) for line in results.read_text().splitlines()]
        if (results.exists())
        else []
    )
    print_head(COLUMNS)
    for row in rows:
        print_row(row, COLUMNS)
    done = {(row["recipe"], row["seed"]) for row in rows}
    for seed in _SEEDS.value:
        for name in _ONLY.value or RECIPES:
            if (name, seed) in done:
                continue
            for row in _measured(name, seed, out):
                rows.append(row)
                print_row(row, COLUMNS)
                with results.open("a") as file:
                    file.write(json.dumps(row) + "\n")
    print(json.dumps({"rows": rows}))


def _measured(name: str, seed: str, out: Path) -> list[dict[str, Any]]:
    """Train a recipe, and return a row for each kind of weights."""
    workdir = out / f"{name.replace(' ', '_').replace(',', '')}_{seed}"
    recipe = RECIPES[name]
    settings = {
        "seed": seed,
        "steps": FOREVER,
        "data.data_dir": _DATA_DIR.value,
        "generator.width": _WIDTH.value,
        "discriminator.width": _WIDTH.value,
        "checkpoints.every_steps": FOREVER,
        "evaluate.every_steps": 0,
        **recipe.changes,
    }
    command = [*_command("train", workdir), f"--config={CONFIGS / recipe.config}"]
    command += [f"--config.{key}={value}" for key, value in settings.items()]
    seconds = _train(command, workdir.with_suffix(".log"))
    averaged = json.loads((workdir / "config.json").read_text())["generator"]["average"]
    rows = []
    for weights in ("average", "last") if averaged else ("last",):
        evaluation = _evaluate(workdir, weights)
        values = {short: evaluation[key] for short, key in KEYS.items()}
        about = {"recipe": name, "seed": seed, "weights": weights}
        rows.append({**about, "step": evaluation["step"], **values, **seconds})
    return rows


def _train(command: list[str], log: Path) -> dict[str, float]:
    """Train until the time is over; return the seconds that it took.

    Raises:
        RuntimeError: the run ended by itself, or had not begun by then.
    """
    start = time.monotonic()
    with log.open("w") as output:
        run = subprocess.Popen(command, stdout=output, stderr=output)
        while run.poll() is None and not _is_over(run.pid, start):
            time.sleep(POLL)
        if run.poll() is not None:
            raise RuntimeError(f"a run ended by itself: see {log}")
        seconds = {"seconds": time.monotonic() - start, "cpu": _cpu_seconds(run.pid)}
        run.send_signal(signal.SIGTERM)
        if run.wait() < 0:
            raise RuntimeError(f"a run had not begun yet: give it more time than {log}")
    return {key: round(value) for key, value in seconds.items()}


def _is_over(pid: int, start: float) -> bool:
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
