"""Standard output and standard error, whatever is at their other end."""

import io
import sys
from typing import Any


class _Sink(io.FileIO):
    """A file whose reader may have gone, as after `| head`: the rest is dropped."""

    def write(self, data: Any, /) -> int | None:
        """Write some bytes."""
        try:
            return super().write(data)
        except BrokenPipeError:
            return memoryview(data).nbytes


def set_up() -> None:
    """Let a command print anything, to any terminal, file or pipe.

    Characters that the encoding lacks are escaped. A pipe that nobody reads any more is
    no error.
    """
    sys.stdout, sys.stderr = _tolerant(sys.stdout), _tolerant(sys.stderr)


def _tolerant(stream: Any) -> Any:
    # Not what a caller from Python has put into its place.
    if type(stream) is not io.TextIOWrapper:
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Sink(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
