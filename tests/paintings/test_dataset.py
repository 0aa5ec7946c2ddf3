"""Writing the dataset of paintings, whole or not at all, and reading it back."""

import hashlib
import os
import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from jaxart.paintings import dataset
from jaxart.paintings.sources.picture import TEXTS


def records(count, held_out=()):
    """Yield records that tell their number, and that end in black."""
    for number in range(count):
        pixels = np.zeros((70 + number, 80, 3), np.uint8)
        pixels[0, 0] = number
        texts = dict.fromkeys(TEXTS, "") | {"filename": f"{number}.png"}
        record = {"pixels": pixels, **texts}
        yield dataset.SplitRecord(record, number in held_out)


def kept(data_dir):
    source = dataset.open_source(data_dir, "paintings")
    return [record["filename"].decode() for record in source]


@pytest.fixture
def data_dir(tmp_path):
    """A folder with a dataset of ten records, written without workers."""
    dataset.write(dataset.Paintings(records(10), 10, data_dir=tmp_path))
    return tmp_path


def test_labels_and_the_size_of_crops_are_stored(tmp_path):
    texts = {name: f"{name} é\n" for name in TEXTS}
    record = {"pixels": np.ones((32, 40, 3), np.uint8), **texts}
    records = [dataset.SplitRecord(record, held_out=False)]
    dataset.write(dataset.Paintings(records, 1, size=32, data_dir=tmp_path))
    [read] = dataset.open_source(tmp_path, "paintings")
    assert {name: read[name].decode() for name in TEXTS} == texts
    metadata = dataset.open_builder(tmp_path, "paintings").info.metadata
    assert metadata == {"size": 32}


@pytest.mark.parametrize(
    ("count", "declared"), [(10, 10), (8, 8), (9, 12), (3, 20), (1, 1)]
)
def test_no_record_is_lost_between_files(tmp_path, monkeypatch, count, declared):
    monkeypatch.setattr(dataset, "RECORDS_PER_FILE", 4)
    dataset.write(dataset.Paintings(records(count), declared, data_dir=tmp_path))
    source = dataset.open_source(tmp_path, "paintings")
    assert [int(record["pixels"][0, 0, 0]) for record in source] == [*range(count)]
    assert [len(record["pixels"]) for record in source] == [*range(70, 70 + count)]


def test_what_is_held_out_is_in_the_other_split_and_no_record_is_lost(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(dataset, "RECORDS_PER_FILE", 4)
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


def test_a_record_has_the_same_bytes_in_every_process():
    script = """if 1:
        import hashlib
        import numpy as np
        from jaxart.paintings import dataset
        pixels = np.ones((3, 4, 3), np.uint8)
        record = {"pixels": pixels, **dict.fromkeys(dataset.TEXTS, "some text")}
        print(hashlib.sha256(dataset.serialize(record)).hexdigest())
    """
    root = str(Path(dataset.__file__).parents[2])
    run = [sys.executable, "-c", script]
    environment = {**os.environ, "PYTHONPATH": root}
    processes = [
        subprocess.Popen(run, env=environment, stdout=subprocess.PIPE) for _ in range(2)
    ]
    assert len({process.communicate()[0] for process in processes}) == 1


def test_the_source_is_picklable(data_dir):
    source = pickle.loads(pickle.dumps(dataset.open_source(data_dir, "paintings")))
    assert len(source) == 10
    assert int(source[7]["pixels"][0, 0, 0]) == 7


def test_a_slice_of_a_split_can_be_opened(data_dir):
    assert len(dataset.open_source(data_dir, "paintings", "train[:30%]")) == 3


def test_an_error_in_the_middle_leaves_nothing_behind(tmp_path):
    def broken():
        yield from records(5)
        raise ValueError("the disk is on fire")

    with pytest.raises(ValueError, match=r"^the disk is on fire$"):
        dataset.write(dataset.Paintings(broken(), 9, data_dir=tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_of_two_writers_one_waits_for_the_other(tmp_path):
    started, proceed, outcomes = threading.Event(), threading.Event(), []

    def slow():
        started.set()
        proceed.wait()
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
    proceed.set()
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


def test_another_builders_dataset_of_the_name_is_ignored(data_dir):
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
