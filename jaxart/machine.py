"""The machine: memory available to arrays, processors, and peak FLOP/s.

The peak makes utilisation comparable between a laptop and an accelerator. It is
published for accelerators. The peaks published for CPUs are not reached in practice,
so theirs is measured: the FLOP/s of large matrix products, which nothing exceeds that
does not save products.

Source: NVIDIA's data sheets of the A100 (2021), the H100 (2023) and the H200 (2024),
without sparsity; Google, "Cloud TPU system architecture", for one chip.
"""

import math
import os
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
PRODUCTS = 4  # in a timing, each of 2·SIDE³ FLOP
TIMINGS = 5

# Prefix of JAX's `device_kind` -> FLOP/s by dtype. XLA computes float32 products in
# TF32 on these GPUs, and in bfloat16 on TPUs.
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
UNPUBLISHED = ("TPU v4 lite",)  # although a prefix above matches

# Files of a control group, versions 2 and 1: limit, usage, and the key in memory.stat
# of the usage that the kernel can reclaim.
CGROUP_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)

# Likewise: quota and period of processor time.
CPU_FILES = (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us"))


class Peak(NamedTuple):
    """The peak FLOP/s of a device."""

    flop_per_second: float  # of one device
    source: str  # where the number comes from, for messages


def memory_limit() -> int | None:
    """Return the bytes that arrays may take on one device; None if it is unknown.

    Devices of a CPU share its memory: the free memory within the limits of the
    process's control groups, plus the memory of arrays that exist already.
    """
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        bytes_free = min([psutil.virtual_memory().available, *_cgroup_bytes_free()])
        shards = [s for array in jax.live_arrays() for s in array.addressable_shards]
        bytes_used = sum(shard.data.nbytes for shard in shards)
        return (bytes_free + bytes_used) // jax.local_device_count()
    return (device.memory_stats() or {}).get("bytes_limit")


def cpus() -> int:
    """Return how many processors this process may use, at least 1.

    By its affinity and the quotas of its control groups, rounded up.
    """
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    return max(1, math.ceil(min([allowed, *_cgroup_cpus()])))


def peak(dtype: str) -> Peak | None:
    """Return a device's peak, published or measured; None if it is unknown."""
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        # All devices share the cores.
        rate = measured(dtype) / jax.local_device_count()
        return Peak(rate, "that this machine's own matrix products reach")
    rate = published(device.device_kind, dtype)
    if rate is None:
        return None
    return Peak(rate, f"that the {device.device_kind} has by its data sheet")


def published(kind: str, dtype: str) -> float | None:
    """Return the FLOP/s of a device by its data sheet, if known.

    >>> published("NVIDIA H200", "bfloat16")
    989400000000000.0

    >>> published("TPU v4 lite", "bfloat16")
    """
    names = [name for name in PUBLISHED if kind.startswith(name)]
    if not names or kind.startswith(UNPUBLISHED):
        return None
    return PUBLISHED[max(names, key=len)].get(dtype)


@cache
def measured(dtype: str) -> float:
    """Return the FLOP/s of this machine's matrix products, measured once."""
    time_matmuls = matmul_timer(dtype)
    return statistics.median(time_matmuls() for _ in range(TIMINGS))


def matmul_timer(dtype: str, side: int = SIDE) -> Callable[[], float]:
    """Return a function that times some matrix products and returns their FLOP/s."""
    a, b = jnp.full((2, side, side), 1 / side, dtype)

    @jax.jit
    def matmuls(a, b):
        return jax.lax.fori_loop(0, PRODUCTS, lambda _, c: c @ b, a)

    def time_matmuls() -> float:
        start = time.perf_counter()
        matmuls(a, b).block_until_ready()
        return PRODUCTS * 2 * side**3 / (time.perf_counter() - start)

    time_matmuls()  # compiles
    return time_matmuls


def _cgroup_bytes_free() -> list[int]:
    """Return the free bytes of each control group of this process that has a limit."""
    frees = map(_bytes_free, _cgroups("memory"))
    return [free for free in frees if free is not None]


def _cgroup_cpus() -> list[float]:
    """Return the processors of each control group of this process with a quota."""
    return [count for group in _cgroups("cpu") if (count := _quota(group)) is not None]


def _cgroups(controller: str) -> list[Path]:
    """Return the folders of this process's control groups, versions 2 and 1."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    groups = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers or controller in controllers.split(","):
            root = Path("/sys/fs/cgroup") / controllers
            group = root / path.lstrip("/")
            groups += [group, *group.parents]
    return groups


def _quota(group: Path) -> float | None:
    """Return the processors that a control group may use, if it has a quota."""
    for files in CPU_FILES:
        try:
            words = " ".join((group / name).read_text() for name in files).split()
            quota, period = map(int, words)
        except (OSError, ValueError):  # there is no such file, or the quota is "max"
            continue
        return quota / period if quota > 0 and period > 0 else None
    return None


def _bytes_free(group: Path) -> int | None:
    """Return the free bytes of a control group, if it has a limit."""
    for limit_file, usage_file, reclaimable in CGROUP_FILES:
        try:
            limit = (group / limit_file).read_text().strip()
            usage = int((group / usage_file).read_text())
            lines = (group / "memory.stat").read_text().splitlines()
        except OSError:
            continue
        if limit == "max":
            return None
        stat = dict(line.split() for line in lines)
        return max(0, int(limit) - usage + int(stat.get(reclaimable, 0)))
    return None
