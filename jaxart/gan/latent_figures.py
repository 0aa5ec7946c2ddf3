"""Figures of the generator's input space: interpolation and arithmetic.

Source: Beyers and Loane, figures 4 and 5.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, UInt8

from jaxart import figures, images
from jaxart.figures import Pixels
from jaxart.gan import latents
from jaxart.gan.trained import TrainedNetwork


FILM_SIDE = 256  # side of a film, in pixels
TERM_SIDE = 128  # side of the terms of the arithmetic, in pixels

Pictures = UInt8[np.ndarray, "_ _ _ 3"]


class Interpolation(NamedTuple):
    """What to interpolate."""

    points: latents.Latents  # at least two
    names: Sequence[str]  # of the points
    pictures: int  # from one point to the next, at least two
    method: latents.Method  # of interpolation
    closed: bool  # whether there is a segment from the last point to the first
    size: int | None = None  # of pictures of strokes; None: that of training


def interpolation_grid(generator: TrainedNetwork, path: Interpolation) -> Pixels:
    """Draw a row for each segment, with the names of its points at both ends."""
    segments = _segments(generator, path, jnp.linspace(0, 1, path.pictures))
    rows, columns, latent_dim = segments.shape
    points = segments.reshape(-1, latent_dim)
    pictures = np.stack([*_pictures(generator, points, path.size)])
    labels = [*path.names, path.names[0]]
    height = pictures.shape[1]
    parts = [
        figures.row_labels(labels[:rows], height, images.BORDER),
        images.grid(pictures, columns),
        figures.row_labels(labels[1 : rows + 1], height, images.BORDER),
    ]
    return figures.add_margin(figures.hstack(parts, gap=6))


def interpolation_frames(
    generator: TrainedNetwork, path: Interpolation
) -> Iterator[Pixels]:
    """Yield the frames of a film.

    A segment ends where the next one starts, so only the last has a frame for its end,
    and not even that in a film that loops.
    """
    t = jnp.linspace(0, 1, path.pictures, endpoint=False)
    segments = _segments(generator, path, t)
    positions = segments.reshape(-1, segments.shape[-1])
    if not path.closed:
        positions = jnp.concatenate([positions, path.points[-1:]])
    for picture in _pictures(generator, positions, path.size):
        yield picture if path.size else figures.enlarge(picture[None], FILM_SIDE)[0]


def labelled_rows(pictures: Pictures, labels: list[str]) -> Pixels:
    """Draw as many rows as there are labels, each with its label to the left."""
    height = pictures.shape[1]
    left = figures.row_labels(labels, height, images.BORDER)
    rows = images.grid(pictures, len(pictures) // len(labels))
    return figures.add_margin(figures.hstack([left, rows], gap=6))


def arithmetic(
    generator: TrainedNetwork,
    plus: Sequence[int],
    minus: Sequence[int],
    to: Sequence[Sequence[int]],
    *,
    seed: int,
) -> Pixels:
    """Draw z1 - z2 + z3, each the average of points by number; a row for each z3."""
    terms = [plus, minus, *to]
    points = [_points(generator, indices, seed) for indices in terms]
    z1, z2, *z3s = points
    sums = jnp.stack([latents.arithmetic(z1, z2, z3) for z3 in z3s])
    means = jnp.stack([term.mean(0) for term in points])
    parts = [sums, means, *points]
    pictures = np.stack([*_pictures(generator, jnp.concatenate(parts))])
    ends = np.cumsum([len(part) for part in parts])[:-1]
    sum_pictures, mean_pictures, *point_pictures = np.split(pictures, ends)
    names = ["z1", "z2", *["z3"] * len(z3s)]
    term_figures = [
        _draw_term(*term)
        for term in zip(names, terms, mean_pictures, point_pictures, strict=True)
    ]
    return _draw_equation(term_figures, sum_pictures)


def _segments(generator: TrainedNetwork, path: Interpolation, t: Array) -> Array:
    return latents.interpolate(
        path.points,
        t,
        path.method,
        closed=path.closed,
        latent_dim=generator.settings.generator.latent,
    )


def _points(
    generator: TrainedNetwork, indices: Sequence[int], seed: int
) -> latents.Latents:
    return latents.sample_points(generator.settings, seed, indices)


def _pictures(
    generator: TrainedNetwork, points: latents.Latents, size: int | None = None
) -> Iterator[Pixels]:
    """Yield the picture of each point; `size` as in `Interpolation`."""
    sampler, batch_size = latents.make_sampler(generator.network), latents.BATCH_SIZE
    if size is not None:
        # As many pixels as a batch of the run's own pictures has.
        batch_size = max(1, batch_size * generator.settings.size**2 // size**2)
    parts = latents.sample_pictures(
        sampler, generator.state, points, batch_size=batch_size
    )
    return chain.from_iterable(parts)


def _draw_term(
    name: str, indices: Sequence[int], mean: Pixels, pictures: Pictures
) -> Pixels:
    """Draw the picture of a term and, of an average, those of its points."""
    large = figures.enlarge(mean[None], TERM_SIDE)
    if len(indices) == 1:
        return figures.add_captions(large, [f"{name}: {indices[0]}"])[0]
    (captioned,) = figures.add_captions(large, [f"{name}: the average of"])
    small = figures.add_captions(pictures, [str(number) for number in indices])
    return figures.vstack([captioned, images.grid(small, 3)], gap=4, centred=True)


def _draw_equation(terms: list[Pixels], results: Pictures) -> Pixels:
    """Lay out z1 - z2 to the left of a row with each z3 and its result."""
    z1, z2, *z3s = terms
    width = max(z3.shape[1] for z3 in z3s)
    captioned = figures.add_captions(
        figures.enlarge(results, TERM_SIDE), ["z1 - z2 + z3"] * len(results)
    )
    rows = [
        [_operator("+"), figures.pad_width(z3, width), _operator("="), result]
        for z3, result in zip(z3s, captioned, strict=True)
    ]
    right = figures.vstack([figures.hstack(row, gap=10) for row in rows], gap=10)
    left = [z1, _operator("-"), z2, figures.bracket(len(right))]
    return figures.add_margin(figures.hstack([*left, right], gap=10))


def _operator(sign: str) -> Pixels:
    return figures.render_text(sign, size=28)
