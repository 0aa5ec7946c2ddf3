from pathlib import Path

import numpy as np
import pytest

from jaxart.paintings import dataset, synthetic
from jaxart.paintings.scenes import GENRES, PALETTES, STYLES, Scene
from jaxart.paintings.synthetic import Picture, compose, pictures
from jaxart.paintings.training_data import resolve


@pytest.fixture(scope="module")
def some(synthetic_pictures: list[Picture]) -> list[Picture]:
    return synthetic_pictures[:24]


@pytest.fixture
def scene() -> Scene:
    rng = np.random.default_rng(0)
    return Scene(rng, "noon", STYLES["Realism"], aspect=1.0)


def test_every_picture_has_room_for_crops(some: list[Picture]):
    for picture in some:
        h, w, channels = picture.pixels.shape
        assert channels == 3
        assert 128 * 128 <= h * w < 1.05 * 128 * 128
        assert min(h, w) >= 64


def test_pictures_are_upright_and_wide(some: list[Picture]):
    ratios = [p.pixels.shape[1] / p.pixels.shape[0] for p in some]
    assert min(ratios) < 0.8
    assert max(ratios) > 1.5


def test_the_canvas_has_room_for_the_widest_picture():
    widest = max(compose(index)[1][1] for index in range(1, 200, 4))
    assert widest <= synthetic.SIDE
    # Nor is it much larger than need be.
    assert widest > 0.9 * synthetic.SIDE


def test_all_genres_come_and_each_is_labelled(some: list[Picture]):
    genres = {picture.genre for picture in some}
    assert {"landscape", "portrait", "abstract"} <= genres
    assert genres & {"still life", "flower painting"}
    assert {picture.style for picture in some} <= set(STYLES)
    assert all(picture.title.split(", ")[1] in PALETTES for picture in some)


def test_a_picture_is_the_same_whatever_comes_with_it(some: list[Picture]):
    for first, again in zip(some, pictures(3), strict=False):
        np.testing.assert_array_equal(first.pixels, again.pixels)


def test_no_two_pictures_are_alike(some: list[Picture]):
    corners = {picture.pixels[:32, :32].tobytes() for picture in some}
    assert len(corners) == len(some)
    assert len({picture.pixels.shape for picture in some}) > 0.8 * len(some)


def test_pictures_are_colourful_and_lit(some: list[Picture]):
    values = [picture.pixels / 255 for picture in some]
    contrast = [value.mean(2).std() for value in values]
    chroma = [np.ptp(value, axis=2).mean() for value in values]
    assert np.median(contrast) > 0.1
    assert np.median(chroma) > 0.15


def test_the_whole_picture_is_painted(some: list[Picture]):
    for picture in some:
        # Brushwork everywhere: no block of the bare, even ground is left.
        h, w, _ = picture.pixels.shape
        blocks = picture.pixels[: h // 16 * 16, : w // 16 * 16]
        blocks = blocks.reshape(h // 16, 16, w // 16, 16, 3).astype(float)
        assert blocks.std((1, 3)).max(-1).min() > 0.5


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("far", [False, True])
def test_no_line_runs_along_a_border(
    synthetic_pictures: list[Picture], axis: int, far: bool
):
    border, inner = [], []
    for picture in synthetic_pictures:
        rows = picture.pixels.mean(2).swapaxes(0, axis)
        steps = np.abs(np.diff(rows[::-1] if far else rows, axis=0)).mean(1)
        border.append(steps[0])
        inner.append(steps[1:].mean())
    assert np.mean(border) <= np.mean(inner)


@pytest.mark.parametrize("genre", GENRES)
def test_a_scene_has_strokes_within_their_ranges(genre, scene: Scene):
    genre(scene)
    strokes = scene.strokes()
    assert 100 < len(strokes) < 3 * synthetic.STROKES
    assert strokes[:, 2:4].min() > 0.01
    assert strokes[:, 5:].min() >= 0
    assert strokes[:, 5:].max() <= 1


def test_a_fill_stays_inside_its_shape_and_follows_the_outline(scene: Scene):
    tones = np.array([[1.0, 0, 0], [0, 1.0, 0]])
    disc = scene.at(0.4, 0.6, 0.3)
    disc.fill(lambda x, y: 1 - np.hypot(x, y), tones, 1.0, 0.0, 0.3, mottle=0)
    x, y, _, width, angle = scene.strokes()[:, :5].T
    away = np.hypot(x - 0.4, y - 0.6)
    assert (away + 0.3 * width).max() < 0.31
    outer = away > 0.268
    assert outer.sum() > 10
    across = np.cos(angle - np.arctan2(y - 0.6, x - 0.4))[outer]
    assert np.abs(across).max() < 0.1
    # The light is 1 all over: the second tone.
    assert (scene.strokes()[:, 6] > scene.strokes()[:, 5]).all()


def test_a_frame_moves_turns_and_scales_strokes(scene: Scene):
    white = np.ones(3)
    scene.at(0.5, 0.5, 0.2, np.pi / 2).at(1.0, 0.0).dab(0.5, 0, 1, 0.5, 0.1, white)
    stroke = scene.strokes()[0, :5]
    np.testing.assert_allclose(stroke, [0.5, 0.8, 0.2, 0.1, 0.1 + np.pi / 2], atol=1e-6)


def test_the_dataset_holds_the_pictures(
    some: list[Picture], tmp_path: Path, monkeypatch, capfd
):
    monkeypatch.setattr(synthetic, "COUNT", 10)
    monkeypatch.setattr(synthetic, "is_held_out", lambda index: index % 4 == 1)
    monkeypatch.setattr(dataset, "RECORDS_PER_FILE", 4)
    synthetic.prepare(tmp_path)
    output = capfd.readouterr()
    assert output.out == ""
    assert "10/10" in output.err
    held_out = [index for index in range(10) if index % 4 == 1]
    sources = {
        split: list(dataset.open_source(tmp_path, "synthetic", split))
        for split in ("train", "held_out")
    }
    assert [int(r["filename"]) for r in sources["held_out"]] == held_out
    assert len(sources["train"]) == 10 - len(held_out)
    for record in sources["train"] + sources["held_out"]:
        picture = some[int(record["filename"])]
        np.testing.assert_array_equal(record["pixels"], picture.pixels)
        assert record["genre"].decode() == picture.genre
        assert record["style"].decode() == picture.style


def test_about_one_in_fifty_is_held_out():
    held_out = sum(synthetic.is_held_out(index) for index in range(synthetic.COUNT))
    assert 20 < held_out < 60


def test_a_prepared_dataset_is_not_made_again(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(synthetic, "COUNT", 2)
    synthetic.prepare(tmp_path)

    def refuse(drawings):
        raise AssertionError("drawn again")

    monkeypatch.setattr(synthetic, "_draw", refuse)
    synthetic.prepare(str(tmp_path))


def test_the_old_name_of_the_dataset_names_the_new_one():
    with pytest.raises(ValueError, match=r"^data.name is now 'synthetic'"):
        resolve("invented", "")
