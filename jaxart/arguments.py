"""Arguments that several commands share, and the check of the files they write."""

import math
from pathlib import Path
from typing import Annotated, Literal

from jaxart import atomic, films, images
from jaxart.validation import FilePath, Range


Workdir = Annotated[FilePath, "folder of a run"]
Step = Annotated[
    str | None, "which checkpoint: a number, or best; the latest, if not given"
]
Weights = Annotated[
    Literal["average", "last"] | None,
    "of the generator: the average of the last updates' where the run has one; or last",
]
# Of a picture that is drawn from strokes, in pixels.
Side = Annotated[int, Range(1, math.isqrt(images.MAX_PIXELS))]
DataDir = Annotated[FilePath | None, "where the dataset is, if not where it was"]


# What pictures of a run with conditions are asked to be.
Style = Annotated[str | None, "that is asked for: one that the run knows, or unknown"]
Genre = Annotated[str | None, "that is asked for, likewise"]
Artist = Annotated[str | None, "that is asked for, likewise"]
Digit = Annotated[str | None, "that is asked for, likewise"]
Title = Annotated[str | None, "that is asked for, of a run with titles"]


Kind = Literal["style", "genre", "artist", "digit"]  # of labels


def asked(**flags: str | None) -> dict[str, str]:
    """Return what is asked for, by kind."""
    return {kind: text for kind, text in flags.items() if text is not None}


def check_grid(count: int, size: int) -> None:
    """Check that pictures fit into one picture, before they are drawn.

    Args:
        count: how many.
        size: of their sides, in pixels.

    Raises:
        ValueError: they do not.
    """
    most = images.MAX_PIXELS // size**2
    if count > most:
        raise ValueError(
            f"a grid must have at most {most:,} pictures of {size} x {size} pixels; "
            f"got {count:,}"
        )


def check_out(flag: str, out: str, suffixes: tuple[str, ...]) -> str:
    """Check, before any work, that a command may write its result.

    Args:
        flag: the argument that names the file.
        out: path of the file; where `suffixes` has "/", also a folder.
        suffixes: of ".png", "/", and those of `films.MAX_SIDE`.

    Returns:
        The suffix, in lower case; "/" for a folder.

    Raises:
        ValueError: the suffix is none of these, or its library is not installed.
        FileExistsError: there is a file that jaxart did not write.
    """
    suffix = "/" if out.endswith("/") else Path(out).suffix.lower()
    if suffix not in suffixes:
        raise ValueError(f"{flag} must end in {' or '.join(suffixes)}; got {out!r}")
    if suffix in films.MAX_SIDE:
        films.check(out)
    elif suffix == ".png":
        atomic.check_replaceable(out, images.is_our_png)
    return suffix
