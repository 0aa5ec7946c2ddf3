from collections.abc import Iterator
from typing import Any, get_args

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jaxart.gan import update as rules
from jaxart.gan.networks import Discriminator, Generator
from jaxart.gan.update import (
    TrainState,
    discriminator_loss,
    generator_loss,
    init_state,
    update_fn,
)


Networks = tuple[Generator, Discriminator]

OPTIMIZER = optax.adam(1e-3, b1=0.5)


@pytest.fixture(scope="module")
def networks() -> Networks:
    return new_networks("float32")


def new_networks(dtype: str) -> Networks:
    rngs = nnx.Rngs(0)
    return (
        Generator(32, 4, latent_dim=10, dtype=dtype, rngs=rngs),
        Discriminator(32, 4, dtype=dtype, rngs=rngs),
    )


@pytest.fixture(scope="module")
def step(networks: Networks) -> Any:
    return jax.jit(update_fn(*networks, OPTIMIZER, "non_saturating"))


def pixels(seed: int, count: int = 8) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def test_losses_are_cross_entropies():
    rng = np.random.default_rng(0)
    real, fake = jnp.asarray(rng.normal(size=(2, 16)), jnp.float32)

    def probability(logits: jax.Array) -> np.ndarray:
        return 1 / (1 + np.exp(-np.asarray(logits, np.float64)))

    d = -np.log(probability(real)).mean() - np.log(1 - probability(fake)).mean()
    np.testing.assert_allclose(discriminator_loss(real, fake), d, rtol=1e-5)
    g = -np.log(probability(fake)).mean()
    np.testing.assert_allclose(generator_loss(fake, "non_saturating"), g, rtol=1e-5)
    g = np.log(1 - probability(fake)).mean()
    np.testing.assert_allclose(generator_loss(fake, "minimax"), g, rtol=1e-5)


def test_losses_of_certain_answers_stay_finite():
    certain = jnp.array([1e4, -1e4])
    assert jnp.isfinite(discriminator_loss(certain, certain))
    assert jnp.isfinite(generator_loss(certain, "minimax"))


def test_both_forms_of_the_generators_loss_pull_the_same_way():
    logits = jnp.array([-3.0, 0.0, 2.0])
    for form in get_args(rules.Loss):
        grad = jax.grad(generator_loss)(logits, form)
        assert (grad < 0).all()  # a higher logit is better for G


def test_both_players_and_their_statistics_move(networks: Networks, step: Any):
    before = init_state(*networks, OPTIMIZER, seed=0)
    after, _ = step(before, pixels(0))
    assert after.step == 1
    for part in ("generator", "discriminator"):
        pairs = zip(
            jax.tree.leaves(getattr(before, part)),
            jax.tree.leaves(getattr(after, part)),
            strict=True,
        )
        assert all((one != other).any() for one, other in pairs)


def test_the_generators_gradient_is_the_one_through_the_whole_chain(networks: Networks):
    """G's step equals that of its loss as one function of G's parameters."""
    generator, discriminator = networks
    plain = optax.sgd(1.0)  # its change is the gradient itself
    state = init_state(generator, discriminator, plain, seed=0)
    after, _ = jax.jit(update_fn(generator, discriminator, plain, "non_saturating"))(
        state, pixels(0)
    )
    key = jax.random.fold_in(jax.random.key(0), 0)
    z = jax.random.normal(key, (8, 10))
    g, d = nnx.graphdef(generator), nnx.graphdef(discriminator)

    def loss(parameters):
        fake, _ = rules.apply(g, state.generator._replace(params=parameters), z)
        logits, _ = rules.apply(d, after.discriminator, fake)
        return -jnp.mean(jnp.log(jax.nn.sigmoid(logits)))

    expected = jax.jit(jax.grad(loss))(state.generator.params)
    change = jax.tree.map(
        lambda a, b: a - b, state.generator.params, after.generator.params
    )
    for one, other in zip(
        jax.tree.leaves(change), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_running_statistics_follow_the_real_batch_then_the_fake_one(
    networks: Networks, step: Any
):
    generator, discriminator = networks
    state = init_state(generator, discriminator, OPTIMIZER, seed=0)
    after, _ = step(state, pixels(0))
    z = jax.random.normal(jax.random.fold_in(jax.random.key(0), 0), (8, 10))
    apply = jax.jit(rules.apply, static_argnums=0)
    fake, _ = apply(nnx.graphdef(generator), state.generator, z)
    d = nnx.graphdef(discriminator)
    real = pixels(0).astype(np.float32) / 127.5 - 1
    _, statistics = apply(d, state.discriminator, jnp.asarray(real))
    seen_real = state.discriminator._replace(batch_stats=statistics)
    _, statistics = apply(d, seen_real, fake)
    for one, other in zip(
        jax.tree.leaves(after.discriminator.batch_stats),
        jax.tree.leaves(statistics),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_bfloat16_follows_the_losses_of_float32(networks: Networks, step: Any):
    halves = new_networks("bfloat16")
    half_step = jax.jit(update_fn(*halves, OPTIMIZER, "non_saturating"))

    def curve(step: Any, state: TrainState) -> list[float]:
        losses = []
        for number in range(10):
            state, metrics = step(state, pixels(number))
            losses.append(float(metrics["discriminator_loss"]))
        assert all(
            leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(state.generator)
        )
        return losses

    same = init_state(*networks, OPTIMIZER, seed=0)
    np.testing.assert_allclose(curve(half_step, same), curve(step, same), rtol=0.1)


def equations(jaxpr: Any) -> Iterator[Any]:
    """Yield every equation, those inside of others too."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            yield from equations(inner)


def test_bfloat16_is_for_large_products_alone():
    halves = new_networks("bfloat16")
    state = init_state(*halves, OPTIMIZER, seed=0)
    traced = jax.jit(update_fn(*halves, OPTIMIZER, "non_saturating")).trace(
        state, pixels(0)
    )
    # Parameters, statistics, Adam's moments and losses.
    types = {leaf.dtype for leaf in jax.tree.leaves(traced.out_info)}
    assert types == {jnp.dtype(name) for name in ("float32", "int32", "uint32")}
    products, sums = [], []
    for equation in equations(traced.jaxpr.jaxpr):
        operands = [operand.aval for operand in equation.invars]
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            products.append(operands)
        elif equation.primitive.name == "reduce_sum":
            sums.append(operands[0])
    wide = [operands for operands in products if operands[0].dtype == jnp.float32]
    assert len(products) > 2 * len(wide) > 0
    # What is left are the one logit of each image, and sums written as products.
    assert all(1 in operands[0].shape + operands[1].shape for operands in wide)
    assert {operand.dtype for operand in sums} == {jnp.dtype("float32")}
