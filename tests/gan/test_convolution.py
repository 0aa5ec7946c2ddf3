"""The two convolutions against XLA's own, NumPy, and each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxart.gan import convolution


# Height and width of the small map, then channels of the large and of the small one:
# pixels, sides that differ, fewer channels out than in, and many channels.
SHAPES = [(8, 8, 3, 16), (2, 6, 4, 5), (4, 2, 7, 6), (2, 2, 40, 24)]


@pytest.fixture(params=["cpu", "default"])
def lowering(request, monkeypatch):
    """Use the lowering for CPUs, or that for all other devices."""

    def select_form(*args, default, **platforms):
        return platforms.get(request.param, default)(*args)

    monkeypatch.setattr(jax.lax, "platform_dependent", select_form)


def close(ours, expected):
    """Equal to 1e-5 of the largest value."""
    np.testing.assert_allclose(
        ours, expected, rtol=0, atol=1e-5 * float(np.abs(expected).max())
    )


def random_arguments(h, w, i, o, batch=3):
    """Return a large map, a small one, and a kernel."""
    rng = np.random.default_rng(h + 10 * w + 100 * i)
    shapes = [(batch, 2 * h, 2 * w, i), (batch, h, w, o), (4, 4, i, o)]
    return [jnp.asarray(rng.normal(size=s), jnp.float32) for s in shapes]


def xla_halve(x, kernel):
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(2, 2),
        padding=((1, 1), (1, 1)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision="highest",
    )


def xla_double(x, kernel):
    return jax.lax.conv_transpose(
        x,
        kernel,
        strides=(2, 2),
        padding="SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        transpose_kernel=True,
        precision="highest",
    )


def with_gradients(f, x, kernel, cotangent):
    """`f`, and its gradients in both arguments."""

    @jax.jit
    def run(x, kernel, cotangent):
        y, vjp = jax.vjp(f, x, kernel)
        return y, *vjp(cotangent)

    with jax.default_matmul_precision("highest"):
        return run(x, kernel, cotangent)


@pytest.mark.usefixtures("lowering")
@pytest.mark.parametrize("shape", SHAPES)
def test_halve_is_xlas_convolution_with_its_gradients(shape):
    large, small, kernel = random_arguments(*shape)
    ours = with_gradients(convolution.halve, large, kernel, small)
    expected = with_gradients(xla_halve, large, kernel, small)
    for mine, theirs in zip(ours, expected, strict=True):
        close(mine, theirs)


@pytest.mark.usefixtures("lowering")
@pytest.mark.parametrize("shape", SHAPES)
def test_double_is_xlas_transposed_convolution_with_its_gradients(shape):
    large, small, kernel = random_arguments(*shape)
    ours = with_gradients(convolution.double, small, kernel, large)
    expected = with_gradients(xla_double, small, kernel, large)
    for mine, theirs in zip(ours, expected, strict=True):
        close(mine, theirs)


@pytest.mark.usefixtures("lowering")
@pytest.mark.parametrize("shape", SHAPES)
def test_double_is_the_transpose_of_halve(shape):
    large, small, kernel = random_arguments(*shape)
    with jax.default_matmul_precision("highest"):
        halved = np.asarray(jax.jit(convolution.halve)(large, kernel), np.float64)
        doubled = np.asarray(jax.jit(convolution.double)(small, kernel), np.float64)
    # Both inner products nearly cancel, so that their error is relative to the norms.
    error = abs(np.vdot(halved, small) - np.vdot(large, doubled))
    assert error <= 1e-6 * np.linalg.norm(halved) * np.linalg.norm(small)


@pytest.mark.usefixtures("lowering")
def test_halve_is_the_sum_over_a_window_of_four_by_four():
    large, _, kernel = random_arguments(2, 4, 5, 3, batch=1)
    padded = np.pad(large, ((0, 0), (1, 1), (1, 1), (0, 0)))
    expected = np.zeros((1, 2, 4, 3))
    for y, x, row, column in np.ndindex(2, 4, 4, 4):
        pixel = padded[:, 2 * y + row, 2 * x + column]
        expected[:, y, x] += pixel @ np.asarray(kernel)[row, column]
    with jax.default_matmul_precision("highest"):
        close(jax.jit(convolution.halve)(large, kernel), expected)


@pytest.mark.usefixtures("lowering")
def test_double_adds_the_kernel_at_every_second_pixel():
    _, small, kernel = random_arguments(2, 4, 5, 3, batch=1)
    padded = np.zeros((1, 6, 10, 5))
    for y, x, row, column in np.ndindex(2, 4, 4, 4):
        product = np.asarray(kernel)[row, column] @ np.asarray(small)[0, y, x]
        padded[:, 2 * y + row, 2 * x + column] += product
    with jax.default_matmul_precision("highest"):
        close(jax.jit(convolution.double)(small, kernel), padded[:, 1:-1, 1:-1])


@pytest.mark.usefixtures("lowering")
@pytest.mark.parametrize("shape", SHAPES)
def test_bfloat16_stays_bfloat16(shape):
    large, small, kernel = (x.astype(jnp.bfloat16) for x in random_arguments(*shape))
    assert jax.eval_shape(convolution.halve, large, kernel).dtype == jnp.bfloat16
    assert jax.eval_shape(convolution.double, small, kernel).dtype == jnp.bfloat16
