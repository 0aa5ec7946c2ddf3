"""The command that says how good a model is."""

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxart import evaluate, images, metrics, sample, train
from jaxart.gan import latents, quality, trained
from jaxart.paintings import dataset, pipeline
from jaxart.paintings.sources.painting import TEXTS


COUNT = 24
LAYER = "relu1_2"  # the cheapest one
FIGURES = {
    f"vgg_{name}{end}"
    for name in (
        *("frechet_distance", "kernel_distance"),
        *("precision", "recall", "density", "coverage"),
    )
    for end in ("", "_error")
}


def records() -> Iterator[dataset.SplitRecord]:
    """Thirty pictures, of which each fifth is held out; these are dark."""
    rng = np.random.default_rng(0)
    for number in range(30):
        held_out = number % 5 == 0
        bright = rng.integers(20, 60) if held_out else rng.integers(80, 215)
        noise = rng.integers(-20, 20, (64, 70, 3))
        texts = dict.fromkeys(TEXTS, "") | {"filename": str(number)}
        pixels = (bright + noise).astype(np.uint8)
        yield dataset.SplitRecord({"pixels": pixels, **texts}, held_out)


@pytest.fixture(scope="module")
def run(small_config: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run of twelve steps on these, not evaluated."""
    config = copy.deepcopy(small_config)
    config.data.data_dir = str(tmp_path_factory.mktemp("data"))
    builder = dataset.Paintings(records(), 30, size=32, data_dir=config.data.data_dir)
    dataset.write(builder)
    workdir = str(tmp_path_factory.mktemp("run"))
    train.main(config, workdir)
    return workdir


def data_dir(run: str) -> str:
    return json.loads(Path(run, "config.json").read_text())["data"]["data_dir"]


def cut(run: str, count: int, split: str = "train") -> np.ndarray:
    source = dataset.open_source(data_dir(run), "paintings", split)
    return pipeline.crops(source, size=32, count=count, seed=0)


def evaluated(capfd: Any, run: str, **settings: Any) -> dict[str, Any]:
    capfd.readouterr()
    evaluate.main(run, **{"count": COUNT, "layers": LAYER, **settings})
    [line] = capfd.readouterr().out.splitlines()
    return json.loads(line)


def test_one_json_object_says_it_all(run: str, capfd):
    found = evaluated(capfd, run)
    assert found.keys() >= FIGURES
    assert found["floor"].keys() == FIGURES | {"split"}
    assert found["noise"].keys() == FIGURES
    assert (found["step"], found["count"]) == (12, COUNT)
    assert found["pictures"] == {"train": 24, "held_out": 6}
    shown = ("train", "held_out", "samples")
    ends = ("", "_error")
    accuracy = found["discriminator_accuracy"]
    assert set(accuracy) == {f"{name}{end}" for name in shown for end in ends}
    assert all(0 <= v <= 1 for v in accuracy.values())
    distances = [
        figures["vgg_frechet_distance"]
        for figures in (found["floor"], found, found["noise"])
    ]
    assert distances == sorted(distances)


def test_seconds_are_of_each_set_that_was_not_kept(run: str, capfd):
    fresh = evaluated(capfd, run, seed=7)["seconds"]
    kept = evaluated(capfd, run, seed=7)["seconds"]
    for seconds in (fresh, kept):
        assert set(seconds) == {"draw", "cut", "vgg", "total"}
        parts = ("crops", "samples", "floor", "noise", "compare")
        assert set(seconds["vgg"]) == set(parts)
        several = [seconds["draw"], seconds["cut"], *seconds["vgg"].values()]
        assert 0 < sum(filter(None, several)) <= seconds["total"] + 0.1
    assert None not in fresh["vgg"].values()
    again = {name for name, value in kept["vgg"].items() if value is not None}
    assert again == {"samples", "compare"}


def test_the_same_seed_gives_the_same_figures(run: str, capfd):
    def figures(**settings: Any) -> dict[str, Any]:
        found = evaluated(capfd, run, **settings)
        return {k: v for k, v in found.items() if k != "seconds"}

    first = figures()
    assert figures(step="12") == first
    assert figures(step="4") != first
    assert figures(seed=1)["vgg_frechet_distance"] != first["vgg_frechet_distance"]


def test_figures_are_those_of_samples_and_crops(run: str, tmp_path: Path, capfd):
    found = evaluated(capfd, run, layers="relu2_2")
    sample.main(run, f"{tmp_path}/", count=COUNT)
    samples = [np.asarray(Image.open(path)) for path in sorted(tmp_path.iterdir())]
    crops = cut(run, 2 * COUNT)
    extractor = quality.vgg_extractor(["relu2_2"])
    real, other, fake = (
        quality.described(extractor, pixels, "").rows
        for pixels in (crops[:COUNT], crops[COUNT:], np.stack(samples))
    )
    for figures, rows in ((found, fake), (found["floor"], other)):
        expected = quality.compared(real, rows, network="vgg", seed=0)
        for name, value in expected.items():
            assert figures[name] == pytest.approx(value)


def test_the_floor_may_be_of_pictures_that_were_held_out(run: str, capfd):
    train_floor = evaluated(capfd, run)["floor"]
    held_out = evaluated(capfd, run, floor="held_out")["floor"]
    # They are darker than the others.
    assert held_out["split"] == "held_out"
    distances = (floor["vgg_frechet_distance"] for floor in (train_floor, held_out))
    assert np.less(*distances)


def test_as_many_pictures_are_judged_that_were_seen_as_that_were_not(
    run: str, capfd, monkeypatch
):
    judged: list[set[float]] = []

    def judge(discriminator: Any, batch_size: int) -> Any:
        def believed(player: Any, pixels: np.ndarray) -> metrics.Estimate:
            # Each picture is of one brightness, and noise around it.
            judged.append(set(np.round(pixels.mean((1, 2, 3)))))
            return metrics.Estimate(0.5, np.nan)

        return believed

    monkeypatch.setattr(quality, "judge", judge)
    accuracy = evaluated(capfd, run, count=4 * COUNT)["discriminator_accuracy"]
    seen, unseen, _ = judged
    assert 4 <= len(seen) <= 12
    assert 4 <= len(unseen) <= 12
    assert min(seen) > 70 > max(unseen)
    assert accuracy["held_out"] == 0.5
    assert accuracy["held_out_error"] is None


def test_both_networks_are_of_one_step_even_if_a_run_goes_on(
    run: str, capfd, monkeypatch
):
    restored = trained.generator

    def generator(workdir: str, step: str | None) -> trained.Trained:
        assert step is None
        return restored(workdir, "8")  # the latest one, when it was asked for

    expected = evaluated(capfd, run, step="8")
    monkeypatch.setattr(trained, "generator", generator)
    found = evaluated(capfd, run)
    assert found["step"] == 8
    accuracy = "discriminator_accuracy"
    assert found[accuracy] == expected[accuracy]


def test_the_dataset_is_described_once(run: str, capfd, monkeypatch):
    evaluated(capfd, run)
    described: list[int] = []
    extractor = quality.vgg_extractor([LAYER])

    def describe(pixels: np.ndarray) -> Any:
        described.append(len(pixels))
        return extractor.describe(pixels)

    counting = extractor._replace(describe=describe)
    monkeypatch.setattr(quality, "vgg_extractor", lambda layers: counting)
    evaluated(capfd, run)
    assert len(described) == -(-COUNT // quality.BATCH)


def test_inception_adds_its_distances(run: str, capfd, monkeypatch):
    before = evaluated(capfd, run)
    means = quality.Extractor("means", lambda x: jnp.asarray(x.mean((1, 2)), "float32"))
    monkeypatch.setattr(quality, "inception_extractor", lambda path: means)
    found = evaluated(capfd, run, inception_weights="file.pth")
    names = {name.replace("vgg", "inception") for name in FIGURES}
    assert found.keys() - before.keys() == names
    for part in ("floor", "noise"):
        assert found[part].keys() - before[part].keys() == names
    assert found["seconds"].keys() - before["seconds"].keys() == {"inception"}
    assert all(found[name] == before[name] for name in FIGURES)


def test_samples_stand_beside_their_nearest_crops(run: str, tmp_path: Path, capfd):
    evaluated(capfd, run, nearest=str(tmp_path / "nearest.png"))
    sample.main(run, f"{tmp_path}/many/", count=evaluate.SAMPLES)
    with Image.open(tmp_path / "nearest.png") as picture:
        grid = np.asarray(picture)
    step = 32 + images.BORDER
    rows, columns = evaluate.SAMPLES, 1 + evaluate.NEIGHBOURS
    assert grid.shape == (rows * step - 2, columns * step - 2, 3)
    crops = [crop.tobytes() for crop in cut(run, COUNT)]
    for row, path in enumerate(sorted((tmp_path / "many").iterdir())):
        cells = [
            grid[row * step : row * step + 32, column * step : column * step + 32]
            for column in range(columns)
        ]
        with Image.open(path) as picture:
            np.testing.assert_array_equal(cells[0], np.asarray(picture))
        beside = [crops.index(cell.tobytes()) for cell in cells[1:]]
        assert len(set(beside)) == evaluate.NEIGHBOURS


def test_a_dataset_from_before_is_evaluated_without_what_it_lacks(
    run: str, tmp_path: Path, capfd
):
    shutil.copytree(data_dir(run), tmp_path / "data")
    path = tmp_path / "data/paintings/1.0.0/dataset_info.json"
    info = json.loads(path.read_text())
    path.write_text(json.dumps(info | {"splits": info["splits"][:1]}))
    settings = {"count": COUNT, "layers": LAYER, "data_dir": str(tmp_path / "data")}
    evaluate.main(run, **settings)
    output = capfd.readouterr()
    accuracy = json.loads(output.out)["discriminator_accuracy"]
    assert accuracy["held_out"] is accuracy["held_out_error"] is None
    [note] = [line for line in output.err.splitlines() if "held-out" in line]
    assert "paintings in" in note
    assert "has no held-out split: it was prepared by an earlier" in note
    with pytest.raises(ValueError, match="has no held-out split"):
        evaluate.main(run, **settings, floor="held_out")


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"seed": -1}, "seed must not be negative; got -1"),
        ({"data_dir": "/nowhere"}, "data_dir must hold a dataset"),
        ({"count": 19}, "count must be at least 20; got 19"),
        ({"layers": "relu3_3,relu9_1"}, "layer must be one of .*; got 'relu9_1'"),
        ({"layers": ""}, "layer must be one of"),
        ({"nearest": "near.gif"}, "nearest must be FILE.png; got 'near.gif'"),
        ({"inception_weights": "/no.pth"}, "weights must be a file; /no.pth"),
        ({"step": "5"}, r"step must be one of the checkpoints \[4, 8, 12\].*got 5"),
        ({"step": "best"}, "step best needs a checkpoint that was evaluated"),
        ({"workdir": "/nowhere"}, "workdir must hold a run"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(
    run: str, capfd, monkeypatch, settings: dict, complaint: str
):
    def drawn(*args: Any, **settings: Any) -> None:
        raise AssertionError("drawn before all was seen to be right")

    monkeypatch.setattr(latents, "pictures", drawn)
    with pytest.raises(ValueError, match=complaint) as caught:
        evaluate.main(**{"workdir": run, "count": COUNT, **settings})
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().out == ""


def test_a_run_without_a_checkpoint_is_refused(run: str, tmp_path: Path):
    shutil.copy(Path(run, "config.json"), tmp_path)
    with pytest.raises(ValueError, match=r"must hold a checkpoint; .* none yet"):
        evaluate.main(str(tmp_path))


def test_somebody_elses_picture_is_not_overwritten(run: str, tmp_path: Path):
    out = tmp_path / "portrait.png"
    Image.new("RGB", (3, 3)).save(out)
    with pytest.raises(OSError, match="not written by jaxart"):
        evaluate.main(run, count=COUNT, nearest=str(out))
