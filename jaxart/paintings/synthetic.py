"""The TFDS builder of synthetic paintings: the default where no dataset was prepared.

Each picture is a scene of `scenes.py`, drawn with the painter's strokes and lit on the
relief of its paint. Each has a random generator of its own: it is the same whatever the
others are.
"""

import hashlib
import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tensorflow_datasets as tfds
import tqdm
from jaxtyping import Array, Float32, UInt8

from jaxart import images
from jaxart.drawing import relief
from jaxart.drawing.brushes import Brush
from jaxart.drawing.strokes import PADDING, draw
from jaxart.paintings import dataset
from jaxart.paintings.scenes import GENRES, PALETTES, STYLES, Scene, portrait
from jaxart.paintings.sources.picture import TEXTS


NAME = "synthetic"
SEED = 1863  # the year of the Salon des Refusés
COUNT = 2048
BATCH = 32  # pictures drawn in one call
SIDE = 182  # of the square canvas: the width of pictures of 2:1, in pixels
STROKES = 1024  # of a picture at most; of more, a random subset is drawn
LIGHT = relief.Light(elevation=50, gloss=0.1)


class Picture(NamedTuple):
    """A picture and its labels."""

    pixels: UInt8[np.ndarray, "h w 3"]
    genre: str
    style: str
    title: str


class Drawing(NamedTuple):
    """What a picture is drawn from, or a batch of pictures."""

    strokes: Float32[Array | np.ndarray, "*b n 8"]
    seeds: Float32[Array | np.ndarray, "*b n"]
    brush: Brush
    ground: Float32[Array | np.ndarray, "*b 3"]  # colour of the bare canvas
    height: Float32[Array | np.ndarray, "*b"]  # of the picture, in pixels


def compose(index: int) -> tuple[Drawing, tuple[int, int], tuple[str, str, str]]:
    """Return a picture's strokes, its height and width, its genre, style and title."""
    rng = np.random.default_rng((SEED, index))
    genre = GENRES[index % len(GENRES)]
    low, high = (0.6, 1.05) if genre is portrait else (0.7, 2)
    aspect = math.exp(rng.uniform(math.log(low), math.log(high)))
    w, h = images.smallest_sides(round(10_000 * aspect), 10_000)
    palette = list(PALETTES)[rng.integers(len(PALETTES))]
    style = list(STYLES)[rng.integers(len(STYLES))]
    scene = Scene(rng, palette, STYLES[style], w / h)
    labels = genre(scene)
    strokes = scene.strokes()
    subset = np.sort(rng.permutation(len(strokes))[:STROKES])
    padded = np.tile(PADDING, (STROKES, 1))
    padded[: len(subset)] = strokes[subset]
    ground = 0.8 * strokes[:, 5:].mean(0) + 0.1 * scene.accents[1]
    brush = STYLES[style].brush
    drawing = Drawing(padded, rng.random(STROKES), brush, ground, np.array(h))
    drawing = jax.tree.map(np.float32, drawing)
    return drawing, (h, w), (labels[0], style, f"{labels[1]}, {palette}")


@jax.jit
def _draw(drawings: Drawing) -> UInt8[Array, "b side side 3"]:
    """Draw pictures, each in the upper left corner of a square."""

    def draw_one(drawing: Drawing) -> UInt8[Array, "side side 3"]:
        strokes, seeds, brush, ground, height = drawing
        canvas = jnp.pad(ground, (0, 1))[:, None, None] + jnp.zeros((4, SIDE, SIDE))
        canvas = draw(canvas, strokes, brush, seeds, resolution=height)
        # The light is that of a square picture, whatever the shape.
        picture = relief.lit(canvas, light=LIGHT, resolution=2 * images.CROP)
        pixels = jnp.round(255 * jnp.clip(picture, 0, 1)).astype(jnp.uint8)
        return jnp.moveaxis(pixels, 0, 2)

    return jax.lax.map(draw_one, drawings)


def pictures(count: int) -> Iterator[Picture]:
    """Yield the first `count` pictures, the same ones at every call."""

    def batch(first: int) -> list[Picture]:
        # All of it, as a batch of another size would compile anew.
        composed = [compose(index) for index in range(first, first + BATCH)]
        drawings = [drawing for drawing, _, _ in composed]
        squares = _draw(jax.tree.map(lambda *parts: np.stack(parts), *drawings))
        shown = zip(np.asarray(squares), composed[: count - first], strict=False)
        return [
            Picture(square[:h, :w], *labels) for square, (_, (h, w), labels) in shown
        ]

    # While one thread composes, which keeps Python busy, the other one draws.
    with ThreadPoolExecutor(2) as threads:
        for pictures in threads.map(batch, range(0, count, BATCH)):
            yield from pictures


def is_held_out(index: int) -> bool:
    """Return whether a picture is held out."""
    # Its pixels would not do: they differ by a level from processor to processor.
    return dataset.is_held_out(hashlib.sha256(f"{SEED} {index}".encode()).digest())


class Synthetic(dataset.Paintings):
    """The dataset `synthetic`: `COUNT` pictures in fixed order, a few held out."""

    name = NAME
    VERSION = tfds.core.Version("2.0.0")
    RELEASE_NOTES = {"2.0.0": "Softer brushes; other scenes."}  # noqa: RUF012

    def __init__(self, **kwargs: Any):
        super().__init__(_records(), COUNT, **kwargs)


def _records() -> Iterator[dataset.SplitRecord]:
    bar = tqdm.tqdm(pictures(COUNT), "drawing paintings", COUNT, unit="painting")
    for index, picture in enumerate(bar):
        texts = dict.fromkeys(TEXTS, "") | {"source": NAME, "artist": "jaxart"}
        record = {**texts, "filename": f"{index:04d}", **picture._asdict()}
        yield dataset.SplitRecord(record, is_held_out(index))


def prepare(data_dir: str | os.PathLike[str]) -> None:
    """Write the dataset `synthetic` in a folder, unless it is there already."""
    dataset.write(Synthetic(data_dir=data_dir))
