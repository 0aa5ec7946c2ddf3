"""What a feature of the discriminator looks at: a deconvnet.

An image goes forward to a layer. There, all features but one are set to zero, and what
is left goes back to the pixels, layer by layer. A layer is a convolution, batch norm
with its running statistics, and a leaky ReLU; the way back through it is

1. rectified: max(0, y). What would have held the feature back is not shown;
2. through batch norm: times its slope, scale / √(variance + ε), channel by channel. Its
   shift is left out, like a bias. So batch norm counts as part of the filters, and a
   network whose batch norm was folded into its kernels shows the same;
3. through the transposed filters: `convolution.double` with the layer's own kernel.

What arrives at the pixels is not rectified: it lightens and darkens.

How it relates to gradients: where no rectifier acts on the way up (all values positive)
nor on the way back, the result is the vector-Jacobian product of the masked map, which
is the gradient of half its squared length. Elsewhere they differ: a gradient takes up
the slope, 1 or 0.2, that the leaky ReLU had on the way up, whatever the sign of what
comes back; a deconvnet asks for the sign of what comes back, whatever the slope was
(Simonyan, Vedaldi and Zisserman, "Deep Inside Convolutional Networks", 2014, section 4;
Springenberg et al., "Striving for Simplicity", 2015, section 3.4).

Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV
2014, section 2.1; Beyers and Loane, sections 2.3 and 4.3.
Deviation: Zeiler and Fergus rectify with the function of the way up. Ours is leaky
there, and with the leak what comes back is not a picture of what excites the feature
alone. There are no switches, because strides took the place of max-pools. They, and
the paper, keep the one strongest activation of a map, which is our keep="place"; what
`explore` shows unless told otherwise is keep="map". The first layers of so small a
network see a few pixels, of which a figure says little; the whole map says where in the
picture the feature answers, too.
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


# What is kept of a feature's map: all of it, or the place where it is strongest.
Keep = Literal["map", "place"]

BATCH = 128  # pictures that are heard in one compiled call

Images = Float[Array, "n h w 3"]


class Projections(NamedTuple):
    """What features look at in images.

    Args:
        pixels: what lightens (above zero) or darkens each pixel for the feature.
        places: row and column of the feature's strongest answer in its map.
    """

    pixels: Images
    places: Int[Array, "n 2"]


class Window(NamedTuple):
    """The pixels that a place of a layer's map sees, along one side.

    Args:
        first: number of the first one; negative where it lies beyond the border.
        size: how many.
    """

    first: int
    size: int


Projector = Callable[[NetworkState, Images, Int[Array, " n"]], Projections]
Listener = Callable[[NetworkState, Images], list[Float[Array, "n o"]]]


def projector(discriminator: Discriminator, layer: int, keep: str) -> Projector:
    """Return the compiled call that projects features of a layer back to pixels.

    It takes the player, images, and the number of a feature for each; all of them go
    there and back in one call.

    Args:
        discriminator: only its structure is used; values are in the player.
        layer: counted from 1.
        keep: one of `Keep`.

    Raises:
        ValueError: there is no such layer, or `keep` is not one of `Keep`.
    """
    count = len(discriminator.stages)
    if not 1 <= layer <= count:
        raise ValueError(f"layer must be from 1 to {count}; got {layer}")
    if keep not in get_args(Keep):
        raise ValueError(f"keep must be one of {get_args(Keep)}; got {keep!r}")
    still = _still(discriminator)

    @jax.jit
    def project(
        player: NetworkState, images: Images, features: Int[Array, " n"]
    ) -> Projections:
        network = _network(still, player)

        def there_and_back(image: Float[Array, "h w 3"], feature: Int[Array, ""]):
            # What the way back takes in and returns is float32, whatever came up.
            maps = network.maps(image[None])[layer - 1].astype(jnp.float32)
            one, place = _strongest(maps[0], feature)
            maps *= _only(feature, maps.shape[3])[None, None, None]
            if keep == "place":
                maps *= one[None, :, :, None]
            for stage in reversed(network.stages[:layer]):
                maps = _back(stage, maps)
            return Projections(maps[0], place)

        return jax.vmap(there_and_back)(images, features)

    return project


def listener(discriminator: Discriminator) -> Listener:
    """Return the compiled call that says how strongly each feature answers to images.

    It takes the player and images, and returns for each layer the strongest answer
    that any place of an image gets from each feature.

    Args:
        discriminator: only its structure is used; values are in the player.
    """
    still = _still(discriminator)

    @jax.jit
    def listen(player: NetworkState, images: Images) -> list[Float[Array, "n o"]]:
        layers = _network(still, player).maps(images)
        return [maps.max((1, 2)).astype(jnp.float32) for maps in layers]

    return listen


def heard(
    discriminator: Discriminator,
    player: NetworkState,
    pixels: UInt8[np.ndarray, "n h w 3"],
) -> list[Float[np.ndarray, "n o"]]:
    """Return how strongly each feature of each layer answers to pictures.

    Args:
        discriminator: only its structure is used; values are in the player.
        player: what it learned.
        pixels: any number of pictures; they are heard some at a time.
    """
    listen = listener(discriminator)

    def call(pixels: UInt8[np.ndarray, "b h w 3"]) -> list[Float[Array, "b o"]]:
        return listen(player, jnp.asarray(images.to_images(pixels)))

    size = min(len(pixels), BATCH)
    layers = zip(*batches.map_batches(call, pixels, size, "looking"), strict=True)
    return [np.concatenate(answers) for answers in layers]


def window(layer: int, place: int) -> Window:
    """Return which pixels a place of a layer's map sees, along one side.

    >>> window(1, 0), window(4, 2)
    (Window(first=-1, size=4), Window(first=17, size=46))

    Args:
        layer: counted from 1.
        place: row or column in the map.
    """
    stride = 2**layer
    return Window(place * stride - (stride - 1), 3 * stride - 2)


def _still(discriminator: Discriminator) -> nnx.GraphDef:
    return nnx.graphdef(nnx.view(discriminator, use_running_average=True))


def _network(still: nnx.GraphDef, player: NetworkState) -> Any:
    return nnx.merge(still, player.params, player.batch_stats)


def _strongest(
    maps: Float[Array, "h w o"], feature: Int[Array, ""]
) -> tuple[Float[Array, "h w"], Int[Array, "2"]]:
    """Return a 1 at the strongest place of a feature among zeros; and which it is."""
    h, w, _ = maps.shape
    place = jnp.argmax(maps[:, :, feature])
    return _only(place, h * w).reshape(h, w), jnp.stack([place // w, place % w])


def _only(number: Int[Array, ""], count: int) -> Float[Array, " count"]:
    return jax.nn.one_hot(number, count)


def _back(stage: Any, maps: Float[Array, "1 h w o"]) -> Float[Array, "1 2*h 2*w i"]:
    maps = jax.nn.relu(maps)
    if isinstance(stage.norm, nnx.BatchNorm):
        maps = maps * _slope(stage.norm)[None, None, None]
    return convolution.double(maps, stage.kernel[...])


def _slope(norm: Any) -> Float[Array, " o"]:
    return norm.scale[...] * jax.lax.rsqrt(norm.var[...] + norm.epsilon)
