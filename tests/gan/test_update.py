from collections.abc import Iterator
from typing import Any

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jaxart.gan import update as rules
from jaxart.gan.networks import Discriminator, Generator
from jaxart.gan.update import Recipe, TrainState, init_state, update_fn


Networks = tuple[Generator, Discriminator]

ADAM = optax.adam(1e-3, b1=0.5)
RECIPE = Recipe(ADAM, ADAM)


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
    return jax.jit(update_fn(*networks, RECIPE))


def pixels(seed: int, count: int = 8) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def test_both_players_and_their_statistics_move(networks: Networks, step: Any):
    before = init_state(*networks, RECIPE, seed=0)
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
    sgd = optax.sgd(1.0)  # its change is the gradient itself
    plain = Recipe(sgd, sgd)
    state = init_state(generator, discriminator, plain, seed=0)
    after, _ = jax.jit(update_fn(generator, discriminator, plain))(state, pixels(0))
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
    state = init_state(generator, discriminator, RECIPE, seed=0)
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
    half_step = jax.jit(update_fn(*halves, RECIPE))

    def curve(step: Any, state: TrainState) -> list[float]:
        losses = []
        for number in range(10):
            state, metrics = step(state, pixels(number))
            losses.append(float(metrics["discriminator_loss"]))
        assert all(
            leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(state.generator)
        )
        return losses

    same = init_state(*networks, RECIPE, seed=0)
    np.testing.assert_allclose(curve(half_step, same), curve(step, same), rtol=0.1)


def equations(jaxpr: Any) -> Iterator[Any]:
    """Yield every equation, those inside of others too."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            yield from equations(inner)


def test_bfloat16_is_for_large_products_alone():
    halves = new_networks("bfloat16")
    state = init_state(*halves, RECIPE, seed=0)
    traced = jax.jit(update_fn(*halves, RECIPE)).trace(state, pixels(0))
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


def modern_networks() -> Networks:
    rngs = nnx.Rngs(0)
    return (
        Generator(32, 4, latent_dim=10, dtype="float32", rngs=rngs),
        Discriminator(32, 4, normalisation="none", dtype="float32", rngs=rngs),
    )


SGD = optax.sgd(1.0)  # its change is the gradient itself
MODERN = Recipe(
    SGD, SGD, loss="relativistic", r1=0.5, r2=0.25, penalty_every=2, average=0.9
)


@pytest.fixture(scope="module")
def modern() -> tuple[Networks, Any]:
    networks = modern_networks()
    return networks, jax.jit(update_fn(*networks, MODERN))


def change(before: TrainState, after: TrainState) -> list[np.ndarray]:
    """Return the gradient of D, which plain descent subtracts."""
    params = before.discriminator.params, after.discriminator.params
    return jax.tree.leaves(jax.tree.map(lambda a, b: np.asarray(a - b), *params))


def test_penalties_are_those_of_xlas_convolutions_and_are_paid_at_intervals(
    modern: tuple[Networks, Any], monkeypatch: pytest.MonkeyPatch
):
    (generator, discriminator), step = modern
    start = init_state(generator, discriminator, MODERN, seed=0)
    second = start._replace(step=jnp.int32(1))

    def expected_gradient(state: TrainState, weight: float) -> list[np.ndarray]:
        """The gradient of D's loss written as one function."""
        key = jax.random.fold_in(jax.random.key(0), state.step)
        z = jax.random.normal(key, (8, 10))
        fake, _ = rules.apply(nnx.graphdef(generator), state.generator, z)
        real = jnp.asarray(pixels(0).astype(np.float32) / 127.5 - 1)
        graphdef = nnx.graphdef(discriminator)

        def logits(params, images):
            network = state.discriminator._replace(params=params)
            return rules.apply(graphdef, network, images)[0]

        def loss(params):
            value = jnp.mean(nnx.softplus(logits(params, fake) - logits(params, real)))
            for factor, images in ((0.5, real), (0.25, fake)):
                grads = jax.vmap(
                    jax.grad(lambda image: logits(params, image[None])[0])
                )(images)
                value += weight * factor / 2 * jnp.sum(grads**2) / 8
            return value

        return jax.tree.leaves(jax.jit(jax.grad(loss))(state.discriminator.params))

    ours = change(start, step(start, pixels(0))[0])
    not_due = change(second, step(second, pixels(0))[0])

    def xla_form(*args, default, **_):
        return default(*args)

    monkeypatch.setattr(jax.lax, "platform_dependent", xla_form)
    with jax.default_matmul_precision("highest"):
        expected = expected_gradient(start, 2), expected_gradient(second, 0)
    for got, wanted in zip((ours, not_due), expected, strict=True):
        for one, other in zip(got, wanted, strict=True):
            scale = np.abs(other).max()
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-3 * scale)


def test_the_average_follows_all_weights_and_statistics(modern: tuple[Networks, Any]):
    networks, step = modern
    state = init_state(*networks, MODERN, seed=0)
    expected = jax.tree.map(np.asarray, state.generator)
    for number in range(3):
        state, _ = step(state, pixels(number))
        keep = min(0.9, (1 + number) / (10 + number))
        expected = jax.tree.map(
            lambda old, new, keep=keep: keep * old + (1 - keep) * np.asarray(new),
            expected,
            state.generator,
        )
    assert state.sampling() is state.average
    for one, other in zip(
        jax.tree.leaves(state.average), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_an_average_that_was_loaded_is_kept(modern: tuple[Networks, Any]):
    networks, _ = modern
    state = init_state(*networks, MODERN, seed=0)
    new = jax.tree.map(lambda x: x + 1, state.generator)
    first = rules._next_average(state, new, MODERN)
    loaded = rules._next_average(state, new, MODERN._replace(warm_up=False))
    for old, one, other in zip(
        *map(jax.tree.leaves, (state.average, first, loaded)), strict=True
    ):
        np.testing.assert_allclose(one, old + 0.9, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(other, old + 0.1, rtol=1e-5, atol=1e-5)


def test_both_kinds_of_update_are_compiled_once(modern: tuple[Networks, Any]):
    networks, _ = modern
    step: Any = jax.jit(update_fn(*networks, MODERN))
    state = init_state(*networks, MODERN, seed=0)
    for number in range(4):
        state, _ = step(state, pixels(number))
    assert step._cache_size() == 1
