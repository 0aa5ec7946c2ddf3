"""Train a GAN: `python -m jaxart.train --config=configs/art.py --workdir=DIR`.

The same command on the same folder goes on where it stopped, as if it never had.

Source: Beyers and Loane, "Generating Novel Works of Art Using Generative Adversarial
Networks", section 3.
"""

import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import optax
from flax import nnx
from jaxtyping import PyTree

from jaxart import command, memory
from jaxart.checkpoints import (
    CONFIG,
    UNFINISHED,
    Checkpoints,
    read_config,
    write_config,
)
from jaxart.command import Config
from jaxart.gan import devices, latents, quality
from jaxart.gan.networks import Discriminator, Generator
from jaxart.gan.update import Player, State, start
from jaxart.metrics import Estimate, frechet_distance
from jaxart.paintings import choice, pipeline
from jaxart.records import Records, pictures_file


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
NEWER = {"evaluate.count", "evaluate.every_steps", "steps_per_call"}


def main(
    config: Annotated[Config, "file that describes the run"],
    workdir: Annotated[str, "folder of the run; if it holds one, it goes on"],
) -> None:
    """Train a GAN, or go on with a run that stopped."""
    _check(config)
    generator, discriminator = _networks(config)
    optimizer = optax.adam(**config.optimizer)
    compiled = devices.compiled(
        generator,
        discriminator,
        optimizer,
        loss=config.loss,
        parallel=config.parallel,
        batch_size=config.batch_size,
    )
    _claim(workdir)
    config.data.name = choice.resolve(config.data.name, config.data.data_dir)
    _check_same_run(workdir, config)
    pictures = choice.pictures(config)
    batches = _batches(config, pictures)
    write_config(workdir, config)
    checkpoints = Checkpoints(
        workdir,
        keep=config.checkpoints.keep,
        keep_every=config.checkpoints.keep_every_steps,
    )
    with closing(batches), closing(checkpoints):
        state = start(generator, discriminator, optimizer, config.seed)
        latest = checkpoints.latest()
        if latest is not None:
            state = _state(checkpoints.restore(latest, _parts(state), batches))
        sampler = latents.sampler(generator)
        _go_on(
            config,
            workdir,
            state=compiled.spread(state),
            done=latest or 0,
            batches=batches,
            compiled=compiled,
            sampler=sampler,
            measure=_measure(config, pictures, sampler),
            checkpoints=checkpoints,
        )
    print(f"done: look at {pictures_file(workdir, config.steps)}")


def _go_on(
    config: Config,
    workdir: str,
    *,
    state: State,
    done: int,
    batches: Any,
    compiled: devices.Compiled,
    sampler: latents.Sampler,
    measure: Callable[[Player], Estimate] | None,
    checkpoints: Checkpoints,
) -> None:
    """Do the updates from `done` to the last, and record them."""
    points = latents.draw(config.seed, 0, config.samples.count, config.generator.latent)
    records = Records(
        workdir,
        step=done,
        steps=config.steps,
        batch_size=config.batch_size,
        every_steps=config.log.every_steps,
    )
    best = checkpoints.best()
    smallest = math.inf if best is None else best.distance

    def due(step: int, every_steps: int) -> bool:
        return step % every_steps == 0 or step == config.steps

    with closing(records), command.stop_signals() as stops:
        step = done
        while step < config.steps:
            count = updates_of_next_call(step, config)
            pixels = np.stack([next(batches) for _ in range(count)])
            state, metrics = compiled.steps(state, compiled.feed(pixels))
            step += count
            stop = bool(stops)  # once: a signal may come at any moment
            save = stop or due(step, config.checkpoints.every_steps)
            distance = None
            try:
                records.add(step, metrics)
                if due(step, config.samples.every_steps):
                    player = compiled.gather(state.generator)
                    records.add_pictures(step, sampler(player, points))
                if measure and due(step, config.evaluate.every_steps):
                    player = jax.block_until_ready(compiled.gather(state.generator))
                    begin = time.perf_counter()
                    distance, error = measure(player)
                    figures = {
                        quality.FRECHET: distance,
                        f"{quality.FRECHET}_error": error,
                    }
                    records.add_figures(step, figures, time.perf_counter() - begin)
                    save = save or distance < smallest
                    smallest = min(smallest, distance)
                if save:
                    # First what is recorded, then the checkpoint that vouches for it.
                    records.flush()
            except FloatingPointError as error:
                raise ValueError(
                    f"{error}; the last checkpoint in {workdir} is step "
                    f"{checkpoints.latest()}"
                ) from None
            if save:
                parts = _parts(compiled.gather(state))
                checkpoints.save(step, parts, batches, distance)
            if stop and step < config.steps:
                checkpoints.close()
                raise command.Stopped(
                    stops[0],
                    f"saved step {step} in {workdir}; the same command goes on there",
                )


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


def _networks(config: Config) -> tuple[Generator, Discriminator]:
    rngs = nnx.Rngs(config.seed)
    shape = {"size": config.size, "dtype": config.dtype, "rngs": rngs}
    return (
        Generator(**config.generator, **shape),
        Discriminator(**config.discriminator, **shape),
    )


def _batches(config: Config, pictures: Sequence[dict[str, Any]]) -> Any:
    return pipeline.batches(
        pictures,
        size=config.size,
        batch_size=config.batch_size,
        seed=config.seed,
        workers=config.data.workers,
        process=jax.process_index(),
        processes=jax.process_count(),
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
    others = {path.name for path in folder.iterdir()} - {UNFINISHED}
    if others and CONFIG not in others:
        raise ValueError(f"workdir must be empty or hold a run; {workdir} does neither")


def _check_same_run(workdir: str, config: Config) -> None:
    """See that the run in `workdir`, if any, was started with the same settings."""
    if not (Path(workdir) / CONFIG).exists():
        return
    there, here = _flat(read_config(workdir)), _flat(config)
    # A run from before there was evaluation has no distances that others could differ
    # from, if they were measured with another count.
    there.setdefault("evaluate.count", config.evaluate.count)
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
    memory.keep_freed()
    command.run(main)
