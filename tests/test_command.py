"""Commands run as they do on a command line: each in a process of its own.

The processes are forks of one that has imported `jaxart.command` already.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest

from jaxart import __main__ as program
from jaxart import command


ROOT = Path(__file__).parents[1]

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["jaxart.command", "pytest"])

# Executed in a fork; `here`, `argv` and `environ` are its globals.
MAIN = """
import os, runpy, sys

for number, name in enumerate(("stdout", "stderr"), start=1):
    os.dup2(os.open(f"{here}/{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
os.environ.update(environ)
sys.argv = argv
runpy.run_path(argv[0], run_name="__main__")
"""

IMPORTS = """
import os, signal, time
from typing import Annotated, Literal
from jaxart import command
from jaxart.validation import FilePath

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


class Result(NamedTuple):
    """What a process printed, and its exit code."""

    returncode: int | None
    stdout: str
    stderr: str


def run(tmp_path: Path, body: str, *arguments: str, parameters: str = FLAGS) -> Result:
    """Run a command whose function is `body`."""
    return start(tmp_path, command_of(body, parameters), *arguments)


def command_of(body: str, parameters: str = FLAGS) -> str:
    definition = f"def main({parameters}) -> None:\n"
    definition += textwrap.indent(textwrap.dedent(body), "    ")
    return definition + "\ncommand.run(main)\n"


def start(tmp_path: Path, code: str, *arguments: str) -> Result:
    """Run a script in a fork."""
    script = tmp_path / "greet.py"
    script.write_text(IMPORTS + code)
    names = {
        "here": str(tmp_path),
        "argv": [str(script), *arguments],
        "environ": dict(os.environ),
    }
    process = FORKS.Process(target=exec, args=(MAIN, names))
    process.start()
    process.join()
    printed = ((tmp_path / name).read_text() for name in ("stdout", "stderr"))
    return Result(process.exitcode, *printed)


def only_line(result: Result | subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def test_flags_are_the_parameters_of_the_function(tmp_path: Path):
    result = run(tmp_path, "print(name, times, tone, until)", "--name=Ada", "--times=3")
    assert (result.returncode, result.stdout) == (0, "Ada 3 warm None\n")


def test_the_value_of_a_flag_may_be_left_out(tmp_path: Path):
    def printed(*arguments: str) -> str:
        parameters = (
            'mood: Annotated[FilePath | None, command.BARE, "if any"] = None, '
            'name: Annotated[str | None, "who is greeted"] = None'
        )
        return run(
            tmp_path, "print([mood, name])", *arguments, parameters=parameters
        ).stdout

    assert printed() == "[None, None]\n"
    assert printed("--mood", "--name=Ada") == "['', 'Ada']\n"
    assert printed("--mood=good", "--name", "Ada") == "['good', 'Ada']\n"
    assert printed("--mood=good", "--nomood") == "[None, None]\n"


def test_help_names_every_flag_with_its_text(tmp_path: Path):
    result = run(tmp_path, "pass", "--help")
    for text in ("--name", "who is greeted", "--times", "how often", "<warm|cold>"):
        assert text in result.stdout


def test_positional_only_parameters_are_arguments(tmp_path: Path):
    def printed(*arguments: str) -> str:
        body = "print(tone, name, times)"
        return run(tmp_path, body, *arguments, parameters=ARGUMENTS).stdout

    assert printed("cold") == "cold None 1\n"
    assert printed("cold", "--times=3", "Ada") == "cold Ada 3\n"
    assert printed("--times=3", "cold", "--", "--Ada") == "cold --Ada 3\n"


def test_help_shows_the_arguments(tmp_path: Path):
    result = run(tmp_path, "pass", "--help", parameters=ARGUMENTS)
    assert "warm|cold [NAME] [--flag=VALUE ...]" in result.stdout
    assert "NAME: who is greeted" in result.stdout


def test_help_is_no_error_and_may_be_cut_off(tmp_path: Path):
    assert run(tmp_path, "pass", "--help").returncode == 0
    for words in ("greet.py --help", "-m jaxart --help"):
        for unbuffered in ("", "1"):
            result = subprocess.run(
                ["bash", "-o", "pipefail", "-c", f"{sys.executable} {words} | true"],
                cwd=tmp_path,
                env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
                capture_output=True,
                text=True,
            )
            assert (result.returncode, result.stderr) == (0, "")


def test_a_flag_may_be_called_like_a_keyword(tmp_path: Path):
    parameters = 'from_: Annotated[str, "whose"], class_: Annotated[int, "which"] = 1'
    body, arguments = "print(from_, class_)", ("--from=Ada", "--class=2")
    result = run(tmp_path, body, *arguments, parameters=parameters)
    assert result.stdout == "Ada 2\n"
    result = run(tmp_path, body, "--class=2", parameters=parameters)
    assert only_line(result) == "error: missing flags: --from"


PATHS = """
    picture: Annotated[FilePath | None, "a picture"] = None,
    /,
    *,
    inputs: Annotated[list[FilePath], "folders"] = [],
    out: Annotated[FilePath, "a file"] = "a.png",
    name: Annotated[str, "a name"] = "~/Ada",
"""


def test_a_path_may_begin_with_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HOME", "/home/ada")
    body = "print(picture, *inputs, out, name)"
    result = run(tmp_path, body, parameters=PATHS)
    assert result.stdout == "None a.png ~/Ada\n"
    words = ("~/a.jpg", "--inputs=~/b", "--inputs=hf:c", "--out=~/d/")
    result = run(tmp_path, body, *words, parameters=PATHS)
    assert result.stdout == "/home/ada/a.jpg /home/ada/b hf:c /home/ada/d/ ~/Ada\n"
    monkeypatch.setenv("HOME", "")
    result = run(tmp_path, body, "--out=~/d", parameters=PATHS)
    assert only_line(result) == (
        "error: out must not begin with ~ without a home; got '~/d'"
    )


def test_what_a_terminal_cannot_print_is_escaped(tmp_path: Path):
    script = tmp_path / "greet.py"
    script.write_text(IMPORTS + command_of("print(name)\nraise ValueError(name)"))
    for name, shown in (("Frühling ☼", r"Fr\xfchling \u263c"), ("\udcfc", r"\udcfc")):
        result = subprocess.run(
            [sys.executable, str(script), f"--name={name}"],
            env=os.environ | {"PYTHONIOENCODING": "ascii"},
            capture_output=True,
            text=True,
        )
        assert (result.stdout, only_line(result)) == (f"{shown}\n", f"error: {shown}")


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


def test_settings_may_stand_before_their_config(configs: Path):
    other = f"{configs}/other.py"
    for words in ([f"--config={other}"], ["--config", other]):
        arguments = ("--config.times=5", *words)
        result = run(configs, "print(config.times)", *arguments, parameters=CONFIG)
        assert result.stdout == "5\n"


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


def test_a_packaged_config_has_a_name(tmp_path: Path):
    def printed(*arguments: str) -> str:
        body = "print(config.get('strokes'), config.get('steps'))"
        parameters = 'config: Annotated[command.Config, "a file"] = "paint"'
        return run(tmp_path, body, *arguments, parameters=parameters).stdout

    assert printed() == "1000 16\n"
    assert printed("--config.strokes=5") == "5 16\n"
    assert printed("--config=quick") == "None 3000\n"
    assert printed("--config", "quick", "--config.steps=3") == "None 3\n"


@pytest.mark.parametrize("path", ["art.py", "configs/art", "/somewhere/art.py:width"])
def test_whatever_has_a_folder_or_a_suffix_is_the_path_of_a_config(path: str):
    assert command.config_path(path) == path
    assert command.config_path("art") == str(ROOT / "configs" / "art.py")


def test_an_unknown_name_of_a_config_is_one_line_with_the_known_ones(tmp_path: Path):
    parameters = 'config: Annotated[command.Config, "a file"]'
    result = run(tmp_path, "pass", "--config=arts", parameters=parameters)
    assert only_line(result) == (
        "error: config must be a path or one of art, artist, best, mnist, paint, "
        "quick, strokes; got 'arts'"
    )


def test_the_program_lists_its_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    for arguments in ([], ["--help"]):
        monkeypatch.setattr(sys, "argv", ["jaxart", *arguments])
        program.main()
        text = capsys.readouterr().out
        for name in program.COMMANDS:
            assert f"  {name} " in text


def test_the_program_imports_nothing_to_list_its_commands():
    code = (
        "import sys, jaxart.__main__; sys.argv = ['jaxart']; jaxart.__main__.main();"
        "sys.exit('jax' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_the_program_refuses_an_unknown_command_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys, "argv", ["jaxart", "pant"])
    with pytest.raises(SystemExit) as error:
        program.main()
    assert error.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: command must be one of paint, train_artist, prep")
    assert line.endswith("got 'pant'")


def test_the_program_runs_a_command_with_its_arguments():
    result = subprocess.run(
        [sys.executable, "-m", "jaxart", "prepare", "--no_such_flag"],
        capture_output=True,
        text=True,
    )
    assert "no_such_flag" in only_line(result)


TWO = """
def draw(name: Annotated[str, "who is drawn"]) -> None:
    \"\"\"Draw somebody.

    At once.
    \"\"\"
    print("draws:", name)

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

    assert printed("draw", "--name=Ada") == "draws: Ada\n"
    assert printed("greet", "--name=Ada", "--times=3") == "greeted: Ada 3\n"
    assert printed("--times=3", "greet", "--name=Ada") == "greeted: Ada 3\n"
    # The value of a flag is no command; what follows one that takes none is.
    assert printed("--name", "draw", "greet") == "greeted: draw 1\n"
    assert printed("--name", "draw", "draw") == "draws: draw\n"
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


def test_a_result_knows_the_command_line_that_made_it(tmp_path: Path):
    body = "print(command.provenance(seed=3)['Command'])"
    result = run(tmp_path, body, "--name=Ada L.", "--times", "3")
    assert result.stdout == "jaxart greet '--name=Ada L.' --times 3\n"
    code = TWO.replace('"draws:"', "command.provenance()['Command']")
    result = start(tmp_path, code, "draw", "--name=A")
    assert result.stdout == "jaxart greet draw --name=A A\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "missing argument: draw|greet (--help after it lists its flags)"),
        (["paint"], "argument must be draw|greet; got 'paint'"),
        (["draw"], "missing flags: --name"),
        (["draw", "--name=Ada", "greet"], "unexpected argument: greet"),
    ],
)
def test_a_missing_or_unknown_command_is_one_line(
    tmp_path: Path, arguments: list[str], complaint: str
):
    result = start(tmp_path, TWO, *arguments)
    assert only_line(result) == f"error: {complaint}"


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
    result = run(tmp_path, "pass", *arguments, parameters=ARGUMENTS)
    assert only_line(result) == f"error: {complaint}"


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
    result = run(tmp_path, 'raise ValueError("times must be odd; got 2")', "--name=A")
    assert only_line(result) == "error: times must be odd; got 2"


def test_a_file_error_names_the_file(tmp_path: Path):
    result = run(tmp_path, 'open("/nowhere/at/all")', "--name=A")
    assert only_line(result) == "error: /nowhere/at/all: No such file or directory"


def test_a_bug_keeps_its_traceback(tmp_path: Path):
    result = run(tmp_path, "assert times == 2", "--name=A")
    assert result.returncode == 1
    assert "Traceback" in result.stderr


def test_a_stop_signal_is_received_and_gives_the_shells_exit_code(tmp_path: Path):
    body = """
    with command.stop_signals() as stops:
        os.kill(os.getpid(), signal.SIGTERM)
        while not stops:
            time.sleep(0.01)
        raise command.Stopped(stops[0], "all is saved")
    """
    result = run(tmp_path, body, "--name=A")
    assert result.returncode == 128 + signal.SIGTERM
    assert result.stderr == "stopped: all is saved\n"


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


def compile_once(tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Compile something in a new process: JAX reads its environment on import."""
    script = tmp_path / "compile.py"
    script.write_text(IMPORTS + command_of(COMPILING))
    return subprocess.run(
        [sys.executable, str(script), "--name=Ada"], capture_output=True, text=True
    )


def test_the_next_start_finds_what_was_compiled(tmp_path: Path, cache: Path):
    for hit in ("False\n", "True\n"):
        result = compile_once(tmp_path)
        assert (result.stdout, result.stderr) == (hit, "")
    assert cache.stat().st_mode & 0o777 == 0o700
    for entry in cache.glob("*-cache"):
        entry.write_bytes(entry.read_bytes()[:50])
    result = compile_once(tmp_path)
    assert (result.stdout, result.stderr) == ("False\n", "")


def test_the_environment_overrides_the_cache_folder(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "elsewhere"))
    compile_once(tmp_path)
    assert not cache.exists()
    assert any((tmp_path / "elsewhere").iterdir())
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    monkeypatch.setenv("JAX_ENABLE_COMPILATION_CACHE", "false")
    compile_once(tmp_path)
    assert not any(cache.iterdir())


def test_without_a_cache_folder_a_command_still_runs(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute, so it is ignored")
    monkeypatch.setenv("HOME", "/dev/null")
    result = compile_once(tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (0, "False\n", "")
    assert not cache.exists()


def test_help_says_where_the_cache_is(tmp_path: Path):
    assert "~/.cache/jaxart" in run(tmp_path, "pass", "--help").stdout
