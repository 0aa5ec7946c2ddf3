"""Samples of a run of pixels, painted."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image

from jaxart import command, paint, sample
from jaxart.gan import latents
from jaxart.painter import samples, strokes_file


BRUSH, STROKES = "bristle", 12  # of all, so that they share a program


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch):
    """A hundred pictures in a call are more than these tests need."""
    monkeypatch.setattr(latents, "BATCH_SIZE", 4)


@pytest.fixture
def painted(workdir: str) -> Callable[..., np.ndarray]:
    """Paints a sample into a file, and returns its pixels."""

    def main(out: Path, **flags: Any) -> np.ndarray:
        settings = {"count": 1, "painted": BRUSH, "strokes": STROKES} | flags
        sample.main(workdir, str(out), **settings)
        return pixels(out)

    return main


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_painted_samples_are_redrawn_to_the_same_pixels(workdir: str, tmp_path: Path):
    sample.main(
        workdir,
        f"{tmp_path}/works/",
        count=2,
        painted=BRUSH,
        strokes=STROKES,
        pixels=64,
        relief=True,
        strokes_out=f"{tmp_path}/strokes/",
        svg=f"{tmp_path}/shapes/",
    )
    sample.main(workdir, f"{tmp_path}/samples/", count=2)
    for name in ("000000", "000001"):
        path, strokes = tmp_path / "anew.png", str(tmp_path / f"strokes/{name}.json")
        paint.main(out=str(path), redraw=strokes, scale=2.0, relief=True)
        work = pixels(tmp_path / f"works/{name}.png")
        assert work.shape == (64, 64, 3)
        np.testing.assert_array_equal(pixels(path), work)
        content = strokes_file.read(strokes)
        assert content.painting.strokes.shape == (STROKES, 8)
        assert content.settings.brush == BRUSH
        strokes_file.check_picture(content, pixels(tmp_path / f"samples/{name}.png"))
        assert (tmp_path / f"shapes/{name}.svg").exists()


def test_seed_and_brush_decide_a_painting(
    painted: Callable[..., np.ndarray], tmp_path: Path
):
    def work(name: str, **flags: Any) -> bytes:
        return painted(tmp_path / name, **flags).tobytes()

    first = work("a.png")
    assert work("b.png", painted="", brush=BRUSH) == first
    assert work("c.png", seed=1) != first


def test_a_brush_that_is_not_named_is_the_painters():
    assert samples.make_settings(0, "", None).brush == "soft"
    assert samples.make_settings(0, None, None).strokes == samples.STROKES


def test_the_second_painting_compiles_nothing():
    pictures = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    settings = samples.make_settings(0, BRUSH, STROKES + 1)
    compilations: list[str] = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, duration_secs, **_: compilations.append(event)
    )

    def compiled() -> int:
        return sum("backend_compile" in name for name in compilations)

    try:
        works = samples.paint([*pictures], settings)
        first, second = [(next(works), compiled())[1] for _ in range(2)]
    finally:
        jax.monitoring.clear_event_listeners()
    assert first == second > 0


def test_a_signal_ends_it_after_the_finished_paintings(
    monkeypatch: pytest.MonkeyPatch,
):
    pictures = np.zeros((3, 32, 32, 3), np.uint8)
    paint_job = samples.paint_job

    def stopped_in_the_second(*args: Any, prefix: str) -> Any:
        result = paint_job(*args, prefix=prefix)
        stop_signal = signal.SIGTERM if prefix.startswith("2/3") else None
        return result._replace(stop_signal=stop_signal)

    monkeypatch.setattr(samples, "paint_job", stopped_in_the_second)
    works = samples.paint([*pictures], samples.make_settings(0, BRUSH, STROKES))
    next(works)
    with pytest.raises(command.Stopped, match="1 of 3 are painted"):
        next(works)


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ({"painted": "brush"}, "brush must be .*; got 'brush'"),
        ({"strokes": 0}, "strokes must be at least 1; got 0"),
        ({"painted": None}, "strokes must go with painted; got 12"),
        ({"brush": "soft"}, "brush must not be given beside"),
        ({"pixels": 70_000}, r"pixels must be at most [\d,]+; got 70"),
        ({"pixels": 9_000, "count": 4}, "a grid must have at most"),
        ({"count": 2, "svg": "a.svg"}, "svg must be FOLDER/ for 2 pictures; got"),
        ({"svg": "a.png"}, "svg must end in one of .svg, /; got 'a.png'"),
    ],
)
def test_invalid_arguments_are_refused(
    painted: Callable[..., np.ndarray], tmp_path: Path, flags: dict, complaint: str
):
    with pytest.raises(ValueError, match=complaint):
        painted(tmp_path / "a.png", **flags)


def test_a_run_of_strokes_is_not_painted(strokes_run: Path, tmp_path: Path):
    with pytest.raises(ValueError, match="painted must go with a run of pixels"):
        sample.main(str(strokes_run), str(tmp_path / "a.png"), count=1, painted="")


def test_foreign_files_are_met_before_anything_is_painted(
    painted: Callable[..., np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(samples, "paint_job", None)
    (tmp_path / "000001.json").write_text("{}")
    with pytest.raises(OSError, match="not written by jaxart"):
        painted(tmp_path / "a.png", count=2, strokes_out=f"{tmp_path}/")
