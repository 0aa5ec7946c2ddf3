"""Writing the dataset of paintings, whole or not at all, and reading it back."""

import csv
import hashlib
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from jaxart.paintings import dataset
from jaxart.paintings.sources.files import MISSING, OnDisk
from jaxart.paintings.sources.painting import LABELS, TEXTS, Painting


UNKNOWN = dict.fromkeys(LABELS, "")


def painting(path, **labels):
    return Painting(path.name, OnDisk(str(path)), UNKNOWN | labels)


def records(count, held_out=()):
    """Yield records that tell their number, and that end in black."""
    for number in range(count):
        pixels = np.zeros((70 + number, 80, 3), np.uint8)
        pixels[0, 0] = number
        texts = dict.fromkeys(TEXTS, "") | {"filename": f"{number}.png"}
        record = {"pixels": pixels, **texts}
        yield dataset.Sorted(record, number in held_out)


def kept(data_dir):
    source = dataset.open_source(data_dir, "paintings")
    return [record["filename"].decode() for record in source]


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
    found = [painting(path) for path in sorted(folder.iterdir())]
    return [*found, Painting("c_gone.jpg", MISSING, UNKNOWN | {"title": "Gone"})]


@pytest.fixture(scope="module")
def prepared(paintings, tmp_path_factory):
    return dataset.prepare(paintings, tmp_path_factory.mktemp("data"), processes=2)


@pytest.fixture
def data_dir(tmp_path):
    """A folder with a dataset of ten records, written without workers."""
    dataset.write(dataset.Paintings(records(10), 10, data_dir=tmp_path))
    return tmp_path


def test_every_painting_is_kept_or_skipped_with_a_reason(prepared, paintings):
    with prepared.skipped_csv.open() as lines:
        header, *skipped = list(csv.reader(lines))
    assert header == ["filename", "reason"]
    assert [tuple(row) for row in skipped] == prepared.skipped
    reasons = {name: reason.split(":")[0] for name, reason in skipped}
    assert reasons == {
        "a_small.png": "too small",
        "b_page.jpg": "not a picture",
        "c_gone.jpg": "missing",
    }
    assert prepared.kept == 10
    assert prepared.bytes == sum(f.stat().st_size for f in prepared.folder.iterdir())
    names = {*kept(prepared.skipped_csv.parent), *reasons}
    assert names == {painting.filename for painting in paintings}


def test_records_hold_the_pictures_in_the_order_of_the_collection(prepared, paintings):
    source = dataset.open_source(prepared.skipped_csv.parent, "paintings")
    for record, painting in zip(source, paintings[:10], strict=True):
        assert record["filename"].decode() == painting.filename
        original = np.asarray(Image.open(painting.file.open()))
        if original.shape == (128, 128, 3):
            np.testing.assert_array_equal(record["pixels"], original)
        assert record["pixels"].shape[0] * record["pixels"].shape[1] >= 16_384


def test_the_number_of_processes_changes_nothing(prepared, paintings, tmp_path):
    dataset.prepare(paintings, tmp_path, processes=1)
    for one, two in zip(
        dataset.open_source(tmp_path, "paintings"),
        dataset.open_source(prepared.skipped_csv.parent, "paintings"),
        strict=True,
    ):
        assert one["filename"] == two["filename"]
        np.testing.assert_array_equal(one["pixels"], two["pixels"])


def test_labels_and_the_size_of_crops_are_stored(tmp_path):
    texts = {name: f"{name} é\n" for name in TEXTS}
    record = {"pixels": np.ones((32, 40, 3), np.uint8), **texts}
    records = [dataset.Sorted(record, held_out=False)]
    dataset.write(dataset.Paintings(records, 1, size=32, data_dir=tmp_path))
    [read] = dataset.open_source(tmp_path, "paintings")
    assert {name: read[name].decode() for name in TEXTS} == texts
    metadata = dataset.open_builder(tmp_path, "paintings").info.metadata
    assert metadata == {"size": 32}


@pytest.mark.parametrize(
    ("count", "at_most"), [(10, 10), (8, 8), (9, 12), (3, 20), (1, 1)]
)
def test_no_record_is_lost_between_files(tmp_path, monkeypatch, count, at_most):
    monkeypatch.setattr(dataset, "SHARD", 4)
    dataset.write(dataset.Paintings(records(count), at_most, data_dir=tmp_path))
    source = dataset.open_source(tmp_path, "paintings")
    assert [int(record["pixels"][0, 0, 0]) for record in source] == [*range(count)]
    assert [len(record["pixels"]) for record in source] == [*range(70, 70 + count)]


def test_what_is_held_out_is_in_the_other_split_and_no_record_is_lost(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(dataset, "SHARD", 4)
    held_out = {0, 3, 4, 12}
    builder = dataset.Paintings(records(13, held_out), 13, data_dir=tmp_path)
    dataset.write(builder)
    splits = {
        split: [
            int(record["pixels"][0, 0, 0])
            for record in dataset.open_source(tmp_path, "paintings", split)
        ]
        for split in ("train", "held_out")
    }
    assert splits["held_out"] == sorted(held_out)
    assert splits["train"] == [n for n in range(13) if n not in held_out]


def test_one_picture_in_fifty_is_held_out():
    digests = (hashlib.sha256(bytes([n % 256, n // 256])) for n in range(50_000))
    count = sum(dataset.is_held_out(digest.digest()) for digest in digests)
    # Five deviations of a binomial distribution.
    assert abs(count - 1000) < 5 * (50_000 * 0.02 * 0.98) ** 0.5


def test_a_pictures_side_depends_on_its_file_alone(paintings, tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "HELD_OUT_SHARE", 0.5)

    def sides(name, some, **settings):
        done = dataset.prepare(some, tmp_path / name, **settings)
        found = {}
        for split in ("train", "held_out"):
            source = dataset.open_source(tmp_path / name, "paintings", split)
            found |= {record["filename"].decode(): split for record in source}
        assert done.held_out == list(found.values()).count("held_out")
        return found

    everything = sides("all", paintings)
    for painting in paintings[:10]:
        first = hashlib.sha256(painting.file.open().read()).digest()[0]
        assert everything[painting.filename] == ("held_out" if first < 128 else "train")
    assert sides("backwards", paintings[::-1]) == everything
    few = sides("few", paintings[2:7], size=32)
    assert few == {p.filename: everything[p.filename] for p in paintings[2:7]}


def test_the_source_travels_to_other_processes(data_dir):
    source = pickle.loads(pickle.dumps(dataset.open_source(data_dir, "paintings")))
    assert len(source) == 10
    assert int(source[7]["pixels"][0, 0, 0]) == 7


def test_a_slice_of_a_split_can_be_opened(data_dir):
    assert len(dataset.open_source(data_dir, "paintings", "train[:30%]")) == 3


def test_an_existing_dataset_is_left_alone(data_dir, paintings):
    with pytest.raises(ValueError, match=r"1\.0\.0 exists: remove it or choose"):
        dataset.prepare(paintings, data_dir)
    assert len(kept(data_dir)) == 10
    assert not (data_dir / "skipped.csv").exists()


def test_somebody_elses_skipped_csv_is_left_alone(tmp_path, paintings):
    (tmp_path / "skipped.csv").write_text("lesson,why\n")
    with pytest.raises(ValueError, match="was not written by jaxart"):
        dataset.prepare(paintings, tmp_path)
    assert (tmp_path / "skipped.csv").read_text() == "lesson,why\n"
    assert not (tmp_path / "paintings").exists()


def test_a_collection_without_a_picture_leaves_nothing_behind(tmp_path, paintings):
    data_dir = tmp_path / "new"
    with pytest.raises(ValueError, match=r"1 too small, 1 not a picture, 1 missing"):
        dataset.prepare(paintings[10:], data_dir)
    with pytest.raises(ValueError, match="there is none"):
        dataset.prepare([], data_dir)
    assert not data_dir.exists()


def test_an_error_in_the_middle_leaves_nothing_behind(tmp_path):
    def broken():
        yield from records(5)
        raise ValueError("the disk is on fire")

    with pytest.raises(ValueError, match=r"^the disk is on fire$"):
        dataset.write(dataset.Paintings(broken(), 9, data_dir=tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_a_worker_that_is_killed_ends_the_run_with_an_error(tmp_path, paintings):
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)  # nobody writes to it: its reader waits for ever

    def kill_a_worker():
        while not (workers := multiprocessing.active_children()):
            time.sleep(0.01)
        workers[0].kill()

    threading.Thread(target=kill_a_worker).start()
    with pytest.raises(ChildProcessError, match=r"while reading one of .*pipe\.jpg"):
        dataset.prepare([painting(pipe), *paintings], tmp_path / "new")
    assert not (tmp_path / "new").exists()


KILLED = """
import sys
from jaxart.paintings import dataset
from jaxart.paintings.sources import files, inputs, painting

if __name__ == "__main__":
    paintings = list(inputs.open_inputs([sys.argv[1]]))
    pipe = files.OnDisk(sys.argv[2])
    pipe = painting.Painting("pipe", pipe, paintings[0].labels)
    dataset.prepare([*paintings, pipe], sys.argv[3], processes=1)
"""


@pytest.mark.skipif(not Path("/proc").exists(), reason="reads /proc")
def test_a_run_that_is_killed_leaves_no_dataset_and_no_process(tmp_path, paintings):
    pipe, data_dir = tmp_path / "pipe", tmp_path / "data"
    os.mkfifo(pipe)
    script = tmp_path / "run.py"
    script.write_text(KILLED)
    arguments = [os.path.dirname(paintings[0].file.path), str(pipe), str(data_dir)]
    root = str(Path(dataset.__file__).parents[2])
    run = subprocess.Popen(
        [sys.executable, str(script), *arguments],
        env={**os.environ, "PYTHONPATH": root},
        stderr=subprocess.PIPE,
    )
    workers = Path(f"/proc/{run.pid}/task/{run.pid}/children")
    while not (
        list(data_dir.glob("paintings/incomplete.*/*array_record*"))
        and (children := workers.read_text().split())
    ):
        assert run.poll() is None, run.communicate()[1].decode()
        time.sleep(0.05)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    assert len(list((data_dir / "paintings").glob("incomplete.*"))) == 1
    with pytest.raises(ValueError, match="must hold a dataset 'paintings'"):
        dataset.open_source(data_dir, "paintings")
    deadline = time.monotonic() + 10
    while any(_alive(pid) for pid in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)

    dataset.write(dataset.Paintings(records(3), 3, data_dir=data_dir))
    assert len(kept(data_dir)) == 3
    assert [f.name for f in (data_dir / "paintings").iterdir()] == ["1.0.0"]


def _alive(pid):
    status = Path(f"/proc/{pid}/stat")
    # A zombie has ended; it only waits for somebody to ask how.
    return status.exists() and status.read_text().rsplit(") ")[-1][0] != "Z"


def test_of_two_writers_one_waits_for_the_other(tmp_path):
    started, go_on, outcomes = threading.Event(), threading.Event(), []

    def slow():
        started.set()
        go_on.wait()
        yield from records(2)

    def run(name, found):
        builder = dataset.Paintings(found, 2, data_dir=tmp_path)
        outcomes.append((name, dataset.write(builder)))

    first = threading.Thread(target=run, args=("first", slow()))
    first.start()
    started.wait()
    second = threading.Thread(target=run, args=("second", records(1)))
    second.start()
    time.sleep(0.2)
    assert outcomes == []
    go_on.set()
    first.join()
    second.join()
    assert sorted(outcomes) == [("first", True), ("second", False)]
    assert len(kept(tmp_path)) == 2


@pytest.mark.parametrize("damage", ["missing", "truncated", "empty", "overwritten"])
def test_a_half_dataset_is_not_opened(data_dir, damage):
    [file] = data_dir.glob("paintings/1.0.0/*train.array_record*")
    content = file.read_bytes()
    if damage == "missing":
        file.unlink()
    elif damage == "truncated":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "empty":
        file.write_bytes(b"")
    else:
        file.write_bytes(content[:-70_000] + b"x" * 70_000)
    with pytest.raises(ValueError, match="missing or damaged: prepare paintings anew"):
        dataset.open_source(data_dir, "paintings")


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json"])
@pytest.mark.parametrize("content", ["", "{", "[]", '{"name": 3}'])
def test_a_damaged_description_is_one_line(data_dir, name, content):
    (data_dir / "paintings" / "1.0.0" / name).write_text(content)
    with pytest.raises(
        ValueError, match=r"^.* (is damaged: |must hold a dataset)"
    ) as e:
        dataset.open_source(data_dir, "paintings")
    assert "\n" not in str(e.value)


def test_a_folder_without_the_dataset_is_refused(tmp_path):
    for data_dir in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ValueError, match="must hold a dataset 'mnist'"):
            dataset.open_source(data_dir, "mnist")


def test_an_unknown_split_is_refused(data_dir):
    with pytest.raises(ValueError, match="validation"):
        dataset.open_source(data_dir, "paintings", "validation")


def test_somebody_elses_dataset_of_the_name_is_passed_over(data_dir):
    class Paintings(tfds.core.ShardBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("9.0.0")

        def _info(self):
            number = tfds.features.Scalar(np.int64)
            features = tfds.features.FeaturesDict({"number": number})
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _shard_iterators_per_split(self, _):
            return {"train": [lambda: iter([(0, {"number": 1})])]}

    dataset.write(Paintings(data_dir=data_dir, file_format="array_record"))
    assert len(kept(data_dir)) == 10


def test_tfds_finds_the_builder_by_its_name(data_dir):
    builder = tfds.builder("paintings", data_dir=data_dir)
    assert builder.info.splits["train"].num_examples == 10
