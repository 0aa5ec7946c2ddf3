"""Command lines: flags, configs, errors, signals and the compilation cache.

A command is a plain function whose parameters are its flags: the annotation gives type
and help text, the default is the flag's default, and a parameter without a default is a
required flag. Positional-only parameters are positional arguments. So a command can be
called from Python, and tested, as a function. A module with several commands takes the
name of one on its command line. This is the only file that knows absl's flags.

A config flag takes the path of a Python file or the bare name of a packaged config.

Compiled programs are cached in the user's cache folder for the next start.

Source: XDG Base Directory Specification, for the cache folder.
"""

import contextlib
import functools
import inspect
import logging
import os
import shlex
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
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


# A `ml_collections.ConfigDict`; its keys are defined by the config file alone.
Config = Any

BAD_INPUT = 2  # exit code

MIN_COMPILE_SECONDS = 0.1  # shorter compilations are not cached

CACHE_HELP = (
    "Compiled programs are kept in ~/.cache/jaxart; JAX_COMPILATION_CACHE_DIR=FOLDER\n"
    "keeps them elsewhere, JAX_ENABLE_COMPILATION_CACHE=false not at all.\n"
)

# Of this process, as its words; empty unless `run` parsed one.
_command_line: list[str] = []

_DEFINERS = {
    str: flags.DEFINE_string,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_bool,
}


# Not an error: nothing went wrong.
class Stopped(Exception):  # noqa: N818
    """A command was stopped by a signal, after it saved its work.

    Args:
        signal_number: the signal, for the exit code.
        message: one line for the user.
    """

    def __init__(self, signal_number: int, message: str):
        super().__init__(message)
        self.exit_code = 128 + signal_number


def run(command: Callable[..., None]) -> NoReturn:
    """Parse the flags and arguments of `command`, call it, and exit.

    A `ValueError` or `OSError` of the command is the user's to fix: it is printed as
    one line, and the exit code is 2. Any other exception is a bug and keeps its
    traceback.
    """
    _remember_command_line()
    _quiet_libraries()
    _set_up_compilation_cache()
    names, required = _define_flags(command)
    arguments, configs = _arguments(command), _default_configs(command)
    _add_help(arguments)

    def main(argv: list[str]) -> None:
        values = {name: flags.FLAGS[name].value for name in names}
        try:
            command(*argv[1:], **values)
        except (ValueError, OSError) as error:
            fail(error)
        except Stopped as stopped:
            print(f"stopped: {stopped}", file=sys.stderr, flush=True)
            sys.exit(stopped.exit_code)
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr, flush=True)
            sys.exit(128 + signal.SIGINT)

    app.run(main, flags_parser=functools.partial(_parse, arguments, required, configs))
    sys.exit(0)


def run_one_of(*commands: Callable[..., None]) -> NoReturn:
    """Run the one of several commands that the command line names.

    `--help` without a name lists them; with a name it shows the flags of that one.
    """
    by_name = {command.__name__: command for command in commands}
    index = _index_of_name(sys.argv, by_name)
    main_module = sys.modules["__main__"]
    texts = {name: inspect.getdoc(command) for name, command in by_name.items()}
    if index is None:
        summaries = (f"  {n}: {t.splitlines()[0]}\n" for n, t in texts.items() if t)
        main_module.__doc__ = f"{main_module.__doc__ or ''}\n{''.join(summaries)}"
        run(_nameless(by_name))
    _remember_command_line()
    name = sys.argv.pop(index)
    main_module.__doc__ = f"{name}: {texts[name]}\n"
    run(by_name[name])


def fail(error: Exception, leave: Callable[[int], Any] = sys.exit) -> NoReturn:
    """Print an error as one line, and exit with code 2.

    Args:
        error: what the user can fix.
        leave: ends the process with an exit code.
    """
    print(f"error: {line(error)}", file=sys.stderr, flush=True)
    leave(BAD_INPUT)
    raise AssertionError("leave must not return")


def line(error: Exception) -> str:
    """Return the message of an error as one line."""
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror and error.filename:
        text = f"{error.filename}: {error.strerror}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else text


def provenance(**values: object) -> dict[str, str]:
    """Return how a result came to be, as texts by name, for `images.save_png`.

    These are the command line, in a form that a shell runs again, and the version of
    jaxart; a command that was called from Python has no command line.

    >>> provenance(seed=3)["Seed"]
    '3'

    Args:
        values: what decides the result besides, by name.
    """
    texts = {name.capitalize(): str(value) for name, value in values.items()}
    if _command_line:
        texts["Command"] = shlex.join(_command_line)
    with contextlib.suppress(PackageNotFoundError):
        texts["Version"] = version("jaxart")
    return texts


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


def config_path(name: str) -> str:
    """Return the path of a config file.

    Args:
        name: a path, or the bare name of a packaged config: "art" for `art.py`.

    Raises:
        ValueError: `name` has neither a folder nor a suffix, and no packaged config
            has this name.
    """
    if Path(name).suffix or Path(name).name != name:
        return name
    paths = {path.stem: path for path in _config_folder().glob("*.py")}
    if name not in paths:
        raise ValueError(
            f"config must be a path or one of {', '.join(sorted(paths))}; got {name!r}"
        )
    return str(paths[name])


@contextlib.contextmanager
def stop_signals():
    """Yield a list that receives Ctrl-C and SIGTERM instead of the process.

    The caller checks it wherever it can stop safely. A second Ctrl-C stops at once.
    """
    received: list[int] = []

    def receive(number: int, _: Any) -> None:
        if number in received:
            raise KeyboardInterrupt
        received.append(number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = {number: signal.signal(number, receive) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _define_flags(command: Callable[..., None]) -> tuple[list[str], list[str]]:
    """Define the flags of a command; return the names of all and of the required."""
    hints = get_type_hints(command, include_extras=True)
    names, required_names = [], []
    for name, parameter in inspect.signature(command).parameters.items():
        if parameter.kind is parameter.POSITIONAL_ONLY:
            continue
        names.append(name)
        kind, text = get_args(hints[name])
        required = parameter.default is parameter.empty
        default = None if required else parameter.default
        if kind is Config:
            if not required:
                text = f"{text}\n(default: '{default}')"
            config_flags.DEFINE_config_file(name, None, text)
        elif get_origin(kind) is list:
            flags.DEFINE_multi_string(name, default, text)
        elif get_origin(kind) is Literal:
            flags.DEFINE_enum(name, default, get_args(kind), text)
        else:
            _DEFINERS[_without_none(kind)](name, default, text)
        if required:
            required_names.append(name)
        # `--help` shows the key flags of the main module.
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[name])
    return names, required_names


class _Argument(NamedTuple):
    """A positional argument."""

    name: str  # as `--help` shows it
    text: str
    choices: tuple[str, ...]  # the allowed values; empty if anything is allowed
    required: bool


def _arguments(command: Callable[..., None]) -> list[_Argument]:
    hints = get_type_hints(command, include_extras=True)
    arguments = []
    for name, parameter in inspect.signature(command).parameters.items():
        if parameter.kind is parameter.POSITIONAL_ONLY:
            kind, text = get_args(hints[name])
            choices = get_args(kind) if get_origin(kind) is Literal else ()
            required = parameter.default is parameter.empty
            label = "|".join(choices) or name.upper()
            arguments.append(_Argument(label, text, choices, required))
    return arguments


def _index_of_name(
    argv: list[str], by_name: dict[str, Callable[..., None]]
) -> int | None:
    """Return the index of a command's name, skipping the values of flags."""
    flags_with_value = {
        flag for command in by_name.values() for flag in _flags_with_value(command)
    }
    for index, (before, word) in enumerate(pairwise(argv), start=1):
        is_value = before[:1] == "-" and before.lstrip("-") in flags_with_value
        if word in by_name and not is_value:
            return index
    return None


def _flags_with_value(command: Callable[..., None]) -> Iterator[str]:
    """Yield the flags whose value may be the next word, instead of following an =."""
    hints = get_type_hints(command, include_extras=True)
    for name in inspect.signature(command).parameters:
        if get_args(hints[name])[0] is not bool:
            yield name


def _nameless(by_name: dict[str, Callable[..., None]]) -> Callable[..., None]:
    """Return a command whose only argument is the missing name of another one."""

    def nameless(name: Any, /) -> None:
        raise AssertionError(name)

    text = "--help after it lists its flags"
    nameless.__annotations__["name"] = Annotated[Literal[tuple(by_name)], text]
    return nameless


def _add_help(arguments: list[_Argument]) -> None:
    """Add the arguments to `--help`, which begins with the main module's docstring."""
    main_module = sys.modules["__main__"]
    text = f"{main_module.__doc__ or ''}\n{CACHE_HELP}"
    if arguments:
        labels = " ".join(a.name if a.required else f"[{a.name}]" for a in arguments)
        texts = "".join(f"  {a.name}: {a.text}\n" for a in arguments)
        text += f"\narguments: {labels} [--flag=VALUE ...]\n\n{texts}"
    main_module.__doc__ = text


def _without_none(kind: Any) -> type:
    """Return the type of an optional flag: `int` for `int | None`."""
    kinds = [member for member in get_args(kind) if member is not type(None)]
    return kinds[0] if kinds else kind


def _default_configs(command: Callable[..., None]) -> dict[str, str | None]:
    """Return the default of each config flag; None for a required one.

    ml_collections would open the default of a flag, and fail on bad settings, while
    the flag is defined. So the defaults are put on the command line instead.
    """
    hints = get_type_hints(command, include_extras=True)
    return {
        name: None if parameter.default is parameter.empty else parameter.default
        for name, parameter in inspect.signature(command).parameters.items()
        if get_args(hints[name])[0] is Config
    }


def _with_config_paths(argv: list[str], configs: dict[str, str | None]) -> list[str]:
    """Add the missing config flags, and replace the names of configs by paths."""
    names = {word.lstrip("-").partition("=")[0] for word in argv if word[:1] == "-"}
    defaults = [
        f"--{name}={default}"
        for name, default in configs.items()
        if default is not None and name not in names
    ]
    argv = [argv[0], *defaults, *argv[1:]]
    result = argv[:1]
    for before, word in pairwise(argv):
        flag, equals, value = word.partition("=")
        if word[:1] == "-" and equals and flag.lstrip("-") in configs:
            word = f"{flag}={config_path(value)}"
        elif before[:1] == "-" and before.lstrip("-") in configs:
            word = config_path(word)
        result.append(word)
    return result


def _parse(
    arguments: list[_Argument],
    required: list[str],
    configs: dict[str, str | None],
    argv: list[str],
) -> list[str]:
    try:
        # Flags may follow positional arguments.
        flags.FLAGS.set_gnu_getopt(True)
        rest = flags.FLAGS(_with_config_paths(argv, configs))
        _check_arguments(arguments, rest[1:])
        missing = [f"--{name}" for name in required if flags.FLAGS[name].value is None]
        if missing:
            raise ValueError(f"missing flags: {' '.join(missing)}")
    except (AttributeError, KeyError) as error:
        # The text is the repr of a repr.
        text = str(error.args[0]).replace("\\n", "; ").replace("\\", "")
        text = text.replace('"', "").replace("'", "")
        fail(ValueError(f"unknown setting: {text}"))
    # ml_collections passes on whatever the config file raises.
    except Exception as error:
        fail(error)
    return rest


def _check_arguments(arguments: list[_Argument], words: list[str]) -> None:
    for argument in arguments[len(words) :]:
        if argument.required:
            raise ValueError(f"missing argument: {argument.name} ({argument.text})")
    if len(words) > len(arguments):
        raise ValueError(f"unexpected argument: {words[len(arguments)]}")
    for argument, word in zip(arguments, words, strict=False):
        if argument.choices and word not in argument.choices:
            raise ValueError(f"argument must be {argument.name}; got {word!r}")


def _config_folder() -> Path:
    """Return the folder of packaged configs: beside the package in a checkout."""
    package = Path(__file__).parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def _remember_command_line() -> None:
    """Keep the words of the command line for `provenance`, before any is taken away."""
    if not _command_line:
        _command_line.extend(["jaxart", Path(sys.argv[0]).stem, *sys.argv[1:]])


def _quiet_libraries() -> None:
    """Let libraries print warnings and errors only."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    absl_logging.set_verbosity(absl_logging.WARNING)
    logging.getLogger().setLevel(logging.WARNING)


def _set_up_compilation_cache() -> None:
    """Let JAX cache compiled programs, unless the environment says where or whether."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", _cache_folder())
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update(
            "jax_persistent_cache_min_compile_time_secs", MIN_COMPILE_SECONDS
        )
    # A full disk, or an entry of a process that was killed while writing it: JAX then
    # compiles as if there were no cache.
    warnings.filterwarnings(
        "ignore", "Error (reading|writing) persistent compilation cache"
    )


def _cache_folder() -> str | None:
    """Return this user's cache folder; None if it cannot be made."""
    xdg_cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        cache = xdg_cache if xdg_cache.is_absolute() else Path.home() / ".cache"
        folder = cache / "jaxart" / "compiled"
        # Nobody else may write here: cached programs are executed.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    return str(folder) if os.access(folder, os.W_OK) else None
