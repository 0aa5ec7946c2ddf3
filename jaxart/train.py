"""Train a GAN: `python -m jaxart.train --config=configs/art.py --workdir=DIR`.

The same command on the same folder goes on where it stopped, as if it never had.

Source: Beyers and Loane, "Generating Novel Works of Art Using Generative Adversarial
Networks", section 3.
"""

import contextlib
import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Integer

from jaxart import command, machine, memory, processes
from jaxart.checkpoints import (
    CONFIG,
    Checkpoints,
    read_config,
    write_config,
)
from jaxart.command import Config
from jaxart.gan import cost as costs
from jaxart.gan import devices, latents, loop, quality, run_dir, runs
from jaxart.gan.networks import Discriminator, Generator
from jaxart.gan.settings import Settings
from jaxart.gan.update import NetworkState, TrainState, init_state
from jaxart.metrics import Estimate, frechet_distance
from jaxart.paintings import choice, pipeline, resident
from jaxart.records import Records, pictures_file


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
        _train(config, workdir)


def _train(config: Config, workdir: str) -> None:
    """Start or restore the run of all processes, and do its updates."""
    with processes.failing_together():
        checked = config.to_dict()
        del checked["seeds"]
        Settings.from_config(checked)
        generator, discriminator = nnx.eval_shape(
            lambda: _networks(config, config.seed)
        )
        optimizer = optax.adam(**config.optimizer)
        compiled = devices.compiled(
            generator,
            discriminator,
            optimizer,
            loss=config.loss,
            parallel=config.parallel,
            batch_size=config.batch_size,
            draw=partial(
                resident.batch, size=config.size, batch_size=config.batch_size
            ),
            seeds=config.seeds,
        )
    pictures = _agreed(config, workdir)
    keep = compiled.keep(resident.load(pictures)) if config.data.on_device else None
    folders = _folders(config, workdir)
    first = jax.jit(lambda seed: init_state(*_networks(config, seed), optimizer, seed))
    sampler = latents.make_sampler(generator)
    with ThreadPoolExecutor(1) as beside, contextlib.ExitStack() as stack:
        count = loop.updates_of_next_call(0, config)
        fed = keep(count) if keep else _batches(config, count)
        ready = beside.submit(compiled.ahead, _states(config, first), fed)
        saved = _saved(folders, stack)
        states, done = _begun(folders, saved, first)
        measures = _measures(folders, pictures, sampler)
        take = keep or _take(config, pictures, done, compiled, stack)
        with processes.failing_together():
            cost = costs.cost(
                generator,
                discriminator,
                ready.result(),
                images=config.seeds * config.batch_size // jax.device_count(),
            )
            cost.check_room(config.batch_size)
            if processes.is_first():
                for folder, own in {workdir: config, **folders}.items():
                    write_config(folder, own)
                print(cost)
        pace = loop.go_on(
            config,
            workdir,
            _runs(folders, saved, measures, done, stack),
            state=compiled.spread(devices.together(states)),
            done=done,
            take=take,
            compiled=compiled,
            sampler=sampler,
        )
    if processes.is_first():
        if pace.images_per_second > 0:
            print(costs.speed(cost, pace, config.dtype))
        for folder in folders:
            print(f"done: look at {pictures_file(folder, config.steps)}")


def _agreed(config: Config, workdir: str) -> Sequence[dict[str, Any]]:
    """Settle whose folder it is and what to learn from, for all processes alike.

    Returns:
        The records of the dataset.
    """
    asked = None
    with processes.failing_together():
        if processes.is_first():
            runs.claim(workdir)
        config.data.name = choice.resolve(config.data.name, config.data.data_dir)
        if processes.is_first():
            asked = _whether_on_device(workdir, config)
            runs.check_same(workdir, config)
    pictures = _pictures(config)
    _check_same_in_all(config, pictures)
    can_be_kept = asked or resident.countable(len(pictures), config.batch_size)
    with processes.failing_together():
        if processes.is_first() and asked is not False and can_be_kept:
            needed, room = resident.size(pictures), machine.memory()
            _decide(config, choice.on_device(needed, room, asked=bool(asked)))
    _decide(config, bool(processes.of_the_first(config.data.on_device is True)))
    return pictures


def _folders(config: Config, workdir: str) -> dict[str, Config]:
    """Return the folder of each seed's run, and its settings.

    A single one has the whole folder; several have one each in there, which is a run
    of its own for all other commands.
    """
    if config.seeds == 1:
        return {workdir: config}
    folders = {}
    for seed in range(config.seed, config.seed + config.seeds):
        own = copy.deepcopy(config)
        own.seed, own.seeds = seed, 1
        folders[str(Path(workdir) / f"seed_{seed}")] = own
    return folders


def _states(config: Config, first: Any) -> TrainState:
    """Return the shapes of all seeds' states."""
    seeds = () if config.seeds == 1 else (config.seeds,)
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(seeds + x.shape, x.dtype),
        first.eval_shape(np.uint32(0)),
    )


def _batches(config: Config, count: int) -> jax.ShapeDtypeStruct:
    """Return the shape of so many batches of all seeds."""
    seeds = () if config.seeds == 1 else (config.seeds,)
    pixels = config.batch_size, config.size, config.size, 3
    return jax.ShapeDtypeStruct((*seeds, count, *pixels), np.uint8)


def _take(
    config: Config,
    pictures: Sequence[dict[str, Any]],
    done: int,
    compiled: devices.Compiled,
    stack: contextlib.ExitStack,
) -> Callable[[int], devices.Fed]:
    """Return what takes batches from the pipelines of all seeds, from `done` on."""
    iterators: list[Any] = [
        pipeline.batches(
            pictures,
            size=config.size,
            batch_size=config.batch_size,
            seed=seed,
            workers=config.data.workers,
            process=jax.process_index(),
            processes=jax.process_count(),
            first=done,
        )
        for seed in range(config.seed, config.seed + config.seeds)
    ]
    for batches in iterators:
        stack.enter_context(closing(batches))

    def take(count: int) -> devices.Fed:
        pixels = [
            np.stack([next(batches) for _ in range(count)]) for batches in iterators
        ]
        return compiled.feed(devices.together(pixels))

    return take


def _runs(
    folders: dict[str, Config],
    saved: list[Checkpoints | None],
    measures: list[loop.Measure | None],
    done: int,
    stack: contextlib.ExitStack,
) -> list[loop.Run]:
    """Return what each seed's run has for itself, after `done` updates."""
    found = []
    for (folder, own), checkpoints, measure in zip(
        folders.items(), saved, measures, strict=True
    ):
        records = Records(
            folder if processes.is_first() else None,
            step=done,
            steps=own.steps,
            batch_size=own.batch_size,
            every_steps=own.log.every_steps,
            bar=not found,
        )
        stack.enter_context(closing(records))
        points = latents.draw(own.seed, range(own.samples.count), own.generator.latent)
        found.append(loop.Run(own, folder, records, checkpoints, measure, points))
    return found


def _pictures(config: Config) -> Sequence[dict[str, Any]]:
    """Open the dataset, in one process before the others: it may have to be made."""
    pictures: Sequence[dict[str, Any]] = ()
    for before in (True, False):
        with processes.failing_together():
            if processes.is_first() == before:
                pictures = choice.pictures(config)
    return pictures


def _check_same_in_all(config: Config, pictures: Sequence[dict[str, Any]]) -> None:
    """See that all processes do the same: only places may differ between machines."""
    settings = {
        key: value
        for key, value in runs.flat(config).items()
        if key not in ("data.data_dir", "data.on_device", "data.source", "data.workers")
    }
    processes.check_same({**settings, "pictures": len(pictures)})


def _saved(
    folders: dict[str, Config], stack: contextlib.ExitStack
) -> list[Checkpoints | None]:
    """Open the checkpoints of each seed; None in all processes but the first."""
    saved: list[Checkpoints | None] = [None] * len(folders)
    with processes.failing_together():
        if processes.is_first():
            for number, (folder, own) in enumerate(folders.items()):
                checkpoints = Checkpoints(
                    folder,
                    # Of several seeds, one that has the next step needs the last as
                    # well: those that were killed before they had it go on from there.
                    keep=max(min(len(folders), 2), own.checkpoints.keep),
                    keep_every=own.checkpoints.keep_every_steps,
                )
                saved[number] = stack.enter_context(closing(checkpoints))
    return saved


def _begun(
    folders: dict[str, Config], saved: list[Checkpoints | None], first: Any
) -> tuple[list[TrainState], int]:
    """Return the states of the last step that all seeds have, else new ones."""
    states, done = [first(np.uint32(own.seed)) for own in folders.values()], 0
    with processes.failing_together():
        opened = [checkpoints for checkpoints in saved if checkpoints]
        steps = [each.steps() for each in opened]
        if opened:
            done = max(set.intersection(*steps), default=0)
        # A run that was killed while it saved for the first time has one at most.
        if not done and any(len(some) > 1 for some in steps):
            raise ValueError(
                "seeds that go on together must have a checkpoint of the same step; "
                f"got {', '.join(str(sorted(some)) for some in steps)}"
            )
        for each in opened:
            each.forget_after(done)
        if done:
            states = [
                run_dir.from_parts(each.restore(done, run_dir.to_parts(state)))
                for each, state in zip(opened, states, strict=True)
            ]
    states, done = processes.of_the_first((states, done))
    return states, int(done)


def _networks(
    config: Config, seed: int | Integer[Array, ""]
) -> tuple[Generator, Discriminator]:
    rngs = nnx.Rngs(jax.random.key(seed))
    shape = {"size": config.size, "dtype": config.dtype, "rngs": rngs}
    return (
        Generator(**config.generator, **shape),
        Discriminator(**config.discriminator, **shape),
    )


def _measures(
    folders: dict[str, Config], pictures: Sequence[dict[str, Any]], sampler: Any
) -> list[loop.Measure | None]:
    """Return what finds the distance of each seed's samples, in the first process."""
    with processes.failing_together():
        return [
            _measure(own, pictures, sampler)
            if processes.is_first() and own.evaluate.every_steps
            else None
            for own in folders.values()
        ]


def _measure(
    config: Config, pictures: Sequence[dict[str, Any]], sampler: latents.Sampler
) -> loop.Measure:
    """Return what finds the Fréchet distance of samples from the dataset."""
    count, seed = config.evaluate.count, config.seed
    extractor = quality.vgg_extractor()
    crops = pipeline.crops(pictures, size=config.size, count=count, seed=seed)
    folder = quality.cache_dir(choice.folder(config.data.data_dir))
    real = quality.extract_features(extractor, crops, "VGG16, dataset", folder).rows

    points = latents.draw(seed, range(count), config.generator.latent)

    def measure(player: NetworkState) -> Estimate:
        samples = np.concatenate([*latents.sample_pictures(sampler, player, points)])
        fake = quality.extract_features(extractor, samples, "VGG16, samples").rows
        return frechet_distance(real, fake)

    return measure


def _whether_on_device(workdir: str, config: Config) -> bool | None:
    """Return whether the device keeps the pictures; a run that goes on does as before.

    Returns:
        None if that has yet to be decided.
    """
    asked = choice.whether_on_device(config.data.on_device)
    if asked is None and (Path(workdir) / CONFIG).exists():
        # Before there was the choice, it did not.
        asked = read_config(workdir).data.get("on_device", False)
    if asked is not None:
        _decide(config, asked)
    return asked


def _decide(config: Config, on_device: bool) -> None:
    """Put what is decided in the place of what was asked for."""
    with config.ignore_type():
        config.data.on_device = on_device


if __name__ == "__main__":
    memory.keep_freed()
    command.run(main)
