"""MNIST from its files or a mirror, and digits as pictures."""

import contextlib
import functools
import gzip
import hashlib
import http.server
import pickle
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from jaxart.paintings import dataset, digits


MNIST = Path(__file__).parents[3] / "shared" / "mnist"


def idx(array):
    lengths = b"".join(length.to_bytes(4, "big") for length in array.shape)
    return bytes([0, 0, 8, array.ndim]) + lengths + array.tobytes()


@pytest.fixture
def arrays(monkeypatch):
    """Small files of MNIST's form by name, which count as MNIST for this test."""
    rng = np.random.default_rng(0)
    arrays, splits = {}, {}
    for split, count in (("train", 30), ("test", 10)):
        old_images, old_labels = digits.SPLITS[split]
        arrays[old_images.name] = rng.integers(0, 256, (count, 28, 28), np.uint8)
        arrays[old_labels.name] = rng.integers(0, 10, count, np.uint8)
        splits[split] = tuple(
            digits.IdxFile(name, hashlib.md5(idx(arrays[name])).hexdigest())
            for name in (old_images.name, old_labels.name)
        )
    monkeypatch.setattr(digits, "SPLITS", splits)
    monkeypatch.setattr(digits, "RECORDS_PER_FILE", 8)
    return arrays


@pytest.fixture
def source(arrays, tmp_path):
    """A folder with the four files, spelled in four ways."""
    folder = tmp_path / "source"
    folder.mkdir()
    for number, (name, array) in enumerate(arrays.items()):
        spelling = name.replace("-idx", ".idx") if number % 2 else name
        if number < 2:
            (folder / f"{spelling}.gz").write_bytes(gzip.compress(idx(array)))
        else:
            (folder / spelling).write_bytes(idx(array))
    return folder


@contextlib.contextmanager
def served(folder):
    """Serve a folder on the loopback; yield its address and the requests so far."""
    requests = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_request(self, code="-", size="-"):
            requests.append(code)

        def log_message(self, format, *args):  # noqa: A002
            """Say nothing about what is not found."""

    handler = functools.partial(Handler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", requests
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def mirrored(arrays, tmp_path):
    folder = tmp_path / "mirror"
    folder.mkdir()
    for name, array in arrays.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
    return folder


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def check(data_dir, arrays):
    names = iter(arrays)
    for split in ("train", "test"):
        pixels, labels = arrays[next(names)], arrays[next(names)]
        read = list(dataset.open_source(data_dir, "mnist", split))
        np.testing.assert_array_equal([r["pixels"][..., 0] for r in read], pixels)
        np.testing.assert_array_equal([r["label"] for r in read], labels)


def test_both_splits_are_stored_in_order_from_files_of_all_spellings(
    source, arrays, tmp_path
):
    digits.prepare(tmp_path, source)
    check(tmp_path, arrays)


def test_a_dataset_that_is_there_needs_no_files(source, arrays, tmp_path):
    digits.prepare(tmp_path, source)
    digits.prepare(tmp_path, tmp_path / "gone")
    check(tmp_path, arrays)


def test_the_files_are_downloaded_from_the_first_mirror_that_has_them(
    mirrored, arrays, tmp_path, monkeypatch
):
    (tmp_path / "nothing").mkdir()
    with served(tmp_path / "nothing") as (poor, _), served(mirrored) as (rich, seen):
        dead = f"http://127.0.0.1:{closed_port()}/"
        monkeypatch.setattr(digits, "MIRRORS", (dead, poor, rich))
        digits.prepare(tmp_path / "data")
    check(tmp_path / "data", arrays)
    assert len(seen) == 5
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["mnist"]


def test_without_a_network_one_line_names_both_remedies_at_once(tmp_path, monkeypatch):
    mirrors = (f"http://127.0.0.1:{closed_port()}/", "http://nowhere.invalid/")
    monkeypatch.setattr(digits, "MIRRORS", mirrors)
    start = time.monotonic()
    with pytest.raises(
        ValueError, match=r"connect to the network, or .*--config\.data\.source=DIR"
    ) as refusal:
        digits.prepare(tmp_path / "data")
    assert time.monotonic() - start < 2 * digits.TIMEOUT
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "data").exists()


def test_a_connection_that_breaks_off_is_the_same_one_line(
    mirrored, tmp_path, monkeypatch
):
    (mirrored / "train-labels-idx1-ubyte.gz").unlink()
    with served(mirrored) as (address, _):
        monkeypatch.setattr(digits, "MIRRORS", (address,))
        with pytest.raises(ValueError, match=r"404.*connect to the network") as refusal:
            digits.prepare(tmp_path / "data")
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "data").exists()


def test_a_missing_file_is_named(source, tmp_path):
    next(source.glob("t10k-labels*")).unlink()
    with pytest.raises(ValueError, match=r"must hold t10k-labels-idx1-ubyte\[\.gz\]"):
        digits.prepare(tmp_path / "data", source)
    with pytest.raises(ValueError, match=r"data\.source must be a folder"):
        digits.prepare(tmp_path / "data", source / "gone")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty", "other"])
def test_a_damaged_file_is_refused(source, tmp_path, damage):
    path = source / "train-images-idx3-ubyte.gz"
    content = path.read_bytes()
    path.write_bytes(
        {
            "truncated": content[: len(content) // 2],
            "garbage": content[:20] + b"garbage" + content[27:],
            "empty": b"",
            "other": idx(np.zeros((30, 28, 28), np.uint8)),
        }[damage]
    )
    with pytest.raises(ValueError, match=r"train-images.* (cannot be unpacked|MD5)"):
        digits.prepare(tmp_path / "data", source)
    assert not (tmp_path / "data").exists()


def test_a_gzip_bomb_is_not_unpacked(source, tmp_path, monkeypatch):
    monkeypatch.setattr(digits, "MAX_BYTES", 1000)
    read = []

    def counted(self, size=-1, _read=gzip.GzipFile.read):
        read.append(size)
        return _read(self, size)

    monkeypatch.setattr(gzip.GzipFile, "read", counted)
    bomb = gzip.compress(bytes(50_000_000))
    (source / "train-images-idx3-ubyte.gz").write_bytes(bomb)
    with pytest.raises(ValueError, match="must be MNIST's own"):
        digits.prepare(tmp_path / "data", source)
    assert read == [1001]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\x08",
        b"\0\0\x08\0",
        b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0",
        b"\0\0\x08\x01\0\0\0\x02a",
        b"\0\0\x08\x01\0\0\0\x02abc",
        b"\0\0\x08\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\0\0\x08\xff" + bytes(100),
        b"\x1f\x8b\x08\x01\0\0\0\0",
    ],
)
def test_an_idx_file_must_be_what_its_header_says(content):
    with pytest.raises(ValueError, match=r"an idx file .*must"):
        digits.parse(content)


@pytest.mark.parametrize("size", [32, 64, 128, 256])
def test_an_enlarged_digit_is_grey_framed_and_not_moved(size):
    y, x = np.mgrid[0:28, 0:28]
    blob = 255 * np.exp(-((x - 9) ** 2 + (y - 16) ** 2) / 20)
    picture = digits.to_rgb(blob.astype(np.uint8)[..., None], size)
    assert picture.shape == (size, size, 3)
    assert (picture == picture[..., :1]).all()
    # Two black pixels of 32 on each side, less what the filter spreads into them.
    rim = size // 32
    assert not picture[:rim].any()
    assert not picture[:, -rim:].any()
    weights = picture[..., 0] / picture[..., 0].sum()
    centre = np.arange(size) + 0.5
    scale = size / 32
    assert abs((weights.sum(0) @ centre) / scale - (2 + 9.5)) < 0.1
    assert abs((weights.sum(1) @ centre) / scale - (2 + 16.5)) < 0.1


def test_no_ring_is_drawn_around_a_stroke():
    stroke = np.full((28, 28, 1), 50, np.uint8)
    stroke[8:20] = 150
    picture = digits.to_rgb(stroke, 256)
    assert picture.max() == 150
    # Away from the rim nothing is darker than the ground that the stroke is on.
    assert picture[32:-32, 32:-32].min() == 50


def test_digits_are_a_picklable_sequence(source, arrays, tmp_path):
    opened = digits.open_digits(tmp_path, source, size=64)
    found = pickle.loads(pickle.dumps(opened))
    assert len(found) == 30
    labels = arrays["train-labels-idx1-ubyte"]
    assert [record["label"] for record in found] == labels.tolist()
    assert {record["pixels"].shape for record in found} == {(64, 64, 3)}
    assert found[-1]["label"] == labels[-1]
    with pytest.raises(IndexError):
        found[30]
    assert len(digits.open_digits(tmp_path, size=32, split="test[:4]")) == 4


@pytest.mark.skipif(not MNIST.is_dir(), reason="no copy of MNIST beside the repository")
def test_real_mnist_is_accepted_and_complete(tmp_path):
    digits.prepare(tmp_path, MNIST)
    train = dataset.open_source(tmp_path, "mnist", "train")
    test = dataset.open_source(tmp_path, "mnist", "test")
    assert (len(train), len(test)) == (60_000, 10_000)
    # What everybody knows: the training set begins 5 0 4 1 9, the test set 7 2 1 0 4.
    assert [train[index]["label"] for index in range(5)] == [5, 0, 4, 1, 9]
    assert [test[index]["label"] for index in range(5)] == [7, 2, 1, 0, 4]
