import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from jaxart import inception


# Kernel and padding of each convolution that is not 1 x 1, by its name in the file.
KERNELS: dict[str, tuple[tuple[int, int], tuple[int, int]]] = {
    "Conv2d_1a_3x3": ((3, 3), (0, 0)),
    "Conv2d_2a_3x3": ((3, 3), (0, 0)),
    "Conv2d_2b_3x3": ((3, 3), (1, 1)),
    "Conv2d_4a_3x3": ((3, 3), (0, 0)),
    "branch5x5_2": ((5, 5), (2, 2)),
    "branch3x3dbl_2": ((3, 3), (1, 1)),
    "branch3x3dbl_3": ((3, 3), (1, 1)),
    "branch3x3": ((3, 3), (0, 0)),
    "branch7x7_2": ((1, 7), (0, 3)),
    "branch7x7_3": ((7, 1), (3, 0)),
    "branch7x7dbl_2": ((7, 1), (3, 0)),
    "branch7x7dbl_3": ((1, 7), (0, 3)),
    "branch7x7dbl_4": ((7, 1), (3, 0)),
    "branch7x7dbl_5": ((1, 7), (0, 3)),
    "branch3x3_2": ((3, 3), (0, 0)),
    "branch7x7x3_2": ((1, 7), (0, 3)),
    "branch7x7x3_3": ((7, 1), (3, 0)),
    "branch7x7x3_4": ((3, 3), (0, 0)),
    "branch3x3_2a": ((1, 3), (0, 1)),
    "branch3x3_2b": ((3, 1), (1, 0)),
    "branch3x3dbl_3a": ((1, 3), (0, 1)),
    "branch3x3dbl_3b": ((3, 1), (1, 0)),
}
STRIDE_2 = {"Conv2d_1a_3x3", "branch3x3", "branch3x3_2", "branch7x7x3_4"}


class Reference:
    """The network in PyTorch, written from its papers and programs.

    A layer is initialised at random when its name is first used, with as many input
    channels as its input has.

    Args:
        torch: the module, which is optional.
    """

    def __init__(self, torch: Any):
        self.torch = torch
        self.layers = torch.nn.Module()
        self.layers.fc = torch.nn.Linear(2048, 1008)

    def conv(self, block: str, name: str, x: Any, channels: int) -> Any:
        torch, parent = self.torch, self.layers
        if block:
            if not hasattr(parent, block):
                parent.add_module(block, torch.nn.Module())
            parent = getattr(parent, block)
        if not hasattr(parent, name):
            kernel, padding = KERNELS.get(name, ((1, 1), (0, 0)))
            stride = 1 + (name in STRIDE_2)
            if (block, name) == ("Mixed_6a", "branch3x3dbl_3"):
                stride, padding = 2, (0, 0)
            conv = torch.nn.Conv2d(
                x.shape[1], channels, kernel, stride, padding, bias=False
            )
            torch.nn.init.kaiming_normal_(conv.weight)
            norm = torch.nn.BatchNorm2d(channels, eps=0.001)
            for values, low in (
                (norm.weight, 0.7),
                (norm.bias, -0.3),
                (norm.running_mean, -0.3),
                (norm.running_var, 0.5),
            ):
                torch.nn.init.uniform_(values, low, low + 0.7)
            layer = torch.nn.Module()
            layer.conv, layer.bn = conv, norm.eval()
            parent.add_module(name, layer)
        layer = getattr(parent, name)
        return torch.relu(layer.bn(layer.conv(x)))

    def chain(self, block: str, x: Any, *layers: tuple[str, int]) -> Any:
        for name, channels in layers:
            x = self.conv(block, name, x, channels)
        return x

    def __call__(self, x: Any) -> Any:
        torch, chain = self.torch, self.chain
        functional = torch.nn.functional

        def average(x: Any) -> Any:
            return functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)

        x = functional.interpolate(x, (299, 299), mode="bilinear", align_corners=False)
        x = chain(
            "",
            2 * x - 1,
            ("Conv2d_1a_3x3", 32),
            ("Conv2d_2a_3x3", 32),
            ("Conv2d_2b_3x3", 64),
        )
        x = functional.max_pool2d(x, 3, 2)
        x = chain("", x, ("Conv2d_3b_1x1", 80), ("Conv2d_4a_3x3", 192))
        x = functional.max_pool2d(x, 3, 2)
        for name, pooled in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
            double = ("branch3x3dbl_2", 96), ("branch3x3dbl_3", 96)
            parts = [
                chain(name, x, ("branch1x1", 64)),
                chain(name, x, ("branch5x5_1", 48), ("branch5x5_2", 64)),
                chain(name, x, ("branch3x3dbl_1", 64), *double),
                chain(name, average(x), ("branch_pool", pooled)),
            ]
            x = torch.cat(parts, 1)
        double = ("branch3x3dbl_2", 96), ("branch3x3dbl_3", 96)
        parts = [
            chain("Mixed_6a", x, ("branch3x3", 384)),
            chain("Mixed_6a", x, ("branch3x3dbl_1", 64), *double),
            functional.max_pool2d(x, 3, 2),
        ]
        x = torch.cat(parts, 1)
        for name, c in zip("bcde", (128, 160, 160, 192), strict=True):
            name = f"Mixed_6{name}"
            seven = [(f"branch7x7_{n}", c) for n in (1, 2)]
            double = [(f"branch7x7dbl_{n}", c) for n in (1, 2, 3, 4)]
            parts = [
                chain(name, x, ("branch1x1", 192)),
                chain(name, x, *seven, ("branch7x7_3", 192)),
                chain(name, x, *double, ("branch7x7dbl_5", 192)),
                chain(name, average(x), ("branch_pool", 192)),
            ]
            x = torch.cat(parts, 1)
        seven = [(f"branch7x7x3_{n}", 192) for n in (1, 2, 3, 4)]
        parts = [
            chain("Mixed_7a", x, ("branch3x3_1", 192), ("branch3x3_2", 320)),
            chain("Mixed_7a", x, *seven),
            functional.max_pool2d(x, 3, 2),
        ]
        x = torch.cat(parts, 1)
        for name in ("Mixed_7b", "Mixed_7c"):
            three = chain(name, x, ("branch3x3_1", 384))
            double = chain(name, x, ("branch3x3dbl_1", 448), ("branch3x3dbl_2", 384))
            largest = functional.max_pool2d(x, 3, 1, 1)
            parts = [
                chain(name, x, ("branch1x1", 320)),
                chain(name, three, ("branch3x3_2a", 384)),
                chain(name, three, ("branch3x3_2b", 384)),
                chain(name, double, ("branch3x3dbl_3a", 384)),
                chain(name, double, ("branch3x3dbl_3b", 384)),
                chain(
                    name,
                    average(x) if name == "Mixed_7b" else largest,
                    ("branch_pool", 192),
                ),
            ]
            x = torch.cat(parts, 1)
        return x.mean((2, 3))


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Of a size that is enlarged along one side and reduced along the other."""
    return np.random.default_rng(0).random((2, 64, 350, 3), np.float32)


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def reference(torch: Any, images: np.ndarray) -> tuple[dict[str, Any], np.ndarray]:
    """Random weights, and PyTorch's features of the images."""
    torch.manual_seed(0)
    network = Reference(torch)
    with torch.no_grad():
        found = network(torch.from_numpy(images).permute(0, 3, 1, 2))
    return network.layers.state_dict(), found.numpy()


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A path for a file of weights; it is large, and deleted after the test."""
    yield tmp_path / "weights"
    (tmp_path / "weights").unlink(missing_ok=True)


def write_tensors(tree: dict[str, Any], path: Path) -> None:
    safetensors.numpy.save_file({name: t.numpy() for name, t in tree.items()}, path)


def check(found: jax.Array, expected: np.ndarray) -> None:
    assert found.shape == expected.shape == (2, 2048)
    # Neither all zeros nor all alike.
    assert (expected > 0).mean() > 0.5
    assert expected.std(axis=1).min() > 0.1 * expected.mean()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * expected.max())


def test_features_agree_with_pytorch_s_for_any_format_of_the_weights(
    torch: Any,
    reference: tuple[dict[str, Any], np.ndarray],
    images: np.ndarray,
    path: Path,
):
    tree, expected = reference
    # PyTorch has another file since 1.6; the weights of 2015 may be in either.
    torch.save(tree, path, _use_new_zipfile_serialization=False)
    weights = inception.load(path)
    features = jax.jit(inception.features)
    check(features(weights, jnp.asarray(images)), expected)
    for write in (torch.save, write_tensors):
        write(tree, path)
        jax.tree.map(np.testing.assert_array_equal, inception.load(path), weights)


def test_features_of_a_picture_do_not_depend_on_its_batch(
    reference: tuple[dict[str, Any], np.ndarray], images: np.ndarray, path: Path
):
    tree, expected = reference
    write_tensors(tree, path)
    (alone,) = jax.jit(inception.features)(
        inception.load(path), jnp.asarray(images[1:])
    )
    np.testing.assert_allclose(alone, expected[1], rtol=1e-3, atol=1e-3)


def test_the_network_has_as_many_weights_as_the_published_one():
    shapes = inception._convolutions()
    assert len(shapes) == 94
    channels = sum(shape[0] for shape in shapes.values())
    count = sum(np.prod(shape) for shape in shapes.values())
    # Keras counts 21,802,784 without the classifier, 34,432 of which are the means and
    # variances of the normalisation; a bias for each channel is left.
    assert channels == 34_432 // 2
    assert count == 21_802_784 - 3 * channels


def test_averages_do_not_count_the_padding():
    ones = jnp.ones((1, 4, 5, 2))
    np.testing.assert_array_equal(inception._pool(inception.AVERAGE_POOL, ones), ones)


def refusal(path: Path) -> str:
    with pytest.raises(ValueError, match=re.escape(str(path))) as caught:
        inception.load(path)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(str(path), "FILE")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fc.bias": np.zeros(1000)}, "fc.bias has shape (1000,), not (1008,)"),
        ({"Mixed_7c.branch1x1.conv.weight": None}, "lacks Mixed_7c.branch1x1.conv.wei"),
        (
            {"Mixed_6c.branch7x7_2.conv.weight": np.zeros((160, 160, 7, 1))},
            "has shape (160, 160, 7, 1), not (160, 160, 1, 7)",
        ),
        ({"Conv2d_3b_1x1.bn.running_mean": np.full(80, np.nan)}, "not finite"),
        (
            {"Mixed_5b.branch_pool.bn.running_var": -np.ones(32)},
            "Mixed_5b.branch_pool.bn.running_var is below 0",
        ),
    ],
    ids=["torchvision's", "missing", "transposed", "not finite", "negative"],
)
def test_other_weights_are_refused(
    change: dict[str, np.ndarray | None],
    message: str,
    torch: Any,
    reference: tuple[dict[str, Any], np.ndarray],
    path: Path,
):
    tree = dict(reference[0])
    for name, values in change.items():
        del tree[name]
        if values is not None:
            tree[name] = torch.tensor(values, dtype=torch.float32)
    torch.save(tree, path)
    assert message in refusal(path)
