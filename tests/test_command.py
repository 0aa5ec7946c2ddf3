"""Commands are started as people start them, in processes of their own."""

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest


IMPORTS = """
import os, signal, time
from typing import Annotated, Literal
from jaxart import command

"""
FLAGS = """
    name: Annotated[str, "who is greeted"],
    times: Annotated[int, "how often"] = 1,
    tone: Annotated[Literal["warm", "cold"], "how it sounds"] = "warm",
    until: Annotated[int | None, "an hour"] = None,
"""
ARGUMENTS = """
    tone: Annotated[Literal["warm", "cold"], "how it sounds"],
    name: Annotated[str | None, "who is greeted"] = None,
    /,
    *,
    times: Annotated[int, "how often"] = 1,
"""


def run(
    tmp_path: Path, body: str, *arguments: str, parameters: str = FLAGS
) -> subprocess.CompletedProcess:
    """Start a command whose function is `body`."""
    definition = f"def main({parameters}) -> None:\n"
    definition += textwrap.indent(textwrap.dedent(body), "    ")
    return start(tmp_path, definition + "\ncommand.run(main)\n", *arguments)


def start(tmp_path: Path, code: str, *arguments: str) -> subprocess.CompletedProcess:
    script = tmp_path / "greet.py"
    script.write_text(IMPORTS + code)
    return subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True
    )


def only_line(done: subprocess.CompletedProcess) -> str:
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def test_flags_are_the_parameters_of_the_function(tmp_path: Path):
    done = run(tmp_path, "print(name, times, tone, until)", "--name=Ada", "--times=3")
    assert (done.returncode, done.stdout) == (0, "Ada 3 warm None\n")


def test_help_names_every_flag_with_its_text(tmp_path: Path):
    done = run(tmp_path, "pass", "--help")
    for text in ("--name", "who is greeted", "--times", "how often", "<warm|cold>"):
        assert text in done.stdout


def test_positional_only_parameters_are_arguments(tmp_path: Path):
    def printed(*arguments: str) -> str:
        body = "print(tone, name, times)"
        return run(tmp_path, body, *arguments, parameters=ARGUMENTS).stdout

    assert printed("cold") == "cold None 1\n"
    assert printed("cold", "--times=3", "Ada") == "cold Ada 3\n"
    assert printed("--times=3", "cold", "--", "--Ada") == "cold --Ada 3\n"


def test_help_shows_the_arguments(tmp_path: Path):
    done = run(tmp_path, "pass", "--help", parameters=ARGUMENTS)
    assert "warm|cold [NAME] [--flag=VALUE ...]" in done.stdout
    assert "NAME: who is greeted" in done.stdout


CONFIG = """
    config: Annotated[command.Config, "a file"] = os.environ["HERE"] + "/config.py",
"""


@pytest.fixture
def configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a default config and another one."""
    monkeypatch.setenv("HERE", str(tmp_path))
    for name, times in (("config", 1), ("other", 2)):
        (tmp_path / f"{name}.py").write_text(
            "from ml_collections import ConfigDict\n"
            f"get_config = lambda: ConfigDict({{'times': {times}, '{name}': True}})\n"
        )
    return tmp_path


def test_a_config_may_have_a_default(configs: Path):
    def printed(*arguments: str) -> str:
        body = "print(config.times, *sorted(config))"
        return run(configs, body, *arguments, parameters=CONFIG).stdout

    assert printed() == "1 config times\n"
    assert printed("--config.times=5") == "5 config times\n"
    other = f"--config={configs}/other.py"
    assert printed(other, "--config.other=False") == "2 other times\n"
    shown = "".join(printed("--help").split())  # lines are broken anywhere
    assert f"(default:'{configs}/config.py')" in shown


@pytest.mark.parametrize("arguments", [["--config.tims=3"], ["--config.times=many"]])
def test_a_bad_setting_of_a_default_config_is_one_line(
    configs: Path, arguments: list[str]
):
    only_line(run(configs, "pass", *arguments, parameters=CONFIG))


def test_a_default_config_that_is_missing_is_one_line(configs: Path):
    (configs / "config.py").unlink()
    assert "config.py" in only_line(run(configs, "config.times", parameters=CONFIG))
    other = f"--config={configs}/other.py"
    assert run(configs, "config.times", other, parameters=CONFIG).returncode == 0


TWO = """
def draw(name: Annotated[str, "who is drawn"]) -> None:
    \"\"\"Draw somebody.

    At once.
    \"\"\"
    print("drawn:", name)

def greet(
    name: Annotated[str, "who is greeted"],
    times: Annotated[int, "often"] = 1,
    loud: Annotated[bool, "or not"] = False,
):
    \"\"\"Greet somebody.\"\"\"
    print("greeted:", name.upper() if loud else name, times)

command.run_one_of(draw, greet)
"""


def test_one_of_several_commands_is_named_by_a_word(tmp_path: Path):
    def printed(*arguments: str) -> str:
        return start(tmp_path, TWO, *arguments).stdout

    assert printed("draw", "--name=Ada") == "drawn: Ada\n"
    assert printed("greet", "--name=Ada", "--times=3") == "greeted: Ada 3\n"
    assert printed("--times=3", "greet", "--name=Ada") == "greeted: Ada 3\n"
    # The value of a flag is no command; what follows one that takes none is.
    assert printed("--name", "draw", "greet") == "greeted: draw 1\n"
    assert printed("--name", "draw", "draw") == "drawn: draw\n"
    assert printed("greet", "--name", "greet") == "greeted: greet 1\n"
    assert printed("--loud", "greet", "--name=Ada") == "greeted: ADA 1\n"


def test_help_lists_several_commands_and_shows_the_flags_of_one(tmp_path: Path):
    def shown(*arguments: str) -> str:
        return start(tmp_path, TWO, *arguments, "--help").stdout

    for text in ("draw: Draw somebody.", "greet: Greet somebody."):
        assert text in shown()
    assert "--name" not in shown()
    assert "At once." in shown("draw")
    assert "--name: who is drawn" in shown("draw")
    assert "--times" not in shown("draw")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "missing argument: draw|greet (--help after it lists its flags)"),
        (["paint"], "argument must be draw|greet; got 'paint'"),
        (["draw"], "missing flags: --name"),
        (["draw", "--name=Ada", "greet"], "unexpected argument: greet"),
    ],
)
def test_a_command_that_is_not_there_is_one_line(
    tmp_path: Path, arguments: list[str], complaint: str
):
    done = start(tmp_path, TWO, *arguments)
    assert only_line(done) == f"error: {complaint}"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "missing argument: warm|cold (how it sounds)"),
        (["hot"], "argument must be warm|cold; got 'hot'"),
        (["warm", "Ada", "Bob"], "unexpected argument: Bob"),
    ],
)
def test_a_bad_argument_is_one_line_and_exit_code_2(
    tmp_path: Path, arguments: list[str], complaint: str
):
    done = run(tmp_path, "pass", *arguments, parameters=ARGUMENTS)
    assert only_line(done) == f"error: {complaint}"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "name"),
        (["--name=A", "--tims=3"], "tims"),
        (["--name=A", "--times=many"], "many"),
        (["--name=A", "--tone=hot"], "hot"),
        (["--name=A", "stray"], "stray"),
    ],
)
def test_a_bad_flag_is_one_line_and_exit_code_2(
    tmp_path: Path, arguments: list[str], complaint: str
):
    assert complaint in only_line(run(tmp_path, "pass", *arguments))


def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path):
    done = run(tmp_path, 'raise ValueError("times must be odd; got 2")', "--name=A")
    assert only_line(done) == "error: times must be odd; got 2"


def test_a_file_error_names_the_file(tmp_path: Path):
    done = run(tmp_path, 'open("/nowhere/at/all")', "--name=A")
    assert only_line(done) == "error: /nowhere/at/all: No such file or directory"


def test_a_bug_keeps_its_traceback(tmp_path: Path):
    done = run(tmp_path, "assert times == 2", "--name=A")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_a_stop_signal_is_handed_over_and_its_exit_code_is_the_shells(tmp_path: Path):
    body = """
    with command.stop_signals() as stops:
        os.kill(os.getpid(), signal.SIGTERM)
        while not stops:
            time.sleep(0.01)
        raise command.Stopped(stops[0], "all is saved")
    """
    done = run(tmp_path, body, "--name=A")
    assert done.returncode == 128 + signal.SIGTERM
    assert done.stderr == "stopped: all is saved\n"


COMPILING = """
import jax, jax.numpy as jnp

hits = []
jax.monitoring.register_event_listener(lambda event, **_: hits.append(event))
jax.jit(lambda x: jnp.sin(x) + 1)(jnp.arange(4.0)).block_until_ready()
print(sum("cache_hits" in event for event in hits) > 0)
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where commands keep all that they compile."""
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "jaxart" / "compiled"


def test_what_was_compiled_is_found_by_the_next_start(tmp_path: Path, cache: Path):
    for found in ("False\n", "True\n"):
        done = run(tmp_path, COMPILING, "--name=Ada")
        assert (done.stdout, done.stderr) == (found, "")
    assert cache.stat().st_mode & 0o777 == 0o700
    for entry in cache.glob("*-cache"):
        entry.write_bytes(entry.read_bytes()[:50])
    done = run(tmp_path, COMPILING, "--name=Ada")
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_what_the_environment_says_of_compiled_programs_comes_first(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "elsewhere"))
    run(tmp_path, COMPILING, "--name=Ada")
    assert not cache.exists()
    assert any((tmp_path / "elsewhere").iterdir())
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    monkeypatch.setenv("JAX_ENABLE_COMPILATION_CACHE", "false")
    run(tmp_path, COMPILING, "--name=Ada")
    assert not any(cache.iterdir())


def test_a_home_without_room_for_compiled_programs_breaks_nothing(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute, so of no account")
    monkeypatch.setenv("HOME", "/dev/null")
    done = run(tmp_path, COMPILING, "--name=Ada")
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")
    assert not cache.exists()


def test_help_says_where_compiled_programs_are_kept(tmp_path: Path):
    assert "~/.cache/jaxart" in run(tmp_path, "pass", "--help").stdout
