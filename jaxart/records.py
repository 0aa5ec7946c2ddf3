"""What a person sees of a run: progress bar, metrics.jsonl, TensorBoard, PNGs.

Nothing here makes the loop wait for the device before the next update is under way:
metrics and pictures are handed over as promises (JAX arrays still being computed), and
are looked at one update later.
"""

import contextlib
import functools
import json
import math
import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import numpy as np
from jaxtyping import Array, Float, UInt8
from tqdm import tqdm

from jaxart import images


Metrics = dict[str, Float[Array, " n"]]  # of one update after another


class Pace(NamedTuple):
    """How fast a run went.

    Args:
        images_per_second: over all of it, evaluation aside.
        waiting: share of the time in which no update was under way for want of data,
            from 0 to 1.
    """

    images_per_second: float
    waiting: float


class Records:
    """The records of one run, gone on with where its last checkpoint was.

    Args:
        workdir: folder of the run; None in a process that only watches the losses,
            while another one writes.
        step: updates done so far; lines of metrics beyond it are taken back, for
            they will be written again.
        steps: updates of the whole run.
        batch_size: pictures of an update.
        every_steps: how often metrics are written, in updates.
        bar: whether there is a progress bar.
    """

    def __init__(
        self,
        workdir: str | None,
        *,
        step: int,
        steps: int,
        batch_size: int,
        every_steps: int,
        bar: bool = True,
    ):
        self._writes = workdir is not None
        self._folder = Path(workdir or "")
        self._every = every_steps
        self._batch_size = batch_size
        self._lines = self._folder / "metrics.jsonl"
        if self._writes:
            _take_back(self._lines, step)
        self._first = step + 1
        self._bar = tqdm(
            total=steps,
            initial=step,
            unit="step",
            dynamic_ncols=True,
            disable=not (self._writes and bar),
        )
        self._waiting: deque[tuple[int, Metrics]] = deque()
        self._figures: dict[int, dict[str, float]] = {}
        self._pictures: list[tuple[int, UInt8[Array, "n h w 3"]]] = []
        self._since = self._begin = (step, time.perf_counter())
        self._waited = 0.0

    @functools.cached_property
    def _board(self) -> Any:
        # Where PyTorch is installed this imports it, which takes seconds: not while
        # the first update waits.
        import tensorboardX

        return tensorboardX.SummaryWriter(str(self._folder), purge_step=self._first)

    @contextlib.contextmanager
    def feeding(self) -> Iterator[None]:
        """Time how long the next batches take to come.

        That counts as waiting only if all updates were done by the time they came: the
        device is not made to wait in order to be measured, and what is counted is
        rather too much than too little.
        """
        begin = time.perf_counter()
        yield
        if all(_ready(metrics) for _, metrics in self._waiting):
            self._waited += time.perf_counter() - begin

    def pace(self, step: int) -> Pace:
        """Return how fast the run went up to `step`, the last update waited for."""
        before, then = self._begin
        seconds = time.perf_counter() - then
        images_done = (step - before) * self._batch_size
        return Pace(images_done / seconds, self._waited / seconds)

    def add(self, step: int, metrics: Metrics) -> None:
        """Take the metrics of updates that are under way in one call.

        Args:
            step: of the last of them.
            metrics: of each.

        Raises:
            FloatingPointError: the loss of an earlier update is not a finite number.
        """
        self._write_what_is_due()
        self._waiting.append((step, metrics))

    def add_figures(self, step: int, figures: dict[str, float], seconds: float) -> None:
        """Take what was found out about the update that was added last.

        It gets a line of its own if it would have none.

        Args:
            step: of that update.
            figures: by name, finite or not.
            seconds: that this took, while no update was under way.
        """
        self._figures[step] = figures
        self._since = (self._since[0], self._since[1] + seconds)
        self._begin = (self._begin[0], self._begin[1] + seconds)

    def add_pictures(self, step: int, pictures: UInt8[Array, "n h w 3"]) -> None:
        """Take samples that are under way; they become `samples/STEP.png`."""
        self._pictures.append((step, pictures))

    def flush(self) -> None:
        """Wait for all updates so far, and write what is due.

        Raises:
            FloatingPointError: a loss is not a finite number.
        """
        self._write_what_is_due(wait=True)

    def close(self) -> None:
        """Put the files and the bar to rest."""
        if "_board" in vars(self):
            self._board.close()
        self._bar.close()

    def _write_what_is_due(self, *, wait: bool = False) -> None:
        """Write pictures, and metrics; if asked to, look at those of all updates."""
        for at, pictures in self._pictures:
            self._write_pictures(at, np.asarray(pictures))
        self._pictures.clear()
        due = any(self._lines_of(*call) for call in self._waiting)
        # What is ready is looked at for the bar; only a due line is worth a wait.
        while self._waiting and (wait or due or _ready(self._waiting[0][1])):
            last, metrics = self._waiting.popleft()
            self._write_call(last, jax.device_get(metrics))
            due = any(self._lines_of(*call) for call in self._waiting)

    def _lines_of(self, last: int, metrics: Any) -> list[int]:
        """Return which of a call's updates have a line."""
        (count,) = {len(values) for values in metrics.values()}
        every = range(last - count + 1, last + 1)
        return [at for at in every if at % self._every == 0 or at in self._figures]

    def _write_call(self, last: int, metrics: dict[str, np.ndarray]) -> None:
        due = self._lines_of(last, metrics)
        rows = np.stack(list(metrics.values()), axis=1)
        first = last - len(rows) + 1
        before, then = self._since
        if due:
            # When its updates were done inside a call is not known: all lines have
            # the pace of the call.
            self._since = (last, time.perf_counter())
        for step, row in enumerate(rows.tolist(), start=first):
            self._bar.update(step - self._bar.n)
            if not all(map(math.isfinite, row)):
                raise FloatingPointError(
                    f"the loss is not a finite number at step {step}"
                )
            if step in due and self._writes:
                images_done = (last - before) * self._batch_size
                pace = images_done / (self._since[1] - then)
                values = dict(zip(metrics, row, strict=True))
                self._write_line(step, values | {"images_per_second": pace})

    def _write_line(self, step: int, values: dict[str, float]) -> None:
        values |= self._figures.pop(step, {})
        with self._lines.open("a") as lines:
            lines.write(json.dumps({"step": step, **values}) + "\n")
        for name, value in values.items():
            self._board.add_scalar(name, value, step)
        self._bar.set_postfix_str(
            f"{values['images_per_second']:.0f} images/s, "
            f"D {values['discriminator_loss']:.2f}, G {values['generator_loss']:.2f}"
        )

    def _write_pictures(
        self, step: int, pictures: UInt8[np.ndarray, "n h w 3"]
    ) -> None:
        grid = images.grid(pictures)
        images.save_png(pictures_file(self._folder, step), grid)
        self._board.add_image("samples", grid, step, dataformats="HWC")


def pictures_file(workdir: str | Path, step: int) -> Path:
    """Return where the samples of a step are."""
    return Path(workdir) / "samples" / f"{step:06d}.png"


def _ready(metrics: Metrics) -> bool:
    return all(cast(Any, value).is_ready() for value in metrics.values())


def _take_back(lines: Path, step: int) -> None:
    """Drop the lines after `step`, and one that a killed run left half-written."""
    if not lines.exists():
        return
    kept = []
    for line in lines.read_text().splitlines(keepends=True):
        try:
            if line.endswith("\n") and json.loads(line)["step"] <= step:
                kept.append(line)
        except (ValueError, KeyError, TypeError):
            continue
    unfinished = lines.with_suffix(".unfinished")
    unfinished.write_text("".join(kept))
    os.replace(unfinished, lines)
