"""The convolutions of a DCGAN: 4 by 4, halving or doubling the sides.

Both are one linear operator and its transpose, so that they share one set of lowerings.
XLA's own convolutions are best on GPUs and TPUs, but on CPUs their gradients run far
below the machine's rate of matrix products. There, a 4 by 4 convolution of stride 2 is
taken as a 2 by 2 convolution of stride 1 over the picture folded two by two (pixels
become channels), and that either

* as one product with all four shifted views side by side, best for the few channels of
  pixels; or
* with 9 products for 16: along an axis, two outputs y0 = d0·g0 + d1·g1 and
  y1 = d1·g0 + d2·g1 of three inputs are (d0 − d1)·g0 + s and s + (d2 − d1)·g1 with the
  shared s = d1·(g0 + g1), and the same again along the other axis.

Both are exact in the reals, and equal XLA's to float rounding.

Cost: 32·i·o·h·w FLOP for an output of h by w (18·i·o·h·w in the second form); the
buffers of the first form hold four times the input, of the second 2.25 times.

Source: Radford, Metz and Chintala, ICLR 2016, section 3 (strided and fractionally
strided convolutions in place of pooling); Winograd, "Arithmetic Complexity of
Computations", 1980, for products saved in short convolutions.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


FEW = 4  # input channels up to which gathering views beats saving products

Kernel = Float[Array, "4 4 i o"]
Small = Float[Array, "b h w o"]
Large = Float[Array, "b height width i"]


def halve(x: Large, kernel: Kernel) -> Small:
    """Convolve with stride 2 and one pixel of padding: sides become half as long."""
    return jax.lax.platform_dependent(
        x, kernel, cpu=_product_form(kernel), default=_as_convolution
    )


def double(x: Small, kernel: Kernel) -> Large:
    """Apply the transpose of `halve` with the same kernel: sides double.

    This is what PyTorch calls `ConvTranspose2d(o, i, 4, stride=2, padding=1)`, with
    its weight of axes (o, i, 4, 4) as the kernel transposed by (2, 3, 1, 0).
    """
    b, h, w, _ = x.shape
    large = jax.ShapeDtypeStruct((b, 2 * h, 2 * w, kernel.shape[2]), x.dtype)

    def transposed(form: Callable[[Large, Kernel], Small]):
        def apply(x: Small, kernel: Kernel) -> Large:
            return jax.linear_transpose(lambda y: form(y, kernel), large)(x)[0]

        return apply

    return jax.lax.platform_dependent(
        x,
        kernel,
        cpu=transposed(_product_form(kernel)),
        default=transposed(_as_convolution),
    )


def _product_form(kernel: Kernel) -> Callable[[Large, Kernel], Small]:
    return _as_product if kernel.shape[2] <= FEW else _as_nine_products


def _as_convolution(x: Large, kernel: Kernel) -> Small:
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(2, 2),
        padding=((1, 1), (1, 1)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _as_product(x: Large, kernel: Kernel) -> Small:
    folded, kernel = _fold(x), _fold_kernel(kernel)
    b, h, w = folded.shape[0], folded.shape[1] - 1, folded.shape[2] - 1
    views = [folded[:, r : r + h, s : s + w] for r in (0, 1) for s in (0, 1)]
    patches = jnp.concatenate(views, axis=-1).reshape(b * h * w, -1)
    product = patches @ kernel.reshape(patches.shape[1], -1)
    return product.reshape(b, h, w, -1)


def _as_nine_products(x: Large, kernel: Kernel) -> Small:
    folded, (top, bottom) = _fold(x), _fold_kernel(kernel)
    b, h, w = folded.shape[0], folded.shape[1] - 1, folded.shape[2] - 1
    kernels = [g for row in _sums(top, bottom) for g in _sums(row[0], row[1])]
    inputs = [d for rows in _differences(folded, 1) for d in _differences(rows, 2)]
    m = [d.reshape(-1, d.shape[-1]) @ g for d, g in zip(inputs, kernels, strict=True)]
    left = [m[r] + m[r + 1] for r in (0, 3, 6)]
    right = [m[r + 1] + m[r + 2] for r in (0, 3, 6)]
    tiles = [
        [left[r] + left[r + 1], right[r] + right[r + 1]] for r in (0, 1)
    ]  # the four pixels of each tile
    tiles = [[t.reshape(b, h // 2, w // 2, -1) for t in row] for row in tiles]
    return jnp.stack([jnp.stack(row, 3) for row in tiles], 2).reshape(b, h, w, -1)


def _fold(x: Large) -> Float[Array, "b height//2+1 width//2+1 4*i"]:
    """Pad by one pixel, and make channels of each two by two pixels."""
    b, height, width, i = x.shape
    h, w = height // 2 + 1, width // 2 + 1
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))).reshape(b, h, 2, w, 2, i)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, h, w, 4 * i)


def _fold_kernel(kernel: Kernel) -> Float[Array, "2 2 4*i o"]:
    i, o = kernel.shape[2:]
    kernel = kernel.reshape(2, 2, 2, 2, i, o).transpose(0, 2, 1, 3, 4, 5)
    return kernel.reshape(2, 2, 4 * i, o)


def _sums(g0: Array, g1: Array) -> tuple[Array, Array, Array]:
    return g0, g0 + g1, g1


def _differences(d: Array, axis: int) -> tuple[Array, Array, Array]:
    """Cut an axis of 2n + 1 into n overlapping threes, combined to suit `_sums`."""
    last = d.shape[axis]
    d0, d1, d2 = (
        jax.lax.slice_in_dim(d, first, last - 2 + first, 2, axis) for first in range(3)
    )
    return d0 - d1, d1, d2 - d1
