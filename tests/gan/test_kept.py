"""Batches drawn from a dataset that is kept on one device or on eight."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxart.gan import devices
from jaxart.gan.update import NetworkState, TrainState
from jaxart.paintings import resident


EIGHT = "--xla_force_host_platform_device_count=8"
DRAW = partial(resident.batch, size=32, batch_size=16)


def dataset(count: int = 20) -> resident.Resident:
    rng = np.random.default_rng(0)
    sides = rng.integers(32, 60, (count, 2))
    return resident.load(
        [{"pixels": rng.integers(0, 256, (*side, 3), np.uint8)} for side in sides]
    )


def beginning() -> TrainState:
    key = jax.random.key_data(jax.random.key(7))
    nobody, seen = NetworkState(None, None), jnp.zeros((4, 16, 32, 32, 3), jnp.uint8)
    return TrainState(jnp.zeros((), jnp.int32), key, nobody, nobody, seen, None)


def look(state: TrainState, pixels: Any, axis: str | None) -> tuple[TrainState, Any]:
    """An update that remembers what it was given, the parts of all devices."""
    if axis is not None:
        pixels = jax.lax.all_gather(pixels, axis, tiled=True)
    seen = state.generator_opt_state.at[state.step].set(pixels)
    after = state._replace(step=state.step + 1, generator_opt_state=seen)
    return after, {"loss": jnp.zeros(())}


def on_devices(parallel: str) -> devices.Compiled:
    if parallel == "jit":
        axis = None if jax.device_count() == 1 else devices.AXIS
        return devices._on_mesh(partial(look, axis=axis), DRAW, 1, axis)
    return devices._with_pmap(partial(look, axis=devices.AXIS), DRAW)


def drawn(parallel: str) -> np.ndarray:
    """Return the batches of four updates: of two in one call, then of one and one."""
    compiled = on_devices(parallel)
    state, take = compiled.spread(beginning()), compiled.keep(dataset())
    for count in (2, 1, 1):
        state, _ = compiled.steps(state, take(count))
    return np.asarray(compiled.gather(state).generator_opt_state)


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    key, data = jax.random.key(7), jax.device_put(dataset())
    draw = jax.jit(lambda step: DRAW(data, key, step))
    return np.stack([draw(np.int32(step)) for step in range(4)])


@pytest.mark.parametrize("parallel", devices.KINDS)
def test_an_update_draws_the_batch_of_its_step(parallel: str, expected: np.ndarray):
    np.testing.assert_array_equal(drawn(parallel), expected)


def test_eight_devices_draw_the_same_batches_in_parts(
    tmp_path: Path, expected: np.ndarray
):
    done = subprocess.run(
        [sys.executable, __file__, str(tmp_path)],
        env={**os.environ, "XLA_FLAGS": EIGHT, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for parallel in devices.KINDS:
        np.testing.assert_array_equal(np.load(tmp_path / f"{parallel}.npy"), expected)
    # Each device of the mesh cuts two crops of 16, and no more.
    program = (tmp_path / "program.txt").read_text()
    assert "u8[2,32,96]" in program
    assert "u8[16,32,96]" not in program


def test_the_dataset_is_not_copied_in_a_call():
    compiled = on_devices("jit")
    data = dataset(300)
    steps: Any = compiled.steps
    program = steps.lower(compiled.spread(beginning()), compiled.keep(data)(3))
    memory = program.compile().memory_analysis()
    assert memory.argument_size_in_bytes > data.shelves.nbytes > 1_000_000
    assert memory.temp_size_in_bytes < data.shelves.nbytes / 4


if __name__ == "__main__":
    for name in devices.KINDS:
        np.save(Path(sys.argv[1], f"{name}.npy"), drawn(name))
    mesh = on_devices("jit")
    fed = mesh.keep(dataset())(1)
    lowered: Any = mesh.steps
    text = lowered.lower(mesh.spread(beginning()), fed).compile().as_text()
    Path(sys.argv[1], "program.txt").write_text(text)
