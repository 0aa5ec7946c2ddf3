"""Paintings made up with our own brush: the default where no dataset was prepared.

A picture is thought out first and painted second, as in a studio. `scenes.py` composes
a sketch; then strokes are laid over it, coarse to fine: on a toned ground broad ones
that mass in the colours, smaller ones that follow the forms, and the smallest where
there is something to look at. At last light falls on the relief of the paint.

Each picture has a generator of its own: it is the same whatever the others are.

Source: Hertzmann, "Painterly rendering with curved brush strokes of multiple sizes",
SIGGRAPH 1998: coats of strokes from coarse to fine, along the edges of what is seen.
Deviation: our strokes are straight, and have bristles and relief.
"""

import hashlib
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tensorflow_datasets as tfds
import tqdm
from jax import lax
from jaxtyping import Array, Float, Float32, Int, ScalarLike, UInt8
from PIL import Image

from jaxart import images
from jaxart.painter.brushes import BRISTLE, DRY, FLAT, KNIFE, ROUND, Brush
from jaxart.painter.strokes import COLOUR, Drawing, composite, footprints
from jaxart.paintings import dataset
from jaxart.paintings.scenes import GENRES, PALETTES, Plane, Sketch, portrait
from jaxart.paintings.sources.painting import TEXTS


SEED = 1863  # the year of the Salon des Refusés
COUNT = 2048
BATCH = 32  # pictures drawn in one call
LONGEST = 182  # side of the widest pictures, of 2:1, in pixels
FINENESS = 1.5  # pixels of the canvas to one of the finished picture
USUAL = 128  # height of a square picture, in pixels
LIGHT = 0.28  # how much of the light depends on the relief


class Style(NamedTuple):
    """How a painter handles the brush.

    Args:
        broad: brush of the first coats.
        fine: brush of the last ones.
        length: of a stroke, in its widths.
        size: of a stroke, times the usual.
        jitter: of its colour, in sRGB.
        wander: of its way, in radians.
        chroma: times how colourful the sketch is.
    """

    broad: Brush
    fine: Brush
    length: float
    size: float
    jitter: float
    wander: float
    chroma: float


STYLES = {
    "Impressionism": Style(FLAT, BRISTLE, 2.6, 0.95, 0.055, 0.35, 1.15),
    "Post-Impressionism": Style(BRISTLE, ROUND, 3.6, 1.0, 0.065, 0.2, 1.3),
    "Expressionism": Style(BRISTLE, DRY, 3.2, 1.25, 0.075, 0.4, 1.4),
    "Realism": Style(FLAT, ROUND, 2.4, 0.85, 0.03, 0.25, 0.95),
    "Fauvism": Style(FLAT, FLAT, 2.2, 1.15, 0.06, 0.3, 1.5),
    "Tachisme": Style(KNIFE, KNIFE, 1.8, 1.1, 0.05, 0.5, 1.2),
}


class Coat(NamedTuple):
    """Strokes of about one size, over the whole picture.

    Args:
        number: of the strokes.
        width: of the strokes, in heights of a square picture.
        diagonal: of a stroke at most, in pixels of the canvas.
        cell: side of the squares in which the sketch is seen, in its pixels.
        focus: 0 for strokes everywhere, 1 for all of them where there is detail.
        calm: what is left of the style's jitter and wander.
    """

    number: int
    width: float
    diagonal: int
    cell: int
    focus: float
    calm: float


COATS = (
    Coat(110, 0.14, 70, 8, 0.0, 1.0),
    Coat(320, 0.065, 38, 4, 0.25, 1.0),
    Coat(650, 0.03, 22, 2, 0.8, 0.7),
    Coat(700, 0.017, 14, 1, 1.0, 0.4),
)


class Laid(NamedTuple):
    """The strokes of one coat, and what they are laid with."""

    strokes: Float32[Array | np.ndarray, "*b n 8"]
    brush: Brush
    seeds: Float32[Array | np.ndarray, "*b n"]


class Work(NamedTuple):
    """A picture planned stroke by stroke: all that is needed to paint it."""

    ground: Float32[Array | np.ndarray, "*b 3"]
    height: Float32[Array | np.ndarray, "*b"]  # of the picture on the canvas, in pixels
    coats: tuple[Laid, ...]


def _plan(s: Sketch, style: Style) -> Work:
    """Return the strokes that paint a sketch."""
    grey = s.colours.mean(0)
    s.colours = np.clip(grey + style.chroma * (s.colours - grey), 0, 1)
    ground = 0.8 * (0.7 * s.colours.mean((1, 2)) + 0.3 * s.accents[1])
    coats = tuple(_coat(s, style, coat) for coat in COATS)
    return Work(ground, np.array(s.h * FINENESS, np.float32), coats)


def _coat(s: Sketch, style: Style, coat: Coat) -> Laid:
    rng, n = s.rng, coat.number
    at = _places(s, coat)
    usual = USUAL / s.h * style.size
    width = usual * coat.width * rng.uniform(0.7, 1.3, n)
    length = width * style.length * rng.uniform(0.7, 1.4, n)
    room = coat.diagonal / FINENESS / s.h
    fit = np.minimum(1, room / np.hypot(width, length))
    # A stroke is lighter or darker as a whole, and a little off in hue.
    off = rng.normal(0, style.jitter, n) + 0.6 * rng.normal(0, style.jitter, (3, n))
    seen = np.stack([_seen(plane, coat.cell)[at] for plane in s.colours])
    x = (at[1] + rng.uniform(0, 1, n)) / s.h
    y = (at[0] + rng.uniform(0, 1, n)) / s.h
    angle = _way(s, coat.cell)[at] + coat.calm * rng.normal(0, style.wander, n)
    geometry = [x, y, length * fit, width * fit, angle]
    strokes = np.stack([*geometry, *seen + coat.calm * off], axis=1)
    brush = style.broad if coat.focus < 0.5 else style.fine
    laid = Laid(strokes, brush, rng.random(n))
    return jax.tree.map(partial(np.asarray, dtype=np.float32), laid)


def _places(
    s: Sketch, coat: Coat
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Return rows and columns of strokes: spread evenly, but drawn towards detail."""
    share = 1 - coat.focus + coat.focus * s.detail / s.detail.mean()
    heap = np.cumsum(share.ravel(), dtype=np.float64)
    even = (np.arange(coat.number) + s.rng.random(coat.number)) / coat.number
    at = np.searchsorted(heap, s.rng.permutation(even) * heap[-1])
    return np.unravel_index(np.minimum(at, heap.size - 1), share.shape)


def _seen(plane: Plane, cell: int) -> Plane:
    """Return a plane as it looks with eyes half closed, blurred over `cell` pixels."""
    if cell == 1:
        return plane
    h, w = plane.shape
    small = Image.fromarray(plane).resize((w // cell, h // cell), Image.Resampling.BOX)
    return np.asarray(small.resize((w, h), Image.Resampling.BILINEAR))


def _way(s: Sketch, cell: int) -> Plane:
    """Return which way strokes go: along an edge if there is one, else with the form.

    Ways are averaged as arrows of twice the angle, because a stroke has no front.
    """
    down, right = np.gradient(_seen(s.colours.mean(0), max(2, cell // 2)))
    form = 1e-4  # how steep an edge must be to count more than the form
    cos = _seen(down**2 - right**2 + form * np.cos(2 * s.way), cell)
    sin = _seen(-2 * down * right + form * np.sin(2 * s.way), cell)
    return np.arctan2(sin, cos) / 2


@jax.jit
def _paint(works: Work) -> UInt8[Array, "b side side 3"]:
    """Draw pictures, each in the upper left corner of a square."""
    # One after the other: a stroke on all pictures at once would be a scatter, which is
    # four times slower on a CPU.
    return jax.lax.map(_painted, works)


def _painted(work: Work) -> UInt8[Array, "side side 3"]:
    side = round(LONGEST * FINENESS)
    colour = jnp.broadcast_to(work.ground[:, None, None], (3, side, side))
    canvas = jnp.concatenate([colour, jnp.zeros((1, side, side))])
    for coat, laid in zip(COATS, work.coats, strict=True):
        canvas = _coated(canvas, laid, work.height, coat.diagonal + 2)
    small = jax.image.resize(_in_light(canvas), (3, LONGEST, LONGEST), "linear")
    pixels = jnp.round(255 * jnp.clip(small, 0, 1)).astype(jnp.uint8)
    return jnp.moveaxis(pixels, 0, 2)


def _coated(
    canvas: Float[Array, "4 h w"],
    laid: Laid,
    pixels: ScalarLike,
    window: int,
) -> Float[Array, "4 h w"]:
    """Lay a coat, each stroke in a square of its own.

    As `strokes.draw` does, but three times as fast for thousands of small strokes that
    lie close together, of which no slopes are asked.
    """
    numbers = jnp.asarray(laid.strokes)
    middles = numbers[:, 1::-1] * pixels
    corners = jnp.round(middles - window / 2).astype(int)
    # Further out there is nothing to see.
    sides = jnp.array(canvas.shape[1:])[None]
    corners = jnp.clip(corners, -window, sides)
    seeds = jnp.asarray(laid.seeds)
    drawing = Drawing(laid.brush, numbers, seeds, pixels)
    coverage, height = footprints(drawing, corners, window)

    def lay_one(
        canvas: Float[Array, "4 tall wide"], stroke: tuple[Array, ...]
    ) -> tuple[Float[Array, "4 tall wide"], None]:
        corner, *paint = stroke
        place = (0, *(corner + window))
        under = lax.dynamic_slice(canvas, place, (4, window, window))
        over = composite(under[None], *(part[None] for part in paint))[0]
        return lax.dynamic_update_slice(canvas, over, place), None

    # A window may hang over the edge by its whole side.
    wide = jnp.pad(canvas, ((0, 0), (window, window), (window, window)))
    painted, _ = lax.scan(
        lay_one, wide, (corners, numbers[:, COLOUR], coverage, height)
    )
    return painted[:, window:-window, window:-window]


def _in_light(canvas: Float[Array, "4 h w"]) -> Float[Array, "3 h w"]:
    """Return the colours with light from the upper left falling on the relief."""
    thickness = canvas[3]
    slope = 2 * thickness - jnp.roll(thickness, 1, 0) - jnp.roll(thickness, 1, 1)
    return canvas[:3] * (1 + LIGHT * jnp.clip(slope, -1, 1))[None]


class Picture(NamedTuple):
    """A finished picture and what is said of it."""

    pixels: UInt8[np.ndarray, "h w 3"]
    genre: str
    style: str
    title: str


def _planned(index: int) -> tuple[Work, tuple[int, int], tuple[str, str, str]]:
    """Return a picture's plan, its height and width, and its genre, style and title."""
    rng = np.random.default_rng((SEED, index))
    compose = GENRES[index % len(GENRES)]
    low, high = (0.6, 1.05) if compose is portrait else (0.7, 2)
    aspect = math.exp(rng.uniform(math.log(low), math.log(high)))
    w, h = images.smallest_sides(round(10_000 * aspect), 10_000)
    palette = list(PALETTES)[rng.integers(len(PALETTES))]
    style = list(STYLES)[rng.integers(len(STYLES))]
    sketch = Sketch(rng, PALETTES[palette], h, w)
    genre, subject = compose(sketch)
    work = _plan(sketch, STYLES[style])
    return work, (h, w), (genre, style, f"{subject}, {palette}")


def _batch(indices: range) -> list[Picture]:
    works, sizes, labels = zip(*map(_planned, indices), strict=True)
    # A batch of another size would compile anew.
    full = works + works[-1:] * (BATCH - len(works))
    squares = np.asarray(_paint(jax.tree.map(lambda *parts: np.stack(parts), *full)))
    return [
        Picture(square[:h, :w], *label)
        for square, (h, w), label in zip(squares, sizes, labels, strict=False)
    ]


def pictures(count: int) -> Iterator[Picture]:
    """Yield the first `count` pictures, the same ones at every call."""
    batches = [range(k, min(k + BATCH, count)) for k in range(0, count, BATCH)]
    # While one thread composes, which keeps Python busy, the other one draws.
    with ThreadPoolExecutor(2) as threads:
        for batch in threads.map(_batch, batches):
            yield from batch


def is_held_out(index: int) -> bool:
    """Return whether a picture is held out, by the hash of what it is made from.

    Its pixels would not do: they differ by a level from processor to processor.
    """
    return dataset.is_held_out(hashlib.sha256(f"{SEED} {index}".encode()).digest())


def _records() -> Iterator[dataset.Sorted]:
    bar = tqdm.tqdm(pictures(COUNT), "inventing paintings", COUNT, unit="painting")
    for index, picture in enumerate(bar):
        texts = dict.fromkeys(TEXTS, "") | {"source": "invented", "artist": "jaxart"}
        record = {**texts, "filename": f"{index:04d}", **picture._asdict()}
        yield dataset.Sorted(record, is_held_out(index))


class Invented(tfds.core.ShardBasedBuilder):
    """The dataset `invented`: `COUNT` pictures in fixed order, a few held out."""

    name = "invented"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}  # noqa: RUF012

    def __init__(self, **kwargs: Any):
        super().__init__(**{"file_format": "array_record", **kwargs})

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Invented paintings, stroke by stroke.",
            features=dataset.features(),
            metadata=tfds.core.MetadataDict(size=images.CROP),
        )

    def _shard_iterators_per_split(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, list[Callable[[], Iterator[tuple[int, dict[str, Any]]]]]]:
        del dl_manager
        return dataset.shards(_records(), COUNT)


def prepare(data_dir: str | os.PathLike[str]) -> None:
    """Write the dataset `invented`, unless it is there already.

    Args:
        data_dir: receives the folder `invented`.
    """
    dataset.write(Invented(data_dir=data_dir))
