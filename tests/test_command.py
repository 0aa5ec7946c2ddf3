"""Commands are started as people start them, in processes of their own."""

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest


def run(tmp_path: Path, body: str, *arguments: str) -> subprocess.CompletedProcess:
    """Start a command whose function is `body`."""
    script = tmp_path / "greet.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, signal, time
            from typing import Annotated, Literal
            from jaxart import command

            def main(
                name: Annotated[str, "who is greeted"],
                times: Annotated[int, "how often"] = 1,
                tone: Annotated[Literal["warm", "cold"], "how it sounds"] = "warm",
                until: Annotated[int | None, "an hour"] = None,
            ) -> None:
            """
        )
        + textwrap.indent(textwrap.dedent(body), "    ")
        + "\ncommand.run(main)\n"
    )
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
