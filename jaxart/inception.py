"""InceptionV3 as the Fréchet inception distance knows it: 2,048 features of a picture.

One table, `BLOCKS`, says what the network is; the features and the shapes that a file
of weights must have are read off it. A block's branches all see the block's input, and
their outputs follow each other. Each convolution is normalised, by statistics that are
long fixed, and rectified; the normalisation is multiplied into the kernel when it is
read. Images are sRGB in [0, 1].

A picture's convolutions are 11.4 GFLOP whatever its size, as it is resized to 299 x 299
first.

Weights are the user's: `pt_inception-2015-12-05-6726825d.pth` of pytorch-fid, which
were Google's of December 2015. Only with these is a distance comparable to published
ones, and torchvision's InceptionV3 is another network.

Source: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision"
(2015); Seitzer's pytorch-fid (inception.py) for the differences of the network that
Google published, an average that does not count the padding, and a max-pool in the last
block, and for the bilinear resizing, whose pixels have their centres in the middle.
Deviation: TensorFlow's program of 2017 resized with centres in the corners. pytorch-fid
does not, and most published figures are now its.
"""

import os
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jaxart.weights import Convolution, read


SIZE = 299  # of the pictures that the network knows, in pixels
EPSILON = 0.001  # of the normalisation
CLASSES = 1008  # Google's; torchvision's network has 1000


class Conv(NamedTuple):
    """A convolution, normalised and rectified.

    Args:
        name: in the file of weights, after the block's.
        channels: of its output.
        height: of its kernel, in pixels.
        width: of its kernel.
        stride: pixels from one output to the next.
        padded: whether the output is as large as the input.
    """

    name: str
    channels: int
    height: int = 1
    width: int = 1
    stride: int = 1
    padded: bool = True


class Pool(NamedTuple):
    """The mean or the largest of 3 x 3 pixels; with a stride of 1, padded."""

    largest: bool
    stride: int


AVERAGE = Pool(largest=False, stride=1)
LARGEST = Pool(largest=True, stride=1)
HALVE = Pool(largest=True, stride=2)

# What a branch does, step by step; two convolutions in a tuple see the same, and their
# outputs follow each other.
Step = Conv | Pool | tuple[Conv, Conv]
Branch = tuple[Step, ...]
Weights = dict[str, Convolution]


def _stem(*steps: Step) -> tuple[Branch, ...]:
    return (steps,)


def _a(pooled: int) -> tuple[Branch, ...]:
    return (
        (Conv("branch1x1", 64),),
        (Conv("branch5x5_1", 48), Conv("branch5x5_2", 64, 5, 5)),
        (
            Conv("branch3x3dbl_1", 64),
            Conv("branch3x3dbl_2", 96, 3, 3),
            Conv("branch3x3dbl_3", 96, 3, 3),
        ),
        (AVERAGE, Conv("branch_pool", pooled)),
    )


def _b() -> tuple[Branch, ...]:
    return (
        (Conv("branch3x3", 384, 3, 3, 2, padded=False),),
        (
            Conv("branch3x3dbl_1", 64),
            Conv("branch3x3dbl_2", 96, 3, 3),
            Conv("branch3x3dbl_3", 96, 3, 3, 2, padded=False),
        ),
        (HALVE,),
    )


def _c(channels: int) -> tuple[Branch, ...]:
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
        (AVERAGE, Conv("branch_pool", 192)),
    )


def _d() -> tuple[Branch, ...]:
    return (
        (Conv("branch3x3_1", 192), Conv("branch3x3_2", 320, 3, 3, 2, padded=False)),
        (
            Conv("branch7x7x3_1", 192),
            Conv("branch7x7x3_2", 192, 1, 7),
            Conv("branch7x7x3_3", 192, 7, 1),
            Conv("branch7x7x3_4", 192, 3, 3, 2, padded=False),
        ),
        (HALVE,),
    )


def _e(pool: Pool) -> tuple[Branch, ...]:
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


# By their names in the file of weights, less the first one's, which has none.
BLOCKS: dict[str, tuple[Branch, ...]] = {
    "": _stem(
        Conv("Conv2d_1a_3x3", 32, 3, 3, 2, padded=False),
        Conv("Conv2d_2a_3x3", 32, 3, 3, padded=False),
        Conv("Conv2d_2b_3x3", 64, 3, 3),
        HALVE,
        Conv("Conv2d_3b_1x1", 80),
        Conv("Conv2d_4a_3x3", 192, 3, 3, padded=False),
        HALVE,
    ),
    "Mixed_5b.": _a(32),
    "Mixed_5c.": _a(64),
    "Mixed_5d.": _a(64),
    "Mixed_6a.": _b(),
    "Mixed_6b.": _c(128),
    "Mixed_6c.": _c(160),
    "Mixed_6d.": _c(160),
    "Mixed_6e.": _c(192),
    "Mixed_7a.": _d(),
    "Mixed_7b.": _e(AVERAGE),
    # Surely a mistake of Google's, which the distance has kept.
    "Mixed_7c.": _e(LARGEST),
}


def features(
    weights: Weights, images: Float[Array, "b h w 3"]
) -> Float[Array, "b 2048"]:
    """Return what the network's last block says about images, averaged over places.

    Args:
        weights: from `load`.
        images: sRGB in [0, 1], of any size.
    """
    shape = (len(images), SIZE, SIZE, 3)
    x = 2 * jax.image.resize(images, shape, "linear", antialias=False) - 1
    for block, branches in BLOCKS.items():
        x = jnp.concatenate([_run(weights, block, b, x) for b in branches], axis=3)
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
    # Not used, but it tells this network from its siblings.
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
    return {name: _folded(tensors, name) for name in convolutions}


def _folded(tensors: dict[str, np.ndarray], name: str) -> Convolution:
    """Return a convolution that normalises its output."""
    kernel = tensors[f"{name}.conv.weight"].transpose(2, 3, 1, 0)
    gain, bias, mean, variance = (
        tensors[f"{name}.bn.{statistic}"].astype(np.float64)
        for statistic in ("weight", "bias", "running_mean", "running_var")
    )
    gain = gain / np.sqrt(variance + EPSILON)
    return Convolution(
        jnp.asarray(kernel * gain, jnp.float32),
        jnp.asarray(bias - mean * gain, jnp.float32),
    )


def _convolutions() -> dict[str, tuple[int, ...]]:
    """Return the name and the shape (OIHW) of each convolution."""
    shapes: dict[str, tuple[int, ...]] = {}
    inputs = 3
    for block, branches in BLOCKS.items():
        outputs = 0
        for branch in branches:
            channels = inputs
            for step in branch:
                if isinstance(step, Pool):
                    continue
                twins = (step,) if isinstance(step, Conv) else step
                for conv in twins:
                    shape = (conv.channels, channels, conv.height, conv.width)
                    shapes[block + conv.name] = shape
                channels = sum(conv.channels for conv in twins)
            outputs += channels
        inputs = outputs
    return shapes


def _run(
    weights: Weights, block: str, branch: Branch, x: Float[Array, "b h w i"]
) -> Float[Array, "b _ _ o"]:
    for step in branch:
        if isinstance(step, Pool):
            x = _pool(step, x)
        elif isinstance(step, Conv):
            x = _convolve(weights[block + step.name], step, x)
        else:
            twins = [_convolve(weights[block + conv.name], conv, x) for conv in step]
            x = jnp.concatenate(twins, axis=3)
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
    if pool.largest:
        return _over_windows(lax.max, -jnp.inf, pool.stride, x)
    counts = _over_windows(lax.add, 0.0, pool.stride, jnp.ones((1, *x.shape[1:3], 1)))
    return _over_windows(lax.add, 0.0, pool.stride, x) / counts


def _over_windows(
    combine: Callable[[Array, Array], Array],
    start: float,
    stride: int,
    x: Float[Array, "b h w c"],
) -> Float[Array, "b _ _ c"]:
    """Combine 3 x 3 pixels; with a stride of 1, as many windows as there are pixels."""
    padding = "SAME" if stride == 1 else "VALID"
    return lax.reduce_window(
        x, start, combine, (1, 3, 3, 1), (1, stride, stride, 1), padding
    )
