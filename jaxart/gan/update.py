"""One update of generator and discriminator.

The fake batch is made once: D learns from it, then G learns through the updated D. G's
step asks for the gradient at the fake images only, so that no weight gradient of D is
computed, and carries that cotangent back through the pass that made them.

What a `Recipe` can add to the paper's update:

* Penalties of D's gradient at every `penalty_every`th update alone, and as many times
  as strong there: both kinds of update are in one compiled program.
* D may see mirrored and augmented images.
* Both networks may be told a condition of each image (`conditions`): fake images are
  asked to be what the real ones beside them are. D may also learn that a real image
  with the condition of the next one in the batch is a fake (Reed et al., "Generative
  Adversarial Text to Image Synthesis", ICML 2016, section 4.2).
* The average of G's weights over the last updates, which makes better samples than the
  last weights. Batch statistics are averaged likewise.

Source: Beyers and Loane, section 3.3; pytorch/examples for the order; Karras et al.,
"Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020, section 3.1, for
penalties at intervals; Yazıcı et al., "The Unusual Effectiveness of Averaging in GAN
Training", ICLR 2019.
Deviation: D's running statistics follow the real batch, then the fake one; G's step
leaves them alone, since D does not learn there. D's running statistics are used by
`deconvnet` only. The paper does not say which loss G has; ours is by default the one
that does not saturate. Karras et al. give penalties an optimizer step of their own.
With the relativistic loss, G's step compares with the answers to real images that D
gave in its own step, before it learned from them, which saves a pass.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, Integer, PyTree, UInt8, UInt32

from jaxart import images
from jaxart.gan import augment, losses
from jaxart.gan.augment import Transformation
from jaxart.gan.losses import Loss
from jaxart.gan.networks import Discriminator
from jaxart.gan.strokes import AnyGenerator


# After n updates the average keeps (1 + n) / (WARM_UP + n) of itself, until that is
# what the recipe says: else the first weights would stay in it for long.
WARM_UP = 10

Images = Float[Array, "b h w 3"]
Logits = Float[Array, " b"]
Metrics = dict[str, Float[Array, ""]]


class NetworkState(NamedTuple):
    """The parameters of a network, and the running statistics of its batch norms."""

    params: PyTree
    batch_stats: PyTree


class Recipe(NamedTuple):
    """How both networks are trained; by default with the paper's losses alone."""

    generator_optimizer: optax.GradientTransformation
    discriminator_optimizer: optax.GradientTransformation
    loss: Loss = "non_saturating"
    r1: float = 0.0  # weight of the penalty of D's gradient at real images
    r2: float = 0.0  # and at fake ones
    penalty_every: int = 1  # updates from one penalty to the next
    mirrored: bool = False  # whether real images are mirrored at random
    transformations: tuple[Transformation, ...] = ()  # of what D sees
    augment_probability: float = 0.0  # of each transformation, or its first value
    adaptive_target: float = 0.0  # of an adaptive probability; 0 for a constant one
    average: float = 0.0  # decay of the average of G's weights; 0 for none
    warm_up: bool = True  # whether it is shorter at first; see `WARM_UP`
    mismatch: float = 0.0  # weight of D's loss on images with others' conditions


class TrainState(NamedTuple):
    """All that changes from update to update; `key` is a key's raw data."""

    step: Int[Array, ""]
    key: UInt32[Array, " k"]
    generator: NetworkState
    discriminator: NetworkState
    generator_opt_state: PyTree
    discriminator_opt_state: PyTree
    average: NetworkState | None = None  # of G's weights, if the recipe asks for it
    # Of augmentation, if it is adaptive.
    augment_probability: Float[Array, ""] | None = None

    def sampling(self) -> NetworkState:
        """Return the generator that samples are drawn with."""
        return self.generator if self.average is None else self.average


# Real images, each perhaps with its condition.
Batch = UInt8[Array, "b h w 3"] | tuple[UInt8[Array, "b h w 3"], Float[Array, "b c"]]

Optimizer = optax.GradientTransformation
Update = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


def network_state(network: nnx.Module) -> NetworkState:
    """Return the values of `network` as plain trees of arrays."""
    _, params, batch_stats = nnx.split(network, nnx.Param, nnx.BatchStat)
    return NetworkState(nnx.as_pure(params), nnx.as_pure(batch_stats))


def init_state(
    generator: AnyGenerator,
    discriminator: Discriminator,
    recipe: Recipe,
    seed: int | Integer[Array, ""],
) -> TrainState:
    """Return the state before the first update."""
    g, d = network_state(generator), network_state(discriminator)
    adaptive = recipe.adaptive_target > 0
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        key=jax.random.key_data(jax.random.key(seed)),
        generator=g,
        discriminator=d,
        generator_opt_state=recipe.generator_optimizer.init(g.params),
        discriminator_opt_state=recipe.discriminator_optimizer.init(d.params),
        # A copy: the update donates its buffers.
        average=jax.tree.map(jnp.copy, g) if recipe.average else None,
        augment_probability=(
            jnp.float32(recipe.augment_probability) if adaptive else None
        ),
    )


def apply(
    graphdef: nnx.GraphDef, state: NetworkState, *inputs: Array | None
) -> tuple[Array, PyTree]:
    """Return the network's output for its inputs, and its batch statistics after it."""
    network: Any = nnx.merge(graphdef, state.params, state.batch_stats)
    output = network(*inputs)
    return output, nnx.as_pure(nnx.state(network, nnx.BatchStat))


def update_fn(
    generator: AnyGenerator,
    discriminator: Discriminator,
    recipe: Recipe,
    axis: str | None = None,
) -> Update:
    """Return the update of both networks as a pure function, not yet compiled.

    Of the networks only the structure is used; values are in the state. `axis` names
    the mapped axis over devices, where each has a part of the batch: gradients and
    statistics are then averaged over it.
    """
    g_graphdef = nnx.graphdef(generator)
    d_graphdef = nnx.graphdef(discriminator)
    d_gradient = _d_gradient_fn(d_graphdef, recipe)

    def mean(tree: PyTree) -> PyTree:
        return tree if axis is None else jax.lax.pmean(tree, axis)

    def optimizer_step(
        optimizer: Optimizer, params: PyTree, state: PyTree, grads: PyTree
    ):
        updates, state = optimizer.update(mean(grads), state, params)
        return optax.apply_updates(params, updates), state

    def update(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        pixels, condition = batch if isinstance(batch, tuple) else (batch, None)
        g, d = state.generator, state.discriminator
        draws = _Draws(state, len(pixels), axis)
        see_real, see_fake = _views(recipe, state, draws, pixels.shape[1])
        real = see_real(images.to_images(pixels))
        z = draws.latents(generator.latent_dim)
        points = z if condition is None else jnp.concatenate([z, condition], axis=1)
        conditions = () if condition is None else (condition,)
        if condition is not None and recipe.mismatch:
            conditions += (draws.of_next(condition),)

        def generate(params: PyTree):
            return apply(g_graphdef, g._replace(params=params), points)

        def g_loss_fn(fake: Images) -> Float[Array, ""]:
            logits, _ = apply(d_graphdef, new_d, see_fake(fake), condition)
            return losses.generator_loss(logits, recipe.loss, answers.real)

        fake, generate_vjp, g_batch_stats = jax.vjp(generate, g.params, has_aux=True)
        d_loss, answers, d_grads = d_gradient(
            d, real, see_fake(fake), conditions, state.step
        )
        d_params, d_opt_state = optimizer_step(
            recipe.discriminator_optimizer,
            d.params,
            state.discriminator_opt_state,
            d_grads,
        )
        new_d = NetworkState(d_params, answers.batch_stats)
        g_loss, fake_cotangent = jax.value_and_grad(g_loss_fn)(fake)
        (g_grads,) = generate_vjp(fake_cotangent)
        g_params, g_opt_state = optimizer_step(
            recipe.generator_optimizer, g.params, state.generator_opt_state, g_grads
        )
        new_g = NetworkState(g_params, g_batch_stats)
        metrics = {
            "discriminator_loss": d_loss,
            "generator_loss": g_loss,
            "real_score": jnp.mean(nnx.sigmoid(answers.real)),
            "fake_score": jnp.mean(nnx.sigmoid(answers.fake)),
        }
        if state.augment_probability is not None:
            metrics["augment_probability"] = state.augment_probability
        new_state = TrainState(
            state.step + 1,
            state.key,
            new_g,
            new_d,
            g_opt_state,
            d_opt_state,
            _next_average(state, new_g, recipe),
            _next_probability(state, mean(_real_sign(answers, recipe)), draws, recipe),
        )
        return new_state, mean(metrics)

    return update


# Of the images of a batch: none, their own, or their own and then those of the next
# images, with which they would be fakes.
Conditions = tuple[Float[Array, "b c"], ...]


class _Answers(NamedTuple):
    """What D answers in its step, and its statistics after it."""

    real: Logits
    fake: Logits
    batch_stats: PyTree


def _d_gradient_fn(
    graphdef: nnx.GraphDef, recipe: Recipe
) -> Callable[..., tuple[Float[Array, ""], _Answers, PyTree]]:
    """Return the function of D's loss, its answers, and the gradient of its step.

    It takes D, real and fake images, their conditions, and the step. The gradient
    contains that of the penalties in the updates where they are due; the loss does not
    contain them.
    """

    def loss_fn(
        params: PyTree,
        network: NetworkState,
        real: Images,
        fake: Images,
        conditions: Conditions,
    ) -> tuple[Float[Array, ""], _Answers]:
        network = network._replace(params=params)
        stacked = jnp.stack(conditions) if conditions else None
        answers, batch_stats = apply(graphdef, network, real, stacked)
        real_logits, *mismatched = answers if conditions else answers[None]
        network = network._replace(batch_stats=batch_stats)
        fake_logits, batch_stats = apply(graphdef, network, fake, *conditions[:1])
        value = losses.discriminator_loss(real_logits, fake_logits, recipe.loss)
        for logits in mismatched:
            value += recipe.mismatch * losses.discriminator_loss(
                real_logits, logits, recipe.loss
            )
        return value, _Answers(real_logits, fake_logits, batch_stats)

    def penalties(
        params: PyTree,
        network: NetworkState,
        real: Images,
        fake: Images,
        conditions: Conditions,
    ) -> Float[Array, ""]:
        def logits_fn(images: Images) -> Logits:
            network_now = network._replace(params=params)
            return apply(graphdef, network_now, images, *conditions[:1])[0]

        total = jnp.zeros(())
        for weight, seen in ((recipe.r1, real), (recipe.r2, fake)):
            if weight:
                total += weight * losses.gradient_penalty(logits_fn, seen)
        return recipe.penalty_every * total

    def d_gradient(
        network: NetworkState,
        real: Images,
        fake: Images,
        conditions: Conditions,
        step: Array,
    ):
        args = network.params, network, real, fake, conditions
        (value, answers), grads = jax.value_and_grad(loss_fn, has_aux=True)(*args)
        if recipe.r1 or recipe.r2:
            grads = jax.lax.cond(
                step % recipe.penalty_every == 0,
                lambda: jax.tree.map(jnp.add, grads, jax.grad(penalties)(*args)),
                lambda: grads,
            )
        return value, answers, grads

    return d_gradient


class _Draws:
    """The random numbers of an update: those of a batch on any number of devices."""

    def __init__(self, state: TrainState, count: int, axis: str | None):
        self.step = state.step
        self.batch_size = count * (1 if axis is None else jax.lax.axis_size(axis))
        self._key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
        self._count, self._axis = count, axis

    def latents(self, latent_dim: int) -> Float[Array, "b z"]:
        return self._part(jax.random.normal(self._key, (self.batch_size, latent_dim)))

    def of_batch(self, stream: int, draw: Callable[[Array, int], PyTree]) -> PyTree:
        """Return this device's part of what `draw` draws with a key and a count."""
        key = jax.random.fold_in(self._key, stream)
        return jax.tree.map(self._part, draw(key, self.batch_size))

    def of_next(self, part: Array) -> Array:
        """Return what the next images of the batch have, given what these have."""
        if self._axis is None:
            return jnp.roll(part, -1, axis=0)
        whole = jax.lax.all_gather(part, self._axis, tiled=True)
        return self._part(jnp.roll(whole, -1, axis=0))

    def _part(self, whole: Array) -> Array:
        if self._axis is None:
            return whole
        first = jax.lax.axis_index(self._axis) * self._count
        return jax.lax.dynamic_slice_in_dim(whole, first, self._count)


def _views(
    recipe: Recipe, state: TrainState, draws: _Draws, size: int
) -> tuple[Callable[[Images], Images], Callable[[Images], Images]]:
    """Return how D sees the real and the fake images of this update."""
    names = recipe.transformations
    chance = state.augment_probability
    if chance is None:
        chance = recipe.augment_probability
    draw = partial(augment.draw, size=size, transformations=names, probability=chance)

    def see(images: Images, stream: int) -> Images:
        if not names:
            return images
        return augment.apply(draws.of_batch(stream, draw), images, names)

    def see_real(images: Images) -> Images:
        if recipe.mirrored:
            images = augment.mirror(images, draws.of_batch(1, augment.draw_mirrored))
        return see(images, 2)

    return see_real, partial(see, stream=3)


def _next_average(
    state: TrainState, generator: NetworkState, recipe: Recipe
) -> NetworkState | None:
    if state.average is None:
        return None
    keep = recipe.average
    if recipe.warm_up:
        step = state.step.astype(jnp.float32)
        keep = jnp.minimum(keep, (1 + step) / (WARM_UP + step))
    return jax.tree.map(
        lambda old, new: keep * old + (1 - keep) * new, state.average, generator
    )


def _real_sign(answers: _Answers, recipe: Recipe) -> Float[Array, ""]:
    """Return the mean sign of D's answers to real images.

    The relativistic loss has no zero of its own: there it is that of the differences.
    """
    if recipe.loss == "relativistic":
        return jnp.mean(jnp.sign(answers.real - answers.fake))
    return jnp.mean(jnp.sign(answers.real))


def _next_probability(
    state: TrainState, sign: Float[Array, ""], draws: _Draws, recipe: Recipe
) -> Float[Array, ""] | None:
    if state.augment_probability is None:
        return None
    return augment.adapted(
        state.augment_probability, sign, recipe.adaptive_target, draws.batch_size
    )
