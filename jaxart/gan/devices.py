"""Updates on one device or many: the same numbers, to float tolerance.

A call is compiled once for each number of updates that it does, and takes as many
batches; however a run is cut into calls, it computes the same.

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

from collections.abc import Callable
from typing import NamedTuple

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


class Compiled(NamedTuple):
    """Updates as compiled for the devices, and the way to them and back.

    Args:
        steps: one update for each batch fed, and the metrics of each; the state that
            it is given is used up (donated).
        spread: puts a state, the same in all processes, on the devices.
        feed: puts this process' parts of batches on its devices, on each a part.
        gather: a state as one copy on one device, as `spread` took it.
    """

    steps: Callable[[State, Array], tuple[State, Metrics]]
    spread: Callable[[State], State]
    feed: Callable[[UInt8[np.ndarray, "n b h w 3"]], Array]
    gather: Callable[[PyTree], PyTree]


def compiled(
    generator: Generator,
    discriminator: Discriminator,
    optimizer: optax.GradientTransformation,
    *,
    loss: str,
    parallel: str,
    batch_size: int,
) -> Compiled:
    """Return the updates of both players on all devices.

    Args:
        generator: only its structure is used; values are in the state.
        discriminator: likewise.
        optimizer: of either player.
        loss: of the generator; see `updater`.
        parallel: one of `KINDS`.
        batch_size: pictures of one update, over all devices.

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
    if parallel == "jit" and devices == 1:
        return _on_mesh(updater(generator, discriminator, optimizer, loss))
    generator, discriminator = nnx.clone(generator), nnx.clone(discriminator)
    for network in (generator, discriminator):
        network.set_attributes(nnx.BatchNorm, axis_name=AXIS)
    update = updater(generator, discriminator, optimizer, loss, AXIS)
    return _on_mesh(update) if parallel == "jit" else _with_pmap(update)


def _in_turn(update: Update) -> Callable[[State, Array], tuple[State, Metrics]]:
    """Return a call that does one update after the other, one for each batch."""

    def updates(state: State, batches: Array) -> tuple[State, Metrics]:
        return jax.lax.scan(update, state, batches)

    return updates


def _on_mesh(update: Update) -> Compiled:
    mesh = Mesh(np.array(jax.devices()), (AXIS,))
    alike, divided = PartitionSpec(), PartitionSpec(None, AXIS)
    updates = jax.shard_map(
        _in_turn(update),
        mesh=mesh,
        in_specs=(alike, divided),
        out_specs=(alike, alike),
        check_vma=False,  # that what comes out is alike: `updater` averages all of it
    )
    whole, parts = NamedSharding(mesh, alike), NamedSharding(mesh, divided)
    return Compiled(
        steps=jax.jit(
            updates,
            in_shardings=(whole, parts),
            out_shardings=(whole, whole),
            donate_argnums=0,
        ),
        # A copy: donation may not use up what the networks still hold.
        spread=lambda state: _placed(whole, jax.tree.map(jnp.copy, state)),
        feed=lambda batches: jax.make_array_from_process_local_data(parts, batches),
        gather=lambda tree: jax.tree.map(_own, tree),
    )


def _with_pmap(update: Update) -> Compiled:
    updates = jax.pmap(_in_turn(update), axis_name=AXIS, donate_argnums=0)
    local = jax.local_device_count()
    one_each = NamedSharding(
        Mesh(np.array(jax.devices()), (AXIS,)), PartitionSpec(AXIS)
    )

    def spread(state: State) -> State:
        copies = jax.tree.map(lambda x: jnp.stack([x] * local), state)
        return _placed(one_each, copies)

    def feed(batches: UInt8[np.ndarray, "n b h w 3"]) -> Array:
        count, _, *picture = batches.shape
        parts = np.moveaxis(batches.reshape(count, local, -1, *picture), 1, 0)
        return jax.make_array_from_process_local_data(one_each, parts)

    def first(tree: PyTree) -> PyTree:
        return jax.tree.map(lambda x: _own(x)[0], tree)

    def steps(state: State, batches: Array) -> tuple[State, Metrics]:
        state, metrics = updates(state, batches)
        return state, first(metrics)

    return Compiled(steps=steps, spread=spread, feed=feed, gather=first)


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
