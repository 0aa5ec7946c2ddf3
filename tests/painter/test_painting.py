from dataclasses import replace
from itertools import pairwise
from typing import Any

import jax
import numpy as np
import pytest

from jaxart.painter import painting
from jaxart.painter.painting import Painting, Progress, canvas, frames, paint
from jaxart.painter.settings import Settings


def steps_of(picture: np.ndarray, settings: Settings, **more: Any) -> list[Progress]:
    return list(painting.progress(picture, settings, **more))


def raw_of(steps: list[Progress]) -> Painting:
    """The painting before it was refined."""
    return [step for step in steps if step.phase == "painting"][-1].painting


def equal(one: Painting, other: Painting) -> bool:
    parts = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in parts)


def decibels(found: np.ndarray, picture: np.ndarray) -> float:
    error = (found[:3] - np.moveaxis(picture, 2, 0) / 255) ** 2
    return -10 * np.log10(error.mean())


@pytest.fixture(scope="module")
def steps(disc: np.ndarray, few: Settings) -> list[Progress]:
    return steps_of(disc, few)


@pytest.fixture(scope="module")
def painted(steps: list[Progress]) -> Painting:
    return steps[-1].painting


def test_a_painting_has_exactly_the_strokes_asked_for(
    steps: list[Progress], few: Settings
):
    for found in (raw_of(steps), steps[-1].painting):
        assert all(part.shape == (few.strokes,) for part in jax.tree.leaves(found))
        assert all(isinstance(part, np.ndarray) for part in jax.tree.leaves(found))
        assert (np.diff(found.stages) >= 0).all()
        assert found.stages[0] == 0


def test_refinement_brings_it_closer_and_keeps_what_was_laid(
    steps: list[Progress], disc: np.ndarray, few: Settings
):
    raw, final = raw_of(steps), steps[-1].painting
    before, after = (decibels(canvas(p, few, 40, 48), disc) for p in (raw, final))
    assert after > before > decibels(np.full((3, 40, 48), 0.8), disc)
    assert steps[-1].psnr == pytest.approx(after, abs=0.01)
    assert equal(raw, final._replace(strokes=final.laid, seeds=final.laid_seeds))
    assert (final.strokes.x != final.laid.x).any()


def test_progress_is_told_in_order(steps: list[Progress], few: Settings):
    laid = [step.done for step in steps if step.phase == "painting"]
    refined = [step.done for step in steps if step.phase == "refining"]
    assert laid == sorted(laid)
    assert laid[-1] == few.strokes
    assert refined == sorted(refined)
    assert refined[-1] == few.refine == steps[-1].total


def test_the_same_seed_gives_the_same_bytes(
    painted: Painting, disc: np.ndarray, few: Settings
):
    assert equal(painted, paint(disc, few))
    assert not equal(painted, paint(disc, replace(few, seed=1)))


@pytest.mark.parametrize("room", [painting.ROOM, 40])
def test_a_painting_that_stopped_goes_on_as_if_it_never_had(
    disc: np.ndarray, few: Settings, monkeypatch: pytest.MonkeyPatch, room: int
):
    # With little room, the arrays grow on the way.
    monkeypatch.setattr(painting, "ROOM", room)
    few = few if room == painting.ROOM else replace(few, refine=0)
    more = replace(few, strokes=60)
    half = paint(disc, few)
    assert half.stages.size == few.strokes
    whole, resumed = steps_of(disc, more), steps_of(disc, more, start=half)
    assert raw_of(whole).seeds.size == 60
    assert equal(raw_of(whole), raw_of(resumed))
    assert equal(whole[-1].painting, resumed[-1].painting)
    assert resumed[0].done > few.strokes / 2


def test_a_painting_can_be_gone_on_with_from_any_stage(
    steps: list[Progress], disc: np.ndarray, few: Settings
):
    for step in steps[:3]:
        assert equal(paint(disc, few, start=step.painting), steps[-1].painting)


def test_it_ends_at_a_distance(disc: np.ndarray, few: Settings):
    steps = steps_of(disc, replace(few, strokes=900, psnr=17.0, refine=0))
    *before, last = [step for step in steps if step.phase == "painting"]
    assert last.psnr >= 17
    assert all(step.psnr < 17 for step in before)
    assert last.done < 900
    assert steps[-1].painting.seeds.size == last.done


def test_it_ends_at_a_time(disc: np.ndarray, few: Settings):
    steps = steps_of(disc, replace(few, strokes=900, seconds=1e-3, refine=0))
    assert len([step for step in steps if step.phase == "painting"]) == 1


@pytest.mark.parametrize("colour", [(204, 204, 204), (30, 90, 160)])
def test_a_picture_of_one_colour_is_painted_or_left(
    few: Settings, colour: tuple[int, int, int]
):
    plain = np.full((40, 48, 3), colour, np.uint8)
    final = steps_of(plain, replace(few, refine=0))[-1]
    assert final.painting.seeds.size <= few.strokes
    found = canvas(final.painting, few, 40, 48)
    bare = np.full((3, 40, 48), 0.8)
    assert decibels(found, plain) >= min(decibels(bare, plain), 80) - 0.01


@pytest.mark.parametrize(("h", "w"), [(16, 16), (16, 90), (90, 16)])
def test_pictures_of_any_shape_are_painted(few: Settings, h: int, w: int):
    picture = np.random.default_rng(0).integers(0, 256, (h, w, 3), np.uint8)
    picture[: h // 2] //= 4
    settings = replace(few, refine=0)
    found = paint(picture, settings)
    assert found.seeds.size == few.strokes
    drawn = canvas(found, settings, h, w)
    assert drawn.shape == (4, h, w)
    bare = np.full((3, h, w), 0.8)
    assert decibels(drawn, picture) > decibels(bare, picture)


def test_weights_draw_strokes_to_them(few: Settings):
    half = np.random.default_rng(0).integers(0, 256, (40, 24, 3), np.uint8)
    picture = np.concatenate([half, half[:, ::-1]], axis=1)
    weights = np.full((40, 48), 0.02, np.float32)
    weights[:, :24] = 1
    evenly, carefully = (
        raw_of(steps_of(picture, few, weights=given)) for given in (None, weights)
    )
    left = [(found.strokes.x < 24 / 40).mean() for found in (evenly, carefully)]
    assert left[1] > left[0] + 0.1
    there = [
        decibels(canvas(found, few, 40, 48)[..., :24], half)
        for found in (evenly, carefully)
    ]
    assert there[1] > there[0] + 0.1


@pytest.mark.parametrize(("brush", "height"), [("soft", 40), ("bristle", 160)])
def test_a_painting_is_the_same_at_any_size(
    painted: Painting, few: Settings, brush: str, height: int
):
    settings, width = replace(few, brush=brush), 48 * height // 40
    small = canvas(painted, settings, height, width)
    large = canvas(painted, settings, 2 * height, 2 * width)
    pooled = large.reshape(4, height, 2, width, 2).mean((2, 4))
    assert abs(small - pooled).mean() < 0.01
    assert small.min() >= 0
    assert small.max() <= 1


def test_a_film_ends_with_the_painting(painted: Painting, few: Settings):
    shown = list(frames(painted, few, 40, 48, 4))
    assert len(shown) == 4
    np.testing.assert_allclose(shown[-1], canvas(painted, few, 40, 48), atol=1e-6)
    for one, other in pairwise(shown):
        assert abs(one - other).max() > 0.01
    # More frames than strokes are no harm.
    assert len(list(frames(painted, few, 20, 24, 50))) == 50


def test_no_strokes_are_a_bare_ground(painted: Painting, few: Settings):
    none = Painting(*jax.tree.map(lambda part: part[:0], tuple(painted)))
    found = canvas(none, few, 8, 9)
    np.testing.assert_allclose(found[:3], 0.8, atol=1e-6)
    assert not found[3].any()


def test_vgg_and_absorbance_paint_as_well(disc: np.ndarray, few: Settings):
    settings = replace(
        few,
        strokes=8,
        distance="vgg",
        pigment="absorbance",
        layers=("relu1_1",),
        refine_layers=("relu1_1",),
        refine=0,
        refine_half=0,
        refine_whole=2,
    )
    steps = steps_of(disc, settings)
    assert steps[-1].painting.seeds.size == 8
    assert steps[-1].total == 2
    found = canvas(steps[-1].painting, settings, 40, 48)
    assert decibels(found, disc) > decibels(np.full((3, 40, 48), 0.8), disc)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("strokes", 0),
        ("strokes", -1),
        ("seed", -1),
        ("brush", "broom"),
        ("pigment", "mud"),
        ("ground", (0.5, 0.5)),
        ("ground", (0.5, 0.5, 1.5)),
        ("ground", (0.5, 0.5, float("nan"))),
        ("distance", "smell"),
        ("layers", ("relu9_1",)),
        ("refine_layers", ("relu1_2", "nose")),
        ("shares", (0.1,)),
        ("shares", (0.1, -0.1, 0.1)),
        ("slope", "steep"),
        ("steps", 0),
        ("refine", -1),
        ("prune", 1.0),
        ("prune", -0.1),
        ("psnr", -1.0),
        ("psnr", float("nan")),
        ("seconds", float("inf")),
    ],
)
def test_a_setting_that_cannot_be_is_refused(few: Settings, name: str, value: Any):
    with pytest.raises(ValueError, match=r"; got |must be") as refused:
        replace(few, **{name: value})
    assert "\n" not in str(refused.value)
    assert name.removeprefix("refine_").rstrip("s") in str(refused.value)
