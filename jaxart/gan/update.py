"""The losses, and one update of both players.

The fake batch is made once: D learns from it, then G learns through the D that has
just learned. G's turn asks for the gradient at the fake images only, so that no weight
gradient of D is computed, and carries it back through the pass that made them.

Source: Beyers and Loane, section 3.3; Goodfellow et al., "Generative Adversarial
Nets", 2014, section 3 for both forms of G's loss; pytorch/examples for the order.
Deviation: D's running statistics follow the real batch, then the fake one; G's turn
leaves them alone, since D does not learn there. They serve only to look at D later.
The paper does not say which loss G has; ours is by default the one that does not
saturate.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, Integer, PyTree, UInt8, UInt32

from jaxart import images
from jaxart.gan.networks import Discriminator, Generator


LOSSES = ("non_saturating", "minimax")

Logits = Float[Array, " b"]
Metrics = dict[str, Float[Array, ""]]


class Player(NamedTuple):
    """What one network knows: what it learned, and the statistics it gathered."""

    parameters: PyTree
    statistics: PyTree


class State(NamedTuple):
    """All that changes from update to update; `key` is a key's raw data."""

    step: Int[Array, ""]
    key: UInt32[Array, " k"]
    generator: Player
    discriminator: Player
    generator_optimizer: PyTree
    discriminator_optimizer: PyTree


Update = Callable[[State, UInt8[Array, "b h w 3"]], tuple[State, Metrics]]


def player(network: nnx.Module) -> Player:
    """Return the values of `network` as plain trees of arrays."""
    _, parameters, statistics = nnx.split(network, nnx.Param, nnx.BatchStat)
    return Player(nnx.as_pure(parameters), nnx.as_pure(statistics))


def start(
    generator: Generator,
    discriminator: Discriminator,
    optimizer: optax.GradientTransformation,
    seed: int | Integer[Array, ""],
) -> State:
    """Return the state before the first update."""
    g, d = player(generator), player(discriminator)
    return State(
        step=jnp.zeros((), jnp.int32),
        key=jax.random.key_data(jax.random.key(seed)),
        generator=g,
        discriminator=d,
        generator_optimizer=optimizer.init(g.parameters),
        discriminator_optimizer=optimizer.init(d.parameters),
    )


def apply(network: nnx.GraphDef, player: Player, x: Array) -> tuple[Array, PyTree]:
    """Return the network's answer to `x`, and its statistics after having seen it."""
    merged: Any = nnx.merge(network, player.parameters, player.statistics)
    answer = merged(x)
    return answer, nnx.as_pure(nnx.state(merged, nnx.BatchStat))


def discriminator_loss(real: Logits, fake: Logits) -> Float[Array, ""]:
    """Return the binary cross-entropy of both answers: −log D(x) − log(1 − D(G(z)))."""
    return jnp.mean(nnx.softplus(-real)) + jnp.mean(nnx.softplus(fake))


def generator_loss(fake: Logits, form: str) -> Float[Array, ""]:
    """Return G's loss: −log D(G(z)), or log(1 − D(G(z))) in the minimax form."""
    if form == "minimax":
        return -jnp.mean(nnx.softplus(fake))
    return jnp.mean(nnx.softplus(-fake))


def updater(
    generator: Generator,
    discriminator: Discriminator,
    optimizer: optax.GradientTransformation,
    loss: str,
    axis: str | None = None,
) -> Update:
    """Return the update of both players as a pure function, not yet compiled.

    Args:
        generator: only its structure is used; values are in the state.
        discriminator: likewise.
        optimizer: of either player.
        loss: of the generator, one of `LOSSES`.
        axis: name of the mapped axis over devices, where each sees a part of the
            batch; its gradients and statistics are then averaged over all.

    Raises:
        ValueError: `loss` is not one of `LOSSES`.
    """
    if loss not in LOSSES:
        raise ValueError(f"loss must be one of {LOSSES}; got {loss!r}")
    g = nnx.graphdef(generator)
    d = nnx.graphdef(discriminator)
    latent = generator.latent

    def average(tree: PyTree) -> PyTree:
        return tree if axis is None else jax.lax.pmean(tree, axis)

    def learn(parameters: PyTree, memory: PyTree, gradients: PyTree):
        changes, memory = optimizer.update(average(gradients), memory, parameters)
        return optax.apply_updates(parameters, changes), memory

    def update(state: State, pixels: UInt8[Array, "b h w 3"]) -> tuple[State, Metrics]:
        real = images.to_images(pixels)
        z = _latents(state, len(pixels), latent, axis)
        g_before, d_before = state.generator, state.discriminator

        def paint(parameters: PyTree):
            return apply(g, g_before._replace(parameters=parameters), z)

        def judge(parameters: PyTree):
            now = d_before._replace(parameters=parameters)
            real_logits, statistics = apply(d, now, real)
            now = now._replace(statistics=statistics)
            fake_logits, statistics = apply(d, now, fake)
            value = discriminator_loss(real_logits, fake_logits)
            return value, (statistics, real_logits, fake_logits)

        def fool(fake: Array) -> Array:
            logits, _ = apply(d, d_after, fake)
            return generator_loss(logits, loss)

        fake, back, g_statistics = jax.vjp(paint, g_before.parameters, has_aux=True)
        (d_loss, (d_statistics, real_logits, fake_logits)), d_gradients = (
            jax.value_and_grad(judge, has_aux=True)(d_before.parameters)
        )
        d_parameters, d_memory = learn(
            d_before.parameters, state.discriminator_optimizer, d_gradients
        )
        d_after = Player(d_parameters, d_statistics)
        g_loss, slope = jax.value_and_grad(fool)(fake)
        (g_gradients,) = back(slope)
        g_parameters, g_memory = learn(
            g_before.parameters, state.generator_optimizer, g_gradients
        )
        metrics = {
            "discriminator_loss": d_loss,
            "generator_loss": g_loss,
            "real_score": jnp.mean(nnx.sigmoid(real_logits)),
            "fake_score": jnp.mean(nnx.sigmoid(fake_logits)),
        }
        after = State(
            state.step + 1,
            state.key,
            Player(g_parameters, g_statistics),
            d_after,
            g_memory,
            d_memory,
        )
        return after, average(metrics)

    return update


def _latents(
    state: State, count: int, latent: int, axis: str | None
) -> Float[Array, "b z"]:
    """Draw this step's latents: the same whole batch however many devices share it."""
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
    if axis is None:
        return jax.random.normal(key, (count, latent))
    whole = jax.random.normal(key, (count * jax.lax.axis_size(axis), latent))
    first = jax.lax.axis_index(axis) * count
    return jax.lax.dynamic_slice_in_dim(whole, first, count)
