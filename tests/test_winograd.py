"""The 3 by 3 convolution against XLA's own and against sums written out."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jaxtyping import Array

from jaxart import winograd


convolve = jax.jit(winograd.convolve)


def xla(x: Array, kernel: Array) -> Array:
    axes = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=axes)


def random_arguments(h: int, w: int, i: int, o: int) -> tuple[Array, Array]:
    x_key, kernel_key = jax.random.split(jax.random.key(h + w + i + o))
    x = jax.random.normal(x_key, (2, h, w, i))
    return x, jax.random.normal(kernel_key, (3, 3, i, o)) / (9 * i) ** 0.5


SHAPES = [(6, 8, 5, 7), (7, 5, 8, 5), (1, 1, 6, 6), (4, 3, 3, 16), (2, 9, 16, 3)]


@pytest.mark.parametrize("shape", SHAPES)
def test_it_equals_xlas_convolution_and_its_gradients(
    shape: tuple[int, int, int, int],
):
    x, kernel = random_arguments(*shape)

    def values(convolve: Callable[[Array, Array], Array]) -> list[Array]:
        def loss(x: Array, kernel: Array) -> tuple[Array, Array]:
            y = convolve(x, kernel)
            return jnp.sin(y).sum(), y

        gradients, y = jax.jit(jax.grad(loss, (0, 1), has_aux=True))(x, kernel)
        return [y, *gradients]

    for ours, theirs in zip(values(winograd.convolve), values(xla), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_a_cpu_multiplies_16_times_for_36():
    x, kernel = random_arguments(32, 32, 64, 64)
    compiled = jax.jit(winograd.convolve).lower(x, kernel).compile()
    analysis: Any = compiled.cost_analysis()
    plain = 2 * 9 * 64 * 64 * x.shape[0] * 32 * 32
    # Plus the additions of the transforms.
    assert 16 / 36 < analysis["flops"] / plain < 0.6


def test_few_channels_and_large_maps_are_left_to_xla(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(winograd, "_winograd_3x3", None)
    large = jax.ShapeDtypeStruct((1, 256, 256, 64), jnp.float32)
    kernel = jax.ShapeDtypeStruct((3, 3, 64, 64), jnp.float32)
    assert jax.eval_shape(winograd.convolve, large, kernel).shape == large.shape
    pixels = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    kernel = jax.ShapeDtypeStruct((3, 3, 3, 64), jnp.float32)
    result = jax.eval_shape(winograd.convolve, pixels, kernel)
    assert result.shape == (1, 32, 32, 64)


@pytest.mark.slow
def test_it_can_be_mapped_over_windows():
    x, kernel = random_arguments(6, 6, 8, 8)
    windows = jnp.stack([x, 2 * x, -x])
    mapped = jax.jit(jax.vmap(winograd.convolve, (0, None)))(windows, kernel)
    looped = jnp.stack([xla(x, kernel) for x in windows])
    np.testing.assert_allclose(mapped, looped, rtol=1e-5, atol=1e-5)
