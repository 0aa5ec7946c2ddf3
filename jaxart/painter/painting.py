"""A whole painting, from the first stroke to the last refinement.

Stages of rounds (`rounds.py`) go from coarse to fine: the more strokes there are, the
smaller the next ones. What a stage paints depends on the strokes before it and on
nothing else, not even on how many there will be; so a painting that was stopped and
resumed is the same as one that was not. At the end all strokes are refined together
(`refinement.py`).

    >>> painting = paint(picture, Settings(strokes=1_000, ...))    # doctest: +SKIP
    >>> planes = canvas(painting, settings, 2_048, 2_048)          # doctest: +SKIP

Source: ctmakro, "Training of Artists".
"""

import math
import time
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Literal, NamedTuple, SupportsFloat

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int32, UInt8

from jaxart.drawing.medium import Medium
from jaxart.drawing.pigments import Pigment
from jaxart.drawing.strokes import PADDING, Canvas, StrokeBuffer, empty_buffer
from jaxart.painter import pruning, refinement, rounds
from jaxart.painter.distances import SquaredError
from jaxart.painter.problem import Problem, make_problem
from jaxart.painter.refinement import Objective
from jaxart.painter.settings import Settings


GROWTH = 1.15  # strokes after a stage, in strokes before it
ARTIST_GROWTH = 1.25  # the same for the artist, whose strokes are better chosen
MAX_EMPTY_STAGES = 3  # stages without a stroke after which painting ends
CAPACITY = 1_024  # capacity of a buffer is a multiple of this
REPAINT_STAGE = 10_000  # number of the first stage that paints what was pruned anew
PRUNE_INTERVAL = 30  # steps from one pruning to the next; whole calls
ROUGH_SCALE = 8.0  # of the height that refinement begins at: see `Problem`
ROUGH_SHARE = 3 / 4  # of the steps of a refinement, which are taken at that height
LATER_STEP_SCALE = 0.6  # of the refinements after the first, which should not undo it
STEPS_PER_CALL = 10  # of refinement


class Painting(NamedTuple):
    """A painting as its strokes; NumPy arrays throughout.

    Args:
        strokes: in the order in which they are drawn.
        seeds: pick their hairs, in [0, 1).
        greedy_strokes: before they were refined: what a painting is resumed from.
        greedy_seeds: pick their hairs.
        stages: in which stage each of them was painted, from 0 on; -1 for those that it
            began with, which a generator made.
    """

    strokes: Float32[np.ndarray, "n 8"]
    seeds: Float32[np.ndarray, " n"]
    greedy_strokes: Float32[np.ndarray, "m 8"]
    greedy_seeds: Float32[np.ndarray, " m"]
    stages: Int32[np.ndarray, " m"]

    @property
    def first_count(self) -> int:
        """Return how many strokes it began with."""
        return int((self.stages < 0).sum())


class Progress(NamedTuple):
    """How far a painting has come.

    Args:
        painting: so far.
        phase: painting or refining.
        step: strokes painted, or steps of refinement taken.
        total: of them.
        psnr: of the painting against the picture at the phase's size, in decibels; the
            last one at full size.
    """

    painting: Painting
    phase: Literal["painting", "refining"]
    step: int
    total: int
    psnr: float


def paint(
    picture: UInt8[np.ndarray, "h w 3"],
    settings: Settings,
    *,
    start: Painting | None = None,
    weights: Float32[np.ndarray, "h w"] | None = None,
    alpha: Float32[np.ndarray, "h w"] | None = None,
) -> Painting:
    """Return the finished painting of a picture; see `progress` and `Problem`."""
    *_, last = progress(make_problem(picture, settings, weights, alpha), start)
    return last.painting


def progress(problem: Problem, start: Painting | None = None) -> Iterator[Progress]:
    """Paint; yield after each stage, and after some steps of refinement.

    May be abandoned at any time. The last painting is the finished one; it has fewer
    strokes than asked for only if no stroke could lower the loss, or an end in decibels
    or seconds came first.

    Args:
        problem: what to paint, and how.
        start: a painting of the same problem, but for the number of strokes, to resume.
    """
    start_time = time.monotonic()
    settings, greedy = problem.settings, None
    start_strokes = _resume(settings, start)
    first_count = 0 if start is None else start.first_count
    for buffer, counts, psnr in _stages(problem, *start_strokes, settings.strokes):
        greedy = _greedy_painting(buffer, counts, settings.strokes, first_count)
        yield Progress(greedy, "painting", greedy.seeds.size, settings.strokes, psnr)
        out_of_time = (
            settings.seconds and time.monotonic() - start_time > settings.seconds
        )
        if out_of_time or (settings.psnr and psnr >= settings.psnr):
            break
    assert greedy, "there is always a stage"
    yield from _refine(problem, greedy)


def _resume(
    settings: Settings, start: Painting | None
) -> tuple[StrokeBuffer, list[int]]:
    """Return the strokes to begin with, and how many there were after each stage."""
    if start is None or not start.stages.size:
        return filled_buffer(settings.strokes), []
    # The last stage may not have been painted to its end.
    last = max(start.stages[-1], 0)
    counts = np.searchsorted(start.stages, np.arange(last), side="right").tolist()
    count = np.searchsorted(start.stages, last)
    strokes, seeds = start.greedy_strokes[:count], start.greedy_seeds[:count]
    return filled_buffer(settings.strokes, strokes, seeds), counts


def filled_buffer(
    max_strokes: int,
    strokes: Float[Array | np.ndarray, "n 8"] | None = None,
    seeds: Float[Array | np.ndarray, " n"] | None = None,
) -> StrokeBuffer:
    """Return a buffer with room for `max_strokes` and one stage more.

    It is filled with `strokes`.
    """
    empty = empty_buffer(CAPACITY * (-(-max_strokes // CAPACITY) + 1))
    if strokes is None or seeds is None:
        return empty
    count = len(strokes)
    return StrokeBuffer(
        empty.strokes.at[:count].set(strokes),
        empty.seeds.at[:count].set(seeds),
        jnp.int32(count),
    )


def _stages(
    problem: Problem,
    buffer: StrokeBuffer,
    counts: list[int],
    max_strokes: int,
    *,
    exactly: bool = False,
) -> Iterator[tuple[StrokeBuffer, list[int], float]]:
    """Paint stages until there are `max_strokes`; or, unless `exactly`, some more.

    Yields the strokes, how many there were after each stage, and the PSNR.
    """
    key = jax.random.key(problem.settings.seed)
    count, empty_stages = int(buffer.count), 0
    while True:
        stage_key = jax.random.fold_in(key, len(counts))
        growth = GROWTH if problem.predictor is None else ARTIST_GROWTH
        goal = math.ceil(growth * count) + 1
        goal = jnp.int32(min(goal, max_strokes) if exactly else goal)
        stage = problem.stage(count)
        buffer, error = rounds.paint_stage(buffer, stage_key, goal, stage)
        empty_stages = empty_stages + 1 if int(buffer.count) == count else 0
        count = int(buffer.count)
        counts = [*counts, count]
        yield buffer, counts, _decibels(error)
        if count >= max_strokes or empty_stages == MAX_EMPTY_STAGES:
            return


def _greedy_painting(
    buffer: StrokeBuffer, counts: list[int], max_strokes: int, first_count: int
) -> Painting:
    """Return a painting of at most `max_strokes` strokes, not refined."""
    count = min(int(buffer.count), max_strokes)
    strokes = np.asarray(buffer.strokes[:count]), np.asarray(buffer.seeds[:count])
    stages = np.searchsorted(counts, np.arange(count), side="right").astype(np.int32)
    stages[:first_count] = -1
    return Painting(*strokes, *strokes, stages)


def _decibels(error: SupportsFloat) -> float:
    return -10 * math.log10(max(float(error), 1e-12))


class _Refinement(NamedTuple):
    """A joint refinement of all strokes.

    Args:
        steps: how many.
        objectives: of most of its steps, and of the last ones.
        prune: share of the strokes that is replaced at first; see `Settings`.
        step_scale: factor of the learning rates.
    """

    steps: int
    objectives: tuple[Objective, Objective]
    prune: float
    step_scale: float


def _refine(problem: Problem, greedy: Painting) -> Iterator[Progress]:
    """Refine all strokes together, and yield the finished painting last."""
    painting, step = greedy, 0
    refinements = _refinements(problem)
    total = sum(refinement.steps for refinement in refinements)
    for phase in refinements:
        start = jnp.array(painting.strokes), jnp.array(painting.seeds)
        for strokes, seeds, count, error in _refine_steps(problem, *start, phase):
            painting = greedy._replace(
                strokes=np.asarray(strokes), seeds=np.asarray(seeds)
            )
            step += count
            yield Progress(painting, "refining", step, total, _decibels(error))
    psnr = _psnr(painting, problem)
    yield Progress(painting, "refining", total, total, psnr)


def _refinements(problem: Problem) -> list[_Refinement]:
    """Return the refinements of a painting: from quick and rough to slow and fine."""
    settings, distances = problem.settings, problem.distances
    squared_error = SquaredError(settings.emphasis)
    fine = problem.objective(problem.refined_height, squared_error)
    # For most steps a smaller picture does, where a stroke is a dozen pixels long: it
    # costs less than half.
    rough_height = problem.level_height(ROUGH_SCALE, settings.strokes)
    rough_height = min(rough_height, problem.refined_height)
    rough = problem.objective(rough_height, squared_error)
    phases = [_Refinement(settings.refine, (rough, fine), settings.prune, 1.0)]
    if settings.distance != "mse":
        half = fine._replace(distance=distances.half)
        whole = fine._replace(distance=distances.whole)
        phases += [
            _Refinement(settings.refine_half, (half, half), 0, LATER_STEP_SCALE),
            _Refinement(settings.refine_whole, (whole, whole), 0, LATER_STEP_SCALE),
        ]
    return phases


def _refine_steps(
    problem: Problem,
    strokes: Float[Array, "n 8"],
    seeds: Float[Array, " n"],
    phase: _Refinement,
) -> Iterator[tuple[Float[Array, "n 8"], Float[Array, " n"], int, Float[Array, ""]]]:
    """Refine; yield strokes, seeds, the steps just taken, and the squared error."""
    state = refinement.init_state(strokes, phase.step_scale)
    rough, fine = phase.objectives
    rough_calls = math.ceil(ROUGH_SHARE * phase.steps / STEPS_PER_CALL)
    for step in range(0, phase.steps, STEPS_PER_CALL):
        is_rough = step < rough_calls * STEPS_PER_CALL
        if phase.prune and is_rough and step and step % PRUNE_INTERVAL == 0:
            share = phase.prune * (1 - step / phase.steps)
            strokes, seeds = _prune(
                problem, rough, state.strokes, seeds, share, REPAINT_STAGE + step
            )
            state = refinement.init_state(strokes, phase.step_scale)
            state = state._replace(step=jnp.int32(step))
        count = min(STEPS_PER_CALL, phase.steps - step)
        state, error = refinement.refine(
            state,
            seeds,
            rough if is_rough else fine,
            jnp.int32(phase.steps),
            count=count,
        )
        yield state.strokes, seeds, count, error


def _prune(
    problem: Problem,
    objective: Objective,
    strokes: Float[Array, "n 8"],
    seeds: Float[Array, " n"],
    share: float,
    stage: int,
) -> tuple[Float[Array, "m 8"], Float[Array, " m"]]:
    """Drop the strokes that lower the error least, and paint as many over the rest.

    There are fewer where no stroke brings the painting closer to the picture.
    `stage` is the number of the first stage that paints them.
    """
    count = len(strokes)
    rises = pruning.error_rises(strokes, seeds, objective)
    kept = np.sort(np.argsort(rises, stable=True)[round(share * count) :])
    buffer = filled_buffer(count, strokes[kept], seeds[kept])
    stages = _stages(problem, buffer, [0] * stage, count, exactly=True)
    *_, (buffer, _, _) = stages
    count = min(count, int(buffer.count))
    return buffer.strokes[:count], buffer.seeds[:count]


def canvas(
    painting: Painting,
    settings: Settings,
    height: int,
    width: int,
    *,
    resolution: float | int | None = None,
    transparent: bool = False,
) -> Float32[np.ndarray, "c h w"]:
    """Draw a painting: sRGB in [0, 1], and the thickness of the paint in [0, 1].

    Args:
        painting: of any number of strokes.
        settings: what it was painted with.
        height: of the canvas, in pixels.
        width: of the canvas, in pixels; in heights, that of the picture.
        resolution: pixels in one height of the picture, of which that of the canvas may
            be a rounding; None for the latter.
        transparent: draw on nothing instead of the ground; a fifth plane is then the
            opacity of the paint.
    """
    *_, last = frames(
        painting,
        settings,
        height,
        width,
        1,
        resolution=resolution,
        transparent=transparent,
    )
    return last


def frames(
    painting: Painting,
    settings: Settings,
    height: int,
    width: int,
    count: int,
    *,
    resolution: float | int | None = None,
    transparent: bool = False,
) -> Iterator[Float32[np.ndarray, "c h w"]]:
    """Yield the canvas as it grows, `count` times; see `canvas`."""
    medium = settings.medium
    n = len(painting.strokes)
    strokes = np.concatenate([painting.strokes, PADDING[None]])
    seeds = np.append(painting.seeds, np.float32(0))
    if transparent:
        planes = jnp.zeros((5, height, width))
    else:
        blank = medium.blank(np.asarray(settings.ground, np.float32), height, width)
        planes = jnp.pad(blank, ((0, 1), (0, 0), (0, 0)))
    # The numbers of new strokes differ by one; filled up, they share a program.
    per_frame = max(1, -(-n // count))
    for first, end in pairwise([0, *frame_ends(n, count)]):
        part = np.full(per_frame, n)
        part[: end - first] = np.arange(first, end)
        planes = _draw(
            planes, strokes[part], seeds[part], medium, resolution=resolution or height
        )
        yield np.asarray(_to_srgb(planes, pigment=medium.pigment))


def frame_ends(strokes: int, count: int) -> list[int]:
    """Return how many strokes there are in each of a film's frames.

    >>> frame_ends(5, 3)
    [1, 3, 5]
    """
    return [strokes * frame // count for frame in range(1, count + 1)]


# Static: a division by a constant need not have the bits of one by an argument.
@partial(jax.jit, donate_argnums=0, static_argnames="resolution")
def _draw(
    planes: Canvas,
    strokes: Float[Array, "n 8"],
    seeds: Float[Array, " n"],
    medium: Medium,
    *,
    resolution: float | int,
) -> Canvas:
    return medium.draw(planes, strokes, seeds, resolution=resolution)


@partial(jax.jit, static_argnames="pigment")
def _to_srgb(planes: Canvas, *, pigment: Pigment) -> Canvas:
    colours = planes[:3]
    if len(planes) == 5:
        colours /= jnp.maximum(planes[4:], 1e-6)  # of the paint alone
    srgb = jnp.clip(pigment.to_srgb(colours), 0, 1)
    return jnp.concatenate([srgb, jnp.clip(planes[3:], 0, 1)])


def _psnr(painting: Painting, problem: Problem) -> float:
    picture, alpha = problem.picture, problem.alpha
    image = canvas(painting, problem.settings, *picture.shape[:2])[:3]
    error = (image - np.moveaxis(picture, 2, 0) / np.float32(255)) ** 2
    return _decibels(
        error.mean() if alpha is None else (error * alpha).mean() / alpha.mean()
    )
