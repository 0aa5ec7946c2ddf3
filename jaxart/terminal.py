"""Standard output and standard error, whatever is at their other end."""

import contextlib
import io
import os
import sys


def escape_unprintable() -> None:
    """Let names be printed that the terminal's encoding does not have, escaped."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flush() -> bool:
    """Write what was printed; return whether anybody reads standard output.

    Where nobody does, as after `| head`, the rest goes nowhere, and is no error.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more at exit.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True
