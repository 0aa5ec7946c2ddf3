"""The files of a painting: image, strokes, SVG and film."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8
from tqdm import tqdm

from jaxart import atomic, command, films, images
from jaxart.drawing import relief
from jaxart.drawing.relief import Light
from jaxart.painter import painting, strokes_file, svg
from jaxart.painter.strokes_file import StrokesFile


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


class Appearance(NamedTuple):
    """How a painting is drawn.

    Args:
        scale: its size, in sizes of the picture.
        light: the lamp that shows its relief; None for flat colours.
    """

    scale: float
    light: Light | None

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return the painting's height and width, from those of its picture.

        Raises:
            ValueError: they are too small or too large.
        """
        h, w = round(height * self.scale), round(width * self.scale)
        if not (min(h, w) >= 1 and h * w <= images.MAX_PIXELS):
            raise ValueError(
                f"scale must lead to at least 1 x 1 and at most {images.MAX_PIXELS:,} "
                f"pixels; {width} x {height} times {self.scale:g} does not"
            )
        return h, w


class Outputs(NamedTuple):
    """Paths of the outputs, by their flags; None for those that are not wanted."""

    out: Path
    strokes_out: Path | None = None
    svg: Path | None = None
    film: Path | None = None

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
        check = atomic.check_replaceable
        checks: dict[str, Callable[[Path], None]] = {
            "out": partial(check, is_ours=images.is_our_png),
            "strokes_out": partial(check, is_ours=strokes_file.is_ours),
            "svg": partial(check, is_ours=svg.is_ours),
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


def appearance_from_flags(scale: float, in_relief: bool, azimuth: float) -> Appearance:
    """Return the appearance that flags ask for.

    Raises:
        ValueError: a number is out of range.
    """
    if not 0 < scale <= images.MAX_PIXELS:
        raise ValueError(
            f"scale must be above 0 and at most {images.MAX_PIXELS:,}; got {scale}"
        )
    light = Light(azimuth=azimuth)
    relief.check(light)
    return Appearance(scale, light if in_relief else None)


def outputs_from_flags(flags: dict[str, str | None], name: str) -> Outputs:
    """Return the paths of a picture's outputs.

    Args:
        flags: each a file, or a folder if it ends in a slash.
        name: of the files in folders, without suffix.

    Raises:
        ValueError: a file does not have the suffix of its kind.
    """
    paths = {}
    for flag, value in flags.items():
        if value is None:
            continue
        suffixes = SUFFIXES[flag]
        is_folder = value.endswith("/")
        path = Path(value) / f"{name}{suffixes[0]}" if is_folder else Path(value)
        if path.suffix.lower() not in suffixes:
            endings = ", ".join((*suffixes, "/"))
            raise ValueError(f"{flag} must end in one of {endings}; got {value!r}")
        paths[flag] = path
    return Outputs(**paths)


def picture(content: StrokesFile, appearance: Appearance) -> UInt8[np.ndarray, "h w c"]:
    """Return a painting as it looks: RGB or, if it is transparent, RGBA."""
    size = appearance.size(content.height, content.width)
    canvas = painting.canvas(
        content.painting,
        content.settings,
        *size,
        resolution=content.height * appearance.scale,
        transparent=content.transparent,
    )
    return _to_pixels(canvas, appearance.light)


def write_image(paths: Outputs, content: StrokesFile, appearance: Appearance) -> None:
    """Draw a painting and write it as a PNG."""
    about = command.provenance(
        seed=content.settings.seed, strokes=content.painting.seeds.size
    )
    images.save_png(paths.out, picture(content, appearance), about=about)


def write_others(paths: Outputs, content: StrokesFile, appearance: Appearance) -> None:
    """Write a painting's SVG and film, if they are wanted."""
    height, width = appearance.size(content.height, content.width)
    strokes, settings = content.painting.strokes, content.settings
    if paths.svg:
        text = svg.svg(
            strokes,
            brush=settings.medium.brush,
            ground=None if content.transparent else settings.ground,
            ratio=content.width / content.height,
            height=height,
            width=width,
            title=paths.out.stem,
        )
        with atomic.replacing(paths.svg, svg.is_ours) as unfinished:
            unfinished.write_text(text, encoding="utf-8", newline="\n")
    if paths.film:
        scale = min(1, FILM_SIDE / max(height, width))
        h, w = (max(1, round(side * scale)) for side in (height, width))
        canvases = painting.frames(
            content.painting,
            settings,
            h,
            w,
            FRAMES,
            resolution=content.height * appearance.scale * scale,
            transparent=content.transparent,
        )
        frames = (_to_pixels(canvas, appearance.light) for canvas in canvases)
        if paths.film.suffix.lower() != ".webp":
            frames = map(images.over_white, frames)
        bar = tqdm(frames, desc="film", unit="frame", total=FRAMES, dynamic_ncols=True)
        films.write(paths.film, iter(bar), fps=FPS, hold=HOLD)


def _to_pixels(
    canvas: Float32[np.ndarray, "planes h w"], light: Light | None
) -> UInt8[np.ndarray, "h w c"]:
    """Return a canvas as RGB or, if it has an opacity, as RGBA."""
    colours, opacity = canvas[:3], canvas[4:]
    if light is not None:
        lit = relief.lit(canvas[:4], light=light, resolution=canvas.shape[1])
        colours = np.asarray(lit)
    planes = np.concatenate([colours, opacity])
    return images.to_pixels(np.moveaxis(2 * planes - 1, 0, -1))
