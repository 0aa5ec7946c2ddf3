"""Draw pictures from a checkpoint: `python -m jaxart.sample --workdir=DIR --out=F.png`.

What a generator of strokes makes is drawn by the painter's own code: at any size, with
any brush, lit in relief, as a strokes file, as shapes, or as a film.

Source: Beyers and Loane, section 4.
"""

import itertools
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import jax
import numpy as np
from jaxtyping import Float, UInt8

from jaxart import arguments, batches, command, figures, images
from jaxart.gan import latent_figures, latents, trained
from jaxart.gan.strokes import hair_seeds
from jaxart.gan.trained import TrainedNetwork
from jaxart.painter import outputs, strokes_file
from jaxart.painter.outputs import Appearance
from jaxart.painter.painting import Painting
from jaxart.painter.settings import Settings
from jaxart.painter.strokes_file import StrokesFile
from jaxart.validation import Count, FilePath, Range, Seed, validate


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
        Literal["style", "genre", "artist", "digit"] | None,
        "a row of 10 pictures, or count of them, for each class of this kind",
    ] = None,
    numbered: Annotated[bool, "print the number of each picture beneath it"] = False,
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
        validate("pixels", pixels, Annotated[int, Range(1, strokes_file.MAX_SIDE)])
    into_folder = arguments.check_out("out", out, (".png", "/")) == "/"
    if numbered and into_folder:
        raise ValueError(f"numbered must go with FILE.png as out; got {out!r}")
    files = {"strokes_out": strokes_out, "svg": svg, "film": film}
    for flag, value in files.items():
        if value is not None and count > 1 and not value.endswith("/"):
            raise ValueError(
                f"{flag} must be FOLDER/ for {count} pictures; got {value}"
            )
    generator = trained.restore_generator(workdir, step, weights)
    settings = generator.settings
    size = settings.size
    asked = arguments.asked(
        style=style, genre=genre, artist=artist, digit=digit, title=title
    )
    classes: list[str] = []
    if one_row_each is None:
        points = latents.sample_points(settings, seed, range(count), asked)
    else:
        classes, rows = latents.class_points(
            settings, seed, range(count), asked, one_row_each
        )
        points = rows.reshape(-1, rows.shape[-1])
        if numbered or into_folder:
            raise ValueError(
                "one_row_each must go with FILE.png as out, and without numbered"
            )
    painted_by = (pixels, brush, *files.values())
    is_painted = relief or any(flag is not None for flag in painted_by)
    if is_painted:
        flags = "pixels, brush, relief, strokes_out, svg and film"
        trained.check_paints(generator, workdir, flags)
    if not into_folder:
        arguments.check_grid(len(points), pixels or size)
    if is_painted:
        appearance = outputs.appearance_from_flags(
            (pixels or size) / size, relief, 315.0
        )
        paintings = _paintings(generator, points, brush, seed)
        pictures = _write_paintings(paintings, out, files, appearance)
    else:
        sampler = latents.make_sampler(generator.network)
        parts = latents.sample_pictures(sampler, generator.state, points)
        pictures = itertools.chain.from_iterable(parts)
    about = command.provenance(seed=seed, step=generator.step)
    if into_folder:
        for number, picture in enumerate(pictures):
            images.save_png(Path(out) / f"{number:06d}.png", picture, about=about)
    else:
        grid = np.stack([*pictures])
        if numbered:
            grid = figures.add_captions(grid, [str(number) for number in range(count)])
        if one_row_each is None:
            picture = images.grid(grid)
        else:
            picture = latent_figures.labelled_rows(grid, classes)
        images.save_png(out, picture, about=about)
    print(f"{len(points)} pictures of step {generator.step} are in {out}")


def _paintings(
    generator: TrainedNetwork,
    points: Float[np.ndarray, "n z"] | jax.Array,
    brush: str | None,
    seed: int,
) -> Iterator[StrokesFile]:
    """Yield each sample as a painting of the painter's.

    Its picture is the sample as the discriminator saw such, so that painting can go on
    from there.
    """
    config = runpy.run_path(command.config_path("paint"))["get_config"]()
    config.brush = brush or generator.settings.generator.brush
    config.seed = seed
    size = generator.settings.size
    sampler = latents.make_sampler(generator.network)
    paint = latents.make_stroke_sampler(generator.network)

    def draw(z):
        return paint(generator.state, z), sampler(generator.state, z)

    parts = batches.map_batches(
        draw, np.asarray(points), latents.BATCH_SIZE, "sampling"
    )
    for painted, pictures in parts:
        for strokes, ground, picture in zip(*painted, pictures, strict=True):
            config.strokes = len(strokes)
            settings = Settings(**{**config, "ground": tuple(map(float, ground))})
            seeds, stages = hair_seeds(len(strokes)), np.zeros(len(strokes), np.int32)
            painting = Painting(strokes, seeds, strokes, seeds, stages)
            sha256 = strokes_file.sha256(picture)
            yield StrokesFile(painting, settings, sha256, size, size, None)


def _write_paintings(
    paintings: Iterator[StrokesFile],
    out: str,
    files: dict[str, str | None],
    appearance: Appearance,
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Write the files of paintings that are wanted, and yield how they look."""
    for number, content in enumerate(paintings):
        paths = outputs.outputs_from_flags({"out": out, **files}, f"{number:06d}")
        paths.check(None)
        if paths.strokes_out:
            strokes_file.write(paths.strokes_out, content)
        outputs.write_others(paths, content, appearance)
        yield outputs.picture(content, appearance)


if __name__ == "__main__":
    command.run(main)
