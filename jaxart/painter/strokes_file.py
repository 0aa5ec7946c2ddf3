"""Strokes files: a painting as its strokes, on disk and back.

A painting is its strokes. From this file it is drawn anew at any size, lit, filmed, or
resumed, and no bit is lost: every float32 is written in the fewest digits that restore
it exactly. The file is JSON, one object:

    format     "jaxart strokes"
    version    2; in files of version 1, `transparent` and `brush` are missing
    picture    what was painted: {"sha256", "width", "height"}, the hash of its decoded
               RGB pixels, row by row, and its sides in pixels; "" for the hash where a
               generator made the strokes, and there was no picture
    settings   all settings of the painter, the seed among them
    weights    null, "saliency", or the sha256 of the map of weights
    transparent  whether the canvas is bare where the picture is
    brush      null, or the sha256 of the brush's picture, whose path is in `settings`
    strokes    the strokes in the order in which they are drawn, column by column: {"x",
               "y", "length", "width", "angle", "red", "green", "blue", "seed"}, each a
               list of as many numbers; `jaxart.drawing.strokes` has their units
    laid       the greedy strokes, before refinement, from which painting is resumed:
               the same columns, and "stage", in which each was painted, -1 for those
               that a generator made; a column that equals its namesake in `strokes` is
               left out

Files are not trusted: each is read whole and checked, or refused.
"""

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, UInt8

from jaxart import atomic, images
from jaxart.drawing import brushes
from jaxart.drawing.strokes import COLUMNS
from jaxart.painter.painting import MAX_EMPTY_STAGES, Painting
from jaxart.painter.settings import MAX_STROKES, Settings, check_keys
from jaxart.validation import build, short


FORMAT = "jaxart strokes"
NO_PICTURE = ""  # in place of its hash
VERSION = 2
HEAD = f'{{\n"format": {json.dumps(FORMAT)},'  # how each of our files begins
MAX_BYTES = 100_000_000  # of a file that is read at all
MAX_VALUES = 20 * MAX_STROKES  # of all columns together, and whatever else
MAX_LISTS = 1_000
MIN_SIDE, MAX_SIDE = 16, 65_535  # of a picture that is painted, in pixels
ROUNDING = 1e-5  # by which a colour may be out of range, and is clipped

# Smallest and largest number of each column. A stroke costs what it covers: one of
# absurd length would cost absurd memory.
RANGES = {
    "x": (-1e4, 1e4),
    "y": (-1e4, 1e4),
    "length": (1e-6, 100.0),
    "width": (1e-6, 100.0),
    "angle": (-1e6, 1e6),
    "red": (0.0, 1.0),
    "green": (0.0, 1.0),
    "blue": (0.0, 1.0),
    "seed": (0.0, 1.0),
}

SINCE_0_3: dict[str, Any] = {"artist": ""}  # settings that older files do not have

Columns = dict[str, Float32[np.ndarray, " n"]]


class StrokesFile(NamedTuple):
    """The content of a strokes file.

    Args:
        painting: the strokes.
        settings: what they were painted with.
        sha256: hash of the picture's pixels, or `NO_PICTURE`.
        height: of the picture, in pixels.
        width: of the picture, in pixels.
        weights: None, "saliency", or the hash of the map of weights.
        transparent: whether the canvas is bare where the picture is.
    """

    painting: Painting
    settings: Settings
    sha256: str
    height: int
    width: int
    weights: str | None
    transparent: bool = False


def write(path: str | os.PathLike[str], content: StrokesFile) -> None:
    """Write a strokes file, all of it or nothing, and make the folders above it.

    Raises:
        FileExistsError: a file that is no strokes file is in its place.
    """
    painting = content.painting
    strokes = _columns(painting.strokes, painting.seeds)
    greedy = _columns(painting.greedy_strokes, painting.greedy_seeds)
    document = {
        "format": FORMAT,
        "version": VERSION,
        "picture": {
            "sha256": content.sha256,
            "width": content.width,
            "height": content.height,
        },
        "settings": dataclasses.asdict(content.settings),
        "weights": content.weights,
        "transparent": content.transparent,
        "brush": brushes.sha256(content.settings.medium.brush),
        "strokes": {
            name: _shortest_decimals(column) for name, column in strokes.items()
        },
        "laid": {
            name: _shortest_decimals(column)
            for name, column in greedy.items()
            # By their bits: 0 and -0 are equal numbers.
            if column.tobytes() != strokes[name].tobytes()
        }
        | {"stage": painting.stages.tolist()},
    }
    members = [
        f"{json.dumps(name)}: {json.dumps(member, allow_nan=False)}"
        for name, member in document.items()
    ]
    text = "{\n" + ",\n".join(members) + "\n}\n"
    with atomic.replacing(path, is_ours) as unfinished:
        unfinished.write_text(text)


def read(path: str | os.PathLike[str]) -> StrokesFile:
    """Read a strokes file.

    Args:
        path: a file of at most `MAX_BYTES` bytes and `MAX_STROKES` strokes.

    Raises:
        ValueError: the file is missing, damaged, too large, no strokes file or one of
            another version, or a value is out of range; the text says which.
    """
    try:
        return _parse(_read_json(path))
    except ValueError as error:
        raise ValueError(f"strokes file {path} {error}") from None


def check_picture(content: StrokesFile, picture: UInt8[np.ndarray, "h w 3"]) -> None:
    """Check that a strokes file belongs to a picture.

    Raises:
        ValueError: it is another picture's.
    """
    expected = (content.height, content.width, content.sha256)
    if (*picture.shape[:2], sha256(picture)) != expected:
        raise ValueError(
            f"strokes file must be of this picture; it is of another one of "
            f"{content.width} x {content.height} pixels"
        )


def sha256(values: np.ndarray) -> str:
    """Return the hash of an array's bytes, row by row."""
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def _columns(
    strokes: Float32[np.ndarray, "n 8"], seeds: Float32[np.ndarray, " n"]
) -> Columns:
    return dict(zip(COLUMNS, strokes.T, strict=True)) | {"seed": seeds}


def _shortest_decimals(column: Float32[np.ndarray, " n"]) -> list[float]:
    """Return the numbers with the fewest decimal digits that restore a column."""
    return [float(str(number)) for number in column]


def _read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the JSON object that a file holds."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise ValueError(f"must have at most {MAX_BYTES:,} bytes; it has more")
    # Each takes dozens of bytes of memory.
    if content.count(b",") > MAX_VALUES or content.count(b"[") > MAX_LISTS:
        raise ValueError(f"must have at most {MAX_VALUES:,} values; it has more")
    try:
        document = json.loads(content)
    # Not UTF-8, not JSON, a number of a million digits, or nested a million deep.
    except (ValueError, RecursionError):
        raise ValueError("must be JSON; it is not") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f'must be of the format "{FORMAT}"; it is not')
    version = document.get("version")
    if type(version) is not int or not 1 <= version <= VERSION:
        raise ValueError(f"must be of version 1 or {VERSION}; got {short(version)}")
    return document


def _parse(document: dict[str, Any]) -> StrokesFile:
    picture, weights = _member(document, "picture"), document.get("weights")
    sha256 = picture.get("sha256")
    if not isinstance(sha256, str) or not isinstance(weights, str | None):
        raise ValueError("must hold hashes as text; it does not")
    transparent = document.get("transparent", False)
    if not isinstance(transparent, bool):
        raise ValueError(
            f"must have transparent, true or false; got {short(transparent)}"
        )
    settings = _settings(_member(document, "settings"))
    if brushes.sha256(settings.medium.brush) != document.get("brush"):
        raise ValueError(
            f"was painted with another brush than the picture {settings.brush} now is"
        )
    return StrokesFile(
        _painting(_member(document, "strokes"), _member(document, "laid")),
        settings,
        sha256,
        *_sides(picture),
        weights,
        transparent,
    )


def _sides(picture: dict[str, Any]) -> tuple[int, int]:
    """Return height and width of the picture."""
    height, width = picture.get("height"), picture.get("width")
    if (
        type(height) is int
        and type(width) is int
        and MIN_SIDE <= min(height, width) <= max(height, width) <= MAX_SIDE
        and height * width <= images.MAX_PIXELS
    ):
        return height, width
    raise ValueError(
        f"must be of a picture with sides from {MIN_SIDE} to {MAX_SIDE:,} and at most "
        f"{images.MAX_PIXELS:,} pixels; got {short(width)} x {short(height)}"
    )


def _painting(strokes: dict[str, Any], greedy_columns: dict[str, Any]) -> Painting:
    n = _count(strokes, "x", "strokes")
    refined = {name: _column(strokes, name, "strokes", n) for name in RANGES}
    m = _count(greedy_columns, "stage", "laid")
    greedy = {
        name: refined[name]
        if name not in greedy_columns and m == n
        else _column(greedy_columns, name, "laid", m)
        for name in RANGES
    }
    return Painting(
        *_arrays(refined), *_arrays(greedy), _stages(greedy_columns["stage"])
    )


def _arrays(
    columns: Columns,
) -> tuple[Float32[np.ndarray, "n 8"], Float32[np.ndarray, " n"]]:
    strokes = np.stack([columns[name] for name in COLUMNS], axis=1)
    return strokes, columns["seed"]


def _count(columns: dict[str, Any], name: str, where: str) -> int:
    column = columns.get(name)
    if not isinstance(column, list) or len(column) > MAX_STROKES:
        raise ValueError(f"must hold {where}.{name}, a list of at most {MAX_STROKES:,}")
    return len(column)


def _column(
    columns: dict[str, Any], name: str, where: str, count: int
) -> Float32[np.ndarray, " n"]:
    numbers, (low, high) = columns.get(name), RANGES[name]
    rounding = ROUNDING if name in ("red", "green", "blue") else 0
    if not isinstance(numbers, list) or len(numbers) != count:
        raise ValueError(f"must hold {where}.{name}, a list of {count} numbers")
    for number in numbers:
        # Comparison also turns away NaN, and integers of any length.
        if type(number) not in (int, float) or not (
            low - rounding <= number <= high + rounding
        ):
            raise ValueError(
                f"must have {where}.{name} in [{low:g}, {high:g}]; got {short(number)}"
            )
    return np.array([min(max(number, low), high) for number in numbers], np.float32)


def _stages(numbers: list[Any]) -> Int32[np.ndarray, " m"]:
    previous, most = -1, MAX_EMPTY_STAGES * len(numbers)
    for number in numbers:
        if type(number) is not int or not previous <= number < most:
            raise ValueError(
                f"must have laid.stage, whole numbers below {most} that never fall; "
                f"got {short(number)} after {previous}"
            )
        previous = number
    return np.array(numbers, np.int32)


def _settings(members: dict[str, Any]) -> Settings:
    members = SINCE_0_3 | members
    check_keys(members)
    try:
        return build(Settings, members)
    except ValueError as error:
        raise ValueError(f"has settings that cannot be: {error}") from None


def _member(document: dict[str, Any], name: str) -> dict[str, Any]:
    member = document.get(name)
    if not isinstance(member, dict):
        raise ValueError(f"must hold {name}, an object; it does not")
    return member


def is_ours(path: Path) -> bool:
    """Return whether a file begins like those of `write`."""
    try:
        with path.open("rb") as file:
            return file.read(len(HEAD)) == HEAD.encode()
    except OSError:
        return False
