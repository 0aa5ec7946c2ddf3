"""The convolutions of a DCGAN: 4 by 4, halving or doubling the sides.

Both are one linear operator and its transpose, so that they share one set of lowerings.
XLA's own convolutions are best on GPUs and TPUs, but on CPUs their gradients run far
below the rate of matrix products. There, the convolution is computed as

* one matrix product with the four shifted views of the folded input side by side (as
  im2col), for the few channels of pixels; or
* `winograd.convolve_4x4`, with 9 products instead of 16.

Both are exact in exact arithmetic, and equal XLA's to float rounding.

Cost: 32·i·o·h·w FLOP for an output of h by w in the first form, with buffers of four
times the input; `winograd` says that of the second.

Source: Radford, Metz and Chintala, ICLR 2016, section 3 (strided and fractionally
strided convolutions in place of pooling).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxart import winograd


Kernel = Float[Array, "4 4 i o"]
Small = Float[Array, "b h w o"]
Large = Float[Array, "b height width i"]


def halve(x: Large, kernel: Kernel) -> Small:
    """Convolve with stride 2 and one pixel of padding: sides become half as long."""
    return jax.lax.platform_dependent(
        x, kernel, cpu=_cpu_form(kernel), default=_xla_convolution
    )


def double(x: Small, kernel: Kernel) -> Large:
    """Apply the transpose of `halve` with the same kernel: sides double.

    This is what PyTorch calls `ConvTranspose2d(o, i, 4, stride=2, padding=1)`, with
    its weight of axes (o, i, 4, 4) as the kernel transposed by (2, 3, 1, 0).
    """
    b, h, w, _ = x.shape
    large = jax.ShapeDtypeStruct((b, 2 * h, 2 * w, kernel.shape[2]), x.dtype)

    def transpose(form: Callable[[Large, Kernel], Small]):
        def apply(x: Small, kernel: Kernel) -> Large:
            return jax.linear_transpose(lambda y: form(y, kernel), large)(x)[0]

        return apply

    return jax.lax.platform_dependent(
        x,
        kernel,
        cpu=transpose(_cpu_form(kernel)),
        default=transpose(_xla_convolution),
    )


def _cpu_form(kernel: Kernel) -> Callable[[Large, Kernel], Small]:
    if kernel.shape[2] <= winograd.FEW_CHANNELS:
        return _matrix_product
    return winograd.convolve_4x4


def _xla_convolution(x: Large, kernel: Kernel) -> Small:
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(2, 2),
        padding=((1, 1), (1, 1)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _matrix_product(x: Large, kernel: Kernel) -> Small:
    folded, kernel = winograd.fold(x), winograd.fold_kernel(kernel)
    b, h, w = folded.shape[0], folded.shape[1] - 1, folded.shape[2] - 1
    views = [folded[:, r : r + h, s : s + w] for r in (0, 1) for s in (0, 1)]
    patches = jnp.concatenate(views, axis=-1).reshape(b * h * w, -1)
    product = patches @ kernel.reshape(patches.shape[1], -1)
    return product.reshape(b, h, w, -1)
