import copy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from jaxart import figures, sample, train
from jaxart.gan import latents


@pytest.fixture(scope="module")
def run(small_config: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run of twelve steps, with checkpoints at 4, 8 and 12."""
    workdir = str(tmp_path_factory.mktemp("run"))
    train.main(copy.deepcopy(small_config), workdir)
    return workdir


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_a_grid_holds_as_many_pictures_as_asked_for(run: str, tmp_path: Path):
    out = tmp_path / "grid.png"
    sample.main(run, str(out), count=6)
    assert pixels(out).shape == (2 * 32 + 2, 3 * 32 + 2 * 2, 3)


def test_single_pictures_are_those_of_the_grid(run: str, tmp_path: Path):
    sample.main(run, f"{tmp_path}/many/", count=4)
    sample.main(run, str(tmp_path / "grid.png"), count=4)
    names = sorted(path.name for path in (tmp_path / "many").iterdir())
    assert names == ["000000.png", "000001.png", "000002.png", "000003.png"]
    grid = pixels(tmp_path / "grid.png")
    np.testing.assert_array_equal(
        pixels(tmp_path / "many" / "000003.png"), grid[-32:, -32:]
    )


def test_a_picture_does_not_depend_on_how_many_are_drawn(run: str, tmp_path: Path):
    for count in (2, latents.BATCH + 1):
        sample.main(run, f"{tmp_path}/{count}/", count=count)
    assert len(list((tmp_path / f"{latents.BATCH + 1}").iterdir())) == latents.BATCH + 1
    for name in ("000000.png", "000001.png"):
        few, many = (tmp_path / str(n) / name for n in (2, latents.BATCH + 1))
        assert few.read_bytes() == many.read_bytes()


def test_seed_and_step_decide_the_pictures(run: str, tmp_path: Path):
    def drawn(name: str, **settings: Any) -> bytes:
        sample.main(run, str(tmp_path / name), count=4, **settings)
        return (tmp_path / name).read_bytes()

    latest = drawn("a.png")
    assert drawn("b.png") == latest
    assert drawn("c.png", step="12") == latest
    assert drawn("d.png", step="4") != latest
    assert drawn("e.png", seed=1) != latest


def test_numbers_stand_beneath_the_pictures(run: str, tmp_path: Path):
    sample.main(run, f"{tmp_path}/many/", count=4)
    sample.main(run, str(tmp_path / "grid.png"), count=4, numbered=True)
    grid = pixels(tmp_path / "grid.png")
    row = (len(grid) - 2) // 2
    for number in range(4):
        top, left = number // 2 * (row + 2), number % 2 * (32 + 2)
        single = pixels(tmp_path / "many" / f"{number:06d}.png")
        np.testing.assert_array_equal(grid[top : top + 32, left : left + 32], single)
        words = figures.text(str(number))
        beneath = grid[top + row - len(words) : top + row, left : left + 32]
        windows = sliding_window_view(beneath, words.shape)
        assert (windows == words).all((-3, -2, -1)).any()


def test_only_the_workdir_is_needed(run: str, tmp_path: Path):
    moved = tmp_path / "moved"
    shutil.copytree(run, moved)
    sample.main(str(moved), str(tmp_path / "grid.png"), count=1)
    assert pixels(tmp_path / "grid.png").shape == (32, 32, 3)


def test_another_file_is_not_overwritten(run: str, tmp_path: Path):
    out = tmp_path / "portrait.png"
    Image.new("RGB", (3, 3)).save(out)
    before = out.read_bytes()
    with pytest.raises(OSError, match="not written by jaxart"):
        sample.main(run, str(out), count=1)
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"step": "5"}, r"step must be one of the checkpoints \[4, 8, 12\].*got 5"),
        ({"step": "last"}, "step must be a number or best; got 'last'"),
        ({"step": "best"}, "step best needs a checkpoint that was evaluated"),
        ({"count": 0}, "count must be at least 1"),
        ({"out": "grid.bmp"}, "out must be FILE.png or FOLDER/"),
        ({"out": "a/", "numbered": True}, "numbered must go with FILE.png as out"),
        ({"workdir": "/nowhere"}, "workdir must hold a run"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    run: str, tmp_path: Path, settings: dict, complaint: str
):
    with pytest.raises(ValueError, match=complaint):
        sample.main(**{"workdir": run, "out": str(tmp_path / "a.png"), **settings})


def test_a_run_without_a_checkpoint_is_refused(run: str, tmp_path: Path):
    shutil.copy(Path(run, "config.json"), tmp_path)
    with pytest.raises(ValueError, match="has none yet"):
        sample.main(str(tmp_path), str(tmp_path / "a.png"))
    assert not (tmp_path / "checkpoints").exists()
