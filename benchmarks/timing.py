"""Seconds of calls, and statistics of seconds that were measured in turns."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np


def time_call(function: Callable[[], Any]) -> float:
    """Return the seconds that a call takes until its result is ready."""
    start = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - start


def median_and_spread(seconds: Sequence[float]) -> tuple[float, float]:
    """Return the median, and the distance between the quartiles."""
    low, high = np.percentile(seconds, [25, 75])
    return statistics.median(seconds), float(high - low)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median over all turns of our seconds divided by theirs."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
