"""Draw pictures from a checkpoint: `python -m jaxart.sample --workdir=DIR --out=F.png`.

What a generator of strokes makes is drawn by the painter's own code: at any size, with
any brush, lit in relief, as a strokes file, as shapes, or as a film. What a generator
of pixels makes is painted first, if that is asked for, and then drawn likewise.

Source: Beyers and Loane, section 4.
"""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from jaxtyping import Array, Float, UInt8

from jaxart import arguments, batches, command, figures, images
from jaxart.drawing.relief import AZIMUTH
from jaxart.gan import latent_figures, latents, trained
from jaxart.gan.conditions import Asked
from jaxart.gan.settings import Settings as RunSettings
from jaxart.gan.strokes import hair_seeds
from jaxart.gan.trained import TrainedNetwork
from jaxart.painter import outputs, samples, strokes_file
from jaxart.painter.outputs import Appearance, Outputs
from jaxart.painter.painting import Painting
from jaxart.painter.settings import Settings
from jaxart.painter.strokes_file import StrokesFile
from jaxart.validation import Count, FilePath, Seed, validate


COUNT, ROW = 128, 10  # pictures, if their number is not given


def main(
    workdir: arguments.Workdir,
    out: Annotated[FilePath, "FILE.png for a grid; FOLDER/ for single pictures"],
    count: Annotated[
        int | None, f"how many pictures; {COUNT}, or {ROW} of each row, if not given"
    ] = None,
    seed: Annotated[int, "of the random numbers that the pictures are made from"] = 0,
    step: arguments.Step = None,
    weights: arguments.Weights = None,
    style: arguments.Style = None,
    genre: arguments.Genre = None,
    artist: arguments.Artist = None,
    digit: arguments.Digit = None,
    title: arguments.Title = None,
    one_row_each: Annotated[
        arguments.Kind | None,
        "a row of 10 pictures, or count of them, for each class of this kind",
    ] = None,
    numbered: Annotated[bool, "print the number of each picture beneath it"] = False,
    painted: Annotated[
        FilePath | None,
        command.BARE,
        "paint the samples of a run of pixels, =BRUSH with that brush",
    ] = None,
    strokes: Annotated[
        int | None, f"of each painted sample; {samples.STROKES}, if not given"
    ] = None,
    pixels: Annotated[int | None, "side of each painting of strokes"] = None,
    brush: Annotated[
        FilePath | None, "that strokes are drawn with; the training's, if not given"
    ] = None,
    relief: Annotated[bool, "show the paint in relief"] = False,
    strokes_out: Annotated[
        FilePath | None, "FOLDER/ for the strokes; FILE.json for those of one"
    ] = None,
    svg: Annotated[
        FilePath | None, "FOLDER/ for the strokes as shapes; FILE.svg for one"
    ] = None,
    film: Annotated[
        FilePath | None, "FOLDER/ for films of paintings as they grow; one's FILE.webp"
    ] = None,
) -> None:
    """Restore a checkpoint and draw samples from it."""
    if count is None:
        count = COUNT if one_row_each is None else ROW
    validate("count", count, Count)
    validate("seed", seed, Seed)
    if pixels is not None:
        validate("pixels", pixels, arguments.Side)
    into_folder = arguments.check_out("out", out, (".png", "/")) == "/"
    if numbered and into_folder:
        raise ValueError(f"numbered must go with FILE.png as out; got {out!r}")
    if one_row_each and (numbered or into_folder):
        raise ValueError(
            "one_row_each must go with FILE.png as out, and without numbered"
        )
    options = StrokeOptions(
        painter=_painter(painted, brush, strokes, seed),
        pixels=pixels,
        brush=brush,
        relief=relief,
        files={"strokes_out": strokes_out, "svg": svg, "film": film},
    )
    options.check_files(count, several=count > 1 or one_row_each is not None)
    asked = arguments.asked(
        style=style, genre=genre, artist=artist, digit=digit, title=title
    )
    generator = trained.restore_generator(workdir, step, weights)
    classes, points = _points(generator.settings, seed, count, asked, one_row_each)
    if options.wanted:
        _check_run(generator, workdir, painted)
    if not into_folder:
        arguments.check_grid(len(points), pixels or generator.settings.size)
    if options.wanted:
        pictures = _drawn(generator, points, options, out, seed)
    else:
        pictures = _samples(generator, points)
    about = command.provenance(seed=seed, step=generator.step)
    if into_folder:
        for number, picture in enumerate(pictures):
            images.save_png(Path(out) / f"{number:06d}.png", picture, about=about)
    else:
        images.save_png(out, _grid([*pictures], classes, numbered), about=about)
    print(f"{len(points)} pictures of step {generator.step} are in {out}")


class StrokeOptions(NamedTuple):
    """How samples are drawn in strokes; without any of it, they are pixels.

    Args:
        painter: how samples of pixels are painted; None for a run of strokes.
        pixels: side of each painting; None for that of the run's pictures.
        brush: its name, or the path of a picture; None for the training's.
        relief: whether the paint is shown in relief.
        files: paths of strokes, shapes and films, by their flags; None: not wanted.
    """

    painter: Settings | None
    pixels: int | None
    brush: str | None
    relief: bool
    files: dict[str, str | None]

    @property
    def wanted(self) -> bool:
        """Return whether there is anything that only strokes have."""
        drawn_by = (self.painter, self.pixels, self.brush, *self.files.values())
        return self.relief or any(flag is not None for flag in drawn_by)

    def check_files(self, count: int, *, several: bool) -> None:
        """Check that several paintings go to folders.

        Args:
            count: of the paintings, or of those of a row.
            several: whether there is more than one painting.

        Raises:
            ValueError: the files of several would have one path.
        """
        for flag, value in self.files.items():
            if value is not None and several and not value.endswith("/"):
                raise ValueError(
                    f"{flag} must be FOLDER/ for {count} pictures; got {value}"
                )


def _points(
    settings: RunSettings, seed: int, count: int, asked: Asked, kind: str | None
) -> tuple[list[str], Float[Array, "n z"]]:
    """Return the names of the rows, if there is one for each class, and all points."""
    if kind is None:
        return [], latents.sample_points(settings, seed, range(count), asked)
    classes, rows = latents.class_points(settings, seed, range(count), asked, kind)
    return classes, rows.reshape(-1, rows.shape[-1])


def _grid(
    pictures: list[UInt8[np.ndarray, "h w 3"]], classes: list[str], numbered: bool
) -> UInt8[np.ndarray, "height width 3"]:
    """Return all pictures as one: numbered, or in a named row for each class."""
    stacked = np.stack(pictures)
    if classes:
        return latent_figures.labelled_rows(stacked, classes)
    if numbered:
        names = [str(number) for number in range(len(pictures))]
        stacked = figures.add_captions(stacked, names)
    return images.grid(stacked)


def _painter(
    painted: str | None, brush: str | None, strokes: int | None, seed: int
) -> Settings | None:
    """Return how samples are painted; None if they are not."""
    if painted is None:
        if strokes is not None:
            raise ValueError(f"strokes must go with painted; got {strokes}")
        return None
    if painted and brush:
        raise ValueError(f"brush must not be given beside painted={painted}")
    return samples.make_settings(seed, painted or brush, strokes)


def _check_run(generator: TrainedNetwork, workdir: str, painted: str | None) -> None:
    """Check that there are strokes to draw: the run's own, or painted ones."""
    if painted is None:
        flags = "pixels, brush, relief, strokes_out, svg and film"
        trained.check_paints(generator, workdir, f"{flags}, without painted,")
    elif generator.settings.generator.strokes:
        raise ValueError(
            f"painted must go with a run of pixels; the one in {workdir} makes strokes"
        )


def _drawn(
    generator: TrainedNetwork,
    points: Float[Array, "n z"],
    options: StrokeOptions,
    out: str,
    seed: int,
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Return each sample drawn in strokes; its other files are written on the way."""
    size = generator.settings.size
    scale = (options.pixels or size) / size
    appearance = outputs.appearance_from_flags(scale, options.relief, AZIMUTH)
    plan = _plan_outputs(out, options.files, len(points))
    if options.painter is None:
        paintings = _paintings(generator, points, options.brush, seed)
    else:
        paintings = samples.paint([*_samples(generator, points)], options.painter)
    return _write_paintings(paintings, plan, appearance)


def _plan_outputs(out: str, files: dict[str, str | None], count: int) -> list[Outputs]:
    """Return the paths of each painting, and check that all can be written."""
    flags = {"out": out, **files}
    plan = [outputs.outputs_from_flags(flags, f"{n:06d}") for n in range(count)]
    for paths in plan:
        paths.check(None)
    return plan


def _samples(
    generator: TrainedNetwork, points: Float[Array, "n z"]
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Yield each sample, in pixels."""
    sampler = latents.make_sampler(generator.network)
    parts = latents.sample_pictures(sampler, generator.state, points)
    return itertools.chain.from_iterable(parts)


def _paintings(
    generator: TrainedNetwork,
    points: Float[Array, "n z"],
    brush: str | None,
    seed: int,
) -> Iterator[StrokesFile]:
    """Yield each sample as a painting of the painter's, which can go on from there."""
    size = generator.settings.size
    count = sum(grid.num_strokes for grid in generator.network.grids)
    brush = brush or generator.settings.generator.brush
    settings = samples.make_settings(seed, brush, count)
    seeds, stages = hair_seeds(count), np.full(count, -1, np.int32)
    paint = partial(latents.make_stroke_sampler(generator.network), generator.state)
    parts = batches.map_batches(
        paint, np.asarray(points), latents.BATCH_SIZE, "sampling"
    )
    for painted in parts:
        for strokes, ground in zip(painted.strokes, painted.ground, strict=True):
            painting = Painting(strokes, seeds, strokes, seeds, stages)
            own_settings = replace(settings, ground=tuple(map(float, ground)))
            yield StrokesFile(
                painting, own_settings, strokes_file.NO_PICTURE, size, size, None
            )


def _write_paintings(
    paintings: Iterator[StrokesFile], plan: list[Outputs], appearance: Appearance
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Write the files of paintings that are wanted, and yield how they look."""
    for paths, content in zip(plan, paintings, strict=True):
        if paths.strokes_out:
            strokes_file.write(paths.strokes_out, content)
        outputs.write_others(paths, content, appearance)
        yield outputs.picture(content, appearance)


if __name__ == "__main__":
    command.run(main)
