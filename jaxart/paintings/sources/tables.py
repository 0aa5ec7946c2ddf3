"""Catalogues: csv files as rows of stripped cells, and names that were mangled.

Names of files that went through several computers come out changed: accents composed
or taken apart, UTF-8 read as something else, letters replaced by "_" or "?". Such
damage touches nothing but letters outside of ASCII. So what is left without them still
tells most names apart; those that it does not tell apart are not guessed.
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


def by_last(names: Iterable[str]) -> dict[str, list[str]]:
    """Return names by what stands behind their last "/"."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(name.rsplit("/", 1)[-1], []).append(name)
    return found


class Lookup(Generic[T]):
    """Values by name, found again where the name was mangled.

    Args:
        values: by their true names.
    """

    def __init__(self, values: dict[str, T]):
        self._values = values
        self._worn: dict[str, set[str]] = {}
        for name in values:
            for worn in _worn(name):
                self._worn.setdefault(worn, set()).add(name)

    def find(self, name: str) -> T | None:
        """Return the value of that very name, else of the only one that wore to it."""
        if name in self._values:
            return self._values[name]
        found = {true for worn in _worn(name) for true in self._worn.get(worn, ())}
        return self._values[found.pop()] if len(found) == 1 else None


def _worn(name: str) -> set[str]:
    """Return what is left of a name without letters outside of ASCII.

    Both ways: with and without the plain letters below the accents.
    """
    return {
        re.sub(r"[^a-z0-9/]+", "", unicodedata.normalize(form, name).lower())
        for form in ("NFC", "NFD")
    }
