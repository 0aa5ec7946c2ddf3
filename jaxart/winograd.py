"""Convolutions with fewer multiplications, for CPUs: 3 by 3, and 4 by 4 of stride 2.

F(2, 3): along an axis, two outputs y0 = d0·g0 + d1·g1 + d2·g2 and
y1 = d1·g0 + d2·g1 + d3·g2 of four inputs take four products instead of six:

    m0 = (d0 − d2)·g0            m1 = (d1 + d2)·(g0 + g1 + g2)/2
    m3 = (d1 − d3)·g2            m2 = (d2 − d1)·(g0 − g1 + g2)/2

    y0 = m0 + m1 + m2            y1 = m1 − m2 − m3

Nested over two axes, a tile of 2 by 2 outputs takes 16 products instead of 36.

F(2, 2): a 4 by 4 convolution of stride 2 is a 2 by 2 convolution of stride 1 over the
input folded two by two (space to depth). Along an axis, two outputs
y0 = d0·g0 + d1·g1 and y1 = d1·g0 + d2·g1 of three inputs take three products:

    m0 = (d0 − d1)·g0    m1 = d1·(g0 + g1)    m2 = (d2 − d1)·g1

    y0 = m0 + m1         y1 = m1 + m2

and over two axes 9 instead of 16.

Each product is a matrix product over all channels. Both forms are exact in exact
arithmetic, and equal XLA's convolutions up to float rounding.

Cost, in FLOP for an output of h by w: `convolve` 8·i·o·h·w instead of 18·i·o·h·w, with
buffers of four times the input and four times the output; `convolve_4x4` 18·i·o·h·w
instead of 32·i·o·h·w, with buffers of 2.25 times the input.

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016,
section 4.1, F(2×2, 3×3); Winograd, "Arithmetic Complexity of Computations", 1980.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


# Up to this many channels the transforms cost more than the products that they save.
FEW_CHANNELS = 4
# Above this many pixels the buffers are far larger than a CPU's caches.
MAX_PIXELS = 1 << 15

Input = Float[Array, "b h w i"]
Output = Float[Array, "b h w o"]
Kernel = Float[Array, "3 3 i o"]

Large = Float[Array, "b height width i"]
LargeKernel = Float[Array, "4 4 i o"]


@jax.custom_vjp
def convolve(x: Input, kernel: Kernel) -> Output:
    """Convolve with one pixel of padding, so that the sides stay the same.

    Few channels, large maps and devices other than CPUs are left to XLA. The gradient
    with respect to the input is such a convolution too, with the kernel rotated.
    """
    if min(kernel.shape[2:]) <= FEW_CHANNELS or x.size // x.shape[3] > MAX_PIXELS:
        return _xla_convolution(x, kernel)
    return lax.platform_dependent(
        x, kernel, cpu=_winograd_3x3, default=_xla_convolution
    )


def convolve_4x4(x: Large, kernel: LargeKernel) -> Output:
    """Convolve with stride 2 and one pixel of padding; the sides are multiples of 4."""
    folded, (top, bottom) = fold(x), fold_kernel(kernel)
    b, h, w = folded.shape[0], folded.shape[1] - 1, folded.shape[2] - 1
    kernels = [g for row in _kernel_2(top, bottom) for g in _kernel_2(*row)]
    inputs = [d for rows in _input_2(folded, 1) for d in _input_2(rows, 2)]
    m = [d.reshape(-1, d.shape[-1]) @ g for d, g in zip(inputs, kernels, strict=True)]
    left = [m[r] + m[r + 1] for r in (0, 3, 6)]
    right = [m[r + 1] + m[r + 2] for r in (0, 3, 6)]
    tiles = [[left[r] + left[r + 1], right[r] + right[r + 1]] for r in (0, 1)]
    return _interleave(tiles, b, h // 2, w // 2)


def fold(x: Large) -> Float[Array, "b height//2+1 width//2+1 4*i"]:
    """Pad by one pixel, and turn each two by two pixels into channels."""
    b, height, width, i = x.shape
    h, w = height // 2 + 1, width // 2 + 1
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))).reshape(b, h, 2, w, 2, i)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, h, w, 4 * i)


def fold_kernel(kernel: LargeKernel) -> Float[Array, "2 2 4*i o"]:
    """Return the 2 by 2 kernel of stride 1 for a folded input."""
    i, o = kernel.shape[2:]
    kernel = kernel.reshape(2, 2, 2, 2, i, o).transpose(0, 2, 1, 3, 4, 5)
    return kernel.reshape(2, 2, 4 * i, o)


def _forward(x: Input, kernel: Kernel) -> tuple[Output, tuple[Input, Kernel]]:
    return convolve(x, kernel), (x, kernel)


def _backward(
    residuals: tuple[Input, Kernel], cotangent: Output
) -> tuple[Input, Kernel]:
    x, kernel = residuals
    _, kernel_vjp = jax.vjp(lambda kernel: _xla_convolution(x, kernel), kernel)
    rotated = kernel[::-1, ::-1].swapaxes(2, 3)
    return convolve(cotangent, rotated), kernel_vjp(cotangent)[0]


convolve.defvjp(_forward, _backward)


def _xla_convolution(x: Input, kernel: Kernel) -> Output:
    axes = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=axes)


def _winograd_3x3(x: Input, kernel: Kernel) -> Output:
    b, h, w, i = x.shape
    rows, columns = -(-h // 2), -(-w // 2)  # of tiles
    # Where a side is odd, the last tiles reach over it, and are cropped.
    padding = ((0, 0), (1, 1 + 2 * rows - h), (1, 1 + 2 * columns - w), (0, 0))
    # Without the barriers XLA computes common subexpressions once for each use.
    row_inputs = lax.optimization_barrier(_input_3(jnp.pad(x, padding), 1))
    inputs = [d.reshape(-1, i) for rows in row_inputs for d in _input_3(rows, 2)]
    kernels = [g for row in _kernel_3(kernel) for g in _kernel_3(row)]
    m = [d @ g for d, g in zip(inputs, kernels, strict=True)]
    pairs = lax.optimization_barrier([_output_3(m[k::4]) for k in range(4)])
    tiles = [_output_3([pair[row] for pair in pairs]) for row in (0, 1)]
    return _interleave(tiles, b, rows, columns)[:, :h, :w]


def _interleave(
    tiles: Sequence[Sequence[Array]], b: int, rows: int, columns: int
) -> Output:
    """Assemble a map from the four pixels of all its tiles."""
    tiles = [[t.reshape(b, rows, columns, -1) for t in row] for row in tiles]
    y = jnp.stack([jnp.stack(row, 3) for row in tiles], 2)
    return y.reshape(b, 2 * rows, 2 * columns, -1)


def _input_3(d: Array, axis: int) -> tuple[Array, Array, Array, Array]:
    """Transform the inputs of F(2, 3): overlapping fours along an axis of 2n + 2."""
    size = d.shape[axis]
    d0, d1, d2, d3 = (
        lax.slice_in_dim(d, start, size - 3 + start, 2, axis) for start in range(4)
    )
    return d0 - d2, d1 + d2, d2 - d1, d1 - d3


def _kernel_3(g: Array) -> tuple[Array, Array, Array, Array]:
    """Transform the kernel of F(2, 3) along the first axis."""
    g0, g1, g2 = g
    return g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2


def _output_3(m: list[Array]) -> tuple[Array, Array]:
    """Transform the products of F(2, 3) to two outputs."""
    m0, m1, m2, m3 = m
    return m0 + m1 + m2, m1 - m2 - m3


def _input_2(d: Array, axis: int) -> tuple[Array, Array, Array]:
    """Transform the inputs of F(2, 2): overlapping threes along an axis of 2n + 1."""
    size = d.shape[axis]
    d0, d1, d2 = (
        lax.slice_in_dim(d, start, size - 2 + start, 2, axis) for start in range(3)
    )
    return d0 - d1, d1, d2 - d1


def _kernel_2(g0: Array, g1: Array) -> tuple[Array, Array, Array]:
    """Transform the kernel of F(2, 2)."""
    return g0, g0 + g1, g1
