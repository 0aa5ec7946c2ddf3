"""Which strokes a painting needs least: how the error rises without each of them.

Strokes that reach no tile in common do not matter to each other. So a group of them is
left out of one drawing, and what changes in a stroke's tiles is due to it alone.

Cost: a drawing for each group. There are hardly more groups than strokes that reach
one tile: 43, 51, 70 and 161 for 300, 1,000, 3,000 and 10,000 strokes of the flower at
512 pixels, with at most 39, 48, 67 and 159 in a tile.

Source: Kerbl et al. (2023, see `strokes.py`), for replacing strokes during an
optimisation.
Deviation: a stroke is judged not by how much of it shows, but by how much worse the
painting is without it.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxart.drawing.strokes import PADDING, Drawing, reached_tiles
from jaxart.drawing.tiles import split_tiles
from jaxart.painter.refinement import Objective, error_map, render


GROUPS = 16  # the number of groups is a multiple of this, so that few are compiled


def error_rises(
    strokes: Float[Array, "n 8"], seeds: Float[Array, " n"], objective: Objective
) -> Float[np.ndarray, " n"]:
    """Return how much the weighted squared error rises without each stroke.

    Paint on what is to stay bare counts as well, as in a refinement.

    Args:
        strokes: of the painting.
        seeds: of the strokes' hairs.
        objective: the picture and the medium; its distance does not matter.
    """
    reached = _reached(strokes, seeds, objective)
    group_of = disjoint_groups(np.asarray(reached))
    count = int(group_of.max(initial=0)) + 1
    groups = jnp.arange(-(-count // GROUPS) * GROUPS)
    rises = _rises(strokes, seeds, objective, reached, jnp.asarray(group_of), groups)
    return np.asarray(rises)


def disjoint_groups(reached: Bool[np.ndarray, "n t"]) -> Int[np.ndarray, " n"]:
    """Return the number of each stroke's group; no two of a group share a tile.

    Args:
        reached: which tiles each stroke may reach.
    """
    taken = np.zeros((1, reached.shape[1]), bool)  # tiles, by group
    group_of = np.zeros(len(reached), int)
    # The largest first: small ones fit in between.
    for stroke in np.argsort(-reached.sum(1), stable=True):
        tiles = np.flatnonzero(reached[stroke])
        free = ~taken[:, tiles].any(1)
        if not free.any():
            taken = np.concatenate([taken, np.zeros_like(taken[:1])])
            free = np.append(free, True)
        group_of[stroke] = free.argmax()
        taken[group_of[stroke], tiles] = True
    return group_of


@jax.jit
def _reached(
    strokes: Float[Array, "n 8"], seeds: Float[Array, " n"], objective: Objective
) -> Bool[Array, "n t"]:
    _, height, width = objective.picture.shape
    drawing = Drawing(objective.medium.brush, strokes, seeds, height)
    return reached_tiles(drawing, height, width)


@jax.jit
def _rises(
    strokes: Float[Array, "n 8"],
    seeds: Float[Array, " n"],
    objective: Objective,
    reached: Bool[Array, "n t"],
    group_of: Int[Array, " n"],
    groups: Int[Array, " g"],
) -> Float[Array, " n"]:
    whole = _error_by_tile(strokes, seeds, objective)

    def rises_of(group):
        left_out = group_of == group
        others = jnp.where(left_out[:, None], PADDING, strokes)
        rise = _error_by_tile(others, seeds, objective) - whole
        of_stroke = jnp.matmul(reached.astype(rise.dtype), rise, precision="highest")
        return jnp.where(left_out, of_stroke, 0)

    return jax.lax.map(rises_of, groups).sum(0)


def _error_by_tile(
    strokes: Float[Array, "n 8"], seeds: Float[Array, " n"], objective: Objective
) -> Float[Array, " t"]:
    canvas = render(strokes, seeds, objective)
    image = objective.medium.pigment.to_srgb(canvas[:3])
    error = error_map(image, objective)
    if objective.bare is not None:
        error += objective.bare * canvas[4]
    return split_tiles(error[None], 1).sum((1, 2, 3, 4))
