"""A painting's medium: its brush, and the pigment of its paints.

The strokes of a painting have sRGB colours, and the canvas is in paint space (see
`pigments`). This is where one becomes the other.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, ScalarLike

from jaxart.drawing.brushes import Brush, PictureBrush
from jaxart.drawing.pigments import Pigment
from jaxart.drawing.strokes import COLOUR, Canvas, HostStrokes, Strokes, draw


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True)
class Medium:
    """What strokes are painted with, known when compiling but for a brush's picture.

    Args:
        brush: of all strokes.
        pigment: how their paints mix.
    """

    brush: Brush | PictureBrush
    pigment: Pigment

    def tree_flatten(self) -> tuple[tuple[Any, ...], tuple[Brush | None, Pigment]]:
        """Return what is traced, and what is known when compiling."""
        if isinstance(self.brush, Brush):
            return (), (self.brush, self.pigment)
        return (self.brush,), (None, self.pigment)

    @classmethod
    def tree_unflatten(
        cls, known: tuple[Brush | None, Pigment], traced: tuple[Any, ...]
    ) -> "Medium":
        """Undo `tree_flatten`."""
        brush, pigment = known
        return cls(brush or traced[0], pigment)

    def blank(
        self, ground: Float[Array | np.ndarray, " 3"], height: int, width: int
    ) -> Canvas:
        """Return an empty canvas, in paint space.

        Args:
            ground: its colour, sRGB in [0, 1].
            height: in pixels.
            width: in pixels.
        """
        colour = self.pigment.to_paint(ground)
        return jnp.broadcast_to(colour[:, None, None], (3, height, width))

    def draw(
        self,
        canvas: Canvas,
        strokes: Strokes | HostStrokes,
        seeds: Float[Array | np.ndarray, " n"],
        *,
        resolution: ScalarLike,
    ) -> Canvas:
        """Composite strokes of sRGB colours over a canvas in paint space.

        The arguments are those of `strokes.draw`.
        """
        colours = self.pigment.to_paint(strokes[:, COLOUR].T).T
        strokes = jnp.asarray(strokes).at[:, COLOUR].set(colours)
        return draw(canvas, strokes, self.brush, seeds, resolution=resolution)
