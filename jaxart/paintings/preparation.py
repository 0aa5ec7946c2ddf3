"""From a collection of pictures to the dataset `paintings`, as large as it may be.

Four steps, each of which leaves its work in the folder `unfinished` beside the dataset:

1. the collection is gone through once, and divided into `shards`;
2. each shard is decoded: by processes on this machine, or by Apache Beam on many;
3. what the shards say of their pictures decides which file each record goes to, and
   what is written to `skipped.csv`;
4. the files are written, described for TFDS, and get the dataset's name.

A run that was killed is taken up where it stopped: finished shards and files are not
made again, and the dataset is the same, byte for byte, as that of a run that was not.
No step keeps pictures in memory but those that are just being decoded. For a while the
disk holds the dataset twice.

Source: the paper's section on its data.
"""

import collections
import contextlib
import csv
import logging
import os
import shutil
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import tqdm

from jaxart import images
from jaxart.paintings import beam, dataset, shards, workers
from jaxart.paintings.sources.painting import Painting


FILE = 1024  # records of one file of the dataset at most: about 50 MB

SKIPPED_HEADER = ("filename", "reason")

# Calls a function with each of many arguments, and yields what the calls return.
Each = Callable[[Callable[[Any], int], Sequence[Any]], Generator[int]]


class Prepared(NamedTuple):
    """What became of a collection.

    Args:
        folder: where the dataset lies.
        kept: number of pictures in it.
        held_out: how many of these are held out.
        bytes: size of the folder.
        skipped: how many are not in it, by the kind of reason, the most frequent first.
        skipped_csv: filename and reason of each of them.
    """

    folder: Path
    kept: int
    held_out: int
    bytes: int
    skipped: dict[str, int]
    skipped_csv: Path


def prepare(
    paintings: Iterable[Painting],
    data_dir: str | os.PathLike[str],
    *,
    size: int = images.CROP,
    processes: int = 1,
    beam_options: str = "",
) -> Prepared:
    """Write the dataset `paintings`, and `skipped.csv` for what is not in it.

    Args:
        paintings: what may become a record, in the order of the records; consumed once.
        data_dir: receives the folder `paintings` and the file `skipped.csv`.
        size: side of the crops that every picture must have room for, in pixels.
        processes: worker processes that decode pictures.
        beam_options: of Apache Beam, which then decodes instead; see `beam.each`.

    Raises:
        ValueError: no picture can be used, or `data_dir` holds a dataset or somebody
            else's `skipped.csv` already; nothing is changed then.
        ChildProcessError: a worker process was killed; the next run takes up the work.
    """
    skipped_csv = Path(data_dir, "skipped.csv")
    _check_replaceable(skipped_csv)
    builder = dataset.Paintings(size=size, data_dir=data_dir)
    folder = Path(builder.data_dir)
    unfinished = folder.parent / "unfinished"
    each: Each = partial(workers.each, processes=processes)
    if beam_options:
        each = partial(beam.each, options=beam_options)
    with dataset.locked(folder.parent):
        if folder.exists():
            shutil.rmtree(unfinished, ignore_errors=True)
            raise ValueError(f"{folder} exists: remove it or choose another data_dir")
        begun = unfinished.exists()
        try:
            plan = _plan(paintings, unfinished, size)
        except BaseException:
            if not begun:
                shutil.rmtree(unfinished)
            raise
        if not (unfinished / "complete").exists():
            _make(plan, builder, unfinished, each)
        _publish(unfinished, skipped_csv, folder)
    splits = dataset.open_builder(data_dir, builder.name).info.splits
    counts = [splits[split].num_examples for split in (dataset.TRAIN, dataset.HELD_OUT)]
    size_on_disk = sum(path.stat().st_size for path in folder.iterdir())
    skipped = _tally(skipped_csv)
    return Prepared(folder, sum(counts), counts[1], size_on_disk, skipped, skipped_csv)


def _plan(paintings: Iterable[Painting], unfinished: Path, size: int) -> shards.Plan:
    """Divide the collection, and give up what was made of another one."""
    folder = unfinished / "shards"
    folder.mkdir(parents=True, exist_ok=True)
    plan = shards.plan(paintings, folder, size=size)
    if plan.changed:
        logging.warning(
            "the pictures or the settings have changed since the run that was "
            "interrupted: %d of its shards are made anew",
            plan.changed,
        )
        for stale in ("files", "complete"):
            shutil.rmtree(unfinished / stale, ignore_errors=True)
    return plan


def _make(
    plan: shards.Plan, builder: dataset.Paintings, unfinished: Path, each: Each
) -> None:
    """Leave the folder `complete` and `skipped.csv` among the unfinished work."""
    folder, out = unfinished / "shards", unfinished / "files"
    _decode(plan, folder, each)
    files = shards.files(folder, plan.shards, FILE)
    _write_skipped(unfinished / "skipped.csv", folder, plan.shards)
    if not any(map(len, files[dataset.TRAIN] + files[dataset.HELD_OUT])):
        tally = in_words(_tally(unfinished / "skipped.csv"))
        shutil.rmtree(unfinished)
        raise ValueError(f"no picture can be used: {tally or 'there is none'}")
    out.mkdir(exist_ok=True)
    for leftover in out.glob(".*"):
        leftover.unlink()  # of a worker that was killed
    counts = {split: len(some) for split, some in files.items()}
    write = partial(shards.write, folder=folder, out=out, counts=counts)
    everything = [file for some in files.values() for file in some]
    _follow(each(write, everything), "writing", sum(map(len, everything)))
    lengths = {split: [*map(len, some)] for split, some in files.items()}
    dataset.describe(builder, out, lengths)
    out.rename(unfinished / "complete")


def _decode(plan: shards.Plan, folder: Path, each: Each) -> None:
    try:
        decoded = each(partial(shards.decode, folder=folder), range(plan.shards))
        _follow(decoded, "decoding", plan.pictures)
    except BrokenProcessPool:
        suspects = ", ".join(shards.under_way(folder))
        raise ChildProcessError(
            f"a worker process was killed while reading one of {suspects}: is there "
            "memory for so many processes? The same command goes on where it stopped"
        ) from None


def _follow(counts: Generator[int], what: str, total: int) -> None:
    """Show how far the work is, and how long it will take."""
    bar = tqdm.tqdm(total=total, desc=what, unit="painting")
    with bar, contextlib.closing(counts):
        for count in counts:
            bar.update(count)
        bar.update(total - bar.n)  # a cluster tells only that it is done


def _publish(unfinished: Path, skipped_csv: Path, folder: Path) -> None:
    """Give the dataset its name; a run that is killed here is ended by the next one."""
    # First, so that there is no dataset without a word on what it lacks.
    if (unfinished / "skipped.csv").exists():
        (unfinished / "skipped.csv").replace(skipped_csv)
    (unfinished / "complete").rename(folder)
    shutil.rmtree(unfinished)


def _write_skipped(path: Path, folder: Path, count: int) -> None:
    with path.open("w", encoding="utf-8", newline="") as lines:
        table = csv.writer(lines)
        table.writerow(SKIPPED_HEADER)
        for number in range(count):
            for row in shards.rows(folder, number):
                if "reason" in row:
                    table.writerow((row["filename"], row["reason"]))


def in_words(skipped: dict[str, int]) -> str:
    """Return counts in one line.

    >>> in_words({"too small": 2, "missing": 1})
    '2 too small, 1 missing'
    """
    return ", ".join(f"{count} {reason}" for reason, count in skipped.items())


def _tally(skipped_csv: Path) -> dict[str, int]:
    """Count reasons by what stands before their colon, the most frequent first."""
    with skipped_csv.open(encoding="utf-8", newline="") as lines:
        reasons = (row["reason"].split(":")[0] for row in csv.DictReader(lines))
        return dict(collections.Counter(reasons).most_common())


def _check_replaceable(skipped_csv: Path) -> None:
    if skipped_csv.exists():
        with skipped_csv.open(encoding="utf-8", errors="replace") as lines:
            if lines.readline().strip() != ",".join(SKIPPED_HEADER):
                raise ValueError(f"{skipped_csv} was not written by jaxart: move it")
