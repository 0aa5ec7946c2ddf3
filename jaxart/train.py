"""Train a GAN: `python -m jaxart.train --config=configs/art.py --workdir=DIR`.

The same command on the same folder resumes where it stopped, as if it never had.

Source: Beyers and Loane, "Generating Novel Works of Art Using Generative Adversarial
Networks", section 3.
"""

import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import Annotated, Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array

from jaxart import command, memory, processes
from jaxart.command import Config
from jaxart.gan import cost as costs
from jaxart.gan import devices, latents, quality, train_loop
from jaxart.gan.run_dir import RunDir
from jaxart.gan.run_log import RunLog
from jaxart.gan.settings import Settings, flatten
from jaxart.gan.update import NetworkState, init_state
from jaxart.metrics import Estimate, frechet_distance
from jaxart.paintings import atlas, choice, pipeline


# What processes on different machines may set differently.
MAY_DIFFER = ("data.data_dir", "data.on_device", "data.source", "data.workers")

Records = Sequence[dict[str, Any]]


def main(
    config: Annotated[Config, "file that describes the run"],
    workdir: Annotated[str, "folder of the run; if it holds one, it goes on"],
    distributed: Annotated[
        str | None,
        "to be one of several processes that train together: auto where the cluster "
        "says so, else HOST:PORT,PROCESSES,INDEX with the address of process 0",
    ] = None,
) -> None:
    """Train a GAN, or go on with a run that stopped."""
    with processes.joined(distributed):
        with processes.failing_together():
            settings = Settings.from_config(config)
        with contextlib.ExitStack() as stack:
            train(settings, workdir, stack)


def train(settings: Settings, workdir: str, stack: contextlib.ExitStack) -> None:
    """Start or resume a run; in several processes, all of them call this.

    Args:
        settings: of the run.
        workdir: its folder.
        stack: closes what is opened here.

    Raises:
        ValueError: the settings do not suit the devices, the folder or the dataset.
        Stopped: a signal asked for it, and the state is saved.
    """
    run_dir = checkpoints = distance_fn = None
    with processes.failing_together():
        networks = nnx.eval_shape(lambda: settings.make_networks(settings.seed))
        optimizer = settings.make_optimizer()
        updates = devices.make_updates(
            *networks,
            optimizer,
            loss=settings.loss,
            parallel=settings.parallel,
            batch_size=settings.batch_size,
            to_pixels=partial(_to_pixels, size=settings.size),
        )
    with processes.failing_together():
        if processes.is_first():
            run_dir = stack.enter_context(RunDir(workdir))
        name = choice.resolve(settings.data.name, settings.data.data_dir)
        settings = settings.with_data(name=name)
        if run_dir:
            run_dir.check_same(settings)
    records = _open_records(settings)
    source, dataset = _put_on_device(settings, records, updates)

    init = jax.jit(
        lambda seed: init_state(*settings.make_networks(seed), optimizer, seed)
    )
    compiler = stack.enter_context(ThreadPoolExecutor(1))
    compiled = compiler.submit(
        updates.compile,
        init.eval_shape(np.uint32(0)),
        dataset,
        _batches_shape(settings, dataset),
    )
    sampler = latents.make_sampler(networks[0])
    state = init(np.uint32(settings.seed))
    with processes.failing_together():
        if run_dir:
            checkpoints = stack.enter_context(closing(run_dir.checkpoints(settings)))
            state = run_dir.resume(checkpoints, state)
            if settings.evaluate.every_steps:
                distance_fn = _distance_fn(settings, records, sampler)
    state = processes.of_the_first(state)
    start_step = int(state.step)
    log = RunLog(
        run_dir,
        step=start_step,
        steps=settings.steps,
        batch_size=settings.batch_size,
        every_steps=settings.log.every_steps,
    )
    stack.enter_context(closing(log))
    batches = stack.enter_context(closing(_batches(settings, source, start_step)))
    with processes.failing_together():
        images = settings.batch_size // jax.device_count()
        cost = costs.cost(*networks, compiled.result(), images)
        cost.check_memory(settings.batch_size)
        if run_dir:
            run_dir.write_settings(settings)
            print(cost)
    speed = train_loop.train_loop(
        settings,
        workdir,
        train_loop.Outputs(log, checkpoints, sampler, distance_fn),
        state=updates.replicate(state),
        start_step=start_step,
        dataset=dataset,
        next_batches=lambda count: updates.shard(
            np.stack([next(batches) for _ in range(count)])
        ),
        updates=updates,
    )
    if run_dir:
        if speed.images_per_second > 0:
            print(costs.speed_line(cost, speed, settings.dtype))
        print(f"done: look at {run_dir.samples_file(settings.steps)}")


def _open_records(settings: Settings) -> Records:
    """Open the dataset, in one process before the others: it may have to be made."""
    records: Records = ()
    for first in (True, False):
        with processes.failing_together():
            if processes.is_first() == first:
                records = choice.pictures(settings)
    same = {
        key: value
        for key, value in flatten(settings.to_dict()).items()
        if key not in MAY_DIFFER
    }
    processes.check_same({**same, "pictures": len(records)})
    return records


def _put_on_device(
    settings: Settings, records: Records, updates: devices.Updates
) -> tuple[Records | atlas.Atlas, Array | None]:
    """Return what batches are made of, and the dataset on the devices, if it is."""
    on_device = False
    with processes.failing_together():
        if processes.is_first():
            on_device = choice.on_device(settings.data.on_device, records)
    if not processes.of_the_first(on_device):
        return records, None
    packed = atlas.load(records)
    return packed, updates.replicate_dataset(packed.pixels)


def _to_pixels(atlas_pixels: Array | None, batch: Array, size: int) -> Array:
    """Return crops: those of an atlas at the corners of a batch, or the batch."""
    return batch if atlas_pixels is None else atlas.crops(atlas_pixels, batch, size)


def _batches_shape(settings: Settings, dataset: Array | None) -> jax.ShapeDtypeStruct:
    """Return the shape of what the first call takes, of all processes."""
    count = train_loop.updates_of_next_call(0, settings)
    shape = (count, settings.batch_size)
    if dataset is not None:
        return jax.ShapeDtypeStruct((*shape, 2), np.int32)
    return jax.ShapeDtypeStruct((*shape, settings.size, settings.size, 3), np.uint8)


def _batches(settings: Settings, source: Records | atlas.Atlas, first: int) -> Any:
    return pipeline.batches(
        source,
        size=settings.size,
        batch_size=settings.batch_size,
        seed=settings.seed,
        workers=settings.data.workers,
        process=jax.process_index(),
        processes=jax.process_count(),
        first=first,
    )


def _distance_fn(
    settings: Settings, records: Records, sampler: latents.Sampler
) -> Callable[[NetworkState], Estimate]:
    """Return what measures the Fréchet distance of samples from the dataset."""
    extractor = quality.vgg_extractor()
    count, seed = settings.evaluate.count, settings.seed
    crops = pipeline.crops(records, size=settings.size, count=count, seed=seed)
    folder = quality.cache_dir(choice.folder(settings.data.data_dir))
    real = quality.extract_features(extractor, crops, "VGG16, dataset", folder).rows
    points = latents.draw(seed, range(count), settings.generator.latent)

    def distance(generator: NetworkState) -> Estimate:
        samples = np.concatenate([*latents.sample_pictures(sampler, generator, points)])
        fake = quality.extract_features(extractor, samples, "VGG16, samples").rows
        return frechet_distance(real, fake)

    return distance


if __name__ == "__main__":
    memory.keep_freed()
    command.run(main)
