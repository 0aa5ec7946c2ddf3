"""How far a canvas is from the picture: squared error, or what VGG16 sees.

A distance is a weighted sum over the places of a map. Both the map and its weights are
local: what one place says depends on the pixels at most `reach` away from it, which is
how a round of strokes can judge each of its windows alone and still be exact.

A distance first *sees* images, then compares what it saw, so that the picture need be
seen only once.

Source: ctmakro's opencv_playground, painterfun.py, for the emphasis on edges, and
hellotensor for the author's own recipe with VGG16; Zhang et al., "The Unreasonable
Effectiveness of Deep Features as a Perceptual Metric" (2018), for comparing directions
of features instead of features.
Deviation: the maps of one painting are divided by the weights' sum, so that distances
of pictures of different sizes can be compared.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jaxart import vgg


# sRGB in [0, 1], colours first; and how much each pixel counts.
Images = Float[Array | np.ndarray, "b 3 h w"]
Counts = Float[Array, "b h w"]

EMPHASIS = 8.0  # how much more an error counts for standing out from those around it
AROUND = 5  # side of the square that it stands out from, in pixels
BLUR = 3  # side of the square over which the emphasised error is averaged, in pixels


@jax.tree_util.register_static
@dataclass(frozen=True)
class SquaredError:
    """The mean squared error of sRGB.

    Args:
        emphasis: count errors that stand out from those around them more.
    """

    emphasis: bool = False

    @property
    def reach(self) -> int:
        """Pixels that a place looks beyond itself."""
        return (AROUND + BLUR) // 2 - 1 if self.emphasis else 0

    @property
    def stride(self) -> int:
        """Pixels from one place of the map to the next."""
        return 1

    @property
    def bytes_per_pixel(self) -> int:
        """About how much memory one evaluation takes."""
        return 100

    def see(self, images: Images) -> Images:
        """Return what is compared: the images themselves."""
        return images

    def between(
        self, seen: Images, other: Images, weights: Counts
    ) -> Float[Array, " b"]:
        """Return the weighted sum of each image's map.

        Args:
            seen: what was seen of some images.
            other: what was seen of some others.
            weights: of the pixels.
        """
        error = ((seen - other) ** 2).mean(1)
        if self.emphasis:
            sharp = error + EMPHASIS * (error - _box(error, AROUND))
            error = _box(jnp.maximum(sharp, error), BLUR)
        return (error * weights).sum((1, 2))


class Look(NamedTuple):
    """How VGG16 looks at a picture.

    Args:
        pool: windows of pixels whose averages the network sees: `WHOLE`, `HALF`, ...
        layers: whose features are compared.
        share: how much the map of each of them counts.
    """

    pool: vgg.Window
    layers: tuple[str, ...]
    share: float


WHOLE = vgg.Window(1, 1, 0)
HALF = vgg.Window(2, 2, 0)


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["weights"],
    meta_fields=["looks", "squared_error", "directions"],
)
@dataclass(frozen=True)
class Perceptual:
    """What VGG16 sees, and a share of squared error.

    Args:
        weights: from `vgg.load`.
        looks: what is compared.
        squared_error: how much squared error counts beside them.
        directions: compare the directions of features as LPIPS does, with its heads
            where a layer has one; else the mean squared difference of the features
            themselves.
    """

    weights: vgg.Weights
    looks: tuple[Look, ...]
    squared_error: float
    directions: bool

    @property
    def reach(self) -> int:
        """Pixels that a place looks beyond itself."""
        return max(
            max(-field.start, field.size + field.start - field.stride)
            for field in self._fields()
        )

    @property
    def stride(self) -> int:
        """Pixels from one place of the coarsest map to the next."""
        return max(field.stride for field in self._fields())

    @property
    def bytes_per_pixel(self) -> int:
        """About how much memory one evaluation takes."""
        # Two layers of 64 channels come first, and are larger than all that follow.
        return sum(4 * 64 * 4 // look.pool.stride**2 for look in self.looks)

    def see(self, images: Images) -> Any:
        """Return the images, and their features look by look."""
        return images, tuple(self._features(images, look) for look in self.looks)

    def between(self, seen: Any, other: Any, weights: Counts) -> Float[Array, " b"]:
        """Return the weighted sum of each image's maps; see `SquaredError.between`."""
        plain = SquaredError()
        total = self.squared_error * plain.between(seen[0], other[0], weights)
        counts = _whole(weights[:, None], self.stride, "constant")
        for look, these, those in zip(self.looks, seen[1], other[1], strict=True):
            for layer, one, two in zip(look.layers, these, those, strict=True):
                stride = counts.shape[2] // one.shape[1]
                pooled = _averaged(counts, vgg.Window(stride, stride, 0))[:, 0]
                unlike = self._unlike(layer, one, two) * pooled
                total += look.share * stride**2 * unlike.sum((1, 2))
        return total

    def _features(self, images: Images, look: Look) -> tuple[Float[Array, "..."], ...]:
        small = _averaged(_whole(images, self.stride, "edge"), look.pool)
        found = vgg.features(self.weights, jnp.moveaxis(small, 1, 3), look.layers)
        return tuple(map(vgg.unit, found)) if self.directions else found

    def _unlike(
        self, layer: str, one: Float[Array, "b h w c"], two: Float[Array, "b h w c"]
    ) -> Float[Array, "b h w"]:
        error = (one - two) ** 2
        if not self.directions:
            return error.mean(3)
        heads = self.weights.heads
        return error @ heads[layer] if layer in heads else error.sum(3)

    def _fields(self) -> list[vgg.Field]:
        return [
            vgg.receptive_field(layer, [look.pool])
            for look in self.looks
            for layer in look.layers
        ]


def _box(maps: Counts, side: int) -> Counts:
    """Return the average over a square around each place; outside there is nothing."""
    return _averaged(maps[:, None], vgg.Window(side, 1, side // 2))[:, 0]


def _whole(
    planes: Float[Array | np.ndarray, "b c h w"], stride: int, mode: str
) -> Float[Array, "b c _ _"]:
    """Return planes with sides of whole strides, padded in one of NumPy's modes."""
    more = [(0, -n % stride) for n in planes.shape[2:]]
    return jnp.pad(planes, ((0, 0), (0, 0), *more), mode=mode)


def _averaged(
    images: Float[Array | np.ndarray, "b c h w"], window: vgg.Window
) -> Float[Array, "b c _ _"]:
    """Return averages over windows of pixels."""
    size, stride, padding = window
    if size == stride:
        b, c, h, w = images.shape
        return images.reshape(b, c, h // size, size, w // size, size).mean((3, 5))
    sums = lax.reduce_window(
        images,
        0.0,
        lax.add,
        (1, 1, size, size),
        (1, 1, stride, stride),
        ((0, 0), (0, 0), (padding, padding), (padding, padding)),
    )
    return sums / size**2


# Whatever can say how far images are from others.
Distance = SquaredError | Perceptual
