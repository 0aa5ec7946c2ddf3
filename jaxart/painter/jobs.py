"""Jobs of the painting command: paint a picture or a folder, or redraw a painting."""

import dataclasses
import math
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8
from tqdm import tqdm

from jaxart import command, images
from jaxart.painter import outputs, painting, relief, saliency, strokes_file
from jaxart.painter.outputs import Artwork, Outputs
from jaxart.painter.painting import Painting
from jaxart.painter.relief import Light
from jaxart.painter.settings import Settings


MIN_SIDE = 16  # of a picture that is painted, in pixels
MAY_CHANGE = {"strokes"}  # settings, when a painting is resumed
UNITS = {"painting": "stroke", "refining": "step"}


class Appearance(NamedTuple):
    """How a painting is drawn.

    Args:
        scale: its size, in sizes of the picture.
        light: the lamp that shows its relief; None for flat colours.
    """

    scale: float
    light: Light | None

    @classmethod
    def from_flags(cls, scale: float, in_relief: bool, azimuth: float) -> "Appearance":
        """Return the appearance that flags ask for.

        Raises:
            ValueError: a number is out of range.
        """
        if not (scale > 0 and math.isfinite(scale)):
            raise ValueError(f"scale must be above 0; got {scale}")
        light = Light(azimuth=azimuth)
        relief.check(light)
        return cls(scale, light if in_relief else None)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of the painting of a picture, in pixels.

        Raises:
            ValueError: the scale leads to no pixels or too many.
        """
        h, w = round(height * self.scale), round(width * self.scale)
        if not (min(h, w) >= 1 and h * w <= images.MAX_PIXELS):
            raise ValueError(
                f"scale must lead to at least 1 x 1 and at most {images.MAX_PIXELS:,} "
                f"pixels; {width} x {height} times {self.scale:g} does not"
            )
        return h, w


class Job(NamedTuple):
    """A picture to paint.

    Args:
        picture: its pixels.
        settings: how it is painted.
        weights: how much each pixel counts, or None.
        weights_name: identifies the weights in a strokes file.
        size: height and width of the painting, in pixels.
        light: the lamp that shows its relief; None for flat colours.
    """

    picture: UInt8[np.ndarray, "h w 3"]
    settings: Settings
    weights: Float32[np.ndarray, "h w"] | None
    weights_name: str | None
    size: tuple[int, int]
    light: Light | None

    def artwork(self, result: Painting) -> Artwork:
        """Return how the painting is drawn."""
        return Artwork(result, self.settings, *self.size, self.light)


class Result(NamedTuple):
    """The painting of a job, finished or not.

    Args:
        painting: the strokes.
        psnr: of the painting against the picture, in decibels.
        stop_signal: that stopped it, or None if it is finished.
    """

    painting: Painting
    psnr: float
    stop_signal: int | None


def paint_picture(
    path: Path,
    paths: Outputs,
    settings: Settings,
    appearance: Appearance,
    *,
    weights: str | None,
    resume: str | None,
) -> None:
    """Paint a picture, and write all outputs that are wanted.

    Args:
        path: of the picture.
        paths: of the outputs.
        settings: how it is painted.
        appearance: how it is drawn.
        weights: "saliency", a file with a mask, or None.
        resume: strokes file of the unfinished painting, or None.

    Raises:
        ValueError: an input cannot be used, or an output not be written.
        Stopped: a signal came; what was painted is written.
    """
    job = _open(path, settings, appearance, weights)
    start = None if resume is None else _start(resume, job)
    paths.check(path)
    result = _paint(job, start)
    _write_strokes(paths, job, result)
    artwork = job.artwork(result.painting)
    outputs.write_image(paths, artwork)
    count = result.painting.stages.size
    if result.stop_signal is not None:
        message = f"{count} of {settings.strokes} strokes are in {paths.out}"
        if paths.strokes_out:
            message += f"; --resume={paths.strokes_out} goes on from them"
        raise command.Stopped(result.stop_signal, message)
    outputs.write_others(paths, artwork)
    print(f"{count} strokes, {result.psnr:.2f} dB: look at {paths.out}")


def paint_folder(
    folder: Path,
    flags: dict[str, str | None],
    settings: Settings,
    appearance: Appearance,
    *,
    weights: str | None,
) -> None:
    """Paint all pictures of a folder that are not painted yet.

    Args:
        folder: with the pictures.
        flags: of the outputs, all of them folders.
        settings: how they are painted.
        appearance: how they are drawn.
        weights: "saliency" or None.

    Raises:
        ValueError: as `paint_picture`, or there are no pictures.
        Stopped: a signal came; the strokes painted so far are written.
    """
    paths = _outputs_of_folder(folder, flags, weights)
    finished, skipped = 0, []
    for path, files in paths.items():
        if all(file.exists() for file in files.wanted().values()):
            continue
        try:
            job = _open(path, settings, appearance, weights)
        except ValueError as error:
            skipped.append(error)
            continue
        resume = files.strokes_out
        start = _start(resume, job) if resume and resume.exists() else None
        result = _paint(job, start, f"{path.name} ")
        _write_strokes(files, job, result)
        if result.stop_signal is not None:
            # No image: a picture that has one is taken for finished.
            raise command.Stopped(
                result.stop_signal,
                f"{finished} pictures are painted; the same command paints the rest",
            )
        artwork = job.artwork(result.painting)
        outputs.write_image(files, artwork)
        outputs.write_others(files, artwork)
        finished += 1
    for error in skipped:
        print(f"skipped: {error}")
    if len(skipped) == len(paths):
        raise ValueError(f"folder must hold pictures; {folder} holds none")
    before = len(paths) - len(skipped) - finished
    print(
        f"{finished} pictures painted, {before} painted before, {len(skipped)} "
        f"skipped: look into {flags['out']}"
    )


def redraw(
    strokes: Path, paths: Outputs, appearance: Appearance, *, picture: Path | None
) -> None:
    """Draw a painting from its strokes file.

    Args:
        strokes: the strokes file.
        paths: of the outputs.
        appearance: how it is drawn.
        picture: that was painted, to be compared with the file; or None.

    Raises:
        ValueError: an input cannot be used, or an output not be written.
    """
    content = strokes_file.read(strokes)
    if picture is not None:
        strokes_file.check_picture(content, _read(picture))
    size = appearance.size(content.height, content.width)
    paths.check(picture)
    artwork = Artwork(content.painting, content.settings, *size, appearance.light)
    outputs.write_image(paths, artwork)
    outputs.write_others(paths, artwork)
    print(f"{content.painting.seeds.size} strokes: look at {paths.out}")


def _open(
    path: Path, settings: Settings, appearance: Appearance, weights: str | None
) -> Job:
    """Read a picture and its weights."""
    picture = _read(path)
    height, width, _ = picture.shape
    size = appearance.size(height, width)
    values, name = None, None
    if weights == "saliency":
        values, name = saliency.saliency(picture), weights
    elif weights is not None:
        try:
            values = saliency.read_weights(weights, height, width)
        except images.PictureError as error:
            raise ValueError(f"weights {weights} are {error}") from None
        name = strokes_file.sha256(values)
    return Job(picture, settings, values, name, size, appearance.light)


def _read(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    try:
        picture = images.read_pixels(path)
    except images.PictureError as error:
        raise ValueError(f"{path} is {error}") from None
    height, width, _ = picture.shape
    if min(height, width) < MIN_SIDE:
        raise ValueError(
            f"picture must have sides of at least {MIN_SIDE} pixels; {path} is "
            f"{width} x {height}"
        )
    return picture


def _start(path: str | Path, job: Job) -> Painting:
    """Return the painting in a strokes file, if it can be resumed by a job."""
    content = strokes_file.read(path)
    strokes_file.check_picture(content, job.picture)
    old, new = dataclasses.asdict(content.settings), dataclasses.asdict(job.settings)
    old["weights"], new["weights"] = content.weights, job.weights_name
    differing = [
        f"{name} ({old[name]} there, {new[name]} here)"
        for name in old
        if old[name] != new[name] and name not in MAY_CHANGE
    ]
    if differing:
        raise ValueError(
            f"strokes file {path} was painted with other settings: "
            f"{', '.join(differing)}"
        )
    if (count := content.painting.stages.size) > job.settings.strokes:
        raise ValueError(
            f"strokes must be at least the {count} in {path}; "
            f"got {job.settings.strokes}"
        )
    return content.painting


def _paint(job: Job, start: Painting | None, prefix: str = "") -> Result:
    """Paint until the job is finished or a signal comes, with a progress bar."""
    steps = painting.progress(
        job.picture, job.settings, start=start, weights=job.weights
    )
    resumed, total = 0 if start is None else start.stages.size, job.settings.strokes
    phase, result = "painting", None
    bar = tqdm(total=total, initial=resumed, dynamic_ncols=True, unit=UNITS[phase])
    with command.stop_signals() as signals, bar:
        bar.set_description(prefix + phase)
        for progress in steps:
            if progress.phase != phase:
                phase = progress.phase
                bar.reset(progress.total)
                bar.unit = UNITS[phase]
                bar.set_description(prefix + phase)
            bar.set_postfix_str(f"{progress.psnr:.2f} dB", refresh=False)
            bar.update(progress.step - bar.n)
            stop_signal = signals[0] if signals else None
            result = Result(progress.painting, progress.psnr, stop_signal)
            if stop_signal is not None:
                break
    assert result, "painting.progress yields at least the finished painting"
    return result


def _write_strokes(paths: Outputs, job: Job, result: Result) -> None:
    if paths.strokes_out:
        strokes_file.write(
            paths.strokes_out,
            result.painting,
            job.settings,
            job.picture,
            weights=job.weights_name,
        )


def _outputs_of_folder(
    folder: Path, flags: dict[str, str | None], weights: str | None
) -> dict[Path, Outputs]:
    """Return the outputs of each file in a folder that may be a picture."""
    if weights not in (None, "saliency"):
        raise ValueError(f"weights must be saliency for a folder; got {weights!r}")
    for flag, value in flags.items():
        if value is not None and not value.endswith("/"):
            raise ValueError(f"{flag} must be FOLDER/ for a folder; got {value!r}")
    files = (path for path in folder.iterdir() if path.is_file())
    files = sorted(path for path in files if not path.name.startswith("."))
    if not files:
        raise ValueError(f"folder must hold pictures; {folder} holds no files")
    paths = {
        path: Outputs.from_flags(flags, name) for path, name in _names(files).items()
    }
    for path, wanted in paths.items():
        if wanted.out.resolve().parent == folder.resolve():
            raise ValueError(
                f"out must be another folder than {folder}; it is the same"
            )
        wanted.check(path)
    return paths


def _names(paths: list[Path]) -> dict[Path, str]:
    """Name the painting of each picture, without its suffix where that is unique."""
    names = Counter(name.lower() for path in paths for name in (path.stem, path.name))
    return {
        path: path.stem if names[path.stem.lower()] == 1 else path.name
        for path in paths
    }
