"""One round of strokes, and a stage of rounds, as one compiled call.

A round chooses disjoint windows, starts a stroke in each, moves it downhill, and keeps
the strokes that bring the canvas closest to the picture, none of which may take it
further away. Windows know nothing of each other, so the strokes of a round are the same
whether they are painted at once or one after the other, in any order.

A stage is a number of rounds at one level. It begins by drawing what was painted
before, so that a painting can be gone on with at the beginning of any stage.

Cost: a round of `k` strokes of `s` steps evaluates about 3 k s windows of `WINDOW`²
pixels by autodiff, or 9 k s by finite differences, with the margins that the distance
needs; the canvas's size counts only for the map of errors and the first drawing of a
stage.

Source: the seed essay, "Training of Artists", for placing where the error is large and
keeping what lowers it; ctmakro's opencv_playground for the descent of a stroke.
Deviation: colours are not measured but solved for where that is exact: the best colour
of a stroke has a closed form in squared error. Only the better share of a round is
kept; the author keeps any stroke that helps.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, ScalarLike

from jaxart.painter import placement
from jaxart.painter.brushes import Brush
from jaxart.painter.distances import Distance
from jaxart.painter.pigments import Pigment
from jaxart.painter.placement import WINDOW, Layout, Level
from jaxart.painter.slopes import Slope, descend
from jaxart.painter.strokes import NOTHING, Canvas, Numbers, Strokes, draw, lay, marks


AT_ONCE = 64  # strokes of a round at most
SHARE = 0.5  # of a round's strokes that are kept at most
TRIES = 16  # rounds of a stage at most

SHORTEST = 3.0  # side of a stroke, in pixels of its level

# How far a move goes: x, y, length and width in pixels of the level, angle in radians,
# and three colours.
SCALES = (1.5, 1.5, 3.0, 1.5, 0.15, 0.04, 0.04, 0.04)

# Bytes that the windows of a round may take; more of them wait for their turn. A CPU
# gains nothing by more windows than its caches hold.
ROOM = 1 << 30
ROOM_ON_CPU = 12 << 20


class Tools(NamedTuple):
    """What a painting is made with; all of it known when compiling.

    Args:
        brush: of all strokes.
        pigment: how their paints mix.
        slope: how a stroke finds its way.
        steps: moves of a stroke.
        layout: of the levels.
    """

    brush: Brush
    pigment: Pigment
    slope: Slope
    steps: int
    layout: Layout


class Laid(NamedTuple):
    """Strokes on their way into a painting, the first `total` of them real.

    Args:
        numbers: of the strokes, in picture heights and sRGB.
        seeds: pick their hairs.
        total: how many.
    """

    numbers: Numbers
    seeds: Float[Array, " n"]
    total: Int[Array, ""]


class Round(NamedTuple):
    """What a round of strokes came to.

    Args:
        corners: row and column of each window's upper left pixel.
        numbers: the strokes, placed on the arrays of the level.
        seeds: pick their hairs.
        gains: by how much each stroke alone takes the distance down.
        kept: which are worth keeping.
    """

    corners: Int[Array, "k 2"]
    numbers: Float[Array, "k 8"]
    seeds: Float[Array, " k"]
    gains: Float[Array, " k"]
    kept: Bool[Array, " k"]


class Window(NamedTuple):
    """What one stroke of a round needs to know.

    Args:
        corner: row and column of its upper left pixel.
        seed: picks the stroke's hairs.
        under: the canvas in paint space, with two margins around the window.
        picture: the picture there.
        counts: weights of what the stroke can change, else 0.
        inside: 1 in the picture, 0 around it; of the window alone.
    """

    corner: Int[Array, " 2"]
    seed: Float[Array, ""]
    under: Float[Array, "3 side side"]
    picture: Float[Array, "3 side side"]
    counts: Float[Array, "side side"]
    inside: Float[Array, "window window"]


@partial(jax.jit, static_argnames="tools")
def stage(
    laid: Laid,
    seen: Level,
    ground: Float[Array, " 3"],
    key: PRNGKeyArray,
    goal: Int[Array, ""],
    distance: Distance,
    *,
    tools: Tools,
) -> tuple[Laid, Float[Array, ""]]:
    """Paint rounds until there are `goal` strokes, or `TRIES` rounds are over.

    Args:
        laid: the strokes so far. What of a round goes beyond their array is lost.
        seen: the picture at the stage's level.
        ground: colour of the empty canvas, sRGB in [0, 1].
        key: of the stage.
        goal: how many strokes.
        distance: what is to fall.
        tools: what to paint with.

    Returns:
        The strokes, and the mean squared error at this level, with its weights.
    """
    canvas = drawn(laid, seen, ground, tools)

    def more(carry):
        laid, _, tries = carry
        return (laid.total < goal) & (tries < TRIES)

    def paint(carry):
        laid, canvas, tries = carry
        now = jax.random.fold_in(key, tries)
        found = one_round(canvas, seen, now, goal - laid.total, distance, tools)
        canvas = put(canvas, found, seen, tools)
        return _add(laid, found, seen, tools.layout), canvas, tries + 1

    laid, canvas, _ = lax.while_loop(more, paint, (laid, canvas, 0))
    return laid, _error(canvas, seen, tools).sum() / 3


def drawn(laid: Laid, seen: Level, ground: Float[Array, " 3"], tools: Tools) -> Canvas:
    """Return the canvas of a level, in paint space, the picture around it."""
    to_paint = tools.pigment.to_paint
    start = jnp.broadcast_to(to_paint(ground)[:, None, None], seen.picture.shape)
    x, y, *form = laid.numbers[:, :5].T
    offset = tools.layout.edge / seen.pixels
    colours = to_paint(laid.numbers[:, 5:].T)
    strokes = Strokes(x + offset, y + offset, *form, *colours)
    canvas = draw(start, strokes, tools.brush, laid.seeds, pixels=seen.pixels)
    inside = _inside(seen, tools.layout)[None]
    return jnp.where(inside, canvas, to_paint(seen.picture))


def one_round(
    canvas: Canvas,
    seen: Level,
    key: PRNGKeyArray,
    wanted: Int[Array, ""],
    distance: Distance,
    tools: Tools,
) -> Round:
    """Return the strokes of one round, which are not on the canvas yet.

    Args:
        canvas: from `drawn`.
        seen: the picture at this level.
        key: of the round.
        wanted: strokes at most; fewer if the round has not so many windows.
        distance: what is to fall.
        tools: what to paint with.
    """
    at = tools.layout
    site_key, seed_key, move_key = jax.random.split(key, 3)
    count = min(AT_ONCE, at.rows * at.columns)
    error = _error(canvas, seen, tools)
    corners, starts, is_open = placement.sites(site_key, seen, error, at, count)
    seeds = jax.random.uniform(seed_key, (count,))

    def better(given):
        corner, start, seed, key = given
        window = cut_out(canvas, seen, distance, tools, corner, seed)
        return _better(window, start, key, seen, distance, tools)

    given = (corners, starts, seeds, jax.random.split(move_key, count))
    # The windows with the largest errors come first; not all are needed.
    tried = jnp.minimum(is_open.sum(), jnp.ceil(wanted / SHARE).astype(int))
    numbers, gains = _for_first(
        better,
        tried,
        given,
        (starts, jnp.zeros(count)),
        batch_size(count, distance, tools),
    )
    gains = jnp.where(jnp.arange(count) < tried, gains, 0)
    worth = jnp.ceil(SHARE * tried).astype(int)
    least = -jnp.sort(-gains)[jnp.maximum(worth, 1) - 1]
    return Round(corners, numbers, seeds, gains, (gains > 0) & (gains >= least))


def put(canvas: Canvas, found: Round, seen: Level, tools: Tools) -> Canvas:
    """Lay the strokes of a round that are kept on the canvas, window by window."""
    colours = tools.pigment.to_paint(found.numbers[:, 5:].T).T
    coverage, height = marks(
        found.numbers, tools.brush, found.seeds, found.corners, seen.pixels, WINDOW
    )
    inside = _inside(seen, tools.layout).astype(coverage.dtype)
    coverage = coverage * found.kept[:, None, None]

    def put_one(k, canvas):
        corner = found.corners[k]
        under = _square(canvas, corner, WINDOW)
        cover = coverage[k] * _square(inside, corner, WINDOW)
        over = lay(under[None], colours[k, None], cover[None], height[k, None])[0]
        return lax.dynamic_update_slice(canvas, over, (0, *corner))

    return lax.fori_loop(0, found.seeds.size, put_one, canvas)


def cut_out(
    canvas: Canvas,
    seen: Level,
    distance: Distance,
    tools: Tools,
    corner: Int[Array, " 2"],
    seed: Float[Array, ""],
) -> Window:
    """Return what a stroke needs to know in the window at a corner."""
    at = tools.layout
    side = WINDOW + 4 * at.margin
    # A stroke changes what the distance says up to one margin outside its window, and
    # that depends on pixels up to one more.
    cut = partial(_square, corner=corner - 2 * at.margin, side=side)
    far = jnp.abs(jnp.arange(side) + 0.5 - side / 2) < WINDOW / 2 + at.margin
    inside = _inside(seen, at).astype(canvas.dtype)
    return Window(
        corner,
        seed,
        cut(canvas),
        cut(seen.picture),
        cut(seen.weights) * far[None] * far[:, None],
        _square(inside, corner, WINDOW),
    )


def painted(
    window: Window, points: Float[Array, "m 8"], pixels: ScalarLike, tools: Tools
) -> Float[Array, "m 3 side side"]:
    """Return the window with each of some strokes, in paint space."""
    coverage, height = _covered(window, points, pixels, tools)
    around = [(0, 0), *2 * [2 * [2 * tools.layout.margin]]]
    colours = tools.pigment.to_paint(points[:, 5:].T).T
    base = jnp.broadcast_to(window.under, (len(points), *window.under.shape))
    return lay(base, colours, jnp.pad(coverage, around), jnp.pad(height, around))


def judged(
    canvases: Float[Array, "m 3 h w"],
    target: Any,
    counts: Float[Array, "h w"],
    distance: Distance,
    pigment: Pigment,
) -> Float[Array, " m"]:
    """Return the distance of each of some canvases, in paint space, from one target.

    Args:
        canvases: of a window, or of a whole picture.
        target: what the distance sees of one picture there.
        counts: weights of the pixels.
        distance: what is measured.
        pigment: how paints mix.
    """
    saw = distance.see(pigment.to_light(canvases.swapaxes(0, 1)).swapaxes(0, 1))
    others = jax.tree.map(lambda t, s: jnp.broadcast_to(t, s.shape), target, saw)
    return distance.between(
        saw, others, jnp.broadcast_to(counts, (len(canvases), *counts.shape))
    )


def batch_size(count: int, distance: Distance, tools: Tools) -> int:
    """Return how many of a round's windows are worked on at once: what `ROOM` holds."""
    side = WINDOW + 4 * tools.layout.margin
    copies = 9 if tools.slope == "finite_differences" else 3
    room = ROOM_ON_CPU if jax.default_backend() == "cpu" else ROOM
    return max(1, min(count, room // (copies * side**2 * distance.bytes_per_pixel)))


def _better(
    window: Window,
    start: Float[Array, " 8"],
    key: PRNGKeyArray,
    seen: Level,
    distance: Distance,
    tools: Tools,
) -> tuple[Float[Array, " 8"], Float[Array, ""]]:
    """Move a stroke downhill; return it, and by how much it takes the distance down."""
    target = distance.see(window.picture[None])

    def loss(points):
        canvases = painted(window, points, seen.pixels, tools)
        return judged(canvases, target, window.counts, distance, tools.pigment)

    coloured = partial(_coloured, window, pixels=seen.pixels, tools=tools)
    limit = partial(_limited, window.corner, seen.pixels)
    in_pixels = jnp.array([1, 1, 1, 1, 0, 0, 0, 0], bool)
    best, least = descend(
        loss,
        coloured(limit(start)),
        key,
        slope=tools.slope,
        scales=jnp.array(SCALES) / jnp.where(in_pixels, seen.pixels, 1),
        limit=limit,
        steps=tools.steps,
    )
    again = coloured(best)
    value = loss(again[None])[0]
    before = judged(window.under[None], target, window.counts, distance, tools.pigment)[
        0
    ]
    return jnp.where(value < least, again, best), before - jnp.minimum(value, least)


def _coloured(
    window: Window, point: Float[Array, " 8"], pixels: ScalarLike, tools: Tools
) -> Float[Array, " 8"]:
    """Give a stroke the colour that is best in squared error, in paint space."""
    _, *zone = _zone(tools.layout)
    cover, _ = _covered(window, point[None], pixels, tools)
    pigment = tools.pigment
    wanted = pigment.to_paint(window.picture)[tuple(zone)]
    wanted -= (1 - cover) * window.under[tuple(zone)]
    counted = window.counts[tuple(zone[1:])][None] * cover
    best = (counted * wanted).sum((1, 2)) / ((counted * cover).sum() + 1e-12)
    return point.at[5:].set(pigment.to_light(jnp.clip(best, 0, 1)))


def _covered(
    window: Window, points: Float[Array, "m 8"], pixels: ScalarLike, tools: Tools
) -> tuple[Float[Array, "m window window"], Float[Array, "m window window"]]:
    m = len(points)
    seeds = jnp.broadcast_to(window.seed, m)
    corners = jnp.broadcast_to(window.corner, (m, 2))
    coverage, height = marks(points, tools.brush, seeds, corners, pixels, WINDOW)
    return coverage * window.inside[None], height


def _limited(
    corner: Int[Array, " 2"], pixels: ScalarLike, point: Float[Array, " 8"]
) -> Float[Array, " 8"]:
    """Keep a stroke inside its window, and its colours in [0, 1]."""
    middle = (corner[::-1] + WINDOW / 2) / pixels
    reach = WINDOW / 4 / pixels
    place = jnp.clip(point[:2], middle - reach, middle + reach)
    sides = jnp.maximum(point[2:4], SHORTEST / pixels)
    # A pixel is left on both sides, for rounding.
    room = (WINDOW - 2) / pixels - 2 * jnp.abs(place - middle).max()
    sides = sides * jnp.minimum(1, room / jnp.hypot(*sides))
    return jnp.concatenate([place, sides, point[4:5], jnp.clip(point[5:], 0, 1)])


def _add(laid: Laid, found: Round, seen: Level, at: Layout) -> Laid:
    """Append the strokes of a round that are kept."""
    numbers = found.numbers.at[:, :2].add(-at.edge / seen.pixels)
    nowhere = laid.seeds.size
    place = jnp.where(found.kept, laid.total + jnp.cumsum(found.kept) - 1, nowhere)
    return Laid(
        laid.numbers.at[place].set(numbers, mode="drop"),
        laid.seeds.at[place].set(found.seeds, mode="drop"),
        jnp.minimum(laid.total + found.kept.sum(), nowhere),
    )


def _error(canvas: Canvas, seen: Level, tools: Tools) -> Float[Array, "h w"]:
    """Return the squared error of each pixel, weighted."""
    red, green, blue = (tools.pigment.to_light(canvas) - seen.picture) ** 2
    # XLA is slow on a CPU at sums over so few planes.
    return (red + green + blue) * seen.weights


def _inside(seen: Level, at: Layout) -> Bool[Array, "h w"]:
    """Return which places of the arrays belong to the picture."""
    row, column = (
        (place >= at.edge) & (place < at.edge + side)
        for place, side in zip(map(jnp.arange, at.shape), seen.size, strict=True)
    )
    return row[:, None] & column[None]


def _square(
    planes: Float[Array | np.ndarray, "*c h w"], corner: Int[Array, " 2"], side: int
) -> Float[Array, "*c side side"]:
    lead = planes.shape[:-2]
    return lax.dynamic_slice(planes, (*(0 for _ in lead), *corner), (*lead, side, side))


def _zone(at: Layout) -> tuple[slice, ...]:
    """Return where in its surroundings a window lies, in batches of planes."""
    inner = slice(2 * at.margin, 2 * at.margin + WINDOW)
    return (slice(None), slice(None), inner, inner)


def _for_first(
    f: Callable[[Any], Any], count: Int[Array, ""], given: Any, answers: Any, batch: int
) -> Any:
    """Return `answers` with those of `f` in the first `count` places.

    Args:
        f: answers to one row of `given`.
        count: how many answers are wanted; a few more may come.
        given: arrays of rows.
        answers: what stands where `f` was not asked.
        batch: rows at once, at most all.
    """
    total = jax.tree.leaves(given)[0].shape[0]

    def ask(carry):
        done, answers = carry
        first = jnp.minimum(done, total - batch)
        some = jax.tree.map(lambda x: lax.dynamic_slice_in_dim(x, first, batch), given)
        answers = jax.tree.map(
            lambda whole, part: lax.dynamic_update_slice_in_dim(whole, part, first, 0),
            answers,
            jax.vmap(f)(some),
        )
        return done + batch, answers

    return lax.while_loop(lambda carry: carry[0] < count, ask, (0, answers))[1]


def nothing(count: int) -> Laid:
    """Return room for strokes, none of which is laid yet."""
    numbers = jnp.tile(NOTHING, (count, 1))
    return Laid(numbers, jnp.zeros(count), jnp.int32(0))
