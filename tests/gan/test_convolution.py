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


XLA = {"halve": xla_halve, "double": xla_double}


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
@pytest.mark.parametrize("name", ["halve", "double"])
def test_both_equal_xlas_convolutions_and_their_gradients(name, shape):
    large, small, kernel = random_arguments(*shape)
    x, cotangent = (large, small) if name == "halve" else (small, large)
    ours = with_gradients(getattr(convolution, name), x, kernel, cotangent)
    expected = with_gradients(XLA[name], x, kernel, cotangent)
    for actual, desired in zip(ours, expected, strict=True):
        close(actual, desired)


@pytest.mark.usefixtures("lowering")
@pytest.mark.parametrize("shape", SHAPES)
def test_bfloat16_stays_bfloat16(shape):
    large, small, kernel = (x.astype(jnp.bfloat16) for x in random_arguments(*shape))
    assert jax.eval_shape(convolution.halve, large, kernel).dtype == jnp.bfloat16
    assert jax.eval_shape(convolution.double, small, kernel).dtype == jnp.bfloat16
