"""A whole painting, from the first stroke to the last refinement.

Stages of rounds (`rounds.py`) go from coarse to fine: the more strokes there are, the
smaller the next ones. What a stage does depends on the strokes before it and on nothing
else, not even on how many there will be; so a painting that stopped goes on as if it
never had. At the end all strokes are refined together (`refinement.py`).

    >>> painting = paint(picture, Settings(strokes=1_000, ...))    # doctest: +SKIP
    >>> planes = canvas(painting, settings, 2_048, 2_048)          # doctest: +SKIP

Source: the seed essay, "Training of Artists".
"""

import math
import time
from collections.abc import Iterator
from functools import partial
from typing import Literal, NamedTuple, SupportsFloat

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int32, UInt8

from jaxart.painter import refinement, rounds, studio
from jaxart.painter.brushes import BRUSHES, Brush
from jaxart.painter.distances import Distance, SquaredError
from jaxart.painter.pigments import PIGMENTS, Pigment
from jaxart.painter.refinement import Scene
from jaxart.painter.rounds import Laid
from jaxart.painter.settings import Settings
from jaxart.painter.strokes import NOTHING, Canvas, Numbers, Strokes, draw
from jaxart.painter.studio import Studio


GROWTH = 1.15  # strokes after a stage, in strokes before it
BARREN = 3  # stages without a stroke, after which there is nothing left to paint
ROOM = 1_024  # strokes by which the arrays grow
AGAIN = 10_000  # number of the first stage that paints over refined strokes
ROUGH = 16.0  # height of the picture that refinement begins with, in roots of strokes
GENTLE = 0.6  # pace of the descents after the first, which should not undo it
TOGETHER = 10  # steps of refinement in one call


class Painting(NamedTuple):
    """A painting as its strokes; NumPy arrays throughout.

    Args:
        strokes: in the order in which they are laid.
        seeds: pick their hairs, in [0, 1).
        laid: the strokes before they were refined: what a painting is gone on with.
        laid_seeds: pick their hairs.
        stages: in which stage each of them was laid, from 0 on.
    """

    strokes: Strokes
    seeds: Float32[np.ndarray, " n"]
    laid: Strokes
    laid_seeds: Float32[np.ndarray, " m"]
    stages: Int32[np.ndarray, " m"]


class Progress(NamedTuple):
    """How far a painting has come.

    Args:
        painting: so far.
        phase: what it is at.
        done: strokes laid, or steps of refinement done.
        total: of them.
        psnr: how close the painting comes to the picture, in decibels, as seen by the
            phase; the last one at full size.
    """

    painting: Painting
    phase: Literal["painting", "refining"]
    done: int
    total: int
    psnr: float


def paint(
    picture: UInt8[np.ndarray, "h w 3"],
    settings: Settings,
    *,
    start: Painting | None = None,
    weights: Float32[np.ndarray, "h w"] | None = None,
) -> Painting:
    """Paint a picture; see `progress`."""
    *_, last = progress(picture, settings, start=start, weights=weights)
    return last.painting


def progress(
    picture: UInt8[np.ndarray, "h w 3"],
    settings: Settings,
    *,
    start: Painting | None = None,
    weights: Float32[np.ndarray, "h w"] | None = None,
) -> Iterator[Progress]:
    """Paint a picture; yield after each stage, and after some steps of refinement.

    May be abandoned at any time. The last painting is the finished one; it has fewer
    strokes than asked for only if no stroke could better it, or an end in decibels or
    seconds came first.

    Args:
        picture: what to paint.
        settings: how.
        start: a painting of the same picture with the same settings, but for the number
            of strokes, to go on with.
        weights: how much each pixel counts, from 0 on.

    Raises:
        ValueError: a file of weights of VGG16 cannot be used.
    """
    # Not a generator itself, so that a bad file is met before anything is shown.
    return _progress(studio.opened(picture, weights, settings), start)


def _progress(made: Studio, start: Painting | None) -> Iterator[Progress]:
    begun = time.monotonic()
    settings = made.settings
    first = None
    for laid, stages, psnr in _stages(made, _begin(settings, start)):
        first = _painting(laid, laid, stages, settings.strokes)
        yield Progress(first, "painting", first.seeds.size, settings.strokes, psnr)
        late = settings.seconds and time.monotonic() - begun > settings.seconds
        if late or (settings.psnr and psnr >= settings.psnr):
            break
    assert first, "there is always a stage"
    yield from _refined(made, first)


def _begin(settings: Settings, start: Painting | None) -> tuple[Laid, list[int]]:
    """Return the strokes to begin with, and how many there were after each stage."""
    room = ROOM * (-(-settings.strokes // ROOM) + 1)
    laid = rounds.nothing(room)
    if start is None or not start.stages.size:
        return laid, []
    # The last stage may not have been painted to its end.
    stages = [int((start.stages <= k).sum()) for k in range(start.stages[-1])]
    count = stages[-1] if stages else 0
    numbers = np.stack(start.laid, axis=1)[:count]
    return Laid(
        laid.numbers.at[:count].set(numbers),
        laid.seeds.at[:count].set(start.laid_seeds[:count]),
        jnp.int32(count),
    ), stages


def _stages(
    made: Studio, begin: tuple[Laid, list[int]]
) -> Iterator[tuple[Laid, list[int], float]]:
    """Paint stages; yield strokes, how many there were after each, and the PSNR."""
    laid, stages = begin
    settings = made.settings
    key = jax.random.key(settings.seed)
    ground = jnp.array(settings.ground)
    count, barren = int(laid.total), 0
    while True:
        level, tools = made.view(count)
        laid, error = rounds.stage(
            laid,
            level,
            ground,
            jax.random.fold_in(key, len(stages)),
            jnp.int32(math.ceil(GROWTH * count) + 1),
            made.distances.rounds,
            tools=tools,
        )
        barren = barren + 1 if int(laid.total) == count else 0
        count = int(laid.total)
        stages = [*stages, count]
        yield laid, stages, _decibels(error)
        if count >= settings.strokes or barren == BARREN:
            return


def _painting(strokes: Laid, laid: Laid, stages: list[int], most: int) -> Painting:
    """Return a painting of at most so many strokes."""
    count, first = min(int(strokes.total), most), min(int(laid.total), most)
    return Painting(
        _strokes(strokes, count),
        np.asarray(strokes.seeds[:count]),
        _strokes(laid, first),
        np.asarray(laid.seeds[:first]),
        np.searchsorted(stages, np.arange(first), side="right").astype(np.int32),
    )


def _strokes(laid: Laid, count: int) -> Strokes:
    return Strokes(*np.ascontiguousarray(np.asarray(laid.numbers[:count]).T))


def _decibels(error: SupportsFloat) -> float:
    return -10 * math.log10(max(float(error), 1e-12))


class _Descent(NamedTuple):
    """A joint descent of all strokes.

    Args:
        steps: how many.
        distance: what falls.
        scenes: what is painted in its first part, and in the rest.
        prune: share of the strokes that is painted anew between the two.
        pace: how far its steps go, in steps of the usual size.
    """

    steps: int
    distance: Distance
    scenes: tuple[Scene, Scene]
    prune: float
    pace: float


def _refined(made: Studio, first: Painting) -> Iterator[Progress]:
    """Refine all strokes together, and yield the finished painting last."""
    strokes, done = _as_laid(first), 0
    descents = _descents(made)
    total = sum(descent.steps for descent in descents)
    for descent in descents:
        moved = _descended(made, strokes, descent)
        for strokes, count, error in moved:
            painting = _joined(strokes, first)
            done += count
            yield Progress(painting, "refining", done, total, _decibels(error))
    painting = _joined(strokes, first)
    psnr = _psnr(painting, made.settings, made.picture)
    yield Progress(painting, "refining", total, total, psnr)


def _descents(made: Studio) -> list[_Descent]:
    """Return the descents of a painting: from quick and rough to slow and fine."""
    settings = made.settings
    whole = made.scene(made.finest)
    # Where strokes are large, half of the way can be gone on a smaller picture.
    small = made.scene(made.height(ROUGH, settings.strokes))
    plain = SquaredError(settings.emphasis)
    descents = [_Descent(settings.refine, plain, (small, whole), settings.prune, 1.0)]
    if settings.distance != "mse":
        at_half, at_whole = made.distances.half, made.distances.whole
        descents += [
            _Descent(settings.refine_half, at_half, (whole, whole), 0, GENTLE),
            _Descent(settings.refine_whole, at_whole, (whole, whole), 0, GENTLE),
        ]
    return descents


def _descended(
    made: Studio, strokes: Laid, descent: _Descent
) -> Iterator[tuple[Laid, int, Float[Array, ""]]]:
    """Descend; yield strokes, the steps just done, and the squared error."""
    state = refinement.begin(strokes.numbers, descent.pace)
    rough = descent.steps // 2 // TOGETHER * TOGETHER
    for done in range(0, descent.steps, TOGETHER):
        if done == rough and descent.prune:
            scene = descent.scenes[1]
            strokes = _repainted(made, scene, strokes, descent.prune)
            state = refinement.begin(strokes.numbers, descent.pace)
            state = state._replace(step=jnp.int32(done))
        count = min(TOGETHER, descent.steps - done)
        state, error = refinement.descend(
            state,
            strokes.seeds,
            descent.scenes[done >= rough],
            descent.distance,
            jnp.int32(descent.steps),
            brush=BRUSHES[made.settings.brush],
            pigment=PIGMENTS[made.settings.pigment],
            count=count,
        )
        strokes = strokes._replace(numbers=state.numbers)
        yield strokes, count, error


def _repainted(made: Studio, scene: Scene, strokes: Laid, share: float) -> Laid:
    """Drop the strokes that show least, and paint as many new ones over the rest."""
    count = strokes.seeds.size
    brush = BRUSHES[made.settings.brush]
    show = refinement.shown(strokes.numbers, strokes.seeds, scene, brush=brush)
    dropped = round(share * count)
    kept = np.sort(np.argsort(np.asarray(show), stable=True)[dropped:])
    laid = rounds.nothing(ROOM * (-(-count // ROOM) + 1))
    laid = Laid(
        laid.numbers.at[: kept.size].set(strokes.numbers[kept]),
        laid.seeds.at[: kept.size].set(strokes.seeds[kept]),
        jnp.int32(kept.size),
    )
    *_, (laid, _, _) = _stages(made, (laid, [0] * AGAIN))
    most = min(count, int(laid.total))
    return Laid(laid.numbers[:most], laid.seeds[:most], jnp.int32(most))


def canvas(
    painting: Painting, settings: Settings, height: int, width: int
) -> Float32[np.ndarray, "4 h w"]:
    """Draw a painting anew: sRGB in [0, 1], and the height of the paint in [0, 1].

    Args:
        painting: of any number of strokes.
        settings: what it was painted with.
        height: of the canvas, in pixels.
        width: of the canvas, in pixels; in heights, that of the picture.
    """
    *_, last = frames(painting, settings, height, width, 1)
    return last


def frames(
    painting: Painting, settings: Settings, height: int, width: int, count: int
) -> Iterator[Float32[np.ndarray, "4 h w"]]:
    """Yield the canvas as it grows, `count` times; see `canvas`."""
    brush, pigment = BRUSHES[settings.brush], PIGMENTS[settings.pigment]
    numbers = np.stack(painting.strokes, axis=1)
    each = max(1, -(-len(numbers) // count))
    spare = each * count - len(numbers)
    numbers = np.concatenate([numbers, np.tile(NOTHING, (spare, 1))])
    seeds = np.pad(painting.seeds, (0, spare))
    ground = pigment.to_paint(np.asarray(settings.ground, np.float32))
    planes = jnp.pad(
        jnp.broadcast_to(ground[:, None, None], (3, height, width)),
        ((0, 1), (0, 0), (0, 0)),
    )
    for k in range(0, each * count, each):
        part = slice(k, k + each)
        planes = _grown(
            planes, numbers[part], seeds[part], brush=brush, pigment=pigment
        )
        light = np.asarray(_in_light(planes, pigment=pigment))
        yield light


@partial(jax.jit, static_argnames=("brush", "pigment"), donate_argnums=0)
def _grown(
    planes: Canvas,
    numbers: Numbers,
    seeds: Float[Array, " n"],
    *,
    brush: Brush,
    pigment: Pigment,
) -> Canvas:
    strokes = Strokes(*numbers[:, :5].T, *pigment.to_paint(numbers[:, 5:].T))
    return draw(planes, strokes, brush, seeds, pixels=planes.shape[1])


@partial(jax.jit, static_argnames="pigment")
def _in_light(planes: Canvas, *, pigment: Pigment) -> Canvas:
    light = jnp.clip(pigment.to_light(planes[:3]), 0, 1)
    return jnp.concatenate([light, jnp.clip(planes[3:], 0, 1)])


def _psnr(
    painting: Painting, settings: Settings, picture: UInt8[np.ndarray, "h w 3"]
) -> float:
    drawn = canvas(painting, settings, *picture.shape[:2])[:3]
    error = drawn - np.moveaxis(picture, 2, 0) / np.float32(255)
    return _decibels((error**2).mean())


def _as_laid(painting: Painting) -> Laid:
    numbers = jnp.array(np.stack(painting.strokes, axis=1))
    return Laid(numbers, jnp.array(painting.seeds), jnp.int32(len(numbers)))


def _joined(strokes: Laid, first: Painting) -> Painting:
    """Return a painting with refined strokes, that remembers the first ones."""
    found = Strokes(*np.ascontiguousarray(np.asarray(strokes.numbers).T))
    return first._replace(strokes=found, seeds=np.asarray(strokes.seeds))
