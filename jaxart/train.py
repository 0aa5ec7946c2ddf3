"""Train a GAN: `python -m jaxart.train --config=configs/art.py --workdir=DIR`.

The same command on the same folder resumes where it stopped, as if it never had.
`--from_step=N` goes back to checkpoint N instead, and removes what came later. With the
same settings the run would repeat itself, byte for byte; others may be given, such as
the learning rate or the seed, but for the dataset, the networks' shapes, the average
and the target of augmentation.

Source: Beyers and Loane, "Generating Novel Works of Art Using Generative Adversarial
Networks", section 3.
"""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import Annotated, Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float32, PyTree

from jaxart import atomic, command, malloc, processes, titles
from jaxart.command import Config
from jaxart.gan import cost as costs
from jaxart.gan import feature_metrics, latents, parallel, train_loop, trained
from jaxart.gan.conditions import find_classes
from jaxart.gan.run_dir import RunDir
from jaxart.gan.run_log import RunLog
from jaxart.gan.settings import Settings, flatten
from jaxart.gan.strokes import AnyGenerator, StrokeGenerator
from jaxart.gan.update import init_state
from jaxart.paintings import atlas, labels, pipeline, training_data
from jaxart.validation import FilePath


# What processes on different machines may set differently.
MAY_DIFFER = ("data.data_dir", "data.on_device", "data.source", "data.workers")

Records = Sequence[dict[str, Any]]


def main(
    config: Annotated[Config, "file that describes the run"],
    workdir: Annotated[FilePath, "folder of the run; if it holds one, it goes on"],
    distributed: Annotated[
        str | None,
        "to be one of several processes that train together: auto where the cluster "
        "says so, else HOST:PORT,PROCESSES,INDEX with the address of process 0",
    ] = None,
    from_: Annotated[
        FilePath | None, "folder of another run, whose networks a new run begins with"
    ] = None,
    step: Annotated[
        str | None, "of the other run: a number, or best; the latest, if not given"
    ] = None,
    from_step: Annotated[
        int | None,
        "checkpoint of this run to go back to, with other settings if you like; what "
        "came later is removed",
    ] = None,
) -> None:
    """Train a GAN, or go on with a run that stopped."""
    with processes.join(distributed):
        with processes.raise_everywhere():
            settings = Settings.from_config(config)
        with atomic.naming_full_disk(workdir), contextlib.ExitStack() as stack:
            train(settings, workdir, stack, from_, step, from_step)


def train(
    settings: Settings,
    workdir: str,
    stack: contextlib.ExitStack,
    from_: str | None = None,
    step: str | None = None,
    from_step: int | None = None,
) -> None:
    """Start or resume a run; in several processes, all of them call this.

    Args:
        settings: of the run.
        workdir: its folder.
        stack: closes the files, threads and processes that are opened here.
        from_: folder of the run whose networks a new run begins with, or None.
        step: of its checkpoint; see `RunDir.origin`.
        from_step: checkpoint that a run goes back to, or None; see `RunDir.go_back`.

    Raises:
        ValueError: the settings do not suit the devices, the folders or the dataset.
        Stopped: a signal asked for it, and the state is saved.
    """
    if from_ is not None and from_step is not None:
        raise ValueError(f"from_step cannot go with from; got {from_step} and {from_}")
    with processes.raise_everywhere():
        parallel.check_batch_size(settings.batch_size)
    settings, run_dir = _open_run_dir(settings, workdir, stack, from_step)
    origin = None
    with processes.raise_everywhere():
        if run_dir:
            origin = run_dir.origin(from_, step)
    # An average that is loaded is one already.
    warm_up = not processes.broadcast(np.asarray(origin is not None))
    records = _open_records(settings)
    settings, conditions = _find_conditions(settings)
    with processes.raise_everywhere():
        if run_dir:
            run_dir.check_settings(settings, from_step)
        networks = nnx.eval_shape(lambda: settings.make_networks(settings.seed))
        recipe = settings.make_recipe()._replace(warm_up=warm_up)
        updates = parallel.make_parallel_update(
            *networks,
            recipe,
            parallel=settings.parallel,
            batch_size=settings.batch_size,
            load_batch=partial(atlas.crop_batch, size=settings.size),
        )
    source, dataset = _put_on_device(settings, records, updates)

    init = jax.jit(lambda seed: init_state(*settings.make_networks(seed), recipe, seed))
    state_shape = init.eval_shape(np.uint32(0))
    with processes.raise_everywhere():
        costs.check_state(state_shape)
    # The update is compiled while everything else is opened.
    compiler = stack.enter_context(ThreadPoolExecutor(1))
    shape = train_loop.updates_of_next_call(0, settings), settings.batch_size
    compiled = compiler.submit(
        updates.compile,
        state_shape,
        dataset,
        pipeline.batches_shape(
            source, shape, settings.size, settings.condition.known.size
        ),
    )
    checkpoints = distance_fn = None
    sampler = latents.make_sampler(networks[0])
    state = init(np.uint32(settings.seed))
    with processes.raise_everywhere():
        if run_dir:
            checkpoints = stack.enter_context(closing(run_dir.checkpoints(settings)))
            if origin and checkpoints.latest() is None:
                state = state._replace(**trained.start_from(origin, settings))
            state = run_dir.resume(checkpoints, state, from_step)
            if settings.evaluate.every_steps:
                distance_fn = _distance_fn(
                    settings, records, conditions, networks[0], sampler
                )
    state = processes.broadcast(state)
    start_step = int(state.step)
    batches = pipeline.batches(
        source,
        size=settings.size,
        batch_size=settings.batch_size,
        seed=settings.seed,
        conditions=conditions,
        workers=settings.data.workers,
        process=jax.process_index(),
        processes=jax.process_count(),
        first=start_step,
    )
    stack.enter_context(closing(batches))
    with processes.raise_everywhere():
        images = settings.batch_size // jax.device_count()
        cost = costs.estimate_cost(*networks, compiled.result(), images)
        cost.check_memory(settings.batch_size)
        if run_dir:
            if checkpoints and from_step is not None:
                print(run_dir.go_back(checkpoints, from_step, settings, origin))
            else:
                run_dir.write_settings(settings, origin)
            print(cost)
    log = stack.enter_context(closing(RunLog(run_dir, settings, start_step)))
    speed = train_loop.train_loop(
        settings,
        workdir,
        train_loop.RunOutputs(log, checkpoints, sampler, distance_fn),
        state=updates.replicate(state),
        start_step=start_step,
        dataset=dataset,
        next_batches=partial(_next_batches, batches, updates),
        updates=updates,
    )
    if checkpoints:
        checkpoints.wait()
    if run_dir:
        if speed.images_per_second > 0:
            print(costs.format_speed(cost, speed, settings.dtype))
        if checkpoints and (best := checkpoints.best()):
            print(f"best by its distance is step {best.step}: sample it by --step=best")
        print(f"done: look at {run_dir.samples_file(max(settings.steps, start_step))}")


def _open_run_dir(
    settings: Settings,
    workdir: str,
    stack: contextlib.ExitStack,
    from_step: int | None,
) -> tuple[Settings, RunDir | None]:
    """Open the folder of the run in the first process, and settle its dataset."""
    run_dir = None
    with processes.raise_everywhere():
        if processes.is_first():
            run_dir = stack.enter_context(RunDir(workdir))
        name = training_data.resolve(settings.data.name, settings.data.data_dir)
        settings = settings.with_data(name=name)
        if run_dir:
            run_dir.check_settings(settings, from_step)
    return settings, run_dir


def _open_records(settings: Settings) -> Records:
    """Open the dataset, in one process before the others: it may have to be made."""
    records: Records = ()
    for first in (True, False):
        with processes.raise_everywhere():
            if processes.is_first() == first:
                records = training_data.open_records(settings)
    shared_settings = {
        key: value
        for key, value in flatten(settings.to_dict()).items()
        if key not in MAY_DIFFER
    }
    processes.check_same_settings({**shared_settings, "pictures": len(records)})
    return records


def _put_on_device(
    settings: Settings, records: Records, updates: parallel.ParallelUpdate
) -> tuple[Records | atlas.Atlas, Array | None]:
    """Return the records or the atlas, and the atlas's pixels on the devices."""
    on_device = False
    with processes.raise_everywhere():
        if processes.is_first():
            on_device = training_data.fits_on_device(settings.data.on_device, records)
    if not processes.broadcast(on_device):
        return records, None
    packed = atlas.load(records)
    return packed, updates.replicate_dataset(packed.pixels)


def _find_conditions(
    settings: Settings,
) -> tuple[Settings, Float32[np.ndarray, "n c"] | None]:
    """Return the settings with the dataset's classes, and its pictures' conditions.

    Without conditions the settings are returned as they are, and None.
    """
    asked = settings.condition
    if not asked.kinds and not asked.titles:
        return settings, None
    with processes.raise_everywhere():
        if asked.titles:
            titles.check_installed()
        kinds = (*asked.kinds, *[labels.TITLE] * asked.titles)
        known = labels.read(settings.data.name, settings.data.data_dir, kinds)
        found = find_classes(known, asked.kinds, asked.min_pictures)
        if processes.is_first():
            print(found, file=sys.stderr)
        settings = settings.with_classes(found.names)
        vectors = settings.condition.known.vectors(known)
    return settings, vectors


def _next_batches(
    batches: Iterator[PyTree], updates: parallel.ParallelUpdate, count: int
) -> PyTree[Array]:
    """Return the next batches of a run, stacked and sharded."""
    parts = [next(batches) for _ in range(count)]
    return updates.shard(jax.tree.map(lambda *arrays: np.stack(arrays), *parts))


def _distance_fn(
    settings: Settings,
    records: Records,
    conditions: Float32[np.ndarray, "n c"] | None,
    generator: AnyGenerator,
    sampler: latents.Sampler,
) -> train_loop.DistanceFn:
    crops = pipeline.crops(
        records, size=settings.size, count=settings.evaluate.count, seed=settings.seed
    )
    cache_dir = feature_metrics.cache_dir(
        training_data.data_dir_or_default(settings.data.data_dir)
    )
    stroke_sampler = None
    if isinstance(generator, StrokeGenerator):
        stroke_sampler = latents.make_stroke_sampler(generator)
    return train_loop.make_distance_fn(
        settings, sampler, stroke_sampler, crops, conditions, cache_dir
    )


if __name__ == "__main__":
    malloc.retain_freed_memory()
    command.run(main)
