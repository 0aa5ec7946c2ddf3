"""The loop of a training run: updates, samples, metrics and checkpoints.

Source: Beyers and Loane, "Generating Novel Works of Art Using Generative Adversarial
Networks", section 3.3.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float32, PyTree, UInt8

from jaxart import command, processes
from jaxart.checkpoints import Checkpoints
from jaxart.drawing.strokes import POSITION
from jaxart.gan import collapse, feature_metrics, latents, run_dir, run_metrics
from jaxart.gan.parallel import ParallelUpdate
from jaxart.gan.run_log import RunLog, Speed
from jaxart.gan.settings import Settings
from jaxart.gan.update import NetworkState, TrainState
from jaxart.metrics import Estimate, frechet_distance


class Measured(NamedTuple):
    """What is measured of a generator's samples."""

    distance: Estimate  # Fréchet distance from the dataset
    spread: float  # of their features over that of the dataset's; see `collapse`
    # Of the places of strokes: the standard deviation of each stroke's place over the
    # samples, in the mean, as a share of the side; None for pixels.
    place_spread: float | None = None


DistanceFn = Callable[[NetworkState], Measured]


class RunOutputs(NamedTuple):
    """Where the results of a run go."""

    log: RunLog  # metrics and samples
    checkpoints: Checkpoints | None  # None in all processes but the first
    sampler: latents.Sampler  # draws samples; see `latents`
    # Measures the Fréchet distance of samples from the dataset, and their spread; None
    # if it is not asked for, and in all processes but the first.
    distance_fn: DistanceFn | None


def train_loop(
    settings: Settings,
    workdir: str,
    outputs: RunOutputs,
    *,
    state: TrainState,
    start_step: int,
    dataset: PyTree,
    next_batches: Callable[[int], PyTree[Array]],
    updates: ParallelUpdate,
) -> Speed:
    """Do the updates from `start_step`, after which `state` is, to the last.

    Args:
        settings: of the run.
        workdir: its folder, for messages.
        outputs: where results go.
        state: on the devices.
        start_step: updates that were done before.
        dataset: on the devices, or None; see `ParallelUpdate.run`.
        next_batches: takes a number of updates, returns their batches, sharded.
        updates: compiled for the devices.

    Raises:
        ValueError: a loss is not a finite number.
        Stopped: a signal asked for it, and the state is saved.
    """

    def is_due(step: int, every_steps: int) -> bool:
        return step % every_steps == 0 or step == settings.steps

    log, checkpoints, sampler, distance_fn = outputs
    points = latents.sample_points(
        settings, settings.seed, range(settings.samples.count)
    )
    best = checkpoints.best() if checkpoints else None
    best_distance = math.inf if best is None else best.distance
    history = _measurements(workdir) if distance_fn else []
    step = start_step
    with (
        processes.stop_signals() as stop_signal,
        _naming_last_checkpoint(checkpoints, workdir),
    ):
        while step < settings.steps:
            count = updates_of_next_call(step, settings)
            with log.timing_input():
                batches = next_batches(count)
            state, metrics = updates.run(state, dataset, batches)
            step += count
            stop = stop_signal()  # once: a signal may come at any moment
            log.add_metrics(step, metrics)
            if checkpoints and is_due(step, settings.samples.every_steps):
                generator = updates.unreplicate(state.sampling())
                log.add_samples(step, sampler(generator, points))
            distance = None
            if distance_fn and is_due(step, settings.evaluate.every_steps):
                generator = updates.unreplicate(state.sampling())
                history.append(_log_distance(log, step, distance_fn, generator))
                distance = history[-1].distance
            is_best = distance is not None and distance < best_distance
            best_distance = min(
                best_distance, math.inf if distance is None else distance
            )
            if distance is not None and (sign := collapse.new_sign(history)):
                log.say(_collapse_text(step, sign, checkpoints))
            if stop or is_best or is_due(step, settings.checkpoints.every_steps):
                # The log first: a checkpoint implies that its lines are written.
                log.flush()
                if checkpoints:
                    parts = run_dir.to_parts(updates.unreplicate(state))
                    checkpoints.save(step, parts, distance)
            if stop and step < settings.steps:
                if checkpoints:
                    checkpoints.wait()
                raise command.Stopped(
                    stop,
                    f"saved step {step} in {workdir}; the same command goes on there",
                )
        return log.speed(settings.steps)


def updates_of_next_call(step: int, settings: Settings) -> int:
    """Return how many updates to do after `step` in one compiled call.

    As many as `settings.steps_per_call`, unless the loop has something to do before
    these are done: then one at a time up to there, so that no third number of updates
    has to be compiled.
    """
    next_stops = [
        step + every_steps - step % every_steps
        for every_steps in (
            settings.samples.every_steps,
            settings.checkpoints.every_steps,
            settings.evaluate.every_steps,
        )
        if every_steps
    ]
    steps_to_next_event = min(*next_stops, settings.steps) - step
    return (
        settings.steps_per_call if settings.steps_per_call <= steps_to_next_event else 1
    )


def make_distance_fn(
    settings: Settings,
    sampler: latents.Sampler,
    stroke_sampler: latents.StrokeSampler | None,
    crops: UInt8[np.ndarray, "n h w 3"],
    conditions: Float32[np.ndarray, "m c"] | None,
    cache_dir: Path,
) -> DistanceFn:
    """Return the function that measures the Fréchet distance of samples from crops.

    It takes a generator's state, and draws as many samples, with conditions of the
    dataset's pictures, if they have any. It measures their spread as well, and with a
    `stroke_sampler` that of the strokes of the first ones. Features of the crops are
    cached in `cache_dir`.
    """
    extractor = feature_metrics.vgg_extractor()
    real = feature_metrics.extract_features(
        extractor, crops, "VGG16, dataset", cache_dir
    ).values
    points = latents.points_like(settings, settings.seed, len(crops), conditions)

    def distance(generator: NetworkState) -> Measured:
        samples = np.concatenate([*latents.sample_pictures(sampler, generator, points)])
        fake = feature_metrics.extract_features(
            extractor, samples, "VGG16, samples"
        ).values
        spread = fake.std(axis=0).mean() / real.std(axis=0).mean()
        place_spread = None
        if stroke_sampler is not None:
            painted = stroke_sampler(generator, points[: latents.BATCH_SIZE])
            places = painted.strokes[..., POSITION]
            place_spread = float(places.std(axis=0).mean())
        return Measured(frechet_distance(real, fake), float(spread), place_spread)

    return distance


def _log_distance(
    log: RunLog,
    step: int,
    distance_fn: DistanceFn,
    generator: NetworkState,
) -> collapse.Measurement:
    """Return the distance and the spread of the generator's samples, and log them."""
    generator = jax.block_until_ready(generator)
    start = time.perf_counter()
    (distance, error), spread, place_spread = distance_fn(generator)
    scalars = {
        feature_metrics.FRECHET_KEY: distance,
        f"{feature_metrics.FRECHET_KEY}_error": error,
        collapse.SPREAD_KEY: spread,
    }
    if place_spread is not None:
        scalars["place_spread"] = place_spread
    log.add_scalars(step, scalars, time.perf_counter() - start)
    return collapse.Measurement(step, distance, spread)


def _measurements(workdir: str) -> list[collapse.Measurement]:
    """Return what a run has measured so far; nothing if its metrics are gone."""
    try:
        return collapse.measurements(run_metrics.read(workdir))
    except ValueError:
        return []


def _collapse_text(step: int, sign: str, checkpoints: Checkpoints | None) -> str:
    best = checkpoints.best() if checkpoints else None
    advice = "" if best is None else f"; --from_step={best.step} returns to the best"
    return f"step {step}: collapsed? {sign}{advice}"


@contextlib.contextmanager
def _naming_last_checkpoint(
    checkpoints: Checkpoints | None, workdir: str
) -> Iterator[None]:
    try:
        yield
    except FloatingPointError as error:
        last = checkpoints.latest() if checkpoints else "with process 0"
        raise ValueError(
            f"{error}; the last checkpoint in {workdir} is step {last}"
        ) from None
