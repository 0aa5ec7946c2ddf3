"""Points of the generator's input space, ways between them, and their pictures.

A point has a number: with the seed that `draw` gets, it is the same point wherever it
is asked for, so that a person can pick points by eye and name them.

Between two points there are two ways. The straight one is the paper's. It passes nearer
to the origin than either end: in many dimensions nearly all points of N(0, 1)^z are √z
away from it, and its middle is at 0.7 √z, where G was hardly ever trained. The other
way turns from one direction to the other at a constant rate, where G is at home.

Arithmetic is z₁ − z₂ + z₃. With three points its length is √3 that of a point; where
each of them is the average of three, it is that of a point again.

Source: Beyers and Loane, sections 2.3 and 4.3; Radford, Metz and Chintala, ICLR 2016,
section 6.3.2, for averages of several points; Shoemake, "Animating Rotation with
Quaternion Curves", 1985, and White, "Sampling Generative Networks", 2016, section 2.1,
for spherical ways.
Deviation: White weighs the points themselves with Shoemake's weights. Ours weighs their
directions, and lets the length go from one to the other at a constant rate, so that the
angle does so too where lengths differ.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, ArrayLike, Float, Int, UInt8

from jaxart import batches, images
from jaxart.gan.networks import Generator
from jaxart.gan.update import NetworkState, apply


Way = Literal["linear", "spherical"]

BATCH = 100  # pictures of one compiled call; so each has the same bytes wherever drawn

Points = Float[Array, "n z"]
Sampler = Callable[[NetworkState, Points], UInt8[Array, "n h w 3"]]


def draw(seed: int, first: int, count: int, latent: int) -> Points:
    """Draw points number `first` and following of `seed`, each from N(0, 1)^z.

    A point depends on its number and the seed alone, not on how many are drawn.
    """
    return _numbered(seed, first + jnp.arange(count), latent)


def numbered(seed: int, numbers: Sequence[int], latent: int) -> Points:
    """Return the points of `seed` that have these numbers; `draw` has the same ones.

    Args:
        seed: as for `draw`.
        numbers: at least one, none negative, in any order.
        latent: numbers of a point.

    Raises:
        ValueError: there is no number, or a negative one.
    """
    if not numbers or min(numbers) < 0:
        raise ValueError(
            f"numbers must be at least one, and none negative; got {list(numbers)}"
        )
    return _numbered(seed, jnp.array(numbers), latent)


def walks(
    points: Points, shares: Float[Array, " k"], way: str, *, closed: bool
) -> Float[Array, "legs k z"]:
    """Return the ways from each point to the next.

    Args:
        points: at least two.
        shares: how far along each way to look, from 0 to 1.
        way: one of `Way`.
        closed: whether the last point leads to the first, so that there are as many
            ways as points; otherwise there is one less.

    Raises:
        ValueError: there are less than two points, or `way` is not one of `Way`.
    """
    if way not in get_args(Way):
        raise ValueError(f"way must be one of {get_args(Way)}; got {way!r}")
    if len(points) < 2:
        raise ValueError(f"points must be at least two; got {len(points)}")
    between = _spherical if way == "spherical" else _linear
    ends = jnp.roll(points, -1, axis=0)
    legs = jax.vmap(partial(between, shares=shares))(points, ends)
    return legs if closed else legs[:-1]


def arithmetic(
    plus: Float[Array, "m z"], minus: Float[Array, "k z"], to: Float[Array, "n z"]
) -> Float[Array, " z"]:
    """Return z₁ − z₂ + z₃, each the average of the points given for it."""
    return plus.mean(0) - minus.mean(0) + to.mean(0)


def sampler(generator: Generator) -> Sampler:
    """Return the compiled call that makes pictures of points.

    It normalises with the running statistics, so that a picture depends on its own
    point and not on its neighbours'.

    Args:
        generator: only its structure is used; values are in the player.
    """
    still = nnx.graphdef(nnx.view(generator, use_running_average=True))

    @jax.jit
    def sample(player: NetworkState, z: Points) -> UInt8[Array, "n h w 3"]:
        pictures, _ = apply(still, player, z)
        return images.to_pixels(pictures)

    return sample


def pictures(
    sampler: Sampler, player: NetworkState, points: Float[ArrayLike, "n z"]
) -> Iterator[UInt8[np.ndarray, "b h w 3"]]:
    """Yield the pictures of points, some at a time.

    Args:
        sampler: from `sampler`.
        player: what the generator learned.
        points: at least one.
    """
    call = partial(sampler, player)
    return batches.map_batches(call, np.asarray(points), BATCH, "drawing")


def _numbered(seed: int, numbers: Int[Array, " n"], latent: int) -> Points:
    key = jax.random.key(seed)
    keys = jax.vmap(lambda number: jax.random.fold_in(key, number))(numbers)
    return jax.vmap(lambda key: jax.random.normal(key, (latent,)))(keys)


def _linear(
    a: Float[Array, " z"], b: Float[Array, " z"], shares: Float[Array, " k"]
) -> Float[Array, "k z"]:
    return jnp.outer(1 - shares, a) + jnp.outer(shares, b)


def _spherical(
    a: Float[Array, " z"], b: Float[Array, " z"], shares: Float[Array, " k"]
) -> Float[Array, "k z"]:
    lengths = jnp.linalg.norm(a), jnp.linalg.norm(b)
    u, v = a / lengths[0], b / lengths[1]
    # Exact for small angles too, where the arc cosine of u·v is not.
    angle = 2 * jnp.arctan2(jnp.linalg.norm(u - v), jnp.linalg.norm(u + v))
    sine = jnp.sin(angle)
    # Between equal or opposite points no circle is the shortest way: straight on.
    straight = sine < 1e-6
    safe = jnp.where(straight, 1.0, sine)

    def weight(share: Float[Array, " k"]) -> Float[Array, " k"]:
        return jnp.where(straight, share, jnp.sin(share * angle) / safe)

    directions = jnp.outer(weight(1 - shares), u) + jnp.outer(weight(shares), v)
    return directions * ((1 - shares) * lengths[0] + shares * lengths[1])[:, None]
