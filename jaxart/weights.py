"""Files of networks' weights, read as if each were hostile.

A pickle may call nothing but what is needed to describe arrays, and an array is read
only after its shape was found to be the right one: what a file says of an array is
kept apart from the array, so that neither memory nor time is spent on a wrong one.

PyTorch's files of all ages are read without PyTorch, and safetensors.

Source: PyTorch's torch/serialization.py and torch/_utils.py, for its formats.
"""

import collections
import hashlib
import math
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import safetensors
from jaxtyping import Array, Float


class Convolution(NamedTuple):
    """Weights of a convolution."""

    kernel: Float[Array, "h w i o"]
    bias: Float[Array, " o"]


def read(
    path: str | os.PathLike[str], network: str, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
    """Read tensors of a user's file, in float32.

    Args:
        path: what PyTorch saved, whatever its version, or safetensors.
        network: whose weights they are, for the text of an error.
        shapes: the names of the tensors, and the shapes that they must have. Whatever
            else the file holds is not read.

    Raises:
        ValueError: the file is missing, is not a file of weights, or lacks a tensor; a
            tensor has another shape, or is not finite. The text says which, in one
            line.
    """
    try:
        file = _described(Path(path))
        return {name: _take(file, name, shape) for name, shape in shapes.items()}
    except FileNotFoundError:
        raise ValueError(f"weights must be a file; {path} does not exist") from None
    # What readers of hostile files throw is of nearly any kind.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path} must be weights of {network}; {reason}") from None


def unpickle_known(path: Path, sha256: str) -> dict[str, Any]:
    """Return the arrays that a file pickled, if it is the file that it should be.

    Raises:
        ValueError: it is another file.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != sha256:
            raise ValueError(f"{path} must have sha256 {sha256}; got {digest}")
        file.seek(0)
        return _Unpickler(file, NUMPY).load()


class _File(NamedTuple):
    """A file of weights: the shapes of its tensors, and how to read one by name."""

    shapes: dict[str, tuple[int, ...]]
    read: Callable[[str], np.ndarray]


class _Storage(NamedTuple):
    """A run of numbers in a file of PyTorch's, which tensors are views of."""

    key: str
    dtype: np.dtype
    length: int


class _View(NamedTuple):
    """A tensor in a file of PyTorch's; offset and strides count numbers."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Parameter(_View):
    """What PyTorch 0.1 made of a tensor that is trained; how it is does not matter."""

    def __new__(cls, view: _View) -> "_Parameter":
        return super().__new__(cls, *view)

    def __setstate__(self, state: object) -> None:
        pass


def _view(storage: _Storage, offset: int, shape: Any, strides: Any, *_: Any) -> _View:
    """Stand in for PyTorch's functions that make a tensor."""
    return _View(storage, offset, tuple(shape), tuple(strides))


# What a pickle may name, and what it then gets.
NUMPY = {
    ("numpy.core.multiarray", "_reconstruct"): lambda *_: np.empty(0, np.int8),
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}
TORCH = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _view,
    ("torch._utils", "_rebuild_tensor_v2"): _view,
    ("torch._utils", "_rebuild_parameter"): lambda view, *_: view,
    ("torch.nn.parameter", "Parameter"): _Parameter,
    ("torch", "HalfStorage"): np.dtype("<f2"),
    ("torch", "FloatStorage"): np.dtype("<f4"),
    ("torch", "DoubleStorage"): np.dtype("<f8"),
    ("torch", "BFloat16Storage"): np.dtype(jnp.bfloat16),
    # Of what counts, and is no weight.
    ("torch", "LongStorage"): np.dtype("<i8"),
}

# How a file of PyTorch's begins that is no zip: its magic number, pickled.
MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."

# Bytes; a file that needs more to describe its tensors is not of such a network.
LARGEST_INDEX = 1 << 20


class _Unpickler(pickle.Unpickler):
    """Unpickles plain containers, and calls nothing that is not in a table."""

    def __init__(self, file: Any, allowed: dict[tuple[str, str], Any]):
        super().__init__(file)
        self.allowed = allowed
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.allowed:
            raise pickle.UnpicklingError(f"it would call {module}.{name}")
        return self.allowed[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        _, dtype, key, _, length = pid[:5]
        return self.storages.setdefault(key, _Storage(key, dtype, length))


def _take(file: _File, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return a tensor of a file, of the shape that it must have."""
    if name not in file.shapes:
        raise ValueError(f"it lacks {name}")
    if file.shapes[name] != shape:
        raise ValueError(f"its {name} has shape {file.shapes[name]}, not {shape}")
    values = file.read(name).astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError(f"its {name} is not finite")
    return values


def _described(path: Path) -> _File:
    """Describe a file, whose kind its first bytes tell."""
    with path.open("rb") as file:
        head = file.read(len(MAGIC))
    if head == MAGIC:
        return _legacy(path)
    if head.startswith(b"PK"):
        return _zipped(path)
    # Eight bytes are the length of a description in JSON.
    if head[8:9] == b"{":
        return _safetensors(path)
    raise ValueError("it is neither PyTorch's nor safetensors")


def _safetensors(path: Path) -> _File:
    with safetensors.safe_open(path, "numpy") as file:
        names = file.keys()
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}

    def read(name: str) -> np.ndarray:
        with safetensors.safe_open(path, "numpy") as file:
            return file.get_tensor(name)

    return _File(shapes, read)


def _zipped(path: Path) -> _File:
    """Describe a file as PyTorch has written it since 1.6.

    A zip of `NAME/data.pkl`, the tree, and `NAME/data/KEY`, its storages.
    """
    with zipfile.ZipFile(path) as archive:
        indices = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(indices) != 1 or archive.getinfo(indices[0]).file_size > LARGEST_INDEX:
            raise ValueError("it is a zip, but not PyTorch's")
        with archive.open(indices[0]) as file:
            views = _views(_Unpickler(file, TORCH).load())
    folder = indices[0].removesuffix(".pkl")

    def read(name: str) -> np.ndarray:
        view = views[name]
        with (
            zipfile.ZipFile(path) as archive,
            archive.open(f"{folder}/{view.storage.key}") as file,
        ):
            return _cut(file, 0, view)

    return _File({name: view.shape for name, view in views.items()}, read)


def _legacy(path: Path) -> _File:
    """Describe a file as PyTorch wrote it before 1.6, and torchvision's VGG16 still is.

    Pickles of a magic number, the version, the machine, the tree and its storages' keys
    follow each other; then, for each key, a length (eight bytes) and that many numbers.
    """
    begins = {}
    with path.open("rb") as file:
        for _ in range(3):
            _Unpickler(file, TORCH).load()
        unpickler = _Unpickler(file, TORCH)
        views = _views(unpickler.load())
        for key in _Unpickler(file, TORCH).load():
            (length,) = struct.unpack("<q", file.read(8))
            begins[key] = file.tell()
            file.seek(length * unpickler.storages[key].dtype.itemsize, os.SEEK_CUR)

    def read(name: str) -> np.ndarray:
        view = views[name]
        with path.open("rb") as file:
            return _cut(file, begins[view.storage.key], view)

    return _File({name: view.shape for name, view in views.items()}, read)


def _views(tree: dict[str, Any]) -> dict[str, _View]:
    """Return the tensors of an unpickled tree; whatever else it holds is left out."""
    return {name: view for name, view in tree.items() if isinstance(view, _View)}


def _cut(file: Any, begin: int, view: _View) -> np.ndarray:
    """Read a tensor from the storage that begins at a byte of a file."""
    (_, dtype, length), offset, shape, strides = view
    count = math.prod(shape)
    last = sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    # The axes may have been saved in any order, but a tensor has no gaps.
    if min(strides) < 1 or last != count - 1 or not 0 <= offset <= length - count:
        raise ValueError("a tensor lies oddly in its storage")
    file.seek(begin + offset * dtype.itemsize)
    data = file.read(count * dtype.itemsize)
    if len(data) < count * dtype.itemsize:
        raise ValueError("it is cut short")
    steps = [stride * dtype.itemsize for stride in strides]
    return np.ndarray(shape, dtype, data, strides=steps)
