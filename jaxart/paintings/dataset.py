"""The TFDS datasets of pictures: what a record is; writing ArrayRecord, reading back.

Pictures are stored at the smallest size that training crops can be taken from, as raw
uint8: a record of about 50 kB costs a copy to read, where a JPEG must be decoded for
every crop (`benchmarks/record_formats.py` measures both).

TFDS writes into a temporary folder and renames it last: a run that is killed leaves no
dataset, and the next run removes its leftovers. Collections of pictures on disk, which
may be too large for that, are written by `preparation` and described here.

One picture in fifty is held out: training never sees it, so that it shows what a
network memorised. The hash of each file's bytes decides: the same picture is held out
in every collection, in any order, at any size, and copies of a file are in one split.

Source: the paper's section on its data.
Deviation: the builder is a `ShardBasedBuilder`. TFDS's usual `GeneratorBasedBuilder`
shuffles on disk, for which it needs TensorFlow above a gigabyte; the paper's collection
has ten. Training shuffles in each epoch anyway. The paper holds nothing out.
"""

import contextlib
import fcntl
import functools
import io
import itertools
import logging
import os
import re
import shutil
import tempfile
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordReader
from tensorflow_datasets.core import constants, example_serializer
from tensorflow_datasets.core.splits import SplitDict

from jaxart import atomic, images
from jaxart.paintings.sources.picture import TEXTS


DEFAULT_DATA_DIR = constants.DATA_DIR  # TFDS's own: $TFDS_DATA_DIR or a folder at home

# Records of one file at most. TFDS keeps them in memory until the file is written.
RECORDS_PER_FILE = 1024

VERSION = re.compile(r"\d+\.\d+\.\d+")  # of a dataset, as its folder is named

TRAIN, HELD_OUT = "train", "held_out"  # the splits
HELD_OUT_SHARE = 0.02  # of all pictures, on average

Record = dict[str, Any]


class SplitRecord(NamedTuple):
    """A record, and whether it is in the held-out split."""

    record: Record
    held_out: bool


def features() -> tfds.features.FeaturesDict:
    """Return the features of a record: its pixels and texts."""
    # As bytes: TFDS stores and parses any other tensor number by number.
    pixels = tfds.features.Tensor(
        shape=(None, None, 3), dtype=np.uint8, encoding="bytes"
    )
    texts = {name: tfds.features.Text() for name in TEXTS}
    return tfds.features.FeaturesDict({"pixels": pixels, **texts})


def serialize(record: Record) -> bytes:
    """Return a record as the bytes of the TFDS example that `features` describes.

    The same record gives the same bytes. TFDS's own writer orders the fields by a hash
    table, differently in each process.
    """
    feature_spec, serializer = _serializer()
    example = serializer.get_tf_example(feature_spec.encode_example(record))
    return example.SerializeToString(deterministic=True)


@functools.cache
def _serializer() -> tuple[
    tfds.features.FeaturesDict, example_serializer.ExampleSerializer
]:
    feature_spec = features()
    info: Any = feature_spec.get_serialized_info()
    return feature_spec, example_serializer.ExampleSerializer(info)


class Paintings(tfds.core.ShardBasedBuilder):
    """The dataset `paintings`, in the order in which its records come.

    Args:
        records: consumed once, by `download_and_prepare`.
        count: number of records, or more.
        size: side of the crops that every picture has room for, in pixels; stored in
            the dataset's metadata.
        metadata: what else is stored there, as JSON.
        **kwargs: as for every TFDS builder; `data_dir` above all.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}  # noqa: RUF012

    def __init__(
        self,
        records: Iterable[SplitRecord] = (),
        count: int = 0,
        size: int = images.CROP,
        metadata: Mapping[str, Any] = types.MappingProxyType({}),
        **kwargs: Any,
    ):
        # First, because TFDS asks for `_info` while it is being initialised.
        self._records = iter(records)
        self._count = count
        self._size = size
        self._metadata = metadata
        super().__init__(**{"file_format": "array_record", **kwargs})

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"Paintings with room for crops of {self._size} pixels.",
            features=features(),
            metadata=tfds.core.MetadataDict(size=self._size, **self._metadata),
        )

    def _shard_iterators_per_split(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, list[Callable[[], Iterator[tuple[int, Record]]]]]:
        del dl_manager
        return split_generators(self._records, self._count)


def split_generators(
    records: Iterable[SplitRecord], count: int
) -> dict[str, list[Callable[[], Iterator[tuple[int, Record]]]]]:
    """Return the files of both splits for TFDS: functions that yield records.

    Records are consumed once; those held out are in memory until the training pictures
    are written, about a megabyte for every thousand records. There may be fewer than
    `count`.
    """
    held_out_records: list[tuple[int, Record]] = []

    def training() -> Iterator[tuple[int, Record]]:
        for number, (record, held_out) in enumerate(records):
            if held_out:
                held_out_records.append((number, record))
            else:
                yield number, record

    stream = training()
    full = [functools.partial(itertools.islice, stream, RECORDS_PER_FILE)] * (
        (count - 1) // RECORDS_PER_FILE
    )
    # The last one exhausts the records. TFDS writes the splits in order: by then all
    # held-out records are known.
    return {TRAIN: [*full, lambda: stream], HELD_OUT: [lambda: iter(held_out_records)]}


def is_held_out(digest: bytes) -> bool:
    """Return whether a picture is held out, by a hash of its content.

    >>> is_held_out(bytes(32)), is_held_out(bytes([255] * 32))
    (True, False)
    """
    return int.from_bytes(digest[:8]) < HELD_OUT_SHARE * 2**64


def write(builder: tfds.core.DatasetBuilder) -> bool:
    """Let a builder write its dataset, all of it or nothing; return whether it did.

    If it exists, nothing is done. Of several processes that write the same dataset one
    does, and the others wait.
    """
    folder = Path(builder.data_dir)
    with atomic.naming_full_disk(folder.parent), locked(folder.parent):
        if folder.exists():
            return False
        for unfinished in folder.parent.glob(f"{constants.INCOMPLETE_PREFIX}*"):
            shutil.rmtree(unfinished)  # of a run that was killed: we hold the lock
        # TFDS announces itself on standard output, and wants a folder for downloads.
        with (
            contextlib.redirect_stdout(io.StringIO()),
            tempfile.TemporaryDirectory() as downloads,
        ):
            builder.download_and_prepare(download_dir=downloads)
    return True


def filename(name: str, split: str, number: int, count: int) -> str:
    """Return what TFDS calls one of the files of a split.

    >>> filename("paintings", "train", 3, 12)
    'paintings-train.array_record-00003-of-00012'
    """
    return f"{name}-{split}.array_record-{number:05d}-of-{count:05d}"


def describe(
    builder: tfds.core.DatasetBuilder,
    folder: Path,
    lengths: Mapping[str, Sequence[int]],
) -> None:
    """Write TFDS's metadata of a dataset, given the lengths of each split's files."""
    splits = []
    for split, counts in lengths.items():
        names = [
            filename(builder.name, split, number, len(counts))
            for number in range(len(counts))
        ]
        size = sum((folder / name).stat().st_size for name in names)
        splits.append(tfds.core.SplitInfo(split, [*counts], size))
    builder.info.set_splits(SplitDict(splits))
    builder.info.write_to_directory(folder)


def exists(data_dir: str | os.PathLike[str], name: str) -> bool:
    """Return whether a folder holds a dataset, sound or damaged."""
    return bool(_folders(data_dir, name))


def open_source(
    data_dir: str | os.PathLike[str], name: str, split: str = "train"
) -> Sequence[Record]:
    """Open a dataset for reading: a picklable sequence of records, texts as bytes.

    The split may be a slice such as "train[:10]".

    Raises:
        ValueError: there is no such dataset or split, or not all of it.
    """
    builder = open_builder(data_dir, name)
    for part in builder.info.splits.values():
        for path, length in zip(part.filepaths, part.shard_lengths, strict=True):
            # A reader of a missing or damaged file counts no records.
            reader = ArrayRecordReader(os.fspath(path))
            if not reader.ok() or reader.num_records() != length:
                raise ValueError(f"{path} is missing or damaged: prepare {name} anew")
            reader.close()
    if not builder.info.splits[split].num_examples:
        return []  # TFDS opens no reader for no file
    return builder.as_data_source(split)  # pyright: ignore[reportCallIssue]


def open_builder(
    data_dir: str | os.PathLike[str], name: str
) -> tfds.core.DatasetBuilder:
    """Open the newest version of a dataset that a builder of this package has written.

    Raises:
        ValueError: there is no such dataset, or its description is damaged.
    """
    for folder in _folders(data_dir, name):
        try:
            builder = tfds.builder_from_directory(folder)
        # TFDS passes on what its parsers raise, of which not all is a ValueError.
        except Exception as error:
            reason = " ".join(str(error).split())
            raise ValueError(f"{folder} is damaged: {reason}") from None
        # TFDS's own datasets may lie beside ours, its `mnist` under the same name.
        fields = builder.info.features
        if isinstance(fields, tfds.features.FeaturesDict) and "pixels" in fields:
            return builder
    raise ValueError(f"data_dir must hold a dataset {name!r}; {data_dir} does not")


def _folders(data_dir: str | os.PathLike[str], name: str) -> list[Path]:
    """Return the folders that finished datasets of this name lie in, newest first."""
    info_files = Path(data_dir, name).glob("*/dataset_info.json")
    folders = [
        path.parent for path in info_files if VERSION.fullmatch(path.parent.name)
    ]
    version = lambda folder: [int(n) for n in folder.name.split(".")]  # noqa: E731
    return sorted(folders, key=version, reverse=True)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make a folder and hold a lock on it; remove it if it stays empty."""
    created = [path for path in (folder, folder.parent) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logging.warning("waiting for another process that writes %s", folder)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
        with contextlib.suppress(OSError):  # it is not empty
            for path in created:
                path.rmdir()
