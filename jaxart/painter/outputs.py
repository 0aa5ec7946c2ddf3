"""The files of a painting: image, strokes, SVG and film."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8
from tqdm import tqdm

from jaxart import atomic, films, images
from jaxart.painter import painting, relief, strokes_file, svg
from jaxart.painter.painting import Painting
from jaxart.painter.relief import Light
from jaxart.painter.settings import Settings


# Suffixes of each output; in a folder, the first.
SUFFIXES = {
    "out": (".png",),
    "strokes_out": (".json",),
    "svg": (".svg",),
    "film": (".gif", ".webp", ".mp4"),
}

FRAMES = 120  # of a film
FPS = 15
HOLD = 2.0  # how long the finished painting is shown, in seconds
FILM_SIDE = 720  # longer side of a film at most, in pixels


class Outputs(NamedTuple):
    """Paths of the outputs, by their flags; None for those that are not wanted."""

    out: Path
    strokes_out: Path | None = None
    svg: Path | None = None
    film: Path | None = None

    @classmethod
    def from_flags(cls, flags: dict[str, str | None], name: str) -> "Outputs":
        """Return the paths of a picture's outputs.

        Args:
            flags: each a file, or a folder if it ends in a slash.
            name: of the files in folders, without suffix.

        Raises:
            ValueError: a file does not have the suffix of its kind.
        """
        wanted = {flag: value for flag, value in flags.items() if value is not None}
        return cls(**{flag: _path(flag, value, name) for flag, value in wanted.items()})

    def wanted(self) -> dict[str, Path]:
        """Return the paths of the outputs that are wanted, by their flags."""
        return {flag: path for flag, path in self._asdict().items() if path}

    def check(self, picture: Path | None) -> None:
        """Check that all files can be written, before minutes of work; make folders.

        Args:
            picture: that is painted, which is not overwritten.

        Raises:
            ValueError: a file would replace the picture, or a folder is read-only.
            FileExistsError: a file that jaxart did not write is in the way.
        """
        checks: dict[str, Callable[[Path], None]] = {
            "out": partial(atomic.check_replaceable, is_ours=images.is_our_png),
            "strokes_out": strokes_file.check,
            "svg": svg.check,
            "film": films.check,
        }
        for flag, path in self.wanted().items():
            if picture is not None and path.resolve() == picture.resolve():
                raise ValueError(f"{flag} must not be the picture itself; got {path}")
            checks[flag](path)
            path.parent.mkdir(parents=True, exist_ok=True)
            if not os.access(path.parent, os.W_OK):
                raise ValueError(
                    f"{flag} must be in a folder that can be written; {path}"
                )


class Artwork(NamedTuple):
    """A painting at a size, flat or lit.

    Args:
        painting: its strokes.
        settings: what it was painted with.
        height: in pixels.
        width: in pixels.
        light: the lamp that shows its relief; None for flat colours.
    """

    painting: Painting
    settings: Settings
    height: int
    width: int
    light: Light | None


def write_image(outputs: Outputs, artwork: Artwork) -> None:
    """Draw an artwork and write it as a PNG."""
    canvas = painting.canvas(
        artwork.painting, artwork.settings, artwork.height, artwork.width
    )
    images.save_png(outputs.out, _to_pixels(canvas, artwork.light))


def write_others(outputs: Outputs, artwork: Artwork) -> None:
    """Write an artwork's SVG and film, if they are wanted."""
    if outputs.svg:
        svg.write(
            outputs.svg,
            artwork.painting.strokes,
            brush=artwork.settings.brush,
            ground=artwork.settings.ground,
            height=artwork.height,
            width=artwork.width,
            title=outputs.out.stem,
        )
    if outputs.film:
        _write_film(outputs.film, artwork)


def _write_film(path: Path, artwork: Artwork) -> None:
    sides = artwork.height, artwork.width
    scale = min(1, FILM_SIDE / max(sides))
    height, width = (max(1, round(side * scale)) for side in sides)
    canvases = painting.frames(
        artwork.painting, artwork.settings, height, width, FRAMES
    )
    frames = (_to_pixels(canvas, artwork.light) for canvas in canvases)
    bar = tqdm(frames, desc="film", unit="frame", total=FRAMES, dynamic_ncols=True)
    films.write(path, iter(bar), fps=FPS, hold=HOLD)


def _to_pixels(
    canvas: Float32[np.ndarray, "4 h w"], light: Light | None
) -> UInt8[np.ndarray, "h w 3"]:
    colours = canvas[:3]
    if light is not None:
        colours = np.asarray(relief.lit(canvas, light=light, pixels=canvas.shape[1]))
    return images.to_pixels(np.moveaxis(2 * colours - 1, 0, -1))


def _path(flag: str, value: str, name: str) -> Path:
    suffixes = SUFFIXES[flag]
    path = Path(value)
    if value.endswith("/"):
        path = path / f"{name}{suffixes[0]}"
    if path.suffix.lower() not in suffixes:
        endings = ", ".join((*suffixes, "/"))
        raise ValueError(f"{flag} must end in one of {endings}; got {value!r}")
    return path
