"""How records should hold pictures: plain uint8, or JPEG.

The same pictures are written twice through TFDS, and read back as training reads them:
in random order, one random crop from each.

    python benchmarks/record_formats.py --data_dir=DIR

The last line is one JSON object. `median_seconds` is that of a thousand crops.
"""

import importlib.metadata
import io
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from absl import app, flags, logging
from PIL import Image

from jaxart import images
from jaxart.paintings import dataset
from jaxart.paintings.sources.picture import TEXTS


DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "folder with a dataset `paintings`; None for made-up pictures"
)
PICTURES = flags.DEFINE_integer("pictures", 400, "pictures to use", lower_bound=1)
ROUNDS = flags.DEFINE_integer("rounds", 7, "timings of each format", lower_bound=3)
QUALITY = flags.DEFINE_integer("quality", 95, "of the JPEGs", 1, 100)

CROPS = 1000
PACKAGES = ("tensorflow-datasets", "array-record", "pillow", "numpy")


class JpegPaintings(dataset.Paintings, skip_registration=True):  # pyright: ignore[reportCallIssue]
    """The dataset of paintings, with JPEGs where it has pixels."""

    name = "jpeg_paintings"
    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        texts = {name: tfds.features.Text() for name in ("pixels", *TEXTS)}
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(texts)
        )


def main(_: list[str]) -> None:
    """Write both, time both, print a table and a line of JSON."""
    logging.set_verbosity(logging.WARNING)  # TFDS tells all it does
    records = pictures()
    with tempfile.TemporaryDirectory() as folder:
        raw = dataset.Paintings(split_records(records), len(records), data_dir=folder)
        small = [{**one, "pixels": compressed(one["pixels"])} for one in records]
        jpeg = JpegPaintings(split_records(small), len(records), data_dir=folder)
        results, sources = {}, {}
        for name, builder in (("raw uint8", raw), ("JPEG", jpeg)):
            dataset.write(builder)
            size = sum(f.stat().st_size for f in Path(builder.data_dir).iterdir())
            results[name] = {"kilobytes_per_picture": size / 1000 / len(records)}
            sources[name] = builder.as_data_source("train")  # pyright: ignore[reportCallIssue]
        seconds = {name: [] for name in results}
        # Alternately, so that other load disturbs both.
        for round_number in range(ROUNDS.value + 1):
            for name, source in sources.items():
                seconds[name].append(timed(source, round_number))
    report(results, {name: times[1:] for name, times in seconds.items()})


def split_records(records: list[dataset.Record]) -> list[dataset.SplitRecord]:
    """Return records of the training split."""
    return [dataset.SplitRecord(record, held_out=False) for record in records]


def pictures() -> list[dict[str, Any]]:
    """Return records of a prepared dataset, or of generated pictures."""
    if DATA_DIR.value:
        source = dataset.open_source(DATA_DIR.value, "paintings")
        return [
            {name: text(value) for name, value in source[index].items()}
            for index in range(min(PICTURES.value, len(source)))
        ]
    rng = np.random.default_rng(0)
    return [
        {**dict.fromkeys(TEXTS, ""), "pixels": generated(rng), "filename": f"{n}"}
        for n in range(PICTURES.value)
    ]


def text(value: Any) -> Any:
    """Return what a record holds in the form that it is written from."""
    return value.decode() if isinstance(value, bytes) else value


def generated(rng: np.random.Generator) -> np.ndarray:
    """Return soft forms with grain over them, about as compressible as a painting."""
    height, width = images.smallest_sides(
        int(rng.integers(300, 900)), int(rng.integers(300, 900))
    )
    coarse = Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8))
    soft = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
    grain = rng.normal(0, 8, soft.shape)
    return np.clip(soft + grain, 0, 255).astype(np.uint8)


def compressed(pixels: np.ndarray) -> bytes:
    """Return a picture as JPEG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=QUALITY.value)
    return file.getvalue()


def timed(source: Sequence[dict[str, Any]], seed: int) -> float:
    """Return the seconds that `CROPS` random crops of random records take."""
    rng = np.random.default_rng(seed)
    start = time.perf_counter()
    for index in rng.integers(len(source), size=CROPS):
        pixels = source[int(index)]["pixels"]
        if isinstance(pixels, bytes):
            pixels = np.asarray(Image.open(io.BytesIO(pixels)))
        top = rng.integers(pixels.shape[0] - images.CROP + 1)
        left = rng.integers(pixels.shape[1] - images.CROP + 1)
        crop = pixels[top : top + images.CROP, left : left + images.CROP]
        np.ascontiguousarray(crop)
    return time.perf_counter() - start


def report(
    results: dict[str, dict[str, float]], seconds: dict[str, list[float]]
) -> None:
    """Print the table and the line of JSON."""
    print(f"{'format':<12}{'crops/s':>10}{'spread':>10}{'kB/picture':>12}")
    for name, times in seconds.items():
        median = statistics.median(times)
        results[name] |= {
            "median_seconds": median,
            "spread": max(times) - min(times),
            "crops_per_second": CROPS / median,
        }
        row = results[name]
        print(
            f"{name:<12}{row['crops_per_second']:>10.0f}{row['spread'] / median:>10.0%}"
            f"{row['kilobytes_per_picture']:>12.1f}"
        )
    raw, jpeg = results["raw uint8"], results["JPEG"]
    line = {
        "name": "record_formats",
        "median_seconds": raw["median_seconds"],
        "spread": raw["spread"],
        "compile_seconds": 0.0,
        "device": f"cpu: {platform.machine()}, one thread",
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "formats": results,
        "speed_ratio": jpeg["median_seconds"] / raw["median_seconds"],
        "size_ratio": raw["kilobytes_per_picture"] / jpeg["kilobytes_per_picture"],
    }
    print(json.dumps(line))


if __name__ == "__main__":
    app.run(main)
