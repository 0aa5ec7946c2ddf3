from functools import partial
from itertools import takewhile
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxart import vgg
from jaxart.painter import placement, rounds
from jaxart.painter.brushes import BRUSHES
from jaxart.painter.distances import (
    HALF,
    Distance,
    Look,
    Perceptual,
    SquaredError,
)
from jaxart.painter.painting import ROOM, progress
from jaxart.painter.pigments import ABSORBANCE, RGB, Pigment
from jaxart.painter.placement import WINDOW, Level
from jaxart.painter.rounds import Round, Tools
from jaxart.painter.settings import Settings
from jaxart.painter.slopes import Slope


GROUND = jnp.array([0.8, 0.7, 0.6])
HEIGHT, WIDTH = 100, 130

one_round = jax.jit(rounds.one_round, static_argnames="tools")
put = jax.jit(rounds.put, static_argnames="tools")
drawn = jax.jit(rounds.drawn, static_argnames="tools")


def blots() -> np.ndarray:
    """A picture with soft edges of all directions."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:HEIGHT, :WIDTH] / HEIGHT
    picture = np.full((3, HEIGHT, WIDTH), 0.5)
    for _ in range(40):
        at_y, at_x, size = rng.random(3) * [1, WIDTH / HEIGHT, 0.2] + [0, 0, 0.03]
        cover = np.clip(3 - 3 * np.hypot(y - at_y, x - at_x) / size, 0, 1)
        picture += cover * (rng.random((3, 1, 1)) - picture)
    return np.moveaxis(255 * picture, 0, 2).astype(np.uint8)


def mask() -> np.ndarray:
    return np.random.default_rng(1).random((HEIGHT, WIDTH)).astype(np.float32) + 0.1


@pytest.fixture(scope="module")
def distances(vgg_weights: vgg.Weights) -> dict[str, Distance]:
    look = Look(HALF, ("relu2_2",), 0.02)
    return {
        "mse": SquaredError(),
        "emphasis": SquaredError(emphasis=True),
        "vgg": Perceptual(vgg_weights, (look,), 0.5, directions=True),
    }


@partial(jax.jit, static_argnames="pigment")
def full(canvas, distance: Distance, seen: Level, pigment: Pigment) -> jax.Array:
    """The distance of the whole canvas, evaluated without windows."""
    light = pigment.to_light(canvas)[None]
    one, other = distance.see(light), distance.see(jnp.asarray(seen.picture)[None])
    return distance.between(one, other, jnp.asarray(seen.weights)[None])[0]


class Studio:
    """A round at one level, of a canvas that has been painted on before."""

    def __init__(
        self, distance: Distance, *, slope: Slope = "autodiff", pigment=RGB, steps=2
    ):
        at = placement.layout(
            HEIGHT, WIDTH, reach=distance.reach, stride=distance.stride
        )
        self.tools = Tools(BRUSHES["soft"], pigment, slope, 2, at)
        self.distance = distance
        self.seen = placement.level(blots(), mask(), HEIGHT, at)
        empty = drawn(rounds.nothing(1), self.seen, GROUND, self.tools)
        self.canvas = self.put(empty, self.round(empty, 0))

    def round(self, canvas, key: int, wanted: int = 64) -> Round:
        return one_round(
            canvas,
            self.seen,
            jax.random.key(key),
            jnp.int32(wanted),
            self.distance,
            tools=self.tools,
        )

    def judge(self, canvas) -> float:
        pigment = self.tools.pigment
        return float(full(canvas, self.distance, self.seen, pigment=pigment))

    def put(self, canvas, found: Round) -> jax.Array:
        return put(canvas, found, self.seen, self.tools)

    def only(self, found: Round, which) -> Round:
        return found._replace(kept=jnp.zeros_like(found.kept).at[which].set(True))


@pytest.mark.parametrize(
    ("name", "slope", "pigment"),
    [
        ("mse", "autodiff", RGB),
        ("mse", "finite_differences", RGB),
        ("mse", "monte_carlo", ABSORBANCE),
        ("emphasis", "autodiff", ABSORBANCE),
        ("vgg", "autodiff", RGB),
    ],
)
def test_a_round_is_exact(distances: dict[str, Distance], name: str, slope, pigment):
    """What windows say is what the full canvas says, stroke by stroke and in sum."""
    studio = Studio(distances[name], slope=slope, pigment=pigment)
    canvas = studio.canvas
    found = studio.round(canvas, 1)
    # All that help, not just the better share.
    found = found._replace(kept=found.gains > 0)
    assert found.gains.size >= 4
    before = studio.judge(canvas)
    rounding = 1e-6 * before
    kept = np.flatnonzero(np.asarray(found.kept))
    gains = np.asarray(found.gains)[kept]
    assert kept.size >= 2
    for k, gain in zip(kept, gains, strict=True):
        after = studio.judge(studio.put(canvas, studio.only(found, k)))
        assert gain == pytest.approx(before - after, rel=1e-3, abs=rounding)
    at_once = studio.put(canvas, found)
    fall = before - studio.judge(at_once)
    assert fall > 0.003 * before
    assert fall == pytest.approx(gains.sum(), rel=1e-3, abs=rounding)
    # One by one in any order, they are the same painting.
    rng = np.random.default_rng(0)
    for _ in range(3):
        one_by_one = canvas
        for k in rng.permutation(kept):
            one_by_one = studio.put(one_by_one, studio.only(found, k))
        np.testing.assert_array_equal(one_by_one, at_once)


def test_no_stroke_that_is_kept_raises_the_distance(distances: dict[str, Distance]):
    studio = Studio(distances["mse"])
    canvas, last = studio.canvas, studio.judge(studio.canvas)
    for key in range(2, 8):
        found = studio.round(canvas, key)
        for k in np.flatnonzero(np.asarray(found.kept)):
            canvas = studio.put(canvas, studio.only(found, k))
            now = studio.judge(canvas)
            assert now < last
            last = now


def test_no_more_strokes_are_painted_than_wanted(distances: dict[str, Distance]):
    studio = Studio(distances["mse"])
    counts = [
        int(studio.round(studio.canvas, 1, wanted).kept.sum()) for wanted in (1, 2, 64)
    ]
    assert counts[0] == 1
    assert counts[1] <= 2
    assert counts[2] > 2


def test_no_window_shows_its_border(distances: dict[str, Distance]):
    studio = Studio(distances["mse"])
    found = studio.round(studio.canvas, 1)
    after = np.asarray(studio.put(studio.canvas, found))
    touched = (after != np.asarray(studio.canvas)).any(0)
    y, x = (np.indices(touched.shape) + 0.5) / HEIGHT
    reached = np.zeros_like(touched)
    for numbers in np.asarray(found.numbers)[np.asarray(found.kept)]:
        # Nothing but the frame of a stroke is painted, and all of it is in its window.
        apart = np.hypot(y - numbers[1], x - numbers[0])
        reached |= apart <= np.hypot(*numbers[2:4]) / 2
    assert touched.any()
    assert not touched[~reached].any()
    for corner, numbers in zip(found.corners, found.numbers, strict=True):
        middle = np.asarray(numbers[1::-1]) * HEIGHT - np.asarray(corner)
        half = np.hypot(*np.asarray(numbers[2:4])) * HEIGHT / 2
        assert (middle - half > 0).all()
        assert (middle + half < WINDOW).all()


def test_nothing_is_painted_around_the_picture(distances: dict[str, Distance]):
    studio = Studio(distances["mse"])
    edge = studio.tools.layout.edge
    outside = np.ones(studio.canvas.shape[1:], bool)
    outside[edge : edge + HEIGHT, edge : edge + WIDTH] = False
    expected = np.asarray(studio.seen.picture)[:, outside]
    np.testing.assert_array_equal(np.asarray(studio.canvas)[:, outside], expected)


def test_a_stage_draws_what_its_rounds_painted(few: Settings):
    """A painting that is begun anew from its strokes is the same painting."""
    distance, picture = SquaredError(), blots()[:80, :80]
    at = placement.layout(80, 80, reach=distance.reach, stride=distance.stride)
    tools = Tools(BRUSHES[few.brush], RGB, "autodiff", few.steps, at)
    seen = placement.level(picture, None, 60, at)
    found, error = rounds.stage(
        rounds.nothing(2 * ROOM),
        seen,
        GROUND,
        jax.random.key(0),
        jnp.int32(8),
        distance,
        tools=tools,
    )
    assert int(found.total) == 8
    canvas = drawn(found, seen, GROUND, tools)
    expected = float(full(canvas, distance, seen, pigment=RGB))
    assert float(error) == pytest.approx(expected, rel=1e-4)


def test_a_painting_compiles_its_stages_once(few: Settings):
    compiled: Any = getattr(rounds.stage, "_cache_size")  # noqa: B009
    before = compiled()
    steps = progress(blots()[:80, :80], few)
    painted = [step.done for step in takewhile(lambda s: s.phase == "painting", steps)]
    # Levels grow with the roots of the strokes.
    assert painted[-2] > 4 * painted[0]
    assert compiled() <= before + 1
