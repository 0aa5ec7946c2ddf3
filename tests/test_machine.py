"""The machine's memory and peak FLOP/s."""

from pathlib import Path

import jax
import jax.numpy as jnp
import psutil
import pytest

from jaxart import machine


@pytest.mark.parametrize(
    ("kind", "dtype", "tera"),
    [
        ("NVIDIA A100-SXM4-80GB", "bfloat16", 312),
        ("NVIDIA H100 80GB HBM3", "float32", 494.7),
        ("NVIDIA H100 PCIe", "bfloat16", 756),
        ("TPU v5 lite", "bfloat16", 197),
        ("TPU v5p", "bfloat16", 459),
    ],
)
def test_the_longest_matching_prefix_gives_the_published_peak(
    kind: str, dtype: str, tera: float
):
    assert machine.published(kind, dtype) == tera * 1e12


@pytest.mark.parametrize("kind", ["NVIDIA H100 NVL", "TPU v4 lite", "cpu", ""])
def test_a_device_without_a_published_peak_has_none(kind: str):
    assert machine.published(kind, "float32") is None


def test_a_timing_divides_the_flop_by_the_seconds(
    monkeypatch: pytest.MonkeyPatch,
):
    time_matmuls = machine.matmul_timer("float32")
    times = iter([10.0, 12.0])
    monkeypatch.setattr(machine.time, "perf_counter", lambda: next(times))
    assert time_matmuls() == machine.PRODUCTS * 2 * 1024**3 / 2


def test_the_devices_of_a_cpu_share_its_measured_peak(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(machine, "measured", lambda dtype: 800.0)
    monkeypatch.setattr(jax, "local_device_count", lambda: 8)
    peak = machine.peak("float32")
    assert peak is not None
    assert peak.flop_per_second == 100.0
    assert "own matrix products" in peak.source


def test_memory_is_the_free_memory_of_the_machine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "_cgroup_bytes_free", list)
    free = psutil.virtual_memory().available
    memory = machine.memory_limit()
    assert memory is not None
    assert abs(memory - free) < 0.2 * free


def test_the_memory_of_arrays_that_exist_is_counted_as_available(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(machine, "_cgroup_bytes_free", lambda: [4096, 8192])
    monkeypatch.setattr(jax, "local_device_count", lambda: 8)
    monkeypatch.setattr(jax, "live_arrays", list)
    assert machine.memory_limit() == 4096 // 8
    arrays = [jnp.zeros((10, 20)), jnp.zeros(8, jnp.int8)]
    monkeypatch.setattr(jax, "live_arrays", lambda: arrays)
    assert machine.memory_limit() == (4096 + 800 + 8) // 8


def group(folder: Path, limit: str, version: int) -> Path:
    """Write the files of a control group: 70 bytes used, 20 of them reclaimable."""
    names = ("memory.max", "memory.current")
    if version == 1:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
    for name, text in zip(names, (limit, "70"), strict=True):
        (folder / name).write_text(f"{text}\n")
    total = "total_" if version == 1 else ""
    (folder / "memory.stat").write_text(f"anon 50\n{total}inactive_file 20\n")
    return folder


@pytest.mark.parametrize("version", [1, 2])
def test_the_free_bytes_of_a_control_group_are_its_limit_less_its_usage(
    tmp_path: Path, version: int
):
    assert machine._bytes_free(group(tmp_path, "100", version)) == 50
    assert machine._bytes_free(group(tmp_path, "60", version)) == 10
    assert machine._bytes_free(group(tmp_path, "40", version)) == 0


def test_a_control_group_without_a_limit_has_no_number_of_free_bytes(tmp_path: Path):
    assert machine._bytes_free(group(tmp_path, "max", 2)) is None
    assert machine._bytes_free(tmp_path / "nothing") is None


@pytest.mark.parametrize(
    ("files", "count"),
    [
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.cfs_quota_us": "400000", "cpu.cfs_period_us": "100000"}, 4),
        ({"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"}, None),
        ({}, None),
    ],
)
def test_a_control_group_may_have_a_quota_of_processors(
    tmp_path: Path, files: dict[str, str], count: float | None
):
    for name, text in files.items():
        (tmp_path / name).write_text(f"{text}\n")
    assert machine._quota(tmp_path) == count


@pytest.mark.parametrize(
    ("affinity", "quotas", "count"),
    [(8, [], 8), (8, [1.5, 4], 2), (2, [4], 2), (8, [0.1], 1)],
)
def test_a_process_has_the_processors_that_it_may_use(
    monkeypatch: pytest.MonkeyPatch, affinity: int, quotas: list[float], count: int
):
    monkeypatch.setattr(
        machine.os, "sched_getaffinity", lambda _: range(affinity), raising=False
    )
    monkeypatch.setattr(machine, "_cgroup_cpus", lambda: quotas)
    assert machine.cpus() == count
