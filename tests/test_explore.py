"""The paper's figures, from a run as small as it gets."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import jax
import numpy as np
import pytest
from PIL import Image, ImageSequence

from jaxart import explore, figures, films, images, sample
from jaxart.gan import deconvnet, feature_figures, latent_figures, latents, trained
from jaxart.paintings import pipeline, training_data


SIDE = 32  # of the run's pictures
STEP = SIDE + images.BORDER
MARGIN = 8


@pytest.fixture(scope="module", autouse=True)
def distinct_samples() -> Iterator[None]:
    """Larger weights than those of the run, so that its samples differ; small batches.

    A hundred pictures in a call are more than these tests need.
    """
    restore = trained._restored

    def with_larger_kernels(*args: Any) -> trained.TrainedNetwork:
        model = restore(*args)
        params = jax.tree.map(lambda x: 3 * x if x.ndim == 4 else x, model.state.params)
        return model._replace(state=model.state._replace(params=params))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trained, "_restored", with_larger_kernels)
        patch.setattr(latents, "BATCH_SIZE", 8)
        yield


@pytest.fixture(scope="module")
def singles(workdir: str, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """The pictures that `sample` draws, by their numbers."""
    folder = tmp_path_factory.mktemp("singles")
    sample.main(workdir, f"{folder}/", count=8)
    return np.stack([pixels(path) for path in sorted(folder.iterdir())])


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def near(pixels: np.ndarray, expected: np.ndarray) -> bool:
    """Equal but for the rounding of another batch size."""
    return np.abs(pixels.astype(int) - expected).max() <= 1


def find(figure: np.ndarray, picture: np.ndarray) -> list[tuple[int, int]]:
    """Rows and columns where a picture is in a figure."""
    h, w, _ = picture.shape
    # Few places of a white figure match the pixel that is farthest from white.
    darkest = picture.astype(int).sum(-1).argmin()
    row, column = divmod(int(darkest), w)
    matches = np.abs(figure.astype(int) - picture[row, column]).max(-1) <= 1
    corners = np.argwhere(matches) - (row, column)
    return [
        (int(top), int(left))
        for top, left in corners[(corners >= 0).all(1)]
        if figure[top : top + h, left : left + w].shape == picture.shape
        and near(figure[top : top + h, left : left + w], picture)
    ]


def test_rows_start_and_end_with_the_pictures_of_their_numbers(
    workdir, singles, tmp_path
):
    out = tmp_path / "a.png"
    explore.interpolation(workdir, str(out), seeds="3,0,6", pictures=4)
    figure = pixels(out)
    top, left = min(find(figure, singles[3]))
    for row, (start, end) in enumerate([(3, 0), (0, 6), (6, 3)]):
        assert (top + row * STEP, left) in find(figure, singles[start])
        assert (top + row * STEP, left + 3 * STEP) in find(figure, singles[end])
        # The numbers are beside them.
        beside = figure[top + row * STEP :][:SIDE]
        assert find(beside[:, :left], figures.render_text(str(start)))
        assert find(beside[:, left + 4 * STEP :], figures.render_text(str(end)))


def test_an_open_path_has_one_row_less(workdir, singles, tmp_path):
    out = tmp_path / "a.png"
    explore.interpolation(workdir, str(out), seeds="1,2", pictures=5, loop=False)
    figure = pixels(out)
    assert figure.shape[0] == SIDE + 2 * MARGIN
    ((top, left),) = find(figure, singles[1])
    assert find(figure, singles[2]) == [(top, left + 4 * STEP)]


def test_the_default_points_are_the_first_ones(workdir, tmp_path):
    explore.interpolation(workdir, f"{tmp_path}/a.png", pictures=2, points=3)
    explore.interpolation(workdir, f"{tmp_path}/b.png", pictures=2, seeds="0,1,2")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_both_methods_have_the_same_ends_but_not_the_same_middle(workdir, tmp_path):
    drawn = {}
    for way in get_args(latents.Method):
        out = tmp_path / f"{way}.png"
        explore.interpolation(workdir, str(out), seeds="1,2", pictures=3, way=way)
        drawn[way] = pixels(out)
    differing = np.abs(drawn["linear"].astype(int) - drawn["spherical"]).max((0, 2)) > 1
    columns = np.flatnonzero(differing)
    assert len(columns) > 0
    assert columns.max() - columns.min() < SIDE


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_a_closed_film_shows_each_point_once(workdir, singles, tmp_path, suffix):
    out = tmp_path / f"a{suffix}"
    explore.interpolation(workdir, str(out), seeds="3,0,6", pictures=5)
    with Image.open(out) as film:
        frames = [np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(film)]
    assert len(frames) == 15
    large = figures.enlarge(singles, latent_figures.FILM_SIDE).astype(int)
    for index, number in ((0, 3), (5, 0), (10, 6)):
        distances = np.abs(frames[index] - large).mean((1, 2, 3))
        assert distances.argmin() == number


def test_a_film_of_strokes_is_as_large_as_asked(strokes_run: Path, tmp_path: Path):
    out = tmp_path / "a.webp"
    explore.interpolation(
        str(strokes_run), str(out), seeds="0,1", pictures=2, pixels=64, brush="bristle"
    )
    with Image.open(out) as film:
        assert film.size == (64, 64)


@pytest.mark.parametrize("side", [0, 70_000])
def test_pictures_of_strokes_have_a_size(strokes_run: Path, tmp_path: Path, side: int):
    with pytest.raises(ValueError, match=r"pixels must be at .*; got"):
        explore.interpolation(str(strokes_run), f"{tmp_path}/a.webp", pixels=side)


def test_an_open_film_ends_with_the_last_point(workdir, singles, tmp_path, monkeypatch):
    frames = []

    def write(path, pictures, **options):
        frames.extend(pictures)

    monkeypatch.setattr(films, "write", write)
    out = f"{tmp_path}/a.webp"
    explore.interpolation(workdir, out, seeds="3,6,1", pictures=2, loop=False)
    assert len(frames) == 2 * 2 + 1
    large = figures.enlarge(singles, latent_figures.FILM_SIDE)
    for index, number in ((0, 3), (2, 6), (-1, 1)):
        assert near(frames[index], large[number])


def test_arithmetic_shows_its_terms_and_a_row_for_each_result(
    workdir, singles, tmp_path
):
    out = tmp_path / "a.png"
    explore.arithmetic(workdir, str(out), plus="3", minus="0", to="6,7")
    figure, large = pixels(out), figures.enlarge(singles, latent_figures.TERM_SIDE)
    ((_, first),), ((_, second),) = (find(figure, large[n]) for n in (3, 0))
    ((top, third),), ((bottom, below),) = (find(figure, large[n]) for n in (6, 7))
    assert first < second < third == below
    assert top < bottom
    for caption in ("z1: 3", "z2: 0", "z3: 6", "z3: 7"):
        assert len(find(figure, figures.render_text(caption))) == 1
    assert len(find(figure, figures.render_text("z1 - z2 + z3"))) == 2


def test_the_points_of_an_average_are_shown(workdir, singles, tmp_path):
    out = tmp_path / "a.png"
    explore.arithmetic(workdir, str(out), plus="3,5,6", minus="1,2", to="0+7,4")
    figure = pixels(out)
    for number in (3, 5, 6, 1, 2, 0, 7):
        assert len(find(figure, singles[number])) == 1
        assert find(figure, figures.render_text(str(number)))
    assert len(find(figure, figures.render_text("z1: the average of"))) == 1
    # A single point is a large picture only.
    assert not find(figure, singles[4])
    assert (
        len(find(figure, figures.enlarge(singles[4:5], latent_figures.TERM_SIDE)[0]))
        == 1
    )


def test_a_picture_is_shown_beside_the_projections(workdir, singles, tmp_path):
    path, out = tmp_path / "picture.png", tmp_path / "a.png"
    Image.fromarray(singles[0]).save(path)
    explore.deconvnet(workdir, str(out), picture=str(path), filters=4)
    figure = pixels(out)
    (large,) = figures.enlarge(singles[:1], feature_figures.PICTURE_SIDE)
    assert len(find(figure, large)) == 1
    # To the right of it, for each layer, two pairs of tiles beneath words.
    left = MARGIN + feature_figures.PICTURE_SIDE + 12
    top = MARGIN + len(figures.render_text("layer")) + figures.GAP
    for row, column in np.ndindex(3, 4):
        corner = figure[top + row * (top - MARGIN + SIDE + 8) :, left + column * STEP :]
        tile = corner[:SIDE, :SIDE]
        # A contrast of its own around grey.
        assert tile.min() == 0 or tile.max() == 255
        assert 100 < np.median(tile) < 156
    for layer, sees in enumerate((4, 10, 22), start=1):
        title = f"layer {layer}: 4 of {4 * 2 ** (layer - 1)} features"
        title += f", each place sees {sees} x {sees} pixels"
        assert len(find(figure, figures.render_text(title))) == 1


def test_colours_are_those_of_the_dataset_and_not_of_the_picture(workdir, tmp_path):
    """A grey picture, and a network that learned from colours."""
    grey, out = tmp_path / "grey.png", tmp_path / "a.png"
    levels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    Image.fromarray(levels).save(grey)
    explore.deconvnet(workdir, str(out), picture=str(grey), filters=2)
    assert np.ptp(pixels(out), axis=-1).any()
    moved = tmp_path / "digits"
    shutil.copytree(workdir, moved)
    config = json.loads((moved / "config.json").read_text())
    config["data"]["name"] = "mnist"
    (moved / "config.json").write_text(json.dumps(config))
    explore.deconvnet(str(moved), str(out), picture=str(grey), filters=2)
    assert not np.ptp(pixels(out), axis=-1).any()


@pytest.mark.parametrize("keep", ["map", "place"])
def test_without_a_picture_each_feature_has_a_crop_of_the_dataset(
    workdir, tmp_path, keep
):
    out = tmp_path / "a.png"
    explore.deconvnet(workdir, str(out), keep=keep, filters=3, crops=24)
    height, width, _ = pixels(out).shape
    words = figures.render_text("layer").shape[0]
    # Three layers, each a line of words above three pairs.
    band = words + figures.GAP + 2 * SIDE + figures.GAP
    assert height == 2 * MARGIN + 3 * band + 2 * 8
    assert width >= 2 * MARGIN + 3 * STEP - images.BORDER


def test_only_as_many_crops_are_used_as_asked_for(
    workdir, small_config, data_dir, tmp_path, monkeypatch
):
    source = training_data.open_records_by_name(
        "paintings", data_dir, source="", size=SIDE
    )
    crops = pipeline.crops(source, size=SIDE, count=3, seed=0)
    # The last of them is alone in its batch.
    monkeypatch.setattr(deconvnet, "BATCH_SIZE", 2)
    out = tmp_path / "a.png"
    explore.deconvnet(workdir, str(out), filters=4, crops=3)
    figure = pixels(out)
    shown = [len(find(figure, crop)) for crop in crops]
    assert sum(shown) == 3 * 4
    assert shown[2] > 0


def test_contrast_is_symmetric_about_zero():
    rng = np.random.default_rng(0)
    projections = rng.normal(size=(2, 8, 8, 3)).astype(np.float32)
    projections[1] *= 1000
    scaled = feature_figures._stretch(projections)
    np.testing.assert_allclose(feature_figures._stretch(-projections), -scaled)
    np.testing.assert_array_equal(feature_figures._stretch(0 * projections), 0)
    assert (np.abs(scaled) > 1).mean() == pytest.approx(0.01, abs=0.005)
    # The scale of a projection does not show.
    np.testing.assert_allclose(
        feature_figures._stretch(projections[:1]),
        feature_figures._stretch(1000 * projections[:1]),
        rtol=1e-5,
    )


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (
            {"seeds": "3,128"},
            "the grid of 128 .* from 0 to 127; got 128",
        ),
        ({"seeds": "3,9", "count": 8}, "seeds must be on the grid of 8 .*; got 9"),
        ({"seeds": "-1,3"}, "seeds must be on the grid .*; got -1"),
        ({"seeds": "3,x"}, "seeds must be whole numbers such as 3,17; got '3,x'"),
        ({"seeds": "3"}, "at least two points; got 1"),
        ({"points": 1}, "at least two points; got 1"),
        ({"points": 9, "count": 8}, "at most the 8 pictures of the grid; got 9"),
        ({"pictures": 1}, "pictures must be at least 2; got 1"),
        ({"pictures": 0}, "pictures must be at least 2; got 0"),
        ({"out": "a.bmp"}, r"out must end in \.png or \.gif or .*; got 'a.bmp'"),
        ({"step": "5"}, "step must be one of"),
        ({"workdir": "/nowhere"}, "workdir must hold a run"),
    ],
)
def test_invalid_interpolations_are_refused(workdir, tmp_path, settings, complaint):
    settings = {"workdir": workdir, "out": f"{tmp_path}/a.png", **settings}
    with pytest.raises(ValueError, match=complaint):
        explore.interpolation(**settings)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"plus": "128"}, "plus must be on the grid .*; got 128"),
        ({"minus": "1,-2"}, "minus must be on the grid .*; got -2"),
        ({"to": "1,2+200"}, "to must be on the grid .*; got 200"),
        ({"to": "1,,2"}, "to must be whole numbers"),
        ({"plus": ""}, "plus must be whole numbers"),
        ({"out": "a.gif"}, r"out must end in \.png; got 'a.gif'"),
    ],
)
def test_invalid_arithmetic_is_refused(workdir, tmp_path, settings, complaint):
    settings = {"plus": "1", "minus": "2", "to": "3", **settings}
    settings = {"workdir": workdir, "out": f"{tmp_path}/a.png", **settings}
    with pytest.raises(ValueError, match=complaint):
        explore.arithmetic(**settings)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"picture": "missing.png"}, "picture missing.png: missing"),
        ({"picture": "small.png"}, "at least 32 pixels .*small.png is 40 x 31"),
        ({"filters": 0}, "filters must be at least 1; got 0"),
        ({"crops": 0}, "crops must be at least 1; got 0"),
        ({"data_dir": "/nowhere"}, "nowhere"),
        ({"out": "a.jpg"}, r"out must end in \.png; got 'a.jpg'"),
    ],
)
def test_invalid_projections_are_refused(
    workdir, tmp_path, monkeypatch, settings, complaint
):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (40, 31)).save("small.png")
    settings = {"workdir": workdir, "out": "a.png", **settings}
    with pytest.raises(ValueError, match=complaint):
        explore.deconvnet(**settings)


def test_a_foreign_file_is_not_overwritten(workdir, tmp_path):
    out = tmp_path / "portrait.png"
    Image.new("RGB", (3, 3)).save(out)
    before = out.read_bytes()
    for attempt in (
        lambda: explore.interpolation(workdir, str(out)),
        lambda: explore.arithmetic(workdir, str(out), plus="1", minus="2", to="3"),
        lambda: explore.deconvnet(workdir, str(out)),
    ):
        with pytest.raises(FileExistsError, match="not written by jaxart"):
            attempt()
    assert out.read_bytes() == before


def test_help_lists_the_figures():
    done = subprocess.run(
        [sys.executable, "-m", "jaxart.explore", "--help"],
        capture_output=True,
        text=True,
    )
    for text in ("interpolation: Interpolate", "arithmetic: Add", "deconvnet: Show"):
        assert text in done.stdout


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_a_film_shows_the_samples_of_the_training(workdir, tmp_path, capsys, suffix):
    out = tmp_path / f"a.{suffix}"
    explore.training(workdir, str(out), fps=2)
    with Image.open(out) as film:
        frames = [np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(film)]
    # Of steps 6 and 12; the last one is shown for a second more.
    assert 2 <= len(frames) <= 4
    grid = pixels(Path(workdir) / "samples/000006.png")
    top = frames[0][: len(grid)].astype(int)
    left = (top.shape[1] - grid.shape[1]) // 2
    assert np.abs(top[:, left:][:, : grid.shape[1]] - grid).mean() < 10
    assert "2 grids of samples, of steps 6 to 12, are in" in capsys.readouterr().out


@pytest.mark.parametrize("separator", [",", None])
def test_curves_of_several_runs_are_drawn(workdir, tmp_path, separator, capsys):
    (tmp_path / "with,comma").mkdir()
    other = str(tmp_path / "with,comma")
    shutil.copy(Path(workdir) / "metrics.jsonl", other)
    second = tmp_path / "run"  # a name that the first has too
    shutil.copytree(other, second)
    folders = [workdir, str(second)]
    words = [",".join(folders)] if separator else [*folders, other]
    explore.curves(words, f"{tmp_path}/a.png")
    assert pixels(tmp_path / "a.png").shape == (800, 1200, 3)
    out = capsys.readouterr().out
    assert f"curves of {workdir}, {second}" in out
    assert ("with,comma" in out) == (separator is None)


@pytest.mark.parametrize(
    ("name", "settings", "complaint"),
    [
        ("training", {"out": "a.png"}, "out must end in .gif or .webp or .mp4"),
        ("training", {"workdir": "/nowhere"}, "workdir must hold a run with samples"),
        ("training", {"fps": 51}, "fps must be at most 50; got 51"),
        ("curves", {"out": "a.gif"}, "out must end in .png"),
        ("curves", {"workdir": ["/no,/where"]}, "workdir must hold a run's metrics"),
    ],
)
def test_a_film_or_curves_of_nothing_are_refused(
    workdir, tmp_path, monkeypatch, name, settings, complaint
):
    monkeypatch.chdir(tmp_path)
    defaults = {
        "training": {"workdir": workdir, "out": "a.gif"},
        "curves": {"workdir": [workdir], "out": "a.png"},
    }
    with pytest.raises(ValueError, match=complaint) as caught:
        getattr(explore, name)(**(defaults[name] | settings))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
