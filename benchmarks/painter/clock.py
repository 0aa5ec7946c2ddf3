"""Seconds without compilation.

JAX reports when it traces, lowers and compiles, and the clock stands still meanwhile.
What else a first call takes, some tenths of a second for a painting, counts.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jaxtyping import Array
from painter.pictures import Pixels

from jaxart.painter import painting
from jaxart.painter.painting import Painting
from jaxart.painter.problem import make_problem
from jaxart.painter.settings import Settings


class Stopwatch:
    """A clock that stands still while JAX traces, lowers or compiles."""

    def __init__(self):
        self.compiling = 0.0  # seconds so far
        self._spans: list[tuple[float, float]] = []
        jax.monitoring.register_event_duration_secs_listener(self._on_event)

    def now(self) -> float:
        """Return the time, in seconds."""
        return time.perf_counter() - self.compiling

    def _on_event(self, event: str, duration_secs: float, **_: Any) -> None:
        if not event.startswith("/jax/core/compile/"):
            return
        end = time.perf_counter()
        start, counted = end - duration_secs, 0.0
        # To trace a function is to trace what it calls, which was reported before.
        while self._spans and self._spans[-1][1] > start:
            first, last = self._spans.pop()
            start, counted = min(start, first), counted + last - first
        self._spans.append((start, end))
        self.compiling += end - start - counted


CLOCK = Stopwatch()


class Record(NamedTuple):
    """How long a painting took.

    Args:
        stages: seconds since the start, and the painting, after each stage.
        last: the finished painting.
        seconds: of all of it.
        compiling: seconds spent on compilation, not counted above.
    """

    stages: list[tuple[float, Painting]]
    last: Painting
    seconds: float
    compiling: float

    @property
    def greedy(self) -> tuple[float, Painting]:
        """Seconds and painting before the strokes were refined together."""
        return self.stages[-1]


def time_painting(picture: Pixels, settings: Settings) -> Record:
    """Paint a picture, and time it."""
    compiled, start = CLOCK.compiling, CLOCK.now()
    stages, last = [], None
    for step in painting.progress(make_problem(picture, settings)):
        last = step.painting
        if step.phase == "painting":
            stages.append((CLOCK.now() - start, last))
    assert last, "a painting has at least one stage"
    return Record(stages, last, CLOCK.now() - start, CLOCK.compiling - compiled)


def time_call(function: Callable[[], Array]) -> float:
    """Return the seconds that a call takes until its result is ready."""
    start = CLOCK.now()
    jax.block_until_ready(function())
    return CLOCK.now() - start
