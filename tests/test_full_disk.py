"""A full disk: one line that names the folder, and the same command goes on.

On a small file system of its own, where one can be mounted; with an error in its stead
everywhere.
"""

import errno
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jaxart import atomic, command, prepare, sample, train
from jaxart.gan import run_log


FULL = os.strerror(errno.ENOSPC)

Resize = Callable[[str], Path]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Resize]:
    """A function that makes a file system of some size, or changes its size."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> None:
        words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        subprocess.run(words, check=True, capture_output=True)

    try:
        mount("size=1m")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no file system can be mounted here")

    def resize(size: str) -> Path:
        mount(f"remount,size={size}")
        return folder

    try:
        yield resize
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def line_of(caught: Any) -> str:
    return command.line(caught.value)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(12):
        pixels = rng.integers(0, 256, (140, 150, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("size", ["256k", "900k"])  # of shards, and of the dataset too
def test_prepare_goes_on_after_room_was_made(pictures, disk, size, tmp_path):
    folder = disk(size)
    with pytest.raises(OSError, match=FULL) as caught:
        prepare.main([str(pictures)], str(folder / "data"))
    assert line_of(caught).startswith(f"{folder}/data")
    assert line_of(caught).endswith(f": {FULL}")
    assert not list((folder / "data").rglob("1.0.0"))
    disk("20m")
    prepare.main([str(pictures)], str(folder / "data"))
    prepare.main([str(pictures)], str(tmp_path / "quiet"))
    resumed, quiet = (
        {path.relative_to(root): path.read_bytes() for path in files}
        for root in (folder / "data", tmp_path / "quiet")
        for files in [sorted(path for path in root.rglob("*") if path.is_file())]
    )
    assert resumed == quiet


@pytest.mark.parametrize(  # of metrics, and of a checkpoint
    "size", [pytest.param("8k", marks=pytest.mark.slow), "400k"]
)
def test_training_goes_on_after_room_was_made(config, disk, size, tiny_run, capfd):
    folder = disk(size)
    config.log.every_steps = 1
    with pytest.raises(OSError, match=FULL) as caught:
        train.main(config, str(folder / "run"))
    assert line_of(caught) == f"{folder}/run: {FULL}"
    time.sleep(0.2)  # for what threads have to say
    assert "Traceback" not in capfd.readouterr().err
    disk("20m")
    train.main(config, str(folder / "run"))
    picture = "samples/000012.png"
    assert (folder / "run" / picture).read_bytes() == (tiny_run / picture).read_bytes()


def test_a_picture_is_written_whole_or_not_at_all(workdir, disk):
    folder = disk("8k")
    with pytest.raises(OSError, match=FULL) as caught:
        sample.main(workdir, f"{folder}/grid.png", count=64)
    assert line_of(caught) == f"{folder}: {FULL}"
    assert not list(folder.iterdir())


class FullDiskError(Exception):
    """As a library raises it that was not written in Python."""


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, FULL),
        OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
        OSError(errno.ENOSPC, FULL, "/somewhere/.0123abcd.mp4"),
        FullDiskError(f"RESOURCE_EXHAUSTED: writing failed [OS error 28: {FULL}]"),
    ],
)
def test_a_full_disk_is_named_by_its_folder(tmp_path, error):
    def write() -> None:
        path = tmp_path / "new" / "a.png"
        with atomic.replacing(path, lambda _: False) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(OSError, match=r"(?i)disk quota|no space") as caught:
        write()
    number = getattr(error, "errno", None) or errno.ENOSPC
    assert line_of(caught) == f"{tmp_path}/new: {os.strerror(number)}"
    assert not list((tmp_path / "new").iterdir())


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, FULL, "/the/other/disk"),
        PermissionError(errno.EACCES, "Permission denied"),
        ValueError("size must be positive"),
    ],
)
def test_other_errors_stay_as_they_are(tmp_path, error):
    with pytest.raises(type(error)) as caught, atomic.naming_full_disk(tmp_path):
        raise error
    assert caught.value is error


def test_an_event_that_cannot_be_written_is_raised(tmp_path, monkeypatch):
    events = run_log.EventFile(tmp_path, 1)

    def flush() -> None:
        raise OSError(errno.ENOSPC, FULL)

    monkeypatch.setattr(events._writer, "flush", flush)
    with pytest.raises(OSError, match=FULL):
        events.add_scalars(1, {"loss": 0.5})
