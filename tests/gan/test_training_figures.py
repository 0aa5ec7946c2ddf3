"""A film of a run's samples, and its curves."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes

from jaxart import figures, images
from jaxart.gan import feature_metrics, training_figures
from jaxart.gan.run_metrics import Line


def save_samples(folder: Path, **sides: tuple[int, int]) -> list[np.ndarray]:
    """Save grids of samples, each of one colour, by their steps."""
    grids = []
    for number, (name, (height, width)) in enumerate(sides.items()):
        grids.append(np.full((height, width, 3), 40 * number, np.uint8))
        images.save_png(folder / "samples" / f"{name[1:]}.png", grids[-1])
    return grids


def test_frames_are_the_grids_in_order_of_their_steps(tmp_path: Path):
    sides = {"s000100": (80, 100), "s1000000": (80, 100), "s000200": (80, 100)}
    first, last, middle = save_samples(tmp_path, **sides)
    (tmp_path / "samples" / ".0f1e.png").touch()  # one that is being written
    samples = training_figures.find_samples(tmp_path)
    assert [step for step, _ in samples] == [100, 200, 1_000_000]
    frames = list(training_figures.training_frames(samples))
    for frame, grid in zip(frames, (first, middle, last), strict=True):
        np.testing.assert_array_equal(frame[:80], grid)
    caption = figures.pad_width(figures.render_text("step 1,000,000"), 100)
    np.testing.assert_array_equal(frames[-1][81:], caption)


def test_grids_of_other_sides_are_padded_to_the_largest(tmp_path: Path):
    save_samples(tmp_path, s1=(40, 200), s2=(90, 20))
    samples = training_figures.find_samples(tmp_path)
    first, second = training_figures.training_frames(samples)
    assert first.shape == second.shape
    assert first.shape[1] == 200
    assert (first[:40] == 0).all()
    assert (first[40:90] == 255).all()
    assert (second[:90, 90:110] == 40).all()
    assert (second[:90, :90] == 255).all()


def test_samples_that_are_missing_or_damaged_are_named(tmp_path: Path):
    with pytest.raises(ValueError, match=r"samples has no STEP\.png"):
        training_figures.find_samples(tmp_path)
    save_samples(tmp_path, s1=(40, 40), s2=(40, 40))
    path = tmp_path / "samples" / "2.png"
    for content in (b"", path.read_bytes()[:-20]):
        path.write_bytes(content)
        samples = training_figures.find_samples(tmp_path)
        with pytest.raises(ValueError, match=r"2\.png is damaged: .") as caught:
            list(training_figures.training_frames(samples))
        assert "\n" not in str(caught.value)


def lines(count: int, **values: float) -> list[Line]:
    return [Line(10 * n, values) for n in range(1, count + 1)]


@pytest.fixture
def plotted(monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """What is drawn, by label; the faint lines, too."""
    found = {}

    def plot(self: Axes, x: Any, y: Any, **style: Any) -> None:
        found[style.get("label", f"faint {len(found)}")] = np.stack([x, y])
        original(self, x, y, **style)

    original = Axes.plot
    monkeypatch.setattr(Axes, "plot", plot)
    return found


def test_curves_are_running_means_of_what_was_logged(plotted: dict[str, np.ndarray]):
    values = np.random.default_rng(0).standard_normal((150, 2))
    logged = [
        Line(n, {"discriminator_loss": d, "generator_loss": g})
        for n, (d, g) in enumerate(values.tolist(), 1)
    ]
    training_figures.draw_curves({"run": logged})
    windows = np.lib.stride_tricks.sliding_window_view(values, 4, axis=0).mean(-1)
    np.testing.assert_allclose(plotted["D"][1], windows[:, 0])
    np.testing.assert_allclose(plotted["G"], [np.arange(2.5, 149), windows[:, 1]])
    np.testing.assert_array_equal(plotted["faint 0"][1], values[:, 0])


def test_runs_are_told_apart_by_name(plotted: dict[str, np.ndarray]):
    distance = {feature_metrics.FRECHET_KEY: 9.0, "images_per_second": 5.0}
    training_figures.draw_curves(
        {
            "a": lines(3, real_score=0.5, fake_score=0.1),
            "b": lines(4, real_score=0.7, fake_score=0.2) + lines(1, **distance),
        }
    )
    assert set(plotted) == {"a, real", "a, fake", "b, real", "b, fake", "b"}
    np.testing.assert_array_equal(plotted["b, fake"][1], [0.2] * 4)


def test_there_are_panels_for_what_was_logged_only():
    losses = {"discriminator_loss": -1.0, "generator_loss": 2.0}
    one = training_figures.draw_curves({"a": lines(9, **losses)})
    assert one.shape == (400, 600, 3)
    assert one.dtype == np.uint8
    error = f"{feature_metrics.FRECHET_KEY}_error"
    more = losses | {feature_metrics.FRECHET_KEY: 5.0, error: 1.0, "real_score": 1.0}
    three = training_figures.draw_curves({"a": lines(9, **more)})
    assert three.shape == (800, 1200, 3)
    assert (three[500:, 700:] == 255).all()
    again = training_figures.draw_curves({"a": lines(9, **more)})
    np.testing.assert_array_equal(three, again)
    with pytest.raises(ValueError, match="runs must have logged losses; a, b did not"):
        training_figures.draw_curves({"a": lines(2), "b": lines(1, other=1.0)})


def test_matplotlib_is_imported_where_curves_are_drawn_and_pyplot_nowhere():
    code = """
import sys
from jaxart import explore
from jaxart.gan import run_metrics, training_figures
assert "matplotlib" not in sys.modules
line = run_metrics.Line(1, {"real_score": 0.5})
training_figures.draw_curves({"a": [line]})
assert "matplotlib" in sys.modules
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
