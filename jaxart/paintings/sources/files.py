"""Files of pictures, on disk or in a zip that is not unpacked.

A file here is a small picklable reference that is opened on demand, in any process.
Any failure to open it is an `images.PictureError`, like any defect of the picture.

A zip is read member by member and never unpacked, so names that point outside of it are
harmless; they are refused all the same, because no sound collection has them.
"""

import contextlib
import functools
import io
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol, runtime_checkable

from jaxart.images import PictureError


# Bytes that one member of a zip may unpack to: a picture with the most pixels that
# are decoded, uncompressed, at three bytes each.
MAX_MEMBER_BYTES = 512 * 2**20

# Compressions of which `zipfile` unpacks no more than it is asked for.
BOUNDED_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

# Zips open at once in a process. Kaggle's collection comes in a dozen.
OPEN_ZIPS = 16

Opened = io.BufferedReader | io.BytesIO


@runtime_checkable
class File(Protocol):
    """A reference to a picture's bytes."""

    def open(self) -> Opened:
        """Return the bytes from their start, seekable.

        Raises:
            PictureError: they cannot be read; the text says why, in one line.
        """
        ...

    def stamp(self) -> list[int]:
        """Return numbers that change with the file on disk; none if there is none."""
        ...


class OnDisk(NamedTuple):
    """A file of the file system."""

    path: str

    def open(self) -> Opened:
        """Open it; see `File`."""
        with _as_picture_error():
            return open(self.path, "rb")

    def stamp(self) -> list[int]:
        """Return its size and time of change; see `File`."""
        return stamp(self.path)


class InZip(NamedTuple):
    """A member of a zip."""

    archive: str  # path of the zip
    member: str  # its name there

    def open(self) -> Opened:
        """Unpack it in memory; see `File`."""
        with _as_picture_error():
            archive = _archive(self.archive)
            info = archive.getinfo(self.member)
            if info.file_size > MAX_MEMBER_BYTES:
                raise PictureError(
                    f"too large: {info.file_size:,} bytes in its zip; at most "
                    f"{MAX_MEMBER_BYTES:,} are unpacked"
                )
            # With a length, `zipfile` unpacks no more than that; without, it unpacks
            # everything before it checks the size in the header.
            with archive.open(info) as member:
                return io.BytesIO(member.read(info.file_size + 1))

    def stamp(self) -> list[int]:
        """Return the zip's size and time of change; see `File`."""
        return stamp(self.archive)


class Unusable(NamedTuple):
    """A file that is known to hold no picture before it is opened."""

    reason: str  # why not, in one line

    def open(self) -> Opened:
        """Refuse; see `File`."""
        raise PictureError(self.reason)

    def stamp(self) -> list[int]:
        """Return nothing; see `File`."""
        return []


MISSING = Unusable("missing")


def stamp(path: str) -> list[int]:
    """Return a file's size and time of change, or nothing where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]


def tree(root: Path) -> dict[str, File]:
    """Return the visible files below a folder, and those in its zips, by name.

    A name is a path below the folder with "/" between its parts, fit to be stored as
    text. A zip stands for a folder of the same name. The order depends on the names
    alone: of each folder the files first, sorted, then the folders.

    Args:
        root: a folder, or a zip. Links to folders are followed, none of them twice.

    Raises:
        ValueError: it is neither.
    """
    if not root.exists():
        raise ValueError(f"input must be a folder or a zip; {root} does not exist")
    if root.is_dir():
        files: dict[str, File] = {}
        refused: list[OSError] = []
        for path in _walk(root, refused):
            for name, file in _expand(path, _text(path.relative_to(root))):
                while name in files:  # two names that are stored as the same text
                    name += "'"
                files[name] = file
        for error in sorted(refused, key=lambda error: error.filename):
            name = _text(Path(error.filename).relative_to(root))
            files[name] = Unusable(f"unreadable: {_line(error)}")
        return files
    if not zipfile.is_zipfile(root):
        raise ValueError(f"input must be a folder or a zip; got {root}")
    return {name.removeprefix("/"): file for name, file in _expand(root, "")}


def _walk(root: Path, refused: list[OSError]) -> Iterator[Path]:
    """Yield the regular, visible files, links that lead nowhere; gather refusals."""
    seen = set()
    for parent, folders, names in os.walk(
        root, onerror=refused.append, followlinks=True
    ):
        status = os.stat(parent)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()  # a link led back here
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            # A pipe or a device would keep the reader waiting for ever.
            if not name.startswith(".") and (path.is_file() or not path.exists()):
                yield path


def _expand(path: Path, name: str) -> Iterator[tuple[str, File]]:
    """Yield a file by its name, or the members of a zip by theirs."""
    if path.suffix.lower() != ".zip" and name:
        yield name, OnDisk(os.fspath(path))
        return
    try:
        members = sorted(set(_archive(os.fspath(path)).namelist()))
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError) as error:
        yield name, Unusable(f"unreadable: {_line(error)}")
        return
    for member in members:
        parts = PurePosixPath(member.replace("\\", "/")).parts
        if member.endswith("/") or _is_hidden(parts):
            continue
        yield f"{name}/{_storable(member)}", _member(path, member, parts)


def _is_hidden(parts: tuple[str, ...]) -> bool:
    # "__MACOSX" holds what macOS adds to the zips that it packs.
    return any(p == "__MACOSX" or (p[:1] == "." and p != "..") for p in parts)


def _member(path: Path, member: str, parts: tuple[str, ...]) -> File:
    if not parts:
        return Unusable("unreadable: it has no name in its zip")
    if ".." in parts or PurePosixPath(member).is_absolute() or ":" in parts[0]:
        return Unusable("unreadable: its name leads out of its zip")
    info = _archive(os.fspath(path)).getinfo(member)
    if info.flag_bits & 1:
        return Unusable("unreadable: encrypted in its zip")
    if info.compress_type not in BOUNDED_COMPRESSIONS:
        return Unusable("unreadable: neither stored nor deflated in its zip")
    if stat.S_ISLNK(info.external_attr >> 16):
        return Unusable("unreadable: a link in a zip")
    if member.lower().endswith(".zip"):
        return Unusable("not a picture: a zip in a zip; unpack the outer one")
    return InZip(os.fspath(path), member)


@functools.lru_cache(OPEN_ZIPS)
def _archive(path: str) -> zipfile.ZipFile:
    """Open a zip once in a process: its directory may have a hundred thousand lines."""
    return zipfile.ZipFile(path)


@contextlib.contextmanager
def _as_picture_error() -> Iterator[None]:
    """Turn what opening files and damaged zips raises into a `PictureError`."""
    try:
        yield
    except FileNotFoundError:
        raise PictureError("missing") from None
    except MemoryError:
        raise PictureError("too large: not enough memory to read it") from None
    except (
        OSError,
        EOFError,
        KeyError,
        RuntimeError,  # a password is asked for, or a compression is unknown
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise PictureError(f"unreadable: {_line(error)}") from None


def _line(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(text.split()) or type(error).__name__


def _text(path: Path) -> str:
    """Return a path as text that can be stored, whatever bytes its name is made of."""
    return _storable(path.as_posix())


def _storable(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")
