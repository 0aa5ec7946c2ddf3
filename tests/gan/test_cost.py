"""What a run costs, against counts by hand."""

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from jaxart import machine
from jaxart.gan import cost
from jaxart.gan.networks import Discriminator, Generator
from jaxart.gan.run_log import Speed


def networks(size: int, width: int, latent: int) -> tuple[Generator, Discriminator]:
    """Return both networks; only their shapes are known."""

    def made() -> tuple[Generator, Discriminator]:
        shape = {"size": size, "dtype": "float32", "rngs": nnx.Rngs(0)}
        return Generator(width=width, latent_dim=latent, **shape), Discriminator(
            width=width, **shape
        )

    return nnx.eval_shape(made)


# Of 32 by 32 pixels and width 1, D has the channels 3, 1, 2, 4, and G 4, 2, 1, 3 after
# its 10 random numbers. Kernels are 4 by 4; batch norm has two numbers a channel.
HALVING = (16 * 3 * 1, 16 * 1 * 2, 16 * 2 * 4)
SCORE = 4 * 4 * 4
SEED = 10 * 4 * 4 * 4


def test_parameters_are_those_counted_by_hand():
    g, d = networks(size=32, width=1, latent=10)
    assert cost.parameters(d) == sum(HALVING) + 2 * (2 + 4) + SCORE + 1
    assert cost.parameters(g) == SEED + sum(HALVING) + 2 * (4 + 2 + 1)


def test_the_formula_gives_the_operations_counted_by_hand():
    # Each weight meets each pixel of its smaller map once.
    products = [HALVING[0] * 16 * 16, HALVING[1] * 8 * 8, HALVING[2] * 4 * 4]
    d_forward = sum(products) + SCORE
    g_forward = SEED + sum(products)
    by_pass = [
        2 * d_forward,  # real, fake
        2 * d_forward,  # gradients of D's weights
        2 * (d_forward - products[0]),  # gradients of its maps, but not of the pixels
        d_forward,  # fake again, D having learned
        d_forward,  # gradients down to the pixels
        g_forward,
        g_forward,  # gradients of G's weights
        g_forward - SEED,  # gradients of its maps, but not of the random numbers
    ]
    g, d = networks(size=32, width=1, latent=10)
    assert cost.flop_per_image(g, d) == 2 * sum(by_pass)


def test_the_papers_networks_cost_what_is_known_of_them():
    g, d = networks(size=64, width=128, latent=100)
    assert round(cost.parameters(g) / 1e6, 2) == 12.66
    assert round(cost.parameters(d) / 1e6, 2) == 11.04
    assert round(cost.flop_per_image(g, d) / 1e9, 2) == 8.98


def test_what_is_given_up_for_what_is_returned_needs_no_memory_of_its_own():
    x = jax.ShapeDtypeStruct((1000, 1000), jnp.float32)
    plain = jax.jit(jnp.sin).lower(x).compile()
    donated = jax.jit(jnp.sin, donate_argnums=0).lower(x).compile()
    assert cost.bytes_needed(plain) == 8_000_000
    assert cost.bytes_needed(donated) == 4_000_000


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> cost.Cost:
    """A program of one product of 8 by 16 by 32, on a machine with 10 kB."""
    monkeypatch.setattr(machine, "memory_limit", lambda: 10_000)
    a, b = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((8, 16), (16, 32)))
    compiled = jax.jit(jnp.matmul).lower(a, b).compile()
    return cost.estimate_cost(*networks(32, 1, 10), compiled, images=8)


def test_a_cost_says_what_the_compiler_counts(found: cost.Cost):
    assert found.compiled_flop_per_image == 2 * 16 * 32
    assert found.bytes_needed == 4 * (8 * 16 + 16 * 32 + 8 * 32)
    assert found.bytes_available == 10_000
    parameters, arithmetic, memory = str(found).splitlines()
    assert parameters == "parameters: 862 of G, 285 of D"
    assert arithmetic.endswith("GFLOP an image, 1.02e-06 as compiled")
    assert memory == "memory: 3.58e-06 GB needed, 1e-05 GB available"


def test_a_batch_that_cannot_fit_is_refused_with_the_numbers(found: cost.Cost):
    found.check_memory(8)
    large = found._replace(bytes_needed=31_000_000_000, bytes_available=23_900_000_000)
    message = (
        r"batch_size must fit into memory: 512 needs 31 GB, and 23\.9 GB are available"
    )
    with pytest.raises(ValueError, match=message):
        large.check_memory(512)


def test_what_neither_compiler_nor_device_says_is_unknown(found: cost.Cost):
    silent = found._replace(
        compiled_flop_per_image=None, bytes_needed=None, bytes_available=None
    )
    silent.check_memory(8)
    _, arithmetic, memory = str(silent).splitlines()
    assert arithmetic.endswith("unknown as compiled")
    assert memory == "memory: unknown GB needed, unknown GB available"


def test_the_speed_is_a_share_of_the_peak(
    found: cost.Cost, monkeypatch: pytest.MonkeyPatch
):
    speed = Speed(images_per_second=2_000.0, input_wait_share=0.0123)
    fast = found._replace(flop_per_image=9_000_000_000)
    peak = machine.Peak(36e12, "that it could do")
    monkeypatch.setattr(machine, "peak", lambda dtype: peak)
    assert cost.format_speed(fast, speed, "float32") == (
        "speed: 2,000 images/s, 18,000 GFLOP/s: 50% of the 36,000 that it could do; "
        "1.2% of the time waiting for data"
    )
    monkeypatch.setattr(machine, "peak", lambda dtype: None)
    assert "an unknown share" in cost.format_speed(fast, speed, "float32")
