"""Updates on one device or many: the same numbers, to float tolerance.

A call is compiled once for each number of updates that it does, and takes as many
batches; however a run is cut into calls, it computes the same.

A call is fed with batches, or with a whole dataset that is kept on the devices: then
each update draws its batch by itself. Several seeds train side by side in the same
call, each with a state and batches of its own, on one more axis in front of all others.

Each device runs the update on its part of the batch, and batch norm, gradients and
metrics are averaged by name. With `jit`, that is one program over a mesh of all devices
(`shard_map`); with `pmap`, as many as there are devices. On one device there is nothing
to average. The devices of several processes are one mesh as well: each process feeds
its own.

Left to itself, the compiler divides the batch where it sees how, and elsewhere has
every device do all of it: with the convolutions as CPUs have them, six times the work.

Source: the JAX documentation, "Distributed arrays and automatic parallelization".
Deviation: `pmap` is in maintenance; it is here because the paper's reimplementation
asks for it and to be compared. `jit` is the default.
"""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, PyTree, UInt8

from jaxart.gan.networks import Discriminator, Generator
from jaxart.gan.update import Loss, TrainState, Update, update_fn


KINDS = ("jit", "pmap")
AXIS = "devices"

Metrics = dict[str, Float[Array, "*seeds n"]]  # of one update after another


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
        ahead: compiles `steps` before there is a state, from the shapes of one, and
            from what will be fed: from the shape of whole batches if it is batches.
        spread: puts a state, the same in all processes, on the devices.
        feed: puts this process' parts of batches on its devices, on each a part.
        keep: puts a dataset on the devices, whole on each; returns what feeds a number
            of updates from there.
        gather: a state as one copy on one device, as `spread` took it.
    """

    steps: Callable[[TrainState, Fed], tuple[TrainState, Metrics]]
    ahead: Callable[[TrainState, jax.ShapeDtypeStruct | Kept], jax.stages.Compiled]
    spread: Callable[[TrainState], TrainState]
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
    loss: Loss,
    parallel: str,
    batch_size: int,
    draw: Draw = _nothing,
    seeds: int = 1,
) -> Compiled:
    """Return the updates of both players on all devices.

    Args:
        generator: only its structure is used; values are in the state.
        discriminator: likewise.
        optimizer: of either player.
        loss: of the generator; see `update_fn`.
        parallel: one of `KINDS`.
        batch_size: pictures of one update, over all devices.
        draw: of batches from a dataset that is kept, if one will be.
        seeds: GANs that are trained together; see `together`.

    Raises:
        ValueError: `parallel` is not one of `KINDS`, or not `jit` for several seeds,
            or the devices cannot share the batch equally.
    """
    if parallel not in KINDS:
        raise ValueError(f"parallel must be one of {KINDS}; got {parallel!r}")
    devices = jax.device_count()
    if batch_size < 1 or batch_size % devices:
        raise ValueError(
            f"batch_size must be a multiple of the {devices} devices; got {batch_size}"
        )
    if parallel == "pmap" and seeds > 1:
        raise ValueError(f"parallel must be jit for several seeds; got {parallel!r}")
    if parallel == "jit" and devices == 1:
        update = update_fn(generator, discriminator, optimizer, loss)
        return _on_mesh(update, draw, seeds, axis=None)
    generator, discriminator = nnx.clone(generator), nnx.clone(discriminator)
    for network in (generator, discriminator):
        network.set_attributes(nnx.BatchNorm, axis_name=AXIS)
    update = update_fn(generator, discriminator, optimizer, loss, AXIS)
    if parallel == "jit":
        return _on_mesh(update, draw, seeds, axis=AXIS)
    return _with_pmap(update, draw)


def together(trees: Sequence[PyTree]) -> PyTree:
    """Return what several seeds have as one tree, with an axis of seeds in front.

    What one seed has stays as it is.
    """
    if len(trees) == 1:
        return trees[0]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


def apart(tree: PyTree, seeds: int) -> list[PyTree]:
    """Return what each seed has, from what all of them have `together`."""
    return [tree] if seeds == 1 else _apart(tree, seeds)


@functools.partial(jax.jit, static_argnums=1)
def _apart(tree: PyTree, seeds: int) -> list[PyTree]:
    # Bound at once: a lambda in a loop would see its last number.
    return [jax.tree.map(operator.itemgetter(seed), tree) for seed in range(seeds)]


def _in_turn(
    update: Update, draw: Draw, axis: str | None = None
) -> Callable[[TrainState, Fed], tuple[TrainState, Metrics]]:
    """Return a call that does one update after the other, as many as are fed."""

    def updates(state: TrainState, fed: Fed) -> tuple[TrainState, Metrics]:
        if not isinstance(fed, Kept):
            return jax.lax.scan(update, state, fed)

        def drawn(state: TrainState, _: Array) -> tuple[TrainState, Any]:
            key = jax.random.wrap_key_data(state.key)
            return update(state, draw(fed.data, key, state.step, axis=axis))

        return jax.lax.scan(drawn, state, fed.turns)

    return updates


def _side_by_side(
    updates: Callable[[TrainState, Fed], tuple[TrainState, Metrics]],
) -> Callable[[TrainState, Fed], tuple[TrainState, Metrics]]:
    """Return a call that does the updates of several seeds, from one dataset."""

    def of_all(state: TrainState, fed: Fed) -> tuple[TrainState, Metrics]:
        own = None if isinstance(fed, Kept) else 0
        return jax.vmap(updates, in_axes=(0, own))(state, fed)

    return of_all


def _on_mesh(update: Update, draw: Draw, seeds: int, axis: str | None) -> Compiled:
    mesh = Mesh(np.array(jax.devices()), (AXIS,))
    alike = PartitionSpec()
    divided = PartitionSpec(*((None,) if seeds == 1 else (None, None)), AXIS)
    whole, parts = NamedSharding(mesh, alike), NamedSharding(mesh, divided)

    def everywhere(array: np.ndarray) -> Array:
        return jax.make_array_from_callback(array.shape, whole, lambda at: array[at])

    own = _in_turn(update, draw, axis)
    own = own if seeds == 1 else _side_by_side(own)

    def updates(state: TrainState, fed: Fed) -> tuple[TrainState, Metrics]:
        if axis is None:
            return own(state, fed)
        return jax.shard_map(
            own,
            mesh=mesh,
            in_specs=(alike, alike if isinstance(fed, Kept) else divided),
            out_specs=(alike, alike),
            check_vma=False,  # what comes out is alike: `update_fn` averages all of it
        )(state, fed)

    steps = jax.jit(
        updates,
        in_shardings=(whole, None),  # as it was fed
        out_shardings=(whole, whole),
        donate_argnums=0,
    )

    def ahead(
        state: TrainState, fed: jax.ShapeDtypeStruct | Kept
    ) -> jax.stages.Compiled:
        if not isinstance(fed, Kept):
            fed = _lying(parts, fed)
        return steps.lower(_lying(whole, state), fed).compile()

    return Compiled(
        steps=steps,
        ahead=ahead,
        # A copy: donation may not use up what the networks still hold.
        spread=lambda state: _placed(whole, _copy(state)),
        feed=lambda batches: jax.make_array_from_process_local_data(parts, batches),
        keep=lambda data: _keeper(data, everywhere),
        gather=lambda tree: jax.tree.map(_own, tree),
    )


def _with_pmap(update: Update, draw: Draw) -> Compiled:
    updates = jax.pmap(_in_turn(update, draw, AXIS), axis_name=AXIS, donate_argnums=0)
    local, count = jax.local_device_count(), jax.device_count()
    one_each = NamedSharding(
        Mesh(np.array(jax.devices()), (AXIS,)), PartitionSpec(AXIS)
    )

    def spread(state: TrainState) -> TrainState:
        return _placed(one_each, _copies(state, local))

    def ahead(
        state: TrainState, fed: jax.ShapeDtypeStruct | Kept
    ) -> jax.stages.Compiled:
        if not isinstance(fed, Kept):
            turns, whole, *picture = fed.shape
            shape = (count, turns, whole // count, *picture)
            fed = _lying(one_each, jax.ShapeDtypeStruct(shape, fed.dtype))
        copies = jax.eval_shape(lambda state: _copies(state, count), state)
        return updates.lower(_lying(one_each, copies), fed).compile()

    def feed(batches: UInt8[np.ndarray, "n b h w 3"]) -> Array:
        turns, _, *picture = batches.shape
        parts = np.moveaxis(batches.reshape(turns, local, -1, *picture), 1, 0)
        return jax.make_array_from_process_local_data(one_each, parts)

    def on_each(array: np.ndarray) -> Array:
        shape = (count, *array.shape)
        return jax.make_array_from_callback(shape, one_each, lambda _: array[None])

    def first(tree: PyTree) -> PyTree:
        return jax.tree.map(lambda x: _own(x)[0], tree)

    def steps(state: TrainState, fed: Fed) -> tuple[TrainState, Metrics]:
        state, metrics = updates(state, fed)
        return state, first(metrics)

    return Compiled(
        steps=steps,
        ahead=ahead,
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


@jax.jit
def _copy(state: TrainState) -> TrainState:
    return jax.tree.map(jnp.copy, state)


@functools.partial(jax.jit, static_argnums=1)
def _copies(state: TrainState, count: int) -> TrainState:
    return jax.tree.map(lambda x: jnp.stack([x] * count), state)


def _lying(sharding: NamedSharding, shapes: PyTree) -> PyTree:
    """Return shapes of arrays that lie on the devices as `sharding` says."""
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), shapes
    )


def _placed(sharding: NamedSharding, tree: PyTree) -> PyTree:
    """Put a tree, of which each process has its part, on the devices.

    `device_put` would compare what the processes have, at a cost that grows with them.
    """
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(sharding, x), tree
    )


def _own(x: Array) -> Array:
    """Return what the first device of this process holds of an array."""
    return x.addressable_data(0)
