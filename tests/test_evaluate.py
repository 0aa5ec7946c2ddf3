"""The command that says how good a model is."""

import functools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxart import evaluate, images, metrics, sample, spectra
from jaxart.gan import evaluation, feature_metrics, latents, trained
from jaxart.paintings import dataset, pipeline
from jaxart.paintings.sources.picture import TEXTS


COUNT = 24
LAYER = "relu1_1"  # the cheapest one
METRICS = {
    f"vgg_{name}{end}"
    for name in (
        *("frechet_distance", "kernel_distance"),
        *("precision", "recall", "density", "coverage"),
    )
    for end in ("", "_error")
}

NOT_OF_A_NETWORK = {
    f"{name}{end}"
    for name in ("checkerboard", "fine_power", "copies")
    for end in ("", "_error")
} | {"copies_threshold"}


Evaluated = Callable[..., dict[str, Any]]


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
def dark_held_out(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a dataset of these."""
    folder = str(tmp_path_factory.mktemp("data"))
    dataset.write(dataset.Paintings(records(), 30, size=32, data_dir=folder))
    return folder


@pytest.fixture(scope="module", autouse=True)
def small_and_compiled_once() -> Iterator[None]:
    """Small batches and blocks, and extractors that all tests share."""
    extractor = functools.cache(feature_metrics.vgg_extractor)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latents, "BATCH_SIZE", COUNT)
        patch.setattr(feature_metrics, "BATCH_SIZE", COUNT)
        patch.setattr(metrics, "BLOCK", 32)
        patch.setattr(feature_metrics, "vgg_extractor", lambda x: extractor(tuple(x)))
        yield


@pytest.fixture
def evaluated(workdir: str, dark_held_out: str, capfd: Any) -> Evaluated:
    """What the command prints."""

    def run(**settings: Any) -> dict[str, Any]:
        capfd.readouterr()
        defaults = {"count": COUNT, "layers": LAYER, "data_dir": dark_held_out}
        evaluate.main(workdir, **{**defaults, **settings})
        [line] = capfd.readouterr().out.splitlines()
        return json.loads(line)

    return run


def cut(data_dir: str, count: int, split: str = "train") -> np.ndarray:
    source = dataset.open_source(data_dir, "paintings", split)
    return pipeline.crops(source, size=32, count=count, seed=0)


def test_one_json_object_has_all_metrics(evaluated: Evaluated):
    found = evaluated()
    assert found.keys() >= METRICS | NOT_OF_A_NETWORK
    assert found["floor"].keys() == METRICS | NOT_OF_A_NETWORK | {"split"}
    assert found["noise"].keys() == METRICS | NOT_OF_A_NETWORK
    assert (found["step"], found["count"]) == (12, COUNT)
    assert found["pictures"] == {"train": 24, "held_out": 6}
    shown = ("train", "held_out", "samples")
    ends = ("", "_error")
    accuracy = found["discriminator_accuracy"]
    assert set(accuracy) == {f"{name}{end}" for name in shown for end in ends}
    assert all(0 <= v <= 1 for v in accuracy.values())
    distances = [
        scalars["vgg_frechet_distance"]
        for scalars in (found["floor"], found, found["noise"])
    ]
    assert distances == sorted(distances)


def test_seconds_are_of_each_set_that_was_not_cached(evaluated: Evaluated):
    first = evaluated(seed=7)["seconds"]
    second = evaluated(seed=7)["seconds"]
    for seconds in (first, second):
        assert set(seconds) == {"draw", "cut", "vgg", "total"}
        parts = ("crops", "samples", "floor", "noise", "held_out", "compare")
        assert set(seconds["vgg"]) == set(parts)
        several = [seconds["draw"], seconds["cut"], *seconds["vgg"].values()]
        assert 0 < sum(filter(None, several)) <= seconds["total"] + 0.1
    assert None not in first["vgg"].values()
    again = {name for name, value in second["vgg"].items() if value is not None}
    assert again == {"samples", "compare"}


def test_the_same_seed_gives_the_same_metrics(evaluated: Evaluated):
    def scalars(**settings: Any) -> dict[str, Any]:
        found = evaluated(**settings)
        return {k: v for k, v in found.items() if k != "seconds"}

    first = scalars()
    assert scalars(step="12") == first
    assert scalars(step="4") != first
    assert scalars(seed=1)["vgg_frechet_distance"] != first["vgg_frechet_distance"]


def test_metrics_are_those_of_samples_and_crops(
    evaluated: Evaluated, workdir: str, dark_held_out: str, tmp_path: Path
):
    found = evaluated(layers="relu1_2")
    sample.main(workdir, f"{tmp_path}/", count=COUNT)
    samples = [np.asarray(Image.open(path)) for path in sorted(tmp_path.iterdir())]
    crops = cut(dark_held_out, 2 * COUNT)
    extractor = feature_metrics.vgg_extractor(["relu1_2"])
    real, other, fake = (
        feature_metrics.extract_features(extractor, pixels, "").values
        for pixels in (crops[:COUNT], crops[COUNT:], np.stack(samples))
    )
    for scalars, rows in ((found, fake), (found["floor"], other)):
        expected = feature_metrics.compare_features(real, rows, network="vgg", seed=0)
        for name, value in expected.items():
            assert scalars[name] == pytest.approx(value)


def test_spectra_and_copies_are_those_of_samples_and_crops(
    evaluated: Evaluated, workdir: str, dark_held_out: str, tmp_path: Path
):
    found = evaluated()
    sample.main(workdir, f"{tmp_path}/", count=COUNT)
    samples = np.stack([np.asarray(Image.open(p)) for p in sorted(tmp_path.iterdir())])
    crops, dark = cut(dark_held_out, COUNT), cut(dark_held_out, COUNT, "held_out")
    expected = spectra.compare(spectra.powers(samples), spectra.powers(crops))
    assert found["checkerboard"] == pytest.approx(expected.checkerboard.value)
    assert found["fine_power_error"] == pytest.approx(expected.fine_power.error)
    extractor = feature_metrics.vgg_extractor([LAYER])
    rows = [
        feature_metrics.extract_features(extractor, pixels, "").values
        for pixels in (samples, dark, crops)
    ]
    nearest, usual = (
        np.linalg.norm(x[:, None] - rows[2][None], axis=2).min(axis=1) for x in rows[:2]
    )
    assert found["copies_threshold"] == pytest.approx(np.percentile(usual, 1), rel=1e-4)
    assert found["copies"] == np.mean(nearest < np.percentile(usual, 1))
    # Of the same pictures as the crops, where those held out are darker.
    assert found["floor"]["copies"] == 1
    assert found["noise"]["copies"] == 0
    assert evaluated(floor="held_out")["floor"]["copies"] == pytest.approx(1 / COUNT)


def test_the_floor_may_be_of_held_out_pictures(evaluated: Evaluated):
    train_floor = evaluated()["floor"]
    held_out = evaluated(floor="held_out")["floor"]
    # They are darker than the others.
    assert held_out["split"] == "held_out"
    distances = (floor["vgg_frechet_distance"] for floor in (train_floor, held_out))
    assert np.less(*distances)


def test_as_many_training_pictures_are_classified_as_held_out_ones(
    evaluated: Evaluated, monkeypatch
):
    classified: list[set[float]] = []

    def make_real_fraction(discriminator: Any, batch_size: int) -> Any:
        def real_fraction(state: Any, pixels: np.ndarray) -> metrics.Estimate:
            # Each picture is of one brightness, and noise around it.
            classified.append(set(np.round(pixels.mean((1, 2, 3)))))
            return metrics.Estimate(0.5, np.nan)

        return real_fraction

    monkeypatch.setattr(feature_metrics, "make_real_fraction", make_real_fraction)
    accuracy = evaluated(count=4 * COUNT)["discriminator_accuracy"]
    seen, unseen, _ = classified
    assert 4 <= len(seen) <= 12
    assert 4 <= len(unseen) <= 12
    assert min(seen) > 70 > max(unseen)
    assert accuracy["held_out"] == 0.5
    assert accuracy["held_out_error"] is None


def test_the_relativistic_loss_has_no_accuracy(every_option_run: Path):
    discriminator = trained.restore_discriminator(str(every_option_run))
    pixels = np.zeros((8, 32, 32, 3), np.uint8)
    found = evaluation.accuracy(discriminator, pixels, pixels, pixels)
    assert set(found) > {"train", "held_out", "samples"}
    assert set(found.values()) == {None}


def test_both_networks_are_of_one_step_even_if_the_run_saves_another(
    evaluated: Evaluated, monkeypatch
):
    restored = trained.restore_generator

    def generator(
        workdir: str, step: str | None, weights: trained.Weights | None
    ) -> trained.TrainedNetwork:
        assert step is None
        # The latest one, when it was asked for.
        return restored(workdir, "8", weights)

    expected = evaluated(step="8")
    monkeypatch.setattr(trained, "restore_generator", generator)
    found = evaluated()
    assert found["step"] == 8
    accuracy = "discriminator_accuracy"
    assert found[accuracy] == expected[accuracy]


def test_inception_adds_its_metrics(evaluated: Evaluated, monkeypatch):
    before = evaluated()
    means = feature_metrics.Extractor(
        "means", lambda x: jnp.asarray(x.mean((1, 2)), "float32")
    )
    monkeypatch.setattr(feature_metrics, "inception_extractor", lambda path: means)
    found = evaluated(inception_weights="file.pth")
    names = {name.replace("vgg", "inception") for name in METRICS}
    assert found.keys() - before.keys() == names
    for part in ("floor", "noise"):
        assert found[part].keys() - before[part].keys() == names
    assert found["seconds"].keys() - before["seconds"].keys() == {"inception"}
    assert all(found[name] == before[name] for name in METRICS)


def test_samples_are_beside_their_nearest_crops(
    evaluated: Evaluated, workdir: str, dark_held_out: str, tmp_path: Path
):
    evaluated(nearest=str(tmp_path / "nearest.png"))
    sample.main(workdir, f"{tmp_path}/many/", count=evaluation.SAMPLES)
    with Image.open(tmp_path / "nearest.png") as picture:
        grid = np.asarray(picture)
    step = 32 + images.BORDER
    rows, columns = evaluation.SAMPLES, 1 + evaluation.NEIGHBOURS
    assert grid.shape == (rows * step - 2, columns * step - 2, 3)
    crops = [crop.tobytes() for crop in cut(dark_held_out, COUNT)]
    for row, path in enumerate(sorted((tmp_path / "many").iterdir())):
        cells = [
            grid[row * step : row * step + 32, column * step : column * step + 32]
            for column in range(columns)
        ]
        with Image.open(path) as picture:
            np.testing.assert_array_equal(cells[0], np.asarray(picture))
        beside = [crops.index(cell.tobytes()) for cell in cells[1:]]
        assert len(set(beside)) == evaluation.NEIGHBOURS


def test_a_dataset_without_held_out_pictures_is_evaluated_without_them(
    workdir: str, dark_held_out: str, tmp_path: Path, capfd
):
    shutil.copytree(dark_held_out, tmp_path / "data")
    path = tmp_path / "data/paintings/1.0.0/dataset_info.json"
    info = json.loads(path.read_text())
    path.write_text(json.dumps(info | {"splits": info["splits"][:1]}))
    settings = {"count": COUNT, "layers": LAYER, "data_dir": str(tmp_path / "data")}
    evaluate.main(workdir, **settings)
    output = capfd.readouterr()
    found = json.loads(output.out)
    assert found["copies"] is found["copies_error"] is found["copies_threshold"] is None
    accuracy = found["discriminator_accuracy"]
    assert accuracy["held_out"] is accuracy["held_out_error"] is None
    [note] = [line for line in output.err.splitlines() if "held-out" in line]
    assert "paintings in" in note
    assert "has no held-out split: it was prepared by an earlier" in note
    with pytest.raises(ValueError, match="has no held-out split"):
        evaluate.main(workdir, **settings, floor="held_out")


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"seed": -1}, "seed must be at least 0; got -1"),
        ({"data_dir": "/nowhere"}, "data_dir must hold a dataset"),
        ({"count": 19}, "count must be at least 20; got 19"),
        ({"layers": "relu3_3,relu9_1"}, "layer must be one of .*; got 'relu9_1'"),
        ({"layers": ""}, "layer must be one of"),
        ({"nearest": "near.gif"}, "nearest must end in .png; got 'near.gif'"),
        ({"inception_weights": "/no.pth"}, "weights must be a file; /no.pth"),
        ({"step": "5"}, r"step must be one of the checkpoints \[4, 8, 12\].*got 5"),
        ({"step": "best"}, "step best needs a checkpoint that was evaluated"),
        ({"workdir": "/nowhere"}, "workdir must hold a run"),
    ],
)
def test_invalid_arguments_are_refused(
    workdir: str, capfd, monkeypatch, settings: dict, complaint: str
):
    def sample_pictures(*args: Any, **settings: Any) -> None:
        raise AssertionError("sampled before all arguments were checked")

    monkeypatch.setattr(latents, "sample_pictures", sample_pictures)
    with pytest.raises(ValueError, match=complaint) as caught:
        evaluate.main(**{"workdir": workdir, "count": COUNT, **settings})
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().out == ""
