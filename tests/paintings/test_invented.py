from pathlib import Path

import jax
import numpy as np
import pytest

from jaxart.paintings import dataset, invented
from jaxart.paintings.invented import COATS, STYLES, Picture, pictures
from jaxart.paintings.scenes import PALETTES, Sketch


SOME = 24


@pytest.fixture(scope="module")
def some() -> list[Picture]:
    return list(pictures(SOME))


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
    sizes = [invented._planned(index)[1] for index in range(1, 200, 4)]
    widest = max(w for _, w in sizes)
    assert widest <= invented.LONGEST
    # Nor is it much larger than need be.
    assert widest > 0.9 * invented.LONGEST


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
    assert len(corners) == SOME
    assert len({picture.pixels.shape for picture in some}) > 0.8 * SOME


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


@pytest.mark.parametrize("index", range(8))
def test_no_stroke_is_larger_than_its_coat_allows(index: int):
    work, _, _ = invented._planned(index)
    for coat, laid in zip(COATS, work.coats, strict=True):
        diagonal = np.hypot(laid.strokes.length, laid.strokes.width) * work.height
        assert diagonal.max() <= coat.diagonal + 0.01


def test_strokes_follow_an_edge():
    rng = np.random.default_rng(0)
    sketch = Sketch(rng, PALETTES["noon"], 96, 96)
    slope = 0.6
    across = (sketch.y - 0.5) * np.cos(slope) - (sketch.x - 0.5) * np.sin(slope)
    sketch.lay(sketch.inside(across), np.ones(3, np.float32))
    sketch.way[:] = 2.0
    way = invented._way(sketch, cell=4)
    assert way[48, 48] == pytest.approx(slope, abs=0.1)
    assert np.cos(2 * (way[4, 90] - 2.0)) == pytest.approx(1, abs=0.01)


def test_the_dataset_holds_the_pictures(
    some: list[Picture], tmp_path: Path, monkeypatch, capfd
):
    monkeypatch.setattr(invented, "COUNT", 10)
    monkeypatch.setattr(invented, "is_held_out", lambda index: index % 4 == 1)
    monkeypatch.setattr(dataset, "SHARD", 4)
    invented.prepare(tmp_path)
    output = capfd.readouterr()
    assert output.out == ""
    assert "10/10" in output.err
    held_out = [index for index in range(10) if index % 4 == 1]
    sources = {
        split: list(dataset.open_source(tmp_path, "invented", split))
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
    held_out = sum(invented.is_held_out(index) for index in range(invented.COUNT))
    assert 20 < held_out < 60


def test_a_prepared_dataset_is_not_made_again(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(invented, "COUNT", 2)
    invented.prepare(tmp_path)

    def refuse(works):
        raise AssertionError("painted again")

    monkeypatch.setattr(invented, "_paint", refuse)
    invented.prepare(str(tmp_path))


def test_planning_needs_no_device():
    work, _, _ = invented._planned(0)
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(work.coats))
