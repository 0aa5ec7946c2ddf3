"""Pictures that were asked for, from training to samples, films and distances."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jaxart import evaluate, explore, sample, titles, train
from jaxart.gan import feature_metrics, latents, run_dir
from jaxart.paintings import evaluation_crops, labels


CLASSES = ("style=Baroque", "style=Realism", "style=Rococo")


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch):
    """A hundred pictures in a call are more than these tests need."""
    monkeypatch.setattr(latents, "BATCH_SIZE", 4)


@pytest.fixture
def asked_run(every_option_run: Path) -> str:
    return str(every_option_run)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_a_run_finds_the_classes_of_its_dataset(asked_run: str, data_dir: str):
    assert run_dir.read_settings(asked_run).condition.classes == CLASSES
    found = labels.read("paintings", data_dir, ["style", "title"])
    assert {each["style"] for each in found} >= {"Baroque", "Realism", "Rococo"}
    assert all(each["title"].startswith("Painting") for each in found)


def test_a_class_gives_other_pictures_than_another(asked_run: str, tmp_path: Path):
    def sampled(**asked: Any) -> bytes:
        sample.main(asked_run, str(tmp_path / "out.png"), count=4, **asked)
        return pixels(tmp_path / "out.png").tobytes()

    assert sampled(style="Baroque") == sampled(style="Baroque")
    assert sampled(style="Baroque") != sampled(style="Rococo")


def test_each_class_has_a_row_of_the_same_latents(asked_run: str, tmp_path: Path):
    sample.main(asked_run, str(tmp_path / "all.png"), count=4, one_row_each="style")
    sample.main(asked_run, str(tmp_path / "one.png"), count=4, style="Rococo")
    rows, row = pixels(tmp_path / "all.png"), pixels(tmp_path / "one.png")
    # A margin of white around the rows; the last one is Rococo's.
    last = np.nonzero((rows != 255).any(axis=(1, 2)))[0][-1] + 1
    right = np.nonzero((rows[last - 32 : last] != 255).any(axis=(0, 2)))[0][-1] + 1
    np.testing.assert_array_equal(
        rows[last - 32 : last, right - 32 : right], row[-32:, -32:]
    )


def test_a_film_goes_through_all_classes_at_one_point(
    asked_run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "grid.png"
    explore.interpolation(
        asked_run, str(out), through="style", pictures=3, way="spherical"
    )
    assert "Baroque, Realism, Rococo, Baroque" in capsys.readouterr().out
    assert pixels(out).shape[0] > 3 * 32


def test_the_distance_within_a_class_is_that_of_its_crops(
    asked_run: str, capsys: pytest.CaptureFixture[str]
):
    evaluate.main(asked_run, count=20, style="Rococo", layers="relu1_1")
    within = json.loads(capsys.readouterr().out)
    evaluate.main(asked_run, count=20, layers="relu1_1")
    of_all = json.loads(capsys.readouterr().out)
    assert within["pictures"]["train"] < of_all["pictures"]["train"]
    assert within[feature_metrics.FRECHET_KEY] != of_all[feature_metrics.FRECHET_KEY]


def test_a_walk_through_classes_needs_one_point(asked_run: str, tmp_path: Path):
    out = tmp_path / "grid.png"
    every_way: list[dict[str, Any]] = [{"seeds": "5"}, {"count": 4}]
    for points in every_way:
        explore.interpolation(
            asked_run, str(out), through="style", pictures=2, **points
        )
        assert pixels(out).shape[0] > 3 * 32


def test_the_distance_to_unknown_pictures_is_that_to_pictures_of_no_class(
    asked_run: str, data_dir: str, capsys: pytest.CaptureFixture[str]
):
    names = [name.removeprefix("style=") for name in CLASSES]
    found = labels.read("paintings", data_dir, ["style"])
    evaluate.main(asked_run, count=20, style="unknown", layers="relu1_1")
    pictures = json.loads(capsys.readouterr().out)["pictures"]["train"]
    assert pictures == sum(each["style"] not in names for each in found) > 0


def test_a_floor_of_held_out_pictures_needs_some_of_the_class(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def read(*_: Any, held_out: bool = False) -> list[labels.Labels]:
        return [{"style": "Naive"}] if held_out else [{"style": "Rococo"}] * 2

    def of_classes(floor: str) -> evaluation_crops.Splits:
        records = [{"pixels": np.zeros((4, 4, 3), np.uint8)}]
        splits = evaluation_crops.Splits(2 * records, records)
        return evaluation_crops.of_classes(
            splits,
            "",
            "",
            ["style"],
            lambda each: each["style"] == "Rococo",
            floor=floor,
        )[0]

    monkeypatch.setattr(labels, "read", read)
    with pytest.raises(ValueError, match="none of the held-out pictures"):
        of_classes("held_out")
    assert [len(part) for part in of_classes("train")] == [2, 0]
    assert "none of the held-out pictures" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"style": "Barok"}, "such as Baroque; got 'Barok'"),
        ({"genre": "portrait"}, "genre must be .*; it knows style"),
        ({"title": "A storm"}, "title must be .*; it knows style"),
        ({"one_row_each": "genre"}, "genre must be .*; it knows style"),
        ({"one_row_each": "style", "style": "Rococo"}, "cannot be one and all"),
        ({"one_row_each": "style", "numbered": True}, "without numbered"),
    ],
)
def test_what_a_run_does_not_know_is_refused(
    asked_run: str, tmp_path: Path, asked: dict[str, Any], complaint: str
):
    with pytest.raises(ValueError, match=complaint):
        sample.main(asked_run, str(tmp_path / "out.png"), count=4, **asked)
    assert not (tmp_path / "out.png").exists()


def test_a_run_without_labels_says_that_it_knows_none(workdir: str, tmp_path: Path):
    with pytest.raises(ValueError, match=r"style must be .*; it knows no labels"):
        sample.main(workdir, str(tmp_path / "out.png"), style="Baroque")


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("labels", "digit", "paintings in .* has no digit"),
        ("labels", "genre", "none has a genre that at least 2 have"),
        ("labels", "style,style", "condition.labels must be .* each once"),
        ("min_pictures", 20, "none has a style that at least 20 have"),
        ("mismatch", -1.0, "condition.mismatch must be at least 0"),
    ],
)
def test_labels_that_pictures_lack_are_refused(
    every_option_config: Any, tmp_path: Path, key: str, value: Any, complaint: str
):
    config = every_option_config.copy_and_resolve_references()
    config.condition[key] = value
    with pytest.raises(ValueError, match=complaint):
        train.main(config, str(tmp_path / "run"))
    assert not (tmp_path / "run" / "config.json").exists()


def test_the_scores_of_conditions_are_not_normalised(
    every_option_config: Any, tmp_path: Path
):
    config = every_option_config.copy_and_resolve_references()
    config.discriminator.normalisation = "spectral"
    with pytest.raises(ValueError, match=r"must be batch or none .* got spectral"):
        train.main(config, str(tmp_path / "run"))


def test_a_run_goes_on_with_its_own_classes_alone(
    every_option_config: Any, asked_run: str
):
    config = every_option_config.copy_and_resolve_references()
    config.condition.min_pictures = 1
    with pytest.raises(ValueError, match=r"condition.min_pictures \(was 2, now 1\)"):
        train.main(config, asked_run)


def test_titles_are_asked_for_in_the_same_way(
    config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def embed(texts: list[str]) -> np.ndarray:
        """Return numbers of a text's letters, in place of a language model's."""
        rows = np.zeros((len(texts), titles.SIZE), np.float32)
        for row, text in zip(rows, texts, strict=True):
            row[[ord(letter) for letter in text]] = 1
        return rows

    monkeypatch.setattr(titles, "embed", embed)
    monkeypatch.setattr(titles, "check_installed", lambda: None)
    config.steps = 4
    config.condition.titles = True
    run = str(tmp_path / "run")
    train.main(config, run)

    def sampled(name: str, **asked: Any) -> bytes:
        sample.main(run, str(tmp_path / name), count=4, **asked)
        return pixels(tmp_path / name).tobytes()

    storm = sampled("a.png", title="a storm")
    assert storm == sampled("b.png", title="a storm")
    assert storm != sampled("c.png", title="a lady")
    assert storm != sampled("d.png")
    with pytest.raises(ValueError, match=r"style must be .*; it knows title"):
        sample.main(run, str(tmp_path / "e.png"), style="Baroque")
