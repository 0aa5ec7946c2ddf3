"""VGG16 as the painter asks it, against PyTorch's on the same windows.

The questions are those of `configs/paint.py`'s rounds and refinement: nine losses of a
stroke (finite differences), the slopes of as many windows as a round works on at once
(autodiff), and a whole canvas seen at half its size. Each is asked several times about
different parts of the picture, in one call of ours, because a stage or a descent is one
call, and one after another of PyTorch; seconds are of one.

Rates count convolutions as the plain algorithm needs them, two operations a product,
backwards as many again. The machine's own rate is that of large matrix products in the
same turns: what saves products may exceed it.

"off by" is how far the two answers differ at most, in shares of the largest. Slopes
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
from painter.clock import seconds_of
from painter.options import Options
from painter.pictures import Pixels, square
from painter.tables import Column, Row, print_head, print_row, ratio, summary

from jaxart import machine, vgg


NETWORK = (
    Column("question", "question", 28),
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
WINDOW = 32  # side of what VGG16 sees of a round's window, in pixels
TIMES = 4  # that a question is asked


class Question(NamedTuple):
    """What is asked of the network.

    Args:
        name: of it.
        images: how many.
        side: of each, in pixels.
        layer: the deepest that is asked.
        slope: whether the slope in the images is asked, too.
    """

    name: str
    images: int
    side: int
    layer: str
    slope: bool

    @property
    def flop(self) -> float:
        """The operations of the plain algorithm."""
        pixels = self.images * self.side**2
        return pixels * FLOP_PER_PIXEL[self.layer] * (2 if self.slope else 1)


def questions(side: int) -> list[Question]:
    """Return what is asked, of a canvas of some pixels a side."""
    return [
        Question("nine losses of a stroke", 9, WINDOW, "relu1_2", False),
        Question("slopes of four strokes", 4, WINDOW, "relu1_2", True),
        Question(f"canvas of {side}", 1, side, "relu5_3", False),
        Question(f"slope of a canvas of {side}", 1, side, "relu5_3", True),
    ]


def network(picture: Pixels, options: Options) -> list[Row]:
    """Time our network and PyTorch's, where it is installed."""
    weights = vgg.load()
    with_peer = options.peer and importlib.util.find_spec("torch") is not None
    print_head(NETWORK)
    rows = []
    for question in questions(options.size // 2):
        row = answered(picture, weights, question, options.repeats, with_peer)
        rows.append(row)
        print_row(row, NETWORK)
    return rows


def answered(
    picture: Pixels,
    weights: vgg.Weights,
    question: Question,
    repeats: int,
    with_peer: bool,
) -> Row:
    """Ask both networks a question in turns."""
    images = windows(picture, question)
    ways = {"ours": ours(weights, images, question)}
    if with_peer:
        ways["torch"] = theirs(weights, images, question)
    found = {name: np.asarray(way()[0]) for name, way in ways.items()}
    products = machine.matmul_timer("float32")
    turns: dict[str, list[float]] = {name: [] for name in ways}
    rates = []  # of the machine
    for _ in range(repeats):
        rates.append(products())
        for name, way in ways.items():
            turns[name].append(seconds_of(way) / TIMES)
    row = {
        "what": "network",
        "question": question.name,
        "layer": question.layer,
        **summary(turns["ours"]),
        "gflop_per_second": question.flop / summary(turns["ours"])["seconds"] / 1e9,
        "of_machine": ratio([question.flop / rate for rate in rates], turns["ours"]),
    }
    if with_peer:
        seconds = summary(turns["torch"])["seconds"]
        difference = np.abs(found["ours"] - found["torch"]).max()
        row |= {
            "torch_gflop_per_second": question.flop / seconds / 1e9,
            "ratio": ratio(turns["ours"], turns["torch"]),
            "off_by": float(difference / np.abs(found["torch"]).max()),
        }
    return row


def windows(
    picture: Pixels, question: Question
) -> Float[np.ndarray, "t b side side 3"]:
    """Return parts of a picture as the question wants them, sRGB in [0, 1]."""
    across = math.ceil(math.sqrt(TIMES * question.images))
    whole = square(picture, across * question.side)
    parts = whole.reshape(across, question.side, across, question.side, 3)
    parts = parts.swapaxes(1, 2).reshape(-1, question.side, question.side, 3)
    parts = parts[: TIMES * question.images] / np.float32(255)
    return parts.reshape(TIMES, question.images, *parts.shape[1:])


def ours(
    weights: vgg.Weights,
    images: Float[np.ndarray, "t b side side 3"],
    question: Question,
) -> Callable[[], Array]:
    """Return what asks our network, compiled."""

    @jax.jit
    def answer(weights: vgg.Weights, images: Array) -> Array:
        def features(images: Array) -> Array:
            return vgg.features(weights, images, [question.layer])[0]

        slope = jax.grad(lambda images: (features(images) ** 2).sum())
        return jax.lax.map(slope if question.slope else features, images)

    there = jnp.asarray(images)
    return lambda: answer(weights, there)


def theirs(
    weights: vgg.Weights,
    images: Float[np.ndarray, "t b side side 3"],
    question: Question,
) -> Callable[[], Any]:
    """Return what asks PyTorch's network; its answer lies as ours does."""
    from peers import torch_vgg

    twin = torch_vgg.Twin(weights, question.layer)
    there = [torch_vgg.to_images(part) for part in images]
    ask = twin.slope if question.slope else twin.features
    return lambda: [ask(part).permute(0, 2, 3, 1) for part in there]
