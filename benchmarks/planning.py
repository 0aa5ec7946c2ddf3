"""Does it pay to plan strokes ahead? One by one, or all of a window's strokes together.

    python benchmarks/planning.py FOLDER

Windows are cut out of unfinished paintings of FOLDER's pictures. In each the artist
lays k strokes. One by one, each is moved for some steps of Adam before the next is
chosen. Planned, all are chosen first, and then moved together for as many steps,
through the drawing of all of them, so that an early stroke serves the later ones. The
number of strokes is the same, and that of moves of each stroke.

Prints what share of a window's squared error is left, its standard error, and the
processor's milliseconds a window, without compilation; and last one JSON object on a
line.
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
from jaxart.painter.artist_settings import ArtistSettings
from jaxart.painter.gradients import ADAM, LEARNING_RATE
from jaxart.painter.placement import WINDOW
from jaxart.painter.rounds import SCALES
from jaxart.train_artist import read_pictures


CONFIG = Path(__file__).parents[1] / "configs" / "artist.py"
WINDOWS = 96
COUNTS = (4, 16)
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
    count: int,
    steps: int,
    planned: bool,
) -> Float[Array, ""]:
    """Return the share of a window's error that is left after some strokes."""

    def lay_one(canvas, _):
        stroke = choose(predictor, canvas, picture)
        if steps and not planned:
            stroke = move(stroke, canvas, picture, steps)
        return draw(canvas, stroke), stroke[0]

    finished, strokes = lax.scan(lay_one, canvas, None, count)
    if steps and planned:
        finished = draw(canvas, move(strokes, canvas, picture, steps))
    return ((finished - picture) ** 2).mean() / ((canvas - picture) ** 2).mean()


def main(folder: str) -> None:
    """Print the table."""
    config = runpy.run_path(str(CONFIG))["get_config"]()
    config.data, config.folder = "folder", folder
    settings = replace(ArtistSettings(**config), pictures=12, windows=WINDOWS // 12)
    pool = artist_run.paint(read_pictures(settings), settings, None, 0)
    windows = [jnp.asarray(images) for images in pool]
    predictor = artists.make_predictor(artists.load(None, "soft"), SOFT)
    rows = []
    print(f"{'strokes':>7} {'moves':>6} {'':10} {'left':>7} {'+-':>7} {'ms':>8}")
    for count in COUNTS:
        for steps in MOVES:
            for planned in (False, True) if steps else (False,):
                one = partial(lay, predictor, count=count, steps=steps, planned=planned)
                lay_all = jax.jit(jax.vmap(one))
                jax.block_until_ready(lay_all(*windows))
                begin = time.process_time()
                left = np.asarray(lay_all(*windows))
                cpu = (time.process_time() - begin) / len(left)
                error = left.std(ddof=1) / len(left) ** 0.5
                way = "planned" if planned else "one by one"
                print(
                    f"{count:7} {steps:6} {way:10} {left.mean():7.4f} {error:7.4f} "
                    f"{1e3 * cpu:8.2f}",
                    flush=True,
                )
                row = {"strokes": count, "moves": steps, "planned": planned}
                row |= {"left": float(left.mean()), "error": float(error), "cpu": cpu}
                rows.append(row)
    print(json.dumps({"name": "planning", "windows": len(windows[0]), "rows": rows}))


if __name__ == "__main__":
    main(sys.argv[1])
