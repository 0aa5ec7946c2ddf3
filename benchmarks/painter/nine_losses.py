"""The losses of a round that finite differences need, in four ways.

For all strokes of one round at the picture's own size: all nine losses of every stroke
in one call; nine calls one after another, each with one loss of every stroke; nine
calls for each stroke by itself; and the nine of a stroke in one call, but on the full
canvas. The last two are timed for some strokes and counted up to the whole round. All
find the same slopes: "off by" is how far they disagree at most, in shares of the
largest difference between two losses.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int
from painter.clock import seconds_of
from painter.options import Options
from painter.pictures import Pixels
from painter.tables import STROKES, Column, Row, summary
from timing import ratio

from jaxart.painter import rounds, slopes, studio
from jaxart.painter.distances import Distance
from jaxart.painter.placement import Level
from jaxart.painter.rounds import Round, Tools
from jaxart.painter.settings import Settings
from jaxart.painter.strokes import Canvas


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
    """A round of strokes, and what is needed to judge them.

    Args:
        canvas: of the level, in paint space.
        level: the picture.
        distance: what is measured.
        corners: of the strokes' windows.
        seeds: of their hairs.
        points: the strokes.
        nudges: to the neighbours of a stroke.
        windows: what each stroke needs to know.
        targets: what the distance sees of the picture, window by window.
        target: what it sees of the whole picture.
        counts: weights of the whole picture, and of what is around it.
    """

    canvas: Canvas
    level: Level
    distance: Distance
    corners: Int[Array, "k 2"]
    seeds: Float[Array, " k"]
    points: Float[Array, "k 8"]
    nudges: Float[Array, " 8"]
    windows: Any
    targets: Any
    target: Any
    counts: Float[Array, "h w"]


class Area(NamedTuple):
    """Where in the arrays of a level the picture is, with one margin around it."""

    rows: tuple[int, int]
    columns: tuple[int, int]

    def of(self, planes: Float[Array, "*c h w"]) -> Float[Array, "*c h2 w2"]:
        """Cut it out."""
        return planes[..., slice(*self.rows), slice(*self.columns)]


def nine_losses(picture: Pixels, settings: Settings, options: Options) -> list[Row]:
    """Time four ways to the losses that finite differences need, for one round."""
    task, tools, area = prepared(picture, settings)
    count = len(task.seeds)
    some = min(count, options.some)
    alone = [only(task, number) for number in range(some)]

    def stroke_by_stroke() -> Float[Array, "k 8"]:
        return jnp.concatenate([one_after_another(one, tools=tools) for one in alone])

    def on_full_canvas() -> Float[Array, "k 8"]:
        found = [full_canvas(task, k, tools=tools, area=area) for k in range(some)]
        return jnp.stack(found)

    ways = {
        "one call": (lambda: at_once(task, tools=tools), 1.0),
        "nine calls": (lambda: one_after_another(task, tools=tools), 1.0),
        f"nine calls a stroke (from {some})": (stroke_by_stroke, count / some),
        f"full canvas (from {some} strokes)": (on_full_canvas, count / some),
    }
    found = {name: way() for name, (way, _) in ways.items()}
    turns = {name: [] for name in ways}
    for _ in range(options.repeats):
        for name, (way, share) in ways.items():
            turns[name].append(share * seconds_of(way))
    right = found["one call"] * task.nudges
    return [
        {
            "what": "nine losses",
            "distance": settings.distance,
            "way": name,
            "strokes": count,
            **summary(times),
            "times_batched": ratio(times, turns["one call"]),
            "off_by": float(
                jnp.abs(found[name] * task.nudges - right[: len(found[name])]).max()
                / jnp.abs(right).max()
            ),
        }
        for name, times in turns.items()
    ]


def only(task: Task, number: int) -> Task:
    """Return the task of one stroke of a round."""
    parts = (task.corners, task.seeds, task.points, task.windows, task.targets)
    corners, seeds, points, windows, targets = jax.tree.map(
        lambda array: array[number : number + 1], parts
    )
    return task._replace(
        corners=corners, seeds=seeds, points=points, windows=windows, targets=targets
    )


def prepared(picture: Pixels, settings: Settings) -> tuple[Task, Tools, Area]:
    """Begin a round on an empty canvas, at the picture's own size."""
    made = studio.opened(picture, None, settings)
    distance = made.distances.rounds
    level, tools = made.view(picture.size)  # so many strokes that no level is finer
    at = tools.layout
    ground = jnp.array(settings.ground)
    canvas = rounds.drawn(rounds.nothing(1), level, ground, tools)
    started = _round(canvas, level, distance, tools=tools._replace(steps=1))
    area = Area(
        *((at.edge - at.margin, at.edge + int(n) + at.margin) for n in level.size)
    )
    windows = jax.vmap(
        functools.partial(rounds.cut_out, canvas, level, distance, tools)
    )(started.corners, started.seeds)
    scales = jnp.array(rounds.SCALES)
    task = Task(
        canvas,
        level,
        distance,
        started.corners,
        started.seeds,
        started.numbers,
        slopes.NUDGE * scales.at[:4].divide(level.pixels),
        windows,
        _seen(distance, windows.picture[:, None]),
        distance.see(area.of(jnp.asarray(level.picture))[None]),
        area.of(jnp.asarray(level.weights)),
    )
    return task, tools, area


@functools.partial(jax.jit, static_argnames="tools")
def _round(canvas: Canvas, level: Level, distance: Distance, *, tools: Tools) -> Round:
    wanted = jnp.int32(rounds.AT_ONCE)
    return rounds.one_round(canvas, level, jax.random.key(0), wanted, distance, tools)


@jax.jit
def _seen(distance: Distance, pictures: Float[Array, "k 1 3 side side"]) -> Any:
    return lax.map(distance.see, pictures)


@functools.partial(jax.jit, static_argnames="tools")
def at_once(task: Task, *, tools: Tools) -> Float[Array, "k 8"]:
    """Return the slopes of all strokes, from nine losses of each in one call."""

    def slope(given):
        window, target, point = given
        judged = functools.partial(_judged, task, tools, window, target)
        return slopes.finite_differences(judged, point, task.nudges)[1]

    return _mapped(slope, task, task.points, tools)


def one_after_another(task: Task, *, tools: Tools) -> Float[Array, "k 8"]:
    """Return the slopes of all strokes, from nine calls with one loss of each."""
    nudged = [task.points, *(task.points + one for one in jnp.diag(task.nudges))]
    first, *others = [losses(task, points, tools=tools) for points in nudged]
    return (jnp.stack(others, axis=1) - first[:, None]) / task.nudges


@functools.partial(jax.jit, static_argnames="tools")
def losses(
    task: Task, points: Float[Array, "k 8"], *, tools: Tools
) -> Float[Array, " k"]:
    """Return one loss of each stroke."""

    def loss(given):
        window, target, point = given
        return _judged(task, tools, window, target, point[None])[0]

    return _mapped(loss, task, points, tools)


def _mapped(
    function: Callable[[Any], Array],
    task: Task,
    points: Float[Array, "k 8"],
    tools: Tools,
) -> Float[Array, "k ..."]:
    """Apply a function to all strokes, in portions as large as the painter's."""
    batch = rounds.batch_size(len(points), task.distance, tools)
    return lax.map(function, (task.windows, task.targets, points), batch_size=batch)


def _judged(
    task: Task, tools: Tools, window: Any, target: Any, points: Float[Array, "m 8"]
) -> Float[Array, " m"]:
    """Return the losses of a window with each of some strokes on it."""
    canvases = rounds.painted(window, points, task.level.pixels, tools)
    return rounds.judged(canvases, target, window.counts, task.distance, tools.pigment)


@functools.partial(jax.jit, static_argnames=("tools", "area"))
def full_canvas(
    task: Task, number: int, *, tools: Tools, area: Area
) -> Float[Array, " 8"]:
    """Return the slope of one stroke, from nine losses of the whole picture."""
    corner, seed = task.corners[number][None], task.seeds[number][None]

    def laid(point):
        one = Round(corner, point[None], seed, jnp.ones(1), jnp.ones(1, bool))
        return area.of(rounds.put(task.canvas, one, task.level, tools))

    def judged(points):
        canvases = jax.vmap(laid)(points)
        return rounds.judged(
            canvases, task.target, task.counts, task.distance, tools.pigment
        )

    return slopes.finite_differences(judged, task.points[number], task.nudges)[1]
