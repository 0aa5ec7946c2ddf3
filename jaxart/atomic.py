"""Files written as a whole or not at all, and never over somebody else's."""

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(
    path: str | os.PathLike[str], is_ours: Callable[[Path], bool]
) -> Iterator[Path]:
    """Name a file to write into, which takes the place of `path` once it is whole.

    The folders above it are made. If the block raises, all is as it was.

    Args:
        path: where to.
        is_ours: says of a file in its place whether it may be replaced.

    Raises:
        FileExistsError: something else is in its place.
    """
    check_replaceable(path, is_ours)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


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
