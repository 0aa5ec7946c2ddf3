"""VGG16 as the painter uses it, against PyTorch's on the same windows.

The workloads are those of `configs/paint.py`'s rounds and refinement: nine losses of a
stroke (finite differences), the gradients of as many windows as a round optimises at
once (autodiff), and a whole canvas at half its size. Each is run several times on
different parts of the picture, in one call of ours, because a stage or a refinement is
one call, and one after another in PyTorch; seconds are of one.

Rates count convolutions as the plain algorithm needs them, two operations a product,
backwards as many again. The machine's own rate is that of large matrix products in the
same turns: what saves products may exceed it.

"off by" is how far the two results differ at most, in shares of the largest. Gradients
differ where two places tie for a maximum: PyTorch gives it to the first, ours to both.
"""

import importlib.util
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from painter.clock import time_call
from painter.options import Options
from painter.pictures import Pixels, square
from painter.tables import Column, Row, print_head, print_row, summary
from timing import ratio

from jaxart import machine, vgg


NETWORK = (
    Column("workload", "workload", 28),
    Column("layer", "layer", 9),
    Column("seconds", "seconds", 10, ".4f"),
    Column("spread", "spread", 9, ".4f"),
    Column("gflop_per_second", "GFLOP/s", 9, ".0f"),
    Column("of_machine", "of machine", 12, ".0%"),
    Column("torch_gflop_per_second", "torch GFLOP/s", 15, ".0f"),
    Column("ratio", "times torch", 13, ".2f"),
    Column("off_by", "off by", 10, ".1e"),
)
FLOP_PER_PIXEL = {"relu1_2": 77_184, "relu5_3": 611_712}  # see `vgg.py`
WINDOW = 32  # side of a round's window at half the size, in pixels
TIMES = 4  # that a workload is run


class Workload(NamedTuple):
    """One use of the network.

    Args:
        name: in the table.
        images: how many.
        side: of each, in pixels.
        layer: the deepest that is computed.
        gradient: whether the gradient in the images is computed, too.
    """

    name: str
    images: int
    side: int
    layer: str
    gradient: bool

    @property
    def flop(self) -> float:
        """The operations of the plain algorithm."""
        pixels = self.images * self.side**2
        return pixels * FLOP_PER_PIXEL[self.layer] * (2 if self.gradient else 1)


def workloads(side: int) -> list[Workload]:
    """Return the workloads for a canvas of some pixels a side."""
    return [
        Workload("nine losses of a stroke", 9, WINDOW, "relu1_2", False),
        Workload("gradients of four strokes", 4, WINDOW, "relu1_2", True),
        Workload(f"canvas of {side}", 1, side, "relu5_3", False),
        Workload(f"gradient of a canvas of {side}", 1, side, "relu5_3", True),
    ]


def network(picture: Pixels, options: Options) -> list[Row]:
    """Time our network and PyTorch's, where it is installed."""
    weights = vgg.load()
    with_peer = options.peer and importlib.util.find_spec("torch") is not None
    print_head(NETWORK)
    rows = []
    for workload in workloads(options.size // 2):
        row = compare(picture, weights, workload, options.repeats, with_peer)
        rows.append(row)
        print_row(row, NETWORK)
    return rows


def compare(
    picture: Pixels,
    weights: vgg.Weights,
    workload: Workload,
    repeats: int,
    with_peer: bool,
) -> Row:
    """Time both networks on a workload, alternately."""
    images = windows(picture, workload)
    functions = {"ours": ours(weights, images, workload)}
    if with_peer:
        functions["torch"] = theirs(weights, images, workload)
    results = {name: np.asarray(f()[0]) for name, f in functions.items()}
    products = machine.matmul_timer("float32")
    turns: dict[str, list[float]] = {name: [] for name in functions}
    rates = []  # of the machine
    for _ in range(repeats):
        rates.append(products())
        for name, function in functions.items():
            turns[name].append(time_call(function) / TIMES)
    row = {
        "what": "network",
        "workload": workload.name,
        "layer": workload.layer,
        **summary(turns["ours"]),
        "gflop_per_second": workload.flop / summary(turns["ours"])["seconds"] / 1e9,
        "of_machine": ratio([workload.flop / rate for rate in rates], turns["ours"]),
    }
    if with_peer:
        seconds = summary(turns["torch"])["seconds"]
        difference = np.abs(results["ours"] - results["torch"]).max()
        row |= {
            "torch_gflop_per_second": workload.flop / seconds / 1e9,
            "ratio": ratio(turns["ours"], turns["torch"]),
            "off_by": float(difference / np.abs(results["torch"]).max()),
        }
    return row


def windows(
    picture: Pixels, workload: Workload
) -> Float[np.ndarray, "t b side side 3"]:
    """Return parts of a picture for a workload, sRGB in [0, 1]."""
    across = math.ceil(math.sqrt(TIMES * workload.images))
    whole = square(picture, across * workload.side)
    parts = whole.reshape(across, workload.side, across, workload.side, 3)
    parts = parts.swapaxes(1, 2).reshape(-1, workload.side, workload.side, 3)
    parts = parts[: TIMES * workload.images] / np.float32(255)
    return parts.reshape(TIMES, workload.images, *parts.shape[1:])


def ours(
    weights: vgg.Weights,
    images: Float[np.ndarray, "t b side side 3"],
    workload: Workload,
) -> Callable[[], Array]:
    """Return a compiled call of our network."""

    @jax.jit
    def run(weights: vgg.Weights, images: Array) -> Array:
        def features(images: Array) -> Array:
            return vgg.features(weights, images, [workload.layer])[0]

        gradient = jax.grad(lambda images: (features(images) ** 2).sum())
        return jax.lax.map(gradient if workload.gradient else features, images)

    on_device = jnp.asarray(images)
    return lambda: run(weights, on_device)


def theirs(
    weights: vgg.Weights,
    images: Float[np.ndarray, "t b side side 3"],
    workload: Workload,
) -> Callable[[], Any]:
    """Return a call of PyTorch's network, whose result has our axes."""
    from peers import torch_vgg

    twin = torch_vgg.Twin(weights, workload.layer)
    parts = [torch_vgg.to_images(part) for part in images]
    run = twin.gradient if workload.gradient else twin.features
    return lambda: [run(part).permute(0, 2, 3, 1) for part in parts]
