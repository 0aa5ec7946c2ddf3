"""From a collection to the dataset: whole or not at all, and the same every time."""

import csv
import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jaxart.paintings import dataset, preparation, shards, training_data
from jaxart.paintings.sources.files import MISSING, OnDisk
from jaxart.paintings.sources.picture import SourcePicture, make_labels


ROOT = Path(dataset.__file__).parents[2]


def painting(path):
    return SourcePicture(path.name, OnDisk(str(path)), make_labels())


def kept(data_dir, split="train"):
    source = dataset.open_source(data_dir, "paintings", split)
    return [record["filename"].decode() for record in source]


def content(data_dir):
    """Return the bytes of all files of a folder of datasets."""
    files = (path for path in data_dir.rglob("*") if path.is_file())
    return {str(path.relative_to(data_dir)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def paintings(tmp_path_factory):
    """Ten pictures of 128 x 128 and more, and three files that are of no use."""
    folder = tmp_path_factory.mktemp("collection")
    rng = np.random.default_rng(0)
    for number in range(10):
        pixels = rng.integers(0, 256, (128, 128 + 8 * number, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    Image.new("RGB", (20, 20)).save(folder / "a_small.png")
    (folder / "b_page.jpg").write_text("<html>404</html>")
    files = [painting(path) for path in sorted(folder.iterdir())]
    return [*files, SourcePicture("c_gone.jpg", MISSING, make_labels(title="Gone"))]


@pytest.fixture(scope="module")
def prepared(paintings, tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("data")
    return preparation.prepare(iter(paintings), data_dir, processes=2)


def test_every_painting_is_kept_or_skipped_with_a_reason(prepared, paintings):
    with prepared.skipped_csv.open() as lines:
        header, *skipped = list(csv.reader(lines))
    assert header == ["filename", "reason"]
    reasons = {name: reason.split(":")[0] for name, reason in skipped}
    assert reasons == {
        "a_small.png": "too small",
        "b_page.jpg": "not a picture",
        "c_gone.jpg": "missing",
    }
    assert prepared.skipped == dict.fromkeys(reasons.values(), 1)
    assert prepared.kept == 10
    assert prepared.bytes == sum(f.stat().st_size for f in prepared.folder.iterdir())
    names = {*kept(prepared.skipped_csv.parent), *reasons}
    assert names == {painting.filename for painting in paintings}
    assert [f.name for f in prepared.folder.parent.iterdir()] == ["1.0.0"]


def test_records_hold_the_pictures_in_the_order_of_the_collection(prepared, paintings):
    source = dataset.open_source(prepared.skipped_csv.parent, "paintings")
    for record, painting in zip(source, paintings[:10], strict=True):
        assert record["filename"].decode() == painting.filename
        original = np.asarray(Image.open(painting.file.open()))
        if original.shape == (128, 128, 3):
            np.testing.assert_array_equal(record["pixels"], original)
        assert record["pixels"].shape[0] * record["pixels"].shape[1] >= 16_384


def test_the_number_of_processes_changes_not_a_byte(prepared, paintings, tmp_path):
    preparation.prepare(paintings, tmp_path, processes=1)
    assert content(tmp_path) == content(prepared.skipped_csv.parent)


@pytest.mark.usefixtures("in_process")
def test_no_record_is_lost_between_shards_and_files(
    paintings, prepared, tmp_path, monkeypatch
):
    monkeypatch.setattr(shards, "SHARD_SIZE", 3)
    monkeypatch.setattr(preparation, "FILE_SIZE", 4)
    preparation.prepare(paintings, tmp_path)
    for split in ("train", "held_out"):
        assert kept(tmp_path, split) == kept(prepared.skipped_csv.parent, split)
    lengths = [
        s.shard_lengths
        for s in dataset.open_builder(tmp_path, "paintings").info.splits.values()
    ]
    assert sorted(lengths) == [[0], [4, 4, 2]]


@pytest.mark.usefixtures("in_process")
def test_the_split_of_a_picture_depends_on_its_file_alone(
    paintings, tmp_path, monkeypatch
):
    monkeypatch.setattr(dataset, "HELD_OUT_SHARE", 0.5)

    def splits(name, paintings, **settings):
        prepared = preparation.prepare(paintings, tmp_path / name, **settings)
        splits = {}
        for split in ("train", "held_out"):
            splits |= dict.fromkeys(kept(tmp_path / name, split), split)
        assert prepared.held_out == list(splits.values()).count("held_out")
        return splits

    everything = splits("all", paintings)
    for painting in paintings[:10]:
        first = hashlib.sha256(painting.file.open().read()).digest()[0]
        assert everything[painting.filename] == ("held_out" if first < 128 else "train")
    assert splits("backwards", paintings[::-1]) == everything
    few = splits("few", paintings[2:7], size=32)
    assert few == {p.filename: everything[p.filename] for p in paintings[2:7]}


def test_an_existing_dataset_is_left_alone(prepared, paintings):
    data_dir = prepared.skipped_csv.parent
    before = content(data_dir)
    with pytest.raises(ValueError, match=r"1\.0\.0 exists: remove it or choose"):
        preparation.prepare(paintings[:3], data_dir)
    assert content(data_dir) == before


def test_somebody_elses_skipped_csv_is_left_alone(tmp_path, paintings):
    (tmp_path / "skipped.csv").write_text("lesson,why\n")
    with pytest.raises(ValueError, match="was not written by jaxart"):
        preparation.prepare(paintings, tmp_path)
    assert (tmp_path / "skipped.csv").read_text() == "lesson,why\n"
    assert not (tmp_path / "paintings").exists()


@pytest.mark.usefixtures("in_process")
def test_a_collection_without_a_picture_leaves_nothing_behind(tmp_path, paintings):
    data_dir = tmp_path / "new"
    with pytest.raises(ValueError, match=r"1 too small, 1 not a picture, 1 missing"):
        preparation.prepare(paintings[10:], data_dir)
    with pytest.raises(ValueError, match="there is none"):
        preparation.prepare([], data_dir)
    assert not data_dir.exists()


def test_a_run_whose_worker_was_killed_ends_and_can_be_resumed(
    tmp_path, paintings, prepared
):
    pipe = tmp_path / "0.png"
    os.mkfifo(pipe)  # nobody writes to it: its reader waits for ever
    data_dir = tmp_path / "new"

    def kill_the_worker():
        while not any(path.stat().st_size for path in data_dir.rglob("*.reading")):
            time.sleep(0.01)
        [worker] = multiprocessing.active_children()
        worker.kill()

    threading.Thread(target=kill_the_worker).start()
    with pytest.raises(ChildProcessError, match=r"while reading one of 0\.png: is "):
        preparation.prepare([painting(pipe), *paintings[1:]], data_dir)
    with pytest.raises(ValueError, match="must hold a dataset 'paintings'"):
        dataset.open_source(data_dir, "paintings")
    preparation.prepare(paintings, data_dir)
    assert content(data_dir) == content(prepared.skipped_csv.parent)


RUN = """
import sys
from pathlib import Path
from jaxart.paintings import preparation, shards
from jaxart.paintings.sources import inputs

if __name__ == "__main__":
    shards.SHARD_SIZE, preparation.FILE_SIZE = 2, 4
    paintings = inputs.open_inputs([sys.argv[1]])
    preparation.prepare(paintings, sys.argv[2], processes=2)
"""


def start(tmp_path, collection, data_dir):
    script = tmp_path / "run.py"
    script.write_text(RUN)
    return subprocess.Popen(
        [sys.executable, str(script), str(collection), str(data_dir)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
    )


@pytest.mark.skipif(not Path("/proc").exists(), reason="reads /proc")
def test_a_run_that_is_killed_leaves_no_process(tmp_path, paintings):
    folder, data_dir = tmp_path / "pictures", tmp_path / "data"
    folder.mkdir()
    (folder / "1.png").symlink_to(paintings[1].file.path)
    run = start(tmp_path, folder, data_dir)
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
    while not (workers := children.read_text().split()):
        assert run.poll() is None, run.communicate()[1].decode()
        time.sleep(0.01)
    run.kill()
    run.communicate()
    deadline = time.monotonic() + 60
    while any(_alive(pid) for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _alive(pid):
    status = Path(f"/proc/{pid}/stat")
    # A zombie has ended; it only waits for somebody to ask how.
    return status.exists() and status.read_text().rsplit(") ")[-1][0] != "Z"


@pytest.mark.slow
def test_killed_five_times_at_random_and_started_again_it_gives_the_same_bytes(
    tmp_path, paintings
):
    collection = tmp_path / "pictures"
    collection.mkdir()
    for copy in range(3):
        for one in paintings[:12]:
            (collection / f"{copy}_{one.filename}").write_bytes(one.file.open().read())
    quiet, data_dir = tmp_path / "quiet", tmp_path / "killed"
    begin = time.monotonic()
    assert start(tmp_path, collection, quiet).communicate() is not None
    seconds = time.monotonic() - begin
    rng = np.random.default_rng()  # at other moments in each run of the tests
    delays = rng.uniform(0, seconds, 5)
    for delay in delays:
        run = start(tmp_path, collection, data_dir)
        time.sleep(delay)
        run.send_signal(signal.SIGKILL)
        run.communicate()
    run = start(tmp_path, collection, data_dir)
    error = run.communicate()[1].decode()
    assert run.returncode == 0 or "exists: remove it" in error, (delays, error)
    assert content(data_dir) == content(quiet), delays


@pytest.mark.usefixtures("in_process")
def test_finished_shards_are_reused_and_changed_ones_made_again(
    tmp_path, paintings, monkeypatch, caplog
):
    collection = tmp_path / "pictures"
    collection.mkdir()
    for one in paintings[:10]:
        (collection / one.filename).write_bytes(one.file.open().read())
    collected = [painting(path) for path in sorted(collection.iterdir())]
    monkeypatch.setattr(shards, "SHARD_SIZE", 3)
    for data_dir in (tmp_path / "data", tmp_path / "other"):
        with pytest.MonkeyPatch.context() as interrupted:
            interrupted.setattr(shards, "files", _interrupt)
            with pytest.raises(KeyboardInterrupt):
                preparation.prepare(collected, data_dir)
    records = sorted((tmp_path / "data").rglob("*.records"))
    times = [path.stat().st_mtime_ns for path in records]
    assert len(records) == 4

    (collection / collected[4].filename).write_bytes(paintings[0].file.open().read())
    with pytest.MonkeyPatch.context() as interrupted:
        interrupted.setattr(shards, "files", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            preparation.prepare(collected, tmp_path / "data")
    assert "changed since the run that was interrupted: 1 of its shards" in caplog.text
    again = [
        path.stat().st_mtime_ns == t for path, t in zip(records, times, strict=True)
    ]
    assert again == [True, False, True, True]
    records[2].write_bytes(
        records[2].read_bytes()[:-70_000] + bytes(70_000)
    )  # a bad disk
    preparation.prepare(collected, tmp_path / "data")
    preparation.prepare(collected, tmp_path / "whole")
    assert content(tmp_path / "data") == content(tmp_path / "whole")

    settings = {"size": 32, "keep_duplicates": True}
    preparation.prepare(collected[:5], tmp_path / "other", **settings)
    assert "4 of its shards are made anew" in caplog.text
    assert kept(tmp_path / "other") == [one.filename for one in collected[:5]]


@pytest.mark.usefixtures("in_process")
def test_pictures_have_the_pixels_that_are_asked_for(tmp_path, paintings, prepared):
    preparation.prepare(paintings, tmp_path / "few", pixels=4096)
    source = dataset.open_source(tmp_path / "few", "paintings")
    for record, painting in zip(source, paintings[:10], strict=True):
        height, width = Image.open(painting.file.open()).size[::-1]
        # The shorter side is that of a crop, and of the other the smallest that keeps
        # the aspect ratio.
        assert record["pixels"].shape == (64, round(64 * width / height), 3)
    metadata: Any = dataset.open_builder(tmp_path / "few", "paintings").info.metadata
    assert metadata["pixels"] == 4096
    preparation.prepare(paintings, tmp_path / "paper", pixels=16_384)
    assert content(tmp_path / "paper") == content(prepared.skipped_csv.parent)


@pytest.mark.usefixtures("in_process")
def test_an_interrupted_run_goes_on_with_the_same_pixels_only(tmp_path, paintings):
    with pytest.MonkeyPatch.context() as interrupted:
        interrupted.setattr(preparation, "_publish", _interrupt)
        for folder, pixels in (("few", 4096), ("paper", None)):
            with pytest.raises(KeyboardInterrupt):
                preparation.prepare(paintings, tmp_path / folder, pixels=pixels)
    before = content(tmp_path)
    for folder, pixels, reason in (
        ("few", 5000, "4096; got 5000"),
        ("few", None, "4096; got none"),
        ("paper", 4096, "not given; got 4096"),
    ):
        with pytest.raises(ValueError, match=f"pixels must be as .* {reason}: or"):
            preparation.prepare(paintings, tmp_path / folder, pixels=pixels)
    assert content(tmp_path) == before
    preparation.prepare(paintings, tmp_path / "few", pixels=4096)
    preparation.prepare(paintings, tmp_path / "paper", pixels=16_384)
    preparation.prepare(paintings, tmp_path / "whole", pixels=4096)
    assert content(tmp_path / "few") == content(tmp_path / "whole")


@pytest.mark.usefixtures("in_process")
def test_files_made_from_another_collection_are_not_reused(
    tmp_path, paintings, prepared
):
    data_dir = tmp_path / "data"
    with pytest.MonkeyPatch.context() as interrupted:
        interrupted.setattr(preparation, "_publish", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            preparation.prepare(paintings[:5], data_dir)
    # Killed again, as soon as the new plan was made.
    with pytest.MonkeyPatch.context() as interrupted:
        interrupted.setattr(preparation, "_plan", _interrupt)
        shards.plan(paintings, data_dir / "paintings/unfinished/shards", size=64)
        with pytest.raises(KeyboardInterrupt):
            preparation.prepare(paintings, data_dir)
    preparation.prepare(paintings, data_dir)
    assert content(data_dir) == content(prepared.skipped_csv.parent)


def _interrupt(*_):
    raise KeyboardInterrupt


def test_a_worker_killed_while_writing_is_reported_in_one_line(tmp_path):
    with (
        pytest.raises(ChildProcessError, match="killed while writing: is there memory"),
        preparation._naming_interrupted(tmp_path),
    ):
        raise BrokenProcessPool


@pytest.mark.usefixtures("in_process")
def test_a_collection_of_which_all_is_held_out_cannot_be_learned_from(
    tmp_path, monkeypatch
):
    Image.new("RGB", (200, 200)).save(tmp_path / "one.png")
    monkeypatch.setattr(dataset, "is_held_out", lambda _: True)
    preparation.prepare([painting(tmp_path / "one.png")], tmp_path / "data")

    def opened(held_out):
        return training_data.open_records_by_name(
            "paintings", str(tmp_path / "data"), source="", size=32, held_out=held_out
        )

    with pytest.raises(ValueError, match="no picture to learn from: 2% on average"):
        opened(held_out=False)
    assert len(opened(held_out=True)) == 1
