"""Jobs of the painting command: paint a picture or a folder, or redraw a painting."""

import dataclasses
import itertools
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, UInt8
from tqdm import tqdm

from jaxart import command, images
from jaxart.painter import outputs, painting, saliency, strokes_file
from jaxart.painter.outputs import Appearance, Outputs
from jaxart.painter.painting import Painting
from jaxart.painter.problem import make_problem
from jaxart.painter.settings import Settings
from jaxart.painter.strokes_file import MAX_SIDE, MIN_SIDE, StrokesFile


CHANGEABLE_ON_RESUME = ("strokes",)  # settings, when a painting is resumed
OVER_WHITE = (
    "picture is transparent: painted over white; --transparent leaves it bare there"
)
UNITS = {"painting": "stroke", "refining": "step"}

Pixels = UInt8[np.ndarray, "h w 3"]


class Job(NamedTuple):
    """A picture to paint.

    Args:
        picture: its pixels.
        settings: how it is painted.
        weights: how much each pixel counts, or None.
        weights_name: identifies the weights in a strokes file.
        alpha: share of each pixel that is to be painted; None for all.
        over_white: whether the picture is transparent and yet all of it is painted.
    """

    picture: Pixels
    settings: Settings
    weights: Float32[np.ndarray, "h w"] | None
    weights_name: str | None
    alpha: Float32[np.ndarray, "h w"] | None
    over_white: bool


class Result(NamedTuple):
    """The painting of a job, finished or not.

    Args:
        content: of its strokes file.
        psnr: of the painting against the picture, in decibels.
        stop_signal: that stopped it, or None if it is finished.
    """

    content: StrokesFile
    psnr: float
    stop_signal: int | None


def paint_picture(
    path: Path,
    paths: Outputs,
    settings: Settings,
    appearance: Appearance,
    *,
    weights: str | None,
    transparent: bool,
    resume: str | None,
) -> None:
    """Paint a picture, and write all outputs that are wanted.

    Args:
        path: of the picture.
        paths: of the outputs.
        settings: how it is painted.
        appearance: how it is drawn.
        weights: "saliency", a file with a mask, or None.
        transparent: leave the canvas bare where the picture is.
        resume: strokes file of the unfinished painting, or None.

    Raises:
        ValueError: an input cannot be used, or an output not be written.
        Stopped: a signal came; the painting so far is written.
    """
    job = _read_job(path, settings, appearance, weights, transparent)
    if job.over_white:
        print(OVER_WHITE, file=sys.stderr)
    start = None
    if resume is not None:
        job, start = _go_on(resume, job)
    paths.check(path)
    content, psnr, stop_signal = paint_job(job, paths.strokes_out, start)
    outputs.write_image(paths, content, appearance)
    count = content.painting.stages.size
    if stop_signal is not None:
        message = f"{count} of {settings.strokes} strokes are in {paths.out}"
        if paths.strokes_out:
            message += f"; --resume={paths.strokes_out} goes on from them"
        raise command.Stopped(stop_signal, message)
    outputs.write_others(paths, content, appearance)
    print(f"{count} strokes, {psnr:.2f} dB: look at {paths.out}")


def paint_folder(
    folder: Path,
    flags: dict[str, str | None],
    settings: Settings,
    appearance: Appearance,
    *,
    weights: str | None,
    transparent: bool,
) -> None:
    """Paint all pictures of a folder that are not painted yet.

    Args:
        folder: with the pictures.
        flags: of the outputs, all of them folders.
        settings: how they are painted.
        appearance: how they are drawn.
        weights: "saliency" or None.
        transparent: leave the canvas bare where the pictures are.

    Raises:
        ValueError: as `paint_picture`, or there are no pictures.
        Stopped: a signal came; the strokes painted so far are written.
    """
    if weights not in (None, "saliency"):
        raise ValueError(f"weights must be saliency for a folder; got {weights!r}")
    outputs_by_picture = _plan_outputs(folder, flags)
    finished, skipped, over_white = 0, [], False
    for path, paths in outputs_by_picture.items():
        if all(file.exists() for file in paths.wanted().values()):
            continue
        resume = paths.strokes_out
        try:
            job = _read_job(path, settings, appearance, weights, transparent)
            if resume and resume.exists():
                _check_picture(resume, path, job.picture)
        except ValueError as error:
            skipped.append(error)
            continue
        if job.over_white and not over_white:
            print(OVER_WHITE, file=sys.stderr)
            over_white = True
        start = None
        if resume and resume.exists():
            job, start = _go_on(resume, job)
        content, _, stop_signal = paint_job(
            job, paths.strokes_out, start, f"{path.name} "
        )
        if stop_signal is not None:
            # No image: a picture that has one is taken for finished.
            raise command.Stopped(
                stop_signal,
                f"{finished} pictures are painted; the same command paints the rest",
            )
        outputs.write_image(paths, content, appearance)
        outputs.write_others(paths, content, appearance)
        finished += 1
    for error in skipped:
        print(f"skipped: {error}")
    if len(skipped) == len(outputs_by_picture):
        raise ValueError(
            f"folder must hold pictures that can be painted; {folder} holds none"
        )
    already_painted = len(outputs_by_picture) - len(skipped) - finished
    print(
        f"{finished} pictures painted, {already_painted} painted before, "
        f"{len(skipped)} skipped: look into {flags['out']}"
    )


def paint_job(
    job: Job,
    strokes_out: Path | None = None,
    start: Painting | None = None,
    prefix: str = "",
) -> Result:
    """Paint until a job is finished or a signal comes; write the strokes file.

    Args:
        job: the picture, and how it is painted.
        strokes_out: path of the strokes file, if it is wanted.
        start: what to go on from.
        prefix: of the description of the progress bar.
    """
    picture, settings = job.picture, job.settings
    problem = make_problem(picture, settings, job.weights, job.alpha)
    start_count, total = 0 if start is None else start.stages.size, settings.strokes
    phase, progress, stop_signal = "painting", None, None
    bar = tqdm(total=total, initial=start_count, dynamic_ncols=True, unit=UNITS[phase])
    with command.stop_signals() as signals, bar:
        bar.set_description(prefix + phase)
        for progress in painting.progress(problem, start):
            if progress.phase != phase:
                phase = progress.phase
                bar.reset(progress.total)
                bar.unit = UNITS[phase]
                bar.set_description(prefix + phase)
            bar.set_postfix_str(f"{progress.psnr:.2f} dB", refresh=False)
            bar.update(progress.step - bar.n)
            if signals:
                stop_signal = signals[0]
                break
    assert progress, "painting.progress yields at least the finished painting"
    sha256, (height, width, _) = strokes_file.sha256(picture), picture.shape
    content = StrokesFile(
        progress.painting,
        settings,
        sha256,
        height,
        width,
        job.weights_name,
        job.alpha is not None,
    )
    if strokes_out:
        strokes_file.write(strokes_out, content)
    return Result(content, progress.psnr, stop_signal)


def redraw(
    strokes: Path,
    paths: Outputs,
    appearance: Appearance,
    picture: Path | None,
    *,
    transparent: bool,
) -> None:
    """Draw a painting from its strokes file.

    Args:
        strokes: the strokes file.
        paths: of the outputs.
        appearance: how it is drawn.
        picture: that was painted, to be compared with the file; or None.
        transparent: draw the strokes on nothing, whatever was painted.

    Raises:
        ValueError: an input cannot be used, or an output not be written.
    """
    content = strokes_file.read(strokes)
    if picture is not None:
        pixels, alpha = _read(picture)
        if alpha is not None:
            ground = content.settings.ground if content.transparent else (1.0, 1.0, 1.0)
            pixels = _over(pixels, alpha, ground)
        strokes_file.check_picture(content, pixels)
    content = content._replace(transparent=content.transparent or transparent)
    appearance.size(content.height, content.width)  # is checked
    paths.check(picture)
    outputs.write_image(paths, content, appearance)
    outputs.write_others(paths, content, appearance)
    print(f"{content.painting.seeds.size} strokes: look at {paths.out}")


def _read_job(
    path: Path,
    settings: Settings,
    appearance: Appearance,
    weights: str | None,
    transparent: bool,
) -> Job:
    """Read a picture and its weights, and check that the painting has a size."""
    picture, alpha = _read(path)
    height, width, _ = picture.shape
    appearance.size(height, width)
    over_white = alpha is not None and not transparent
    ground = (1.0, 1.0, 1.0)
    if alpha is not None and transparent:
        if not alpha.any():
            raise ValueError(f"{path} is wholly transparent: there is nothing to paint")
        # A bare canvas is then as wrong as can be wherever there is something.
        ground = _farthest_colour(picture[alpha >= alpha.max() / 2])
        settings = dataclasses.replace(settings, ground=ground)
    if alpha is not None:
        picture = _over(picture, alpha, ground)
        alpha = None if over_white else alpha / np.float32(255)
    values, name = _read_weights(weights, picture)
    return Job(picture, settings, values, name, alpha, over_white)


def _read(path: Path) -> tuple[Pixels, UInt8[np.ndarray, "h w"] | None]:
    """Read a picture's colours and alpha, and check its size."""
    try:
        picture, alpha = images.read_straight(path)
    except images.PictureError as error:
        raise ValueError(f"{path} is {error}") from None
    height, width, _ = picture.shape
    if not MIN_SIDE <= min(height, width) <= max(height, width) <= MAX_SIDE:
        raise ValueError(
            f"picture must have sides of at least {MIN_SIDE} pixels and at most "
            f"{MAX_SIDE:,}; {path} is {width} x {height}"
        )
    return picture, alpha


def _read_weights(
    weights: str | None, picture: Pixels
) -> tuple[Float32[np.ndarray, "h w"] | None, str | None]:
    """Return the weights of a picture's pixels, and what identifies them in a file."""
    if weights is None:
        return None, None
    if weights == "saliency":
        return saliency.saliency(picture), weights
    try:
        mask = saliency.read_weights(weights, *picture.shape[:2])
    except images.PictureError as error:
        raise ValueError(f"weights {weights} are {error}") from None
    return mask, strokes_file.sha256(mask)


def _over(
    pixels: Pixels, alpha: UInt8[np.ndarray, "h w"], ground: tuple[float, ...]
) -> Pixels:
    return images.over(pixels, alpha, tuple(round(255 * part) for part in ground))


def _farthest_colour(pixels: UInt8[np.ndarray, "n 3"]) -> tuple[float, ...]:
    """Return a colour, sRGB in [0, 1], that is far from those of all pixels.

    >>> _farthest_colour(np.array([[0, 0, 0], [255, 0, 0]], np.uint8))
    (0.5, 1.0, 1.0)
    """
    # Without those of few pixels.
    sample: Float[np.ndarray, "n 3"] = pixels[:: -(-len(pixels) // 4_096)] / 255
    colours = list(itertools.product((0.0, 0.5, 1.0), repeat=3))
    return max(colours, key=lambda colour: ((sample - colour) ** 2).sum(1).min())


def _check_picture(strokes: Path, path: Path, picture: Pixels) -> None:
    """Check that a strokes file belongs to a picture, and name both if it does not."""
    try:
        strokes_file.check_picture(strokes_file.read(strokes), picture)
    except ValueError as error:
        raise ValueError(f"{path}, because of {strokes}: {error}") from None


def _go_on(path: str | Path, job: Job) -> tuple[Job, Painting]:
    """Return a job that goes on from a strokes file, and the painting in it.

    What a generator made has a ground of its own, and any picture of its shape may be
    painted over it.
    """
    content = strokes_file.read(path)
    count, first_count = content.painting.stages.size, content.painting.first_count
    if count > job.settings.strokes:
        raise ValueError(
            f"strokes must be at least the {count} in {path}; "
            f"got {job.settings.strokes}"
        )
    if first_count and job.alpha is None:
        settings = dataclasses.replace(job.settings, ground=content.settings.ground)
        job = job._replace(settings=settings)
    if content.sha256 == strokes_file.NO_PICTURE:
        _check_shape(path, content, job.picture)
    else:
        _check_same(path, content, job)
    return job, content.painting


def _check_shape(path: str | Path, content: StrokesFile, picture: Pixels) -> None:
    """Check that a picture has the shape of what a generator made."""
    height, width, _ = picture.shape
    if height * content.width != width * content.height:
        raise ValueError(
            f"picture must have the shape of the painting in {path}, "
            f"{content.width} x {content.height}; it is {width} x {height}"
        )


def _check_same(path: str | Path, content: StrokesFile, job: Job) -> None:
    """Check that a strokes file has a job's picture and settings."""
    old = dataclasses.asdict(content.settings) | {
        "weights": content.weights,
        "transparent": content.transparent,
    }
    new = dataclasses.asdict(job.settings) | {
        "weights": job.weights_name,
        "transparent": job.alpha is not None,
    }
    if differing := command.settings_diff(old, new, CHANGEABLE_ON_RESUME):
        raise ValueError(
            f"strokes file {path} was painted with other settings: "
            f"{', '.join(differing)}"
        )
    strokes_file.check_picture(content, job.picture)


def _plan_outputs(folder: Path, flags: dict[str, str | None]) -> dict[Path, Outputs]:
    """Return the outputs of each file in a folder that may be a picture."""
    for flag, value in flags.items():
        if value is not None and not value.endswith("/"):
            raise ValueError(f"{flag} must be FOLDER/ for a folder; got {value!r}")
    files = (path for path in folder.iterdir() if path.is_file())
    files = sorted(path for path in files if not path.name.startswith("."))
    if not files:
        raise ValueError(f"folder must hold pictures; {folder} holds no files")
    # Without its suffix where a name is unique.
    names = Counter(name.lower() for path in files for name in (path.stem, path.name))
    outputs_by_picture = {}
    for path in files:
        name = path.stem if names[path.stem.lower()] == 1 else path.name
        paths = outputs.outputs_from_flags(flags, name)
        if paths.out.resolve().parent == folder.resolve():
            raise ValueError(
                f"out must be another folder than {folder}; it is the same"
            )
        paths.check(path)
        outputs_by_picture[path] = paths
    return outputs_by_picture
