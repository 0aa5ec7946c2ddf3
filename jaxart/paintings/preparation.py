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
import json
import logging
import os
import shutil
import types
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import tqdm

from jaxart import atomic, images
from jaxart.paintings import beam, dataset, report, shards, workers
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
    vocabulary: Mapping[str, Any] = types.MappingProxyType({}),
    keep_duplicates: bool = False,
    report_to: Path | None = None,
) -> Prepared:
    """Write the dataset `paintings`, and `skipped.csv` for what is not in it.

    Args:
        paintings: what may become a record, in the order of the records; consumed once.
        data_dir: receives the folder `paintings` and the file `skipped.csv`.
        size: side of the crops that every picture must have room for, in pixels.
        processes: worker processes that decode pictures.
        beam_options: of Apache Beam, which then does the work; see `beam.parsed`.
        vocabulary: what the labels are names for; kept in the dataset's metadata.
        keep_duplicates: keep pictures that look the same as an earlier one.
        report_to: file that receives a page about the collection, if any.

    Raises:
        ValueError: no picture can be used, or `data_dir` holds a dataset or somebody
            else's `skipped.csv` already, or as `beam.parsed`; nothing is changed then.
        ChildProcessError: a worker process was killed; the next run takes up the work.
    """
    skipped_csv = Path(data_dir, "skipped.csv")
    _check_replaceable(skipped_csv)
    if report_to:
        atomic.check_replaceable(report_to, report.is_ours)
    metadata = {"keep_duplicates": keep_duplicates, "vocabulary": dict(vocabulary)}
    builder = dataset.Paintings(size=size, metadata=metadata, data_dir=data_dir)
    folder = Path(builder.data_dir)
    unfinished = folder.parent / "unfinished"
    each: Each = partial(workers.each, processes=processes)
    if beam_options:
        each = partial(beam.each, options=beam.parsed(beam_options))
    with dataset.locked(folder.parent):
        if folder.exists():
            shutil.rmtree(unfinished, ignore_errors=True)
            raise ValueError(f"{folder} exists: remove it or choose another data_dir")
        begun = unfinished.exists()
        try:
            plan = _plan(paintings, unfinished, size, metadata)
        except BaseException:
            if not begun:
                shutil.rmtree(unfinished)
            raise
        with _naming_suspects(unfinished / "shards"):
            _decode(plan, unfinished / "shards", each)
            copies = {}
            if not keep_duplicates:
                copies = shards.copies(unfinished / "shards", plan.shards)
            if not (unfinished / "complete").exists():
                _make(plan, copies, builder, unfinished, each)
        if report_to:
            report.write(report_to, _outcomes(unfinished / "shards", plan, copies))
        _publish(unfinished, skipped_csv, folder)
    splits = dataset.open_builder(data_dir, builder.name).info.splits
    counts = [splits[split].num_examples for split in (dataset.TRAIN, dataset.HELD_OUT)]
    size_on_disk = sum(path.stat().st_size for path in folder.iterdir())
    skipped = _tally(skipped_csv)
    return Prepared(folder, sum(counts), counts[1], size_on_disk, skipped, skipped_csv)


def _plan(
    paintings: Iterable[Painting],
    unfinished: Path,
    size: int,
    metadata: Mapping[str, Any],
) -> shards.Plan:
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
    # Not by `changed`: a run may have been killed between the plan and this.
    described = unfinished / "made_of.json"
    description = json.dumps([plan.digest, metadata])
    if not described.exists() or described.read_text("utf-8") != description:
        for stale in ("files", "complete"):
            shutil.rmtree(unfinished / stale, ignore_errors=True)
        described.write_text(description, "utf-8")
    return plan


def _make(
    plan: shards.Plan,
    copies: shards.Copies,
    builder: dataset.Paintings,
    unfinished: Path,
    each: Each,
) -> None:
    """Leave the folder `complete` and `skipped.csv` among the unfinished work."""
    folder, out = unfinished / "shards", unfinished / "files"
    files = shards.files(folder, plan.shards, FILE, copies)
    _write_skipped(unfinished / "skipped.csv", _outcomes(folder, plan, copies))
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
    decoded = each(partial(shards.decode, folder=folder), range(plan.shards))
    _follow(decoded, "decoding", plan.pictures)


@contextlib.contextmanager
def _naming_suspects(folder: Path) -> Iterator[None]:
    """Say which pictures a worker process that was killed may have been reading."""
    try:
        yield
    except BrokenProcessPool:
        suspects = ", ".join(shards.under_way(folder))
        doing = f"reading one of {suspects}" if suspects else "writing"
        raise ChildProcessError(
            f"a worker process was killed while {doing}: is there memory for so many "
            "processes? The same command goes on where it stopped"
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


def _outcomes(
    folder: Path, plan: shards.Plan, copies: shards.Copies
) -> Iterator[report.Outcome]:
    """Yield what became of each picture, in their order."""
    for number in range(plan.shards):
        record = 0
        pairs = zip(
            shards.paintings(folder, number), shards.rows(folder, number), strict=True
        )
        for painting, row in pairs:
            if "reason" in row:
                yield report.Outcome(painting, row["reason"])
                continue
            original = copies.get((number, record))
            reason = f"duplicate: of {original}" if original is not None else ""
            yield report.Outcome(painting, reason, row["width"], row["height"])
            record += 1


def _write_skipped(path: Path, outcomes: Iterable[report.Outcome]) -> None:
    with path.open("w", encoding="utf-8", newline="") as lines:
        table = csv.writer(lines)
        table.writerow(SKIPPED_HEADER)
        for outcome in outcomes:
            if outcome.reason:
                table.writerow((outcome.painting.filename, outcome.reason))


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
