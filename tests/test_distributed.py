"""Two processes over loopback train as one does; one that dies takes none hostage."""

import copy
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jaxart import processes, sample, train
from jaxart.checkpoints import Checkpoints
from jaxart.gan import run_dir
from jaxart.gan.settings import flatten
from jaxart.gan.update import init_state


ROOT = Path(__file__).parents[1]
ONE_DEVICE = {**os.environ, "XLA_FLAGS": "", "JAX_PLATFORMS": "cpu"}


class Two:
    """The training command in two processes that are to be one run."""

    def __init__(self, workdir: Path, *configs: Any):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        self.workdir = workdir
        self.processes = [
            subprocess.Popen(
                [
                    *(sys.executable, "-m", "jaxart.train"),
                    f"--config={ROOT / 'configs/art.py'}",
                    f"--workdir={workdir}",
                    f"--distributed={address},2,{index}",
                    *(f"--config.{k}={v}" for k, v in flatten(config).items()),
                ],
                env=ONE_DEVICE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for index, config in enumerate(configs)
        ]

    def signal_at(self, step: int, index: int, number: signal.Signals) -> "Two":
        """Send one of them a signal when a step has been recorded."""
        while all(process.poll() is None for process in self.processes):
            if any(line["step"] >= step for line in lines(self.workdir)):
                break
            time.sleep(0.005)
        self.processes[index].send_signal(number)
        return self

    def end(self) -> list[tuple[int, str]]:
        """Return the exit code of each, and the last line of its errors."""
        ended = []
        for process in self.processes:
            _, errors = process.communicate(timeout=600)
            ended.append((process.returncode, (errors.splitlines() or [""])[-1]))
        return ended

    def finish(self) -> None:
        """See that both end well."""
        ended = self.end()
        assert [code for code, _ in ended] == [0, 0], ended


def lines(workdir: Path) -> list[dict]:
    path = workdir / "metrics.jsonl"
    whole = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in whole if line.endswith("\n")]


def arrays(workdir: Path, step: int) -> list[np.ndarray]:
    """Return every array of the checkpoint of a step."""
    settings = run_dir.read_settings(workdir)
    networks = settings.make_networks(settings.seed)
    state = init_state(*networks, settings.make_recipe(), settings.seed)
    with closing(Checkpoints(str(workdir))) as checkpoints:
        parts = checkpoints.restore(step, run_dir.to_parts(state))
    return [np.asarray(leaf) for leaf in jax.tree.leaves(parts)]


@pytest.fixture(scope="module")
def of_two(small_config: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of `tiny_run`, of two processes."""
    workdir = tmp_path_factory.mktemp("two")
    Two(workdir, small_config, small_config).finish()
    return workdir


@pytest.mark.slow
def test_two_processes_agree_with_one(of_two: Path, tiny_run: Path):
    # After four updates rounding has not grown yet.
    for one, two in zip(arrays(tiny_run, 4), arrays(of_two, 4), strict=True):
        np.testing.assert_allclose(one, two, rtol=2e-3, atol=2e-5)


@pytest.mark.slow
def test_one_process_writes(of_two: Path):
    assert [line["step"] for line in lines(of_two)] == list(range(2, 13, 2))
    assert len(list(of_two.glob("events.out.tfevents.*"))) == 1
    samples = {path.name for path in (of_two / "samples").iterdir()}
    assert samples == {"000006.png", "000012.png"}
    assert not (of_two / "lock").exists()


@pytest.mark.slow
def test_one_process_reads_what_two_wrote(of_two: Path, tmp_path: Path):
    sample.main(str(of_two), str(tmp_path / "grid.png"), count=4)
    assert (tmp_path / "grid.png").stat().st_size


@pytest.mark.slow
def test_killed_stopped_and_resumed_equals_never_stopped(
    small_config: Any, tmp_path: Path
):
    config = copy.deepcopy(small_config)
    # Processes agree to stop some updates after the signal: enough must be left.
    config.steps = 240
    config.samples.every_steps = 60
    config.checkpoints.every_steps = 5
    config.checkpoints.keep = 99
    config.log.every_steps = 3
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    Two(whole, config, config).finish()

    def start() -> Two:
        return Two(killed, config, config)

    # The other one ends by itself, with a line that says why.
    first, second = start().signal_at(15, 1, signal.SIGKILL).end()
    assert second[0] == -signal.SIGKILL
    assert first == (2, f"error: {processes.LOST_ADVICE}")
    # Without the first one, JAX itself may be faster to end the others.
    first, second = start().signal_at(40, 0, signal.SIGKILL).end()
    assert first[0] == -signal.SIGKILL
    assert second[0] not in (0, None)
    # A signal to one stops both, after the same update.
    (code, line), other = start().signal_at(70, 1, signal.SIGTERM).end()
    assert (code, line) == other
    assert code == 128 + signal.SIGTERM
    with closing(Checkpoints(str(killed))) as checkpoints:
        assert f"stopped: saved step {checkpoints.latest()} in" in line
    start().finish()
    for one, other in zip(arrays(killed, 240), arrays(whole, 240), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_other_settings_are_named_by_both(config: Any, tmp_path: Path):
    other = copy.deepcopy(config)
    other.optimizer.b1 = 0.25
    for code, line in Two(tmp_path, config, other).end():
        assert code == 2
        assert "process 1 has optimizer.b1 (0.25, 0.5 in process 0)" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_error_of_one_is_told_by_both(config: Any, tmp_path: Path):
    other = copy.deepcopy(config)
    other.data.data_dir = "/nowhere"  # as on a machine without the dataset
    first, second = Two(tmp_path, config, other).end()
    assert first[0] == second[0] == 2
    assert "error: data_dir must hold a dataset" in second[1]
    assert first[1] == second[1].replace("error: ", "error: process 1: ")


@pytest.mark.parametrize(
    ("distributed", "complaint"),
    [
        ("", "distributed must be auto or HOST:PORT,PROCESSES,INDEX; got ''"),
        ("localhost,2,0", "distributed must be auto or"),
        ("localhost:80", "distributed must be auto or"),
        ("localhost:80,two,0", "distributed must be auto or"),
        ("localhost:65536,2,0", "distributed must be auto or"),
        ("localhost:80,2,2", "INDEX below its 2 processes; got 2"),
        ("localhost:80,0,0", "INDEX below its 0 processes; got 0"),
        ("127.0.0.1:1,2,1", "nothing answers at 127.0.0.1:1"),
        ("nowhere.invalid:1,2,1", "nothing answers at nowhere.invalid:1"),
    ],
)
def test_what_cannot_be_joined_is_refused(
    config: Any,
    tmp_path: Path,
    distributed: str,
    complaint: str,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(processes, "TIMEOUT_SECONDS", 0.1)
    with pytest.raises(ValueError, match=complaint):
        train.main(config, str(tmp_path / "run"), distributed=distributed)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_auto_without_a_cluster_is_one_line(tmp_path: Path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "jaxart.train"),
            f"--config={ROOT / 'configs/quick.py'}",
            f"--workdir={tmp_path / 'run'}",
            "--distributed=auto",
        ],
        env=ONE_DEVICE,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "distributed=auto needs a cluster that JAX knows" in line
