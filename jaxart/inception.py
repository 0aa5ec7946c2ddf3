"""InceptionV3 as the Fréchet inception distance uses it: 2,048 features of a picture.

One table, `BLOCKS`, defines the network: the forward pass, and the shapes that a file
of weights must have. All branches of a block have the block's input, and their outputs
are concatenated. A convolution is followed by batch norm and ReLU; batch norm is folded
into the kernel when the weights are loaded. Images are sRGB in [0, 1].

The convolutions are 11.4 GFLOP for a picture of any size, as it is resized to 299 x 299
first.

Weights are the user's: `pt_inception-2015-12-05-6726825d.pth` of pytorch-fid, which
were Google's of December 2015. Only with these is a distance comparable to published
ones, and torchvision's InceptionV3 is another network.

Source: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision"
(2015); Seitzer's pytorch-fid (inception.py) for how the network that Google published
differs, in average pools that do not count the padding and a max pool in the last
block, and for bilinear resizing with half-pixel centres.
Deviation: TensorFlow's program of 2017 resized without half-pixel centres. pytorch-fid
does not, and most published values are now computed with it.
"""

import os
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

from jaxart.weights import Convolution, read


INPUT_SIZE = 299  # side of the network's input, in pixels
EPSILON = 0.001  # of batch norm
CLASSES = 1008  # Google's; torchvision's network has 1000


class Conv(NamedTuple):
    """A convolution with batch norm and ReLU."""

    name: str  # in the file of weights, after the block's
    channels: int  # of its output
    height: int = 1  # of its kernel, in pixels
    width: int = 1  # of its kernel
    stride: int = 1  # of its windows, in pixels
    padded: bool = True  # pad with zeros as in "SAME" instead of "VALID"


class Pool(NamedTuple):
    """A 3 x 3 max or average pool; padded where its stride is 1."""

    is_max: bool
    stride: int


AVERAGE_POOL = Pool(is_max=False, stride=1)
MAX_POOL = Pool(is_max=True, stride=1)
MAX_POOL_STRIDE_2 = Pool(is_max=True, stride=2)

# Two convolutions in a tuple have the same input; their outputs are concatenated.
Layer = Conv | Pool | tuple[Conv, Conv]
Branch = tuple[Layer, ...]
Weights = dict[str, Convolution]


def _inception_a(pool_channels: int) -> tuple[Branch, ...]:
    return (
        (Conv("branch1x1", 64),),
        (Conv("branch5x5_1", 48), Conv("branch5x5_2", 64, 5, 5)),
        (
            Conv("branch3x3dbl_1", 64),
            Conv("branch3x3dbl_2", 96, 3, 3),
            Conv("branch3x3dbl_3", 96, 3, 3),
        ),
        (AVERAGE_POOL, Conv("branch_pool", pool_channels)),
    )


def _inception_c(channels: int) -> tuple[Branch, ...]:
    return (
        (Conv("branch1x1", 192),),
        (
            Conv("branch7x7_1", channels),
            Conv("branch7x7_2", channels, 1, 7),
            Conv("branch7x7_3", 192, 7, 1),
        ),
        (
            Conv("branch7x7dbl_1", channels),
            Conv("branch7x7dbl_2", channels, 7, 1),
            Conv("branch7x7dbl_3", channels, 1, 7),
            Conv("branch7x7dbl_4", channels, 7, 1),
            Conv("branch7x7dbl_5", 192, 1, 7),
        ),
        (AVERAGE_POOL, Conv("branch_pool", 192)),
    )


def _inception_e(pool: Pool) -> tuple[Branch, ...]:
    return (
        (Conv("branch1x1", 320),),
        (
            Conv("branch3x3_1", 384),
            (Conv("branch3x3_2a", 384, 1, 3), Conv("branch3x3_2b", 384, 3, 1)),
        ),
        (
            Conv("branch3x3dbl_1", 448),
            Conv("branch3x3dbl_2", 384, 3, 3),
            (Conv("branch3x3dbl_3a", 384, 1, 3), Conv("branch3x3dbl_3b", 384, 3, 1)),
        ),
        (pool, Conv("branch_pool", 192)),
    )


# By their prefix in the file of weights; the stem has none.
BLOCKS: dict[str, tuple[Branch, ...]] = {
    "": (
        (
            Conv("Conv2d_1a_3x3", 32, 3, 3, 2, padded=False),
            Conv("Conv2d_2a_3x3", 32, 3, 3, padded=False),
            Conv("Conv2d_2b_3x3", 64, 3, 3),
            MAX_POOL_STRIDE_2,
            Conv("Conv2d_3b_1x1", 80),
            Conv("Conv2d_4a_3x3", 192, 3, 3, padded=False),
            MAX_POOL_STRIDE_2,
        ),
    ),
    "Mixed_5b.": _inception_a(32),
    "Mixed_5c.": _inception_a(64),
    "Mixed_5d.": _inception_a(64),
    "Mixed_6a.": (
        (Conv("branch3x3", 384, 3, 3, 2, padded=False),),
        (
            Conv("branch3x3dbl_1", 64),
            Conv("branch3x3dbl_2", 96, 3, 3),
            Conv("branch3x3dbl_3", 96, 3, 3, 2, padded=False),
        ),
        (MAX_POOL_STRIDE_2,),
    ),
    "Mixed_6b.": _inception_c(128),
    "Mixed_6c.": _inception_c(160),
    "Mixed_6d.": _inception_c(160),
    "Mixed_6e.": _inception_c(192),
    "Mixed_7a.": (
        (Conv("branch3x3_1", 192), Conv("branch3x3_2", 320, 3, 3, 2, padded=False)),
        (
            Conv("branch7x7x3_1", 192),
            Conv("branch7x7x3_2", 192, 1, 7),
            Conv("branch7x7x3_3", 192, 7, 1),
            Conv("branch7x7x3_4", 192, 3, 3, 2, padded=False),
        ),
        (MAX_POOL_STRIDE_2,),
    ),
    "Mixed_7b.": _inception_e(AVERAGE_POOL),
    # Surely a mistake in the published network, and kept for the same distances.
    "Mixed_7c.": _inception_e(MAX_POOL),
}


def features(
    weights: Weights, images: Float[Array, "b h w 3"]
) -> Float[Array, "b 2048"]:
    """Return the features of the last block, averaged, of sRGB images in [0, 1]."""
    shape = (len(images), INPUT_SIZE, INPUT_SIZE, 3)
    x = 2 * jax.image.resize(images, shape, "linear", antialias=False) - 1
    for block, branches in BLOCKS.items():
        x = jnp.concatenate(
            [_apply_branch(weights, block, branch, x) for branch in branches], axis=3
        )
    return x.mean(axis=(1, 2))


def load(path: str | os.PathLike[str]) -> Weights:
    """Read the weights.

    Args:
        path: pytorch-fid's `pt_inception-2015-12-05-6726825d.pth`, or the same tensors
            as safetensors.

    Raises:
        ValueError: the file is missing, is not a file of weights, lacks a layer, or a
            layer has another shape, as in torchvision's InceptionV3. The text says
            which, in one line.
    """
    convolutions = _convolutions()
    # Not used, but it distinguishes this network from torchvision's.
    shapes: dict[str, tuple[int, ...]] = {"fc.bias": (CLASSES,)}
    for name, shape in convolutions.items():
        shapes[f"{name}.conv.weight"] = shape
        for statistic in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.bn.{statistic}"] = shape[:1]
    tensors = read(path, "InceptionV3", shapes)
    for name in convolutions:
        if tensors[f"{name}.bn.running_var"].min() < 0:
            raise ValueError(
                f"{path} must be weights of InceptionV3; its {name}.bn.running_var is "
                "below 0"
            )
    return {name: _fold_batch_norm(tensors, name) for name in convolutions}


def _fold_batch_norm(tensors: dict[str, np.ndarray], name: str) -> Convolution:
    """Return a convolution with batch norm multiplied into it."""
    kernel = tensors[f"{name}.conv.weight"].transpose(2, 3, 1, 0)
    scale, bias, mean, variance = (
        tensors[f"{name}.bn.{statistic}"].astype(np.float64)
        for statistic in ("weight", "bias", "running_mean", "running_var")
    )
    scale = scale / np.sqrt(variance + EPSILON)
    return Convolution(
        jnp.asarray(kernel * scale, jnp.float32),
        jnp.asarray(bias - mean * scale, jnp.float32),
    )


def _convolutions() -> dict[str, tuple[int, ...]]:
    """Return the name and the shape (OIHW) of each convolution."""
    shapes: dict[str, tuple[int, ...]] = {}
    inputs = 3
    for block, branches in BLOCKS.items():
        outputs = 0
        for branch in branches:
            channels = inputs
            for layer in branch:
                if isinstance(layer, Pool):
                    continue
                convs = (layer,) if isinstance(layer, Conv) else layer
                for conv in convs:
                    shape = (conv.channels, channels, conv.height, conv.width)
                    shapes[block + conv.name] = shape
                channels = sum(conv.channels for conv in convs)
            outputs += channels
        inputs = outputs
    return shapes


def _apply_branch(
    weights: Weights, block: str, branch: Branch, x: Float[Array, "b h w i"]
) -> Float[Array, "b _ _ o"]:
    for layer in branch:
        if isinstance(layer, Pool):
            x = _pool(layer, x)
        else:
            convs = (layer,) if isinstance(layer, Conv) else layer
            outputs = [_convolve(weights[block + conv.name], conv, x) for conv in convs]
            x = jnp.concatenate(outputs, axis=3)
    return x


def _convolve(
    weights: Convolution, conv: Conv, x: Float[Array, "b h w i"]
) -> Float[Array, "b _ _ o"]:
    x = lax.conv_general_dilated(
        x,
        weights.kernel,
        (conv.stride, conv.stride),
        "SAME" if conv.padded else "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return jax.nn.relu(x + weights.bias[None, None, None])


def _pool(pool: Pool, x: Float[Array, "b h w c"]) -> Float[Array, "b _ _ c"]:
    window, strides = (3, 3), (pool.stride, pool.stride)
    padding = "SAME" if pool.stride == 1 else "VALID"
    if pool.is_max:
        return nnx.max_pool(x, window, strides, padding)
    return nnx.avg_pool(x, window, strides, padding, count_include_pad=False)
