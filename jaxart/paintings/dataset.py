"""The TFDS dataset of paintings: resize, refuse, write ArrayRecord, read back.

Pictures are stored at the smallest size that training crops can be taken from, as plain
uint8: a record of about 50 kB that costs a copy to read, where a JPEG must be decoded
for every crop (`benchmarks/record_formats.py` measures both).

Pictures are decoded by worker processes and written in the order of the collection, so
the same collection gives the same records whatever their number. TFDS writes into a
folder of another name and renames it last: a run that is killed leaves no dataset, and
the next run removes what it left.

One picture in fifty is held out: training never sees it, so that it can tell what was
learned from what was learned by heart. Which ones, the hash of each file's bytes
decides: the same picture is held out in every collection, in any order, at any size,
and two copies of a file never stand on both sides.

Source: the paper's section on its data.
Deviation: the builder is a `ShardBasedBuilder`. TFDS's usual `GeneratorBasedBuilder`
shuffles on disk, for which it needs TensorFlow as soon as there is more than a
gigabyte; the paper's collection has ten. Training shuffles anew in each epoch anyway.
The paper holds nothing out.
"""

import collections
import contextlib
import csv
import fcntl
import hashlib
import io
import itertools
import logging
import multiprocessing
import os
import re
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
import tqdm
from array_record.python.array_record_module import ArrayRecordReader
from jaxtyping import UInt8
from tensorflow_datasets.core import constants

from jaxart import images
from jaxart.paintings.sources.files import File
from jaxart.paintings.sources.painting import TEXTS, Painting


DEFAULT_DATA_DIR = constants.DATA_DIR  # TFDS's own: $TFDS_DATA_DIR or a folder at home

# Records of one file at most. TFDS keeps them in memory until the file is written.
SHARD = 1024

# Pictures under way per worker process, so that none waits for work.
AHEAD = 4

VERSION = re.compile(r"\d+\.\d+\.\d+")  # of a dataset, as its folder is named

SKIPPED_HEADER = ("filename", "reason")

TRAIN, HELD_OUT = "train", "held_out"  # the splits
HELD_OUT_SHARE = 0.02  # of all pictures, on average

Record = dict[str, Any]
Pixels = UInt8[np.ndarray, "h w 3"]


class Sorted(NamedTuple):
    """A record, and on which side it stands."""

    record: Record
    held_out: bool


class Readable(NamedTuple):
    """What a worker makes of a file that can be used: a picture, and its SHA-256."""

    pixels: Pixels
    digest: bytes


class Prepared(NamedTuple):
    """What became of a collection.

    Args:
        folder: where the dataset lies.
        kept: number of pictures in it.
        held_out: how many of these are held out.
        bytes: size of the folder.
        skipped: filename and reason of what is not in it.
        skipped_csv: where the same is written.
    """

    folder: Path
    kept: int
    held_out: int
    bytes: int
    skipped: list[tuple[str, str]]
    skipped_csv: Path


def features() -> tfds.features.FeaturesDict:
    """Return what a record holds: the pixels, and all that is said of them."""
    # As bytes: TFDS stores and parses any other tensor number by number.
    pixels = tfds.features.Tensor(
        shape=(None, None, 3), dtype=np.uint8, encoding="bytes"
    )
    texts = {name: tfds.features.Text() for name in TEXTS}
    return tfds.features.FeaturesDict({"pixels": pixels, **texts})


class Paintings(tfds.core.ShardBasedBuilder):
    """The dataset `paintings`, in the order in which its records come.

    Args:
        records: what `features` describes, and its side; consumed once, by
            `download_and_prepare`.
        at_most: records that may come.
        size: side of the crops that every picture has room for, in pixels; kept in the
            dataset's metadata.
        **kwargs: as for every TFDS builder; `data_dir` above all.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}  # noqa: RUF012

    def __init__(
        self,
        records: Iterable[Sorted] = (),
        at_most: int = 0,
        size: int = images.CROP,
        **kwargs: Any,
    ):
        # First, because TFDS asks for `_info` while it is being initialised.
        self._records = iter(records)
        self._at_most = at_most
        self._size = size
        super().__init__(**{"file_format": "array_record", **kwargs})

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"Paintings with room for crops of {self._size} pixels.",
            features=features(),
            metadata=tfds.core.MetadataDict(size=self._size),
        )

    def _shard_iterators_per_split(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, list[Callable[[], Iterator[tuple[int, Record]]]]]:
        del dl_manager
        return shards(self._records, self._at_most)


def shards(
    records: Iterable[Sorted], at_most: int
) -> dict[str, list[Callable[[], Iterator[tuple[int, Record]]]]]:
    """Return the files of both splits as TFDS wants them: functions that yield records.

    Args:
        records: consumed once; what is held out is kept in memory until the training
            pictures are written, about a megabyte for every thousand records.
        at_most: records that may come.
    """
    aside: list[tuple[int, Record]] = []

    def training() -> Iterator[tuple[int, Record]]:
        for number, (record, held_out) in enumerate(records):
            if held_out:
                aside.append((number, record))
            else:
                yield number, record

    stream = training()
    full = [partial(itertools.islice, stream, SHARD)] * ((at_most - 1) // SHARD)
    # The last one drains the records, for what they do at their end. TFDS goes by the
    # order of the splits: by then all that is held out is known.
    return {TRAIN: [*full, lambda: stream], HELD_OUT: [lambda: iter(aside)]}


def is_held_out(digest: bytes) -> bool:
    """Return whether a picture is held out, by a hash of what it is.

    >>> is_held_out(bytes(32)), is_held_out(bytes([255] * 32))
    (True, False)

    Args:
        digest: at least eight bytes, any as likely as any other.
    """
    return int.from_bytes(digest[:8]) < HELD_OUT_SHARE * 2**64


def prepare(
    paintings: Sequence[Painting],
    data_dir: str | os.PathLike[str],
    *,
    size: int = images.CROP,
    processes: int = 1,
) -> Prepared:
    """Write the dataset `paintings`, and `skipped.csv` for what is not in it.

    Args:
        paintings: what may become a record, in the order of the records.
        data_dir: receives the folder `paintings` and the file `skipped.csv`.
        size: side of the crops that every picture must have room for, in pixels.
        processes: worker processes that decode pictures.

    Raises:
        ValueError: no picture can be used, or `data_dir` holds a dataset or somebody
            else's `skipped.csv` already; nothing is changed then.
        ChildProcessError: a worker process was killed.
    """
    skipped_csv = Path(data_dir, "skipped.csv")
    _check_replaceable(skipped_csv)
    skipped: list[tuple[str, str]] = []
    outcomes = _outcomes(paintings, size, processes)
    records = _records(paintings, outcomes, skipped, skipped_csv)
    builder = Paintings(records, len(paintings), size, data_dir=data_dir)
    folder = Path(builder.data_dir)
    with contextlib.closing(outcomes), contextlib.closing(records):
        if not write(builder):
            raise ValueError(f"{folder} exists: remove it or choose another data_dir")
    size_on_disk = sum(path.stat().st_size for path in folder.iterdir())
    kept = len(paintings) - len(skipped)
    held_out = builder.info.splits[HELD_OUT].num_examples
    return Prepared(folder, kept, held_out, size_on_disk, skipped, skipped_csv)


def tally(skipped: Iterable[tuple[str, str]]) -> str:
    """Count reasons by what stands before their colon, the most frequent first.

    >>> tally([("a", "too small: 9 x 9"), ("b", "missing"), ("c", "too small: 1 x 1")])
    '2 too small, 1 missing'
    """
    counts = collections.Counter(reason.split(":")[0] for _, reason in skipped)
    return ", ".join(f"{count} {reason}" for reason, count in counts.most_common())


def write(builder: tfds.core.DatasetBuilder) -> bool:
    """Let a builder write its dataset, all of it or nothing, unless it is there.

    Of several processes that write the same dataset one does, and the others wait.

    Args:
        builder: of the dataset.

    Returns:
        Whether it was written.
    """
    folder = Path(builder.data_dir)
    with _locked(folder.parent):
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


def exists(data_dir: str | os.PathLike[str], name: str) -> bool:
    """Tell whether a folder holds a dataset, sound or damaged."""
    return bool(_folders(data_dir, name))


def open_source(
    data_dir: str | os.PathLike[str], name: str, split: str = "train"
) -> Sequence[Record]:
    """Open a dataset for reading: a picklable sequence of records, texts as bytes.

    Args:
        data_dir: the folder that the dataset was prepared in.
        name: of the dataset: "paintings", "mnist", "invented".
        split: one of its splits, or a slice such as "train[:10]".

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

    Args:
        data_dir: the folder that the dataset was prepared in.
        name: of the dataset.

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
    described = Path(data_dir, name).glob("*/dataset_info.json")
    folders = [path.parent for path in described if VERSION.fullmatch(path.parent.name)]
    return sorted(folders, key=_version, reverse=True)


def _version(folder: Path) -> list[int]:
    return [int(number) for number in folder.name.split(".")]


def _records(
    paintings: Sequence[Painting],
    outcomes: Iterable[Readable | str],
    skipped: list[tuple[str, str]],
    skipped_csv: Path,
) -> Generator[Sorted, None, None]:
    """Yield the records; collect what is skipped, and write it when all are through."""
    pairs = zip(paintings, outcomes, strict=True)
    with tqdm.tqdm(pairs, total=len(paintings), unit="painting") as bar:
        for painting, outcome in bar:
            if isinstance(outcome, str):
                skipped.append((painting.filename, outcome))
            else:
                record = {"pixels": outcome.pixels, **painting.texts()}
                yield Sorted(record, is_held_out(outcome.digest))
    if len(skipped) == len(paintings):
        raise ValueError(f"no picture can be used: {tally(skipped) or 'there is none'}")
    # Before TFDS renames its folder: no dataset without a word on what it lacks.
    unfinished = skipped_csv.with_name(f".{skipped_csv.name}.unfinished")
    with unfinished.open("w", encoding="utf-8", newline="") as lines:
        csv.writer(lines).writerows([SKIPPED_HEADER, *skipped])
    unfinished.replace(skipped_csv)


def _check_replaceable(skipped_csv: Path) -> None:
    if skipped_csv.exists():
        with skipped_csv.open(encoding="utf-8", errors="replace") as lines:
            if lines.readline().strip() != ",".join(SKIPPED_HEADER):
                raise ValueError(f"{skipped_csv} was not written by jaxart: move it")


def _outcomes(
    paintings: Iterable[Painting], size: int, processes: int
) -> Generator[Readable | str, None, None]:
    """Yield what can be read of each painting, or the reason why nothing can."""
    context = multiprocessing.get_context("spawn")
    waiting: collections.deque[tuple[str, Future[Readable | str]]] = collections.deque()
    with ProcessPoolExecutor(processes, context, _begin_worker) as pool:
        try:
            for painting in paintings:
                outcome = pool.submit(_outcome, painting.file, size)
                waiting.append((painting.filename, outcome))
                if len(waiting) >= AHEAD * processes:
                    yield waiting[0][1].result()
                    waiting.popleft()
            for _, outcome in waiting:
                yield outcome.result()
        except BrokenProcessPool:
            suspects = ", ".join(
                name for name, _ in itertools.islice(waiting, 2 * processes)
            )
            raise ChildProcessError(
                f"a worker process was killed while reading one of {suspects}: "
                f"is there memory for {processes} processes?"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _outcome(file: File, size: int) -> Readable | str:
    try:
        with file.open() as content:
            pixels = images.read_for_crops(content, size)
            content.seek(0)
            # The file, not the pixels: these depend on the size and on who decodes.
            return Readable(pixels, hashlib.file_digest(content, "sha256").digest())
    except images.PictureError as error:
        return str(error)


def _begin_worker() -> None:
    """Leave Ctrl-C to the parent, and end with it even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Make a folder and be the only one to write in it; remove it if nothing comes."""
    made = [path for path in (folder, folder.parent) if not path.exists()]
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
        with contextlib.suppress(OSError):  # which says that something did come
            for path in made:
                path.rmdir()
