"""Crops that the devices cut from an atlas are those that the host cuts from records.

On one device and on eight, compiled with jit and with pmap.
"""

import os
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxart.gan import parallel as parallel_update
from jaxart.gan.update import NetworkState, TrainState
from jaxart.paintings import atlas, pipeline


EIGHT = "--xla_force_host_platform_device_count=8"
STEPS = 4
BATCHES: Any = {"size": 32, "batch_size": 16, "seed": 7}


def records(count: int = 20) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    sides = rng.integers(32, 60, (count, 2))
    return [{"pixels": rng.integers(0, 256, (*side, 3), np.uint8)} for side in sides]


def init_state() -> TrainState:
    key = jax.random.key_data(jax.random.key(7))
    network = NetworkState(None, None)
    seen = jnp.zeros((STEPS, 16, 32, 32, 3), jnp.uint8)
    return TrainState(jnp.zeros((), jnp.int32), key, network, network, seen, None)


def store_batch(
    state: TrainState, pixels: Any, axis: str | None
) -> tuple[TrainState, Any]:
    """An update that stores its batch, the parts of all devices, in the state."""
    if axis is not None:
        pixels = jax.lax.all_gather(pixels, axis, tiled=True)
    seen = state.generator_opt_state.at[state.step].set(pixels)
    state = state._replace(step=state.step + 1, generator_opt_state=seen)
    return state, {"loss": jnp.zeros(())}


def make_update(parallel: str) -> parallel_update.ParallelUpdate:
    single = parallel == "jit" and jax.device_count() == 1
    axis = None if single else parallel_update.AXIS
    steps = parallel_update._scan(
        partial(store_batch, axis=axis), partial(atlas.crops, size=32)
    )
    return (
        parallel_update._jit(steps, axis)
        if parallel == "jit"
        else parallel_update._pmap(steps)
    )


def seen_on_devices(parallel: str) -> np.ndarray:
    """Return the batches of four updates: of two in one call, then of one and one."""
    updates, packed = make_update(parallel), atlas.load(records())
    state = updates.replicate(init_state())
    pixels = updates.replicate_dataset(packed.pixels)
    with closing(pipeline.batches(packed, **BATCHES)) as corners:
        for count in (2, 1, 1):
            batches = updates.shard(np.stack([next(corners) for _ in range(count)]))
            state, _ = updates.run(state, pixels, batches)
    return np.asarray(updates.unreplicate(state).generator_opt_state)


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    with closing(pipeline.batches(records(), **BATCHES)) as crops:
        return np.stack([next(crops) for _ in range(STEPS)])


@pytest.mark.parametrize("parallel", get_args(parallel_update.Parallel))
def test_one_device_cuts_the_crops_of_the_host(parallel: str, expected: np.ndarray):
    np.testing.assert_array_equal(seen_on_devices(parallel), expected)


@pytest.mark.slow
def test_eight_devices_cut_them_in_parts(tmp_path: Path, expected: np.ndarray):
    done = subprocess.run(
        [sys.executable, __file__, str(tmp_path)],
        env={**os.environ, "XLA_FLAGS": EIGHT, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for parallel in get_args(parallel_update.Parallel):
        np.testing.assert_array_equal(np.load(tmp_path / f"{parallel}.npy"), expected)
    # Each device of the mesh cuts two crops of 16, and no more.
    program = (tmp_path / "program.txt").read_text()
    assert "u8[2,32,96]" in program
    assert "u8[16,32,96]" not in program


def lower(updates: parallel_update.ParallelUpdate, packed: atlas.Atlas) -> Any:
    run: Any = updates.run
    return run.lower(
        updates.replicate(init_state()),
        updates.replicate_dataset(packed.pixels),
        updates.shard(np.zeros((3, 16, 2), np.int32)),
    )


def test_the_dataset_is_not_copied_in_a_call():
    packed = atlas.load(records(300))
    memory = lower(make_update("jit"), packed).compile().memory_analysis()
    assert memory.argument_size_in_bytes > packed.pixels.nbytes > 1_000_000
    assert memory.temp_size_in_bytes < packed.pixels.nbytes / 4


if __name__ == "__main__":
    for name in get_args(parallel_update.Parallel):
        np.save(Path(sys.argv[1], f"{name}.npy"), seen_on_devices(name))
    text = lower(make_update("jit"), atlas.load(records())).compile().as_text()
    Path(sys.argv[1], "program.txt").write_text(text)
