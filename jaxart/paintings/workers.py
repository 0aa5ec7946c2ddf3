"""Worker processes: a function mapped over many arguments on all cores.

The function is called with a number and leaves what it makes on disk, so nothing but
numbers travels between the processes, and memory does not grow with the work. Workers
end with the process that started them, even if it is killed; a worker that is killed
ends the run with an error instead of leaving it waiting.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing.connection import wait
from typing import Any


def imap_unordered(
    function: Callable[[Any], int], arguments: Sequence[Any], processes: int
) -> Generator[int]:
    """Yield the results of a function for each argument, in order of completion.

    If the iterator is closed or raises, running calls are killed: the function must
    write its files atomically.

    Args:
        function: picklable, as are its arguments.
        arguments: for one call each.
        processes: number of workers.

    Raises:
        BrokenProcessPool: a worker process was killed.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(processes, context, _init_worker, (receiver,))
    try:
        calls = [pool.submit(function, argument) for argument in arguments]
        for call in as_completed(calls):
            yield call.result()
    finally:
        sender.close()
        pool.shutdown(cancel_futures=True)
        receiver.close()


def _init_worker(stop: Any) -> None:
    """Ignore Ctrl-C, and exit with the parent or when it closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, args=(stop,), daemon=True).start()


def _exit_with_parent(stop: Any) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel, stop])
    os._exit(1)
