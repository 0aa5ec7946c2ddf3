"""How a command starts: its flags, its config, and how it fails.

A command is a plain function whose keyword parameters are its flags: the annotation
gives type and help, the default is the flag's default, and no default makes the flag
required. So a command is tested, and called from Python, as the function it is. This
is the only file that knows flags.
"""

import contextlib
import inspect
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Literal, NoReturn, get_args, get_origin, get_type_hints

from absl import app, flags
from absl import logging as absl_logging
from ml_collections import config_flags


# A `ml_collections.ConfigDict`; what keys it has, only its file knows.
Config = Any

BAD_INPUT = 2  # exit code of a command that was asked for the impossible

_DEFINERS = {
    str: flags.DEFINE_string,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_bool,
}


# Not an error: nothing went wrong.
class Stopped(Exception):  # noqa: N818
    """A command was told to stop by a signal, and has put its work in safety.

    Args:
        signal_number: the signal that asked for it, for the exit code.
        message: one line for the person who asked.
    """

    def __init__(self, signal_number: int, message: str):
        super().__init__(message)
        self.exit_code = 128 + signal_number


def run(command: Callable[..., None]) -> NoReturn:
    """Parse the flags of `command`, call it, and exit.

    A `ValueError` or `OSError` of the command is its user's to mend: it is printed as
    one line, and the exit code is 2. Any other exception is a bug and keeps its
    traceback.
    """
    _quiet()
    names = _define_flags(command)

    def main(_: list[str]) -> None:
        given = {name: flags.FLAGS[name].value for name in names}
        try:
            command(**given)
        except (ValueError, OSError) as error:
            _fail(error)
        except Stopped as stopped:
            print(f"stopped: {stopped}", file=sys.stderr, flush=True)
            sys.exit(stopped.exit_code)
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr, flush=True)
            sys.exit(128 + signal.SIGINT)

    app.run(main, flags_parser=_parse)
    sys.exit(0)


@contextlib.contextmanager
def stop_signals():
    """Yield a list that receives Ctrl-C and SIGTERM instead of the process.

    The caller looks into it where stopping is safe. A second Ctrl-C stops at once.
    """
    received: list[int] = []

    def receive(number: int, _: Any) -> None:
        if number in received:
            raise KeyboardInterrupt
        received.append(number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, receive) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _define_flags(command: Callable[..., None]) -> list[str]:
    hints = get_type_hints(command, include_extras=True)
    parameters = inspect.signature(command).parameters
    for name, parameter in parameters.items():
        kind, text = get_args(hints[name])
        required = parameter.default is parameter.empty
        default = None if required else parameter.default
        if kind is Config:
            config_flags.DEFINE_config_file(name, default, text)
        elif get_origin(kind) is Literal:
            flags.DEFINE_enum(name, default, get_args(kind), text)
        else:
            _DEFINERS[_without_none(kind)](name, default, text)
        if required:
            flags.mark_flag_as_required(name)
        # `--help` shows the flags of the module that was started.
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[name])
    return list(parameters)


def _without_none(kind: Any) -> type:
    """Return the type of a flag that may be left out: `int` for `int | None`."""
    kinds = [member for member in get_args(kind) if member is not type(None)]
    return kinds[0] if kinds else kind


def _parse(argv: list[str]) -> list[str]:
    try:
        rest = flags.FLAGS(argv)
        if rest[1:]:
            raise ValueError(f"unexpected argument: {rest[1]}")
    except (AttributeError, KeyError) as error:
        # The text comes as the repr of a repr.
        text = str(error.args[0]).replace("\\n", "; ").replace("\\", "")
        text = text.replace('"', "").replace("'", "")
        _fail(ValueError(f"unknown setting: {text}"))
    # ml_collections passes on whatever the config's own code raises.
    except Exception as error:
        _fail(error)
    return rest


def _fail(error: Exception) -> NoReturn:
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror and error.filename:
        text = f"{error.filename}: {error.strerror}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    print(f"error: {lines[-1] if lines else text}", file=sys.stderr, flush=True)
    sys.exit(BAD_INPUT)


def _quiet() -> None:
    """Leave the terminal to the command: libraries speak from warnings upwards."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    absl_logging.set_verbosity(absl_logging.WARNING)
    logging.getLogger().setLevel(logging.WARNING)
