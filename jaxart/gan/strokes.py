"""A generator that paints: 100 latent numbers to strokes, and strokes to an image.

The latents become a ground, a few large strokes from the whole canvas, and strokes of
the cells of finer grids (`drawing.levels`), laid one over the other. The maps that the
cells' strokes are read from are those of `networks.Generator`, stage by stage, so that
neighbours know of each other. Drawing is differentiable, so that nothing else changes:
discriminator, losses and update are those of the generator of pixels.

What can hide will: a stroke of a colour that D minds would shrink to a dot, and never
grow again. So strokes have a least size, and a stroke's colour is told as a difference
from what lies below it, which is small at first: it need not hide. The difference is
one of angles, and a colour is the squared sine of its angle: near black and white,
where the gradient of a sigmoid vanishes, its gradient does not. Sizes and places of a
cell's strokes are bounded so that they stay in the window of their cell: the longer a
stroke, the less it may move.

Source: Ganin et al., "Synthesizing Programs for Images using Reinforced Adversarial
Learning" (SPIRAL), ICML 2018, for a generator whose pictures are drawn. Deviation:
theirs draws with a program that has no gradients, and learns by reinforcement.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from jaxart.drawing import levels
from jaxart.drawing.brushes import BRUSHES
from jaxart.drawing.levels import Level
from jaxart.drawing.strokes import COLOUR, POSITION
from jaxart.gan import networks
from jaxart.gan.networks import (
    LEAK,
    SMALLEST,
    Generator,
    Normalisation,
    Resampling,
    UpBlock,
)


HIDDEN = 512  # of the layers that large strokes and the ground are read from
DEEPER = 2  # how many more of them there are where no cells follow
NUMBERS = 8  # of a stroke
PALEST = 0.001  # how near to 0 and 1 a colour may be that others differ from
COLOUR_STEP = 0.35  # radians for each of the number of a head, of large strokes
SMALL_STEP = 0.1  # of those of cells, which begin as shades of what is below them

# What a work is made with: any colours, or greys on black.
Palette = Literal["colours", "chalk"]


class Bounds(NamedTuple):
    """What a level's strokes may be, in cells.

    Args:
        length: the least and the greatest.
        aspect: width over length, the least and the greatest.
        place: of the centre, from the cell's middle; 0: wherever the stroke stays in
            the window.
    """

    length: tuple[float, float]
    aspect: tuple[float, float]
    place: float


OF_WHOLE = Bounds((0.25, 1.6), (0.15, 0.9), 0.6)
# Where no cells follow, they do the small work too.
OF_WHOLE_ALONE = Bounds((0.1, 1.2), (0.15, 0.9), 0.6)
# The longest and widest stroke, as a diagonal, is as large as half the window.
OF_CELLS = Bounds((0.9, 1.6), (0.5, 0.75), 0.0)


class Painted(NamedTuple):
    """A batch of paintings.

    Args:
        strokes: of each painting, in the order in which they are laid; see
            `drawing.strokes`.
        ground: colour of each canvas below them, sRGB in [0, 1].
        images: of the paintings, in [-1, 1].
    """

    strokes: Float[Array, "b n 8"]
    ground: Float[Array, "b 3"]
    images: Float[Array, "b h w 3"]


class StrokeHead(nnx.Module):
    """Read the strokes of each cell from its features.

    Args:
        channels: of the features.
        level: the cells and their strokes.
        bounds: of the strokes.
        palette: of their colours.
        normalisation: of the features.
        rngs: of the initial values.
    """

    def __init__(
        self,
        channels: int,
        level: Level,
        *,
        bounds: Bounds,
        palette: Palette = "colours",
        normalisation: Normalisation,
        rngs: nnx.Rngs,
    ):
        self.norm = _norm(channels, normalisation, rngs)
        self.out = nnx.Linear(channels, level.strokes * NUMBERS, rngs=rngs)
        # The strokes of a cell differ from the start, but not their colours.
        bias = jax.random.normal(rngs.params(), (level.strokes, NUMBERS))
        self.out.bias = nnx.Param(bias.at[:, COLOUR].set(0).ravel())
        self.level, self.bounds, self.palette = level, bounds, palette

    def __call__(
        self, features: Float[Array, "b h w c"], canvas: Float[Array, "3 b side side"]
    ) -> Float[Array, "k phases b rows columns 8"]:
        """Return the level's strokes by passes; see `levels.in_order`.

        Args:
            features: of the cells.
            canvas: before the level is laid.
        """
        x = nnx.leaky_relu(self.norm(features.astype(jnp.float32)), LEAK)
        b, rows, columns, _ = x.shape
        raw = self.out(x).reshape(b, rows, columns, self.level.strokes, NUMBERS)
        geometry = _geometry(raw, rows, self.bounds)
        below = _colours_at(canvas, geometry[..., POSITION], rows)
        step = COLOUR_STEP if rows == 1 else SMALL_STEP
        difference = step * raw[..., COLOUR]
        if self.palette == "chalk":
            difference = difference[..., :1]
        colours = jnp.sin(_angles(below) + difference) ** 2
        return levels.in_order(jnp.concatenate([geometry, colours], -1))


class StrokeGenerator(nnx.Module):
    """Map latents to strokes, and to images drawn with them.

    Args:
        size: side of the images, in pixels.
        width: channels of the largest map of a `networks.Generator`.
        latent_dim: how many latents.
        grids: from coarse to fine; see `levels.parse`.
        brush: name of the brush that the images are drawn with.
        palette: of the ground and the strokes.
        normalisation: of the maps.
        resampling: of the maps.
        condition_size: numbers of a condition that follows the latents; 0 for none.
        dtype: of the products of the maps.
        rngs: of the initial values.
    """

    def __init__(
        self,
        size: int,
        width: int,
        latent_dim: int,
        *,
        grids: tuple[Level, ...],
        brush: str,
        palette: Palette = "colours",
        condition_size: int = 0,
        normalisation: Normalisation = "batch",
        resampling: Resampling = "strided",
        dtype: str,
        rngs: nnx.Rngs,
    ):
        self.size, self.latent_dim, self.dtype = size, latent_dim, dtype
        self.brush, self.grids, self.palette = BRUSHES[brush], grids, palette
        self.drawn_size, self.drawn_brush = self.size, self.brush
        numbers = latent_dim + condition_size
        self.hidden = nnx.Linear(numbers, HIDDEN, rngs=rngs)
        # Where no cells follow, large strokes must be arranged with each other.
        deeper = DEEPER if grids[-1].cells == 1 else 0
        self.norms = nnx.List(_norm(HIDDEN, normalisation, rngs) for _ in range(deeper))
        self.deeper = nnx.List(
            nnx.Linear(HIDDEN, HIDDEN, rngs=rngs) for _ in range(deeper)
        )
        self.ground = nnx.Linear(HIDDEN, 3, rngs=rngs)
        finest = max(grids).cells
        widths = networks.channel_counts(size, width)[::-1]
        maps = [SMALLEST << stage for stage in range(len(widths))]
        shape = (numbers, SMALLEST, SMALLEST, widths[0])
        self.seed = nnx.Param(networks.he_normal(rngs.params(), shape, numbers))
        self.stages = nnx.List(
            UpBlock(
                i,
                o,
                condition_size=condition_size,
                normalisation=normalisation,
                resampling=resampling,
                dtype=dtype,
                rngs=rngs,
            )
            for i, o, side in zip(widths, widths[1:], maps[1:], strict=False)
            if side <= finest
        )
        channels = {1: HIDDEN} | dict(zip(maps, widths, strict=True))
        self.heads = nnx.List(
            StrokeHead(
                channels[grid.cells],
                grid,
                bounds=bounds_of(grid, grids),
                palette=palette,
                normalisation=normalisation,
                rngs=rngs,
            )
            for grid in grids
        )

    def __call__(self, points: Float[Array, "b z"]) -> Float[Array, "b h w 3"]:
        """Return one image in [-1, 1] for each row of N(0, 1) numbers."""
        return self.paint(points).images

    def draw_at(self, size: int, brush: str | None = None) -> None:
        """Draw the images at another size from now on, perhaps with another brush.

        The strokes stay those that they are at the size and with the brush of training.

        Args:
            size: its side, in pixels; a multiple of the one in training.
            brush: name of one of `BRUSHES`.

        Raises:
            ValueError: the size is no such multiple, or there is no such brush.
        """
        if size < self.size or size % self.size:
            raise ValueError(
                f"pixels must be a multiple of the {self.size} of the run; got {size}"
            )
        if brush is not None and brush not in BRUSHES:
            raise ValueError(
                f"brush must be one of {', '.join(BRUSHES)}; got {brush[:80]!r}"
            )
        self.drawn_size = size
        self.drawn_brush = self.brush if brush is None else BRUSHES[brush]

    def paint(self, points: Float[Array, "b z"]) -> Painted:
        """Return a painting for each row of N(0, 1) numbers."""
        features = self._features(points)
        hidden = nnx.leaky_relu(features[1][:, 0, 0], LEAK)
        ground = nnx.sigmoid(self.ground(hidden))
        if self.palette == "chalk":
            ground = jnp.zeros_like(ground)
        canvas = _bare_canvas(ground, self.size)
        by_level, first = [], 0
        for head in self.heads:
            grid = head.level
            strokes = head(features[grid.cells], canvas)
            seeds = jnp.asarray(hair_seeds(first + grid.num_strokes)[first:])
            seeds = seeds.reshape(*strokes.shape[:2], *strokes.shape[3:5])
            canvas = levels.draw_level(canvas, strokes, seeds, self.brush, grid)
            by_level.append((strokes, seeds, grid))
            first += grid.num_strokes
        if (self.drawn_size, self.drawn_brush) != (self.size, self.brush):
            canvas = _bare_canvas(ground, self.drawn_size)
            for strokes, seeds, grid in by_level:
                canvas = levels.draw_level(
                    canvas, strokes, seeds, self.drawn_brush, grid
                )
        strokes = jnp.concatenate([levels.flat(each[0]) for each in by_level], axis=1)
        return Painted(strokes, ground, 2 * jnp.moveaxis(canvas, 0, -1) - 1)

    def _features(
        self, points: Float[Array, "b z"]
    ) -> dict[int, Float[Array, "b h w c"]]:
        """Return the maps that strokes are read from, by cells along a side."""
        seed = self.seed[...].astype(self.dtype)
        x = jnp.einsum("bz,zhwo->bhwo", points.astype(self.dtype), seed)
        features = {1: self._whole(points)[:, None, None], SMALLEST: x}
        condition = points[:, self.latent_dim :]
        for stage in self.stages:
            x = stage(x, condition)
            features[x.shape[1]] = x
        return features

    def _whole(self, points: Float[Array, "b z"]) -> Float[Array, "b c"]:
        """Return what ground and large strokes are read from."""
        x = self.hidden(points)
        for norm, layer in zip(self.norms, self.deeper, strict=True):
            x = layer(nnx.leaky_relu(norm(x), LEAK))
        return x


def _norm(
    channels: int, normalisation: Normalisation, rngs: nnx.Rngs
) -> Callable[[Array], Array]:
    if normalisation == "batch":
        return networks.batch_norm(channels, "float32", rngs)
    return nnx.identity


def _bare_canvas(
    ground: Float[Array, "b 3"], size: int
) -> Float[Array, "3 b side side"]:
    return jnp.broadcast_to(ground.T[:, :, None, None], (3, len(ground), size, size))


def _colours_at(
    canvas: Float[Array, "3 b side side"],
    positions: Float[Array, "b rows columns k 2"],
    cells: int,
) -> Float[Array, "b rows columns k 3"]:
    """Return the mean colour around each position, in a quarter of a cell."""
    size = canvas.shape[-1]
    parts = min(4 * cells, size)
    side = size // parts
    split = canvas.reshape(*canvas.shape[:2], parts, side, parts, side)
    means = jnp.moveaxis(split.mean((3, 5)).reshape(3, len(positions), -1), 0, -1)
    x, y = jnp.moveaxis(jnp.floor(positions * parts).astype(int), -1, 0)
    place = parts * jnp.clip(y, 0, parts - 1) + jnp.clip(x, 0, parts - 1)
    found = jnp.take_along_axis(means, place.reshape(len(place), -1, 1), axis=1)
    return found.reshape(*place.shape, 3)


def _angles(colours: Float[Array, "*any"]) -> Float[Array, "*any"]:
    """Return the angles whose squared sines the colours are."""
    return jnp.arcsin(jnp.sqrt(jnp.clip(colours, PALEST, 1 - PALEST)))


def hair_seeds(count: int) -> Float[np.ndarray, " n"]:
    """Return numbers that pick the hairs of strokes, spread over [0, 1)."""
    golden = (5**0.5 - 1) / 2
    return (golden * np.arange(1, count + 1) % 1).astype(np.float32)


def bounds_of(level: Level, grids: tuple[Level, ...]) -> Bounds:
    """Return what the strokes of one of the levels may be."""
    if level.cells > 1:
        return OF_CELLS
    return OF_WHOLE if len(grids) > 1 else OF_WHOLE_ALONE


def _geometry(
    raw: Float[Array, "b rows columns k 8"], cells: int, bounds: Bounds
) -> Float[Array, "b rows columns k 5"]:
    """Return place, size and angle within their bounds from numbers that have none."""
    x, y, length, aspect, angle = jnp.moveaxis(raw[..., :5], -1, 0)
    low, high = bounds.length
    length = low * (high / low) ** nnx.sigmoid(length)
    low, high = bounds.aspect
    width = length * (low + (high - low) * nnx.sigmoid(aspect))
    angle = 1.5 * angle
    cos, sin = jnp.abs(jnp.cos(angle)), jnp.abs(jnp.sin(angle))
    room_x = bounds.place or 1 - (length * cos + width * sin) / 2
    room_y = bounds.place or 1 - (length * sin + width * cos) / 2
    middles = np.arange(cells, dtype=np.float32) + 0.5
    x = middles[None, None, :, None] + room_x * jnp.tanh(x)
    y = middles[None, :, None, None] + room_y * jnp.tanh(y)
    return jnp.stack([x / cells, y / cells, length / cells, width / cells, angle], -1)


AnyGenerator = Generator | StrokeGenerator
