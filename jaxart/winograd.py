"""A 3 by 3 convolution with 16 products for 36, on CPUs.

Along an axis, two outputs y0 = d0·g0 + d1·g1 + d2·g2 and y1 = d1·g0 + d2·g1 + d3·g2 of
four inputs take four products for six:

    m0 = (d0 − d2)·g0            m1 = (d1 + d2)·(g0 + g1 + g2)/2
    m3 = (d1 − d3)·g2            m2 = (d2 − d1)·(g0 − g1 + g2)/2

    y0 = m0 + m1 + m2            y1 = m1 − m2 − m3

and along two axes 16 for 36, for four outputs. Each is a matrix product over all
channels, with nothing but additions around it. The slope in the input is such a
convolution itself, with the kernel turned around. GPUs and TPUs have XLA's own.

Exact in the reals, and equal to XLA's to float rounding. Cost: 8·i·o·h·w FLOP for an
output of h by w, where the plain algorithm has 18·i·o·h·w; the buffers hold four times
the input and four times the output, so that large maps are left to XLA as well.

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016,
section 4.1, F(2×2, 3×3); Winograd, "Arithmetic Complexity of Computations", 1980.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


FEW = 4  # channels up to which there are too few products for additions to pay
MANY = 1 << 15  # places of a map from which on its buffers are far beyond the caches

Input = Float[Array, "b h w i"]
Output = Float[Array, "b h w o"]
Kernel = Float[Array, "3 3 i o"]


@jax.custom_vjp
def convolve(x: Input, kernel: Kernel) -> Output:
    """Convolve with one pixel of padding: sides stay as they are."""
    if min(kernel.shape[2:]) <= FEW or x.size // x.shape[3] > MANY:
        return _as_convolution(x, kernel)
    return lax.platform_dependent(
        x, kernel, cpu=_as_sixteen_products, default=_as_convolution
    )


def _forwards(x: Input, kernel: Kernel) -> tuple[Output, tuple[Input, Kernel]]:
    return convolve(x, kernel), (x, kernel)


def _backwards(given: tuple[Input, Kernel], slope: Output) -> tuple[Input, Kernel]:
    x, kernel = given
    _, in_kernel = jax.vjp(lambda kernel: _as_convolution(x, kernel), kernel)
    turned = kernel[::-1, ::-1].swapaxes(2, 3)
    return convolve(slope, turned), in_kernel(slope)[0]


convolve.defvjp(_forwards, _backwards)


def _as_convolution(x: Input, kernel: Kernel) -> Output:
    axes = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=axes)


def _as_sixteen_products(x: Input, kernel: Kernel) -> Output:
    b, h, w, i = x.shape
    rows, columns = -(-h // 2), -(-w // 2)  # of tiles
    # Half a tile beyond an odd side is computed, and cut off.
    around = ((0, 0), (1, 1 + 2 * rows - h), (1, 1 + 2 * columns - w), (0, 0))
    # Without the barriers XLA computes what two sums share once for each of them.
    parts = lax.optimization_barrier(_of_inputs(jnp.pad(x, around), 1))
    inputs = [d.reshape(-1, i) for part in parts for d in _of_inputs(part, 2)]
    kernels = [g for row in _of_kernel(kernel) for g in _of_kernel(row)]
    m = [d @ g for d, g in zip(inputs, kernels, strict=True)]
    pairs = lax.optimization_barrier([_of_products(m[k::4]) for k in range(4)])
    tiles = [_of_products([pair[row] for pair in pairs]) for row in (0, 1)]
    tiles = [[y.reshape(b, rows, columns, -1) for y in row] for row in tiles]
    y = jnp.stack([jnp.stack(row, 3) for row in tiles], 2)
    return y.reshape(b, 2 * rows, 2 * columns, -1)[:, :h, :w]


def _of_inputs(d: Array, axis: int) -> tuple[Array, Array, Array, Array]:
    """Cut an axis of 2n + 2 into n overlapping fours, combined for the products."""
    last = d.shape[axis]
    d0, d1, d2, d3 = (
        lax.slice_in_dim(d, first, last - 3 + first, 2, axis) for first in range(4)
    )
    return d0 - d2, d1 + d2, d2 - d1, d1 - d3


def _of_kernel(g: Array) -> tuple[Array, Array, Array, Array]:
    """Combine the three parts along the first axis for the products."""
    g0, g1, g2 = g
    return g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2


def _of_products(m: list[Array]) -> tuple[Array, Array]:
    m0, m1, m2, m3 = m
    return m0 + m1 + m2, m1 - m2 - m3
