"""A GAN's samples, painted: pictures of a few pixels become strokes, drawn at any size.

The painter's own settings (`configs/paint.py`), with fewer strokes. All samples are of
one size and get as many strokes, so that the second painting compiles nothing.

Source: Beyers and Loane, section 5.1, which asks for larger pictures; ctmakro,
"Training of Artists".
"""

import runpy
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import UInt8

from jaxart import command
from jaxart.painter.jobs import Job, paint_job
from jaxart.painter.settings import Settings
from jaxart.painter.strokes_file import StrokesFile


STROKES = 300  # of a sample


def make_settings(seed: int, brush: str | None, strokes: int | None) -> Settings:
    """Return how samples are painted.

    Args:
        seed: of everything random.
        brush: its name, or the path of a picture; none or "" for the painter's own.
        strokes: of each sample; None for `STROKES`.

    Raises:
        ValueError: there is no such brush, or the number is out of range.
    """
    config = runpy.run_path(command.config_path("paint"))["get_config"]()
    config.seed = seed
    config.strokes = STROKES if strokes is None else strokes
    config.brush = brush or config.brush
    return Settings(**config)


def paint(
    pictures: Sequence[UInt8[np.ndarray, "h w 3"]], settings: Settings
) -> Iterator[StrokesFile]:
    """Yield the painting of each picture, one after the other.

    Raises:
        Stopped: a signal came; the painting that was begun is given up.
    """
    for number, picture in enumerate(pictures):
        job = Job(picture, settings, None, None, None, over_white=False)
        content, _, stop_signal = paint_job(
            job, prefix=f"{number + 1}/{len(pictures)} "
        )
        if stop_signal is not None:
            raise command.Stopped(
                stop_signal, f"{number} of {len(pictures)} are painted"
            )
        yield content
