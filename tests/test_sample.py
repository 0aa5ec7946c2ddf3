import importlib.metadata
import runpy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from jaxart import command, figures, paint, sample
from jaxart.gan import latents, trained
from jaxart.painter import strokes_file


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch):
    """A hundred pictures in a call are more than these tests need."""
    monkeypatch.setattr(latents, "BATCH_SIZE", 4)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_a_grid_has_as_many_pictures_as_asked_for(workdir: str, tmp_path: Path):
    out = tmp_path / "grid.png"
    sample.main(workdir, str(out), count=6)
    assert pixels(out).shape == (2 * 32 + 2, 3 * 32 + 2 * 2, 3)


def test_a_suffix_may_be_in_upper_case(workdir: str, tmp_path: Path):
    for name in ("grid.png", "grid.PNG"):
        sample.main(workdir, str(tmp_path / name), count=4)
    with Image.open(tmp_path / "grid.PNG") as image:
        assert image.format == "PNG"
    np.testing.assert_array_equal(
        pixels(tmp_path / "grid.PNG"), pixels(tmp_path / "grid.png")
    )


def test_single_pictures_are_those_of_the_grid(workdir: str, tmp_path: Path):
    sample.main(workdir, f"{tmp_path}/many/", count=4)
    sample.main(workdir, str(tmp_path / "grid.png"), count=4)
    names = sorted(path.name for path in (tmp_path / "many").iterdir())
    assert names == ["000000.png", "000001.png", "000002.png", "000003.png"]
    grid = pixels(tmp_path / "grid.png")
    np.testing.assert_array_equal(
        pixels(tmp_path / "many" / "000003.png"), grid[-32:, -32:]
    )


def test_seed_and_step_decide_the_pictures(workdir: str, tmp_path: Path):
    def sampled(name: str, **settings: Any) -> bytes:
        sample.main(workdir, str(tmp_path / name), count=4, **settings)
        return pixels(tmp_path / name).tobytes()

    latest = sampled("a.png")
    assert sampled("b.png") == latest
    assert sampled("c.png", step="12") == latest
    assert sampled("d.png", step="4") != latest
    assert sampled("e.png", seed=1) != latest


def test_the_average_of_the_weights_is_sampled_unless_the_last_ones_are_asked_for(
    every_option_run: Path, workdir: str, tmp_path: Path
):
    def sampled(name: str, **settings: Any) -> bytes:
        sample.main(str(every_option_run), str(tmp_path / name), count=4, **settings)
        return pixels(tmp_path / name).tobytes()

    assert sampled("a.png") == sampled("b.png", weights="average")
    assert sampled("c.png", weights="last") != sampled("d.png")
    # While training, samples are those of the average as well.
    settings = trained.restore_generator(str(every_option_run)).settings
    grid = pixels(every_option_run / "samples" / f"{settings.steps:06d}.png")
    sample.main(str(every_option_run), str(tmp_path / "e.png"), count=4)
    assert np.abs(grid.astype(int) - pixels(tmp_path / "e.png")).max() <= 1
    out = str(tmp_path / "f.png")
    with pytest.raises(ValueError, match="weights must be last: the run in"):
        sample.main(workdir, out, count=4, weights="average")


def test_a_sample_says_how_it_came_to_be(
    workdir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    words = ["jaxart", "sample", "--out=my samples/", "--seed=3"]
    monkeypatch.setattr(command, "_command_line", words)
    sample.main(workdir, f"{tmp_path}/", count=1, seed=3)
    with Image.open(tmp_path / "000000.png") as picture:
        about = picture.info
    assert about.pop("Version") == importlib.metadata.version("jaxart")
    assert about == {
        "Software": "jaxart",
        "Command": "jaxart sample '--out=my samples/' --seed=3",
        "Seed": "3",
        "Step": "12",
    }


def test_numbers_are_below_the_pictures(workdir: str, tmp_path: Path):
    sample.main(workdir, f"{tmp_path}/many/", count=4)
    sample.main(workdir, str(tmp_path / "grid.png"), count=4, numbered=True)
    grid = pixels(tmp_path / "grid.png")
    row = (len(grid) - 2) // 2
    for number in range(4):
        top, left = number // 2 * (row + 2), number % 2 * (32 + 2)
        single = pixels(tmp_path / "many" / f"{number:06d}.png")
        np.testing.assert_array_equal(grid[top : top + 32, left : left + 32], single)
        caption = figures.render_text(str(number))
        below = grid[top + row - len(caption) : top + row, left : left + 32]
        windows = sliding_window_view(below, caption.shape)
        assert (windows == caption).all((-3, -2, -1)).any()


def test_only_the_workdir_is_needed(workdir: str, tmp_path: Path):
    moved = tmp_path / "moved"
    shutil.copytree(workdir, moved)
    sample.main(str(moved), str(tmp_path / "grid.png"), count=1)
    assert pixels(tmp_path / "grid.png").shape == (32, 32, 3)


def test_a_foreign_file_is_not_overwritten(workdir: str, tmp_path: Path):
    out = tmp_path / "portrait.png"
    Image.new("RGB", (3, 3)).save(out)
    before = out.read_bytes()
    with pytest.raises(OSError, match="not written by jaxart"):
        sample.main(workdir, str(out), count=1)
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"step": "5"}, r"step must be one of the checkpoints \[4, 8, 12\].*got 5"),
        ({"step": "last"}, "step must be a number or best; got 'last'"),
        ({"step": "best"}, "step best needs a checkpoint that was evaluated"),
        ({"count": 0}, "count must be at least 1"),
        ({"count": 10**12}, "count must be at most 1,000,000"),
        ({"count": 200_000}, "a grid must have at most 174,762 pictures of 32 x 32"),
        ({"seed": 10**20}, "seed must be at most 4,294,967,295; got 1000000000"),
        ({"seed": -1}, "seed must be at least 0; got -1"),
        ({"out": "grid.bmp"}, "out must end in .png or /; got"),
        ({"out": "a/", "numbered": True}, "numbered must go with FILE.png as out"),
        ({"workdir": "/nowhere"}, "workdir must hold a run"),
    ],
)
def test_invalid_arguments_are_refused(
    workdir: str, tmp_path: Path, settings: dict, complaint: str
):
    with pytest.raises(ValueError, match=complaint):
        sample.main(**{"workdir": workdir, "out": str(tmp_path / "a.png"), **settings})


def test_a_run_without_a_checkpoint_is_refused(workdir: str, tmp_path: Path):
    shutil.copy(Path(workdir, "config.json"), tmp_path)
    with pytest.raises(ValueError, match="has none yet"):
        sample.main(str(tmp_path), str(tmp_path / "a.png"))
    assert not (tmp_path / "checkpoints").exists()


def test_strokes_are_drawn_anew_to_the_same_bytes(strokes_run: Path, tmp_path: Path):
    sample.main(
        str(strokes_run),
        f"{tmp_path}/works/",
        count=2,
        pixels=64,
        brush="bristle",
        relief=True,
        strokes_out=f"{tmp_path}/strokes/",
        svg=f"{tmp_path}/shapes/",
    )
    for name in ("000000", "000001"):
        path = tmp_path / "anew.png"
        strokes = str(tmp_path / "strokes" / f"{name}.json")
        paint.main(out=str(path), redraw=strokes, scale=2.0, relief=True)
        np.testing.assert_array_equal(
            pixels(path), pixels(tmp_path / "works" / f"{name}.png")
        )
        content = strokes_file.read(strokes)
        assert content.painting.strokes.shape == (3 + 32, 8)
        assert content.settings.brush == "bristle"
        assert (tmp_path / "shapes" / f"{name}.svg").exists()


def test_strokes_drawn_small_are_the_sample(strokes_run: Path, tmp_path: Path):
    sample.main(str(strokes_run), str(tmp_path / "sample.png"), count=3)
    sample.main(str(strokes_run), str(tmp_path / "drawn.png"), count=3, pixels=32)
    difference = pixels(tmp_path / "sample.png").astype(int)
    difference -= pixels(tmp_path / "drawn.png")
    assert np.abs(difference).max() <= 1


def test_painting_goes_on_from_a_sample(strokes_run: Path, tmp_path: Path):
    out, strokes = f"{tmp_path}/works/", str(tmp_path / "one.json")
    sample.main(str(strokes_run), out, count=1, strokes_out=strokes)
    picture, config = tmp_path / "picture.png", paint_config()
    noise = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
    Image.fromarray(noise).save(picture)
    more, last = str(tmp_path / "more.json"), str(tmp_path / "last.json")
    grown = str(tmp_path / "grown.png")
    paint.main(str(picture), out=grown, config=config, resume=strokes, strokes_out=more)
    first, then = (strokes_file.read(path) for path in (strokes, more))
    count = first.painting.first_count
    assert count == len(first.painting.strokes) == then.painting.first_count
    np.testing.assert_array_equal(
        then.painting.greedy_strokes[:count], first.painting.strokes
    )
    assert then.settings.ground == first.settings.ground
    assert (then.painting.stages[count:] >= 0).sum() == config.strokes - count
    # That painting is resumed like any other, with its own picture alone.
    config.strokes += 1
    paint.main(str(picture), out=grown, config=config, resume=more, strokes_out=last)
    assert strokes_file.read(last).painting.first_count == count
    # So is one whose strokes were only moved.
    config.strokes = count
    paint.main(str(picture), out=grown, config=config, resume=strokes, strokes_out=last)
    Image.fromarray(noise[::-1]).save(picture)
    for path in (more, last):
        config.strokes = len(strokes_file.read(path).painting.strokes)
        with pytest.raises(ValueError, match="must be of this picture"):
            paint.main(str(picture), out=grown, config=config, resume=path)


def test_painting_goes_on_from_a_sample_with_a_picture_of_its_shape(
    strokes_run: Path, tmp_path: Path
):
    out, strokes = f"{tmp_path}/works/", str(tmp_path / "one.json")
    sample.main(str(strokes_run), out, count=1, strokes_out=strokes)
    picture = tmp_path / "wide.png"
    Image.new("RGB", (48, 40)).save(picture)
    with pytest.raises(ValueError, match=r"must have the shape .* it is 48 x 40"):
        paint.main(str(picture), out=out, config=paint_config(), resume=strokes)


def paint_config() -> Any:
    """The painter's settings, for few strokes more than a sample has."""
    config = runpy.run_path(command.config_path("paint"))["get_config"]()
    config.strokes, config.steps, config.refine = 40, 2, 4
    return config


def test_pixels_cannot_be_drawn_as_strokes(workdir: str, tmp_path: Path):
    with pytest.raises(ValueError, match=r"must go with a run of strokes.* pixels"):
        sample.main(workdir, str(tmp_path / "grid.png"), count=2, brush="bristle")


def test_files_of_several_paintings_go_to_folders(strokes_run: Path, tmp_path: Path):
    with pytest.raises(ValueError, match="film must be FOLDER/ for 2 pictures; got"):
        sample.main(str(strokes_run), f"{tmp_path}/a/", count=2, film="a.webp")


@pytest.mark.parametrize("side", [0, -5, 70_000])
def test_a_painting_has_a_size(strokes_run: Path, tmp_path: Path, side: int):
    with pytest.raises(ValueError, match=r"pixels must be at .*; got"):
        sample.main(str(strokes_run), f"{tmp_path}/a/", count=1, pixels=side)
