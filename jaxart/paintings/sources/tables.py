"""Catalogues: csv files as rows of stripped cells, and lookup of mangled filenames.

A table that was written on another system names files with other separators, in other
case, in another Unicode form, below another folder, or in UTF-8 that was decoded as
something else. `match` undoes all of these. `Lookup` also finds names whose accents
were replaced by "_" or "?": it compares them without letters outside of ASCII, which
only sets of long names can afford. Where several names match, none is guessed.
"""

import contextlib
import csv
import io
import itertools
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar

from jaxart.paintings.sources.files import File


T = TypeVar("T")

DELIMITERS = ",;\t|"

# What UTF-8 is decoded as where its encoding is not known: on Windows, on older Macs,
# and by programs that unpack zips.
LEGACY_ENCODINGS = ("cp1252", "latin-1", "mac-roman", "cp437")
BYTE = re.compile(r"\\x([89a-f][0-9a-f])")  # of a name on disk that is no UTF-8
MAX_DEPTH = 16  # folders in a path that are told apart


class Row(NamedTuple):
    """A line of a csv below its header: its number, and cells by column name."""

    line: int
    cells: dict[str, str]


def rows(name: str, file: File, needs: str) -> Iterator[Row]:
    """Yield the lines of a csv below its header, those without any text left out.

    Args:
        name: of the file, for messages.
        file: a csv in UTF-8, with any of `DELIMITERS`; names of columns are taken in
            lower case.
        needs: a column that must be there.

    Raises:
        ValueError: it is no such csv.
    """
    try:
        with file.open() as binary:
            lines = io.TextIOWrapper(binary, "utf-8-sig", newline="")
            first = lines.readline()
            separator = delimiter(first, lambda cells: needs in _columns(cells))
            whole = itertools.chain([first], lines)
            reader = csv.reader(whole, delimiter=separator, strict=True)
            header = _columns(next(reader, []))
            if needs not in header:
                raise ValueError(f"it has no column named {needs}; got {header}")
            for cells in reader:
                stripped = [cell.strip() for cell in cells]
                if not any(stripped):
                    continue
                if len(cells) != len(header):
                    raise ValueError(
                        f"line {reader.line_num} has {len(cells)} cells, "
                        f"not {len(header)}"
                    )
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


def delimiter(line: str, fits: Callable[[list[str]], bool]) -> str:
    """Return the first of `DELIMITERS` by which a line has the cells that it should.

    >>> delimiter("filename;title", lambda cells: "filename" in cells)
    ';'

    Args:
        line: of a csv.
        fits: says whether cells are those that are expected; where they never are, the
            delimiter is the comma.
    """
    for candidate in DELIMITERS:
        cells = next(csv.reader([line], delimiter=candidate), [])
        if fits([cell.strip() for cell in cells]):
            return candidate
    return ","


def match(names: Iterable[str], paths: Iterable[str]) -> dict[str, str]:
    r"""Return the path that each name in a table stands for, as far as that is plain.

    A name stands for the path that it equals; else that it spells differently; else
    that ends in it; else that it ends in. A path that several names stand for equally
    well belongs to none of them.

    >>> match([r"C:\art\A.JPG", "b.jpg"], ["a.jpg", "x/b.jpg", "y/b.jpg"])
    {'C:\\art\\A.JPG': 'a.jpg'}

    Args:
        names: as the table has them.
        paths: of the files, with "/" between folders.
    """
    free = dict.fromkeys(paths)
    matched = {name: name for name in names if name in free}
    rest = [name for name in names if name not in matched]
    by_spelling, by_end = dict[str, set[str]](), dict[str, set[str]]()
    for path in free if rest else ():
        for spelling in spellings(path):
            by_spelling.setdefault(spelling, set()).add(path)
            for end in _ends(spelling):
                by_end.setdefault(end, set()).add(path)

    def without_its_beginning(name: str) -> set[str]:
        ends = (end for spelling in spellings(name) for end in _ends(spelling))
        return next((by_spelling[end] for end in ends if end in by_spelling), set())

    for find in (
        lambda name: _union(by_spelling, spellings(name)),
        lambda name: _union(by_end, spellings(name)),
        without_its_beginning,
    ):
        taken, claims = set(matched.values()), dict[str, list[str]]()
        for name in rest:
            found = find(name)
            if name not in matched and len(found) == 1 and not found & taken:
                claims.setdefault(next(iter(found)), []).append(name)
        matched |= {claim[0]: path for path, claim in claims.items() if len(claim) == 1}
    return matched


def spellings(name: str) -> set[str]:
    r"""Return how a name reads in one form for all systems; several if it is mangled.

    >>> spellings(r"Art\A.JPG")
    {'art/a.jpg'}
    """
    texts = {name, BYTE.sub(lambda match: chr(int(match[1], 16)), name)}
    for encoding in LEGACY_ENCODINGS:
        with contextlib.suppress(UnicodeError):
            texts.add(name.encode(encoding).decode("utf-8"))
    folded = (unicodedata.normalize("NFC", text).casefold() for text in texts)
    return {
        unicodedata.normalize("NFC", text).replace("\\", "/").removeprefix("./")
        for text in folded
    }


def _columns(cells: list[str]) -> list[str]:
    return [cell.strip().lower() for cell in cells]


def _ends(path: str) -> Iterator[str]:
    """Yield the ends of a path, the longest first."""
    parts = path.split("/")[-MAX_DEPTH:]
    for first in range(len(parts)):
        yield "/".join(parts[first:])


def _union(index: dict[str, set[str]], keys: Iterable[str]) -> set[str]:
    return {value for key in keys for value in index.get(key, ())}


def by_basename(names: Iterable[str]) -> dict[str, list[str]]:
    """Return paths by their last component."""
    paths: dict[str, list[str]] = {}
    for name in names:
        paths.setdefault(name.rsplit("/", 1)[-1], []).append(name)
    return paths


class Lookup(Generic[T]):
    """A dictionary whose keys are also found by other spellings.

    Args:
        values: by name.
        forms: of a name; names that share one are spellings of each other. If None,
            letters outside of ASCII do not count, nor does case.
    """

    def __init__(
        self,
        values: dict[str, T],
        forms: Callable[[str], set[str]] | None = None,
    ):
        self._values = values
        self._forms = forms = forms or _without_accents
        self._names: dict[str, set[str]] = {}
        for name in values:
            for form in forms(name):
                self._names.setdefault(form, set()).add(name)

    def find(self, name: str) -> T | None:
        """Return the value of a name, else of the only one that shares a form."""
        if name in self._values:
            return self._values[name]
        keys = {key for form in self._forms(name) for key in self._names.get(form, ())}
        return self._values[keys.pop()] if len(keys) == 1 else None


def _without_accents(name: str) -> set[str]:
    """Return a name in lower case without letters outside of ASCII.

    Twice: an accented letter goes as a whole, or only its accent.
    """
    return {
        re.sub(r"[^a-z0-9/]+", "", unicodedata.normalize(form, name).lower())
        for form in ("NFC", "NFD")
    }
