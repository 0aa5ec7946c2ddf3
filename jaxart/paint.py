"""Paint a picture, stroke by stroke: `python -m jaxart.paint PICTURE --out=FILE.png`.

A folder of pictures is painted one after the other; the same command goes on where it
stopped. `--redraw` draws a painting anew from its strokes file, at any size and in any
light, without painting it again.

Source: the essay's painter; `jaxart.painter.painting` is what this command drives, and
what to call from Python.
"""

import dataclasses
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8
from tqdm import tqdm

from jaxart import atomic, command, films, images
from jaxart.command import Config
from jaxart.painter import painting, relief, saliency, strokes_file, svg
from jaxart.painter.painting import Painting, Progress
from jaxart.painter.relief import Light
from jaxart.painter.settings import Settings


SMALLEST = 16  # side of a picture that is painted, in pixels
MAY_CHANGE = {"strokes"}  # settings, when a painting goes on
UNITS = {"painting": "stroke", "refining": "step"}

# What results may end in; in a folder, the first.
SUFFIXES = {
    "out": (".png",),
    "strokes_out": (".json",),
    "svg": (".svg",),
    "film": (".gif", ".webp", ".mp4"),
}

FRAMES = 120  # of a film
FPS = 15
HOLD = 2.0  # how long the finished painting stays, in seconds
FILM_SIDE = 720  # the longest side of a film, in pixels

Pixels = UInt8[np.ndarray, "h w 3"]


class Files(NamedTuple):
    """Where results go; None for what was not asked for."""

    out: Path
    strokes_out: Path | None = None
    svg: Path | None = None
    film: Path | None = None

    def wanted(self) -> dict[str, Path]:
        """Return the files that were asked for, by their flags."""
        return {flag: path for flag, path in self._asdict().items() if path}


class Look(NamedTuple):
    """How a painting is shown.

    Args:
        scale: its size, in sizes of the picture.
        light: the lamp that shows its relief; None for flat colours.
    """

    scale: float
    light: Light | None


class Care(NamedTuple):
    """Where the painter takes care.

    Args:
        weights: how much each pixel counts, or None.
        name: what tells these weights from others, or None.
    """

    weights: Float32[np.ndarray, "h w"] | None
    name: str | None


class Work(NamedTuple):
    """How far the painting of a picture has come.

    Args:
        painting: the strokes so far.
        psnr: how close they come to the picture, in decibels.
        stopped: the signal that stopped it, or None if it is finished.
    """

    painting: Painting
    psnr: float
    stopped: int | None


def main(
    picture: Annotated[str | None, "the picture, or a folder of pictures"] = None,
    /,
    *,
    out: Annotated[str, "FILE.png that receives the painting; or FOLDER/"],
    config: Annotated[Config, "file that describes the painter"] = "paint",
    scale: Annotated[float, "size of the painting, in sizes of the picture"] = 1.0,
    relief: Annotated[bool, "show the paint in relief"] = False,
    light: Annotated[
        float, "where the relief's lamp stands: degrees, 0 above, 90 to the right"
    ] = 315.0,
    weights: Annotated[
        str | None, "MASK.png, bright where more care is taken; or saliency"
    ] = None,
    strokes_out: Annotated[str | None, "FILE.json for the strokes; or FOLDER/"] = None,
    svg: Annotated[str | None, "FILE.svg for the strokes as shapes; or FOLDER/"] = None,
    film: Annotated[
        str | None, "FILE.gif, .webp or .mp4: the painting as it grows; or FOLDER/"
    ] = None,
    resume: Annotated[str | None, "strokes file that painting goes on from"] = None,
    redraw: Annotated[str | None, "strokes file to draw anew, without PICTURE"] = None,
) -> None:
    """Paint a picture, or a folder of pictures."""
    look = _look(scale, relief, light)
    given = {"out": out, "strokes_out": strokes_out, "svg": svg, "film": film}
    if redraw is not None:
        painted_with = {
            "resume": resume,
            "strokes_out": strokes_out,
            "weights": weights,
        }
        _refuse(painted_with, "with redraw, which does not paint")
        _redraw(redraw, picture, _files(given, Path(redraw).stem), look)
    elif picture is None:
        raise ValueError("missing argument: PICTURE (only redraw goes without)")
    elif Path(picture).is_dir():
        _refuse({"resume": resume}, "with a folder, which goes on by itself")
        _paint_folder(Path(picture), given, _settings(config), look, weights)
    else:
        files = _files(given, Path(picture).stem)
        _paint_one(Path(picture), files, _settings(config), look, weights, resume)


def _paint_one(
    path: Path,
    files: Files,
    settings: Settings,
    look: Look,
    weights: str | None,
    resume: str | None,
) -> None:
    picture = _read(path)
    size = _size(picture.shape, look.scale)
    care = _care(weights, picture)
    start = None if resume is None else _start(resume, picture, settings, care)
    _check_places(files, path)
    work = _paint(picture, settings, care, start)
    _write_strokes(files, work.painting, settings, picture, care)
    images.save_png(files.out, _drawn(work.painting, settings, size, look))
    count = work.painting.stages.size
    if work.stopped is not None:
        message = f"{count} of {settings.strokes} strokes are in {files.out}"
        if files.strokes_out:
            message += f"; --resume={files.strokes_out} goes on from them"
        raise command.Stopped(work.stopped, message)
    _write_others(files, work.painting, settings, size, look)
    print(f"{count} strokes, {work.psnr:.2f} dB: look at {files.out}")


def _paint_folder(
    folder: Path,
    given: dict[str, str | None],
    settings: Settings,
    look: Look,
    weights: str | None,
) -> None:
    """Paint all pictures of a folder that are not painted yet."""
    if weights not in (None, "saliency"):
        raise ValueError(f"weights must be saliency for a folder; got {weights!r}")
    for flag, value in given.items():
        if value is not None and not value.endswith("/"):
            raise ValueError(f"{flag} must be FOLDER/ for a folder; got {value!r}")
    paths = _listed(folder)
    jobs = {path: _files(given, name) for path, name in _names(paths).items()}
    for path, files in jobs.items():
        if files.out.resolve().parent == folder.resolve():
            raise ValueError(
                f"out must be another folder than {folder}; it is the same"
            )
        _check_places(files, path)
    painted, skipped = 0, {}
    for path, files in jobs.items():
        if all(wanted.exists() for wanted in files.wanted().values()):
            continue
        try:
            picture = _read(path)
            size = _size(picture.shape, look.scale)
        except ValueError as error:
            skipped[path] = error
            continue
        care = _care(weights, picture)
        start = None
        if files.strokes_out and files.strokes_out.exists():
            start = _start(files.strokes_out, picture, settings, care)
        work = _paint(picture, settings, care, start, name=path.name)
        _write_strokes(files, work.painting, settings, picture, care)
        if work.stopped is not None:
            # What has a painting is finished: half a painting would pass for one.
            raise command.Stopped(
                work.stopped,
                f"{painted} pictures are painted; the same command paints the rest",
            )
        images.save_png(files.out, _drawn(work.painting, settings, size, look))
        _write_others(files, work.painting, settings, size, look)
        painted += 1
    for error in skipped.values():
        print(f"skipped: {error}")
    if len(skipped) == len(jobs):
        raise ValueError(f"folder must hold pictures; {folder} holds none")
    before = len(jobs) - len(skipped) - painted
    print(
        f"{painted} pictures painted, {before} painted before, {len(skipped)} skipped: "
        f"look into {given['out']}"
    )


def _redraw(path: str, picture: str | None, files: Files, look: Look) -> None:
    """Draw a painting anew from its strokes file."""
    kept = strokes_file.read(path)
    if picture is not None:
        strokes_file.check_picture(kept, _read(Path(picture)))
    size = _size((kept.height, kept.width), look.scale)
    _check_places(files, None if picture is None else Path(picture))
    images.save_png(files.out, _drawn(kept.painting, kept.settings, size, look))
    _write_others(files, kept.painting, kept.settings, size, look)
    print(f"{kept.painting.seeds.size} strokes: look at {files.out}")


def _paint(
    picture: Pixels,
    settings: Settings,
    care: Care,
    start: Painting | None,
    name: str = "",
) -> Work:
    """Paint until it is finished or a signal comes, with a bar."""
    steps = painting.progress(picture, settings, start=start, weights=care.weights)
    begun = 0 if start is None else start.stages.size
    with command.stop_signals() as stops:
        work = None
        for step in _watched(steps, begun, settings.strokes, name):
            stopped = stops[0] if stops else None
            work = Work(step.painting, step.psnr, stopped)
            if stopped is not None:
                break
    assert work, "painting.progress yields at least the finished painting"
    return work


def _watched(
    steps: Iterator[Progress], begun: int, strokes: int, name: str
) -> Iterator[Progress]:
    """Pass progress on, and show it."""
    phase = "painting"
    bar = tqdm(total=strokes, initial=begun, dynamic_ncols=True, unit=UNITS[phase])
    with bar:
        bar.set_description(f"{name} {phase}".strip())
        for step in steps:
            if step.phase != phase:
                phase = step.phase
                bar.reset(step.total)
                bar.unit = UNITS[phase]
                bar.set_description(f"{name} {phase}".strip())
            bar.set_postfix_str(f"{step.psnr:.2f} dB", refresh=False)
            bar.update(step.done - bar.n)
            yield step


def _drawn(
    strokes: Painting, settings: Settings, size: tuple[int, int], look: Look
) -> Pixels:
    """Return a painting as it looks at a size."""
    return _shown(painting.canvas(strokes, settings, *size), look)


def _shown(canvas: Float32[np.ndarray, "4 h w"], look: Look) -> Pixels:
    colours = canvas[:3]
    if look.light is not None:
        lit = relief.lit(canvas, light=look.light, pixels=canvas.shape[1])
        colours = np.asarray(lit)
    return images.to_pixels(np.moveaxis(2 * colours - 1, 0, -1))


def _write_strokes(
    files: Files, strokes: Painting, settings: Settings, picture: Pixels, care: Care
) -> None:
    if files.strokes_out:
        strokes_file.write(
            files.strokes_out, strokes, settings, picture, weights=care.name
        )


def _write_others(
    files: Files,
    strokes: Painting,
    settings: Settings,
    size: tuple[int, int],
    look: Look,
) -> None:
    """Write what is drawn from the strokes beside the painting."""
    height, width = size
    if files.svg:
        svg.write(
            files.svg,
            strokes.strokes,
            brush=settings.brush,
            ground=settings.ground,
            height=height,
            width=width,
            title=files.out.stem,
        )
    if files.film:
        smaller = min(1, FILM_SIDE / max(size))
        tall, wide = (max(1, round(side * smaller)) for side in size)
        frames = painting.frames(strokes, settings, tall, wide, FRAMES)
        shown = (_shown(frame, look) for frame in frames)
        bar = tqdm(shown, desc="film", unit="frame", total=FRAMES, dynamic_ncols=True)
        films.write(files.film, iter(bar), fps=FPS, hold=HOLD)


def _settings(config: Config) -> Settings:
    known = {field.name for field in dataclasses.fields(Settings)}
    if differing := known ^ set(config.keys()):
        raise ValueError(
            f"config must have the painter's settings; missing or unknown: "
            f"{', '.join(sorted(differing))}"
        )
    return Settings(**config)


def _look(scale: float, in_relief: bool, azimuth: float) -> Look:
    if not (scale > 0 and math.isfinite(scale)):
        raise ValueError(f"scale must be above 0; got {scale}")
    light = Light(azimuth=azimuth)
    relief.check(light)
    return Look(scale, light if in_relief else None)


def _size(sides: tuple[int, ...], scale: float) -> tuple[int, int]:
    """Return height and width of a painting, in pixels, from those of its picture."""
    height, width, *_ = sides
    tall, wide = round(height * scale), round(width * scale)
    if not (min(tall, wide) >= 1 and tall * wide <= images.MAX_PIXELS):
        raise ValueError(
            f"scale must lead to at least 1 x 1 and at most {images.MAX_PIXELS:,} "
            f"pixels; {width} x {height} times {scale:g} does not"
        )
    return tall, wide


def _read(path: Path) -> Pixels:
    try:
        picture = images.read_pixels(path)
    except images.PictureError as error:
        raise ValueError(f"{path} is {error}") from None
    height, width, _ = picture.shape
    if min(height, width) < SMALLEST:
        raise ValueError(
            f"picture must have sides of at least {SMALLEST} pixels; {path} is "
            f"{width} x {height}"
        )
    return picture


def _care(weights: str | None, picture: Pixels) -> Care:
    if weights is None:
        return Care(None, None)
    if weights == "saliency":
        return Care(saliency.saliency(picture), "saliency")
    try:
        mask = saliency.read_weights(weights, *picture.shape[:2])
    except images.PictureError as error:
        raise ValueError(f"weights {weights} are {error}") from None
    return Care(mask, strokes_file.sha256(mask))


def _start(
    path: str | Path, picture: Pixels, settings: Settings, care: Care
) -> Painting:
    """Return the painting that is gone on with, if it would be the same painting."""
    kept = strokes_file.read(path)
    strokes_file.check_picture(kept, picture)
    there, here = dataclasses.asdict(kept.settings), dataclasses.asdict(settings)
    there["weights"], here["weights"] = kept.weights, care.name
    differing = [
        f"{name} ({there[name]} there, {here[name]} here)"
        for name in there
        if there[name] != here[name] and name not in MAY_CHANGE
    ]
    if differing:
        raise ValueError(
            f"strokes file {path} was painted with other settings: "
            f"{', '.join(differing)}"
        )
    if (count := kept.painting.stages.size) > settings.strokes:
        raise ValueError(
            f"strokes must be at least the {count} in {path}; got {settings.strokes}"
        )
    return kept.painting


def _listed(folder: Path) -> list[Path]:
    """Return the files of a folder that may be pictures."""
    files = (path for path in folder.iterdir() if path.is_file())
    paths = sorted(path for path in files if not path.name.startswith("."))
    if not paths:
        raise ValueError(f"folder must hold pictures; {folder} holds no files")
    return paths


def _names(paths: list[Path]) -> dict[Path, str]:
    """Name the painting of each picture, without its suffix where that is enough."""
    taken = Counter(name.lower() for path in paths for name in (path.stem, path.name))
    return {
        path: path.stem if taken[path.stem.lower()] == 1 else path.name
        for path in paths
    }


def _files(given: dict[str, str | None], name: str) -> Files:
    """Return where the results of a picture go.

    Args:
        given: values of the flags: files, or folders that end in a slash.
        name: of the picture, for folders.
    """
    files = {
        flag: _file(flag, value, name)
        for flag, value in given.items()
        if value is not None
    }
    return Files(**files)


def _file(flag: str, value: str, name: str) -> Path:
    first, *_ = suffixes = SUFFIXES[flag]
    path = Path(value) / f"{name}{first}" if value.endswith("/") else Path(value)
    if path.suffix.lower() not in suffixes:
        endings = ", ".join((*suffixes, "/"))
        raise ValueError(f"{flag} must end in one of {endings}; got {value!r}")
    return path


def _check_places(files: Files, picture: Path | None) -> None:
    """See that all results can be written, before minutes of work."""
    checks: dict[str, Callable[[Path], None]] = {
        "out": partial(atomic.check_replaceable, is_ours=images.is_our_png),
        "strokes_out": strokes_file.check,
        "svg": svg.check,
        "film": films.check,
    }
    for flag, path in files.wanted().items():
        if picture is not None and path.resolve() == picture.resolve():
            raise ValueError(f"{flag} must not be the picture itself; got {path}")
        checks[flag](path)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(path.parent, os.W_OK):
            raise ValueError(f"{flag} must be in a folder that can be written; {path}")


def _refuse(given: dict[str, str | None], where: str) -> None:
    for flag, value in given.items():
        if value is not None:
            raise ValueError(f"{flag} must not be given {where}")


if __name__ == "__main__":
    command.run(main)
