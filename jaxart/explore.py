"""Look into a trained GAN: `python -m jaxart.explore NAME --workdir=DIR --out=FILE`.

The paper's figures 4, 5 and 6, and two of the training itself. Points of the
generator's input space have the numbers that `python -m jaxart.sample --numbered`
prints beneath their pictures.

Source: Beyers and Loane, sections 2.3 and 4.3.
"""

from pathlib import Path
from typing import Annotated

from jaxart import arguments, command, films, images
from jaxart.gan import deconvnet as deconvolution
from jaxart.gan import (
    feature_figures,
    latent_figures,
    latents,
    run_metrics,
    trained,
    training_figures,
)
from jaxart.paintings import pipeline, training_data
from jaxart.validation import Count, FilePath, Range, Seed, expand_home, validate


# Pictures from one point to the next, if their number is not given.
GRID_PICTURES, FILM_PICTURES = 10, 40

FPS = 25
HOLD = 1.0  # how long the last frame of a film that does not loop is shown, in seconds

GridCount = Annotated[int, "pictures of the grid that the numbers are on"]
GridSeed = Annotated[int, "of the grid that the numbers are on"]


def interpolation(
    workdir: arguments.Workdir,
    out: Annotated[FilePath, "FILE.png for a grid; FILE.gif, .webp or .mp4 for a film"],
    seeds: Annotated[
        str | None, "numbers of points to visit, such as 3,17,44; or the first ones"
    ] = None,
    points: Annotated[int, "how many points to visit, where seeds names none"] = 12,
    way: Annotated[
        latents.Method,
        "straight from point to point, or on the shell where most points are",
    ] = "linear",
    loop: Annotated[bool, "come back to the first point; --noloop: do not"] = True,
    pictures: Annotated[
        int | None,
        f"from one point to the next; {GRID_PICTURES} or, in a film, {FILM_PICTURES}",
    ] = None,
    count: GridCount = 128,
    seed: GridSeed = 0,
    step: arguments.Step = None,
    weights: arguments.Weights = None,
    pixels: Annotated[int | None, "side of the pictures of a run of strokes"] = None,
    brush: Annotated[str | None, "that its strokes are drawn with"] = None,
    style: arguments.Style = None,
    genre: arguments.Genre = None,
    artist: arguments.Artist = None,
    digit: arguments.Digit = None,
    title: arguments.Title = None,
    through: Annotated[
        arguments.Kind | None,
        "visit all classes of this kind at one point, the first of seeds",
    ] = None,
) -> None:
    """Interpolate between points of the generator's input space: figure 4.

    On a grid, each row ends where the next one starts, and the last one where the first
    one does. A film shows the same, and loops without a pause.
    """
    validate("count", count, Count)
    validate("seed", seed, Seed)
    is_film = arguments.check_out("out", out, (".png", *films.MAX_SIDE)) != ".png"
    wanted = points if through is None else 1
    if seeds is None and wanted > count:
        raise ValueError(
            f"points must be at most the {count} pictures of the grid; got {points}"
        )
    indices = [*range(wanted)] if seeds is None else _indices("seeds", seeds, count)
    if through is None and len(indices) < 2:
        raise ValueError(f"there must be at least two points; got {len(indices)}")
    asked = arguments.asked(
        style=style, genre=genre, artist=artist, digit=digit, title=title
    )
    if pictures is None:
        pictures = FILM_PICTURES if is_film else GRID_PICTURES
    validate("pictures", pictures, Annotated[int, Range(2, 10_000)])
    if pixels is not None:
        validate("pixels", pixels, arguments.Side)
    generator = trained.restore_generator(workdir, step, weights)
    if through is None:
        names = [str(number) for number in indices]
        stops = latents.sample_points(generator.settings, seed, indices, asked)
    else:
        names, rows = latents.class_points(
            generator.settings, seed, indices[:1], asked, through
        )
        stops = rows[:, 0]
    validate("points times pictures", len(stops) * pictures, Count)
    if pixels is not None or brush is not None:
        trained.check_paints(generator, workdir, "pixels and brush")
        size = generator.settings.size if pixels is None else pixels
        generator.network.draw_at(size, brush)
    if not is_film:
        size = pixels or generator.settings.size
        arguments.check_grid(len(stops) * pictures, size)
    path = latent_figures.Interpolation(stops, names, pictures, way, loop, pixels)
    if is_film:
        frames = latent_figures.interpolation_frames(generator, path)
        films.write(out, frames, fps=FPS, hold=0 if loop else HOLD)
    else:
        grid = latent_figures.interpolation_grid(generator, path)
        images.save_png(out, grid, about=_about(generator, seed))
    visited = ", ".join((*names, *names[:loop]))
    print(f"the path through {visited} at step {generator.step} is in {out}")


def arithmetic(
    workdir: arguments.Workdir,
    out: Annotated[FilePath, "FILE.png"],
    plus: Annotated[str, "number of the point z1, or several to average: 3,17,44"],
    minus: Annotated[str, "number of the point z2, or several to average: 5,8"],
    to: Annotated[str, "numbers of points z3, a row each: 1,2,9; 1+2,9 averages"],
    count: GridCount = 128,
    seed: GridSeed = 0,
    step: arguments.Step = None,
    weights: arguments.Weights = None,
) -> None:
    """Add and subtract points of the generator's input space: figure 5.

    Each row shows z3 and z1 - z2 + z3. Beneath a term that is an average are the
    pictures of its points.
    """
    validate("count", count, Count)
    validate("seed", seed, Seed)
    arguments.check_out("out", out, (".png",))
    z1, z2 = _indices("plus", plus, count), _indices("minus", minus, count)
    z3s = [_indices("to", text, count, separator="+") for text in to.split(",")]
    generator = trained.restore_generator(workdir, step, weights)
    figure = latent_figures.arithmetic(generator, z1, z2, z3s, seed=seed)
    images.save_png(out, figure, about=_about(generator, seed))
    print(f"{len(z3s)} sums at step {generator.step} are in {out}")


def deconvnet(
    workdir: arguments.Workdir,
    out: Annotated[FilePath, "FILE.png"],
    picture: Annotated[
        FilePath | None,
        "a picture to look at; or what excites features most in the dataset",
    ] = None,
    keep: Annotated[
        deconvolution.Keep,
        "of a feature's map: all of it, or its strongest place alone, magnified",
    ] = "map",
    filters: Annotated[
        int, "features of each layer: the first, or those that a picture excites most"
    ] = 16,
    crops: Annotated[int, "pictures of the dataset that are looked through"] = 2048,
    data_dir: arguments.DataDir = None,
    seed: Annotated[int, "of the order of the dataset's pictures"] = 0,
    step: arguments.Step = None,
) -> None:
    """Show what excites features of the discriminator: figure 6.

    For each layer, feature maps projected back to the pixels, each with a contrast of
    its own around grey. Without a picture, each feature has the one of the dataset that
    excites it most, shown above.
    """
    arguments.check_out("out", out, (".png",))
    validate("filters", filters, Count)
    validate("crops", crops, Count)
    validate("seed", seed, Seed)
    model = trained.restore_discriminator(workdir, step)
    size, data = model.settings.size, model.settings.data
    if picture is None:
        if data_dir is None:
            data_dir = data.data_dir
        records = training_data.open_records_by_name(
            data.name, data_dir, source=data.source, size=size
        )
        pixels = pipeline.crops(records, size=size, count=crops, seed=seed)
        figure = feature_figures.figure_from_crops(
            model, pixels, keep=keep, filters=filters
        )
    else:
        figure = feature_figures.figure_from_picture(
            model,
            picture,
            keep=keep,
            filters=filters,
            grey=data.name in training_data.GREY,
        )
    images.save_png(out, figure, about=_about(model, seed))
    print(f"{len(model.network.stages)} layers at step {model.step} are in {out}")


def training(
    workdir: arguments.Workdir,
    out: Annotated[FilePath, "FILE.gif, .webp or .mp4"],
    fps: Annotated[int, "grids a second"] = 8,
) -> None:
    """Show how samples changed in training: a film of the run's grids of samples."""
    arguments.check_out("out", out, tuple(films.MAX_SIDE))
    validate("fps", fps, Annotated[int, Range(1, films.MAX_FPS)])
    samples = training_figures.find_samples(workdir)
    frames = training_figures.training_frames(samples)
    films.write(out, frames, fps=fps, hold=HOLD)
    steps = f"{samples[0].step:,} to {samples[-1].step:,}"
    print(f"{len(samples)} grids of samples, of steps {steps}, are in {out}")


def curves(
    workdir: Annotated[
        list[FilePath], "folder of a run, or of several: DIR,DIR2, or one flag each"
    ],
    out: Annotated[FilePath, "FILE.png"],
) -> None:
    """Draw losses, scores, distance and images/s of runs over their updates.

    Faint lines are what was logged, the others running means over a fiftieth of it.
    """
    arguments.check_out("out", out, (".png",))
    folders = [folder for text in workdir for folder in _folders(text)]
    names = [Path(folder).name for folder in folders]
    if len(set(names)) < len(names):
        names = folders
    runs = {
        name: run_metrics.read(folder)
        for name, folder in zip(names, folders, strict=True)
    }
    figure = training_figures.draw_curves(runs)
    images.save_png(out, figure, about=command.provenance())
    print(f"curves of {', '.join(runs)} are in {out}")


def _about(model: trained.TrainedNetwork, seed: int) -> dict[str, str]:
    return command.provenance(seed=seed, step=model.step)


def _folders(text: str) -> list[str]:
    """Read folders with commas between them, or one with a comma in its name."""
    if Path(text).exists():
        return [text]
    return [expand_home("workdir", folder) for folder in text.split(",")]


def _indices(flag: str, text: str, count: int, separator: str = ",") -> list[int]:
    """Read numbers of points, on a grid of `count`."""
    try:
        indices = [int(word) for word in text.split(separator)]
    except ValueError:
        raise ValueError(
            f"{flag} must be whole numbers such as 3{separator}17; got {text!r}"
        ) from None
    for number in indices:
        if not 0 <= number < count:
            raise ValueError(
                f"{flag} must be on the grid of {count} pictures, from 0 to "
                f"{count - 1}; got {number}"
            )
    return indices


if __name__ == "__main__":
    command.run_one_of(interpolation, arithmetic, deconvnet, training, curves)
