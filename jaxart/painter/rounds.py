"""One round of strokes, and a stage of rounds, as one compiled call.

A round chooses disjoint windows, places a stroke in each, minimises its loss, and
accepts the strokes that bring the canvas closest to the picture, none of which may
raise the loss. Windows do not depend on each other, so the strokes of a round are the
same whether they are painted at once or one after the other, in any order.

A stage is a number of rounds at one level. It begins by drawing what was painted
before, so that a painting can be resumed at the beginning of any stage.

Cost: a round of `k` strokes of `s` steps evaluates about 3 k s windows of `WINDOW`²
pixels by autodiff, or 9 k s by finite differences, with the margins that the distance
needs; the canvas's size counts only for the map of errors and the first drawing of a
stage.

Source: ctmakro, "Training of Artists", for placing strokes where the error is large and
accepting what lowers it; the author's opencv_playground for the gradient descent of a
stroke.
Deviation: colours are not searched but solved for where that is exact: the best colour
of a stroke has a closed form in squared error. Only the better share of a round is
accepted; the author accepts any stroke that helps.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from jaxart.drawing.medium import Medium
from jaxart.drawing.strokes import (
    ANGLE,
    COLOUR,
    PADDING,
    POSITION,
    SIZE,
    Canvas,
    Drawing,
    StrokeBuffer,
    composite,
    footprints,
)
from jaxart.painter import artist, placement
from jaxart.painter.artist import Predictor
from jaxart.painter.distances import Distance
from jaxart.painter.gradients import Method, SearchSpace, minimize
from jaxart.painter.placement import WINDOW, Layout, Level


MAX_WINDOWS = 64  # of a round
ACCEPTED_SHARE = 0.5  # of a round's strokes that are accepted at most
PROPOSED_SHARE = 0.375  # of a round's windows that strokes of an artist are painted in
MAX_ROUNDS = 16  # of a stage

SHORTEST = 3.0  # side of a stroke, in pixels of its level

# Units of a step: x, y, length and width in pixels of the level, angle in radians, and
# three colours.
SCALES = (1.5, 1.5, 3.0, 1.5, 0.15, 0.04, 0.04, 0.04)

# Bytes that the windows of a round may take at once; the others follow in batches. A
# CPU gains nothing by more windows than its caches hold.
BATCH_BYTES = 1 << 30
BATCH_BYTES_ON_CPU = 12 << 20


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["medium", "predictor"],
    meta_fields=["method", "steps", "layout"],
)
@dataclass(frozen=True)
class Options:
    """Static settings of a stage.

    Args:
        medium: brush and pigment.
        method: how a stroke's loss is minimised.
        steps: of that minimisation.
        layout: of the levels.
        predictor: proposes strokes; None to begin with random ones.
    """

    medium: Medium
    method: Method
    steps: int
    layout: Layout
    predictor: Predictor | None = None


class Stage(NamedTuple):
    """What a stage paints.

    Args:
        level: the picture at the stage's size.
        ground: colour of the empty canvas, sRGB in [0, 1].
        distance: whose loss is minimised.
        options: what it is compiled for.
    """

    level: Level
    ground: Float[Array, " 3"]
    distance: Distance
    options: Options


class Round(NamedTuple):
    """The strokes of a round.

    Args:
        corners: upper left pixel (row, column) of each window.
        strokes: whose positions are those in the arrays of the level.
        seeds: pick their hairs.
        loss_reductions: by how much each stroke alone lowers the loss.
        accepted: which are to be composited.
    """

    corners: Int[Array, "k 2"]
    strokes: Float[Array, "k 8"]
    seeds: Float[Array, " k"]
    loss_reductions: Float[Array, " k"]
    accepted: Bool[Array, " k"]


class Marks(NamedTuple):
    """The marks of a round's strokes, each in its window.

    Args:
        corners: upper left pixel (row, column) of each window.
        colours: in paint space.
        coverage: 0 where the stroke was not accepted.
        thickness: of the paint.
    """

    corners: Int[Array, "k 2"]
    colours: Float[Array | np.ndarray, "k 3"]
    coverage: Float[Array, "k window window"]
    thickness: Float[Array, "k window window"]


class Crop(NamedTuple):
    """A window of the level and its surroundings: all that its stroke depends on.

    Args:
        corner: upper left pixel (row, column) of the window.
        seed: picks the stroke's hairs.
        canvas: in paint space, with two margins around the window.
        picture: likewise.
        weights: of the pixels that the stroke's loss depends on, else 0; likewise.
        inside: 1 in the picture, 0 around it; of the window alone.
        bare: cost of paint on each pixel of the window, if some are to stay bare.
    """

    corner: Int[Array, " 2"]
    seed: Float[Array, ""]
    canvas: Float[Array, "3 side side"]
    picture: Float[Array, "3 side side"]
    weights: Float[Array, "side side"]
    inside: Float[Array, "window window"]
    bare: Float[Array, "window window"] | None


@jax.jit
def paint_stage(
    buffer: StrokeBuffer, key: PRNGKeyArray, goal: Int[Array, ""], stage: Stage
) -> tuple[StrokeBuffer, Float[Array, ""]]:
    """Paint rounds until there are `goal` strokes, or `MAX_ROUNDS` rounds are over.

    Args:
        buffer: the strokes so far. Strokes beyond its capacity are lost.
        key: of the stage.
        goal: how many strokes.
        stage: what is painted.

    Returns:
        The strokes, and the weighted mean squared error at this level.
    """

    def is_unfinished(carry):
        buffer, _, count = carry
        return (buffer.count < goal) & (count < MAX_ROUNDS)

    def next_round(carry):
        buffer, canvas, count = carry
        round_key = jax.random.fold_in(key, count)
        new_strokes = paint_round(canvas, round_key, goal - buffer.count, stage)
        canvas = composite_round(canvas, new_strokes, stage)
        return _append(buffer, new_strokes, stage), canvas, count + 1

    carry = (buffer, draw_level(buffer, stage), 0)
    buffer, canvas, _ = lax.while_loop(is_unfinished, next_round, carry)
    return buffer, squared_error(canvas, stage).sum() / 3


def draw_level(buffer: StrokeBuffer, stage: Stage) -> Canvas:
    """Return the canvas of a level, in paint space, padded like the picture."""
    level, _, _, options = stage
    medium, layout = options.medium, options.layout
    offset = layout.border / level.resolution
    strokes = buffer.strokes.at[:, POSITION].add(offset)
    blank = medium.blank(stage.ground, *level.weights.shape)
    canvas = medium.draw(blank, strokes, buffer.seeds, resolution=level.resolution)
    padded = medium.pigment.to_paint(level.picture)
    return jnp.where(_inside(level, layout)[None], canvas, padded)


def paint_round(
    canvas: Canvas, key: PRNGKeyArray, max_strokes: Int[Array, ""], stage: Stage
) -> Round:
    """Return the strokes of one round, which are not on the canvas yet.

    Args:
        canvas: from `draw_level`.
        key: of the round.
        max_strokes: fewer are returned if the round does not have so many windows.
        stage: what is painted.
    """
    layout = stage.options.layout
    place_key, seed_key, search_key = jax.random.split(key, 3)
    count = min(MAX_WINDOWS, layout.rows * layout.columns)
    error = squared_error(canvas, stage)
    corners, strokes, has_error = placement.place(
        place_key, stage.level, error, layout, count
    )
    seeds = jax.random.uniform(seed_key, (count,))
    # The windows with the largest errors come first; not all are needed.
    accepted_share = ACCEPTED_SHARE
    num_candidates = jnp.minimum(
        has_error.sum(), jnp.ceil(max_strokes / ACCEPTED_SHARE).astype(int)
    )
    if stage.options.predictor is not None:
        # It knows beforehand which strokes will help most: only these are optimised.
        corners, strokes = _propose(canvas, stage, corners, strokes)
        accepted_share = 1.0
        num_candidates = jnp.minimum(
            jnp.ceil(PROPOSED_SHARE * has_error.sum()).astype(int), max_strokes
        )
    keys = jax.random.split(search_key, count)
    batch = batch_size(count, stage)

    def next_batch(carry):
        start, strokes, loss_reductions = carry
        first = jnp.minimum(start, count - batch)
        rows = (
            lax.dynamic_slice_in_dim(array, first, batch)
            for array in (corners, strokes, seeds, keys)
        )
        optimized, reductions_of_batch = jax.vmap(
            partial(optimize_stroke, canvas, stage)
        )(*rows)
        strokes = lax.dynamic_update_slice_in_dim(strokes, optimized, first, 0)
        loss_reductions = lax.dynamic_update_slice_in_dim(
            loss_reductions, reductions_of_batch, first, 0
        )
        return start + batch, strokes, loss_reductions

    _, strokes, loss_reductions = lax.while_loop(
        lambda carry: carry[0] < num_candidates,
        next_batch,
        (0, strokes, jnp.zeros(count)),
    )
    loss_reductions = jnp.where(jnp.arange(count) < num_candidates, loss_reductions, 0)
    max_accepted = jnp.ceil(accepted_share * num_candidates).astype(int)
    threshold = -jnp.sort(-loss_reductions)[jnp.maximum(max_accepted, 1) - 1]
    return Round(
        corners,
        strokes,
        seeds,
        loss_reductions,
        (loss_reductions > 0) & (loss_reductions >= threshold),
    )


def _propose(
    canvas: Canvas,
    stage: Stage,
    corners: Int[Array, "k 2"],
    strokes: Float[Array, "k 8"],
) -> tuple[Int[Array, "k 2"], Float[Array, "k 8"]]:
    """Return windows by how much the stroke that is proposed for each is worth."""
    predictor, resolution = stage.options.predictor, stage.level.resolution
    assert predictor is not None

    def crop(planes):
        return jax.vmap(partial(crop_planes, planes, side=WINDOW))(corners)

    to_paint = stage.options.medium.pigment.to_paint
    picture = to_paint(crop(stage.level.picture).swapaxes(0, 1)).swapaxes(0, 1)
    windows = artist.look(crop(canvas), picture, crop(stage.level.weights))
    proposal = artist.propose(predictor, windows)
    x, y, *sides, angle = proposal.strokes.T
    x, y = x + corners[:, 1] + WINDOW / 2, y + corners[:, 0] + WINDOW / 2
    geometry = [*(side / resolution for side in (x, y, *sides)), angle]
    strokes = strokes.at[:, : len(geometry)].set(jnp.stack(geometry, axis=1))
    order = jnp.argsort(-proposal.worth)
    return corners[order], strokes[order]


def composite_round(canvas: Canvas, new_strokes: Round, stage: Stage) -> Canvas:
    """Composite the accepted strokes of a round over the canvas.

    Window by window on a CPU, and all at once on other devices, where each would be a
    launch; windows are disjoint.
    """
    corners, strokes, seeds, _, accepted = new_strokes
    medium = stage.options.medium
    drawing = Drawing(medium.brush, strokes, seeds, stage.level.resolution)
    coverage, thickness = footprints(drawing, corners, WINDOW)
    inside = _inside(stage.level, stage.options.layout).astype(coverage.dtype)
    marks = Marks(
        corners,
        medium.pigment.to_paint(strokes[:, COLOUR].T).T,
        coverage * accepted[:, None, None],
        thickness,
    )
    return lax.platform_dependent(
        canvas, inside, marks, cpu=_composite_one_by_one, default=_composite_at_once
    )


def _composite_one_by_one(
    canvas: Canvas, inside: Float[Array, "h w"], marks: Marks
) -> Canvas:
    def composite_kth(k, canvas):
        corner = marks.corners[k]
        below = crop_planes(canvas, corner, WINDOW)
        visible = marks.coverage[k] * crop_planes(inside, corner, WINDOW)
        above = composite(
            below[None], marks.colours[k, None], visible[None], marks.thickness[k, None]
        )[0]
        return lax.dynamic_update_slice(canvas, above, (0, *corner))

    return lax.fori_loop(0, len(marks.corners), composite_kth, canvas)


def _composite_at_once(
    canvas: Canvas, inside: Float[Array, "h w"], marks: Marks
) -> Canvas:
    rows, columns = marks.corners.T[:, :, None] + jnp.arange(WINDOW)[None, None]
    at = rows[:, :, None], columns[:, None]
    below = canvas[:, *at].swapaxes(0, 1)
    visible = marks.coverage * inside[at]
    above = composite(below, marks.colours, visible, marks.thickness)
    return canvas.at[:, *at].set(above.swapaxes(0, 1), unique_indices=True)


def crop_window(
    canvas: Canvas, stage: Stage, corner: Int[Array, " 2"], seed: Float[Array, ""]
) -> Crop:
    """Crop canvas, picture and weights around a window, with two margins."""
    level, layout = stage.level, stage.options.layout
    side = WINDOW + 4 * layout.margin
    # A stroke changes the distance's map up to one margin outside its window, where the
    # map depends on pixels up to one more margin away.
    crop = partial(crop_planes, corner=corner - 2 * layout.margin, side=side)
    offset = jnp.abs(jnp.arange(side) + 0.5 - side / 2)
    is_near = offset < WINDOW / 2 + layout.margin
    inside = _inside(level, layout).astype(canvas.dtype)
    return Crop(
        corner,
        seed,
        crop(canvas),
        crop(level.picture),
        crop(level.weights) * is_near[None] * is_near[:, None],
        crop_planes(inside, corner, WINDOW),
        None if level.bare is None else crop_planes(level.bare, corner, WINDOW),
    )


def render_candidates(
    crop: Crop, strokes: Float[Array, "m 8"], stage: Stage
) -> Float[Array, "m 3 side side"]:
    """Return the crop's canvas with each of some strokes, in paint space."""
    coverage, thickness = _footprints(crop, strokes, stage)
    padding = [(0, 0), *2 * [2 * [2 * stage.options.layout.margin]]]
    colours = stage.options.medium.pigment.to_paint(strokes[:, COLOUR].T).T
    below = jnp.broadcast_to(crop.canvas, (len(strokes), *crop.canvas.shape))
    return composite(
        below, colours, jnp.pad(coverage, padding), jnp.pad(thickness, padding)
    )


def losses(
    crop: Crop, target: Any, stage: Stage, strokes: Float[Array, "m 8"]
) -> Float[Array, " m"]:
    """Return the losses of a crop with each of some strokes.

    Args:
        crop: of the stroke's window.
        target: the distance's features of its picture.
        stage: what is painted.
        strokes: the candidates.
    """
    canvases = render_candidates(crop, strokes, stage)
    to_srgb, distance = stage.options.medium.pigment.to_srgb, stage.distance
    features = distance.features(to_srgb(canvases.swapaxes(0, 1)).swapaxes(0, 1))
    target = jax.tree.map(lambda t, f: jnp.broadcast_to(t, f.shape), target, features)
    weights = jnp.broadcast_to(crop.weights, (len(strokes), *crop.weights.shape))
    loss = distance.loss(features, target, weights)
    if crop.bare is None:
        return loss
    coverage, _ = _footprints(crop, strokes, stage)
    return loss + (coverage * crop.bare[None]).sum((1, 2))


def batch_size(count: int, stage: Stage) -> int:
    """Return how many of a round's windows are optimised at once: see `BATCH_BYTES`."""
    options = stage.options
    side = WINDOW + 4 * options.layout.margin
    copies = 9 if options.method == "finite_differences" else 3
    is_cpu = jax.default_backend() == "cpu"
    max_bytes = BATCH_BYTES_ON_CPU if is_cpu else BATCH_BYTES
    window_bytes = copies * side**2 * stage.distance.bytes_per_pixel
    return max(1, min(count, max_bytes // window_bytes))


def optimize_stroke(
    canvas: Canvas,
    stage: Stage,
    corner: Int[Array, " 2"],
    start: Float[Array, " 8"],
    seed: Float[Array, ""],
    key: PRNGKeyArray,
) -> tuple[Float[Array, " 8"], Float[Array, ""]]:
    """Minimise a stroke's loss; return it, and by how much it lowers the loss.

    Args:
        canvas: from `draw_level`.
        stage: what is painted.
        corner: of the stroke's window.
        start: the initial stroke, whose colour does not matter.
        seed: picks its hairs.
        key: of a random search.
    """
    crop = crop_window(canvas, stage, corner, seed)
    options = stage.options
    target = stage.distance.features(crop.picture[None])
    loss = partial(losses, crop, target, stage)
    in_pixels = jnp.array([1, 1, 1, 1, 0, 0, 0, 0], bool)
    scales = jnp.array(SCALES) / jnp.where(in_pixels, stage.level.resolution, 1)
    space = SearchSpace(scales, partial(_clip_to_window, corner, stage.level))
    best, best_loss = minimize(
        loss,
        _with_best_colour(crop, space.project(start), stage),
        key,
        method=options.method,
        space=space,
        steps=options.steps,
    )
    recoloured = _with_best_colour(crop, best, stage)
    value = loss(recoloured[None])[0]
    loss_before = loss(jnp.asarray(PADDING)[None])[0]  # which leaves no paint
    stroke = jnp.where(value < best_loss, recoloured, best)
    return stroke, loss_before - jnp.minimum(value, best_loss)


def _with_best_colour(
    crop: Crop, stroke: Float[Array, " 8"], stage: Stage
) -> Float[Array, " 8"]:
    """Return a stroke in the colour of least squared error, in paint space."""
    margin, pigment = stage.options.layout.margin, stage.options.medium.pigment
    window = slice(2 * margin, 2 * margin + WINDOW)
    coverage, _ = _footprints(crop, stroke[None], stage)
    residual = pigment.to_paint(crop.picture)[:, window, window]
    residual -= (1 - coverage) * crop.canvas[:, window, window]
    weights = crop.weights[window, window][None] * coverage
    colour = (weights * residual).sum((1, 2)) / ((weights * coverage).sum() + 1e-12)
    srgb = pigment.to_srgb(jnp.clip(colour, 0, 1))
    return stroke.at[COLOUR].set(jnp.clip(srgb, 0, 1))


def _footprints(
    crop: Crop, strokes: Float[Array, "m 8"], stage: Stage
) -> tuple[Float[Array, "m window window"], Float[Array, "m window window"]]:
    """Return coverage and thickness of each of some strokes in the crop's window."""
    m = len(strokes)
    seeds = jnp.broadcast_to(crop.seed, m)
    drawing = Drawing(
        stage.options.medium.brush, strokes, seeds, stage.level.resolution
    )
    coverage, thickness = footprints(
        drawing, jnp.broadcast_to(crop.corner, (m, 2)), WINDOW
    )
    return coverage * crop.inside[None], thickness


def _clip_to_window(
    corner: Int[Array, " 2"], level: Level, stroke: Float[Array, " 8"]
) -> Float[Array, " 8"]:
    """Keep a stroke inside its window, and its colours in [0, 1]."""
    resolution = level.resolution
    centre = (corner[::-1] + WINDOW / 2) / resolution
    reach = WINDOW / 4 / resolution
    position = jnp.clip(stroke[POSITION], centre - reach, centre + reach)
    sides = jnp.maximum(stroke[SIZE], SHORTEST / resolution)
    # A pixel is left on both sides, for rounding.
    diagonal = (WINDOW - 2) / resolution - 2 * jnp.abs(position - centre).max()
    sides = sides * jnp.minimum(1, diagonal / jnp.hypot(*sides))
    angle, colour = stroke[ANGLE : ANGLE + 1], jnp.clip(stroke[COLOUR], 0, 1)
    return jnp.concatenate([position, sides, angle, colour])


def _append(buffer: StrokeBuffer, new_strokes: Round, stage: Stage) -> StrokeBuffer:
    """Append the accepted strokes of a round."""
    offset = stage.options.layout.border / stage.level.resolution
    strokes = new_strokes.strokes.at[:, POSITION].add(-offset)
    capacity, accepted = buffer.seeds.size, new_strokes.accepted
    index = jnp.where(accepted, buffer.count + jnp.cumsum(accepted) - 1, capacity)
    return StrokeBuffer(
        buffer.strokes.at[index].set(strokes, mode="drop"),
        buffer.seeds.at[index].set(new_strokes.seeds, mode="drop"),
        jnp.minimum(buffer.count + accepted.sum(), capacity),
    )


def squared_error(canvas: Canvas, stage: Stage) -> Float[Array, "h w"]:
    """Return the squared error of each pixel, weighted."""
    srgb = stage.options.medium.pigment.to_srgb(canvas)
    red, green, blue = (srgb - stage.level.picture) ** 2
    # XLA is slow on a CPU at sums over so few planes.
    return (red + green + blue) * stage.level.weights


def _inside(level: Level, layout: Layout) -> Bool[Array, "h w"]:
    """Return which pixels of the arrays belong to the picture."""
    row, column = (
        (index >= layout.border) & (index < layout.border + side)
        for index, side in zip(map(jnp.arange, layout.shape), level.size, strict=True)
    )
    return row[:, None] & column[None]


def crop_planes(
    planes: Float[Array | np.ndarray, "*c h w"], corner: Int[Array, " 2"], side: int
) -> Float[Array, "*c side side"]:
    """Return a square of some planes, from its upper left pixel (row, column) on."""
    leading_shape = planes.shape[:-2]
    return lax.dynamic_slice(
        planes, (*(0 for _ in leading_shape), *corner), (*leading_shape, side, side)
    )
