"""Updates on one device or many: the same numbers, to float tolerance.

A call is compiled once for each number of updates that it does, and takes as many
batches; however a run is cut into calls, it computes the same.

A call is fed with batches, or with a whole dataset that is kept on the devices: then
each update draws its batch by itself.

With `jit`, the batch is cut over a mesh of all devices and the compiler sums what must
be summed: batch norm sees the whole batch by itself. With `pmap`, each device runs the
update on its part, and batch norm and gradients are averaged by name. One device is
the mesh of one.

Source: the JAX documentation, "Distributed arrays and automatic parallelization".
Deviation: `pmap` is in maintenance; it is here because the paper's reimplementation
asks for it and to be compared. `jit` is the default.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, PyTree, UInt8

from jaxart.gan.networks import Discriminator, Generator
from jaxart.gan.update import State, Update, updater


KINDS = ("jit", "pmap")
AXIS = "devices"

Metrics = dict[str, Float[Array, " n"]]  # of one update after another


# Returns the batch of a dataset, a key and the number of a step; with `axis`, one
# device's part of it.
Draw = Callable[..., UInt8[Array, "b h w 3"]]


class Kept(NamedTuple):
    """A dataset on the devices, and how many updates are to draw from it.

    Args:
        data: arrays, whole on every device.
        turns: an element for each update; its value means nothing.
    """

    data: PyTree
    turns: Array


Fed = Array | Kept


class Compiled(NamedTuple):
    """Updates as compiled for the devices, and the way to them and back.

    Args:
        steps: one update for each batch or turn fed, and the metrics of each; the state
            that it is given is used up (donated).
        spread: puts a state on the devices.
        feed: puts batches on the devices, of each batch a part.
        keep: puts a dataset on the devices, whole on each; returns what feeds a number
            of updates from there.
        gather: a state as one copy, as `spread` took it.
    """

    steps: Callable[[State, Fed], tuple[State, Metrics]]
    spread: Callable[[State], State]
    feed: Callable[[UInt8[np.ndarray, "n b h w 3"]], Array]
    keep: Callable[[PyTree], Callable[[int], Kept]]
    gather: Callable[[PyTree], PyTree]


def _nothing(*_: Any, **__: Any) -> Array:
    raise AssertionError("a dataset is kept, and nothing draws from it")


def compiled(
    generator: Generator,
    discriminator: Discriminator,
    optimizer: optax.GradientTransformation,
    *,
    loss: str,
    parallel: str,
    batch_size: int,
    draw: Draw = _nothing,
) -> Compiled:
    """Return the updates of both players on all devices.

    Args:
        generator: only its structure is used; values are in the state.
        discriminator: likewise.
        optimizer: of either player.
        loss: of the generator; see `updater`.
        parallel: one of `KINDS`.
        batch_size: pictures of one update, over all devices.
        draw: of batches from a dataset that is kept, if one will be.

    Raises:
        ValueError: `parallel` is not one of `KINDS`, or the devices cannot share the
            batch equally.
    """
    if parallel not in KINDS:
        raise ValueError(f"parallel must be one of {KINDS}; got {parallel!r}")
    devices = jax.device_count()
    if batch_size < 1 or batch_size % devices:
        raise ValueError(
            f"batch_size must be a multiple of the {devices} devices; got {batch_size}"
        )
    if parallel == "jit":
        return _on_mesh(updater(generator, discriminator, optimizer, loss), draw)
    generator, discriminator = nnx.clone(generator), nnx.clone(discriminator)
    for network in (generator, discriminator):
        network.set_attributes(nnx.BatchNorm, axis_name=AXIS)
    return _with_pmap(updater(generator, discriminator, optimizer, loss, AXIS), draw)


def _in_turn(
    update: Update, draw: Draw, axis: str | None = None
) -> Callable[[State, Fed], tuple[State, Metrics]]:
    """Return a call that does one update after the other, as many as are fed."""

    def updates(state: State, fed: Fed) -> tuple[State, Metrics]:
        if not isinstance(fed, Kept):
            return jax.lax.scan(update, state, fed)

        def drawn(state: State, _: Array) -> tuple[State, Any]:
            key = jax.random.wrap_key_data(state.key)
            return update(state, draw(fed.data, key, state.step, axis=axis))

        return jax.lax.scan(drawn, state, fed.turns)

    return updates


def _on_mesh(update: Update, draw: Draw) -> Compiled:
    mesh = Mesh(np.array(jax.devices()), (AXIS,))
    whole = NamedSharding(mesh, PartitionSpec())
    part = NamedSharding(mesh, PartitionSpec(AXIS))
    parts = NamedSharding(mesh, PartitionSpec(None, AXIS))

    def draw_parts(*of: Any, axis: str | None) -> Array:
        return jax.lax.with_sharding_constraint(draw(*of, axis=axis), part)

    def everywhere(array: np.ndarray) -> Array:
        return jax.make_array_from_callback(array.shape, whole, lambda at: array[at])

    return Compiled(
        steps=jax.jit(
            _in_turn(update, draw_parts),
            in_shardings=(whole, None),  # as it was fed
            out_shardings=(whole, whole),
            donate_argnums=0,
        ),
        # A copy: donation may not use up what the networks still hold.
        spread=lambda state: jax.device_put(jax.tree.map(jnp.copy, state), whole),
        feed=lambda batches: jax.make_array_from_process_local_data(parts, batches),
        keep=lambda data: _keeper(data, everywhere),
        gather=lambda tree: tree,
    )


def _with_pmap(update: Update, draw: Draw) -> Compiled:
    devices = jax.local_devices()
    updates = jax.pmap(_in_turn(update, draw, AXIS), axis_name=AXIS, donate_argnums=0)
    one_each = NamedSharding(Mesh(np.array(devices), (AXIS,)), PartitionSpec(AXIS))

    def spread(state: State) -> State:
        copies = jax.tree.map(lambda x: jnp.stack([x] * len(devices)), state)
        return jax.device_put(copies, one_each)

    def feed(batches: UInt8[np.ndarray, "n b h w 3"]) -> Array:
        count, _, *picture = batches.shape
        parts = batches.reshape(count, len(devices), -1, *picture)
        return jax.device_put(np.moveaxis(parts, 1, 0), one_each)

    def on_each(array: np.ndarray) -> Array:
        shape = (len(devices), *array.shape)
        return jax.make_array_from_callback(shape, one_each, lambda _: array[None])

    def first(tree: PyTree) -> PyTree:
        return jax.tree.map(lambda x: x[0], tree)

    def steps(state: State, fed: Fed) -> tuple[State, Metrics]:
        state, metrics = updates(state, fed)
        return state, first(metrics)

    return Compiled(
        steps=steps,
        spread=spread,
        feed=feed,
        keep=lambda data: _keeper(data, on_each),
        gather=first,
    )


def _keeper(data: PyTree, put: Callable[[np.ndarray], Array]) -> Callable[[int], Kept]:
    """Return what feeds a number of updates from a dataset that `put` has put."""
    there = jax.tree.map(put, data)
    # Put once for each number of updates: nothing is left to do for a call.
    turns = functools.cache(lambda count: put(np.zeros(count, np.int8)))
    return lambda count: Kept(there, turns(count))
