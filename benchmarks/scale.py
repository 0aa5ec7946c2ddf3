"""What more accelerators would do: a prediction from counted bytes and operations.

    python benchmarks/scale.py

Nothing is timed. Parameters, operations, and the sizes of all maps are counted in the
networks; rates are the published ones below, and shares of them are assumed. The model:

    an update = arithmetic + memory + reductions, one after the other, where
    arithmetic = operations / (share · rate of products),
    memory     = (maps · passes over them + state) / (share · memory's bandwidth),
    reductions = gradients through the links + small ones, each with its latency.

Nothing is overlapped, which real programs do in part: so it is cautious there, and
hopeful where it takes every kernel to reach the assumed share.

Prints tables as they stand in docs/scale.md and, last, one JSON object on a line.

Source: NVIDIA, "H100 Tensor Core GPU" data sheet (SXM: 494.7 TFLOP/s in TF32 and 989.4
in bfloat16 without sparsity, 3.35 TB/s, NVLink 900 GB/s in both directions together);
NVIDIA, "DGX H100" data sheet (eight GPUs, a 400 Gb/s ConnectX-7 for each).
"""

import json
import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from absl import app, flags
from flax import nnx
from h100 import MEMORY, PRODUCTS, SHARE_OF_BANDWIDTH, SHARE_OF_PRODUCTS

from jaxart.gan import cost
from jaxart.gan.networks import SMALLEST, Discriminator, Generator


_WIDTH = flags.DEFINE_integer("width", 128, "width of both networks", lower_bound=1)

CONFIG = Path(__file__).parents[1] / "configs" / "art.py"
PAINTINGS, EPOCHS = 203_274, 100  # of the paper

# The published rates of an H100 SXM's links; `h100` has the others.
NVLINK = 450e9  # bytes a second in one direction, between the GPUs of a node
NETWORK = 50e9  # bytes a second in one direction, of each GPU, between nodes
NODE = 8  # GPUs

# Assumed.
LATENCY_IN_NODE = 15e-6  # seconds of a reduction of a few bytes
LATENCY_BETWEEN_NODES = 40e-6
FORWARD, BACKWARD = 5, 8  # times that a map is read or written; see docs/scale.md
ADAM = 7  # numbers read or written for a parameter: p, m, v, gradient; p, m, v


class Network(NamedTuple):
    """What is counted in both networks of a size.

    Args:
        parameters: of both.
        flop: of an update, for an image.
        map_bytes: that are read and written in an update, for an image.
        reductions: of batch norms, in an update.
    """

    parameters: int
    flop: int
    map_bytes: int
    reductions: int


class Update(NamedTuple):
    """The seconds of an update, by what they are spent on."""

    arithmetic: float
    memory: float
    gradients: float
    statistics: float

    @property
    def seconds(self) -> float:
        """All of them."""
        return sum(self)


def counted(size: int, dtype: str) -> Network:
    """Count both networks.

    Args:
        size: side of the images, in pixels.
        dtype: of the maps.
    """
    config: Any = runpy.run_path(str(CONFIG))["get_config"]()
    shape = {"size": size, "width": _WIDTH.value, "dtype": dtype, "rngs": nnx.Rngs(0)}
    generator = Generator(latent_dim=config.generator.latent, **shape)
    discriminator = Discriminator(**shape)
    g_stages, d_stages = list(generator.stages), list(discriminator.stages)
    # A kernel's last two axes are the channels of the larger and the smaller map.
    g_maps = [
        stage.kernel.shape[3] * (SMALLEST << number) ** 2
        for number, stage in enumerate(g_stages)
    ]
    d_maps = [
        stage.kernel.shape[3] * (SMALLEST << number) ** 2
        for number, stage in enumerate(reversed(d_stages))
    ]
    # One pass of G; D passes over the real, the fake, and in G's step the fake batch.
    passes = sum(g_maps) + 3 * sum(d_maps)
    norms = len(g_stages) + 3 * (len(d_stages) - 1)
    return Network(
        cost.parameters(generator) + cost.parameters(discriminator),
        cost.flop_per_image(generator, discriminator),
        (FORWARD + BACKWARD) * passes * (2 if dtype == "bfloat16" else 4),
        # Mean and variance forwards, and the gradients of both backwards.
        2 * norms,
    )


def update(network: Network, dtype: str, images: int, gpus: int) -> Update:
    """Predict an update.

    Args:
        network: what is trained.
        dtype: of its products.
        images: on each GPU.
        gpus: how many there are, one or whole nodes.
    """
    nodes = max(gpus // NODE, 1)
    within = min(gpus, NODE)
    latency = 0.0 if gpus == 1 else LATENCY_IN_NODE
    if nodes > 1:
        latency = LATENCY_BETWEEN_NODES
    gradient = 4 * network.parameters  # bytes
    # Each node sums its own, the GPUs of a place sum an eighth over all nodes, and each
    # node shares that out again.
    in_node = 2 * (within - 1) / within * gradient / NVLINK
    between = 2 * (nodes - 1) / nodes * gradient / within / NETWORK
    state = 4 * ADAM * network.parameters
    return Update(
        network.flop * images / (SHARE_OF_PRODUCTS * PRODUCTS[dtype]),
        (network.map_bytes * images + state) / (SHARE_OF_BANDWIDTH * MEMORY),
        (in_node + between) / SHARE_OF_BANDWIDTH,
        network.reductions * latency,
    )


def print_counts(networks: dict[str, Network]) -> None:
    """Print what is counted in each network."""
    print(
        "| | parameters | GFLOP an image | MB of maps an image | batch norm reduces |"
    )
    print("|---|---|---|---|---|")
    for name, network in networks.items():
        print(
            f"| {name} | {network.parameters / 1e6:.2f} M | {network.flop / 1e9:.2f} "
            f"| {network.map_bytes / 1e6:.0f} | {network.reductions} times |"
        )
    print()


def rows(
    network: Network, dtype: str, batches: Mapping[Any, int]
) -> list[dict[str, Any]]:
    """Predict for numbers of GPUs.

    Args:
        network: what is trained.
        dtype: of its products.
        batches: GPUs -> images on each of them.
    """
    one = None
    found = []
    for gpus, images in batches.items():
        one_update = update(network, dtype, images, gpus)
        rate = images * gpus / one_update.seconds
        one = one or rate
        parts = one_update._asdict()
        found.append(
            {
                "gpus": gpus,
                "images_each": images,
                **{f"{part}_ms": 1e3 * seconds for part, seconds in parts.items()},
                "update_ms": 1e3 * one_update.seconds,
                "images_per_second": rate,
                "efficiency": rate / one / gpus,
                "minutes": PAINTINGS * EPOCHS / rate / 60,
                "most": max(parts, key=lambda part: parts[part]),
            }
        )
    return found


def print_rows(title: str, found: list[dict[str, Any]]) -> None:
    """Print a prediction as a table."""
    print(f"{title}\n")
    print(
        "| GPUs | images each | arithmetic | memory | gradients | statistics | update "
        "| images/s | per GPU | 100 epochs | mostly |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for row in found:
        print(
            f"| {row['gpus']} | {row['images_each']} | {row['arithmetic_ms']:.2f} ms "
            f"| {row['memory_ms']:.2f} ms | {row['gradients_ms']:.2f} ms "
            f"| {row['statistics_ms']:.2f} ms | {row['update_ms']:.2f} ms "
            f"| {row['images_per_second']:,.0f} | {row['efficiency']:.0%} "
            f"| {_duration(row['minutes'])} | {row['most']} |"
        )
    print()


def _duration(minutes: float) -> str:
    return f"{minutes:,.1f} min" if minutes >= 1 else f"{60 * minutes:.0f} s"


def main(_: list[str]) -> None:
    """Print all counts and predictions."""
    networks = {
        f"{size} x {size}, {dtype}": counted(size, dtype)
        for size in (64, 256)
        for dtype in PRODUCTS
    }
    print_counts(networks)
    # Of the larger images, as many as have about the same number of pixels.
    each = {64: 128, 256: 32}
    found = {}
    for name, network in networks.items():
        size, dtype = name.split(" ")[0], name.split(", ")[1]
        images = each[int(size)]
        same_each = dict.fromkeys((1, 8, 64, 512), images)
        found[f"{name}: {images} images on each GPU"] = rows(network, dtype, same_each)
        same_batch = {gpus: images // gpus for gpus in (1, 8, 64) if images >= gpus}
        found[f"{name}: a batch of {images}"] = rows(network, dtype, same_batch)
    for title, table in found.items():
        print_rows(title, table)
    counts = {name: network._asdict() for name, network in networks.items()}
    print(json.dumps({"name": "scale", "counted": counts, "predicted": found}))


if __name__ == "__main__":
    app.run(main)
