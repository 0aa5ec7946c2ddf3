"""What a person sees of a run: progress bar, metrics.jsonl, TensorBoard, PNGs.

Nothing here makes the loop wait for the device before the next update is under way:
metrics and pictures are handed over as JAX arrays that are still being computed, and
are read one update later.
"""

import contextlib
import functools
import json
import math
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import numpy as np
from jaxtyping import Array, Float, UInt8
from tqdm import tqdm

from jaxart import atomic, images
from jaxart.gan.run_dir import RunDir
from jaxart.gan.settings import Settings


Metrics = dict[str, Float[Array, " n"]]  # of one update after another


class Speed(NamedTuple):
    """How fast a run went."""

    images_per_second: float  # over all of it, evaluation aside
    # Share of the time during which the device waited for data, from 0 to 1.
    input_wait_share: float


class RunLog:
    """The log of one run, resumed after some step.

    Args:
        run_dir: folder of the run; None in all processes but the first.
        settings: of the run.
        start_step: updates done so far; lines of metrics after it are deleted, for they
            will be written again.
    """

    def __init__(self, run_dir: RunDir | None, settings: Settings, start_step: int):
        self._run_dir = run_dir
        self._every_steps = settings.log.every_steps
        self._batch_size = settings.batch_size
        if run_dir is not None:
            _delete_lines_after(run_dir.metrics_file, start_step)
        self._start_step = start_step
        self._bar = tqdm(
            total=settings.steps,
            initial=start_step,
            unit="step",
            dynamic_ncols=True,
            disable=run_dir is None,
        )
        self._pending: deque[tuple[int, Metrics]] = deque()
        self._scalars: dict[int, dict[str, float]] = {}
        self._samples: list[tuple[int, UInt8[Array, "n h w 3"]]] = []
        self._last_line = self._start = (start_step, time.perf_counter())
        self._waited = 0.0

    @functools.cached_property
    def _tensorboard(self) -> "EventFile":
        # Not while the first update waits: it may import PyTorch.
        assert self._run_dir is not None
        return EventFile(self._run_dir.path, self._start_step + 1)

    @contextlib.contextmanager
    def timing_input(self) -> Iterator[None]:
        """Time how long the next batches take to come.

        That counts as waiting only if all updates were done by the time they came: the
        device is not made to wait in order to be measured, and what is counted is
        rather too much than too little.
        """
        start = time.perf_counter()
        yield
        if all(_is_ready(metrics) for _, metrics in self._pending):
            self._waited += time.perf_counter() - start

    def speed(self, step: int) -> Speed:
        """Return how fast the run went up to `step`, the last update waited for."""
        start_step, start = self._start
        seconds = time.perf_counter() - start
        return Speed(
            (step - start_step) * self._batch_size / seconds, self._waited / seconds
        )

    def add_metrics(self, step: int, metrics: Metrics) -> None:
        """Take the metrics of a call's updates up to `step`, which may be under way.

        Raises:
            FloatingPointError: the loss of an earlier update is not a finite number.
        """
        self._write_pending()
        self._pending.append((step, metrics))

    def add_scalars(self, step: int, scalars: dict[str, float], seconds: float) -> None:
        """Take further scalars of the update that was added last, finite or not.

        It gets a line of its own if it would have none. During the `seconds` that they
        took, no update was under way.
        """
        self._scalars[step] = scalars
        self._last_line = (self._last_line[0], self._last_line[1] + seconds)
        self._start = (self._start[0], self._start[1] + seconds)

    def add_samples(self, step: int, pixels: UInt8[Array, "n h w 3"]) -> None:
        """Take samples that may be under way; they become `samples/STEP.png`."""
        self._samples.append((step, pixels))

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._bar.write(text, file=sys.stderr)

    def flush(self) -> None:
        """Wait for all updates so far, and write what is due.

        Raises:
            FloatingPointError: a loss is not a finite number.
        """
        self._write_pending(wait=True)

    def close(self) -> None:
        """Close the files and the bar."""
        self._bar.close()
        if "_tensorboard" in vars(self):
            self._tensorboard.close()

    def _write_pending(self, *, wait: bool = False) -> None:
        """Write samples, and metrics; with `wait`, those of all updates."""
        for step, pixels in self._samples:
            self._write_samples(step, np.asarray(pixels))
        self._samples.clear()
        due = any(self._logged_steps(*call) for call in self._pending)
        # What is ready is read for the bar; only a line that is due is worth a wait.
        while self._pending and (wait or due or _is_ready(self._pending[0][1])):
            last, metrics = self._pending.popleft()
            self._write_call(last, jax.device_get(metrics))
            due = any(self._logged_steps(*call) for call in self._pending)

    def _logged_steps(self, last: int, metrics: Any) -> list[int]:
        """Return the steps of a call that are logged."""
        (count,) = {len(values) for values in metrics.values()}
        steps = range(last - count + 1, last + 1)
        return [
            step
            for step in steps
            if step % self._every_steps == 0 or step in self._scalars
        ]

    def _write_call(self, last: int, metrics: dict[str, np.ndarray]) -> None:
        logged = self._logged_steps(last, metrics)
        rows = np.stack(list(metrics.values()), axis=1)
        previous_step, previous_time = self._last_line
        if logged:
            # When its updates were done inside a call is not known: all lines have
            # the speed of the call.
            self._last_line = (last, time.perf_counter())
        for step, row in enumerate(rows.tolist(), start=last - len(rows) + 1):
            self._bar.update(step - self._bar.n)
            if not all(map(math.isfinite, row)):
                raise FloatingPointError(
                    f"the loss is not a finite number at step {step}"
                )
            if step in logged and self._run_dir is not None:
                count = (last - previous_step) * self._batch_size
                speed = count / (self._last_line[1] - previous_time)
                values = dict(zip(metrics, row, strict=True))
                self._write_line(step, values | {"images_per_second": speed})

    def _write_line(self, step: int, values: dict[str, float]) -> None:
        assert self._run_dir is not None
        values |= self._scalars.pop(step, {})
        with self._run_dir.metrics_file.open("a") as lines:
            lines.write(json.dumps({"step": step, **values}) + "\n")
        self._tensorboard.add_scalars(step, values)
        self._bar.set_postfix_str(
            f"{values['images_per_second']:.0f} images/s, "
            f"D {values['discriminator_loss']:.2f}, G {values['generator_loss']:.2f}"
        )

    def _write_samples(self, step: int, pixels: UInt8[np.ndarray, "n h w 3"]) -> None:
        assert self._run_dir is not None
        grid = images.grid(pixels)
        images.save_png(self._run_dir.samples_file(step), grid)
        self._tensorboard.add_image(step, "samples", grid)


class EventFile:
    """A file of events for TensorBoard.

    It is written at once. tensorboardX's own writer does so in a thread, whose death on
    a full disk nobody hears of.

    Args:
        folder: receives the file.
        purge_step: TensorBoard hides earlier files' events from this step on.
    """

    def __init__(self, folder: Path, purge_step: int):
        # Where PyTorch is installed this imports it, which takes seconds.
        from tensorboardX import event_file_writer, summary
        from tensorboardX.proto import event_pb2

        self._summary, self._events = summary, cast(Any, event_pb2)
        self._writer = event_file_writer.EventsWriter(str(folder / "events"))
        session_log = self._events.SessionLog
        start = session_log(status=session_log.START)
        self._write(step=purge_step, session_log=start)

    def add_scalars(self, step: int, scalars: dict[str, float]) -> None:
        """Write scalars by name."""
        for name, value in scalars.items():
            self._write(step=step, summary=self._summary.scalar(name, value))
        self._writer.flush()

    def add_image(self, step: int, name: str, pixels: UInt8[np.ndarray, "h w 3"]):
        """Write a picture."""
        picture = self._summary.image(name, pixels, dataformats="HWC")
        self._write(step=step, summary=picture)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()

    def _write(self, **fields: Any) -> None:
        event = self._events.Event(wall_time=time.time(), **fields)
        self._writer.write_event(event)


def _is_ready(metrics: Metrics) -> bool:
    return all(cast(Any, value).is_ready() for value in metrics.values())


def _delete_lines_after(path: Path, step: int) -> None:
    """Delete the lines after `step`, and one that a killed run left half-written."""
    if not path.exists():
        return
    kept = []
    for line in path.read_bytes().splitlines(keepends=True):
        try:
            if line.endswith(b"\n") and json.loads(line)["step"] <= step:
                kept.append(line)
        except (ValueError, KeyError, TypeError):
            continue
    with atomic.replacing(path, lambda _: True) as temporary:
        temporary.write_bytes(b"".join(kept))
