"""Catalogues: csv files as rows of stripped cells, and lookup of mangled filenames.

Filenames that were copied between systems get mangled: accents composed or decomposed,
UTF-8 decoded as something else, letters replaced by "_" or "?". That changes only
letters outside of ASCII, so names are compared without them; where several names match,
none is guessed.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar

from jaxart.paintings.sources.files import File


T = TypeVar("T")


class Row(NamedTuple):
    """A line of a csv below its header: its number, and cells by column name."""

    line: int
    cells: dict[str, str]


def rows(name: str, file: File, needs: str) -> Iterator[Row]:
    """Yield the lines of a csv below its header, empty ones left out.

    Args:
        name: of the file, for messages.
        file: a csv in UTF-8; names of columns are taken in lower case.
        needs: a column that must be there.

    Raises:
        ValueError: it is no such csv.
    """
    try:
        with file.open() as binary:
            lines = io.TextIOWrapper(binary, "utf-8-sig", newline="")
            reader = csv.reader(lines, strict=True)
            header = [column.strip().lower() for column in next(reader, [])]
            if needs not in header:
                raise ValueError(f"it has no column named {needs}; got {header}")
            for cells in reader:
                if cells and len(cells) != len(header):
                    raise ValueError(
                        f"line {reader.line_num} has {len(cells)} cells, "
                        f"not {len(header)}"
                    )
                if cells:
                    stripped = (cell.strip() for cell in cells)
                    row = zip(header, stripped, strict=True)
                    yield Row(reader.line_num, dict(row))
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{name} must be a csv in UTF-8: {error}") from None


def text(name: str, file: File) -> str:
    """Return what a text file holds.

    Args:
        name: of the file, for messages.
        file: a text in UTF-8.

    Raises:
        ValueError: it is no such text.
    """
    try:
        with file.open() as binary:
            return io.TextIOWrapper(binary, "utf-8-sig").read()
    except ValueError as error:
        raise ValueError(f"{name} must be a text in UTF-8: {error}") from None


def by_basename(names: Iterable[str]) -> dict[str, list[str]]:
    """Return paths by their last component."""
    paths: dict[str, list[str]] = {}
    for name in names:
        paths.setdefault(name.rsplit("/", 1)[-1], []).append(name)
    return paths


class Lookup(Generic[T]):
    """A dictionary whose keys are also found by mangled spellings.

    Args:
        values: by name.
    """

    def __init__(self, values: dict[str, T]):
        self._values = values
        self._names: dict[str, set[str]] = {}
        for name in values:
            for form in _normalised(name):
                self._names.setdefault(form, set()).add(name)

    def find(self, name: str) -> T | None:
        """Return the value of a name, else of the only one with its normalised form."""
        if name in self._values:
            return self._values[name]
        keys = {key for form in _normalised(name) for key in self._names.get(form, ())}
        return self._values[keys.pop()] if len(keys) == 1 else None


def _normalised(name: str) -> set[str]:
    """Return a name in lower case without letters outside of ASCII.

    Twice: an accented letter goes as a whole, or only its accent.
    """
    return {
        re.sub(r"[^a-z0-9/]+", "", unicodedata.normalize(form, name).lower())
        for form in ("NFC", "NFD")
    }
