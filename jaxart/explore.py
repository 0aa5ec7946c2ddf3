"""Look into a trained GAN: `python -m jaxart.explore NAME --workdir=DIR --out=FILE`.

The paper's figures 4, 5 and 6. Points of the generator's input space have the numbers
that `python -m jaxart.sample --numbered` prints beneath their pictures.

Source: Beyers and Loane, sections 2.3 and 4.3.
"""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Annotated, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from jaxart import atomic, command, figures, films, images
from jaxart.gan import deconvnet as deconvolution
from jaxart.gan import latents, trained
from jaxart.gan.networks import Generator
from jaxart.gan.trained import Trained
from jaxart.gan.update import NetworkState
from jaxart.paintings import choice, pipeline


# Pictures from one point to the next, where their number is not given.
ON_A_GRID, IN_A_FILM = 10, 40

FPS = 25
HOLD = 1.0  # how long a film stays where a way ends, in seconds
FILM_SIDE = 256  # side of a film, in pixels
LARGE_SIDE = 128  # side of the terms of the arithmetic, in pixels

SIDE_BY_SIDE = 16  # features on a line

# Of sizes of their own, also where there are several.
Pixels = UInt8[np.ndarray, "_ _ 3"]
Pictures = UInt8[np.ndarray, "_ _ _ 3"]
Images = Float[np.ndarray, "n _ _ 3"]


class Excited(NamedTuple):
    """Features of a layer, and a picture for each that excites it.

    Args:
        features: their numbers.
        pictures: one for each.
        total: how many features the layer has.
    """

    features: Int[np.ndarray, " n"]
    pictures: Pictures
    total: int


def interpolation(
    workdir: Annotated[str, "folder of a run"],
    out: Annotated[str, "FILE.png for a grid; FILE.gif, .webp or .mp4 for a film"],
    seeds: Annotated[
        str | None, "numbers of points to visit, such as 3,17,44; or the first ones"
    ] = None,
    points: Annotated[int, "how many points to visit, where seeds names none"] = 12,
    way: Annotated[
        latents.Way,
        "straight from point to point, or on the shell where most points are",
    ] = "linear",
    loop: Annotated[bool, "come back to the first point; --noloop: do not"] = True,
    pictures: Annotated[
        int | None,
        f"from one point to the next; {ON_A_GRID} or, in a film, {IN_A_FILM}",
    ] = None,
    count: Annotated[int, "pictures of the grid that the numbers are on"] = 128,
    seed: Annotated[int, "of the grid that the numbers are on"] = 0,
    step: Annotated[
        str | None, "which checkpoint: a number, or best; the latest, if not given"
    ] = None,
) -> None:
    """Walk between points of the generator's input space: figure 4.

    On a grid, each row ends where the next one begins, and the last one where the first
    began. A film goes the same way, and comes round without a seam.
    """
    suffix = _check_out(out, (".png", *films.LONGEST))
    numbers = tuple(range(points)) if seeds is None else _numbers("seeds", seeds)
    if len(numbers) < 2:
        raise ValueError(f"there must be at least two points; got {len(numbers)}")
    if seeds is not None:
        _check_on_grid("seeds", numbers, count)
    elif points > count:
        raise ValueError(
            f"points must be at most the {count} pictures of the grid; got {points}"
        )
    in_film = suffix != ".png"
    if pictures is None:
        pictures = IN_A_FILM if in_film else ON_A_GRID
    if pictures < 2:
        raise ValueError(f"pictures must be at least 2; got {pictures}")
    if in_film:
        films.check(out)
    else:
        atomic.check_replaceable(out, images.is_our_png)
    network, state, settings, at = trained.generator(workdir, step)
    # In a film, the next way begins with the picture that this one would end with.
    shares = jnp.linspace(0, 1, pictures, endpoint=not in_film)
    visited = latents.numbered(seed, numbers, settings.generator.latent)
    walked = latents.walks(visited, shares, way, closed=loop)
    walked = walked.reshape(-1, visited.shape[1])
    if in_film and not loop:
        walked = jnp.concatenate([walked, visited[-1:]])
    drawn = _pictures(network, state, walked)
    if in_film:
        _film(out, drawn, loop)
    else:
        images.save_png(out, _walks(np.stack([*drawn]), pictures, numbers))
    text = ", ".join(map(str, (*numbers, *numbers[:loop])))
    print(f"the way from {text} at step {at} is in {out}")


def arithmetic(
    workdir: Annotated[str, "folder of a run"],
    out: Annotated[str, "FILE.png"],
    plus: Annotated[str, "number of the point z1, or several to average: 3,17,44"],
    minus: Annotated[str, "number of the point z2, or several to average: 5,8"],
    to: Annotated[str, "numbers of points z3, a row each: 1,2,9; 1+2,9 averages"],
    count: Annotated[int, "pictures of the grid that the numbers are on"] = 128,
    seed: Annotated[int, "of the grid that the numbers are on"] = 0,
    step: Annotated[
        str | None, "which checkpoint: a number, or best; the latest, if not given"
    ] = None,
) -> None:
    """Add and subtract points of the generator's input space: figure 5.

    Each row shows z3 and z1 - z2 + z3. Beneath a term that is an average are the
    pictures of its points.
    """
    _check_out(out, (".png",))
    flags = ["plus", "minus"] + ["to"] * (to.count(",") + 1)
    terms = [_numbers("plus", plus), _numbers("minus", minus)]
    terms += [_numbers("to", text, "+") for text in to.split(",")]
    for flag, numbers in zip(flags, terms, strict=True):
        _check_on_grid(flag, numbers, count)
    atomic.check_replaceable(out, images.is_our_png)
    network, state, settings, at = trained.generator(workdir, step)
    points = [
        latents.numbered(seed, numbers, settings.generator.latent) for numbers in terms
    ]
    first, second, *thirds = points
    sums = [latents.arithmetic(first, second, third) for third in thirds]
    means = [term.mean(0) for term in points]
    parts = [jnp.stack(sums), jnp.stack(means), *points]
    drawn = np.stack([*_pictures(network, state, jnp.concatenate(parts))])
    ends = np.cumsum([len(part) for part in parts])
    of_sums, of_means, *of_points, _ = np.split(drawn, ends)
    names = ["z1", "z2", *["z3"] * len(thirds)]
    shown = [
        _term(*those) for those in zip(names, terms, of_means, of_points, strict=True)
    ]
    images.save_png(out, _sums(shown, of_sums))
    print(f"{len(thirds)} sums at step {at} are in {out}")


def deconvnet(
    workdir: Annotated[str, "folder of a run"],
    out: Annotated[str, "FILE.png"],
    picture: Annotated[
        str | None, "a picture to look at; or what excites features most in the dataset"
    ] = None,
    keep: Annotated[
        deconvolution.Keep,
        "of a feature's answer: all of it, or its strongest place alone, magnified",
    ] = "map",
    filters: Annotated[
        int, "features of each layer: the first, or those that a picture excites most"
    ] = 16,
    crops: Annotated[int, "pictures of the dataset that are looked through"] = 2048,
    data_dir: Annotated[str | None, "where the dataset is, if not where it was"] = None,
    seed: Annotated[int, "of the order of the dataset's pictures"] = 0,
    step: Annotated[
        str | None, "which checkpoint: a number, or best; the latest, if not given"
    ] = None,
) -> None:
    """Show what features of the discriminator look at: figure 6.

    For each layer: what its features look at in the picture, projected back to the
    pixels, each with a contrast of its own around grey. Without a picture, each feature
    gets the one of the dataset that excites it most, shown above.
    """
    _check_out(out, (".png",))
    for flag, number in (("filters", filters), ("crops", crops)):
        if number < 1:
            raise ValueError(f"{flag} must be at least 1; got {number}")
    atomic.check_replaceable(out, images.is_our_png)
    model = trained.discriminator(workdir, step)
    network, state, settings, at = model
    grey = settings.data.name in choice.GREY
    if picture is None:
        if data_dir is not None:
            settings = settings.with_data(data_dir=data_dir)
        source = choice.pictures(settings)
        pixels = pipeline.crops(source, size=settings.size, count=crops, seed=seed)
        choose = _most_exciting
        grey = not np.ptp(pixels, axis=-1).any()
    else:
        pixels = _crop(picture, settings.size)[None]
        choose = _most_excited
    heard = deconvolution.heard(network, state, pixels)
    layers = [choose(pixels, answers, filters) for answers in heard]
    bands = [
        _band(model, layer, excited, keep, paired=picture is None, grey=grey)
        for layer, excited in enumerate(layers, start=1)
    ]
    figure = figures.above(bands, gap=8)
    if picture is not None:
        shown = figures.enlarged(layers[0].pictures[:1], LARGE_SIDE)[0]
        left = figures.above([figures.words("the picture"), shown])
        figure = figures.beside([left, figure], gap=12, centred=False)
    images.save_png(out, figures.framed(figure))
    print(f"{len(layers)} layers at step {at} are in {out}")


def _check_out(out: str, suffixes: tuple[str, ...]) -> str:
    suffix = Path(out).suffix.lower()
    if suffix not in suffixes:
        raise ValueError(f"out must end in {' or '.join(suffixes)}; got {out!r}")
    return suffix


def _numbers(flag: str, text: str, separator: str = ",") -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(separator))
    except ValueError:
        raise ValueError(
            f"{flag} must be whole numbers such as 3{separator}17; got {text!r}"
        ) from None


def _check_on_grid(flag: str, numbers: tuple[int, ...], count: int) -> None:
    for number in numbers:
        if not 0 <= number < count:
            raise ValueError(
                f"{flag} must be on the grid of {count} pictures, from 0 to "
                f"{count - 1}; got {number}"
            )


def _pictures(
    network: Generator, state: NetworkState, points: Float[Array, "n z"]
) -> Iterator[Pixels]:
    """Yield the picture of each point."""
    return chain.from_iterable(
        latents.pictures(latents.sampler(network), state, points)
    )


def _film(out: str, pictures: Iterator[Pixels], loop: bool) -> None:
    frames = (figures.enlarged(one[None], FILM_SIDE)[0] for one in pictures)
    films.write(out, frames, fps=FPS, hold=0 if loop else HOLD)


def _walks(pictures: Pictures, columns: int, numbers: tuple[int, ...]) -> Pixels:
    """Lay out ways between points, with the number of a point at either end."""
    rows, height = len(pictures) // columns, pictures.shape[1]
    starts = [str(number) for number in numbers[:rows]]
    ends = [str(number) for number in (*numbers[1:], numbers[0])[:rows]]
    parts = [
        figures.column(starts, height, images.BORDER),
        images.grid(pictures, columns),
        figures.column(ends, height, images.BORDER),
    ]
    return figures.framed(figures.beside(parts, gap=6))


def _term(
    name: str, numbers: tuple[int, ...], mean: Pixels, singles: Pictures
) -> Pixels:
    """Show a term: its picture and, of an average, those of its points."""
    if len(numbers) == 1:
        return figures.captioned(_large(mean[None]), [f"{name}: {numbers[0]}"])[0]
    (large,) = figures.captioned(_large(mean[None]), [f"{name}: the average of"])
    small = figures.captioned(singles, [str(number) for number in numbers])
    return figures.above([large, images.grid(small, 3)], gap=4, centred=True)


def _sums(terms: list[Pixels], results: Pictures) -> Pixels:
    """Lay out z1 - z2 before a row for each z3 and what comes of it."""
    first, second, *thirds = terms
    width = max(third.shape[1] for third in thirds)
    shown = figures.captioned(_large(results), ["z1 - z2 + z3"] * len(results))
    rows = [
        [_sign("+"), figures.widened(third, width), _sign("="), result]
        for third, result in zip(thirds, shown, strict=True)
    ]
    right = figures.above([figures.beside(row, gap=10) for row in rows], gap=10)
    left = [first, _sign("-"), second, figures.bracket(len(right))]
    return figures.framed(figures.beside([*left, right], gap=10))


def _large(pictures: Pictures) -> Pictures:
    return figures.enlarged(pictures, LARGE_SIDE)


def _sign(text: str) -> Pixels:
    return figures.words(text, size=28)


def _crop(path: str, size: int) -> Pixels:
    """Return the middle of a picture, of the size that the discriminator knows."""
    try:
        pixels = images.read_pixels(path)
        height, width, _ = pixels.shape
        # What is smaller, such as a single sample, is not shrunk.
        if height * width >= (2 * size) ** 2 and min(height, width) >= size:
            pixels = images.resize_for_crops(pixels, size)
    except images.PictureError as error:
        raise ValueError(f"picture {path}: {error}") from None
    height, width, _ = pixels.shape
    if min(height, width) < size:
        raise ValueError(
            f"picture must be at least {size} pixels wide and high; {path} is "
            f"{width} x {height}"
        )
    top, left = (height - size) // 2, (width - size) // 2
    return pixels[top : top + size, left : left + size]


def _most_exciting(
    pixels: Pictures, answers: Float[np.ndarray, "n o"], filters: int
) -> Excited:
    """Return the first features of a layer, each with what excites it most."""
    total = answers.shape[1]
    features = np.arange(min(filters, total))
    return Excited(features, pixels[answers.argmax(0)[features]], total)


def _most_excited(
    pixels: Pictures, answers: Float[np.ndarray, "1 o"], filters: int
) -> Excited:
    """Return the features of a layer that one picture excites most."""
    features = np.argsort(-answers[0], kind="stable")[:filters]
    pictures = pixels.repeat(len(features), axis=0)
    return Excited(features, pictures, answers.shape[1])


def _band(
    model: Trained,
    layer: int,
    excited: Excited,
    keep: str,
    *,
    paired: bool,
    grey: bool,
) -> Pixels:
    """Show what features of a layer look at; if paired, beneath their pictures."""
    project = deconvolution.projector(model.network, layer, keep)
    pictures = images.to_images(excited.pictures)
    pixels, places = project(
        model.state, jnp.asarray(pictures), jnp.asarray(excited.features)
    )
    projections = np.asarray(pixels)
    if grey:
        # Grey pictures teach no colours: what the filters have of them is as it began.
        projections = np.repeat(projections.mean(-1, keepdims=True), 3, -1)
    if keep == "place":
        projections = _seen(projections, np.asarray(places), layer)
        pictures = _seen(pictures, np.asarray(places), layer)
    size, sees = model.settings.size, deconvolution.window(layer, 0).size
    title = f"layer {layer}: {len(projections)} of {excited.total} features"
    title += f", each place sees {sees} x {sees} pixels"
    tiles = figures.enlarged(images.to_pixels(_contrasted(projections)), size)
    columns = SIDE_BY_SIDE // 2
    if paired:
        above = figures.enlarged(images.to_pixels(pictures), size)
        pairs = zip(above, tiles, strict=True)
        tiles = np.stack([figures.above([*pair]) for pair in pairs])
        columns = SIDE_BY_SIDE
    return figures.above([figures.words(title), images.grid(tiles, columns)])


def _contrasted(projections: Images) -> Images:
    """Scale each projection around zero to the contrast that it can bear.

    Of its values other than zero a hundredth may leave [-1, 1]: a single one would take
    the contrast from the others.
    """
    scaled = np.zeros_like(projections)
    for number, projection in enumerate(projections):
        sizes = np.abs(projection[projection != 0])
        if len(sizes):
            scaled[number] = projection / np.quantile(sizes, 0.99)
    return scaled


def _seen(pictures: Images, places: Int[np.ndarray, "n 2"], layer: int) -> Images:
    """Cut out what a place of each map sees; zero where that is beyond the border."""
    rim = deconvolution.window(layer, 0).size
    wide = np.pad(pictures, ((0, 0), (rim, rim), (rim, rim), (0, 0)))
    seen = []
    for picture, (row, column) in zip(wide, places, strict=True):
        top, left = (deconvolution.window(layer, int(at)).first for at in (row, column))
        seen.append(picture[rim + top :, rim + left :][:rim, :rim])
    return np.stack(seen)


if __name__ == "__main__":
    command.run_one_of(interpolation, arithmetic, deconvnet)
