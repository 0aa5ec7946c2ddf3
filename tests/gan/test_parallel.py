"""One device, a mesh of eight and pmap over eight compute the same updates."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import jax
import numpy as np
import optax
import pytest
from flax import nnx

from jaxart.gan.networks import Discriminator, Generator
from jaxart.gan.parallel import Parallel, ParallelUpdate, make_parallel_update
from jaxart.gan.update import Recipe, TrainState, init_state


EIGHT = "--xla_force_host_platform_device_count=8"
UPDATES, BATCH_SIZE = 4, 16


ADAM = optax.adam(1e-4, b1=0.5)
PAPER = Recipe(ADAM, ADAM)
EVERY_OPTION = Recipe(
    ADAM,
    ADAM,
    loss="relativistic",
    r1=0.1,
    r2=0.1,
    penalty_every=2,
    mirrored=True,
    transformations=("colour", "translation", "cutout"),
    augment_probability=0.5,
    adaptive_target=0.6,
    average=0.9,
    mismatch=0.5,
)
CLASSES = 3


def setup(
    parallel: Parallel, batch_size: int = BATCH_SIZE, recipe: Recipe = PAPER
) -> tuple[ParallelUpdate, TrainState]:
    """Return the updates of small networks, and their first state."""
    rngs = nnx.Rngs(0)
    shape = {"size": 32, "width": 4, "dtype": "float32", "rngs": rngs}
    if recipe is EVERY_OPTION:
        shape["condition_size"] = CLASSES
    normalisation = "batch" if recipe is PAPER else "none"
    networks = (
        Generator(latent_dim=10, **shape),
        Discriminator(normalisation=normalisation, **shape),
    )
    updates = make_parallel_update(
        *networks,
        recipe,
        parallel=parallel,
        batch_size=batch_size,
    )
    return updates, init_state(*networks, recipe, seed=0)


def trained(
    parallel: Parallel, updates_per_call: int = 1, recipe: Recipe = PAPER
) -> list[np.ndarray]:
    """Return the state's arrays and all losses after some updates."""
    updates, state = setup(parallel, recipe=recipe)
    state = updates.replicate(state)
    rng = np.random.default_rng(0)
    shape = (UPDATES, BATCH_SIZE, 32, 32, 3)
    batches: Any = rng.integers(0, 256, shape, dtype=np.uint8)
    if recipe is EVERY_OPTION:
        classes = rng.integers(0, CLASSES, shape[:2])
        batches = batches, np.eye(CLASSES, dtype=np.float32)[classes]
    calls = []
    for first in range(0, UPDATES, updates_per_call):
        updates_now = slice(first, first + updates_per_call)
        batch = updates.shard(jax.tree.map(lambda x, at=updates_now: x[at], batches))
        state, metrics = updates.run(state, None, batch)
        calls.append(metrics)
    metrics = jax.tree.map(lambda *parts: np.concatenate(parts), *calls)
    leaves = jax.tree.leaves((updates.unreplicate(state), metrics))
    return [np.asarray(leaf) for leaf in leaves]


@pytest.fixture(scope="module")
def on_one() -> dict[str, list[np.ndarray]]:
    return {parallel: trained(parallel) for parallel in get_args(Parallel)}


@pytest.fixture(scope="module")
def on_eight(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[np.ndarray]]:
    """The same of eight simulated devices, in a process that has them."""
    folder = tmp_path_factory.mktemp("eight")
    done = subprocess.run(
        [sys.executable, __file__, str(folder)],
        env={**os.environ, "XLA_FLAGS": EIGHT, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = {}
    for path in folder.glob("*.npz"):
        with np.load(path) as arrays:
            found[path.stem] = [arrays[name] for name in arrays.files]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("parallel", get_args(Parallel))
def test_eight_devices_agree_with_one(on_one, on_eight, parallel: Parallel):
    for one, eight in zip(on_one["jit"], on_eight[parallel], strict=True):
        np.testing.assert_allclose(one, eight, rtol=2e-3, atol=2e-5)


@pytest.mark.slow
def test_eight_devices_agree_with_one_on_every_option(on_eight):
    one_device = trained("jit", recipe=EVERY_OPTION)
    for one, eight in zip(one_device, on_eight["every_option"], strict=True):
        # The relativistic loss has no slope along the bias of D's score: what Adam
        # makes of the rounding of a zero is noise.
        if one.shape == (1,):
            continue
        np.testing.assert_allclose(one, eight, rtol=2e-3, atol=2e-5)


def test_pmap_over_one_device_agrees_with_jit(on_one):
    for one, other in zip(on_one["jit"], on_one["pmap"], strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize(
    "parallel", ["jit", pytest.param("pmap", marks=pytest.mark.slow)]
)
def test_updates_in_one_call_give_the_bytes_of_one_by_one(on_one, parallel: Parallel):
    in_one_call = trained(parallel, UPDATES)
    for one, other in zip(in_one_call, on_one[parallel], strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_same_seed_gives_the_same_bytes(on_one):
    for one, other in zip(on_one["jit"], trained("jit"), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("parallel", get_args(Parallel))
def test_what_was_compiled_ahead_is_what_the_first_call_runs(parallel: Parallel):
    updates, state = setup(parallel)
    batches = np.zeros((1, BATCH_SIZE, 32, 32, 3), np.uint8)
    shape = jax.ShapeDtypeStruct(batches.shape, batches.dtype)
    compiled = updates.compile(jax.eval_shape(lambda: state), None, shape)
    assert isinstance(compiled, jax.stages.Compiled)
    replicated, sharded = updates.replicate(state), updates.shard(batches)
    compilations: list[str] = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, duration_secs, **about: compilations.append(
            f"{event} {about.get('fun_name')}"
        )
    )
    try:
        jax.block_until_ready(updates.run(replicated, None, sharded))
    finally:
        jax.monitoring.clear_event_listeners()
    assert not [it for it in compilations if "compile" in it and "updates" in it]


def test_the_networks_survive_the_donation_of_their_first_values():
    updates, state = setup("jit")
    for _ in range(2):
        replicated = updates.replicate(state)
        batches = updates.shard(np.zeros((1, BATCH_SIZE, 32, 32, 3), np.uint8))
        jax.block_until_ready(updates.run(replicated, None, batches))


def test_a_batch_that_devices_cannot_share_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jax, "device_count", lambda: 8)
    with pytest.raises(ValueError, match="multiple of the 8 devices; got 12"):
        setup("jit", batch_size=12)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for name in get_args(Parallel):
        np.savez(folder / f"{name}.npz", *trained(name))
    np.savez(folder / "every_option.npz", *trained("jit", recipe=EVERY_OPTION))
