"""Several processes that train as one: how they meet, agree and part.

Each has devices of its own, on one machine or many. All of them run the same program on
one mesh of all devices; the first alone writes, and draws what a person looks at. A
word that one has for all others (its settings, an error, a signal to stop) goes round
where all of them are waiting for it anyway, so that none is left behind.

Source: the JAX documentation, "Introduction to multi-controller JAX".
"""

import contextlib
import functools
import itertools
import json
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import PyTree

from jaxart import command


FOUND = "auto"  # what a user says who lets the cluster's environment tell
PATIENCE_SECONDS = 300  # to be started, and to be heard of again when silent
LAST_PORT = 65_535
PAUSE_SECONDS = 0.2  # between two tries to reach the first process
# What the backends' errors say if a process does not answer any more.
LOST = ("Gloo", "NCCL", "coordination", "UNAVAILABLE", "DEADLINE_EXCEEDED")
LOST_ADVICE = (
    "another process of this run has ended; the same commands go on from the last "
    "checkpoint"
)


class EverywhereError(ValueError):
    """An error that is raised in all processes at once."""


def is_first() -> bool:
    """Return whether this process is the one that writes."""
    return jax.process_index() == 0


@contextlib.contextmanager
def joined(distributed: str | None) -> Iterator[None]:
    """Be one of several processes, if asked to; before anything else is done with JAX.

    An error of one process ends it at once: others, which wait for it, may not be
    waited for. They then end, too, with a line that says why.

    Args:
        distributed: `FOUND`, or HOST:PORT,PROCESSES,INDEX with the first process'
            address, how many there are, and which this is, from 0; None for one alone.

    Raises:
        ValueError: `distributed` is something else, or the first process cannot be
            reached, or no cluster is found.
    """
    if distributed is None:
        yield
        return
    _join(distributed)
    try:
        yield
    except (EverywhereError, command.Stopped):
        raise
    except (Exception, KeyboardInterrupt) as error:
        if jax.process_count() == 1:
            raise
        if isinstance(error, KeyboardInterrupt):
            print("stopped", file=sys.stderr, flush=True)
            os._exit(128 + signal.SIGINT)
        if _is_loss(error):
            error = ConnectionError(LOST_ADVICE)
        if isinstance(error, (ValueError, OSError)):
            command.fail(error, leave=os._exit)
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


@contextlib.contextmanager
def failing_together() -> Iterator[None]:
    """Raise in all processes what is raised in one: to be entered by all.

    Raises:
        ValueError: another process has raised one, or an `OSError`.
    """
    error = None
    try:
        yield
    except (ValueError, OSError) as raised:
        if jax.process_count() == 1:
            raise
        error = raised
    texts = exchanged(None if error is None else command.line(error))
    if error is not None:
        raise EverywhereError(command.line(error)) from error
    for process, text in enumerate(texts):
        if text is not None:
            raise EverywhereError(f"process {process}: {text}")


def check_same(settings: dict[str, Any]) -> None:
    """See that all processes were started with the same settings.

    Raises:
        ValueError: they were not; in all of them.
    """
    first, *others = exchanged(settings)
    for process, other in enumerate(others, start=1):
        differing = [
            f"{key} ({other.get(key)}, {first.get(key)} in process 0)"
            for key in sorted(first.keys() | other.keys())
            if first.get(key) != other.get(key)
        ]
        if differing:
            raise EverywhereError(
                f"all processes must have the same settings; process {process} has "
                f"{', '.join(differing)}"
            )


def exchanged(value: Any) -> list[Any]:
    """Return the values of all processes, in their order.

    Args:
        value: this one's, as JSON can say it.
    """
    if jax.process_count() == 1:
        return [value]
    text = np.frombuffer(json.dumps(value).encode(), np.uint8)
    lengths = multihost_utils.process_allgather(np.array(len(text), np.int32))
    padded = np.zeros(max(lengths), np.uint8)
    padded[: len(text)] = text
    texts = multihost_utils.process_allgather(padded)
    return [
        json.loads(row[:length].tobytes())
        for row, length in zip(texts, lengths, strict=True)
    ]


def of_the_first(tree: PyTree) -> PyTree:
    """Return the arrays of the first process; the others' give shapes and types."""
    return multihost_utils.broadcast_one_to_all(tree)


@contextlib.contextmanager
def stop_signals() -> Iterator[Callable[[], int | None]]:
    """Yield what says by which signal to stop, or None; see `command.stop_signals`.

    All processes call it equally often. A signal to one of them is carried to all by
    JAX's own thread, which agrees with them on a call to come: none waits for it.
    """
    if jax.process_count() == 1:
        with command.stop_signals() as received:
            yield lambda: received[0] if received else None
        return

    def interrupt(number: int, _: Any) -> None:
        # The signal that JAX listens for; a second Ctrl-C stops at once.
        signal.signal(number, signal.default_int_handler)
        os.kill(os.getpid(), signal.SIGTERM)

    calls = itertools.count()

    def agreed() -> int | None:
        now = multihost_utils.reached_preemption_sync_point(next(calls))
        return signal.SIGTERM if now else None

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield agreed
    finally:
        signal.signal(signal.SIGINT, before)


def _join(distributed: str) -> None:
    start = functools.partial(
        jax.distributed.initialize,
        initialization_timeout=PATIENCE_SECONDS,
        heartbeat_timeout_seconds=PATIENCE_SECONDS,
    )
    if distributed == FOUND:
        try:
            start()
        except ValueError as error:
            raise ValueError(
                f"distributed={FOUND} needs a cluster that JAX knows (Slurm, Open MPI, "
                f"Kubernetes, TPU); say HOST:PORT,PROCESSES,INDEX instead ({error})"
            ) from error
        return
    address, processes, index = _read(distributed)
    print(f"process {index} of {processes}, waiting at {address}", file=sys.stderr)
    if index:
        _wait_for(address)
    try:
        start(address, processes, index, cluster_detection_method="deactivate")
    except jax.errors.JaxRuntimeError as error:
        raise ValueError(f"distributed={distributed}: {error}") from error


def _read(distributed: str) -> tuple[str, int, int]:
    """Return address, number of processes, and which this is."""
    address, *numbers = distributed.split(",")
    host, _, port = address.rpartition(":")
    if (
        not host
        or len(numbers) != 2
        or not all(number.isdecimal() for number in (port, *numbers))
        or int(port) > LAST_PORT
    ):
        raise ValueError(
            f"distributed must be {FOUND} or HOST:PORT,PROCESSES,INDEX; "
            f"got {distributed!r}"
        )
    processes, index = map(int, numbers)
    if index >= processes:
        raise ValueError(
            f"distributed must have an INDEX below its {processes} processes; "
            f"got {index}"
        )
    return address, processes, index


def _wait_for(address: str) -> None:
    """Wait until the first process listens: JAX would end this one with a stack."""
    host, _, port = address.rpartition(":")
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        left = max(end - time.monotonic(), PAUSE_SECONDS)
        try:
            socket.create_connection((host.strip("[]"), int(port)), left).close()
            return
        except OSError as error:
            if time.monotonic() > end:
                raise ValueError(
                    f"distributed must name the first process; nothing answers at "
                    f"{address}: {error}"
                ) from error
            time.sleep(PAUSE_SECONDS)


def _is_loss(error: BaseException) -> bool:
    return isinstance(error, (jax.errors.JaxRuntimeError, ValueError)) and any(
        word in str(error) for word in LOST
    )
