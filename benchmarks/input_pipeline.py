"""Time how fast random crops can be fed, on one core: ours, PyTorch's, memory's.

    python benchmarks/input_pipeline.py [--input=FOLDER]

Pictures (those of a folder, or made-up ones) go through `prepare`. Its records feed our
pipeline. The same prepared pictures, as JPEG and as PNG files, feed PyTorch's
`DataLoader`; a line by itself has the files as they were. The collection is repeated
until an epoch is as long as the paper's. All files and records lie in the machine's
file cache after the first turn.

The whole process is held on one core, where the system can do that: threads that read
ahead count, and images a second are images a second and core. The contenders take turns
(A B C A B C ...), because machines drift; a ratio is the median over the rounds of the
ratio within a round.

Prints a table and, last, one JSON object on a line. `median_seconds` is that of a
thousand crops from records, `ratio` our seconds from records divided by PyTorch's from
JPEG files.
"""

import contextlib
import csv
import importlib.util
import io
import json
import os
import platform
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import app, flags, logging
from PIL import Image
from timing import median_and_spread, ratio, time_call

from jaxart import images
from jaxart.paintings import atlas, dataset, pipeline, preparation
from jaxart.paintings.pixel_records import pixel_records
from jaxart.paintings.sources import inputs
from jaxart.paintings.sources.files import OnDisk
from jaxart.paintings.sources.picture import SourcePicture
from jaxart.paintings.training_data import MAX_CACHED_PICTURES


_INPUT = flags.DEFINE_string("input", "", "folder of pictures; default: made-up ones")
_PICTURES = flags.DEFINE_integer("pictures", 400, "pictures to use", lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 128, "crops of a batch", lower_bound=1)
_SECONDS = flags.DEFINE_float("seconds", 0.5, "length of a turn", lower_bound=0.1)
_REPEATS = flags.DEFINE_integer("repeats", 5, "turns of each contender", lower_bound=1)
_PEER = flags.DEFINE_enum(
    "peer", "torch", ["torch", "none"], "whom to compare with, if it is installed"
)

SIZE = images.CROP
EPOCH = 203_274  # pictures of the paper
QUALITY = 95  # of the JPEGs
AHEAD = 6  # batches taken before the clock starts: more than are read ahead

LIMIT = "memory copies"
DEVICE = "jaxart, cut on the device"
DRAWS = "jaxart, draws alone"
MEMORY = f"jaxart, {MAX_CACHED_PICTURES:,} in memory"
RECORDS = "jaxart, records"
JPEG = "torch, JPEG"

Batches = Iterator[Any]
Source = Sequence[dict[str, Any]]


class Repeated(Sequence[Any]):
    """The members of a sequence, again and again.

    Args:
        once: the sequence.
        length: how many members it shall seem to have.
    """

    def __init__(self, once: Sequence[Any], length: int):
        self._once = once
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: Any) -> Any:
        return self._once[index % len(self._once)]


def write_pictures(folder: Path) -> list[Path]:
    """Write made-up pictures: soft forms with grain, about as detailed as paintings."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(_PICTURES.value):
        sides = rng.integers(300, 900, 2).tolist()
        coarse = Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8))
        soft = np.asarray(coarse.resize(sides, Image.Resampling.BICUBIC), np.int16)
        grain = rng.integers(-16, 17, soft.shape, np.int16)
        pixels = np.clip(soft + grain, 0, 255).astype(np.uint8)
        paths.append(folder / f"{number:05d}.jpg")
        Image.fromarray(pixels).save(paths[-1], quality=QUALITY)
    return paths


def prepare(
    paintings: Sequence[SourcePicture], folder: str
) -> tuple[Source, list[Path]]:
    """Return the records that `prepare` makes of some pictures, and their files."""
    with contextlib.redirect_stderr(io.StringIO()):
        done = preparation.prepare(paintings, folder, processes=os.cpu_count() or 1)
    with done.skipped_csv.open(newline="") as lines:
        skipped = {row["filename"] for row in csv.DictReader(lines)}
    used = [
        Path(painting.file.path)
        for painting in paintings
        if isinstance(painting.file, OnDisk) and painting.filename not in skipped
    ]
    return pixel_records(dataset.open_source(folder, "paintings")), used


def ours(records: Source) -> dict[str, Batches]:
    """Return our ways to feed, by name."""
    pictures = [record["pixels"] for record in records]
    in_memory = [{"pixels": pixels} for pixels in pictures]
    few = f"jaxart, {len(pictures):,} in memory"
    settings: Any = {"size": SIZE, "batch_size": _BATCH_SIZE.value, "seed": 0}
    return {
        LIMIT: copies(pictures),
        DRAWS: pipeline.batches(repeated_atlas(in_memory), **settings),
        DEVICE: on_device(in_memory),
        MEMORY: pipeline.batches(Repeated(in_memory, MAX_CACHED_PICTURES), **settings),
        few: pipeline.batches(in_memory, **settings),
        RECORDS: pipeline.batches(Repeated(records, EPOCH), **settings),
    }


def copies(pictures: list[np.ndarray]) -> Batches:
    """Yield batches of crops whose places are known beforehand."""
    rng = np.random.default_rng(0)
    crops = []
    for number in rng.integers(len(pictures), size=16 * _BATCH_SIZE.value):
        height, width, _ = pictures[number].shape
        top, left = rng.integers(height - SIZE + 1), rng.integers(width - SIZE + 1)
        crops.append(pictures[number][top : top + SIZE, left : left + SIZE])
    while True:
        for first in range(0, len(crops), _BATCH_SIZE.value):
            batch = np.empty((_BATCH_SIZE.value, SIZE, SIZE, 3), np.uint8)
            for place, crop in zip(batch, crops[first:], strict=False):
                place[:] = crop
            yield batch


def on_device(in_memory: Source) -> Batches:
    """Yield batches cut by the device."""
    packed = atlas.load(in_memory)
    pixels = jax.device_put(packed.pixels)
    crops = jax.jit(partial(atlas.crops, size=SIZE))
    for corners in pipeline.batches(
        packed, size=SIZE, batch_size=_BATCH_SIZE.value, seed=0
    ):
        yield crops(pixels, corners).block_until_ready()


def repeated_atlas(in_memory: Source) -> atlas.Atlas:
    """Return an atlas whose pictures are repeated to an epoch of the paper."""
    packed = atlas.load(in_memory)
    return atlas.Atlas(packed.pixels, np.resize(packed.rectangles, (EPOCH, 4)))


def theirs(records: Source, originals: list[Path], folder: Path) -> dict[str, Batches]:
    """Return PyTorch's way to feed, by the files that it reads."""
    import torch  # pyright: ignore[reportMissingImports]
    from peers import torch_pictures

    torch.set_num_threads(1)
    files: dict[str, list[Path]] = {"JPEG": [], "PNG": []}
    for number, record in enumerate(records):
        for kind, paths in files.items():
            paths.append(folder / f"{number:05d}.{kind.lower()}")
            Image.fromarray(record["pixels"]).save(paths[-1], quality=QUALITY)
    found = {
        f"torch, {kind}": torch_pictures.Crops(Repeated(paths, EPOCH), SIZE)
        for kind, paths in files.items()
    }
    found["torch, files as they were"] = torch_pictures.Crops(
        Repeated(originals, EPOCH), SIZE, enough=(2 * SIZE) ** 2
    )
    return {
        name: torch_pictures.batches(crops, _BATCH_SIZE.value)
        for name, crops in found.items()
    }


def hold_on_one_core() -> bool:
    """Let all threads of this process have one core; return whether that worked."""
    if not hasattr(os, "sched_setaffinity"):
        return False
    core = max(os.sched_getaffinity(0))
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})
    return True


def turn(batches: Batches, ahead: int) -> float:
    """Return the seconds that a thousand crops take."""
    for _ in range(ahead):
        next(batches)
    count, begin = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - begin) < _SECONDS.value or not count:
        count += len(next(batches))
    return 1000 * elapsed / count


def take_turns(contenders: dict[str, Batches]) -> dict[str, list[float]]:
    """Return the seconds for a thousand crops, turn by turn."""
    seconds = {name: [] for name in contenders}
    for _ in range(_REPEATS.value):
        for name, batches in contenders.items():
            ahead = AHEAD if name.startswith("jaxart") else 0
            seconds[name].append(turn(batches, ahead))
    return seconds


def summary(turns: list[float]) -> dict[str, float]:
    """Return the median, the distance between the quartiles, and the rate."""
    median, spread = median_and_spread(turns)
    return {
        "median_seconds": median,
        "spread": spread,
        "images_per_second": 1000 / median,
    }


def report(seconds: dict[str, list[float]], **facts: Any) -> None:
    """Print a line for each contender, and one for programs."""
    peer = JPEG if JPEG in seconds else LIMIT
    print(f"{'':28}{'s/1,000':>9}{'spread':>9}{'images/s':>10}  times {peer}")
    for name, turns in seconds.items():
        one = summary(turns)
        print(
            f"{name:28}{one['median_seconds']:>9.4f}{one['spread']:>9.4f}"
            f"{one['images_per_second']:>10,.0f}{ratio(seconds[peer], turns):>10.2f}"
        )
    packages = ["jax", "grain", "array-record", "pillow", "numpy"]
    if JPEG in seconds:
        packages.append("torch")
        facts["ratio"] = ratio(seconds[RECORDS], seconds[JPEG])
    versions = {package: version(package) for package in packages}
    line = {
        "name": "input_pipeline",
        **summary(seconds[RECORDS]),
        "batch_size": _BATCH_SIZE.value,
        "device": f"cpu: {platform.machine()}, of {os.cpu_count()} cores",
        "contenders": {name: summary(turns) for name, turns in seconds.items()},
        "limit_ratio": ratio(seconds[RECORDS], seconds[LIMIT]),
        **facts,
        "versions": {"python": platform.python_version(), **versions},
    }
    print(json.dumps(line))


def main(_: list[str]) -> None:
    """Time all contenders and print what was found out."""
    logging.set_verbosity(logging.WARNING)  # TFDS tells all it does
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(_INPUT.value or folder, "" if _INPUT.value else "pictures")
        if not _INPUT.value:
            pictures.mkdir()
            write_pictures(pictures)
        paintings = list(inputs.open_inputs([pictures]))[: _PICTURES.value]
        records, files = prepare(paintings, folder)
        contenders = ours(records)
        if _PEER.value == "torch" and importlib.util.find_spec("torch"):
            contenders |= theirs(records, files, Path(folder))
        elif _PEER.value == "torch":
            print("PyTorch is not installed (pip install -e .[peers]): no peer")
        held = hold_on_one_core()
        print(f"{len(records)} pictures, {'one core' if held else 'all cores'}")
        compile_seconds = time_call(lambda: next(contenders[DEVICE]))
        for batches in contenders.values():
            next(batches)
        seconds = take_turns(contenders)
        report(seconds, compile_seconds=compile_seconds, one_core=held)


if __name__ == "__main__":
    app.run(main)
