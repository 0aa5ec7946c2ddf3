"""How a command starts: its flags, its config, and how it fails.

A command is a plain function whose parameters are its flags: the annotation gives type
and help, the default is the flag's default, and no default makes the flag required.
Its positional-only parameters are its arguments, the words that stand without `--`. So
a command is tested, and called from Python, as the function it is. Several functions
can share a module: the first word of the command line then names one. This is the only
file that knows flags.

What a command compiles is kept in the user's cache folder, so that the next start finds
it there.

Source: XDG Base Directory Specification, for the cache folder.
"""

import contextlib
import functools
import inspect
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    NoReturn,
    get_args,
    get_origin,
    get_type_hints,
)

import jax
from absl import app, flags
from absl import logging as absl_logging
from ml_collections import config_flags


# A `ml_collections.ConfigDict`; what keys it has, only its file knows.
Config = Any

BAD_INPUT = 2  # exit code of a command that was asked for the impossible

# From how long a compilation on its result is worth a file.
WORTH_KEEPING_SECONDS = 0.1

CACHE_HELP = (
    "Compiled programs are kept in ~/.cache/jaxart; JAX_COMPILATION_CACHE_DIR=FOLDER\n"
    "keeps them elsewhere, JAX_ENABLE_COMPILATION_CACHE=false not at all.\n"
)

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
    """Parse the flags and arguments of `command`, call it, and exit.

    A `ValueError` or `OSError` of the command is its user's to mend: it is printed as
    one line, and the exit code is 2. Any other exception is a bug and keeps its
    traceback.
    """
    _quiet()
    _keep_compiled()
    names = _define_flags(command)
    arguments, configs = _arguments(command), _default_configs(command)
    _explain(arguments)

    def main(argv: list[str]) -> None:
        given = {name: flags.FLAGS[name].value for name in names}
        try:
            command(*argv[1:], **given)
        except (ValueError, OSError) as error:
            fail(error)
        except Stopped as stopped:
            print(f"stopped: {stopped}", file=sys.stderr, flush=True)
            sys.exit(stopped.exit_code)
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr, flush=True)
            sys.exit(128 + signal.SIGINT)

    app.run(main, flags_parser=functools.partial(_parse, arguments, configs))
    sys.exit(0)


def fail(error: Exception, leave: Callable[[int], Any] = sys.exit) -> NoReturn:
    """Print an error as one line, and leave with exit code 2.

    Args:
        error: what its user can mend.
        leave: ends the process with an exit code.
    """
    print(f"error: {line(error)}", file=sys.stderr, flush=True)
    leave(BAD_INPUT)
    raise AssertionError("left, and still here")


def line(error: Exception) -> str:
    """Return what an error says, on one line."""
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror and error.filename:
        text = f"{error.filename}: {error.strerror}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else text


def settings_diff(
    old: Mapping[str, Any], new: Mapping[str, Any], may_change: tuple[str, ...]
) -> list[str]:
    """Return how settings differ from those before, a text for each that does.

    >>> settings_diff({"width": 4, "steps": 9}, {"width": 8, "steps": 10}, ("steps",))
    ['width (was 4, now 8)']

    Args:
        old: by name.
        new: by name.
        may_change: beginnings of the names that are left out.
    """
    return [
        f"{name} (was {old.get(name)}, now {new.get(name)})"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name) and not name.startswith(may_change)
    ]


def run_one_of(*commands: Callable[..., None]) -> NoReturn:
    """Run the one of several commands whose name is on the command line.

    `--help` without a name lists them; with a name it shows that one's flags.
    """
    named = {command.__name__: command for command in commands}
    place = _place_of_name(sys.argv, named)
    started = sys.modules["__main__"]
    texts = {name: inspect.getdoc(command) for name, command in named.items()}
    if place is None:
        firsts = (f"  {n}: {t.splitlines()[0]}\n" for n, t in texts.items() if t)
        started.__doc__ = f"{started.__doc__ or ''}\n{''.join(firsts)}"
        run(_choice(named))
    word = sys.argv.pop(place)
    started.__doc__ = f"{word}: {texts[word]}\n"
    run(named[word])


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
    names = []
    for name, parameter in inspect.signature(command).parameters.items():
        if parameter.kind is parameter.POSITIONAL_ONLY:
            continue
        names.append(name)
        kind, text = get_args(hints[name])
        required = parameter.default is parameter.empty
        default = None if required else parameter.default
        if kind is Config:
            shown = text if required else f"{text}\n(default: '{default}')"
            config_flags.DEFINE_config_file(name, None, shown)
        elif get_origin(kind) is list:
            # May be given several times; each is one more.
            flags.DEFINE_multi_string(name, default, text)
        elif get_origin(kind) is Literal:
            flags.DEFINE_enum(name, default, get_args(kind), text)
        else:
            _DEFINERS[_without_none(kind)](name, default, text)
        if required:
            flags.mark_flag_as_required(name)
        # `--help` shows the flags of the module that was started.
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[name])
    return names


class _Argument(NamedTuple):
    """A word that stands without `--`."""

    name: str  # as `--help` shows it
    text: str
    choices: tuple[str, ...]  # all that it may be; empty if it may be anything
    required: bool


def _arguments(command: Callable[..., None]) -> list[_Argument]:
    hints = get_type_hints(command, include_extras=True)
    arguments = []
    for name, parameter in inspect.signature(command).parameters.items():
        if parameter.kind is parameter.POSITIONAL_ONLY:
            kind, text = get_args(hints[name])
            choices = get_args(kind) if get_origin(kind) is Literal else ()
            required = parameter.default is parameter.empty
            shown = "|".join(choices) or name.upper()
            arguments.append(_Argument(shown, text, choices, required))
    return arguments


def _place_of_name(
    words: list[str], named: dict[str, Callable[..., None]]
) -> int | None:
    """Return which word names a command; not one that is the value of a flag."""
    valued = {flag for command in named.values() for flag in _valued_flags(command)}
    for place, (before, word) in enumerate(pairwise(words), start=1):
        is_value = before[:1] == "-" and before.lstrip("-") in valued
        if word in named and not is_value:
            return place
    return None


def _valued_flags(command: Callable[..., None]) -> Iterator[str]:
    """Yield the flags that take the next word as their value, where no = follows."""
    hints = get_type_hints(command, include_extras=True)
    for name in inspect.signature(command).parameters:
        if get_args(hints[name])[0] is not bool:
            yield name


def _choice(named: dict[str, Callable[..., None]]) -> Callable[..., None]:
    """Return a command that stands for several, and knows no more than their names."""

    def choose(which: Any, /) -> None:
        raise AssertionError(which)

    text = "--help after it lists its flags"
    choose.__annotations__["which"] = Annotated[Literal[tuple(named)], text]
    return choose


def _explain(arguments: list[_Argument]) -> None:
    """Have `--help` show the arguments: it begins with the started module's text."""
    started = sys.modules["__main__"]
    text = f"{started.__doc__ or ''}\n{CACHE_HELP}"
    if arguments:
        words = " ".join(a.name if a.required else f"[{a.name}]" for a in arguments)
        texts = "".join(f"  {a.name}: {a.text}\n" for a in arguments)
        text += f"\narguments: {words} [--flag=VALUE ...]\n\n{texts}"
    started.__doc__ = text


def _without_none(kind: Any) -> type:
    """Return the type of a flag that may be left out: `int` for `int | None`."""
    kinds = [member for member in get_args(kind) if member is not type(None)]
    return kinds[0] if kinds else kind


def _default_configs(command: Callable[..., None]) -> dict[str, str]:
    """Return the files of configs that need not be named, by their flags.

    Had the flags themselves these defaults, ml_collections would open the files, and
    meet bad settings, while it defines them.
    """
    hints = get_type_hints(command, include_extras=True)
    return {
        name: parameter.default
        for name, parameter in inspect.signature(command).parameters.items()
        if get_args(hints[name])[0] is Config
        and parameter.default is not parameter.empty
    }


def _parse(
    arguments: list[_Argument], configs: dict[str, str], argv: list[str]
) -> list[str]:
    names = {word.lstrip("-").partition("=")[0] for word in argv if word[:1] == "-"}
    unnamed = [
        f"--{name}={path}" for name, path in configs.items() if name not in names
    ]
    try:
        # Flags may follow arguments, as they do everywhere else.
        flags.FLAGS.set_gnu_getopt(True)
        rest = flags.FLAGS([*argv[:1], *unnamed, *argv[1:]])
        _check(arguments, rest[1:])
    except (AttributeError, KeyError) as error:
        # The text comes as the repr of a repr.
        text = str(error.args[0]).replace("\\n", "; ").replace("\\", "")
        text = text.replace('"', "").replace("'", "")
        fail(ValueError(f"unknown setting: {text}"))
    # ml_collections passes on whatever the config's own code raises.
    except Exception as error:
        fail(error)
    return rest


def _check(arguments: list[_Argument], words: list[str]) -> None:
    for argument in arguments[len(words) :]:
        if argument.required:
            raise ValueError(f"missing argument: {argument.name} ({argument.text})")
    if len(words) > len(arguments):
        raise ValueError(f"unexpected argument: {words[len(arguments)]}")
    for argument, word in zip(arguments, words, strict=False):
        if argument.choices and word not in argument.choices:
            raise ValueError(f"argument must be {argument.name}; got {word!r}")


def _quiet() -> None:
    """Leave the terminal to the command: libraries speak from warnings upwards."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    absl_logging.set_verbosity(absl_logging.WARNING)
    logging.getLogger().setLevel(logging.WARNING)


def _keep_compiled() -> None:
    """Have JAX keep what it compiles. What the environment says comes first."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", _cache_folder())
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update(
            "jax_persistent_cache_min_compile_time_secs", WORTH_KEEPING_SECONDS
        )
    # From a full disk, or what a process killed while writing has left there. Then it
    # is compiled as if nothing had been kept: no matter for who runs the command.
    warnings.filterwarnings(
        "ignore", "Error (reading|writing) persistent compilation cache"
    )


def _cache_folder() -> str | None:
    """Return this user's folder for what is compiled; None if there can be none."""
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        cache = given if given.is_absolute() else Path.home() / ".cache"
        folder = cache / "jaxart" / "compiled"
        # Nobody else's: programs in there are run.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    return str(folder) if os.access(folder, os.W_OK) else None
