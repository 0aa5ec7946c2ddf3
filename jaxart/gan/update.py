"""The losses, and one update of generator and discriminator.

The fake batch is made once: D learns from it, then G learns through the updated D. G's
step asks for the gradient at the fake images only, so that no weight gradient of D is
computed, and carries that cotangent back through the pass that made them.

Source: Beyers and Loane, section 3.3; Goodfellow et al., "Generative Adversarial
Nets", 2014, section 3 for both forms of G's loss; pytorch/examples for the order.
Deviation: D's running statistics follow the real batch, then the fake one; G's step
leaves them alone, since D does not learn there. D's running statistics are used by
`deconvnet` only. The paper does not say which loss G has; ours is by default the one
that does not saturate.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, Integer, PyTree, UInt8, UInt32

from jaxart import images
from jaxart.gan.networks import Discriminator, Generator


Loss = Literal["non_saturating", "minimax"]

Logits = Float[Array, " b"]
Metrics = dict[str, Float[Array, ""]]


class NetworkState(NamedTuple):
    """The parameters of a network, and the running statistics of its batch norms."""

    params: PyTree
    batch_stats: PyTree


class TrainState(NamedTuple):
    """All that changes from update to update; `key` is a key's raw data."""

    step: Int[Array, ""]
    key: UInt32[Array, " k"]
    generator: NetworkState
    discriminator: NetworkState
    generator_opt_state: PyTree
    discriminator_opt_state: PyTree


Update = Callable[[TrainState, UInt8[Array, "b h w 3"]], tuple[TrainState, Metrics]]


def network_state(network: nnx.Module) -> NetworkState:
    """Return the values of `network` as plain trees of arrays."""
    _, params, batch_stats = nnx.split(network, nnx.Param, nnx.BatchStat)
    return NetworkState(nnx.as_pure(params), nnx.as_pure(batch_stats))


def init_state(
    generator: Generator,
    discriminator: Discriminator,
    optimizer: optax.GradientTransformation,
    seed: int | Integer[Array, ""],
) -> TrainState:
    """Return the state before the first update."""
    g, d = network_state(generator), network_state(discriminator)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        key=jax.random.key_data(jax.random.key(seed)),
        generator=g,
        discriminator=d,
        generator_opt_state=optimizer.init(g.params),
        discriminator_opt_state=optimizer.init(d.params),
    )


def apply(
    graphdef: nnx.GraphDef, state: NetworkState, x: Array
) -> tuple[Array, PyTree]:
    """Return the network's output for `x`, and its batch statistics after it."""
    network: Any = nnx.merge(graphdef, state.params, state.batch_stats)
    output = network(x)
    return output, nnx.as_pure(nnx.state(network, nnx.BatchStat))


def discriminator_loss(real: Logits, fake: Logits) -> Float[Array, ""]:
    """Return the binary cross-entropy of both batches: −log D(x) − log(1 − D(G(z)))."""
    return jnp.mean(nnx.softplus(-real)) + jnp.mean(nnx.softplus(fake))


def generator_loss(fake: Logits, loss: Loss) -> Float[Array, ""]:
    """Return G's loss: −log D(G(z)), or log(1 − D(G(z))) in the minimax form."""
    if loss == "minimax":
        return -jnp.mean(nnx.softplus(fake))
    return jnp.mean(nnx.softplus(-fake))


def update_fn(
    generator: Generator,
    discriminator: Discriminator,
    optimizer: optax.GradientTransformation,
    loss: Loss,
    axis: str | None = None,
) -> Update:
    """Return the update of both networks as a pure function, not yet compiled.

    Of the networks only the structure is used; values are in the state. `axis` names
    the mapped axis over devices, where each has a part of the batch: gradients and
    statistics are then averaged over it.
    """
    g_graphdef = nnx.graphdef(generator)
    d_graphdef = nnx.graphdef(discriminator)
    latent_dim = generator.latent_dim

    def average(tree: PyTree) -> PyTree:
        return tree if axis is None else jax.lax.pmean(tree, axis)

    def optimizer_step(params: PyTree, opt_state: PyTree, grads: PyTree):
        updates, opt_state = optimizer.update(average(grads), opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    def update(
        state: TrainState, pixels: UInt8[Array, "b h w 3"]
    ) -> tuple[TrainState, Metrics]:
        real = images.to_images(pixels)
        z = _latents(state, len(pixels), latent_dim, axis)
        g, d = state.generator, state.discriminator

        def generate(params: PyTree):
            return apply(g_graphdef, g._replace(params=params), z)

        def d_loss_fn(params: PyTree):
            network = d._replace(params=params)
            real_logits, batch_stats = apply(d_graphdef, network, real)
            network = network._replace(batch_stats=batch_stats)
            fake_logits, batch_stats = apply(d_graphdef, network, fake)
            value = discriminator_loss(real_logits, fake_logits)
            return value, (batch_stats, real_logits, fake_logits)

        def g_loss_fn(fake: Array) -> Array:
            logits, _ = apply(d_graphdef, new_d, fake)
            return generator_loss(logits, loss)

        fake, generate_vjp, g_batch_stats = jax.vjp(generate, g.params, has_aux=True)
        (d_loss, (d_batch_stats, real_logits, fake_logits)), d_grads = (
            jax.value_and_grad(d_loss_fn, has_aux=True)(d.params)
        )
        d_params, d_opt_state = optimizer_step(
            d.params, state.discriminator_opt_state, d_grads
        )
        new_d = NetworkState(d_params, d_batch_stats)
        g_loss, fake_cotangent = jax.value_and_grad(g_loss_fn)(fake)
        (g_grads,) = generate_vjp(fake_cotangent)
        g_params, g_opt_state = optimizer_step(
            g.params, state.generator_opt_state, g_grads
        )
        metrics = {
            "discriminator_loss": d_loss,
            "generator_loss": g_loss,
            "real_score": jnp.mean(nnx.sigmoid(real_logits)),
            "fake_score": jnp.mean(nnx.sigmoid(fake_logits)),
        }
        new_state = TrainState(
            state.step + 1,
            state.key,
            NetworkState(g_params, g_batch_stats),
            new_d,
            g_opt_state,
            d_opt_state,
        )
        return new_state, average(metrics)

    return update


def _latents(
    state: TrainState, count: int, latent_dim: int, axis: str | None
) -> Float[Array, "b z"]:
    """Return this step's latents: the same batch on however many devices."""
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
    if axis is None:
        return jax.random.normal(key, (count, latent_dim))
    whole = jax.random.normal(key, (count * jax.lax.axis_size(axis), latent_dim))
    first = jax.lax.axis_index(axis) * count
    return jax.lax.dynamic_slice_in_dim(whole, first, count)
