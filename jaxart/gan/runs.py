"""The settings of a training run and its folder: what they may be, and whose it is."""

import os
from pathlib import Path
from typing import Any

import jax

from jaxart.checkpoints import CONFIG, UNFINISHED, read_config
from jaxart.command import Config
from jaxart.gan import quality


# What may change when a run goes on; any other change would make it another run.
MAY_CHANGE = (
    "checkpoints.",
    "data.data_dir",
    "data.source",
    "data.workers",
    "evaluate.every_steps",
    "log.",
    "parallel",
    "samples.",
    "steps",  # and steps_per_call
)
LARGEST_SEED = 2**32 - 1
# What the first configs did not have.
NEWER = {
    "data.on_device",
    "evaluate.count",
    "evaluate.every_steps",
    "seeds",
    "steps_per_call",
}


def check(config: Config) -> None:
    """See that the settings of a run make sense, each by itself.

    Raises:
        ValueError: one of them does not, or is missing.
    """
    missing = NEWER - flat(config).keys()
    if missing:
        raise ValueError(
            f"config must have {' and '.join(sorted(missing))}, as those in configs/ "
            "do; this one was written for an earlier version"
        )
    counts = {
        "steps": config.steps,
        "steps_per_call": config.steps_per_call,
        "seeds": config.seeds,
        "batch_size": config.batch_size,
        "samples.count": config.samples.count,
        "samples.every_steps": config.samples.every_steps,
        "checkpoints.every_steps": config.checkpoints.every_steps,
        "checkpoints.keep": config.checkpoints.keep,
        "checkpoints.keep_every_steps": config.checkpoints.keep_every_steps,
        "log.every_steps": config.log.every_steps,
    }
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} must be at least 1; got {count}")
    if not 0 <= config.seed <= LARGEST_SEED + 1 - config.seeds:
        raise ValueError(
            f"seed must be from 0 to {LARGEST_SEED}, as must the seeds that follow; "
            f"got {config.seed}"
        )
    if config.evaluate.every_steps < 0:
        raise ValueError(
            f"evaluate.every_steps must not be negative; got "
            f"{config.evaluate.every_steps}"
        )
    if config.evaluate.count < quality.LEAST:
        raise ValueError(
            f"evaluate.count must be at least {quality.LEAST}; got "
            f"{config.evaluate.count}"
        )
    if config.dtype not in ("float32", "bfloat16"):
        raise ValueError(f"dtype must be float32 or bfloat16; got {config.dtype!r}")


def claim(workdir: str) -> None:
    """Make the folder of the run, or see that it is one's own.

    Raises:
        ValueError: it holds other things, or nothing can be written there.
    """
    folder = Path(workdir)
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise ValueError(f"workdir must be writable; {workdir} is not")
    # An empty folder is nobody's: a run that was refused leaves one for checkpoints.
    others = {
        path.name
        for path in folder.iterdir()
        if path.is_file() or any(inner.is_file() for inner in path.rglob("*"))
    } - {UNFINISHED}
    if others and CONFIG not in others:
        raise ValueError(f"workdir must be empty or hold a run; {workdir} does neither")


def check_same(workdir: str, config: Config) -> None:
    """See that the run in `workdir`, if any, was started with the same settings.

    Raises:
        ValueError: it was not.
    """
    if not (Path(workdir) / CONFIG).exists():
        return
    there, here = flat(read_config(workdir)), flat(config)
    # A run from before there was evaluation has no distances that others could differ
    # from, if they were measured with another count.
    there.setdefault("evaluate.count", config.evaluate.count)
    there.setdefault("seeds", 1)
    there.setdefault("data.on_device", False)
    differing = [
        key
        for key in sorted(there.keys() | here.keys())
        if there.get(key) != here.get(key) and not key.startswith(MAY_CHANGE)
    ]
    if differing:
        changes = ", ".join(
            f"{key} ({there.get(key)} there, {here.get(key)} here)" for key in differing
        )
        raise ValueError(
            f"workdir {workdir} holds a run with other settings: {changes}"
        )


def flat(config: Config) -> dict[str, Any]:
    """Return the settings by their dotted names."""
    leaves, _ = jax.tree.flatten_with_path(config.to_dict())
    return {".".join(key.key for key in path): value for path, value in leaves}
