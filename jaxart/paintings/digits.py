"""MNIST: the TFDS dataset `mnist` from its four idx files, and digits as RGB pictures.

The files come from a folder, gzipped or not, or from a public mirror. Either way their
content must have the MD5 that all copies of MNIST have. The dataset stores the digits
unchanged; `Digits` scales them to square RGB pictures when they are read, so that one
dataset serves networks of every size.

Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits".
Deviation: the paper does not say how digits of 28 x 28 become pictures of 64 x 64. Here
a border of 2 black pixels makes them 32 x 32, which divides all sizes of the networks,
and then they are scaled bilinearly. The edges of strokes stay soft greys; a bicubic or
Lanczos filter would draw rings around them, for the network to learn.
"""

import gzip
import hashlib
import math
import os
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8
from PIL import Image

from jaxart.paintings import dataset


NAME = "mnist"
BORDER = 2  # black pixels around a digit, which make its side a power of two

MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
)
TIMEOUT = 5  # seconds that a mirror has to answer

# A file is not read further than this: 60,000 digits of 28 x 28, and their header.
MAX_BYTES = 16 + 60_000 * 28 * 28

# Records of one file, which TFDS keeps in memory until it is written.
RECORDS_PER_FILE = 10_000


class IdxFile(NamedTuple):
    """One of MNIST's files: its name without ".gz", and its unpacked content's MD5."""

    name: str
    md5: str


SPLITS = {
    "train": (
        IdxFile("train-images-idx3-ubyte", "6bbc9ace898e44ae57da46a324031adb"),
        IdxFile("train-labels-idx1-ubyte", "a25bea736e30d166cdddb491f175f624"),
    ),
    "test": (
        IdxFile("t10k-images-idx3-ubyte", "2646ac647ad5339dbf082846283269ea"),
        IdxFile("t10k-labels-idx1-ubyte", "27ae3e4e09519cfbb04c329615203637"),
    ),
}


# TFDS has a dataset of this name, which needs TensorFlow: two cannot be registered.
class Mnist(tfds.core.ShardBasedBuilder, skip_registration=True):
    """The dataset `mnist`: splits train and test; without a source it is downloaded."""

    name = NAME
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}  # noqa: RUF012

    def __init__(self, source: str | os.PathLike[str] | None = None, **kwargs: Any):
        self._source = source
        super().__init__(**{"file_format": "array_record", **kwargs})

    def _info(self) -> tfds.core.DatasetInfo:
        # As bytes: TFDS stores and parses any other tensor number by number.
        pixels = tfds.features.Tensor(
            shape=(28, 28, 1), dtype=np.uint8, encoding="bytes"
        )
        label = tfds.features.ClassLabel(num_classes=10)
        return tfds.core.DatasetInfo(
            builder=self,
            description="Handwritten digits, white on black.",
            features=tfds.features.FeaturesDict({"pixels": pixels, "label": label}),
            homepage="http://yann.lecun.com/exdb/mnist/",
            supervised_keys=("pixels", "label"),
        )

    def _shard_iterators_per_split(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, list[Callable[[], Iterator[tuple[int, dict[str, Any]]]]]]:
        paths = _find(Path(self._source)) if self._source else _download(dl_manager)
        shards = {}
        for split, files in SPLITS.items():
            pixels, labels = (_read(paths[file.name], file.md5) for file in files)
            shards[split] = [
                partial(_records, pixels, labels, start)
                for start in range(0, len(pixels), RECORDS_PER_FILE)
            ]
        return shards


class Digits(Sequence[dict[str, Any]]):
    """Digits as RGB pictures: `pixels` of `size` x `size` x 3, and `label`."""

    def __init__(self, source: Sequence[dict[str, Any]], size: int):
        self._source = source
        self._size = size

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        record = self._source[range(len(self))[index]]
        return {
            "pixels": to_rgb(record["pixels"], self._size),
            "label": record["label"],
        }


def to_rgb(
    digit: UInt8[np.ndarray, "28 28 1"], size: int
) -> UInt8[np.ndarray, "{size} {size} 3"]:
    """Return a digit with a black border, scaled to a side of `size` pixels, as RGB."""
    framed = Image.fromarray(np.pad(digit[..., 0], BORDER))
    scaled = framed.resize((size, size), Image.Resampling.BILINEAR)
    return np.repeat(np.asarray(scaled)[..., None], 3, axis=-1)


def open_digits(
    data_dir: str | os.PathLike[str],
    source: str | os.PathLike[str] | None = None,
    *,
    size: int,
    split: str = "train",
) -> Digits:
    """Open MNIST's digits as pictures, and make the dataset first if it is not there.

    The split is "train", "test", or a slice of them such as "train[:10]".

    Raises:
        ValueError: as in `prepare`, or there is no such split, or the dataset that is
            there is damaged.
    """
    prepare(data_dir, source)
    return Digits(dataset.open_source(data_dir, NAME, split), size)


def prepare(
    data_dir: str | os.PathLike[str], source: str | os.PathLike[str] | None = None
) -> None:
    """Write the dataset `mnist`, unless it is there already.

    Args:
        data_dir: receives the folder `mnist`.
        source: a folder with the four idx files, gzipped or not; else they are
            downloaded.

    Raises:
        ValueError: a file is missing or is not MNIST's, or no mirror can be reached.
    """
    dataset.write(Mnist(source, data_dir=data_dir))


def _records(
    pixels: UInt8[np.ndarray, "n 28 28"], labels: UInt8[np.ndarray, " n"], start: int
) -> Iterator[tuple[int, dict[str, Any]]]:
    for index in range(start, min(start + RECORDS_PER_FILE, len(pixels))):
        yield index, {"pixels": pixels[index, ..., None], "label": int(labels[index])}


def _find(source: Path) -> dict[str, Path]:
    """Return the paths of the four files in a folder, by their names."""
    if not source.is_dir():
        raise ValueError(f"data.source must be a folder; got {source}")
    paths = {}
    for file in _files():
        dotted = file.name.replace("-idx", ".idx")
        spellings = [
            source / f"{name}{end}"
            for name in (file.name, dotted)
            for end in ("", ".gz")
        ]
        path = next((path for path in spellings if path.is_file()), None)
        if path is None:
            raise ValueError(
                f"data.source must hold {file.name}[.gz]; {source} does not"
            )
        paths[file.name] = path
    return paths


def _download(dl_manager: tfds.download.DownloadManager) -> dict[str, Path]:
    """Fetch the four files from the first mirror that has them."""
    mirror = next(filter(_is_reachable, MIRRORS), None)
    try:
        if mirror is None:
            raise ConnectionError("no mirror of it can be reached")
        return {
            file.name: Path(dl_manager.download(f"{mirror}{file.name}.gz"))
            for file in _files()
        }
    # TFDS passes on what its thread and its web client raise, in its own wrapping.
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"MNIST cannot be downloaded ({reason}): connect to the network, or give "
            "--config.data.source=DIR with its four files"
        ) from None


def _is_reachable(mirror: str) -> bool:
    """Return whether a mirror has the first file; TFDS itself would try for minutes."""
    first = next(_files())
    request = urllib.request.Request(f"{mirror}{first.name}.gz", method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT):
            return True
    except (OSError, ValueError):
        return False


def _files() -> Iterator[IdxFile]:
    return (file for files in SPLITS.values() for file in files)


def _read(path: Path, md5: str) -> UInt8[np.ndarray, "..."]:
    """Read an idx file, gzipped or not, whose unpacked content must have this MD5."""
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if zipped else path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} cannot be unpacked: {error}") from None
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if digest != md5:
        raise ValueError(f"{path} must be MNIST's own, with MD5 {md5}; got {digest}")
    return parse(content)


def parse(content: bytes) -> UInt8[np.ndarray, "..."]:
    """Return the array of bytes that an idx file holds.

    >>> parse(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9]))
    array([7, 9], dtype=uint8)

    Args:
        content: two zeros, the type (8: bytes), the number of axes, their lengths in
            four bytes each, most significant first, and the elements.

    Raises:
        ValueError: it is no such file, or its length is not what its header says.
    """
    axes = content[3] if content[:3] == b"\0\0\x08" and len(content) > 3 else 0
    start = 4 + 4 * axes
    if not axes or len(content) < start:
        raise ValueError("an idx file must begin with its type and its lengths")
    shape = [int.from_bytes(content[at : at + 4]) for at in range(4, start, 4)]
    if math.prod(shape) != len(content) - start:
        raise ValueError(
            f"an idx file of shape {shape} must hold {math.prod(shape)} bytes after "
            f"its header; got {len(content) - start}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
