"""How fast a collection becomes a dataset, and how much memory that takes.

    python benchmarks/prepare.py --what=speed --input=PICTURES
    python benchmarks/prepare.py --what=memory --count=20000

Speed: one process makes records of full-size JPEGs, from the bytes on disk to the
finished files, alternating with a plain Pillow loop that decodes, shrinks and writes
the same pictures: no checks, hashes, labels, or second writing. The hours are
an extrapolation: the paper's number of pictures, divided by the rate and the cores.

Memory: `prepare` runs on a generated collection of small pictures, all different; the
peaks are of its processes' resident sets.

The last line is one JSON object. `median_seconds` is that of a hundred pictures (speed)
or of the whole collection (memory).
"""

import contextlib
import importlib.metadata
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tqdm
from absl import app, flags
from array_record.python.array_record_module import ArrayRecordWriter
from PIL import Image

from jaxart import images
from jaxart.paintings import preparation, shards
from jaxart.paintings.sources import inputs
from jaxart.paintings.sources.files import OnDisk
from jaxart.paintings.sources.picture import SourcePicture


_WHAT = flags.DEFINE_enum("what", "speed", ["speed", "memory"], "what to measure")
_INPUT = flags.DEFINE_string(
    "input", "", "folder of pictures to time, besides generated ones"
)
_COUNT = flags.DEFINE_integer("count", 0, "pictures; 0: 100, or 1,000", 0)
_TURNS = flags.DEFINE_integer("turns", 3, "timings of each program", lower_bound=3)
_PROCESSES = flags.DEFINE_integer("processes", 2, "for memory", lower_bound=1)

PAPER = 203_274  # pictures
CORES = (2, 64)
GENERATED = ((1200, 1000), (3000, 2400))  # sides of full-size pictures, in pixels
PACKAGES = ("pillow", "numpy", "array-record", "tensorflow-datasets", "imagehash")


def main(_: list[str]) -> None:
    """Measure, print a table and a line of JSON."""
    line = speed() if _WHAT.value == "speed" else memory()
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    device = f"cpu: {platform.machine()}, {os.cpu_count()} cores"
    print(json.dumps({**line, "device": device, "versions": versions}))


def write_collection(folder: Path, count: int, sides: tuple[int, int]) -> None:
    """Write JPEGs of soft forms with grain over them, each of its own.

    Args:
        folder: receives them, a thousand to a folder.
        count: how many.
        sides: width and height, in pixels.
    """
    for number in tqdm.trange(count, desc="generating", unit="picture"):
        rng = np.random.default_rng(number)
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
        soft = np.asarray(coarse.resize(sides, Image.Resampling.BICUBIC), np.int16)
        pixels = soft + rng.integers(-16, 17, soft.shape, np.int16)
        below = folder / f"{number // 1000:03d}"
        below.mkdir(exist_ok=True)
        path = below / f"{number:06d}.jpg"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=90)


def speed() -> dict[str, Any]:
    """Time `prepare` and Pillow on each collection."""
    count = _COUNT.value or 100
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        collections = {}
        for width, height in GENERATED:
            generated = Path(folder, f"{width}")
            generated.mkdir()
            # One in four, for the large ones take as long to make as to time.
            write_collection(generated, max(1, count // 4), (width, height))
            collections[f"generated, {width} x {height}"] = generated
        if _INPUT.value:
            collections["pictures of --input"] = Path(_INPUT.value)
        for name, collection in collections.items():
            union = inputs.open_inputs([collection])
            paintings = list(itertools.islice(union, count))
            rows[name] = compare(paintings)
    print(
        f"{'JPEG to record, one core':<28}{'MB':>6}{'images/s':>10}{'Pillow':>8}",
        end="",
    )
    print(f"{'ratio':>7}" + "".join(f"{f'hours, {n} cores':>17}" for n in CORES))
    for name, row in rows.items():
        print(
            f"{name:<28}{row['megabytes']:>6.2f}{row['images_per_second']:>10.1f}"
            f"{row['peer_images_per_second']:>8.1f}{row['ratio']:>7.2f}"
            + "".join(f"{row['hours'][n]:>17.3f}" for n in CORES)
        )
    last = list(rows.values())[-1]
    return {
        "name": "prepare_speed",
        "median_seconds": 100 / last["images_per_second"],
        "spread": last["spread"] * 100 / last["pictures"],
        "compile_seconds": 0.0,
        "collections": rows,
    }


def compare(paintings: Sequence[SourcePicture]) -> dict[str, Any]:
    """Time both programs alternately, on the same files."""
    programs = {"ours": ours, "pillow": pillow}
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    rounds = itertools.product(range(_TURNS.value + 1), programs.items())
    for number, (name, program) in rounds:
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            program(paintings, Path(folder))
            if number:  # the first one reads the files into the system's cache
                seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    count = len(paintings)
    rate = count / medians["ours"]
    sizes = [painting.file.stamp()[0] for painting in paintings]
    return {
        "pictures": count,
        "megabytes": statistics.mean(sizes) / 1e6,
        "images_per_second": rate,
        "spread": max(seconds["ours"]) - min(seconds["ours"]),
        "peer_images_per_second": count / medians["pillow"],
        "ratio": medians["pillow"] / medians["ours"],
        "hours": {cores: PAPER / rate / cores / 3600 for cores in CORES},
    }


def ours(paintings: Sequence[SourcePicture], folder: Path) -> None:
    """Do all that `prepare` does, in this process."""
    plan = shards.plan(paintings, folder, size=images.CROP)
    for shard in range(plan.shards):
        shards.decode(shard, folder=folder)
    out = folder / "out"
    out.mkdir()
    duplicates = shards.find_duplicates(folder, plan.shards)
    files = shards.files(folder, plan.shards, preparation.FILE_SIZE, duplicates)
    counts = {split: len(selections) for split, selections in files.items()}
    for selection in itertools.chain(*files.values()):
        shards.write(selection, folder=folder, out=out, counts=counts)


def pillow(paintings: Sequence[SourcePicture], folder: Path) -> None:
    """Decode, shrink and write as a script would."""
    writer = ArrayRecordWriter(os.fspath(folder / "records"), shards.WRITER_OPTIONS)
    for painting in paintings:
        assert isinstance(painting.file, OnDisk)
        with (
            Image.open(painting.file.path) as image,
            contextlib.suppress(images.PictureError),
        ):
            sides = images.smallest_sides(image.width, image.height)
            small = image.convert("RGB").resize(sides, Image.Resampling.LANCZOS)
            writer.write(small.tobytes())
    writer.close()


MEASURED = """
import resource, sys, time
from jaxart import prepare
if __name__ == "__main__":
    start = time.perf_counter()
    prepare.main(
        input=[sys.argv[1]], data_dir=sys.argv[2], processes=int(sys.argv[3])
    )
    peaks = [
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    ]
    print(time.perf_counter() - start, *peaks)
"""


def memory() -> dict[str, Any]:
    """Run the command on a generated collection, and ask for its peaks."""
    count = _COUNT.value or 1000
    with tempfile.TemporaryDirectory() as folder:
        collection = Path(folder, "pictures")
        collection.mkdir()
        write_collection(collection, count, (160, 128))
        script = Path(folder, "measured.py")
        script.write_text(MEASURED)
        arguments = [str(collection), f"{folder}/data", str(_PROCESSES.value)]
        done = subprocess.run(
            [sys.executable, str(script), *arguments],
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
    print(done.stdout, end="")
    seconds, parent, worker = map(float, done.stdout.split("\n")[-2].split())
    print(f"{'pictures':>10}{'parent, MB':>12}{'a worker, MB':>14}{'seconds':>9}")
    print(f"{count:>10,}{parent / 1e3:>12.0f}{worker / 1e3:>14.0f}{seconds:>9.0f}")
    return {
        "name": "prepare_memory",
        "median_seconds": seconds,
        "spread": 0.0,
        "compile_seconds": 0.0,
        "pictures": count,
        "parent_megabytes": parent / 1e3,
        "worker_megabytes": worker / 1e3,
    }


if __name__ == "__main__":
    app.run(main)
