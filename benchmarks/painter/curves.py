"""Curves of several ways to paint: how near they come, by strokes and by seconds."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from jaxart.figures import Pixels


ACROSS = {"strokes": "strokes", "greedy_cpu": "seconds of a processor"}
UP = {"psnr": "PSNR, dB", "lpips_alex": "LPIPS, AlexNet (lower is nearer)"}
SIDES, DPI = (10.0, 7.0), 100


def draw_curves(paintings: Mapping[str, Sequence[Mapping[str, float]]]) -> Pixels:
    """Draw PSNR and LPIPS over strokes and over seconds.

    Args:
        paintings: what was measured with more and more strokes, by way to paint.
    """
    figure = Figure(figsize=SIDES, dpi=DPI, layout="constrained")
    panels = figure.subplots(len(UP), len(ACROSS), squeeze=False)
    for row, (up, up_label) in zip(panels, UP.items(), strict=True):
        for axes, (across, across_label) in zip(row, ACROSS.items(), strict=True):
            for name, measured in paintings.items():
                xs = [one[across] for one in measured]
                axes.plot(xs, [one[up] for one in measured], marker=".", label=name)
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.set_xlabel(across_label)
            axes.set_ylabel(up_label)
            axes.grid(alpha=0.3)
    panels[0, 0].legend()
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
