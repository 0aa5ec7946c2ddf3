"""Tables that are printed a row at a time, and what stands in their columns."""

import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


Row = dict[str, Any]


class Column(NamedTuple):
    """A column of a table; text if it has no `form`."""

    key: str
    head: str
    width: int
    form: str = ""

    def placed(self, text: str) -> str:
        """Return a text in this column: numbers stand to the right."""
        return text.rjust(self.width) if self.form else text.ljust(self.width)


PICTURE = Column("picture", "picture", 16)
STROKES = Column("strokes", "strokes", 8, ",d")
COMPILING = Column("compile_seconds", "compile s", 11, ".1f")
LPIPS = (
    Column("lpips_vgg", "LPIPS VGG", 11, ".4f"),
    Column("lpips_alex", "LPIPS Alex", 12, ".4f"),
)


def print_head(columns: Sequence[Column]) -> None:
    """Print the heads of a table, after an empty line."""
    print("\n" + "".join(one.placed(one.head) for one in columns))


def print_row(row: Row, columns: Sequence[Column]) -> None:
    """Print a row as soon as it is known; what it lacks is a dash."""
    texts = (
        "-" if row.get(one.key) is None else format(row[one.key], one.form)
        for one in columns
    )
    cells = (one.placed(text) for one, text in zip(columns, texts, strict=True))
    print("".join(cells), flush=True)


def summary(turns: list[float]) -> dict[str, float]:
    """Return the median of some seconds, and the distance between the quartiles."""
    low, high = np.percentile(turns, [25, 75])
    return {"seconds": statistics.median(turns), "spread": float(high - low)}


def ratio(ours: list[float], theirs: list[float]) -> float:
    """Return the median over all turns of our seconds divided by theirs."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
