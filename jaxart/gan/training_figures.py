"""What a run's folder shows of its training: a film of its samples, and its curves."""

import contextlib
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from jaxart import figures, images
from jaxart.figures import Pixels
from jaxart.gan import collapse, feature_metrics
from jaxart.gan.run_dir import SAMPLES
from jaxart.gan.run_metrics import Line


class Samples(NamedTuple):
    """The grid of samples of a step."""

    step: int
    path: Path


class Panel(NamedTuple):
    """A part of the figure of curves, with an axis of its own."""

    title: str
    curves: dict[str, str]  # what each is called, by its name in `metrics.jsonl`


PANELS = (
    Panel("losses", {"discriminator_loss": "D", "generator_loss": "G"}),
    Panel("mean answers of D", {"real_score": "real", "fake_score": "fake"}),
    Panel("Fréchet distance by VGG16", {feature_metrics.FRECHET_KEY: "distance"}),
    Panel("spread of samples, over that of crops", {collapse.SPREAD_KEY: "spread"}),
    Panel("images/s", {"images_per_second": "images/s"}),
)

COLUMNS = 2  # of panels
PANEL_SIDES = 6.0, 4.0  # of a panel, in inches
DPI = 100
STYLES = ("-", "--")  # of the curves of a panel, where colours tell runs apart
SMOOTHED = 50  # a curve is a mean over this part of a run's lines; behind it are all


def find_samples(workdir: str | os.PathLike[str]) -> list[Samples]:
    """Return the grids of samples of a run, in the order of their steps.

    Raises:
        ValueError: there is none.
    """
    folder = Path(workdir, SAMPLES)
    found = [
        Samples(int(path.stem), path)
        for path in folder.glob("*.png")
        if path.stem.isdecimal()
    ]
    if not found:
        raise ValueError(
            f"workdir must hold a run with samples; {folder} has no STEP.png"
        )
    return sorted(found)


def training_frames(samples: Sequence[Samples]) -> Iterator[Pixels]:
    """Yield a frame for each grid of samples, its step below it.

    All are as large as the largest, as their number may have changed on the way.

    Raises:
        ValueError: a picture cannot be read.
    """
    captions = [figures.render_text(f"step {step:,}") for step, _ in samples]
    heights, widths = zip(*(_sides(path) for _, path in samples), strict=True)
    height = max(heights)
    width = max(*widths, *(caption.shape[1] for caption in captions))
    for (_, path), caption in zip(samples, captions, strict=True):
        grid = figures.pad_width(_read(path), width)
        below = np.full((height - len(grid), width, 3), figures.WHITE, np.uint8)
        parts = [np.concatenate([grid, below]), figures.pad_width(caption, width)]
        yield figures.vstack(parts, gap=1)


def draw_curves(runs: Mapping[str, Sequence[Line]]) -> Pixels:
    """Draw losses, scores, distance and speed of runs over their updates.

    What no run has logged has no panel. A band around a distance is its standard error.

    Args:
        runs: the lines of each by its name.

    Raises:
        ValueError: no run has logged any of these.
    """
    # Not where this file is imported: it takes a while. Nor pyplot, which remembers
    # every figure, and looks for a screen.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = itertools.chain(*runs.values())
    logged = {name for line in lines for name in line.values}
    panels = [panel for panel in PANELS if logged.intersection(panel.curves)]
    if not panels:
        raise ValueError(f"runs must have logged losses; {', '.join(runs)} did not")
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    sides = PANEL_SIDES[0] * columns, PANEL_SIDES[1] * rows
    figure = Figure(figsize=sides, dpi=DPI, layout="constrained")
    for number, panel in enumerate(panels, 1):
        _draw_panel(figure.add_subplot(rows, columns, number), panel, runs)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _draw_panel(axes: Any, panel: Panel, runs: Mapping[str, Sequence[Line]]) -> None:
    several_runs, several_curves = len(runs) > 1, len(panel.curves) > 1
    for run, (name, lines) in enumerate(runs.items()):
        for curve, (key, what) in enumerate(panel.curves.items()):
            words = [name] * several_runs + [what] * several_curves
            style = {
                "color": f"C{run if several_runs else curve}",
                "linestyle": STYLES[curve] if several_runs else "-",
                "label": ", ".join(words),
            }
            _draw_curve(axes, key, lines, style)
    axes.set_title(panel.title)
    axes.set_xlabel("updates")
    axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
    axes.grid(alpha=0.3)
    if several_runs or several_curves:
        axes.legend()


def _draw_curve(
    axes: Any, key: str, lines: Sequence[Line], style: Mapping[str, str]
) -> None:
    steps, values = _values(lines, key)
    if not len(steps):
        return
    window = 1 + len(values) // SMOOTHED
    if window > 1:
        axes.plot(steps, values, color=style["color"], alpha=0.25, linewidth=0.8)
    marker = "" if window > 1 else "."
    smooth = [_running_mean(x, window) for x in (steps, values)]
    axes.plot(*smooth, **style, marker=marker)
    measured, errors = _values(lines, f"{key}_error")
    if np.array_equal(measured, steps):
        band = values - errors, values + errors
        axes.fill_between(steps, *band, color=style["color"], alpha=0.2, linewidth=0)


def _values(lines: Sequence[Line], key: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps of the lines that have a value, and the values."""
    pairs = [(line.step, line.values[key]) for line in lines if key in line.values]
    steps, values = np.array(pairs, float).reshape(-1, 2).T
    return steps, values


def _running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Return the means of all runs of `window` values."""
    return np.convolve(values, np.full(window, 1 / window), "valid")


def _sides(path: Path) -> tuple[int, int]:
    """Return height and width of a picture, from its header."""
    with _naming(path), Image.open(path) as picture:
        return picture.height, picture.width


def _read(path: Path) -> Pixels:
    with _naming(path):
        return images.read_pixels(path)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None
