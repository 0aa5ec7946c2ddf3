import tempfile
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxart.drawing.brushes import BRUSHES
from jaxart.drawing.pigments import PIGMENTS
from jaxart.drawing.strokes import X
from jaxart.painter import painting, strokes_file
from jaxart.painter.distances import Perceptual, SquaredError
from jaxart.painter.painting import (
    Painting,
    Progress,
    canvas,
    frame_ends,
    frames,
    paint,
)
from jaxart.painter.problem import make_problem
from jaxart.painter.settings import Settings
from jaxart.painter.strokes_file import StrokesFile
from jaxart.validation import build


def steps_of(
    picture: np.ndarray, settings: Settings, start: Painting | None = None
) -> list[Progress]:
    return list(painting.progress(make_problem(picture, settings), start))


def greedy_of(steps: list[Progress]) -> Painting:
    """The painting before it was refined."""
    return [step for step in steps if step.phase == "painting"][-1].painting


def equal(one: Painting, other: Painting) -> bool:
    parts = zip(one, other, strict=True)
    return all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in parts)


def psnr(planes: np.ndarray, picture: np.ndarray) -> float:
    error = (planes[:3] - np.moveaxis(picture, 2, 0) / 255) ** 2
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
    for found in (greedy_of(steps), steps[-1].painting):
        assert all(isinstance(part, np.ndarray) for part in found)
        assert all(len(part) == few.strokes for part in found)
        assert (np.diff(found.stages) >= 0).all()
        assert found.stages[0] == 0


def test_refinement_brings_it_closer_and_keeps_the_greedy_strokes(
    steps: list[Progress], disc: np.ndarray, few: Settings
):
    greedy, final = greedy_of(steps), steps[-1].painting
    before, after = (psnr(canvas(p, few, 40, 48), disc) for p in (greedy, final))
    assert after > before > psnr(np.full((3, 40, 48), 0.8), disc)
    assert steps[-1].psnr == pytest.approx(after, abs=0.01)
    unrefined = final._replace(strokes=final.greedy_strokes, seeds=final.greedy_seeds)
    assert equal(greedy, unrefined)
    assert (final.strokes != final.greedy_strokes).any()


def test_progress_is_reported_in_order(steps: list[Progress], few: Settings):
    painted = [step.step for step in steps if step.phase == "painting"]
    refined = [step.step for step in steps if step.phase == "refining"]
    assert painted == sorted(painted)
    assert painted[-1] == few.strokes
    assert refined == sorted(refined)
    assert refined[-1] == few.refine == steps[-1].total


def test_the_same_seed_gives_the_same_bytes(
    painted: Painting, disc: np.ndarray, few: Settings
):
    assert equal(painted, paint(disc, few))
    assert not equal(painted, paint(disc, replace(few, seed=1)))


@pytest.mark.parametrize(
    "capacity", [pytest.param(painting.CAPACITY, marks=pytest.mark.slow), 40]
)
def test_a_resumed_painting_equals_one_that_was_not_stopped(
    disc: np.ndarray,
    few: Settings,
    painted: Painting,
    monkeypatch: pytest.MonkeyPatch,
    capacity: int,
):
    more = replace(few, strokes=60)
    whole = steps_of(disc, more)
    # Neither does the capacity of the buffers matter.
    monkeypatch.setattr(painting, "CAPACITY", capacity)
    resumed = steps_of(disc, more, start=painted)
    assert greedy_of(whole).seeds.size == 60
    assert equal(greedy_of(whole), greedy_of(resumed))
    assert equal(whole[-1].painting, resumed[-1].painting)
    assert resumed[0].step > few.strokes / 2


def test_a_painting_can_be_resumed_from_any_stage(
    steps: list[Progress], disc: np.ndarray, few: Settings
):
    for step in steps[:3]:
        assert equal(paint(disc, few, start=step.painting), steps[-1].painting)


def test_it_ends_at_a_psnr(disc: np.ndarray, few: Settings):
    steps = steps_of(disc, replace(few, strokes=900, psnr=17.0, refine=0))
    *before, last = [step for step in steps if step.phase == "painting"]
    assert last.psnr >= 17
    assert all(step.psnr < 17 for step in before)
    assert last.step < 900
    assert steps[-1].painting.seeds.size == last.step


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
    image = canvas(final.painting, few, 40, 48)
    blank = np.full((3, 40, 48), 0.8)
    assert psnr(image, plain) >= min(psnr(blank, plain), 80) - 0.01


@pytest.mark.parametrize(
    ("h", "w"), [(16, 90), pytest.param(90, 16, marks=pytest.mark.slow)]
)
def test_pictures_of_any_shape_are_painted(few: Settings, h: int, w: int):
    picture = np.random.default_rng(0).integers(0, 256, (h, w, 3), np.uint8)
    picture[: h // 2] //= 4
    settings = replace(few, refine=0)
    painted = paint(picture, settings)
    assert painted.seeds.size == few.strokes
    image = canvas(painted, settings, h, w)
    assert image.shape == (4, h, w)
    blank = np.full((3, h, w), 0.8)
    assert psnr(image, picture) > psnr(blank, picture)


def test_weights_draw_strokes_to_them(few: Settings):
    half = np.random.default_rng(0).integers(0, 256, (40, 24, 3), np.uint8)
    picture = np.concatenate([half, half[:, ::-1]], axis=1)
    weights = np.full((40, 48), 0.02, np.float32)
    weights[:, :24] = 1
    settings = replace(few, refine=0)
    plain, weighted = (
        paint(picture, settings, weights=each) for each in (None, weights)
    )
    left = [(found.strokes[:, X] < 24 / 40).mean() for found in (plain, weighted)]
    assert left[1] > left[0] + 0.1
    left_psnr = [
        psnr(canvas(found, few, 40, 48)[..., :24], half) for found in (plain, weighted)
    ]
    assert left_psnr[1] > left_psnr[0] + 0.1


@pytest.mark.parametrize(("brush", "height"), [("soft", 40), ("bristle", 160)])
def test_a_painting_is_the_same_at_any_size(
    painted: Painting, few: Settings, brush: str, height: int
):
    settings, width = replace(few, brush=brush), 48 * height // 40
    small = canvas(painted, settings, height, width)
    # A height is rounded to whole pixels, and nothing moves with it.
    cut = canvas(painted, settings, height - 1, width, resolution=height)
    np.testing.assert_allclose(cut, small[:, :-1], atol=1e-5)
    large = canvas(painted, settings, 2 * height, 2 * width)
    pooled = large.reshape(4, height, 2, width, 2).mean((2, 4))
    assert abs(small - pooled).mean() < 0.01
    assert small.min() >= 0
    assert small.max() <= 1


def test_a_film_ends_with_the_painting(painted: Painting, few: Settings):
    film = list(frames(painted, few, 40, 48, 4))
    assert len(film) == 4
    np.testing.assert_allclose(film[-1], canvas(painted, few, 40, 48), atol=1e-6)
    for one, other in pairwise(film):
        assert abs(one - other).max() > 0.01
    # More frames than strokes are no harm.
    assert len(list(frames(painted, few, 20, 24, 50))) == 50


@pytest.mark.parametrize("strokes", [1, 2, 119, 120, 121, 239, 241, 1000])
def test_a_film_grows_evenly(strokes: int):
    ends = frame_ends(strokes, 120)
    steps = np.diff(np.array([0, *ends]))
    assert len(ends) == 120
    assert ends[-1] == strokes
    assert steps.max() - steps.min() <= 1
    # It does not stand still for longer than it must.
    changes = np.flatnonzero(steps)
    assert np.diff(changes, prepend=-1).max() <= -(-120 // strokes)


def test_on_nothing_there_is_only_paint(painted: Painting, few: Settings):
    planes = canvas(painted, few, 40, 48, transparent=True)
    assert planes.shape == (5, 40, 48)
    colours, height, opacity = planes[:3], planes[3], planes[4]
    opaque = canvas(painted, few, 40, 48)
    np.testing.assert_allclose(height, opaque[3], atol=1e-6)
    over_ground = opacity * colours + (1 - opacity) * np.float32(0.8)
    np.testing.assert_allclose(over_ground, opaque[:3], atol=1e-3)


def test_what_was_pruned_is_painted_anew_and_no_more(
    disc: np.ndarray, few: Settings, monkeypatch: pytest.MonkeyPatch
):
    before, after, paint_stage = [], [], painting.rounds.paint_stage

    def counting(buffer: Any, *args: Any) -> Any:
        before.append(int(buffer.count))
        buffer, error = paint_stage(buffer, *args)
        after.append(int(buffer.count))
        return buffer, error

    monkeypatch.setattr(painting.rounds, "paint_stage", counting)
    monkeypatch.setattr(painting, "PRUNE_INTERVAL", 10)
    settings = replace(few, strokes=900, psnr=17.0, refine=50, prune=0.3)
    steps = steps_of(disc, settings)
    finished = steps[-1].painting
    assert finished.seeds.size == finished.stages.size == greedy_of(steps).seeds.size
    assert max(after) == finished.seeds.size
    # So many were dropped after 10, 20 and 30 steps, and each time painted anew.
    left = [max(after) - round(share * max(after)) for share in (0.24, 0.18, 0.12)]
    assert set(left) < set(before)


def paint_and_read(settings: Settings, h: int, w: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    picture = rng.choice(np.array([0, 255, rng.integers(256)]), (h, w, 3)).astype(
        np.uint8
    )
    finished = paint(picture, settings)
    content = StrokesFile(finished, settings, "", h, w, None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "strokes.json"
        strokes_file.write(path, content)
        read = strokes_file.read(path)
    assert equal(read.painting, finished)
    assert read.settings == settings


channels = st.sampled_from([0.0, 1.0]) | st.floats(0, 1)
grounds = st.tuples(channels, channels, channels)


@hypothesis.settings(max_examples=4, deadline=None)
@given(ground=grounds, seed=st.integers(0, 99))
def test_what_is_painted_can_be_read(few: Settings, ground: Any, seed: int):
    paint_and_read(replace(few, ground=ground, pigment="absorbance"), 40, 48, seed)


@pytest.mark.slow
@hypothesis.settings(max_examples=30, deadline=None)
@given(
    brush=st.sampled_from(sorted(BRUSHES)),
    pigment=st.sampled_from(sorted(PIGMENTS)),
    ground=grounds,
    sides=st.sampled_from([(16, 16), (48, 64), (16, 90), (90, 16)]),
    refine=st.sampled_from([0, 20]),
    seed=st.integers(0, 99),
)
def test_whatever_is_painted_can_be_read(
    few: Settings, sides: tuple[int, int], refine: int, seed: int, **choices: Any
):
    paint_and_read(replace(few, refine=refine, **choices), *sides, seed)


def test_no_strokes_are_a_blank_canvas(painted: Painting, few: Settings):
    none = Painting(*(part[:0] for part in painted))
    planes = canvas(none, few, 8, 9)
    np.testing.assert_allclose(planes[:3], 0.8, atol=1e-6)
    assert not planes[3].any()


@pytest.mark.slow
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
    image = canvas(steps[-1].painting, settings, 40, 48)
    assert psnr(image, disc) > psnr(np.full((3, 40, 48), 0.8), disc)


def test_vgg_is_in_the_rounds_only_where_it_is_asked_for(
    disc: np.ndarray, few: Settings
):
    refined, placed = (
        make_problem(disc, replace(few, distance=name, layers=("relu1_1",))).distances
        for name in ("vgg", "vgg_rounds")
    )
    assert refined.rounds == SquaredError(few.emphasis)
    assert isinstance(placed.rounds, Perceptual)
    for found in (*refined[1:], *placed[1:]):
        assert isinstance(found, Perceptual)


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
        build(Settings, asdict(few) | {name: value})
    assert "\n" not in str(refused.value)
    assert name.removeprefix("refine_").rstrip("s") in str(refused.value)
