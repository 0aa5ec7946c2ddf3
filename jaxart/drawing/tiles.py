"""A canvas cut into small square tiles, row by row.

Tiles come in groups of equal size, as many as are drawn at once; the last group is
filled up.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


TILE = 16  # side of a tile, in pixels

# Tiles of one group with the upper left pixel (row, column) of each, and all tiles of a
# canvas in groups.
Tiles = Float[Array, "t c side side"]
Corners = Int[Array, "t 2"]
Groups = Float[Array, "m t c side side"]


def tile_corners(h: int, w: int, group: int) -> Int[Array, "m t 2"]:
    """Return the upper left pixel (row, column) of each tile, in groups."""
    rows, columns = -(-h // TILE), -(-w // TILE)
    corners = TILE * jnp.indices((rows, columns)).reshape(2, -1).T
    num_padding = -corners.shape[0] % group
    # What fills up the last group has the corner of the first tile; it is dropped.
    return jnp.pad(corners, ((0, num_padding), (0, 0))).reshape(-1, group, 2)


def split_tiles(canvas: Float[Array, "c h w"], group: int) -> Groups:
    """Return the tiles of a canvas, in groups; outside of it they are zero."""
    c, h, w = canvas.shape
    padded = jnp.pad(canvas, ((0, 0), (0, -h % TILE), (0, -w % TILE)))
    rows, columns = padded.shape[1] // TILE, padded.shape[2] // TILE
    tiles = padded.reshape(c, rows, TILE, columns, TILE).transpose(1, 3, 0, 2, 4)
    tiles = tiles.reshape(-1, c, TILE, TILE)
    tiles = jnp.pad(tiles, ((0, -tiles.shape[0] % group), *[(0, 0)] * 3))
    return tiles.reshape(-1, group, c, TILE, TILE)


def join_tiles(tiles: Groups, h: int, w: int) -> Float[Array, "c h w"]:
    """Undo `split_tiles`."""
    c = tiles.shape[2]
    rows, columns = -(-h // TILE), -(-w // TILE)
    tiles = tiles.reshape(-1, c, TILE, TILE)[: rows * columns]
    grid = tiles.reshape(rows, columns, c, TILE, TILE).transpose(2, 0, 3, 1, 4)
    return grid.reshape(c, rows * TILE, columns * TILE)[:, :h, :w]
