"""Does it pay to plan strokes ahead? One by one, or several of a window together.

    python benchmarks/planning.py FOLDER

Windows are cut out of paintings of FOLDER's pictures that have 100, 300 or 1,000
strokes. In each the artist lays sixteen more, k at a time: it chooses k, and then they
are moved together for some steps of Adam, through the drawing of all of them, so that
an early stroke serves the later ones; then it chooses the next k. The number of strokes
is the same for every k, and that of moves of each stroke.

Prints what share of a window's squared error is left, its standard error, the mean
difference from one stroke at a time in the same windows with its own standard error,
and the processor's milliseconds a window, without compilation; and last one JSON object
on a line.
"""

import json
import runpy
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jaxart.drawing.brushes import SOFT
from jaxart.drawing.strokes import COLOUR
from jaxart.painter import artist as artists
from jaxart.painter import artist_run
from jaxart.painter import artist_training as training
from jaxart.painter.artist_settings import ArtistSettings
from jaxart.painter.gradients import ADAM, LEARNING_RATE
from jaxart.painter.placement import WINDOW
from jaxart.painter.rounds import SCALES
from jaxart.train_artist import read_pictures


CONFIG = Path(__file__).parents[1] / "configs" / "artist.py"
SIDE = 512  # of the pictures
WINDOWS = 12  # of each picture
PAINTED = (100, 300, 1_000)  # strokes of the paintings
COUNT = 16  # strokes in a window
TOGETHER = (1, 4, 16)
MOVES = (0, 6, 16)

Planes = Float[Array, "3 h w"]
Strokes = Float[Array, "k 8"]  # as in `artist.Proposal`, and three colours


def coverage(stroke: Float[Array, " 8"]) -> Float[Array, "1 h w"]:
    """Return the coverage of a stroke in its window."""
    return artists.draw_hypotheses(artists.clip_hypotheses(stroke[None, :5]), SOFT)


def draw(canvas: Planes, strokes: Strokes) -> Planes:
    """Return a window's canvas with strokes on it; rematerialised in gradients."""

    @jax.checkpoint
    def draw_one(canvas, stroke):
        colour = stroke[COLOUR, None, None]
        return canvas + coverage(stroke) * (colour - canvas), None

    return lax.scan(draw_one, canvas, strokes)[0]


def choose(predictor: artists.Predictor, canvas: Planes, picture: Planes) -> Strokes:
    """Return the stroke that the artist chooses, in its best colour."""
    weights = jnp.full((1, WINDOW, WINDOW), 1 / WINDOW**2)
    windows = artists.look(canvas[None], picture[None], weights)
    geometry = artists.propose(predictor, windows).strokes
    cover = coverage(jnp.pad(geometry[0], (0, 3)))
    sums = (cover * (picture - (1 - cover) * canvas)).sum((1, 2))
    colour = jnp.clip(sums / ((cover**2).sum() + 1e-6), 0, 1)
    return jnp.concatenate([geometry, colour[None]], axis=1)


def move(strokes: Strokes, canvas: Planes, picture: Planes, steps: int) -> Strokes:
    """Return strokes after some steps that lower the error through all of them."""
    scales = jnp.array(SCALES)[None]

    def loss(strokes):
        return ((draw(canvas, strokes) - picture) ** 2).mean()

    def step(carry, k):
        strokes, opt_state, best, least = carry
        value, grads = jax.value_and_grad(loss)(strokes)
        best = jnp.where(value < least, strokes, best)
        updates, opt_state = ADAM.update(grads * scales, opt_state)
        strokes -= LEARNING_RATE * (1 - k / steps) * scales * updates
        strokes = strokes.at[:, COLOUR].set(jnp.clip(strokes[:, COLOUR], 0, 1))
        return (strokes, opt_state, best, jnp.minimum(value, least)), None

    carry = (strokes, ADAM.init(strokes), strokes, jnp.inf)
    (last, _, best, least), _ = lax.scan(step, carry, jnp.arange(steps))
    return jnp.where(loss(last) < least, last, best)


def lay(
    predictor: artists.Predictor,
    canvas: Planes,
    picture: Planes,
    *,
    together: int,
    steps: int,
) -> Float[Array, ""]:
    """Return the share of a window's error that is left after `COUNT` strokes."""

    def lay_one(canvas, _):
        stroke = choose(predictor, canvas, picture)
        return draw(canvas, stroke), stroke[0]

    def lay_some(canvas, _):
        finished, strokes = lax.scan(lay_one, canvas, None, together)
        if steps:
            finished = draw(canvas, move(strokes, canvas, picture, steps))
        return finished, None

    finished, _ = lax.scan(lay_some, canvas, None, COUNT // together)
    return ((finished - picture) ** 2).mean() / ((canvas - picture) ** 2).mean()


def windows_at(strokes: int, settings: ArtistSettings) -> training.Pool:
    """Return windows of all pictures' paintings of so many strokes."""
    settings = replace(settings, strokes=strokes)
    rng = np.random.default_rng(settings.seed)
    pools = []
    for seed, picture in enumerate(read_pictures(settings)):
        one = artist_run.cut_square(picture, settings.side, rng)
        *_, pool = training.windows_of_stages(one, settings, None, seed)
        chosen = rng.permutation(len(pool.canvas))[: settings.windows]
        pools.append(training.Pool(pool.canvas[chosen], pool.picture[chosen]))
    return training.Pool(*map(np.concatenate, zip(*pools, strict=True)))


def main(folder: str) -> None:
    """Print the table."""
    config = runpy.run_path(str(CONFIG))["get_config"]()
    config.data, config.folder = "folder", folder
    settings = replace(ArtistSettings(**config), side=SIDE, windows=WINDOWS)
    predictor = artists.make_predictor(artists.load(None, "soft"), SOFT)
    rows = []
    heads = ("painted", "moves", "together", "left", "+-", "gain", "+-", "ms")
    print(" ".join(f"{head:>8}" for head in heads))
    for painted in PAINTED:
        windows = [jnp.asarray(part) for part in windows_at(painted, settings)]
        for steps in MOVES:
            alone = None
            for together in TOGETHER if steps else (1,):
                one = partial(lay, predictor, together=together, steps=steps)
                lay_all = jax.jit(jax.vmap(one))
                jax.block_until_ready(lay_all(*windows))
                begin = time.process_time()
                left = np.asarray(lay_all(*windows))
                cpu = (time.process_time() - begin) / len(left)
                alone = left if alone is None else alone
                gain = alone - left
                row = {
                    "painted": painted,
                    "moves": steps,
                    "together": together,
                    "left": float(left.mean()),
                    "left_error": standard_error(left),
                    "gain": float(gain.mean()),
                    "gain_error": standard_error(gain),
                    "milliseconds": 1e3 * cpu,
                }
                print(" ".join(f"{value:8.4g}" for value in row.values()), flush=True)
                rows.append({**row, "windows": len(left)})
    print(json.dumps({"name": "planning", "rows": rows}))


def standard_error(values: np.ndarray) -> float:
    """Return the standard error of a mean."""
    return float(values.std(ddof=1) / len(values) ** 0.5)


if __name__ == "__main__":
    main(sys.argv[1])
