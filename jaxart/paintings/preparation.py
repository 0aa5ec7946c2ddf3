"""From a collection of pictures to the dataset `paintings`, whatever its size.

Four steps, each of which stores its results in the folder `unfinished` beside the
dataset:

1. the collection is listed once, and divided into `shards`;
2. each shard is decoded: by processes on this machine, or by Apache Beam on many;
3. from the shards' manifests each record is assigned to a file of the dataset, and what
   is left out is written to `skipped.csv`;
4. the files are written, described for TFDS, and renamed to the dataset.

A run that was killed resumes: finished shards and files are kept, and the dataset is
the same, byte for byte, as that of an uninterrupted run. Memory holds only the pictures
that are being decoded. The disk holds the dataset twice for a while.

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
from jaxart.paintings.sources.picture import SourcePicture


FILE_SIZE = 1024  # records of a file of the dataset at most: about 50 MB

MANIFEST = "manifest.json"  # of an unfinished run: what it prepares, and how

SKIPPED_HEADER = ("filename", "reason")

# Calls a function with each argument, and yields the results in any order.
Map = Callable[[Callable[[Any], int], Sequence[Any]], Generator[int]]


class Prepared(NamedTuple):
    """A prepared dataset."""

    folder: Path  # of the dataset
    kept: int  # number of pictures in it
    held_out: int  # how many of these are held out
    bytes: int  # size of the folder
    # Number of skipped pictures by kind of reason, the most frequent first.
    skipped: dict[str, int]
    skipped_csv: Path  # filename and reason of each of them


def prepare(
    paintings: Iterable[SourcePicture],
    data_dir: str | os.PathLike[str],
    *,
    size: int = images.CROP,
    pixels: int | None = None,
    processes: int = 1,
    beam_options: str = "",
    vocabulary: Mapping[str, Any] = types.MappingProxyType({}),
    keep_duplicates: bool = False,
    report_to: Path | None = None,
) -> Prepared:
    """Write the dataset `paintings`, and `skipped.csv` with what is not in it.

    Args:
        paintings: in the order of the records; consumed once.
        data_dir: receives the folder `paintings` and the file `skipped.csv`.
        size: side of the crops that every picture must have room for, in pixels.
        pixels: that every picture has at least once it is shrunk; `(2 * size) ** 2`, if
            not given, and otherwise stored in the dataset's metadata.
        processes: worker processes that decode pictures.
        beam_options: of Apache Beam, which is then used; see `beam.parse_options`.
        vocabulary: spellings of each label; stored in the dataset's metadata.
        keep_duplicates: keep pictures that look the same as an earlier one.
        report_to: file of the HTML report, if any.

    Raises:
        ValueError: no picture can be used, or `data_dir` holds a dataset, somebody
            else's `skipped.csv` or an interrupted run with other `pixels` already, or
            as `beam.parse_options`; nothing is changed then.
        ChildProcessError: a worker process was killed; the next run resumes.
    """
    skipped_csv = Path(data_dir, "skipped.csv")
    _check_replaceable(skipped_csv)
    if report_to:
        atomic.check_replaceable(report_to, report.is_ours)
    metadata = {"keep_duplicates": keep_duplicates, "vocabulary": dict(vocabulary)}
    if pixels == (2 * size) ** 2:
        pixels = None
    if pixels is not None:
        metadata["pixels"] = pixels
    builder = dataset.Paintings(size=size, metadata=metadata, data_dir=data_dir)
    folder = Path(builder.data_dir)
    unfinished = folder.parent / "unfinished"
    imap: Map = partial(workers.imap_unordered, processes=processes)
    if beam_options:
        imap = partial(beam.run, options=beam.parse_options(beam_options))
    with atomic.naming_full_disk(data_dir), dataset.locked(folder.parent):
        if folder.exists():
            shutil.rmtree(unfinished, ignore_errors=True)
            raise ValueError(f"{folder} exists: remove it or choose another data_dir")
        _check_same_pixels(unfinished, pixels)
        resuming = unfinished.exists()
        try:
            plan = _plan(paintings, unfinished, size, metadata)
        except BaseException:
            if not resuming:
                shutil.rmtree(unfinished)
            raise
        with _naming_interrupted(unfinished / "shards"):
            decode = partial(shards.decode, folder=unfinished / "shards")
            _show_progress(imap(decode, range(plan.shards)), "decoding", plan.pictures)
            duplicates = {}
            if not keep_duplicates:
                duplicates = shards.find_duplicates(unfinished / "shards", plan.shards)
            if not (unfinished / "complete").exists():
                _write_dataset(plan, duplicates, builder, unfinished, imap)
        if report_to:
            report.write(report_to, _outcomes(unfinished / "shards", plan, duplicates))
        _publish(unfinished, skipped_csv, folder)
    splits = dataset.open_builder(data_dir, builder.name).info.splits
    counts = [splits[split].num_examples for split in (dataset.TRAIN, dataset.HELD_OUT)]
    size_on_disk = sum(path.stat().st_size for path in folder.iterdir())
    skipped = _count_reasons(skipped_csv)
    return Prepared(folder, sum(counts), counts[1], size_on_disk, skipped, skipped_csv)


def _check_same_pixels(unfinished: Path, pixels: int | None) -> None:
    """Refuse other pixels than those of an interrupted run, whose work would be lost.

    Raises:
        ValueError: it had others.
    """
    try:
        _, metadata = json.loads((unfinished / MANIFEST).read_text("utf-8"))
    # There is none, or its run was killed while writing it.
    except (FileNotFoundError, ValueError):
        return
    before = metadata.get("pixels")
    if pixels != before:
        raise ValueError(
            f"pixels must be as in the run that was interrupted, "
            f"{before or 'not given'}; got {pixels or 'none'}: or remove {unfinished}"
        )


def _plan(
    paintings: Iterable[SourcePicture],
    unfinished: Path,
    size: int,
    metadata: Mapping[str, Any],
) -> shards.Plan:
    """Divide the collection, and remove files that were made from another one."""
    folder = unfinished / "shards"
    folder.mkdir(parents=True, exist_ok=True)
    plan = shards.plan(paintings, folder, size=size, pixels=metadata.get("pixels"))
    if plan.changed:
        logging.warning(
            "the pictures or the settings have changed since the run that was "
            "interrupted: %d of its shards are made anew",
            plan.changed,
        )
    # Not by `changed`: a run may have been killed between the plan and this.
    path, manifest = unfinished / MANIFEST, json.dumps([plan.digest, metadata])
    if not path.exists() or path.read_text("utf-8") != manifest:
        for stale in ("files", "complete"):
            shutil.rmtree(unfinished / stale, ignore_errors=True)
        path.write_text(manifest, "utf-8")
    return plan


def _write_dataset(
    plan: shards.Plan,
    duplicates: shards.Duplicates,
    builder: dataset.Paintings,
    unfinished: Path,
    imap: Map,
) -> None:
    """Write the folder `complete` and `skipped.csv` in the folder `unfinished`."""
    folder, out = unfinished / "shards", unfinished / "files"
    files = shards.files(folder, plan.shards, FILE_SIZE, duplicates)
    _write_skipped(unfinished / "skipped.csv", _outcomes(folder, plan, duplicates))
    if not any(map(len, files[dataset.TRAIN] + files[dataset.HELD_OUT])):
        reasons = summarize(_count_reasons(unfinished / "skipped.csv"))
        shutil.rmtree(unfinished)
        raise ValueError(f"no picture can be used: {reasons or 'there is none'}")
    out.mkdir(exist_ok=True)
    for leftover in out.glob(".*"):
        leftover.unlink()  # of a worker that was killed
    counts = {split: len(selections) for split, selections in files.items()}
    write = partial(shards.write, folder=folder, out=out, counts=counts)
    all_files = [file for split in files.values() for file in split]
    _show_progress(imap(write, all_files), "writing", sum(map(len, all_files)))
    lengths = {split: [*map(len, selections)] for split, selections in files.items()}
    dataset.describe(builder, out, lengths)
    out.rename(unfinished / "complete")


@contextlib.contextmanager
def _naming_interrupted(folder: Path) -> Iterator[None]:
    """Name the pictures that a killed worker process may have been reading."""
    try:
        yield
    except BrokenProcessPool:
        names = ", ".join(shards.interrupted(folder))
        doing = f"reading one of {names}" if names else "writing"
        raise ChildProcessError(
            f"a worker process was killed while {doing}: is there memory for so many "
            "processes? The same command goes on where it stopped"
        ) from None


def _show_progress(counts: Generator[int], what: str, total: int) -> None:
    """Show a progress bar."""
    bar = tqdm.tqdm(total=total, desc=what, unit="painting")
    with bar, contextlib.closing(counts):
        for count in counts:
            bar.update(count)
        bar.update(total - bar.n)  # a cluster reports only the end


def _publish(unfinished: Path, skipped_csv: Path, folder: Path) -> None:
    """Rename the dataset into place; if killed here, the next run completes it."""
    # First, so that there is no dataset without its `skipped.csv`.
    if (unfinished / "skipped.csv").exists():
        (unfinished / "skipped.csv").replace(skipped_csv)
    (unfinished / "complete").rename(folder)
    shutil.rmtree(unfinished)


def _outcomes(
    folder: Path, plan: shards.Plan, duplicates: shards.Duplicates
) -> Iterator[report.Outcome]:
    """Yield the outcome of each picture, in order."""
    for shard in range(plan.shards):
        record_index = 0
        pairs = zip(
            shards.paintings(folder, shard),
            shards.manifest_rows(folder, shard),
            strict=True,
        )
        for painting, row in pairs:
            if "reason" in row:
                yield report.Outcome(painting, row["reason"])
                continue
            original = duplicates.get((shard, record_index))
            reason = f"duplicate: of {original}" if original is not None else ""
            yield report.Outcome(painting, reason, row["width"], row["height"])
            record_index += 1


def _write_skipped(path: Path, outcomes: Iterable[report.Outcome]) -> None:
    with path.open("w", encoding="utf-8", newline="") as lines:
        table = csv.writer(lines)
        table.writerow(SKIPPED_HEADER)
        for outcome in outcomes:
            if outcome.reason:
                table.writerow((outcome.painting.filename, outcome.reason))


def summarize(skipped: dict[str, int]) -> str:
    """Return counts by reason in one line.

    >>> summarize({"too small": 2, "missing": 1})
    '2 too small, 1 missing'
    """
    return ", ".join(f"{count} {reason}" for reason, count in skipped.items())


def _count_reasons(skipped_csv: Path) -> dict[str, int]:
    """Count reasons by what stands before their colon, the most frequent first."""
    with skipped_csv.open(encoding="utf-8", newline="") as lines:
        reasons = (row["reason"].split(":")[0] for row in csv.DictReader(lines))
        return dict(collections.Counter(reasons).most_common())


def _check_replaceable(skipped_csv: Path) -> None:
    if skipped_csv.exists():
        with skipped_csv.open(encoding="utf-8", errors="replace") as lines:
            if lines.readline().strip() != ",".join(SKIPPED_HEADER):
                raise ValueError(f"{skipped_csv} was not written by jaxart: move it")
