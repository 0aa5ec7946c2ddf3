"""Command lines: flags, configs, errors and signals.

A command is a plain function whose parameters are its flags: the annotation gives type
and help text, the default is the flag's default, and a parameter without a default is a
required flag. Positional-only parameters are positional arguments. So a command can be
called from Python, and tested, as a function. A module with several commands takes the
name of one on its command line. This is the only file that knows absl's flags.

A config flag takes the path of a Python file or the bare name of a packaged config.
"""

import contextlib
import functools
import inspect
import logging
import os
import shlex
import signal
import sys
from collections.abc import Callable, Mapping
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

from absl import app, flags
from absl import logging as absl_logging
from ml_collections import config_flags

from jaxart import environment, terminal
from jaxart.validation import expand_home


# A `ml_collections.ConfigDict`; its keys are defined by the config file alone.
Config = Any

BARE = object()  # annotates a text that may be left out: `--flag` is then ""

BAD_INPUT = 2  # exit code

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
    terminal.set_up()
    _remember_command_line()
    _quiet_libraries()
    environment.set_up()
    parameters = _parameters(command)
    arguments = [p for p in parameters if p.positional]
    flag_parameters = [p for p in parameters if not p.positional]
    for parameter in flag_parameters:
        _define_flag(parameter)
    _add_help(arguments)

    def main(argv: list[str]) -> None:
        try:
            environment.check_xla_flags()
            words = [p.expanded(w) for p, w in zip(arguments, argv[1:], strict=False)]
            values = {
                p.name: p.expanded(flags.FLAGS[p.flag].value) for p in flag_parameters
            }
            # Several processes join before JAX finds its devices.
            if values.get("distributed") is None:
                environment.check_platform()
            command(*words, **values)
        except (ValueError, OSError) as error:
            fail(error)
        except Stopped as stopped:
            print(f"stopped: {stopped}", file=sys.stderr, flush=True)
            sys.exit(stopped.exit_code)
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr, flush=True)
            sys.exit(128 + signal.SIGINT)

    app.run(main, flags_parser=functools.partial(_parse, parameters))
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
        return expand_home("config", name)
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


class _Parameter(NamedTuple):
    """A parameter of a command: a flag, or a positional argument."""

    name: str  # in Python
    flag: str  # without what keeps a name from being a keyword: "from" for `from_`
    kind: Any  # its type, without None
    text: str
    default: Any
    required: bool
    positional: bool
    is_path: bool
    may_be_bare: bool

    @property
    def choices(self) -> tuple[str, ...]:
        """The allowed values; empty if anything is allowed."""
        return get_args(self.kind) if get_origin(self.kind) is Literal else ()

    @property
    def label(self) -> str:
        """An argument's name, as `--help` shows it."""
        return "|".join(self.choices) or self.name.upper()

    def expanded(self, value: Any) -> Any:
        """Return the value with the home folder for a ~, if it is a path."""
        if not self.is_path or value is None:
            return value
        if isinstance(value, list):
            return [self.expanded(path) for path in value]
        return expand_home(self.flag, value)


def _parameters(command: Callable[..., None]) -> list[_Parameter]:
    kinds, hints = get_type_hints(command), get_type_hints(command, include_extras=True)
    return [
        _Parameter(
            name,
            name.removesuffix("_"),
            _without_none(kinds[name]),
            get_args(hints[name])[-1],
            None if parameter.default is parameter.empty else parameter.default,
            required=parameter.default is parameter.empty,
            positional=parameter.kind is parameter.POSITIONAL_ONLY,
            is_path=_mentions(hints[name], expand_home),
            may_be_bare=_mentions(hints[name], BARE),
        )
        for name, parameter in inspect.signature(command).parameters.items()
    ]


def _without_none(kind: Any) -> Any:
    """Return the type of an optional flag: `int` for `int | None`."""
    kinds = [member for member in get_args(kind) if member is not type(None)]
    return kinds[0] if type(None) in get_args(kind) else kind


def _mentions(hint: Any, mark: object) -> bool:
    """Return whether a mark is among the annotations of a type or of its parts."""
    return any(part is mark or _mentions(part, mark) for part in get_args(hint))


def _define_flag(parameter: _Parameter) -> None:
    _, name, kind, text, default, *_ = parameter
    if kind is Config:
        if default is not None:
            text = f"{text}\n(default: '{default}')"
        config_flags.DEFINE_config_file(name, None, text)
    elif get_origin(kind) is list:
        flags.DEFINE_multi_string(name, default, text)
    elif parameter.may_be_bare:
        flag = flags.Flag(_BareParser(), None, name, default, text, boolean=True)
        flags.DEFINE_flag(flag)
    elif parameter.choices:
        flags.DEFINE_enum(name, default, parameter.choices, text)
    else:
        _DEFINERS[kind](name, default, text)
    # `--help` shows the key flags of the main module.
    flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[name])


class _BareParser(flags.ArgumentParser):
    """Parses a text that may be left out, which absl tells as it tells a switch."""

    def parse(self, argument: str) -> str | None:
        return {"true": "", "false": None}.get(argument, argument)


def _index_of_name(
    argv: list[str], by_name: dict[str, Callable[..., None]]
) -> int | None:
    """Return the index of a command's name, skipping the values of flags."""
    flags_with_value = {
        parameter.flag
        for command in by_name.values()
        for parameter in _parameters(command)
        if not (parameter.kind is bool or parameter.may_be_bare)
    }
    for index, (previous, word) in enumerate(pairwise(argv), start=1):
        is_value = previous[:1] == "-" and previous.lstrip("-") in flags_with_value
        if word in by_name and not is_value:
            return index
    return None


def _nameless(by_name: dict[str, Callable[..., None]]) -> Callable[..., None]:
    """Return a command whose only argument is the missing name of another one."""

    def nameless(name: Any, /) -> None:
        raise AssertionError(name)

    text = "--help after it lists its flags"
    nameless.__annotations__["name"] = Annotated[Literal[tuple(by_name)], text]
    return nameless


def _add_help(arguments: list[_Parameter]) -> None:
    """Add the arguments to `--help`, which begins with the main module's docstring."""
    main_module = sys.modules["__main__"]
    text = f"{main_module.__doc__ or ''}\n{environment.CACHE_HELP}"
    if arguments:
        labels = " ".join(a.label if a.required else f"[{a.label}]" for a in arguments)
        texts = "".join(f"  {a.label}: {a.text}\n" for a in arguments)
        text += f"\narguments: {labels} [--flag=VALUE ...]\n\n{texts}"
    main_module.__doc__ = text


def _parse(parameters: list[_Parameter], argv: list[str]) -> list[str]:
    try:
        # Flags may follow positional arguments.
        flags.FLAGS.set_gnu_getopt(True)
        # Where ml_collections looks for them.
        sys.argv = _with_configs_first(argv, parameters)
        arguments = flags.FLAGS(sys.argv)
        _check_arguments([p for p in parameters if p.positional], arguments[1:])
        missing = [
            f"--{p.flag}"
            for p in parameters
            if p.required and not p.positional and flags.FLAGS[p.flag].value is None
        ]
        if missing:
            raise ValueError(f"missing flags: {' '.join(missing)}")
    # absl shows the help, and ends with 1.
    except SystemExit:
        sys.exit(0)
    except (AttributeError, KeyError) as error:
        # The text is the repr of a repr.
        text = str(error.args[0]).replace("\\n", "; ").replace("\\", "")
        text = text.replace('"', "").replace("'", "")
        fail(ValueError(f"unknown setting: {text}"))
    # ml_collections passes on whatever the config file raises.
    except Exception as error:
        fail(error)
    return arguments


def _with_configs_first(argv: list[str], parameters: list[_Parameter]) -> list[str]:
    """Put config flags before those of their settings, and paths for their names.

    Defaults are put there, too: ml_collections would open the default of a flag, and
    fail on bad settings, while the flag is defined.
    """
    program, *words = argv
    defaults = {p.flag: p.default for p in parameters if p.kind is Config}
    configs, others, rest = [], [], iter(words)
    for word in rest:
        if word == "--":
            others += [word, *rest]
            break
        flag, equals, value = word.partition("=")
        name = flag.lstrip("-")
        if word[:1] == "-" and name in defaults:
            path = config_path(value if equals else next(rest, ""))
            configs.append(f"--{name}={path}")
            defaults[name] = None
        else:
            others.append(word)
    configs += [f"--{n}={config_path(d)}" for n, d in defaults.items() if d is not None]
    return [program, *configs, *others]


def _check_arguments(arguments: list[_Parameter], words: list[str]) -> None:
    for argument in arguments[len(words) :]:
        if argument.required:
            raise ValueError(f"missing argument: {argument.label} ({argument.text})")
    if len(words) > len(arguments):
        raise ValueError(f"unexpected argument: {words[len(arguments)]}")
    for argument, word in zip(arguments, words, strict=False):
        if argument.choices and word not in argument.choices:
            raise ValueError(f"argument must be {argument.label}; got {word!r}")


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
