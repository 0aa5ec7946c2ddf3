"""Files written as a whole or not at all, and never over somebody else's."""

import contextlib
import errno
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path


FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def replacing(
    path: str | os.PathLike[str], is_ours: Callable[[Path], bool]
) -> Iterator[Path]:
    """Name a file to write into, which takes the place of `path` once it is whole.

    The folders above it are made. If the block raises, all is as it was; the error of a
    full disk names the folder.

    Args:
        path: where to.
        is_ours: says of a file in its place whether it may be replaced.

    Raises:
        FileExistsError: something else is in its place.
    """
    check_replaceable(path, is_ours)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    try:
        with naming_full_disk(path.parent):
            yield temporary
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_replaceable(
    path: str | os.PathLike[str], is_ours: Callable[[Path], bool]
) -> None:
    """Refuse a place where somebody else's file is, before work is done in vain.

    Args:
        path: where something is going to be written.
        is_ours: says of a file in its place whether it may be replaced.

    Raises:
        FileExistsError: something else is in its place.
    """
    path = Path(path)
    if path.exists() and not is_ours(path):
        raise FileExistsError(
            f"{path} exists and was not written by jaxart: move it or choose another"
        )


@contextlib.contextmanager
def naming_full_disk(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Name a folder in errors that say that its disk is full, and not which.

    Args:
        folder: where the block writes.

    Raises:
        OSError: the disk is full, or a quota or the largest size of a file is reached.
    """
    try:
        yield
    except Exception as error:
        number = _full_disk(error)
        named = getattr(error, "filename", None)
        # A hidden file is one that `replacing` has named.
        if number is None or (named and not Path(named).name.startswith(".")):
            raise
        raise OSError(number, os.strerror(number), os.fspath(folder)) from error


def _full_disk(error: Exception) -> int | None:
    """Return the error number of a full disk, if that is what an error is about."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno if error.errno in FULL_DISK else None
    # Libraries in C++ have kinds of their own.
    text = str(error)
    return next((number for number in FULL_DISK if os.strerror(number) in text), None)
