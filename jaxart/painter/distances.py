"""How far a canvas is from the picture: squared error, or a difference in VGG16.

The loss of a distance is a weighted sum over a map of errors. Both the map and its
weights are local: a position of the map depends on the pixels at most `reach` away from
it, which is how a round of strokes can evaluate each of its windows alone and still be
exact.

A distance first computes *features* of images and then compares them, so that those of
the picture are computed only once.

Source: ctmakro's opencv_playground, painterfun.py, for the emphasis on edges, and
hellotensor for the author's own recipe with VGG16; Zhang et al., "The Unreasonable
Effectiveness of Deep Features as a Perceptual Metric" (2018), for comparing normalised
features.
Deviation: maps are averaged with the weights of a painting's pixels, whose sum is 1, so
that losses of pictures of different sizes can be compared.
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
PixelWeights = Float[Array, "b h w"]

SHARPEN = 8.0  # amount by which `emphasis` sharpens the map of errors
SHARPEN_SIDE = 5  # side of the box filter that it is sharpened against, in pixels
SMOOTH_SIDE = 3  # side of the box filter that is applied afterwards, in pixels


@jax.tree_util.register_static
@dataclass(frozen=True)
class SquaredError:
    """The mean squared error of sRGB.

    Args:
        emphasis: sharpen the map of errors, so that errors that stand out from those
            around them count more.
    """

    emphasis: bool = False

    @property
    def reach(self) -> int:
        """How far from its own pixel the map depends on pixels."""
        return (SHARPEN_SIDE + SMOOTH_SIDE) // 2 - 1 if self.emphasis else 0

    @property
    def stride(self) -> int:
        """Pixels from one position of the map to the next."""
        return 1

    @property
    def bytes_per_pixel(self) -> int:
        """About how much memory one evaluation takes."""
        return 100

    def features(self, images: Images) -> Images:
        """Return what is compared: the images themselves."""
        return images

    def loss(
        self, features: Images, target: Images, weights: PixelWeights
    ) -> Float[Array, " b"]:
        """Return the weighted sum of each image's map.

        Args:
            features: of the images.
            target: features of what they are compared with.
            weights: of the pixels.
        """
        error = ((features - target) ** 2).mean(1)
        if self.emphasis:
            sharp = error + SHARPEN * (error - _box_filter(error, SHARPEN_SIDE))
            error = _box_filter(jnp.maximum(sharp, error), SMOOTH_SIDE)
        return (error * weights).sum((1, 2))


class FeatureSpec(NamedTuple):
    """Which features of VGG16 are compared, and how much they count.

    Args:
        pool: average pooling of the image before the network: `WHOLE`, `HALF`, ...
        layers: whose features are compared.
        weight: of the map of each layer.
    """

    pool: vgg.KernelShape
    layers: tuple[str, ...]
    weight: float


WHOLE = vgg.KernelShape(1, 1, 0)
HALF = vgg.KernelShape(2, 2, 0)


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["network"],
    meta_fields=["specs", "squared_error", "normalised"],
)
@dataclass(frozen=True)
class Perceptual:
    """A difference of VGG16's features, plus some squared error.

    Args:
        network: weights from `vgg.load`.
        specs: what is compared.
        squared_error: how much squared error counts.
        normalised: compare features of length 1 as LPIPS does, with its heads where a
            layer has one; else the mean squared difference of the features themselves.
    """

    network: vgg.Weights
    specs: tuple[FeatureSpec, ...]
    squared_error: float
    normalised: bool

    @property
    def reach(self) -> int:
        """How far from its own pixels a position of a map depends on pixels."""
        return max(
            max(-field.start, field.size + field.start - field.stride)
            for field in self._receptive_fields()
        )

    @property
    def stride(self) -> int:
        """Pixels from one position of the coarsest map to the next."""
        return max(field.stride for field in self._receptive_fields())

    @property
    def bytes_per_pixel(self) -> int:
        """About how much memory one evaluation takes."""
        # Two layers of 64 channels come first, and are larger than all that follow.
        return sum(4 * 64 * 4 // spec.pool.stride**2 for spec in self.specs)

    def features(self, images: Images) -> Any:
        """Return the images, and a tuple of layers for each spec."""
        return images, tuple(self._layers(images, spec) for spec in self.specs)

    def loss(
        self, features: Any, target: Any, weights: PixelWeights
    ) -> Float[Array, " b"]:
        """Return the weighted sum of each image's maps; see `SquaredError.loss`."""
        mse = SquaredError().loss(features[0], target[0], weights)
        total = self.squared_error * mse
        padded = _pad_to_multiple(weights[:, None], self.stride, "constant")
        for spec, layers, target_layers in zip(
            self.specs, features[1], target[1], strict=True
        ):
            for name, layer, target_layer in zip(
                spec.layers, layers, target_layers, strict=True
            ):
                stride = padded.shape[2] // layer.shape[1]
                pooled = _average_pool(padded, vgg.KernelShape(stride, stride, 0))[:, 0]
                error = self._error_map(name, layer, target_layer) * pooled
                total += spec.weight * stride**2 * error.sum((1, 2))
        return total

    def _layers(
        self, images: Images, spec: FeatureSpec
    ) -> tuple[Float[Array, "..."], ...]:
        pooled = _average_pool(_pad_to_multiple(images, self.stride, "edge"), spec.pool)
        layers = vgg.features(self.network, jnp.moveaxis(pooled, 1, 3), spec.layers)
        return tuple(map(vgg.unit, layers)) if self.normalised else layers

    def _error_map(
        self,
        name: str,
        layer: Float[Array, "b h w c"],
        target: Float[Array, "b h w c"],
    ) -> Float[Array, "b h w"]:
        error = (layer - target) ** 2
        if not self.normalised:
            return error.mean(3)
        heads = self.network.heads
        return error @ heads[name] if name in heads else error.sum(3)

    def _receptive_fields(self) -> list[vgg.ReceptiveField]:
        return [
            vgg.receptive_field(layer, [spec.pool])
            for spec in self.specs
            for layer in spec.layers
        ]


def _box_filter(maps: PixelWeights, side: int) -> PixelWeights:
    """Return the average over a square around each pixel, zeros outside."""
    return _average_pool(maps[:, None], vgg.KernelShape(side, 1, side // 2))[:, 0]


def _pad_to_multiple(
    planes: Float[Array | np.ndarray, "b c h w"], stride: int, mode: str
) -> Float[Array, "b c _ _"]:
    """Return planes whose sides are multiples of a stride, padded in a NumPy mode."""
    padding = [(0, -n % stride) for n in planes.shape[2:]]
    return jnp.pad(planes, ((0, 0), (0, 0), *padding), mode=mode)


def _average_pool(
    images: Float[Array | np.ndarray, "b c h w"], kernel: vgg.KernelShape
) -> Float[Array, "b c _ _"]:
    """Return averages over windows of pixels."""
    size, stride, padding = kernel
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


Distance = SquaredError | Perceptual
