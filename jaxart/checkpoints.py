"""Checkpoints: the state of a run on disk, and back; the only file that knows Orbax.

A checkpoint holds named parts, so that drawing samples reads the generator alone.
Orbax writes into a temporary folder and renames it when all of it is there: a
checkpoint that can be seen is whole. Writing happens in the background.

Parts are trees of arrays, read as tensors and never unpickled. The position in the
training data needs no part: a batch is a function of its number. A checkpoint that was
evaluated also holds its distance from the dataset, by which the best one is found and
kept.

Of several processes that train together, the first alone writes and reads.
"""

import contextlib
import functools
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from jaxtyping import PyTree


FOLDER = "checkpoints"
DISTANCE = "distance"  # of a checkpoint's samples from the dataset, among its metrics
BEST = "best"  # the step of the checkpoint with the smallest distance

policies = ocp.checkpoint_managers  # of which checkpoints to keep


class Best(NamedTuple):
    """The best checkpoint, and the distance of its samples from the dataset."""

    step: int
    distance: float


class Checkpoints:
    """The checkpoints of one run.

    Args:
        workdir: folder of the run; they are in its subfolder `checkpoints`.
        keep: how many of the latest to keep, besides the best; None only to read them.
        keep_every: steps at whose multiples a checkpoint is kept for good, or None.

    Raises:
        ValueError: the metrics of a checkpoint cannot be read.
    """

    def __init__(
        self, workdir: str, *, keep: int | None = None, keep_every: int | None = None
    ):
        self.folder = Path(workdir).absolute() / FOLDER
        _print_no_background_errors()
        preserved: list[policies.PreservationPolicy] = [
            policies.LatestN(keep),
            policies.BestN(
                get_metric_fn=_distance,
                reverse=True,  # the best is the smallest
                n=1,
                keep_checkpoints_without_metrics=False,
            ),
        ]
        if keep_every is not None:
            preserved.append(policies.EveryNSteps(keep_every))
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policies.AnyPreservationPolicy(preserved),
            best_fn=_distance,
            best_mode="min",
            create=False,
            cleanup_tmp_directories=keep is not None,
            read_only=keep is None,
            # Where several processes train together, the others do not come here.
            multiprocessing_options=ocp.options.MultiprocessingOptions(
                primary_host=0, active_processes={0}
            ),
        )
        if keep is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
        with _readable(self.folder):
            self._manager = ocp.CheckpointManager(self.folder, options=options)

    def steps(self) -> list[int]:
        """Return the steps of all checkpoints, in order."""
        return sorted(self._manager.all_steps())

    def latest(self) -> int | None:
        """Return the step of the latest checkpoint, or None if there is none."""
        return self._manager.latest_step()

    def best(self) -> Best | None:
        """Return the checkpoint with the smallest distance, or None if none has one.

        Raises:
            ValueError: a distance cannot be read.
        """
        with _readable(self.folder):
            step = self._manager.best_step()
            if step is None:
                return None
            metrics: Any = self._manager.metrics(step)
            return Best(step, _distance(metrics))

    def find(self, step: str | None) -> int:
        """Return the step of the checkpoint that is asked for.

        Args:
            step: a number, "best", or None for the latest.

        Raises:
            ValueError: it is something else, or there is no such checkpoint.
        """
        if step is None:
            latest = self.latest()
            if latest is None:
                raise ValueError(
                    f"workdir must hold a checkpoint; {self.folder.parent} has none yet"
                )
            return latest
        if step == BEST:
            best = self.best()
            if best is None:
                raise ValueError(
                    f"step best needs a checkpoint that was evaluated, by a run with "
                    f"evaluate.every_steps above 0; {self.folder.parent} has none"
                )
            return best.step
        if not step.isdecimal():
            raise ValueError(f"step must be a number or {BEST}; got {step!r}")
        return int(step)

    def save(
        self,
        step: int,
        parts: dict[str, PyTree],
        distance: float | None = None,
    ) -> None:
        """Start to write a checkpoint; the arrays may change at once.

        Args:
            step: updates done.
            parts: trees of arrays by name.
            distance: of samples from the dataset, if it was measured.
        """
        # Copies: the next update donates these buffers while they are being written.
        parts = jax.tree.map(np.array, parts)
        saves: dict[str, Any] = {
            name: ocp.args.StandardSave(part) for name, part in parts.items()
        }
        self._manager.save(
            step,
            args=ocp.args.Composite(**saves),
            metrics=None if distance is None else {DISTANCE: distance},
            force=True,
        )

    def restore(self, step: int, parts: dict[str, PyTree]) -> dict[str, PyTree]:
        """Return the named parts of a checkpoint.

        Args:
            step: which checkpoint.
            parts: trees with the shapes and types to expect, by name.

        Raises:
            ValueError: there is no such checkpoint, or it is damaged, or not one of
                ours, or its arrays have other shapes.
        """
        known = self.steps()
        if step not in known:
            raise ValueError(
                f"step must be one of the checkpoints {known} in {self.folder}; "
                f"got {step}"
            )
        restores: dict[str, Any] = {
            name: ocp.args.StandardRestore(jax.eval_shape(lambda x: x, part))
            for name, part in parts.items()
        }
        with _readable(self.folder / str(step)):
            restored = self._manager.restore(step, args=ocp.args.Composite(**restores))
            for name, part in parts.items():
                jax.tree.map(_check_same_shape, part, restored[name])
        return {name: restored[name] for name in parts}

    def reload(self) -> None:
        """Look again which checkpoints there are, as some were removed.

        Raises:
            ValueError: the metrics of a checkpoint cannot be read.
        """
        with _readable(self.folder):
            self._manager.reload()

    def wait(self) -> None:
        """Wait until everything is written."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Wait until everything is written, and for nothing more."""
        self.wait()
        self._manager.close()


@functools.cache
def _print_no_background_errors() -> None:
    """Let what goes wrong in the background be raised, and not be printed as well."""
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    print_error = sys.unraisablehook

    def unraisablehook(unraisable: Any) -> None:
        # TensorStore's threads say that nobody waits for the other arrays any more.
        if str(unraisable.exc_value) != "Event loop is closed":
            print_error(unraisable)

    sys.unraisablehook = unraisablehook


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Raise what damaged checkpoints raise as one `ValueError`."""
    try:
        yield
    # Orbax and TensorStore raise a dozen kinds.
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"checkpoint {path} cannot be read: {reason}") from error


def _check_same_shape(expected: Any, restored: Any) -> None:
    if expected.shape != restored.shape:
        raise ValueError(
            f"an array is {expected.shape} in the networks, {restored.shape} in there"
        )


def _distance(metrics: dict[str, float]) -> float:
    return metrics[DISTANCE]
