"""The loop of a training run: updates, and what a person is to see and keep of them.

Source: Beyers and Loane, "Generating Novel Works of Art Using Generative Adversarial
Networks", section 3.3.
"""

import contextlib
import math
import operator
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
from jaxtyping import PyTree

from jaxart import command, processes
from jaxart.checkpoints import Checkpoints
from jaxart.command import Config
from jaxart.gan import devices, latents, quality, run_dir
from jaxart.gan.update import NetworkState, TrainState
from jaxart.metrics import Estimate
from jaxart.records import Pace, Records


Measure = Callable[[NetworkState], Estimate]  # of the distance from the dataset


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
    measure: Measure | None
    points: latents.Points


def go_on(
    config: Config,
    workdir: str,
    runs: list[Run],
    *,
    state: TrainState,
    done: int,
    take: Callable[[int], devices.Fed],
    compiled: devices.Compiled,
    sampler: latents.Sampler,
) -> Pace:
    """Do the updates from `done` to the last, and record them.

    Args:
        config: of all seeds.
        workdir: folder of the whole run.
        runs: of each seed.
        state: after `done` updates, on the devices.
        done: updates that were done before.
        take: returns what so many updates are fed.
        compiled: the updates.
        sampler: of the generator.

    Returns:
        How fast it went.

    Raises:
        ValueError: a loss is not a finite number.
        Stopped: a signal asked for it, and the state is saved.
    """

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
                found = _measured(runs, step, players)
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


def _save(
    runs: list[Run],
    step: int,
    states: list[TrainState],
    distances: Sequence[float | None],
) -> None:
    for run in runs:
        # A seed may forget a step only when all others have a later one.
        assert run.checkpoints is not None
        run.checkpoints.wait()
    for run, state, distance in zip(runs, states, distances, strict=True):
        assert run.checkpoints is not None
        run.checkpoints.save(step, run_dir.to_parts(state), distance)


def _measured(runs: list[Run], step: int, players: list[NetworkState]) -> list[float]:
    """Return the distance of each, and record it."""
    begin = time.perf_counter()
    found = []
    for run, player in zip(runs, players, strict=True):
        assert run.measure is not None
        found.append(run.measure(player))
    seconds = time.perf_counter() - begin
    for run, (distance, error) in zip(runs, found, strict=True):
        figures = {quality.FRECHET: distance, f"{quality.FRECHET}_error": error}
        run.records.add_figures(step, figures, seconds)
    return [distance for distance, _ in found]


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
