"""Hugging Face's parquet files in the layout of `huggan/wikiart`, here or on the hub.

A row has a picture's bytes and the numbers of its artist, genre and style, whose names
stand in the file's metadata. Rows are read a few at a time, in their order, so a file
of half a gigabyte needs little memory.

Source: https://huggingface.co/datasets/huggan/wikiart; the format of the metadata is
that of the library `datasets`.
"""

import functools
import io
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from jaxart.images import PictureError
from jaxart.paintings.sources.files import File, OnDisk, Unusable, stamp
from jaxart.paintings.sources.picture import LABELS, SourcePicture, make_labels


HUB = "hf:"  # before the name of a data set, instead of a path
IMAGE = "image"  # the column of pictures
ROWS = 8  # pictures read at once


class InParquet(NamedTuple):
    """A picture in a row of a parquet file."""

    path: str  # of the file
    group: int  # number of the group of rows
    row: int  # number of the row in its group

    def open(self) -> io.BytesIO:
        """Read the row, fastest when rows are asked for in their order; see `File`."""
        try:
            cell = _column(self.path, self.group).cell(self.row)
        except (
            OSError,
            ValueError,
            OverflowError,
            pa.ArrowException,
            StopIteration,
        ) as error:
            _column.cache_clear()
            reason = " ".join(str(error).split()) or "no such row"
            raise PictureError(f"unreadable: {reason}") from None
        content = cell.get("bytes") if isinstance(cell, dict) else cell
        if not isinstance(content, bytes):
            raise PictureError("missing")  # the row may name a file elsewhere
        return io.BytesIO(content)

    def stamp(self) -> list[int]:
        """Return the file's size and time of change; see `File`."""
        return stamp(self.path)


def matches(tree: dict[str, File]) -> bool:
    """Return whether files have this layout."""
    return any(_is_parquet(name) for name in tree)


def read(tree: dict[str, File]) -> Iterator[SourcePicture]:
    """Yield the rows of all parquet files; others are passed over.

    Any of the columns title, artist, style, genre and year is a label, as text, number
    or class number.

    Raises:
        ValueError: there is no parquet file, or one cannot be understood.
    """
    if not matches(tree):
        raise ValueError("a huggingface collection must hold parquet files; none is")
    for name, file in tree.items():
        if isinstance(file, OnDisk) and _is_parquet(name):
            yield from _rows(name, file.path)
        elif _is_parquet(name):
            reason = "unreadable: a parquet file in a zip; unpack it"
            yield SourcePicture(name, Unusable(reason), make_labels())


def download(name: str) -> Path:
    """Download a data set's parquet files from the hub, unless they are cached.

    Returns:
        Their folder in the hub's cache.

    Raises:
        ValueError: the library for it is not installed, or there is no such data set.
        OSError: the hub cannot be reached.
    """
    try:
        # An extra.
        import huggingface_hub  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ValueError(
            f"input {HUB}{name} needs huggingface_hub: pip install 'jaxart[hub]'"
        ) from None
    try:
        folder = huggingface_hub.snapshot_download(
            name, repo_type="dataset", allow_patterns=["*.parquet"]
        )
    # Its errors have many types, of which some are neither of these two.
    except (OSError, ValueError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"input {HUB}{name} cannot be had: {reason}") from None
    return Path(os.fspath(folder))


def _is_parquet(name: str) -> bool:
    return name.lower().endswith(".parquet")


def _rows(name: str, path: str) -> Iterator[SourcePicture]:
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            if IMAGE not in schema.names:
                raise ValueError(f"it has no column {IMAGE}; got {schema.names}")
            classes = _classes(schema.metadata or {})
            columns = [label for label in LABELS if label in schema.names]
            numbers = itertools.count()
            for group in range(file.num_row_groups):
                rows = _labels(file, group, columns)
                for row, values in enumerate(rows):
                    labels = {
                        label: _text(value, classes.get(label))
                        for label, value in values.items()
                    }
                    filename = f"{name}/{next(numbers):06d}"
                    place = InParquet(path, group, row)
                    yield SourcePicture(filename, place, make_labels(**labels))
    except (ValueError, OverflowError, OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{name} must be a parquet file of pictures: {reason}"
        ) from None


def _labels(
    file: pq.ParquetFile, group: int, columns: list[str]
) -> Iterator[dict[str, Any]]:
    if not columns:
        yield from ({} for _ in range(file.metadata.row_group(group).num_rows))
        return
    yield from file.read_row_group(group, columns).to_pylist()


def _classes(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """Return by column the names of its classes, from the file's metadata."""
    try:
        described = json.loads(metadata.get(b"huggingface", b"{}"))
        features = described.get("info", {}).get("features", {})
        return {
            column: [str(name) for name in feature["names"]]
            for column, feature in features.items()
            if isinstance(feature, dict) and isinstance(feature.get("names"), list)
        }
    except (ValueError, AttributeError, RecursionError):
        return {}


def _text(value: Any, classes: list[str] | None) -> str:
    """Return a cell as a label; a class number without a name is none."""
    if value is None:
        return ""
    if classes is not None and isinstance(value, int):
        return classes[value] if 0 <= value < len(classes) else ""
    return str(value).strip()


class _Column:
    """The pictures of a group of rows, read forwards."""

    def __init__(self, path: str, group: int):
        self._file = pq.ParquetFile(path, pre_buffer=False)
        self._group = group
        self._start()

    def _start(self) -> None:
        batches = self._file.iter_batches(ROWS, [self._group], [IMAGE])
        self._cells = (cell for batch in batches for cell in batch.column(0))
        self._next = 0

    def cell(self, row: int) -> Any:
        """Return the cell in a row of the group."""
        if row < self._next:
            self._start()
        cell = next(itertools.islice(self._cells, row - self._next, None))
        self._next = row + 1
        return cell.as_py()


@functools.lru_cache(1)
def _column(path: str, group: int) -> _Column:
    return _Column(path, group)
