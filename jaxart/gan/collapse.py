"""The watch on collapse: has training gone wrong, by what was measured of samples.

Two signs: the distance stays far above its best, or samples that used to vary no longer
do. Both are judged by all measurements so far, which `metrics.jsonl` holds: a run that
was resumed comes to the same answers.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from jaxart.gan.feature_metrics import FRECHET_KEY
from jaxart.gan.run_metrics import Line


# The distance has risen if so many measurements in a row are above so many times the
# best one.
RISEN, IN_A_ROW = 1.5, 3

# Samples have lost their spread if it is below this share of the crops', and half of
# what it was: G's first samples have little too, and what they never had is not lost.
MIN_SPREAD, LOST = 0.3, 0.5

# In `metrics.jsonl`: the mean standard deviation of a feature of VGG16 over samples,
# over that of crops.
SPREAD_KEY = "vgg_spread"


class Measurement(NamedTuple):
    """What was measured of samples after some updates."""

    step: int
    distance: float  # from the dataset
    spread: float  # over that of crops; NaN if an older version did not measure it


def measurements(lines: Iterable[Line]) -> list[Measurement]:
    """Return the measurements among the lines of a run's metrics."""
    return [
        Measurement(step, values[FRECHET_KEY], values.get(SPREAD_KEY, math.nan))
        for step, values in lines
        if FRECHET_KEY in values
    ]


def new_sign(history: Sequence[Measurement]) -> str | None:
    """Return how the last measurement shows a collapse that the ones before did not.

    >>> history = [Measurement(100, 500.0, 0.6), Measurement(200, 400.0, 0.5)]
    >>> new_sign([*history, Measurement(300, 450.0, 0.2)])
    'the spread of samples fell from 0.60 to 0.20 of that of crops'
    """
    sign = _sign(history)
    return None if sign and _sign(history[:-1]) else sign


def _sign(history: Sequence[Measurement]) -> str | None:
    if not history:
        return None
    best = min(history, key=lambda measured: measured.distance)
    last = history[-1]
    if last.step == best.step:
        return None
    if all(x.distance > RISEN * best.distance for x in history[-IN_A_ROW:]):
        return (
            f"{IN_A_ROW} distances in a row were above {RISEN} times the "
            f"{best.distance:,.0f} of step {best.step}"
        )
    most = max((x.spread for x in history if not math.isnan(x.spread)), default=0.0)
    if last.spread < min(MIN_SPREAD, LOST * most):
        return (
            f"the spread of samples fell from {most:.2f} to {last.spread:.2f} of that "
            "of crops"
        )
    return None
