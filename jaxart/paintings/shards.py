"""Shards of a collection: a fixed number of pictures each, decoded in one call.

A shard is the unit of work, of resuming, and of what is sent to another machine. It is
three files in one folder:

* `00007.inputs`: the settings, then a line of JSON for each picture: its file, its
  labels, its size and time of change;
* `00007.records`: an ArrayRecord of the pictures that can be used;
* `00007.json`: the manifest: hashes of the other two, and a row for each picture: its
  SHA-256 and sides, or the reason why it was skipped.

The first is written by `plan`, the others by `decode`, which does nothing where they
are complete and match the inputs. Which picture is in which shard depends on the
collection's order alone. So the files are the same whatever number of processes or
machines decodes them, however often they were killed; changed pictures show as changed
inputs.

Only `decode` opens a picture. The later steps, finding duplicates and writing the
dataset's files, read rows and copy records.
"""

import hashlib
import itertools
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL
from array_record.python.array_record_module import (
    ArrayRecordReader,
    ArrayRecordWriter,
)

from jaxart import atomic, images
from jaxart.paintings import dataset, duplicates
from jaxart.paintings.sources import inputs
from jaxart.paintings.sources.picture import SourcePicture


# Pictures of a shard: some seconds of decoding, so that little is lost with a worker,
# and all workers finish at about the same time.
SHARD_SIZE = 128

# One record a chunk, for random access. Compression, which TFDS leaves on, would save
# 7 % of a record of raw pixels, and take three times as long to read as a copy.
WRITER_OPTIONS = "group_size:1,uncompressed"

READ_BATCH = 16  # records in memory while they are copied; one may have megabytes

Row = dict[str, Any]

# By shard and index of a record in it, the filename of the picture it duplicates.
Duplicates = dict[tuple[int, int], str]


class Plan(NamedTuple):
    """The shards of a collection."""

    pictures: int  # how many may become records
    shards: int  # how many shards they make
    changed: int  # shards of an earlier run whose pictures or settings have changed
    digest: str  # of all inputs


class FilePlan(NamedTuple):
    """The records of shards that a file of the dataset holds, in order."""

    split: str  # that the file belongs to
    number: int  # of the file in its split
    # Pairs of a shard and the indices of its records.
    parts: list[tuple[int, list[int]]]

    def __len__(self) -> int:
        return sum(len(record_indices) for _, record_indices in self.parts)


def plan(
    paintings: Iterable[SourcePicture],
    folder: Path,
    *,
    size: int,
    pixels: int | None = None,
) -> Plan:
    """Write the inputs of all shards, and compare them with an earlier run's.

    Args:
        paintings: what may become a record, in the order of the records; consumed once,
            not kept in memory.
        folder: receives the shards; those of an earlier run are reused.
        size: side of the crops that every picture must have room for, in pixels.
        pixels: that a record has at least; see `images.smallest_sides`.
    """
    settings = {"size": size, "pillow": PIL.__version__, "numpy": np.__version__}
    if pixels is not None:
        settings["pixels"] = pixels
    header = json.dumps(settings | {"fingerprint": duplicates.FINGERPRINT_BYTES})
    earlier = {path.stem for path in folder.glob("*.inputs")}
    for leftover in [*folder.glob(".*"), *folder.glob("*.reading")]:
        leftover.unlink()  # of a worker that was killed
    rest = iter(paintings)
    shard = pictures = changed = 0
    digest = hashlib.sha256()
    while lines := [
        _to_json(painting) for painting in itertools.islice(rest, SHARD_SIZE)
    ]:
        content = "\n".join([header, *lines]).encode()
        path = _path(folder, shard, "inputs")
        if path.stem not in earlier:
            _write(path, content)
        elif path.read_bytes() != content:
            _write(path, content)
            changed += 1
        earlier.discard(path.stem)
        digest.update(content)
        pictures += len(lines)
        shard += 1
    for stem in earlier:  # of a collection that was larger
        for path in folder.glob(f"{stem}.*"):
            path.unlink()
    return Plan(pictures, shard, changed + len(earlier), digest.hexdigest())


def decode(shard: int, *, folder: Path) -> int:
    """Decode the pictures of a shard, unless it is complete; return their number."""
    content = _path(folder, shard, "inputs").read_bytes()
    if (done := _decoded_count(folder, shard, content)) is not None:
        return done
    header, *lines = content.decode().split("\n")
    settings = json.loads(header)
    rows = []
    reading = _path(folder, shard, "reading")
    with (
        atomic.replacing(_path(folder, shard, "records"), _always) as temporary,
        reading.open("w", encoding="utf-8") as names,
    ):
        writer = ArrayRecordWriter(os.fspath(temporary), WRITER_OPTIONS)
        for line in lines:
            painting = _from_json(line)
            print(painting.filename, end="\0", file=names, flush=True)
            row, record = _decode_picture(painting, settings)
            rows.append(row)
            if record is not None:
                writer.write(record)
        writer.close()
    manifest = {
        "inputs": _digest(content),
        "records": _file_digest(_path(folder, shard, "records")),
        "rows": rows,
    }
    _write(_path(folder, shard, "json"), json.dumps(manifest).encode())
    reading.unlink(missing_ok=True)
    return len(rows)


def manifest_rows(folder: Path, shard: int) -> list[Row]:
    """Return the row of each picture of a shard that is decoded.

    Every row has the texts of `picture.TEXTS`. One with a `reason` has no record; the
    records are those of the other rows, in their order, which have `sha256` (of the
    file), `width` and `height` (of the picture in it, upright, in pixels), and
    `fingerprint` (of the pixels).
    """
    return json.loads(_path(folder, shard, "json").read_bytes())["rows"]


def paintings(folder: Path, shard: int) -> list[SourcePicture]:
    """Return the pictures of a shard as they were passed to `plan`."""
    _, *lines = _path(folder, shard, "inputs").read_text("utf-8").split("\n")
    return [_from_json(line) for line in lines]


def find_duplicates(folder: Path, count: int) -> Duplicates:
    """Return which records look like an earlier one that is itself no duplicate."""
    index, names, copies = duplicates.HashIndex(), list[str](), Duplicates()
    for shard in range(count):
        records = (row for row in manifest_rows(folder, shard) if "reason" not in row)
        for record_index, row in enumerate(records):
            original, is_copy = index.find_or_add(bytes.fromhex(row["fingerprint"]))
            if is_copy:
                copies[shard, record_index] = names[original]
            else:
                names.append(row["filename"])
    return copies


def interrupted(folder: Path) -> list[str]:
    """Return the filenames of the pictures that killed workers were decoding."""
    logs = [path for path in sorted(folder.glob("*.reading")) if path.stat().st_size]
    return [path.read_text(encoding="utf-8").split("\0")[-2] for path in logs]


def files(
    folder: Path, count: int, max_records: int, excluded: Duplicates
) -> dict[str, list[FilePlan]]:
    """Return the dataset's files, without duplicates: one or more for each split."""
    plans = {
        split: [FilePlan(split, 0, [])] for split in (dataset.TRAIN, dataset.HELD_OUT)
    }
    for shard in range(count):
        records = (row for row in manifest_rows(folder, shard) if "reason" not in row)
        for record_index, row in enumerate(records):
            if (shard, record_index) in excluded:
                continue
            held_out = dataset.is_held_out(bytes.fromhex(row["sha256"]))
            split = plans[dataset.HELD_OUT if held_out else dataset.TRAIN]
            if len(split[-1]) == max_records:
                split.append(FilePlan(split[-1].split, len(split), []))
            parts = split[-1].parts
            if not parts or parts[-1][0] != shard:
                parts.append((shard, []))
            parts[-1][1].append(record_index)
    return plans


def write(file: FilePlan, *, folder: Path, out: Path, counts: dict[str, int]) -> int:
    """Write a file of the dataset, unless it exists; return its number of records."""
    name = dataset.filename("paintings", file.split, file.number, counts[file.split])
    if (out / name).exists():
        return len(file)
    with atomic.replacing(out / name, _always) as temporary:
        writer = ArrayRecordWriter(os.fspath(temporary), WRITER_OPTIONS)
        for shard, record_indices in file.parts:
            reader = ArrayRecordReader(os.fspath(_path(folder, shard, "records")))
            for first in range(0, len(record_indices), READ_BATCH):
                for record in reader.read(record_indices[first : first + READ_BATCH]):
                    writer.write(record)
            reader.close()
        writer.close()
    return len(file)


def _decode_picture(
    painting: SourcePicture, settings: dict[str, Any]
) -> tuple[Row, bytes | None]:
    """Return the row of a picture, and its record if it can be used."""
    row: Row = painting.texts()
    try:
        with painting.file.open() as file:
            pixels, width, height = images.read_resized(
                file, settings["size"], settings.get("pixels")
            )
            # Of the file, not of the pixels: these depend on who decodes them.
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except images.PictureError as error:
        return {**row, "reason": str(error)}, None
    record = dataset.serialize({"pixels": pixels, **painting.texts()})
    row |= {"sha256": digest, "width": width, "height": height}
    row["fingerprint"] = duplicates.fingerprint(pixels).hex()
    return row, record


def _decoded_count(folder: Path, shard: int, content: bytes) -> int | None:
    """Return how many pictures a shard has, if it is complete for these inputs."""
    try:
        manifest = json.loads(_path(folder, shard, "json").read_bytes())
        records = _file_digest(_path(folder, shard, "records"))
    except (OSError, ValueError):
        return None
    if [manifest["inputs"], manifest["records"]] != [_digest(content), records]:
        return None
    return len(manifest["rows"])


def _to_json(painting: SourcePicture) -> str:
    """Return a painting as JSON, with the size and time of change of its file."""
    return json.dumps([painting.file.stamp(), inputs.to_json(painting)])


def _from_json(line: str) -> SourcePicture:
    _, described = json.loads(line)
    return inputs.from_json(described)


def _path(folder: Path, shard: int, kind: str) -> Path:
    return folder / f"{shard:05d}.{kind}"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, content: bytes) -> None:
    with atomic.replacing(path, _always) as temporary:
        temporary.write_bytes(content)


def _always(_: Path) -> bool:
    """Return that any file of our own folder may be replaced."""
    return True
