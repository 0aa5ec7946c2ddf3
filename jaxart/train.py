"""Train a GAN: `python -m jaxart.train --config=configs/art.py --workdir=DIR`.

The same command on the same folder goes on where it stopped, as if it never had.

Source: Beyers and Loane, "Generating Novel Works of Art Using Generative Adversarial
Networks", section 3.
"""

import contextlib
import copy
import math
import operator
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Int, PyTree

from jaxart import command, machine, processes
from jaxart.checkpoints import (
    CONFIG,
    UNFINISHED,
    Checkpoints,
    read_config,
    write_config,
)
from jaxart.command import Config
from jaxart.gan import cost as costs
from jaxart.gan import devices, latents, quality
from jaxart.gan.networks import Discriminator, Generator
from jaxart.gan.update import Player, State, start
from jaxart.metrics import Estimate, frechet_distance
from jaxart.paintings import choice, pipeline, resident
from jaxart.records import Pace, Records, pictures_file


# What may change when a run goes on; any other change would make it another run.
MAY_CHANGE = (
    "checkpoints.",
    "data.data_dir",
    "data.source",
    "evaluate.every_steps",
    "log.",
    "parallel",
    "samples.",
    "steps",  # and steps_per_call
)
# What the first configs did not have.
NEWER = {
    "data.on_device",
    "evaluate.count",
    "evaluate.every_steps",
    "seeds",
    "steps_per_call",
}


class Run(NamedTuple):
    """What the run of one seed has for itself.

    Args:
        config: its settings; `seeds` is 1.
        workdir: its folder.
        records: what a person sees of it.
        checkpoints: None in all processes but the first.
        measure: finds its Fréchet distance, if it is asked for, in the first process.
        points: of its samples.
    """

    config: Config
    workdir: str
    records: Records
    checkpoints: Checkpoints | None
    measure: Callable[[Player], Estimate] | None
    points: latents.Points


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
    writes = processes.is_first()
    with processes.failing_together():
        _check(config)
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
        if writes:
            _claim(workdir)
        config.data.name = choice.resolve(config.data.name, config.data.data_dir)
        asked = None
        if writes:
            asked = _whether_on_device(workdir, config)
            _check_same_run(workdir, config)
    pictures = _pictures(config)
    _check_same_in_all(config, pictures)
    with processes.failing_together():
        if writes and asked is not False:
            needed, room = resident.size(pictures), machine.memory()
            _decide(config, choice.on_device(needed, room, asked=bool(asked)))
    _decide(config, bool(processes.of_the_first(config.data.on_device is True)))
    keep = compiled.keep(resident.load(pictures)) if config.data.on_device else None
    folders = _folders(config, workdir)
    first = jax.jit(lambda seed: start(*_networks(config, seed), optimizer, seed))
    sampler = latents.sampler(generator)
    with ThreadPoolExecutor(1) as beside, contextlib.ExitStack() as stack:
        expected = keep(updates_of_next_call(0, config)) if keep else _batches(config)
        ready = beside.submit(compiled.ahead, _states(config, first), expected)
        states, done = [first(own.seed) for own in folders.values()], 0
        saved: Sequence[Checkpoints | None] = [None] * len(folders)
        measures: list[Any] = [None] * len(folders)
        with processes.failing_together():
            if writes:
                opened = []
                for folder, own in folders.items():
                    checkpoints = _checkpoints(folder, own, len(folders))
                    opened.append(stack.enter_context(closing(checkpoints)))
                states, done = _restored(opened, states)
                saved = opened
                measures = [
                    _measure(own, pictures, sampler) for own in folders.values()
                ]
        states, done = processes.of_the_first((states, done))
        done = int(done)
        take = keep or _take(config, pictures, done, compiled, stack)
        with processes.failing_together():
            cost = costs.cost(
                generator,
                discriminator,
                ready.result(),
                images=config.seeds * config.batch_size // jax.device_count(),
            )
            cost.check_room(config.batch_size)
            if writes:
                for folder, own in {workdir: config, **folders}.items():
                    write_config(folder, own)
                print(cost)
        runs = [
            Run(
                own,
                folder,
                stack.enter_context(
                    closing(_records(own, checkpoints and folder, done, number))
                ),
                checkpoints,
                measure,
                latents.draw(own.seed, 0, own.samples.count, own.generator.latent),
            )
            for number, ((folder, own), checkpoints, measure) in enumerate(
                zip(folders.items(), saved, measures, strict=True)
            )
        ]
        pace = _go_on(
            config,
            workdir,
            runs,
            state=compiled.spread(devices.together(states)),
            done=done,
            take=take,
            compiled=compiled,
            sampler=sampler,
        )
    if writes and pace.images_per_second:
        print(costs.speed(cost, pace, config.dtype))
    if writes:
        for folder in folders:
            print(f"done: look at {pictures_file(folder, config.steps)}")


def _go_on(
    config: Config,
    workdir: str,
    runs: list[Run],
    *,
    state: State,
    done: int,
    take: Callable[[int], devices.Fed],
    compiled: devices.Compiled,
    sampler: latents.Sampler,
) -> Pace:
    """Do the updates from `done` to the last, and record them."""

    def due(step: int, every_steps: int) -> bool:
        return step % every_steps == 0 or step == config.steps

    def own(tree: PyTree) -> list[PyTree]:
        return devices.apart(compiled.gather(tree), len(runs))

    writes = runs[0].checkpoints is not None
    smallest = [_smallest(run.checkpoints) for run in runs]
    with processes.stop_signals() as stop_signal:
        step = done
        while step < config.steps:
            count = updates_of_next_call(step, config)
            with runs[0].records.feeding():
                fed = take(count)
            state, metrics = compiled.steps(state, fed)
            step += count
            stop = stop_signal()  # once: a signal may come at any moment
            save = stop is not None or due(step, config.checkpoints.every_steps)
            distances: Sequence[float | None] = [None] * len(runs)
            for run, values in zip(
                runs, devices.apart(metrics, len(runs)), strict=True
            ):
                with _naming_last_checkpoint(run):
                    run.records.add(step, values)
            if writes and due(step, config.samples.every_steps):
                for run, player in zip(runs, own(state.generator), strict=True):
                    run.records.add_pictures(step, sampler(player, run.points))
            if runs[0].measure and due(step, config.evaluate.every_steps):
                players = jax.block_until_ready(own(state.generator))
                found = [
                    _measured(run, step, player)
                    for run, player in zip(runs, players, strict=True)
                ]
                save = save or any(map(operator.lt, found, smallest))
                smallest = [min(pair) for pair in zip(found, smallest, strict=True)]
                distances = found
            if save:
                for run in runs:
                    with _naming_last_checkpoint(run):
                        # What is recorded first, then the checkpoint that vouches.
                        run.records.flush()
            if save and writes:
                _save(runs, step, own(state), distances)
            if stop is not None and step < config.steps:
                for run in runs:
                    if run.checkpoints:
                        run.checkpoints.wait()
                raise command.Stopped(
                    stop,
                    f"saved step {step} in {workdir}; the same command goes on there",
                )
        pace = runs[0].records.pace(config.steps)
        return pace._replace(images_per_second=len(runs) * pace.images_per_second)


def _save(
    runs: list[Run], step: int, states: list[State], distances: Sequence[float | None]
) -> None:
    for run in runs:
        # A seed may forget a step only when all others have a later one.
        assert run.checkpoints is not None
        run.checkpoints.wait()
    for run, state, distance in zip(runs, states, distances, strict=True):
        assert run.checkpoints is not None
        run.checkpoints.save(step, _parts(state), distance)


def _measured(run: Run, step: int, player: Player) -> float:
    assert run.measure is not None
    begin = time.perf_counter()
    distance, error = run.measure(player)
    figures = {quality.FRECHET: distance, f"{quality.FRECHET}_error": error}
    run.records.add_figures(step, figures, time.perf_counter() - begin)
    return distance


def _smallest(checkpoints: Checkpoints | None) -> float:
    """Return the smallest distance so far."""
    best = checkpoints.best() if checkpoints else None
    return math.inf if best is None else best.distance


@contextlib.contextmanager
def _naming_last_checkpoint(run: Run) -> Iterator[None]:
    try:
        yield
    except FloatingPointError as error:
        last = run.checkpoints.latest() if run.checkpoints else "with process 0"
        raise ValueError(
            f"{error}; the last checkpoint in {run.workdir} is step {last}"
        ) from None


def updates_of_next_call(step: int, config: Config) -> int:
    """Return how many updates to do after `step` in one compiled call.

    As many as `config.steps_per_call`, unless the loop has something to do before
    these are done: then one at a time up to there, so that no third number of updates
    has to be compiled.
    """
    ends = [
        step + every_steps - step % every_steps
        for every_steps in (
            config.samples.every_steps,
            config.checkpoints.every_steps,
            config.evaluate.every_steps,
        )
        if every_steps
    ]
    most = min(*ends, config.steps) - step
    return config.steps_per_call if config.steps_per_call <= most else 1


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


def _states(config: Config, first: Any) -> State:
    """Return the shapes of all seeds' states."""
    seeds = () if config.seeds == 1 else (config.seeds,)
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(seeds + x.shape, x.dtype), first.eval_shape(0)
    )


def _batches(config: Config) -> jax.ShapeDtypeStruct:
    """Return the shape of the batches of a new run's first call."""
    seeds = () if config.seeds == 1 else (config.seeds,)
    pixels = config.batch_size, config.size, config.size, 3
    shape = (*seeds, updates_of_next_call(0, config), *pixels)
    return jax.ShapeDtypeStruct(shape, np.uint8)


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


def _records(config: Config, workdir: str | None, done: int, number: int) -> Records:
    return Records(
        workdir,
        step=done,
        steps=config.steps,
        batch_size=config.batch_size,
        every_steps=config.log.every_steps,
        bar=number == 0,
    )


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
        for key, value in _flat(config).items()
        if key not in ("data.data_dir", "data.on_device", "data.source", "data.workers")
    }
    processes.check_same({**settings, "pictures": len(pictures)})


def _checkpoints(workdir: str, config: Config, seeds: int) -> Checkpoints:
    return Checkpoints(
        workdir,
        # Of several seeds, one that has the next step needs the last as well: those
        # that were killed before they had it go on from there.
        keep=config.checkpoints.keep if seeds == 1 else max(2, config.checkpoints.keep),
        keep_every=config.checkpoints.keep_every_steps,
    )


def _restored(
    saved: Sequence[Checkpoints], states: list[State]
) -> tuple[list[State], int]:
    """Return the states of the last step that all seeds have; else what is given."""
    done = max(set.intersection(*(each.steps() for each in saved)), default=0)
    for each in saved:
        each.forget_after(done)
    if not done:
        return states, 0
    return [
        _state(each.restore(done, _parts(state)))
        for each, state in zip(saved, states, strict=True)
    ], done


def _networks(
    config: Config, seed: int | Int[Array, ""]
) -> tuple[Generator, Discriminator]:
    rngs = nnx.Rngs(seed)
    shape = {"size": config.size, "dtype": config.dtype, "rngs": rngs}
    return (
        Generator(**config.generator, **shape),
        Discriminator(**config.discriminator, **shape),
    )


def _measure(
    config: Config, pictures: Sequence[dict[str, Any]], sampler: latents.Sampler
) -> Callable[[Player], Estimate] | None:
    """Return what finds the Fréchet distance of samples from the dataset, if asked."""
    if not config.evaluate.every_steps:
        return None
    count, seed = config.evaluate.count, config.seed
    extractor = quality.vgg_extractor()
    crops = pipeline.crops(pictures, size=config.size, count=count, seed=seed)
    folder = quality.folder(choice.folder(config.data.data_dir))
    real = quality.described(extractor, crops, "VGG16, dataset", folder).rows

    points = latents.draw(seed, 0, count, config.generator.latent)

    def measure(player: Player) -> Estimate:
        samples = np.concatenate([*latents.pictures(sampler, player, points)])
        fake = quality.described(extractor, samples, "VGG16, samples").rows
        return frechet_distance(real, fake)

    return measure


def _parts(state: State) -> dict[str, PyTree]:
    """Return the parts of a checkpoint; `generator` is all that sampling needs."""
    return {
        "generator": state.generator,
        "discriminator": state.discriminator,
        "optimizers": (state.generator_optimizer, state.discriminator_optimizer),
        "run": {"step": state.step, "key": state.key},
    }


def _state(parts: dict[str, PyTree]) -> State:
    return State(
        **parts["run"],
        generator=parts["generator"],
        discriminator=parts["discriminator"],
        generator_optimizer=parts["optimizers"][0],
        discriminator_optimizer=parts["optimizers"][1],
    )


def _check(config: Config) -> None:
    missing = NEWER - _flat(config).keys()
    if missing:
        raise ValueError(
            f"config must have {' and '.join(sorted(missing))}, as those in configs/ "
            "do; this one was written for an earlier version"
        )
    counts = {
        "steps": config.steps,
        "steps_per_call": config.steps_per_call,
        "seeds": config.seeds,
        "batch_size": config.batch_size,
        "samples.count": config.samples.count,
        "samples.every_steps": config.samples.every_steps,
        "checkpoints.every_steps": config.checkpoints.every_steps,
        "checkpoints.keep": config.checkpoints.keep,
        "checkpoints.keep_every_steps": config.checkpoints.keep_every_steps,
        "log.every_steps": config.log.every_steps,
    }
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} must be at least 1; got {count}")
    if config.evaluate.every_steps < 0:
        raise ValueError(
            f"evaluate.every_steps must not be negative; got "
            f"{config.evaluate.every_steps}"
        )
    if config.evaluate.count < quality.LEAST:
        raise ValueError(
            f"evaluate.count must be at least {quality.LEAST}; got "
            f"{config.evaluate.count}"
        )
    if config.dtype not in ("float32", "bfloat16"):
        raise ValueError(f"dtype must be float32 or bfloat16; got {config.dtype!r}")


def _claim(workdir: str) -> None:
    """Make the folder of the run, or see that it is one's own."""
    folder = Path(workdir)
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise ValueError(f"workdir must be writable; {workdir} is not")
    # An empty folder is nobody's: a run that was refused leaves one for checkpoints.
    others = {
        path.name
        for path in folder.iterdir()
        if path.is_file() or any(inner.is_file() for inner in path.rglob("*"))
    } - {UNFINISHED}
    if others and CONFIG not in others:
        raise ValueError(f"workdir must be empty or hold a run; {workdir} does neither")


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


def _check_same_run(workdir: str, config: Config) -> None:
    """See that the run in `workdir`, if any, was started with the same settings."""
    if not (Path(workdir) / CONFIG).exists():
        return
    there, here = _flat(read_config(workdir)), _flat(config)
    # A run from before there was evaluation has no distances that others could differ
    # from, if they were measured with another count.
    there.setdefault("evaluate.count", config.evaluate.count)
    there.setdefault("seeds", 1)
    there.setdefault("data.on_device", False)
    differing = [
        key
        for key in sorted(there.keys() | here.keys())
        if there.get(key) != here.get(key) and not key.startswith(MAY_CHANGE)
    ]
    if differing:
        changes = ", ".join(
            f"{key} ({there.get(key)} there, {here.get(key)} here)" for key in differing
        )
        raise ValueError(
            f"workdir {workdir} holds a run with other settings: {changes}"
        )


def _flat(config: Config) -> dict[str, Any]:
    """Return the settings by their dotted names."""
    leaves, _ = jax.tree.flatten_with_path(config.to_dict())
    return {".".join(key.key for key in path): value for path, value in leaves}


if __name__ == "__main__":
    command.run(main)
