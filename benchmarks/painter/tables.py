"""Tables that are printed row by row, and their columns."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from timing import median_and_spread


Row = dict[str, Any]


class Column(NamedTuple):
    """A column of a table; of text if it has no `form`."""

    key: str
    head: str
    width: int
    form: str = ""

    def align(self, text: str) -> str:
        """Pad a text to the width of this column; numbers are right-aligned."""
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
    print("\n" + "".join(column.align(column.head) for column in columns))


def print_row(row: Row, columns: Sequence[Column]) -> None:
    """Print a row at once; a missing value is a dash."""
    cells = (
        column.align(
            "-" if (value := row.get(column.key)) is None else f"{value:{column.form}}"
        )
        for column in columns
    )
    print("".join(cells), flush=True)


def summary(turns: Sequence[float]) -> dict[str, float]:
    """Return the median of seconds and their spread, as cells of a row."""
    seconds, spread = median_and_spread(turns)
    return {"seconds": seconds, "spread": spread}
