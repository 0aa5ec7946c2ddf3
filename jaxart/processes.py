"""Several processes that train as one: how they start, agree and stop.

Each has its own devices, on one machine or many. All of them run the same program on
one mesh of all devices; the first alone writes files and draws samples. Settings,
errors and signals to stop are exchanged where all processes wait for each other anyway,
so that none is left behind.

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

from jaxart import command, environment


AUTO = "auto"  # addresses and counts come from the cluster's environment
TIMEOUT_SECONDS = 300  # for all processes to start, and for a silent one to answer
LAST_PORT = 65_535
RETRY_SECONDS = 0.2  # between two tries to reach the first process
# What the backends' errors say if a process does not answer any more.
LOST_PROCESS = ("Gloo", "NCCL", "coordination", "UNAVAILABLE", "DEADLINE_EXCEEDED")
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
def join(distributed: str | None) -> Iterator[None]:
    """Join several processes, if asked to; to be entered before JAX finds its devices.

    An error of one process ends it at once, without waiting for others, which may be
    waiting for it. They then end, too, with a line that says why.

    Args:
        distributed: `AUTO`, or HOST:PORT,PROCESSES,INDEX with the first process'
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
        environment.check_platform()
        yield
    except (EverywhereError, command.Stopped):
        raise
    except (Exception, KeyboardInterrupt) as error:
        if jax.process_count() == 1:
            raise
        if isinstance(error, KeyboardInterrupt):
            print("stopped", file=sys.stderr, flush=True)
            os._exit(128 + signal.SIGINT)
        if _is_lost_process(error):
            error = ConnectionError(LOST_ADVICE)
        if isinstance(error, (ValueError, OSError)):
            command.fail(error, leave=os._exit)
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


@contextlib.contextmanager
def raise_everywhere() -> Iterator[None]:
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
    texts = all_gather(None if error is None else command.line(error))
    if error is not None:
        raise EverywhereError(command.line(error)) from error
    for process, text in enumerate(texts):
        if text is not None:
            raise EverywhereError(f"process {process}: {text}")


def check_same_settings(settings: dict[str, Any]) -> None:
    """Check that all processes were started with the same settings.

    Raises:
        ValueError: they were not; in all of them.
    """
    first, *others = all_gather(settings)
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


def all_gather(value: Any) -> list[Any]:
    """Return the values of all processes, as JSON can hold them, in their order."""
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


def broadcast(tree: PyTree) -> PyTree:
    """Return the first process' arrays; those of the others give shapes and types."""
    return multihost_utils.broadcast_one_to_all(tree)


@contextlib.contextmanager
def stop_signals() -> Iterator[Callable[[], int | None]]:
    """Yield a function that returns the signal to stop by, or None.

    See `command.stop_signals`. All processes call it equally often. A signal to one of
    them is carried to all by JAX's own thread, which agrees with them on a call to
    come: none waits for it.
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

    def stop_signal() -> int | None:
        stop = multihost_utils.reached_preemption_sync_point(next(calls))
        return signal.SIGTERM if stop else None

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield stop_signal
    finally:
        signal.signal(signal.SIGINT, before)


def _join(distributed: str) -> None:
    start = functools.partial(
        jax.distributed.initialize,
        initialization_timeout=TIMEOUT_SECONDS,
        heartbeat_timeout_seconds=TIMEOUT_SECONDS,
    )
    if distributed == AUTO:
        try:
            start()
        except ValueError as error:
            raise ValueError(
                f"distributed={AUTO} needs a cluster that JAX knows (Slurm, Open MPI, "
                f"Kubernetes, TPU); say HOST:PORT,PROCESSES,INDEX instead ({error})"
            ) from error
        return
    address, processes, index = _parse(distributed)
    print(f"process {index} of {processes}, waiting at {address}", file=sys.stderr)
    if index:
        _wait_for(address)
    try:
        start(address, processes, index, cluster_detection_method="deactivate")
    except jax.errors.JaxRuntimeError as error:
        raise ValueError(f"distributed={distributed}: {error}") from error


def _parse(distributed: str) -> tuple[str, int, int]:
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
            f"distributed must be {AUTO} or HOST:PORT,PROCESSES,INDEX; "
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
    end = time.monotonic() + TIMEOUT_SECONDS
    while True:
        left = max(end - time.monotonic(), RETRY_SECONDS)
        try:
            socket.create_connection((host.strip("[]"), int(port)), left).close()
            return
        except OSError as error:
            if time.monotonic() > end:
                raise ValueError(
                    f"distributed must name the first process; nothing answers at "
                    f"{address}: {error}"
                ) from error
            time.sleep(RETRY_SECONDS)


def _is_lost_process(error: BaseException) -> bool:
    return isinstance(error, (jax.errors.JaxRuntimeError, ValueError)) and any(
        word in str(error) for word in LOST_PROCESS
    )
