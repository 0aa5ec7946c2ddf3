"""The settings of a training run and its folder: what they may be, and whose it is."""

import os
from pathlib import Path
from typing import Any

import jax

from jaxart.checkpoints import CONFIG, UNFINISHED, read_config
from jaxart.command import Config


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
