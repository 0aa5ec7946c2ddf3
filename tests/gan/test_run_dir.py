"""The folder of a run: whose it is, who trains there, what settings it has."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jaxart.gan import run_dir
from jaxart.gan.run_dir import RunDir, read_settings
from jaxart.gan.settings import SINCE_0_3, Settings
from jaxart.gan.update import init_state


HOLD = """
import sys, time
from jaxart.gan.run_dir import RunDir
with RunDir(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def settings(config: Any) -> Settings:
    return Settings.from_config(config)


def test_one_process_at_a_time_trains_in_a_folder(tmp_path: Path):
    with RunDir(tmp_path):
        message = f"workdir {tmp_path} is in use by another training process"
        with pytest.raises(ValueError, match=message), RunDir(tmp_path):
            pass
    with RunDir(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_killed_process_blocks_nobody(tmp_path: Path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match="is in use"), RunDir(tmp_path):
            pass
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / "lock").exists()
    with RunDir(tmp_path):
        pass


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("all my work")
    with pytest.raises(ValueError, match="workdir must be empty or hold a run"):
        RunDir(tmp_path).__enter__()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_run_killed_while_it_wrote_its_config_starts_anew(tmp_path: Path):
    (tmp_path / ".0f1e.json").write_text('{"steps": 1')
    (tmp_path / "checkpoints").mkdir()
    with RunDir(tmp_path):
        pass


def test_a_folder_that_is_read_only_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ValueError, match="workdir must be writable"):
        RunDir(tmp_path).__enter__()


def test_settings_come_back_as_they_were(settings: Settings, tmp_path: Path):
    with RunDir(tmp_path) as folder:
        folder.write_settings(settings)
    assert read_settings(tmp_path) == settings
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_other_settings_in_the_same_folder_are_named(
    settings: Settings, tmp_path: Path
):
    folder = RunDir(tmp_path)
    folder.check_settings(settings)
    folder.write_settings(settings)
    folder.check_settings(replace(settings, steps=99, parallel="pmap"))
    other = replace(
        settings,
        generator=replace(settings.generator, width=8),
        optimizer=replace(settings.optimizer, b1=0.9),
    )
    message = r"other settings: generator.width \(was 4, now 8\), optimizer.b1"
    with pytest.raises(ValueError, match=message):
        folder.check_settings(other)


def test_the_one_seed_of_an_older_run_is_read(settings: Settings, tmp_path: Path):
    for seeds in (1, 2):
        config = settings.to_dict() | {"seeds": seeds}
        (tmp_path / "config.json").write_text(json.dumps(config))
        if seeds == 1:
            assert read_settings(tmp_path) == settings
        else:
            with pytest.raises(ValueError, match="seeds is gone"):
                read_settings(tmp_path)


def test_a_run_of_version_0_2_has_the_papers_recipe(settings: Settings, tmp_path: Path):
    old = settings.to_dict()
    for key in SINCE_0_3:
        section, name = key.split(".")
        del old[section][name]
    (tmp_path / "config.json").write_text(json.dumps(old))
    assert read_settings(tmp_path) == settings


@pytest.mark.parametrize("text", ["", "{", "[1]", "\0\1", '"text"', '{"steps": 1}'])
def test_a_damaged_config_is_one_line(text: str, tmp_path: Path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config\.json is damaged") as caught:
        read_settings(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_run_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="workdir must hold a run"):
        read_settings(tmp_path)


def test_the_parts_of_a_checkpoint_make_the_state_again(settings: Settings):
    state = jax.eval_shape(
        lambda: init_state(*settings.make_networks(0), settings.make_recipe(), 0)
    )
    parts = run_dir.to_parts(state)
    # On disk since the first version.
    assert set(parts) == {"generator", "discriminator", "optimizers", "run"}
    assert set(parts["generator"]) == {"parameters", "statistics"}
    again = run_dir.from_parts(parts)
    assert jax.tree.structure(again) == jax.tree.structure(state)
    assert np.array_equal(jax.tree.leaves(again), jax.tree.leaves(state))


def test_a_folder_with_hidden_files_alone_is_empty(tmp_path: Path):
    for name in (".DS_Store", ".gitkeep", "checkpoints/.DS_Store", ".git/config"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with RunDir(tmp_path):
        pass
    (tmp_path / "checkpoints" / "thesis.txt").touch()
    with pytest.raises(ValueError, match="workdir must be empty"), RunDir(tmp_path):
        pass
