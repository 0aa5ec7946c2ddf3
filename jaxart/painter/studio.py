"""What is made once for a painting: the picture at any size, distances, and tools.

The arrays of a level are larger than it. They come in few sizes, each twice the one
before, so that a stage neither compiles anew at each level nor pays for a picture much
larger than it sees.
"""

import math
from typing import NamedTuple, cast

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, UInt8

from jaxart import vgg
from jaxart.painter import placement
from jaxart.painter.brushes import BRUSHES
from jaxart.painter.distances import (
    HALF,
    WHOLE,
    Distance,
    Look,
    Perceptual,
    SquaredError,
)
from jaxart.painter.pigments import PIGMENTS
from jaxart.painter.placement import Layout, Level
from jaxart.painter.refinement import Scene
from jaxart.painter.rounds import Tools
from jaxart.painter.settings import Settings
from jaxart.painter.slopes import Slope


COARSEST = 40  # height of the first level, in pixels
FINENESS = 12.0  # height of a level, in roots of its strokes
FIRST = 8  # strokes that are as large as the first
LARGEST = 1_024  # height of the finest level, in pixels
SMALLEST = 256  # height of the levels that the smallest arrays hold, in pixels

# The author's own recipe with VGG16.
ESSAY = Look(vgg.Window(4, 2, 1), ("block3_conv2",), 1.0)


class Distances(NamedTuple):
    """What falls in the rounds, and in the two descents after the first."""

    rounds: Distance
    half: Distance
    whole: Distance


class Studio(NamedTuple):
    """What is made once for a painting.

    Args:
        picture: what is painted.
        weights: how much each of its pixels counts, from 0 on; None for all alike.
        settings: how it is painted.
        distances: what is to fall.
    """

    picture: UInt8[np.ndarray, "h w 3"]
    weights: Float32[np.ndarray, "h w"] | None
    settings: Settings
    distances: Distances

    @property
    def finest(self) -> int:
        """Height of the finest level, in pixels."""
        return min(len(self.picture), LARGEST)

    def height(self, fineness: float, strokes: int) -> int:
        """Return the height at which so many strokes are seen, in pixels.

        Args:
            fineness: the height, in roots of the strokes.
            strokes: how many.
        """
        h, w = self.picture.shape[:2]
        return min(
            max(round(fineness * math.sqrt(strokes * h / w)), COARSEST), self.finest
        )

    def view(self, strokes: int) -> tuple[Level, Tools]:
        """Return the level at which the stroke after so many is painted, with tools."""
        height = self.height(FINENESS, max(strokes, FIRST))
        layout = self._layout(height)
        tools = Tools(
            BRUSHES[self.settings.brush],
            PIGMENTS[self.settings.pigment],
            cast(Slope, self.settings.slope),
            self.settings.steps,
            layout,
        )
        return placement.level(self.picture, self.weights, height, layout), tools

    def scene(self, height: int) -> Scene:
        """Return the picture as refinement sees it, so many pixels high."""
        h, w = self.picture.shape[:2]
        size = (max(1, round(w * height / h)), height)
        planes, counts = placement.resized(self.picture, self.weights, size)
        ground = jnp.array(self.settings.ground)
        return Scene(jnp.array(planes), jnp.array(counts), ground)

    def _layout(self, height: int) -> Layout:
        tall = SMALLEST
        while tall < height:
            tall *= 2
        tall = min(tall, self.finest)
        h, w = self.picture.shape[:2]
        rounds = self.distances.rounds
        return placement.layout(
            tall, -(-w * tall // h), reach=rounds.reach, stride=rounds.stride
        )


def opened(
    picture: UInt8[np.ndarray, "h w 3"],
    weights: Float32[np.ndarray, "h w"] | None,
    settings: Settings,
) -> Studio:
    """Return what a painting of a picture needs.

    Raises:
        ValueError: the file of weights of VGG16 cannot be used.
    """
    return Studio(picture, weights, settings, _distances(settings))


def _distances(settings: Settings) -> Distances:
    if settings.distance == "mse":
        return Distances(*3 * [SquaredError(settings.emphasis)])
    weights = vgg.load(settings.vgg_weights or None)
    if settings.distance == "essay":
        return Distances(*3 * [Perceptual(weights, (ESSAY,), 0.0, False)])
    shares = settings.shares
    half = Look(HALF, settings.refine_layers, shares[1])
    whole = Look(WHOLE, settings.refine_layers, shares[2])
    return Distances(
        Perceptual(weights, (Look(HALF, settings.layers, shares[0]),), 1.0, True),
        Perceptual(weights, (half,), 1.0, True),
        Perceptual(weights, (half, whole), 1.0, True),
    )
