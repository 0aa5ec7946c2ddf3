"""What a run has logged: the lines of its `metrics.jsonl`, read."""

import json
import os
from pathlib import Path
from typing import NamedTuple

from jaxart.gan.run_dir import METRICS


class Line(NamedTuple):
    """What was logged at a step: values by name, not all of which need be finite."""

    step: int
    values: dict[str, float]


def read(workdir: str | os.PathLike[str]) -> list[Line]:
    """Return the lines that a run has logged so far, in the order of their steps.

    One at the end that is not whole is left out: a run may be writing it, or was killed
    while it did.

    Raises:
        ValueError: there is no such file, or no whole line in it, or one is damaged.
    """
    path = Path(workdir, METRICS)
    if not path.is_file():
        raise ValueError(f"workdir must hold a run's {METRICS}; {workdir} does not")
    *whole, _ = path.read_bytes().split(b"\n")
    if not whole:
        raise ValueError(f"workdir must hold a run that has logged; {path} is empty")
    return [_parse(text, f"{path}, line {n}") for n, text in enumerate(whole, 1)]


def _parse(text: bytes, where: str) -> Line:
    try:
        values = json.loads(text)
        step = values.pop("step")
        if type(step) is not int:
            raise ValueError("step must be a whole number")
        return Line(step, {name: float(value) for name, value in values.items()})
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"{where} is damaged: {reason}") from None
