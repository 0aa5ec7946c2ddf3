"""A made-up picture, and strokes as a painting of it would have them."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8
from scipy import ndimage

from jaxart.drawing.strokes import StrokeBuffer, empty_buffer
from jaxart.painter import placement
from jaxart.painter.painting import CAPACITY
from jaxart.painter.problem import FIRST_LEVEL_STROKES, LEVEL_SCALE, Problem


def blots(side: int) -> UInt8[np.ndarray, "side side 3"]:
    """Return a picture of soft blots."""
    noise = np.random.default_rng(0).normal(size=(side, side, 3))
    smooth = ndimage.gaussian_filter(noise, (side / 30, side / 30, 0))
    return (128 + 40 * smooth / smooth.std()).clip(0, 255).astype(np.uint8)


def painted(problem: Problem, number: int) -> StrokeBuffer:
    """Return strokes at random places, each as long as those of its level begin."""
    rng = np.random.default_rng(1)
    low, high = placement.LENGTHS
    heights = [
        problem.level_height(LEVEL_SCALE, max(k, FIRST_LEVEL_STROKES))
        for k in range(number)
    ]
    length = rng.uniform(low, high, number) / heights
    columns = [
        *rng.random((2, number)),
        length,
        placement.ASPECT * length,
        rng.uniform(0, np.pi, number),
        *rng.random((3, number)),
    ]
    buffer = empty_buffer(CAPACITY * (-(-number // CAPACITY) + 1))
    return StrokeBuffer(
        buffer.strokes.at[:number].set(np.stack(columns, axis=1)),
        buffer.seeds,
        jnp.int32(number),
    )
