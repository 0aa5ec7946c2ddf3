"""Points of the generator's input space, and the pictures it makes of them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, UInt8

from jaxart import images
from jaxart.gan.networks import Generator
from jaxart.gan.update import Player, apply


Sampler = Callable[[Player, Float[Array, "n z"]], UInt8[Array, "n h w 3"]]


def draw(seed: int, first: int, count: int, latent: int) -> Float[Array, "n z"]:
    """Draw points number `first` and following of `seed`, each from N(0, 1)^z.

    A point depends on its number and the seed alone, not on how many are drawn.
    """
    key = jax.random.key(seed)
    keys = jax.vmap(lambda number: jax.random.fold_in(key, number))(
        first + jnp.arange(count)
    )
    return jax.vmap(lambda key: jax.random.normal(key, (latent,)))(keys)


def sampler(generator: Generator) -> Sampler:
    """Return the compiled call that makes pictures of points.

    It normalises with the running statistics, so that a picture depends on its own
    point and not on its neighbours'.

    Args:
        generator: only its structure is used; values are in the player.
    """
    still = nnx.graphdef(nnx.view(generator, use_running_average=True))

    @jax.jit
    def sample(player: Player, z: Float[Array, "n z"]) -> UInt8[Array, "n h w 3"]:
        pictures, _ = apply(still, player, z)
        return images.to_pixels(pictures)

    return sample
