"""Readers of collections as people have them: where the pictures lie, and their labels.

A reader yields one `Painting` for every file and for every line of a catalogue, in an
order that depends on the names alone. Whether a file holds a picture shows only when it
is decoded, so a reader judges by place, not by suffix: everything is offered, and what
is refused later is reported with its reason.
"""

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple


LABELS: tuple[str, ...] = ("title", "artist", "style", "genre", "year")


class Painting(NamedTuple):
    """A file that may hold a picture.

    Args:
        filename: its path below the collection's folder, with "/" between folders.
        path: where it lies; None for a line of the catalogue without a file.
        labels: a text for each of `LABELS`, empty where unknown.
    """

    filename: str
    path: Path | None
    labels: dict[str, str]

    def open(self) -> IO[bytes]:
        """Open the file, to be read from any place in it.

        Raises:
            OSError: it cannot be opened, or there is none.
        """
        if self.path is None:
            raise FileNotFoundError(self.filename)
        return self.path.open("rb")


def folder(root: str | os.PathLike[str]) -> Iterator[Painting]:
    """Yield what lies in a folder and in the folders below it, sorted by name.

    Hidden files and csv files are passed over. One csv in the folder itself may hold
    labels: a column `filename`, with a path below the folder or just a name that occurs
    once, and any of title, artist, style, genre and year; other columns are ignored.
    Its lines without a file come last, with no path.

    Args:
        root: the folder. Links to folders are followed, none of them twice.

    Raises:
        ValueError: there is no such folder, or its csv cannot be understood.
    """
    root = Path(root)
    if not root.is_dir():
        what = "which is not one" if root.exists() else "which does not exist"
        raise ValueError(f"input must be a folder; got {root}, {what}")
    files = {_text(path.relative_to(root)): path for path in _walk(root)}
    catalogue = _catalogue(root, files)
    unknown = dict.fromkeys(LABELS, "")
    for filename, path in files.items():
        yield Painting(filename, path, catalogue.pop(filename, unknown))
    for filename, labels in catalogue.items():
        yield Painting(filename, None, labels)


def _walk(root: Path) -> Iterator[Path]:
    """Yield the regular, visible files below `root` that are no csv."""
    seen = set()
    for here, folders, names in os.walk(root, followlinks=True):
        status = os.stat(here)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()  # a link led back here
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(here, name)
            # A pipe or a device would keep the reader waiting for ever.
            if not name.startswith(".") and not _is_csv(path) and path.is_file():
                yield path


def _catalogue(root: Path, files: dict[str, Path]) -> dict[str, dict[str, str]]:
    """Read the labels by filename from the csv in `root`, if there is one."""
    tables = sorted(path for path in root.iterdir() if _is_csv(path))
    if not tables:
        return {}
    if len(tables) > 1:
        names = ", ".join(path.name for path in tables)
        raise ValueError(f"{root} must hold one csv at most; got {names}")
    by_name: dict[str, list[str]] = {}
    for filename in files:
        by_name.setdefault(filename.rsplit("/", 1)[-1], []).append(filename)
    catalogue = {}
    for number, row in _rows(tables[0]):
        filename = row["filename"].removeprefix("./")
        if filename not in files and len(by_name.get(filename, [])) == 1:
            [filename] = by_name[filename]
        if filename in catalogue:
            raise ValueError(f"{tables[0]}, line {number}: {filename} comes twice")
        catalogue[filename] = {label: row.get(label, "") for label in LABELS}
    return catalogue


def _rows(table: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number and the stripped cells of each line below the header."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines, strict=True)
            header = [name.strip().lower() for name in next(reader, [])]
            if "filename" not in header:
                raise ValueError(f"it has no column named filename; got {header}")
            for cells in reader:
                if cells and len(cells) != len(header):
                    raise ValueError(
                        f"line {reader.line_num} has {len(cells)} cells, "
                        f"not {len(header)}"
                    )
                if cells:
                    row = zip(header, (cell.strip() for cell in cells), strict=True)
                    yield reader.line_num, dict(row)
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{table} must be a csv in UTF-8: {error}") from None


def _is_csv(path: Path) -> bool:
    return path.suffix.lower() == ".csv" and not path.name.startswith(".")


def _text(path: Path) -> str:
    """Return a path as text that can be stored, whatever bytes its name is made of."""
    return os.fsencode(path.as_posix()).decode("utf-8", "replace")
