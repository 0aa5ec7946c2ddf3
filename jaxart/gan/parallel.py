"""The update on one device or many: the same numbers, to float tolerance.

One compiled call does several updates, one for each batch that it takes; it is compiled
once for each number of them. However a run is cut into calls, it computes the same.

Each device runs the update on its part of the batch, and batch norm, gradients and
metrics are averaged by name. With `jit`, that is one program over a mesh of all devices
(`shard_map`); with `pmap`, as many as there are devices. On one device there is nothing
to average. The devices of several processes are one mesh as well: each process feeds
its own.

Without `shard_map`, XLA replicates the CPU convolutions on every device: six times the
work.

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
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, PyTree, Shaped

from jaxart.gan.networks import Discriminator
from jaxart.gan.strokes import AnyGenerator
from jaxart.gan.update import Batch, Recipe, TrainState, Update, update_fn


Parallel = Literal["jit", "pmap"]
AXIS = "devices"

Metrics = dict[str, Float[Array, " n"]]  # of one update after another
# Arrays of one update after another: "n b ..." each.
Batches = PyTree[Shaped[np.ndarray, "..."]]

# Returns a batch, given the dataset on the device and what was fed.
LoadBatch = Callable[[PyTree, PyTree], Batch]
Steps = Callable[[TrainState, PyTree, PyTree], tuple[TrainState, Metrics]]


class ParallelUpdate(NamedTuple):
    """The update compiled for the devices, and the way of arrays to them and back."""

    # Does one update for each batch, given the state, the dataset on the devices (or
    # None) and sharded batches; returns the new state and the metrics of each update.
    # The state that it is given is used up (donated).
    run: Steps
    # Compiles `run` ahead of time, given the state's shapes, the dataset and the shape
    # of the batches of all processes.
    compile: Callable[[TrainState, PyTree, PyTree], jax.stages.Compiled]
    # Puts a state, the same in all processes, on all devices.
    replicate: Callable[[TrainState], TrainState]
    # The same for a dataset, which is not copied on the host.
    replicate_dataset: Callable[[PyTree], PyTree]
    # Puts this process' part of batches on its devices, a part on each.
    shard: Callable[[Batches], PyTree[Array]]
    unreplicate: Callable[[PyTree], PyTree]  # returns one copy of a replicated tree


def make_parallel_update(
    generator: AnyGenerator,
    discriminator: Discriminator,
    recipe: Recipe,
    *,
    parallel: Parallel,
    batch_size: int,
    load_batch: LoadBatch = lambda _, pixels: pixels,
) -> ParallelUpdate:
    """Return the update of both networks on all devices.

    Args:
        generator: only its structure is used; values are in the state.
        discriminator: likewise.
        recipe: how they are trained.
        parallel: how several devices share the work.
        batch_size: pictures of one update, over all devices.
        load_batch: returns a batch on the device.

    Raises:
        ValueError: the devices cannot share the batch equally.
    """
    check_batch_size(batch_size)
    devices = jax.device_count()
    axis = None if parallel == "jit" and devices == 1 else AXIS
    if axis is not None:
        generator, discriminator = nnx.clone(generator), nnx.clone(discriminator)
        for network in (generator, discriminator):
            network.set_attributes(
                nnx.BatchNorm, axis_name=axis, raise_if_not_found=False
            )
    update = update_fn(generator, discriminator, recipe, axis)
    steps = _scan(update, load_batch)
    return _pmap(steps) if parallel == "pmap" else _jit(steps, axis)


def check_batch_size(batch_size: int) -> None:
    """Check that all devices can share a batch equally.

    Raises:
        ValueError: they cannot.
    """
    devices = jax.device_count()
    if batch_size % devices:
        raise ValueError(
            f"batch_size must be a multiple of the {devices} devices; got {batch_size}"
        )


def _scan(update: Update, load_batch: LoadBatch) -> Steps:
    """Return a call that does one update after the other."""

    def updates(state: TrainState, dataset: PyTree, batches: PyTree):
        def step(state: TrainState, batch: PyTree):
            return update(state, load_batch(dataset, batch))

        return jax.lax.scan(step, state, batches)

    return updates


def _jit(steps: Steps, axis: str | None) -> ParallelUpdate:
    mesh = Mesh(np.array(jax.devices()), (AXIS,))
    replicated, sharded = PartitionSpec(), PartitionSpec(None, AXIS)
    replicated_sharding, batch_sharding = (
        NamedSharding(mesh, replicated),
        NamedSharding(mesh, sharded),
    )

    def updates(state: TrainState, dataset: PyTree, batches: PyTree):
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
        in_shardings=(replicated_sharding, None, None),  # as they were put
        out_shardings=(replicated_sharding, replicated_sharding),
        donate_argnums=0,
    )

    def compile_ahead(
        state: TrainState, dataset: PyTree, batches: PyTree[jax.ShapeDtypeStruct]
    ) -> jax.stages.Compiled:
        shapes = (
            _shapes(replicated_sharding, state),
            dataset,
            _shapes(batch_sharding, batches),
        )
        return run.lower(*shapes).compile()

    def replicate_dataset(dataset: PyTree) -> PyTree:
        return jax.tree.map(
            lambda x: jax.make_array_from_callback(
                x.shape, replicated_sharding, lambda at: x[at]
            ),
            dataset,
        )

    return ParallelUpdate(
        run=run,
        compile=compile_ahead,
        # A copy: donation may not use up what the networks still hold.
        replicate=lambda state: _from_local(replicated_sharding, _copy(state)),
        replicate_dataset=replicate_dataset,
        shard=lambda batches: _from_local(batch_sharding, batches),
        unreplicate=lambda tree: jax.tree.map(_on_first_device, tree),
    )


def _pmap(steps: Steps) -> ParallelUpdate:
    pmapped = jax.pmap(steps, axis_name=AXIS, donate_argnums=0)
    local, count = jax.local_device_count(), jax.device_count()
    mesh = Mesh(np.array(jax.devices()), (AXIS,))
    per_device_sharding = NamedSharding(mesh, PartitionSpec(AXIS))

    def compile_ahead(
        state: TrainState, dataset: PyTree, batches: PyTree[jax.ShapeDtypeStruct]
    ) -> jax.stages.Compiled:
        def parts(batches: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
            updates, batch_size, *shape = batches.shape
            shape = (count, updates, batch_size // count, *shape)
            return jax.ShapeDtypeStruct(shape, batches.dtype)

        stacked = jax.eval_shape(lambda state: _stack(state, count), state)
        return pmapped.lower(
            _shapes(per_device_sharding, stacked),
            dataset,
            _shapes(per_device_sharding, jax.tree.map(parts, batches)),
        ).compile()

    def shard(batches: Batches) -> PyTree[Array]:
        def parts(batches: np.ndarray) -> np.ndarray:
            updates, _, *shape = batches.shape
            return np.moveaxis(batches.reshape(updates, local, -1, *shape), 1, 0)

        return _from_local(per_device_sharding, jax.tree.map(parts, batches))

    def replicate_dataset(dataset: PyTree) -> PyTree:
        return jax.tree.map(
            lambda x: jax.make_array_from_callback(
                (count, *x.shape), per_device_sharding, lambda _: x[None]
            ),
            dataset,
        )

    def unreplicate(tree: PyTree) -> PyTree:
        return jax.tree.map(lambda x: _on_first_device(x)[0], tree)

    def run(state: TrainState, dataset: PyTree, batches: PyTree):
        state, metrics = pmapped(state, dataset, batches)
        return state, unreplicate(metrics)

    return ParallelUpdate(
        run=run,
        compile=compile_ahead,
        replicate=lambda state: _from_local(per_device_sharding, _stack(state, local)),
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
