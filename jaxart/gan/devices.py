"""Updates on one device or many: the same numbers, to float tolerance.

One compiled call does several updates, one for each batch that it takes; it is compiled
once for each number of them. However a run is cut into calls, it computes the same.

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
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, PyTree, Shaped, UInt8

from jaxart.gan.networks import Discriminator, Generator
from jaxart.gan.update import Loss, TrainState, Update, update_fn


Parallel = Literal["jit", "pmap"]
AXIS = "devices"

Metrics = dict[str, Float[Array, " n"]]  # of one update after another
Batches = Shaped[np.ndarray, "n b ..."]  # of one update after another

# Returns the pixels of a batch, given the dataset on the device and what was fed.
ToPixels = Callable[[PyTree, Array], UInt8[Array, "b h w 3"]]
Steps = Callable[[TrainState, PyTree, Array], tuple[TrainState, Metrics]]


class Updates(NamedTuple):
    """Updates compiled for the devices, and the way of arrays to them and back."""

    # Does one update for each batch, given the state, the dataset on the devices (or
    # None) and sharded batches; returns the new state and the metrics of each update.
    # The state that it is given is used up (donated).
    run: Steps
    # Compiles `run` ahead of time, given the state's shapes, the dataset and the shape
    # of the batches of all processes.
    compile: Callable[[TrainState, PyTree, jax.ShapeDtypeStruct], jax.stages.Compiled]
    # Puts a state, the same in all processes, on all devices.
    replicate: Callable[[TrainState], TrainState]
    # The same for a dataset, which is not copied on the host.
    replicate_dataset: Callable[[PyTree], PyTree]
    # Puts this process' part of batches on its devices, a part on each.
    shard: Callable[[Batches], Array]
    unreplicate: Callable[[PyTree], PyTree]  # returns one copy of a replicated tree


def make_updates(
    generator: Generator,
    discriminator: Discriminator,
    optimizer: optax.GradientTransformation,
    *,
    loss: Loss,
    parallel: Parallel,
    batch_size: int,
    to_pixels: ToPixels = lambda _, pixels: pixels,
) -> Updates:
    """Return the updates of both networks on all devices.

    Args:
        generator: only its structure is used; values are in the state.
        discriminator: likewise.
        optimizer: of either network.
        loss: of the generator.
        parallel: how several devices share the work.
        batch_size: pictures of one update, over all devices.
        to_pixels: makes the pixels of a batch on the device.

    Raises:
        ValueError: the devices cannot share the batch equally.
    """
    devices = jax.device_count()
    if batch_size % devices:
        raise ValueError(
            f"batch_size must be a multiple of the {devices} devices; got {batch_size}"
        )
    axis = None if parallel == "jit" and devices == 1 else AXIS
    if axis is not None:
        generator, discriminator = nnx.clone(generator), nnx.clone(discriminator)
        for network in (generator, discriminator):
            network.set_attributes(nnx.BatchNorm, axis_name=axis)
    update = update_fn(generator, discriminator, optimizer, loss, axis)
    steps = _scan(update, to_pixels)
    return _pmap(steps) if parallel == "pmap" else _jit(steps, axis)


def _scan(update: Update, to_pixels: ToPixels) -> Steps:
    """Return a call that does one update after the other."""

    def updates(state: TrainState, dataset: PyTree, batches: Array):
        def step(state: TrainState, batch: Array):
            return update(state, to_pixels(dataset, batch))

        return jax.lax.scan(step, state, batches)

    return updates


def _jit(steps: Steps, axis: str | None) -> Updates:
    mesh = Mesh(np.array(jax.devices()), (AXIS,))
    replicated, sharded = PartitionSpec(), PartitionSpec(None, AXIS)
    on_all, in_parts = NamedSharding(mesh, replicated), NamedSharding(mesh, sharded)

    def updates(state: TrainState, dataset: PyTree, batches: Array):
        if axis is None:
            return steps(state, dataset, batches)
        return jax.shard_map(
            steps,
            mesh=mesh,
            in_specs=(replicated, replicated, sharded),
            out_specs=(replicated, replicated),
            check_vma=False,  # `update_fn` averages all that it returns
        )(state, dataset, batches)

    run = jax.jit(
        updates,
        in_shardings=(on_all, None, None),  # as they were put
        out_shardings=(on_all, on_all),
        donate_argnums=0,
    )

    def compile_ahead(
        state: TrainState, dataset: PyTree, batches: jax.ShapeDtypeStruct
    ) -> jax.stages.Compiled:
        shapes = _shapes(on_all, state), dataset, _shapes(in_parts, batches)
        return run.lower(*shapes).compile()

    def replicate_dataset(dataset: PyTree) -> PyTree:
        return jax.tree.map(
            lambda x: jax.make_array_from_callback(x.shape, on_all, lambda at: x[at]),
            dataset,
        )

    return Updates(
        run=run,
        compile=compile_ahead,
        # A copy: donation may not use up what the networks still hold.
        replicate=lambda state: _from_local(on_all, _copy(state)),
        replicate_dataset=replicate_dataset,
        shard=lambda batches: jax.make_array_from_process_local_data(in_parts, batches),
        unreplicate=lambda tree: jax.tree.map(_on_first_device, tree),
    )


def _pmap(steps: Steps) -> Updates:
    pmapped = jax.pmap(steps, axis_name=AXIS, donate_argnums=0)
    local, count = jax.local_device_count(), jax.device_count()
    mesh = Mesh(np.array(jax.devices()), (AXIS,))
    one_each = NamedSharding(mesh, PartitionSpec(AXIS))

    def compile_ahead(
        state: TrainState, dataset: PyTree, batches: jax.ShapeDtypeStruct
    ) -> jax.stages.Compiled:
        updates, batch_size, *shape = batches.shape
        parts = (count, updates, batch_size // count, *shape)
        stacked = jax.eval_shape(lambda state: _stack(state, count), state)
        return pmapped.lower(
            _shapes(one_each, stacked),
            dataset,
            _shapes(one_each, jax.ShapeDtypeStruct(parts, batches.dtype)),
        ).compile()

    def shard(batches: Batches) -> Array:
        updates, _, *shape = batches.shape
        parts = np.moveaxis(batches.reshape(updates, local, -1, *shape), 1, 0)
        return jax.make_array_from_process_local_data(one_each, parts)

    def replicate_dataset(dataset: PyTree) -> PyTree:
        return jax.tree.map(
            lambda x: jax.make_array_from_callback(
                (count, *x.shape), one_each, lambda _: x[None]
            ),
            dataset,
        )

    def unreplicate(tree: PyTree) -> PyTree:
        return jax.tree.map(lambda x: _on_first_device(x)[0], tree)

    def run(state: TrainState, dataset: PyTree, batches: Array):
        state, metrics = pmapped(state, dataset, batches)
        return state, unreplicate(metrics)

    return Updates(
        run=run,
        compile=compile_ahead,
        replicate=lambda state: _from_local(one_each, _stack(state, local)),
        replicate_dataset=replicate_dataset,
        shard=shard,
        unreplicate=unreplicate,
    )


@jax.jit
def _copy(state: TrainState) -> TrainState:
    return jax.tree.map(jnp.copy, state)


@functools.partial(jax.jit, static_argnums=1)
def _stack(state: TrainState, count: int) -> TrainState:
    return jax.tree.map(lambda x: jnp.stack([x] * count), state)


def _shapes(sharding: NamedSharding, tree: PyTree) -> PyTree:
    """Return the shapes of arrays that are sharded so."""
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree
    )


def _from_local(sharding: NamedSharding, tree: PyTree) -> PyTree:
    """Put a tree, of which each process has its part, on the devices.

    `device_put` would compare what the processes have, at a cost that grows with them.
    """
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(sharding, x), tree
    )


def _on_first_device(x: Any) -> Array:
    """Return what the first device of this process holds of an array."""
    return x.addressable_data(0)
