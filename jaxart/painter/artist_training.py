"""Training the artist: it paints, looks at what it left unfinished, and learns.

A period of training begins by painting some pictures with the artist as it is, none to
its end. Windows are cut out of these canvases where the next strokes would go, so that
the artist learns from canvases such as it will meet. Then follow updates on batches of
these windows. Of each window the hypotheses that are worth most are drawn in their best
colours, and the distance is taken of the canvas with each. The least of them descends,
through the drawing, into the hypotheses themselves, and a little of the mean; and the
expected distance, if one were chosen at random by worth, into the network that weighs
them.

There are no labels. The hypotheses begin as those of a grid that are most often best in
the first windows.

Source: Liu et al., "Paint Transformer" (2021), for training on strokes without a data
set of them.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import lax
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt8

from jaxart import vgg
from jaxart.drawing.medium import Medium
from jaxart.painter import artist as artists
from jaxart.painter import painting, placement, problem, rounds
from jaxart.painter.artist import Artist, Predictor, Windows
from jaxart.painter.artist_settings import ArtistSettings
from jaxart.painter.distances import HALF, Distance, FeatureSpec, Perceptual
from jaxart.painter.placement import WINDOW


LAYERS = ("relu1_2", "relu2_2", "relu3_3")  # of VGG16, on windows of half the size
TEMPERATURE = 0.1  # of the choice among hypotheses, in logarithms of their worth
MEAN_SHARE = 0.05  # weight of the mean over hypotheses, beside that of the least
LEAST_ERROR = 1e-5  # mean squared error of a window that counts, and of a ratio's
GROWTH = 1.4  # of the strokes from one look at a painting to the next
STROKE_UNITS = (1.5, 1.5, 3.0, 1.5, 0.15)  # of a step in the hypotheses

Picture = UInt8[np.ndarray, "side side 3"]


class Pool(NamedTuple):
    """Windows of unfinished paintings, in sRGB.

    Args:
        canvas: in [0, 1].
        picture: likewise.
    """

    canvas: Float[Array | np.ndarray, "n 3 window window"]
    picture: Float[Array | np.ndarray, "n 3 window window"]


class ArtistState(NamedTuple):
    """State of the training.

    Args:
        params: the artist's.
        opt_state: Adam's.
        step: updates done.
    """

    params: nnx.State
    opt_state: optax.OptState
    step: Int[Array, ""]


class Trainee(NamedTuple):
    """An artist in training.

    Args:
        graph: of the artist.
        state: of the training.
    """

    graph: nnx.GraphDef[Artist]
    state: ArtistState

    @property
    def artist(self) -> Artist:
        """The artist as it is."""
        return nnx.merge(self.graph, self.state.params)


class Judge(NamedTuple):
    """What windows are judged by, as shares of what was there before the stroke.

    Args:
        distance: VGG16's features alone.
        share: weight of it; the rest is squared error's.
        medium: brush and pigment.
    """

    distance: Distance
    share: float
    medium: Medium


def make_judge(settings: ArtistSettings) -> Judge:
    """Return what windows are judged by.

    Raises:
        ValueError: the file of weights of VGG16 cannot be used.
    """
    network = vgg.load(settings.vgg_weights or None)
    spec = FeatureSpec(HALF, LAYERS, 1.0)
    distance = Perceptual(network, (spec,), 0.0, normalised=True)
    medium = settings.painter(settings.seed).medium
    return Judge(distance, settings.perceptual_share, medium)


def optimizer(settings: ArtistSettings) -> optax.GradientTransformation:
    """Return Adam, with rates of their own for the hypotheses and the network."""
    steps = settings.periods * settings.updates
    units = jnp.array(STROKE_UNITS)

    def adam(rate: float) -> optax.GradientTransformation:
        return optax.adam(optax.cosine_decay_schedule(rate, steps, 0.05))

    def in_units(updates: Any, _: Any) -> Any:
        return jax.tree.map(lambda update: update * units[None], updates)

    strokes = optax.chain(adam(settings.stroke_rate), optax.stateless(in_units))
    return optax.partition(
        {"strokes": strokes, "network": adam(settings.network_rate)},
        lambda params: jax.tree_util.tree_map_with_path(_part_of, params),
    )


def _part_of(path: Any, _: Array) -> str:
    return "strokes" if "strokes" in str(path[0]) else "network"


def paint_pool(
    pictures: Sequence[Picture],
    settings: ArtistSettings,
    predictor: Predictor | None,
    rng: np.random.Generator,
) -> Pool:
    """Paint pictures, and cut windows where the next strokes would go.

    Args:
        pictures: all of one size.
        settings: of the training.
        predictor: the artist; None to begin with random strokes.
        rng: draws when each painting is looked at.
    """
    canvases, crops = [], []
    for picture in pictures:
        seed = int(rng.integers(1 << 31))
        stages = windows_of_stages(picture, settings, predictor, seed)
        windows = Pool(*map(np.concatenate, zip(*stages, strict=True)))
        if not windows.canvas.shape[0]:
            continue
        chosen = rng.permutation(len(windows.canvas))[: settings.windows]
        canvases.append(windows.canvas[chosen])
        crops.append(windows.picture[chosen])
    if not canvases:
        raise ValueError(
            "pictures must leave windows to be painted; all are of one colour"
        )
    return Pool(np.concatenate(canvases), np.concatenate(crops))


def windows_of_stages(
    picture: Picture,
    settings: ArtistSettings,
    predictor: Predictor | None,
    seed: int,
) -> Iterator[Pool]:
    """Yield windows of a painting at each of its stages; the last one is finished."""
    paint_settings = settings.painter(seed)
    one = problem.make_problem(picture, paint_settings)
    one = one._replace(predictor=predictor)
    done = 0
    for progress in painting.progress(one):
        count = progress.painting.seeds.size
        is_due = count >= settings.strokes or count >= GROWTH * done
        if progress.phase != "painting" or not is_due:
            continue
        done = count
        stage = one.stage(count)
        buffer = painting.filled_buffer(
            settings.strokes, progress.painting.strokes, progress.painting.seeds
        )
        key = jax.random.fold_in(jax.random.key(seed), count)
        canvas, crop, usable = _cut(key, buffer, stage)
        yield Pool(np.asarray(canvas)[usable], np.asarray(crop)[usable])


@jax.jit
def _cut(
    key: PRNGKeyArray, buffer: Any, stage: rounds.Stage
) -> tuple[Array, Array, Array]:
    """Return canvas and picture in the windows of a round, and which are usable."""
    layout, level = stage.options.layout, stage.level
    canvas = rounds.draw_level(buffer, stage)
    error = rounds.squared_error(canvas, stage)
    count = min(rounds.MAX_WINDOWS, layout.rows * layout.columns)
    corners = placement.place(key, level, error, layout, count).corners

    def crop(planes):
        return jax.vmap(partial(rounds.crop_planes, planes, side=WINDOW))(corners)

    canvases, crops = crop(canvas), crop(level.picture)
    inside = (crop(level.weights) > 0).mean((1, 2)) > 0.999
    different = ((canvases - crops) ** 2).mean((1, 2, 3)) > LEAST_ERROR
    return canvases, crops, inside & different


def begin(settings: ArtistSettings, pool: Pool, judge: Judge) -> Trainee:
    """Return an artist of those hypotheses that are most often best in a pool."""
    grid = artists.initial_hypotheses()
    whole = Artist(1, grid, nnx.Rngs(0))
    predictor = artists.make_predictor(whole, judge.medium.brush)
    wins = np.zeros(len(grid))
    for first in range(0, len(pool.canvas), settings.batch_size):
        part = slice(first, first + settings.batch_size)
        best = _best_reductions(predictor, Pool(*(images[part] for images in pool)))
        np.add.at(wins, np.asarray(best).ravel(), 1)
    chosen = np.sort(np.argsort(-wins, kind="stable")[: settings.hypotheses])
    return _trainee(settings, grid[chosen])


def blank(settings: ArtistSettings) -> Trainee:
    """Return an artist to be filled with what a checkpoint holds."""
    return _trainee(settings, artists.initial_hypotheses()[: settings.hypotheses])


def _trainee(settings: ArtistSettings, strokes: Float[np.ndarray, "d 5"]) -> Trainee:
    painter = Artist(settings.hidden, strokes, nnx.Rngs(settings.seed))
    graph, params = nnx.split(painter)
    opt_state = optimizer(settings).init(params)
    return Trainee(graph, ArtistState(params, opt_state, jnp.int32(0)))


@jax.jit
def _best_reductions(predictor: Predictor, pool: Pool) -> Int[Array, "n 2"]:
    """Return the two hypotheses that lower the squared error most in each window."""
    return lax.top_k(artists.reductions(predictor, _look(pool)), 2)[1]


def candidates(
    painter: Artist, medium: Medium, pool: Pool, key: PRNGKeyArray, count: int
) -> tuple[Float[Array, "n k 5"], Float[Array, "n k"]]:
    """Return the hypotheses that are worth most in each window, and their log worths.

    Args:
        painter: whose hypotheses they are.
        medium: that they are drawn with.
        pool: the windows.
        key: of noise in the choice, so that others are tried as well.
        count: of hypotheses for each window.
    """
    windows = _look(pool)
    predictor = lax.stop_gradient(artists.make_predictor(painter, medium.brush))
    log_worth = jnp.log(jnp.maximum(artists.reductions(predictor, windows), 1e-12))
    log_worth += painter.log_factors(windows.canvas, windows.picture)
    noise = TEMPERATURE * jax.random.gumbel(key, log_worth.shape)
    chosen = lax.top_k(lax.stop_gradient(log_worth) + noise, count)[1]
    return painter.hypotheses()[chosen], jnp.take_along_axis(log_worth, chosen, 1)


def draw_in_best_colours(
    strokes: Float[Array, "n k 5"], medium: Medium, pool: Pool
) -> Float[Array, "n k 3 window window"]:
    """Return each window's canvas with each of some strokes."""
    n, k, _ = strokes.shape
    coverage = artists.draw_hypotheses(strokes.reshape(-1, 5), medium.brush)
    coverage = coverage.reshape(n, k, 1, WINDOW, WINDOW)
    below, picture = (
        jnp.asarray(pool.canvas)[:, None],
        jnp.asarray(pool.picture)[:, None],
    )
    sums = (coverage * (picture - (1 - coverage) * below)).sum((3, 4), keepdims=True)
    squares = (coverage**2).sum((3, 4), keepdims=True)
    colour = jnp.clip(sums / (squares + 1e-6), 0, 1)
    return below + coverage * (colour - below)


def shares_left(
    drawn: Float[Array, "n k 3 window window"], pool: Pool, distance: Distance
) -> tuple[Float[Array, "n k"], Float[Array, "n k"]]:
    """Return what is left of squared error and distance with each canvas."""
    n, k = drawn.shape[:2]
    canvas, picture = jnp.asarray(pool.canvas), jnp.asarray(pool.picture)
    weights = jnp.full((n * (k + 1), WINDOW, WINDOW), 1 / WINDOW**2)
    images = jnp.concatenate([canvas[:, None], drawn], axis=1)
    target = jax.tree.map(
        lambda features: jnp.repeat(features, k + 1, axis=0), distance.features(picture)
    )
    features = distance.features(images.reshape(-1, *canvas.shape[1:]))
    perceived = distance.loss(features, target, weights).reshape(n, k + 1)
    squared = ((images - picture[:, None]) ** 2).mean((2, 3, 4))
    squared_left, perceived_left = (
        found[:, 1:] / (found[:, :1] + LEAST_ERROR) for found in (squared, perceived)
    )
    return squared_left, perceived_left


@partial(jax.jit, static_argnames="settings")
def update(
    trainee: Trainee, pool: Pool, judge: Judge, *, settings: ArtistSettings
) -> tuple[Trainee, dict[str, Float[Array, ""]]]:
    """Update an artist on a batch of windows.

    Returns:
        The artist, and the shares of squared error and distance that its choice leaves.
    """
    graph, state = trainee
    key = jax.random.fold_in(jax.random.key(settings.seed), state.step)
    turn_key, noise_key = jax.random.split(key)
    pool = _turned(pool, turn_key)

    def loss_fn(params):
        strokes, log_worth = candidates(
            nnx.merge(graph, params), judge.medium, pool, noise_key, settings.candidates
        )
        drawn = draw_in_best_colours(strokes, judge.medium, pool)
        squared, perceived = shares_left(drawn, pool, judge.distance)
        left = judge.share * perceived + (1 - judge.share) * squared
        choice = jax.nn.softmax(log_worth / TEMPERATURE, axis=1)
        chosen_left = (choice * lax.stop_gradient(left)).sum(1)
        loss = (left.min(1) + chosen_left).mean() + MEAN_SHARE * left.mean()
        return loss, {
            "squared_error_left": (choice * squared).sum(1).mean(),
            "vgg_left": (choice * perceived).sum(1).mean(),
        }

    grads, metrics = jax.grad(loss_fn, has_aux=True)(state.params)
    descent = optimizer(settings)
    updates, opt_state = descent.update(grads, state.opt_state, state.params)
    params: Any = optax.apply_updates(state.params, updates)
    state = ArtistState(params, opt_state, state.step + 1)
    return trainee._replace(state=state), metrics


@jax.jit
def evaluate(trainee: Trainee, pool: Pool, judge: Judge) -> dict[str, Float[Array, ""]]:
    """Return what is left of squared error and distance after the best stroke."""
    predictor = artists.make_predictor(trainee.artist, judge.medium.brush)
    strokes = artists.propose(predictor, _look(pool)).strokes
    drawn = draw_in_best_colours(strokes[:, None], judge.medium, pool)
    squared, perceived = shares_left(drawn, pool, judge.distance)
    return {
        "held_out_squared_error_left": squared.mean(),
        "held_out_vgg_left": perceived.mean(),
    }


def _turned(pool: Pool, key: PRNGKeyArray) -> Pool:
    """Turn and mirror all windows of a batch in one of eight ways."""
    across, down, swap = jax.random.bernoulli(key, shape=(3,))

    def turn(images):
        images = jnp.asarray(images)
        images = jnp.where(across, images[..., ::-1], images)
        images = jnp.where(down, images[..., ::-1, :], images)
        return jnp.where(swap, images.swapaxes(2, 3), images)

    return Pool(turn(pool.canvas), turn(pool.picture))


def _look(pool: Pool) -> Windows:
    canvas, picture = jnp.asarray(pool.canvas), jnp.asarray(pool.picture)
    n, _, h, w = canvas.shape
    return artists.look(canvas, picture, jnp.full((n, h, w), 1 / (h * w)))
