"""Worker processes: one function for many arguments, on all cores of this machine.

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


def each(
    function: Callable[[Any], int], arguments: Sequence[Any], processes: int
) -> Generator[int]:
    """Call a function with each argument; yield what it returns, as soon as it does.

    If the iterator is closed or raises, what is under way is given up at once: the
    function must leave whole files or none.

    Args:
        function: picklable, as are its arguments.
        arguments: for one call each.
        processes: how many work at the same time.

    Raises:
        BrokenProcessPool: a worker process was killed.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(processes, context, _begin, (receiver,))
    try:
        calls = [pool.submit(function, argument) for argument in arguments]
        for call in as_completed(calls):
            yield call.result()
    finally:
        sender.close()
        pool.shutdown(cancel_futures=True)
        receiver.close()


def _begin(stop: Any) -> None:
    """Leave Ctrl-C to the parent, and end with it, or when it closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(stop,), daemon=True).start()


def _end_with_parent(stop: Any) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel, stop])
    os._exit(1)
