"""Files of networks' weights, read as untrusted input.

Unpickling calls nothing but what describes tensors, and a tensor is read only after its
shape was checked, so that a wrong file costs neither memory nor time.

Reads safetensors, and PyTorch's formats of all versions without PyTorch.

Source: PyTorch's torch/serialization.py and torch/_utils.py, for its formats.
"""

import collections
import hashlib
import io
import math
import os
import pickle
import pickletools
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
    """The weights of a convolution."""

    kernel: Float[Array, "h w i o"]
    bias: Float[Array, " o"]


def read(
    path: str | os.PathLike[str], network: str, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
    """Read tensors of a user's file, in float32: those named, of these shapes.

    Args:
        path: a file of PyTorch, of any version, or safetensors.
        network: name of the network, for error messages.
        shapes: the shape that each tensor must have, by name.

    Raises:
        ValueError: the file is missing, is not a file of weights, or lacks a tensor; a
            tensor has another shape, or is not finite. The text is one line.
    """
    try:
        file = _open(Path(path))
        return {
            name: _read_checked(file, name, shape) for name, shape in shapes.items()
        }
    except FileNotFoundError:
        raise ValueError(f"weights must be a file; {path} does not exist") from None
    # Readers of damaged files raise nearly anything.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path} must be weights of {network}; {reason}") from None


def unpickle_known(path: Path, sha256: str) -> dict[str, Any]:
    """Return the arrays of a pickle with a known hash.

    Raises:
        ValueError: the file has another hash.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != sha256:
            raise ValueError(f"{path} must have sha256 {sha256}; got {digest}")
        file.seek(0)
        return _Unpickler(file, NUMPY_GLOBALS).load()


class _File(NamedTuple):
    """A file of weights: the shapes of its tensors, and a function that reads one."""

    shapes: dict[str, tuple[int, ...]]
    read: Callable[[str], np.ndarray]


class _Storage(NamedTuple):
    """A PyTorch storage: a flat array, of which tensors are views."""

    key: str
    dtype: np.dtype
    length: int


class _View(NamedTuple):
    """A PyTorch tensor; offset and strides count elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Parameter(_View):
    """A parameter of PyTorch 0.1, whose state is ignored."""

    def __new__(cls, view: _View) -> "_Parameter":
        return super().__new__(cls, *view)

    def __setstate__(self, state: object) -> None:
        pass


def _view(storage: _Storage, offset: int, shape: Any, strides: Any, *_: Any) -> _View:
    """Replace PyTorch's functions that rebuild a tensor."""
    if len(shape) > MAX_AXES or len(strides) > MAX_AXES:
        raise pickle.UnpicklingError("it has a tensor of too many axes")
    return _View(storage, offset, tuple(shape), tuple(strides))


def _ordered_dict(*items: Any) -> collections.OrderedDict[Any, Any]:
    """Replace OrderedDict: a copy of many items, made often, would fill memory."""
    if sum(map(len, items)) > MAX_ITEMS:
        raise pickle.UnpicklingError("it has too many items")
    return collections.OrderedDict(*items)


# The globals that a pickle may name, and what each is replaced by.
NUMPY_GLOBALS = {
    ("numpy.core.multiarray", "_reconstruct"): lambda *_: np.empty(0, np.int8),
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}
TORCH_GLOBALS = {
    ("collections", "OrderedDict"): _ordered_dict,
    ("torch._utils", "_rebuild_tensor"): _view,
    ("torch._utils", "_rebuild_tensor_v2"): _view,
    ("torch._utils", "_rebuild_parameter"): lambda view, *_: view,
    ("torch.nn.parameter", "Parameter"): _Parameter,
    ("torch", "HalfStorage"): np.dtype("<f2"),
    ("torch", "FloatStorage"): np.dtype("<f4"),
    ("torch", "DoubleStorage"): np.dtype("<f8"),
    ("torch", "BFloat16Storage"): np.dtype(jnp.bfloat16),
    # Of counters, which are no weights.
    ("torch", "LongStorage"): np.dtype("<i8"),
}

# First bytes of a legacy PyTorch file: its magic number, pickled.
LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."

# Bytes of what describes the tensors, items in one of its containers, and axes of a
# tensor; real ones are far smaller.
MAX_INDEX_BYTES = 1 << 20
MAX_ITEMS = 10_000
MAX_AXES = 8


class _Unpickler(pickle.Unpickler):
    """Unpickles containers, and calls nothing but the allowed globals."""

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


def _load(file: io.BytesIO, allowed: dict[tuple[str, str], Any]) -> _Unpickler:
    """Unpickle what follows in memory, if it asks for no more than it holds."""
    start, size = file.tell(), file.getbuffer().nbytes
    # An index into its memo, which the unpickler makes room for.
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name.endswith("PUT") and (argument or 0) > size:
            raise pickle.UnpicklingError("its pickle is damaged")
    file.seek(start)
    return _Unpickler(file, allowed)


def _read_checked(file: _File, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Read a tensor, after checking that it has the right shape."""
    if name not in file.shapes:
        raise ValueError(f"it lacks {name}")
    if file.shapes[name] != shape:
        raise ValueError(f"its {name} has shape {file.shapes[name]}, not {shape}")
    values = file.read(name).astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError(f"its {name} is not finite")
    return values


def _open(path: Path) -> _File:
    """Read the index of a file, whose format its first bytes tell."""
    with path.open("rb") as file:
        head = file.read(len(LEGACY_MAGIC))
    if head == LEGACY_MAGIC:
        return _open_legacy(path)
    if head.startswith(b"PK"):
        return _open_zip(path)
    # Eight bytes of length, then a JSON header.
    if head[8:9] == b"{":
        if int.from_bytes(head[:8], "little") > MAX_INDEX_BYTES:
            raise ValueError("its header is too large")
        return _open_safetensors(path)
    raise ValueError("it is neither PyTorch's nor safetensors")


def _open_safetensors(path: Path) -> _File:
    with safetensors.safe_open(path, "numpy") as file:
        names = file.keys()
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}

    def read(name: str) -> np.ndarray:
        with safetensors.safe_open(path, "numpy") as file:
            return file.get_tensor(name)

    return _File(shapes, read)


def _open_zip(path: Path) -> _File:
    """Open a file of PyTorch 1.6 or newer.

    A zip of `NAME/data.pkl`, the pickled state dict, and `NAME/data/KEY`, its storages.
    """
    with zipfile.ZipFile(path) as archive:
        indices = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(indices) != 1 or archive.getinfo(indices[0]).file_size > MAX_INDEX_BYTES:
            raise ValueError("it is a zip, but not PyTorch's")
        with archive.open(indices[0]) as file:
            views = _views(_load(io.BytesIO(file.read()), TORCH_GLOBALS).load())
    folder = indices[0].removesuffix(".pkl")

    def read(name: str) -> np.ndarray:
        view = views[name]
        with (
            zipfile.ZipFile(path) as archive,
            archive.open(f"{folder}/{view.storage.key}") as file,
        ):
            return _read_view(file, 0, view)

    return _File({name: view.shape for name, view in views.items()}, read)


def _open_legacy(path: Path) -> _File:
    """Open a file of PyTorch before 1.6, as torchvision's VGG16 still is.

    Five pickles: magic number, version, machine, state dict, and the keys of its
    storages; then, for each key, a length (eight bytes) and that many elements.
    """
    starts = {}
    with path.open("rb") as file:
        index = io.BytesIO(file.read(MAX_INDEX_BYTES))
        for _ in range(3):
            _load(index, TORCH_GLOBALS).load()
        unpickler = _load(index, TORCH_GLOBALS)
        views = _views(unpickler.load())
        keys = _load(index, TORCH_GLOBALS).load()
        file.seek(index.tell())
        for key in keys:
            (length,) = struct.unpack("<q", file.read(8))
            starts[key] = file.tell()
            file.seek(length * unpickler.storages[key].dtype.itemsize, os.SEEK_CUR)

    def read(name: str) -> np.ndarray:
        view = views[name]
        with path.open("rb") as file:
            return _read_view(file, starts[view.storage.key], view)

    return _File({name: view.shape for name, view in views.items()}, read)


def _views(state_dict: dict[str, Any]) -> dict[str, _View]:
    """Return the tensors of a state dict, without anything else it holds."""
    return {name: view for name, view in state_dict.items() if isinstance(view, _View)}


def _read_view(file: Any, start: int, view: _View) -> np.ndarray:
    """Read a tensor from the storage that starts at a byte of a file."""
    (_, dtype, length), offset, shape, strides = view
    count = math.prod(shape)
    last = sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    # The axes may be in any order, but elements neither overlap nor leave gaps.
    if min(strides) < 1 or last != count - 1 or not 0 <= offset <= length - count:
        raise ValueError("a tensor has impossible strides or offset")
    file.seek(start + offset * dtype.itemsize)
    data = file.read(count * dtype.itemsize)
    if len(data) < count * dtype.itemsize:
        raise ValueError("it is cut short")
    byte_strides = [stride * dtype.itemsize for stride in strides]
    return np.ndarray(shape, dtype, data, strides=byte_strides)
