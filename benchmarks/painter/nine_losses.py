"""The losses of a round that finite differences need, in four ways.

For all strokes of one round at the picture's own size: all nine losses of every stroke
in one call; nine calls one after another, each with one loss of every stroke; nine
calls for each stroke by itself; and the nine of a stroke in one call, but on the full
canvas. The last two are timed for some strokes and scaled to the whole round. All
find the same gradients: "off by" is how far they disagree at most, in shares of the
largest difference between two losses.
"""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int
from painter.clock import time_call
from painter.options import Options
from painter.pictures import Pixels
from painter.tables import STROKES, Column, Row, summary
from timing import ratio

from jaxart.drawing.strokes import Canvas, empty_buffer
from jaxart.painter import gradients, rounds
from jaxart.painter.distances import Distance
from jaxart.painter.problem import make_problem
from jaxart.painter.rounds import Crop, Round, Stage
from jaxart.painter.settings import Settings


NINE = (
    Column("distance", "distance", 10),
    Column("way", "nine losses of a round", 34),
    STROKES,
    Column("seconds", "s/round", 10, ".4f"),
    Column("spread", "spread", 9, ".4f"),
    Column("times_batched", "times one call", 16, ".2f"),
    Column("off_by", "off by", 10, ".1e"),
)


class Task(NamedTuple):
    """A round of strokes, and what their losses depend on.

    Args:
        canvas: of the level, in paint space.
        stage: what is painted.
        corners: of the strokes' windows.
        seeds: of their hairs.
        strokes: whose gradients are computed.
        step_sizes: distances to the neighbours of a stroke.
        crops: of each stroke.
        targets: the distance's features of the picture, crop by crop.
        target: its features of the whole picture.
        weights: of the whole picture, and of what is around it.
    """

    canvas: Canvas
    stage: Stage
    corners: Int[Array, "k 2"]
    seeds: Float[Array, " k"]
    strokes: Float[Array, "k 8"]
    step_sizes: Float[Array, " 8"]
    crops: Crop
    targets: Any
    target: Any
    weights: Float[Array, "h w"]


class Area(NamedTuple):
    """Where in the arrays of a level the picture is, with one margin around it."""

    rows: tuple[int, int]
    columns: tuple[int, int]

    def crop(self, planes: Float[Array, "*c h w"]) -> Float[Array, "*c h2 w2"]:
        """Return that part of some planes."""
        return planes[..., slice(*self.rows), slice(*self.columns)]


def nine_losses(picture: Pixels, settings: Settings, options: Options) -> list[Row]:
    """Time four ways to the losses that finite differences need, for one round."""
    task, area = make_task(picture, settings)
    count = len(task.seeds)
    some = min(count, options.some)
    single_tasks = [single_task(task, k) for k in range(some)]

    def stroke_by_stroke() -> Float[Array, "k 8"]:
        return jnp.concatenate([one_after_another(task) for task in single_tasks])

    def on_full_canvas() -> Float[Array, "k 8"]:
        return jnp.stack([full_canvas(task, k, area=area) for k in range(some)])

    ways = {
        "one call": (lambda: at_once(task), 1.0),
        "nine calls": (lambda: one_after_another(task), 1.0),
        f"nine calls a stroke (from {some})": (stroke_by_stroke, count / some),
        f"full canvas (from {some} strokes)": (on_full_canvas, count / some),
    }
    grads = {name: way() for name, (way, _) in ways.items()}
    seconds = {name: [] for name in ways}
    for _ in range(options.repeats):
        for name, (way, scale) in ways.items():
            seconds[name].append(scale * time_call(way))
    expected = grads["one call"] * task.step_sizes
    return [
        {
            "what": "nine losses",
            "distance": settings.distance,
            "way": name,
            "strokes": count,
            **summary(times),
            "times_batched": ratio(times, seconds["one call"]),
            "off_by": float(
                jnp.abs(
                    grads[name] * task.step_sizes - expected[: len(grads[name])]
                ).max()
                / jnp.abs(expected).max()
            ),
        }
        for name, times in seconds.items()
    ]


def single_task(task: Task, k: int) -> Task:
    """Return the task of one stroke of a round."""
    parts = (task.corners, task.seeds, task.strokes, task.crops, task.targets)
    corners, seeds, strokes, crops, targets = jax.tree.map(
        lambda array: array[k : k + 1], parts
    )
    return task._replace(
        corners=corners, seeds=seeds, strokes=strokes, crops=crops, targets=targets
    )


def make_task(picture: Pixels, settings: Settings) -> tuple[Task, Area]:
    """Begin a round on an empty canvas, at the picture's own size."""
    # So many strokes that no level is finer.
    stage = make_problem(picture, settings).stage(picture.size)
    level, layout = stage.level, stage.options.layout
    canvas = rounds.draw_level(empty_buffer(1), stage)
    one_step = stage._replace(options=replace(stage.options, steps=1))
    new_strokes = _paint_round(canvas, one_step)
    border, margin = layout.border, layout.margin
    area = Area(*((border - margin, border + int(n) + margin) for n in level.size))
    crop_window = functools.partial(rounds.crop_window, canvas, stage)
    crops = jax.vmap(crop_window)(new_strokes.corners, new_strokes.seeds)
    scales = jnp.array(rounds.SCALES)
    task = Task(
        canvas,
        stage,
        new_strokes.corners,
        new_strokes.seeds,
        new_strokes.strokes,
        gradients.DIFFERENCE_STEP * scales.at[:4].divide(level.resolution),
        crops,
        _features(stage.distance, crops.picture[:, None]),
        stage.distance.features(area.crop(jnp.asarray(level.picture))[None]),
        area.crop(jnp.asarray(level.weights)),
    )
    return task, area


@jax.jit
def _paint_round(canvas: Canvas, stage: Stage) -> Round:
    goal = jnp.int32(rounds.MAX_WINDOWS)
    return rounds.paint_round(canvas, jax.random.key(0), goal, stage)


@jax.jit
def _features(distance: Distance, pictures: Float[Array, "k 1 3 side side"]) -> Any:
    return lax.map(distance.features, pictures)


@jax.jit
def at_once(task: Task) -> Float[Array, "k 8"]:
    """Return the gradients of all strokes, from nine losses of each in one call."""

    def gradient(row):
        crop, target, stroke = row
        losses = functools.partial(rounds.losses, crop, target, task.stage)
        return gradients.finite_differences(losses, task.step_sizes)(stroke)[1]

    return _map(gradient, task, task.strokes)


def one_after_another(task: Task) -> Float[Array, "k 8"]:
    """Return the gradients of all strokes, from nine calls with one loss of each."""
    neighbours = [
        task.strokes,
        *(task.strokes + one for one in jnp.diag(task.step_sizes)),
    ]
    first, *others = [losses_of_round(task, strokes) for strokes in neighbours]
    return (jnp.stack(others, axis=1) - first[:, None]) / task.step_sizes


@jax.jit
def losses_of_round(task: Task, strokes: Float[Array, "k 8"]) -> Float[Array, " k"]:
    """Return one loss of each stroke."""

    def loss(row):
        crop, target, stroke = row
        return rounds.losses(crop, target, task.stage, stroke[None])[0]

    return _map(loss, task, strokes)


def _map(
    function: Callable[[Any], Array], task: Task, strokes: Float[Array, "k 8"]
) -> Float[Array, "k ..."]:
    """Apply a function to all strokes, in batches as large as the painter's."""
    batch = rounds.batch_size(len(strokes), task.stage)
    return lax.map(function, (task.crops, task.targets, strokes), batch_size=batch)


@functools.partial(jax.jit, static_argnames="area")
def full_canvas(task: Task, k: int, *, area: Area) -> Float[Array, " 8"]:
    """Return the gradient of one stroke, from nine losses of the whole picture."""
    corner, seed = task.corners[k][None], task.seeds[k][None]

    def with_stroke(stroke):
        one = Round(corner, stroke[None], seed, jnp.ones(1), jnp.ones(1, bool))
        return area.crop(rounds.composite_round(task.canvas, one, task.stage))

    def losses(strokes):
        canvases = jax.vmap(with_stroke)(strokes)
        srgb = task.stage.options.medium.pigment.to_srgb(canvases.swapaxes(0, 1))
        features = task.stage.distance.features(srgb.swapaxes(0, 1))
        target, weights = jax.tree.map(
            lambda array: jnp.broadcast_to(array, (len(strokes), *array.shape[1:])),
            (task.target, task.weights[None]),
        )
        return task.stage.distance.loss(features, target, weights)

    return gradients.finite_differences(losses, task.step_sizes)(task.strokes[k])[1]
