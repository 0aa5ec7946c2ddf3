from itertools import takewhile
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxart import vgg
from jaxart.drawing.brushes import BRUSHES
from jaxart.drawing.medium import Medium
from jaxart.drawing.pigments import ABSORBANCE, RGB, Pigment
from jaxart.drawing.strokes import empty_buffer
from jaxart.painter import placement, rounds
from jaxart.painter.distances import (
    HALF,
    Distance,
    FeatureSpec,
    Perceptual,
    SquaredError,
)
from jaxart.painter.gradients import Method
from jaxart.painter.painting import CAPACITY, progress
from jaxart.painter.placement import WINDOW
from jaxart.painter.problem import make_problem
from jaxart.painter.rounds import Options, Round, Stage
from jaxart.painter.settings import Settings


GROUND = jnp.array([0.8, 0.7, 0.6])
HEIGHT, WIDTH = 100, 130

paint_round = jax.jit(rounds.paint_round)
composite_round = jax.jit(rounds.composite_round)
draw_level = jax.jit(rounds.draw_level)


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


@jax.jit
def loss_of(canvas, stage: Stage) -> jax.Array:
    """The loss of the whole canvas, evaluated without windows."""
    srgb = stage.options.medium.pigment.to_srgb(canvas)[None]
    features = stage.distance.features(srgb)
    target = stage.distance.features(jnp.asarray(stage.level.picture)[None])
    return stage.distance.loss(
        features, target, jnp.asarray(stage.level.weights)[None]
    )[0]


class Trial:
    """A stage, and its canvas after a first round."""

    def __init__(self, distance: Distance, method: Method, pigment: Pigment):
        layout = placement.make_layout(
            HEIGHT, WIDTH, reach=distance.reach, stride=distance.stride
        )
        level = placement.make_level(blots(), mask(), HEIGHT, layout)
        options = Options(Medium(BRUSHES["soft"], pigment), method, 2, layout)
        self.stage = Stage(level, GROUND, distance, options)
        blank = draw_level(empty_buffer(1), self.stage)
        self.canvas = self.composite(blank, self.round(blank, 0))

    def round(self, canvas, key: int, goal: int = 64) -> Round:
        return paint_round(canvas, jax.random.key(key), jnp.int32(goal), self.stage)

    def loss(self, canvas) -> float:
        return float(loss_of(canvas, self.stage))

    def composite(self, canvas, new_strokes: Round) -> jax.Array:
        return composite_round(canvas, new_strokes, self.stage)

    def composite_one(self, canvas, new_strokes: Round, k: int) -> jax.Array:
        accepted = jnp.zeros_like(new_strokes.accepted).at[k].set(True)
        return self.composite(canvas, new_strokes._replace(accepted=accepted))


@pytest.fixture(scope="module")
def plain() -> Trial:
    return Trial(SquaredError(), "autodiff", RGB)


def make_distance(name: str, network: vgg.Weights) -> Distance:
    if name != "vgg":
        return SquaredError(emphasis=name == "emphasis")
    spec = FeatureSpec(HALF, ("relu1_2",), 0.02)
    return Perceptual(network, (spec,), 0.5, normalised=True)


@pytest.mark.parametrize(
    ("name", "method", "pigment"),
    [
        ("mse", "autodiff", RGB),
        ("mse", "finite_differences", RGB),
        ("mse", "monte_carlo", ABSORBANCE),
        pytest.param("emphasis", "autodiff", ABSORBANCE, marks=pytest.mark.slow),
        pytest.param("vgg", "autodiff", RGB, marks=pytest.mark.slow),
    ],
)
def test_a_round_is_exact(
    vgg_weights: vgg.Weights, name: str, method: Method, pigment: Pigment
):
    """Gains in windows are those on the full canvas, for each stroke and in sum."""
    trial = Trial(make_distance(name, vgg_weights), method, pigment)
    canvas = trial.canvas
    new_strokes = trial.round(canvas, 1)
    # All that help, not just the better share.
    new_strokes = new_strokes._replace(accepted=new_strokes.loss_reductions > 0)
    assert new_strokes.loss_reductions.size >= 4
    before = trial.loss(canvas)
    rounding = 1e-6 * before
    accepted = np.flatnonzero(np.asarray(new_strokes.accepted))
    loss_reductions = np.asarray(new_strokes.loss_reductions)[accepted]
    assert accepted.size >= 2
    for k, gain in zip(accepted, loss_reductions, strict=True):
        after = trial.loss(trial.composite_one(canvas, new_strokes, int(k)))
        assert gain == pytest.approx(before - after, rel=1e-3, abs=rounding)
    at_once = trial.composite(canvas, new_strokes)
    fall = before - trial.loss(at_once)
    assert fall > 0.003 * before
    assert fall == pytest.approx(loss_reductions.sum(), rel=1e-3, abs=rounding)
    # One by one in any order, they are the same painting.
    rng = np.random.default_rng(0)
    for _ in range(3):
        one_by_one = canvas
        for k in rng.permutation(accepted):
            one_by_one = trial.composite_one(one_by_one, new_strokes, int(k))
        np.testing.assert_array_equal(one_by_one, at_once)


def test_no_accepted_stroke_raises_the_loss(plain: Trial):
    canvas, previous = plain.canvas, plain.loss(plain.canvas)
    for key in range(2, 8):
        new_strokes = plain.round(canvas, key)
        for k in np.flatnonzero(np.asarray(new_strokes.accepted)):
            canvas = plain.composite_one(canvas, new_strokes, int(k))
            loss = plain.loss(canvas)
            assert loss < previous
            previous = loss


def test_no_more_strokes_are_accepted_than_wanted(plain: Trial):
    counts = [
        int(plain.round(plain.canvas, 1, goal).accepted.sum()) for goal in (1, 2, 64)
    ]
    assert counts[0] == 1
    assert counts[1] <= 2
    assert counts[2] > 2


def test_no_window_shows_its_border(plain: Trial):
    new_strokes = plain.round(plain.canvas, 1)
    after = np.asarray(plain.composite(plain.canvas, new_strokes))
    changed = (after != np.asarray(plain.canvas)).any(0)
    y, x = (np.indices(changed.shape) + 0.5) / HEIGHT
    reached = np.zeros_like(changed)
    for stroke in np.asarray(new_strokes.strokes)[np.asarray(new_strokes.accepted)]:
        # Nothing but the frame of a stroke is painted, and all of it is in its window.
        reached |= np.hypot(y - stroke[1], x - stroke[0]) <= np.hypot(*stroke[2:4]) / 2
    assert changed.any()
    assert not changed[~reached].any()
    for corner, stroke in zip(new_strokes.corners, new_strokes.strokes, strict=True):
        centre = np.asarray(stroke[1::-1]) * HEIGHT - np.asarray(corner)
        half = np.hypot(*np.asarray(stroke[2:4])) * HEIGHT / 2
        assert (centre - half > 0).all()
        assert (centre + half < WINDOW).all()


def test_nothing_is_painted_around_the_picture(plain: Trial):
    border = plain.stage.options.layout.border
    outside = np.ones(plain.canvas.shape[1:], bool)
    outside[border : border + HEIGHT, border : border + WIDTH] = False
    expected = np.asarray(plain.stage.level.picture)[:, outside]
    np.testing.assert_array_equal(np.asarray(plain.canvas)[:, outside], expected)


def test_a_stage_draws_what_its_rounds_painted(disc: np.ndarray, few: Settings):
    """A painting that is resumed from its strokes is the same painting."""
    stage = make_problem(disc, few).stage(0)
    buffer, error = rounds.paint_stage(
        empty_buffer(2 * CAPACITY), jax.random.key(0), jnp.int32(8), stage
    )
    assert int(buffer.count) == 8
    expected = float(loss_of(draw_level(buffer, stage), stage))
    assert float(error) == pytest.approx(expected, rel=1e-4)


def test_a_painting_compiles_its_stages_once(few: Settings):
    compiled: Any = getattr(rounds.paint_stage, "_cache_size")  # noqa: B009
    before = compiled()
    steps = progress(make_problem(blots()[:80, :80], few))
    counts = [step.step for step in takewhile(lambda s: s.phase == "painting", steps)]
    # Levels grow with the roots of the strokes.
    assert counts[-2] > 4 * counts[0]
    assert compiled() <= before + 1


def test_a_round_composited_at_once_equals_one_by_one(plain: Trial):
    new_strokes = plain.round(plain.canvas, 1)
    assert 1 < new_strokes.accepted.sum() < new_strokes.accepted.size
    one_by_one = plain.composite(plain.canvas, new_strokes)
    with mock.patch.object(rounds, "_composite_one_by_one", rounds._composite_at_once):
        at_once = jax.jit(lambda *args: rounds.composite_round(*args))(
            plain.canvas, new_strokes, plain.stage
        )
    assert abs(at_once - plain.canvas).max() > 0.01
    np.testing.assert_allclose(at_once, one_by_one, atol=1e-6)
