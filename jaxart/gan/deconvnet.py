"""A deconvnet: what excites a feature of the discriminator, projected to pixels.

An image is passed forward to a layer. There, all feature maps but one are set to zero,
and the rest is projected back to the pixels, layer by layer. A layer is a convolution,
batch norm with its running statistics, and a leaky ReLU; its backward projection is

1. rectification: max(0, y), so that only what excites the feature is shown;
2. batch norm: times its scale / √(variance + ε), channel by channel, without its shift
   and the bias. So batch norm counts as part of the filters, and folding it into the
   kernels changes nothing;
3. filtering: a transposed convolution, `convolution.double` with the layer's kernel.

The result at the pixels is not rectified: it lightens and darkens.

Relation to gradients: where no rectifier acts, forward (all values positive) or
backward, the result is the vector-Jacobian product of the masked feature map, which is
the gradient of half its squared norm. Elsewhere they differ: a gradient is multiplied
by the slope, 1 or 0.2, of the leaky ReLU in the forward pass, whatever the sign of the
backward signal; a deconvnet rectifies the backward signal, whatever the slope was
(Simonyan, Vedaldi and Zisserman, "Deep Inside Convolutional Networks", 2014, section 4;
Springenberg et al., "Striving for Simplicity", 2015, section 3.4).

Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV
2014, section 2.1; Beyers and Loane, sections 2.3 and 4.3.
Deviation: Zeiler and Fergus rectify backward with the function of the forward pass.
Ours is leaky there, and with a leak the projection shows more than what excites the
feature. There is no unpooling by switches, because there are strides instead of max
pools. They, and the paper, keep the single strongest activation of a map, which is our
keep="place"; `explore` shows keep="map" by default. The receptive fields in the first
layers of so small a network are a few pixels, of which a figure shows little; the whole
map also shows where in the picture the feature is active.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, UInt8

from jaxart import batches, images
from jaxart.gan import convolution
from jaxart.gan.networks import Discriminator
from jaxart.gan.update import NetworkState


# What is kept of a feature map: all of it, or its strongest activation.
Keep = Literal["map", "place"]

BATCH_SIZE = 128  # pictures of one compiled call of `max_activations`

Images = Float[Array, "n h w 3"]


class Projections(NamedTuple):
    """Feature maps projected back to the pixels."""

    images: Images  # what lightens (above zero) or darkens each pixel
    # Row and column of the strongest activation in the feature map.
    positions: Int[Array, "n 2"]


class ReceptiveField(NamedTuple):
    """The pixels that an activation depends on, along one side of the image."""

    start: int  # the first of them; negative if it is in the padding
    size: int  # how many


Projector = Callable[[NetworkState, Images, Int[Array, " n"]], Projections]


def make_projector(discriminator: Discriminator, layer: int, keep: str) -> Projector:
    """Return the compiled function that projects features of a layer to the pixels.

    It takes the network state, images, and the index of a feature for each. Of
    `discriminator` only the structure is used. Layers count from 1.

    Raises:
        ValueError: there is no such layer, or `keep` is not one of `Keep`.
    """
    layers = len(discriminator.stages)
    if not 1 <= layer <= layers:
        raise ValueError(f"layer must be from 1 to {layers}; got {layer}")
    if keep not in get_args(Keep):
        raise ValueError(f"keep must be one of {get_args(Keep)}; got {keep!r}")
    graphdef = _inference_graphdef(discriminator)

    @jax.jit
    def project(
        state: NetworkState, images: Images, features: Int[Array, " n"]
    ) -> Projections:
        network = _merge(graphdef, state)

        def project_one(image: Float[Array, "h w 3"], feature: Int[Array, ""]):
            # The projection is float32 whatever the forward pass is.
            maps = network.maps(image[None])[layer - 1].astype(jnp.float32)
            _, h, w, channels = maps.shape
            strongest = jnp.argmax(maps[0, :, :, feature])
            maps *= jax.nn.one_hot(feature, channels)[None, None, None]
            if keep == "place":
                maps *= jax.nn.one_hot(strongest, h * w).reshape(1, h, w, 1)
            for stage in reversed(network.stages[:layer]):
                maps = _project_layer(stage, maps)
            return Projections(maps[0], jnp.stack([strongest // w, strongest % w]))

        return jax.vmap(project_one)(images, features)

    return project


def max_activations(
    discriminator: Discriminator,
    state: NetworkState,
    pixels: UInt8[np.ndarray, "n h w 3"],
) -> list[Float[np.ndarray, "n o"]]:
    """Return each feature's strongest activation in each picture, for all layers."""
    graphdef = _inference_graphdef(discriminator)

    @jax.jit
    def strongest(
        state: NetworkState, pixels: UInt8[Array, "b h w 3"]
    ) -> list[Float[Array, "b o"]]:
        layers = _merge(graphdef, state).maps(images.to_images(pixels))
        return [maps.max((1, 2)).astype(jnp.float32) for maps in layers]

    def max_of_batch(pixels: UInt8[np.ndarray, "b h w 3"]) -> list[Float[Array, "b o"]]:
        return strongest(state, jnp.asarray(pixels))

    batch_size = min(len(pixels), BATCH_SIZE)
    parts = batches.map_batches(max_of_batch, pixels, batch_size, "activations")
    return [np.concatenate(layer) for layer in zip(*parts, strict=True)]


def receptive_field(layer: int, position: int) -> ReceptiveField:
    """Return the receptive field of an activation, along one side of the image.

    >>> receptive_field(1, 0), receptive_field(4, 2)
    (ReceptiveField(start=-1, size=4), ReceptiveField(start=17, size=46))

    Layers count from 1; the position is a row or column of the feature map.
    """
    stride = 2**layer
    return ReceptiveField(position * stride - (stride - 1), 3 * stride - 2)


def _inference_graphdef(discriminator: Discriminator) -> nnx.GraphDef:
    return nnx.graphdef(nnx.view(discriminator, use_running_average=True))


def _merge(graphdef: nnx.GraphDef, state: NetworkState) -> Any:
    return nnx.merge(graphdef, state.params, state.batch_stats)


def _project_layer(
    stage: Any, maps: Float[Array, "1 h w o"]
) -> Float[Array, "1 2*h 2*w i"]:
    maps = jax.nn.relu(maps)
    if isinstance(stage.norm, nnx.BatchNorm):
        norm: Any = stage.norm
        slope = norm.scale[...] * jax.lax.rsqrt(norm.var[...] + norm.epsilon)
        maps = maps * slope[None, None, None]
    return convolution.double(maps, stage.filters())
