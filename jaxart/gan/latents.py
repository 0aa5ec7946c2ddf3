"""Latents: the generator's input space, interpolation in it, and samples.

A point has an index: together with the seed it identifies the point, so that a user can
choose points by their pictures.

There are two methods of interpolation. The linear one is the paper's. Its points are
nearer to the origin than either end: in many dimensions nearly all points of N(0, 1)^z
are at a distance of √z, and the middle of two is at 0.7 √z, where G was hardly ever
trained. The spherical one turns from one direction to the other at a constant rate, and
stays where G was trained.

Arithmetic is z₁ − z₂ + z₃. For three points its length is √3 times that of a point; if
each term is the average of three points, it is that of a point again.

Source: Beyers and Loane, sections 2.3 and 4.3; Radford, Metz and Chintala, ICLR 2016,
section 6.3.2, for averages of several points; Shoemake, "Animating Rotation with
Quaternion Curves", 1985, and White, "Sampling Generative Networks", 2016, section 2.1,
for spherical interpolation.
Deviation: White applies Shoemake's weights to the points. We apply them to the
directions and interpolate the length linearly, so that the angle grows at a constant
rate between points of different lengths, too.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, ArrayLike, Float, UInt8

from jaxart import batches, images
from jaxart.gan.conditions import Asked
from jaxart.gan.settings import Settings
from jaxart.gan.strokes import AnyGenerator, Painted, StrokeGenerator
from jaxart.gan.update import NetworkState, apply


Method = Literal["linear", "spherical"]

# Pictures of one compiled call. A constant: the bytes of a picture depend on it.
BATCH_SIZE = 100

Latents = Float[Array, "n z"]
Sampler = Callable[[NetworkState, Latents], UInt8[Array, "n h w 3"]]
StrokeSampler = Callable[[NetworkState, Latents], Painted]


def sample_latents(seed: int, indices: Sequence[int], latent_dim: int) -> Latents:
    """Draw the latents with these indices, each from N(0, 1)^z.

    A latent depends on the seed and its index alone.

    Raises:
        ValueError: there is no index, or a negative one.
    """
    if not indices or min(indices) < 0:
        raise ValueError(
            f"indices must be at least one, and none negative; got {list(indices)}"
        )
    fold_in = partial(jax.random.fold_in, jax.random.key(seed))
    keys = jax.vmap(fold_in)(jnp.array(indices))
    return jax.vmap(lambda key: jax.random.normal(key, (latent_dim,)))(keys)


def sample_points(
    settings: Settings, seed: int, indices: Sequence[int], asked: Asked | None = None
) -> Float[Array, "n z"]:
    """Draw the points with these indices: latents, and the condition of each.

    Args:
        settings: of the generator's run.
        seed: of the latents and of what is not asked for.
        indices: of the points.
        asked: classes by kind and perhaps a title; any other is drawn.

    Raises:
        ValueError: there is no index, or a negative one, or the run does not know what
            is asked.
    """
    drawn = sample_latents(seed, indices, settings.generator.latent)
    known = settings.condition.known
    condition = known.draw(seed, indices, asked or {})
    return jnp.concatenate([drawn, condition], axis=1) if known.size else drawn


def class_points(
    settings: Settings,
    seed: int,
    indices: Sequence[int],
    asked: Asked,
    kind: str,
) -> tuple[list[str], Float[Array, "classes n z"]]:
    """Return the names of a kind's classes, and the points with these indices of each.

    What differs between points of the same index is the class alone.

    Args:
        settings: of the generator's run.
        seed: of the latents and of what is not asked for.
        indices: of the points.
        asked: classes of other kinds, and perhaps a title.
        kind: of the classes.

    Raises:
        ValueError: the run does not know such classes, or what is asked.
    """
    known = settings.condition.known
    names = known.by_kind.get(kind, [])
    known.check({kind: names[0] if names else ""})
    if kind in asked:
        raise ValueError(f"{kind} cannot be one and all of them; got {asked[kind]!r}")
    rows = [
        sample_points(settings, seed, indices, {**asked, kind: name}) for name in names
    ]
    return names, jnp.stack(rows)


def points_like(
    settings: Settings,
    seed: int,
    count: int,
    conditions: Float[np.ndarray, "m c"] | None,
) -> Float[Array, "n z"]:
    """Draw points whose conditions are those of pictures of a dataset, at random.

    Args:
        settings: of the generator's run.
        seed: of the points.
        count: how many.
        conditions: of the dataset's pictures; None for a run without any.
    """
    drawn = sample_latents(seed, range(count), settings.generator.latent)
    if conditions is None:
        return drawn
    rows = np.random.default_rng(seed).integers(len(conditions), size=count)
    return jnp.concatenate([drawn, conditions[rows]], axis=1)


def interpolate(
    points: Latents,
    t: Float[Array, " k"],
    method: str,
    *,
    closed: bool,
    latent_dim: int | None = None,
) -> Float[Array, "segments k z"]:
    """Interpolate from each point to the next.

    Args:
        points: at least two.
        t: positions along each segment, from 0 at its start to 1 at its end.
        method: one of `Method`.
        closed: whether there is a segment from the last point to the first.
        latent_dim: how many numbers of a point are latents; all, if None. The others,
            a condition, are interpolated linearly.

    Raises:
        ValueError: there are fewer than two points, or `method` is not one of `Method`.
    """
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {get_args(Method)}; got {method!r}")
    if len(points) < 2:
        raise ValueError(f"points must be at least two; got {len(points)}")

    def linear(a: Float[Array, " z"], b: Float[Array, " z"]) -> Float[Array, "k z"]:
        return jnp.outer(1 - t, a) + jnp.outer(t, b)

    def spherical(a: Float[Array, " z"], b: Float[Array, " z"]) -> Float[Array, "k z"]:
        latents = _spherical(a[:latent_dim], b[:latent_dim], t)
        if latent_dim is None:
            return latents
        condition = linear(a[latent_dim:], b[latent_dim:])
        return jnp.concatenate([latents, condition], axis=1)

    segment = linear if method == "linear" else spherical
    segments = jax.vmap(segment)(points, jnp.roll(points, -1, axis=0))
    return segments if closed else segments[:-1]


def arithmetic(
    plus: Float[Array, "m z"], minus: Float[Array, "k z"], to: Float[Array, "n z"]
) -> Float[Array, " z"]:
    """Return z₁ − z₂ + z₃, where each term is the average of its points."""
    return plus.mean(0) - minus.mean(0) + to.mean(0)


def make_sampler(generator: AnyGenerator) -> Sampler:
    """Return the compiled function from a network state and points to pictures.

    Batch norm uses the running statistics, so that a picture does not depend on the
    other points of its batch. Of `generator` only the structure is used.
    """
    graphdef = nnx.graphdef(nnx.view(generator, use_running_average=True))

    @jax.jit
    def sample(state: NetworkState, z: Latents) -> UInt8[Array, "n h w 3"]:
        generated, _ = apply(graphdef, state, z)
        return images.to_pixels(generated)

    return sample


def make_stroke_sampler(generator: StrokeGenerator) -> StrokeSampler:
    """Return the compiled function from a network state and points to paintings.

    Batch norm as in `make_sampler`.
    """
    graphdef = nnx.graphdef(nnx.view(generator, use_running_average=True))

    @jax.jit
    def paint(state: NetworkState, z: Latents) -> Painted:
        network = nnx.merge(graphdef, state.params, state.batch_stats)
        return network.paint(z)

    return paint


def sample_pictures(
    sampler: Sampler,
    state: NetworkState,
    points: Float[ArrayLike, "n z"],
    *,
    batch_size: int | None = None,
) -> Iterator[UInt8[np.ndarray, "b h w 3"]]:
    """Yield the pictures of points, at least one, one batch after the other.

    Args:
        sampler: of a generator.
        state: of that generator.
        points: of its input space.
        batch_size: `BATCH_SIZE`, if None; fewer where pictures are large.
    """
    sample = partial(sampler, state)
    return batches.map_batches(
        sample, np.asarray(points), batch_size or BATCH_SIZE, "sampling"
    )


def _spherical(
    a: Float[Array, " z"], b: Float[Array, " z"], t: Float[Array, " k"]
) -> Float[Array, "k z"]:
    lengths = jnp.linalg.norm(a), jnp.linalg.norm(b)
    u, v = a / lengths[0], b / lengths[1]
    # Accurate for small angles too, where the arc cosine of u·v is not.
    angle = 2 * jnp.arctan2(jnp.linalg.norm(u - v), jnp.linalg.norm(u + v))
    sine = jnp.sin(angle)
    # Equal or opposite directions define no great circle: interpolate linearly.
    degenerate = sine < 1e-6
    safe_sine = jnp.where(degenerate, 1.0, sine)

    def weight(t: Float[Array, " k"]) -> Float[Array, " k"]:
        return jnp.where(degenerate, t, jnp.sin(t * angle) / safe_sine)

    directions = jnp.outer(weight(1 - t), u) + jnp.outer(weight(t), v)
    return directions * ((1 - t) * lengths[0] + t * lengths[1])[:, None]
