"""The problem that a painting solves: the picture at any size, distances, and options.

The arrays of a level are larger than it. They come in few sizes, each twice the one
before, so that a stage neither compiles anew at each level nor pays for a picture much
larger than its own.
"""

import math
from typing import NamedTuple, cast

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, UInt8

from jaxart import vgg
from jaxart.painter import artist, placement
from jaxart.painter.artist import Predictor
from jaxart.painter.distances import (
    HALF,
    WHOLE,
    Distance,
    FeatureSpec,
    Perceptual,
    SquaredError,
)
from jaxart.painter.gradients import Method
from jaxart.painter.placement import Layout
from jaxart.painter.refinement import Objective
from jaxart.painter.rounds import Options, Stage
from jaxart.painter.settings import ARTIST, Settings


MIN_LEVEL_HEIGHT = 40  # height of the first level, in pixels
LEVEL_SCALE = 12.0  # height of a level, in roots of its strokes
ARTIST_LEVEL_SCALE = (
    18.0  # the same for the artist, whose strokes are larger at a level
)
FIRST_LEVEL_STROKES = 8  # strokes that are painted at the first level
MAX_LEVEL_HEIGHT = 1_024  # height of the finest level, in pixels
MAX_ENLARGEMENT = 4  # of a small picture, in whose pixels strokes have no room to move
MIN_ARRAY_HEIGHT = 256  # height of the levels that the smallest arrays hold, in pixels

# The author's own recipe with VGG16.
ESSAY = FeatureSpec(vgg.KernelShape(4, 2, 1), ("block3_conv2",), 1.0)


class Distances(NamedTuple):
    """The distances of the rounds, and of the two refinements after the first."""

    rounds: Distance
    half: Distance
    whole: Distance


class Problem(NamedTuple):
    """What is painted, and how.

    Args:
        picture: what is painted.
        weights: how much each of its pixels counts, from 0 on; None for all alike.
        alpha: share of each pixel that is to be painted, in [0, 1]; the picture is over
            the ground. None to paint all.
        settings: how it is painted.
        distances: whose losses are minimised.
        predictor: the artist, if it is asked.
    """

    picture: UInt8[np.ndarray, "h w 3"]
    weights: Float32[np.ndarray, "h w"] | None
    alpha: Float32[np.ndarray, "h w"] | None
    settings: Settings
    distances: Distances
    predictor: Predictor | None = None

    @property
    def refined_height(self) -> int:
        """Height at which the refinement ends, in pixels."""
        return min(len(self.picture), MAX_LEVEL_HEIGHT)

    @property
    def max_level_height(self) -> int:
        """Height of the finest level, in pixels."""
        return min(MAX_ENLARGEMENT * len(self.picture), MAX_LEVEL_HEIGHT)

    def level_height(self, scale: float, strokes: int) -> int:
        """Return the height, in pixels, at which stroke number `strokes` is painted.

        Args:
            scale: the height of a square picture, in roots of the strokes.
            strokes: how many.
        """
        h, w = self.picture.shape[:2]
        return min(
            max(round(scale * math.sqrt(strokes * h / w)), MIN_LEVEL_HEIGHT),
            self.max_level_height,
        )

    def stage(self, strokes: int) -> Stage:
        """Return the stage that begins after `strokes` strokes."""
        scale = LEVEL_SCALE if self.predictor is None else ARTIST_LEVEL_SCALE
        height = self.level_height(scale, max(strokes, FIRST_LEVEL_STROKES))
        layout = self._layout(height)
        settings = self.settings
        alone = settings.slope == ARTIST
        slope = "autodiff" if alone else settings.slope.removeprefix(f"{ARTIST}+")
        steps = 0 if alone else settings.steps
        return Stage(
            placement.make_level(
                self.picture, self.weights, height, layout, self.alpha
            ),
            jnp.array(settings.ground),
            self.distances.rounds,
            Options(
                settings.medium, cast(Method, slope), steps, layout, self.predictor
            ),
        )

    def objective(self, height: int, distance: Distance) -> Objective:
        """Return the objective of a refinement at a height."""
        planes, weights, bare = placement.resize(
            self.picture, self.weights, height, self.alpha
        )
        ground = jnp.array(self.settings.ground)
        return Objective(
            jnp.array(planes),
            jnp.array(weights),
            ground,
            distance,
            self.settings.medium,
            None if bare is None else jnp.array(bare),
        )

    def _layout(self, height: int) -> Layout:
        array_height = MIN_ARRAY_HEIGHT
        while array_height < height:
            array_height *= 2
        array_height = min(array_height, self.max_level_height)
        h, w = self.picture.shape[:2]
        distance = self.distances.rounds
        return placement.make_layout(
            array_height,
            -(-w * array_height // h),
            reach=distance.reach,
            stride=distance.stride,
        )


def make_problem(
    picture: UInt8[np.ndarray, "h w 3"],
    settings: Settings,
    weights: Float32[np.ndarray, "h w"] | None = None,
    alpha: Float32[np.ndarray, "h w"] | None = None,
) -> Problem:
    """Return the problem of painting a picture; the arguments are its fields.

    Raises:
        ValueError: the file of weights of VGG16, or of the artist, cannot be used.
    """
    predictor = None
    if settings.has_artist:
        painter = artist.load(settings.artist or None, settings.brush)
        predictor = artist.make_predictor(painter, settings.medium.brush)
    return Problem(picture, weights, alpha, settings, _distances(settings), predictor)


def _distances(settings: Settings) -> Distances:
    if settings.distance == "mse":
        return Distances(*3 * [SquaredError(settings.emphasis)])
    network = vgg.load(settings.vgg_weights or None)
    if settings.distance == "essay":
        return Distances(*3 * [Perceptual(network, (ESSAY,), 0.0, normalised=False)])
    if not settings.refine_layers:
        raise ValueError("refine_layers must be at least one; got none")
    in_rounds, at_half, at_whole = settings.shares
    half = FeatureSpec(HALF, settings.refine_layers, at_half)
    whole = FeatureSpec(WHOLE, settings.refine_layers, at_whole)

    def lpips(*specs: FeatureSpec) -> Perceptual:
        return Perceptual(network, specs, 1.0, normalised=True)

    rounds = SquaredError(settings.emphasis)
    if settings.distance == "vgg_rounds":
        if not settings.layers:
            raise ValueError("layers must be at least one; got none")
        rounds = lpips(FeatureSpec(HALF, settings.layers, in_rounds))
    return Distances(
        rounds,
        lpips(half),
        lpips(half, whole),
    )
