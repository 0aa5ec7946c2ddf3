"""What the machine under a program has: memory, and a rate of arithmetic.

A share of the machine's rate says more than seconds do: it is the same question on a
laptop and on an accelerator. Accelerators have published rates. Of CPUs nothing is
published that could be reached, so their rate is measured: that of large matrix
products, which nothing made of products exceeds, unless it saves some of them.

Source: NVIDIA's data sheets of the A100 (2021), the H100 (2023) and the H200 (2024),
without sparsity; Google, "Cloud TPU system architecture", for one chip.
"""

import statistics
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import psutil


SIDE = 1024  # of the matrices whose products are timed
PRODUCTS = 4  # of one timing, each of 2·SIDE³ operations
TIMINGS = 5

# The beginning of a device's kind -> operations a second, by the type of the products.
# XLA takes float32 products in TF32 on these GPUs, and in bfloat16 on TPUs.
PUBLISHED = {
    "NVIDIA A100": {"float32": 156e12, "bfloat16": 312e12},
    "NVIDIA H100 80GB HBM3": {"float32": 494.7e12, "bfloat16": 989.4e12},
    "NVIDIA H100 PCIe": {"float32": 378e12, "bfloat16": 756e12},
    "NVIDIA H200": {"float32": 494.7e12, "bfloat16": 989.4e12},
    "TPU v4": {"float32": 275e12, "bfloat16": 275e12},
    "TPU v5 lite": {"float32": 197e12, "bfloat16": 197e12},
    "TPU v5": {"float32": 459e12, "bfloat16": 459e12},
    "TPU v6 lite": {"float32": 918e12, "bfloat16": 918e12},
}
NOT_MEANT = ("TPU v4 lite",)  # begin alike

# Files of a control group: its limit, what it uses, and the line of its statistics with
# what it would give back.
GROUP_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


class Peak(NamedTuple):
    """The rate that a machine's arithmetic cannot exceed.

    Args:
        flop_per_second: of one device.
        source: where it is from, in words.
    """

    flop_per_second: float
    source: str


def memory() -> int | None:
    """Return the bytes that a program's arrays may take on one of its devices.

    Devices of a CPU share its memory: what is free now, within the limits of the
    process's control group, and what its arrays have taken already. None where a device
    does not say.
    """
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        rooms = [psutil.virtual_memory().available, *_rooms_of_groups()]
        parts = [part for one in jax.live_arrays() for part in one.addressable_shards]
        taken = sum(part.data.nbytes for part in parts)
        return (min(rooms) + taken) // jax.local_device_count()
    return (device.memory_stats() or {}).get("bytes_limit")


def peak(dtype: str) -> Peak | None:
    """Return the rate of a device, published or measured; None if it is neither.

    Args:
        dtype: of the products, "float32" or "bfloat16".
    """
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        # All of them together have the machine's cores.
        rate = product_rate(dtype) / jax.local_device_count()
        return Peak(rate, "that this machine's own matrix products reach")
    rate = published(device.device_kind, dtype)
    if rate is None:
        return None
    return Peak(rate, f"that the {device.device_kind} has by its data sheet")


def published(kind: str, dtype: str) -> float | None:
    """Return the operations a second that a maker states for a device, if known.

    >>> published("NVIDIA H200", "bfloat16")
    989400000000000.0
    >>> published("TPU v4 lite", "bfloat16")

    Args:
        kind: of the device, as JAX names it.
        dtype: of the products.
    """
    names = [name for name in PUBLISHED if kind.startswith(name)]
    if not names or kind.startswith(NOT_MEANT):
        return None
    return PUBLISHED[max(names, key=len)].get(dtype)


@cache
def product_rate(dtype: str) -> float:
    """Return the operations a second of this machine's matrix products, measured once.

    Args:
        dtype: of the matrices.
    """
    timed = product_timer(dtype)
    return statistics.median(timed() for _ in range(TIMINGS))


def product_timer(dtype: str) -> Callable[[], float]:
    """Return a function that times a few products; it returns operations a second.

    Args:
        dtype: of the matrices.
    """
    a, b = jnp.full((2, SIDE, SIDE), 1 / SIDE, dtype)

    @jax.jit
    def products(a, b):
        return jax.lax.fori_loop(0, PRODUCTS, lambda _, c: c @ b, a)

    def timed() -> float:
        begin = time.perf_counter()
        products(a, b).block_until_ready()
        return PRODUCTS * 2 * SIDE**3 / (time.perf_counter() - begin)

    timed()  # compiles
    return timed


def _rooms_of_groups() -> list[int]:
    """Return the bytes that are left in each control group of this process."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    rooms = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            root = Path("/sys/fs/cgroup") / controllers
            own = root / path.lstrip("/")
            rooms += [_room(group) for group in (own, *own.parents)]
    return [room for room in rooms if room is not None]


def _room(group: Path) -> int | None:
    """Return the bytes that are left in a control group, if it has a limit."""
    for limit, usage, inactive in GROUP_FILES:
        try:
            most = (group / limit).read_text().strip()
            used = int((group / usage).read_text())
            lines = (group / "memory.stat").read_text().splitlines()
        except OSError:
            continue
        if most == "max":
            return None
        counts = dict(line.split() for line in lines)
        return max(0, int(most) - used + int(counts.get(inactive, 0)))
    return None
