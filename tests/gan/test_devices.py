"""One device, a mesh of eight and pmap over eight compute the same updates."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from flax import nnx

from jaxart.gan.devices import apart, compiled, together
from jaxart.gan.networks import Discriminator, Generator
from jaxart.gan.update import init_state


EIGHT = "--xla_force_host_platform_device_count=8"


UPDATES = 4


def trained(parallel: str, at_once: int = 1) -> list[np.ndarray]:
    """Return the state's arrays and all losses after some updates, so many a call."""
    rngs = nnx.Rngs(0)
    shape = {"size": 32, "width": 4, "dtype": "float32", "rngs": rngs}
    generator, discriminator = Generator(latent=10, **shape), Discriminator(**shape)
    optimizer = optax.adam(1e-4, b1=0.5)
    on_devices = compiled(
        generator,
        discriminator,
        optimizer,
        loss="non_saturating",
        parallel=parallel,
        batch_size=16,
    )
    state = on_devices.spread(init_state(generator, discriminator, optimizer, seed=0))
    rng = np.random.default_rng(0)
    batches = rng.integers(0, 256, (UPDATES, 16, 32, 32, 3), dtype=np.uint8)
    found = []
    for first in range(0, UPDATES, at_once):
        batch = on_devices.feed(batches[first : first + at_once])
        state, metrics = on_devices.steps(state, batch)
        found.append(metrics)
    metrics = jax.tree.map(lambda *parts: np.concatenate(parts), *found)
    leaves = jax.tree.leaves((on_devices.gather(state), metrics))
    return [np.asarray(leaf) for leaf in leaves]


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
    for parallel in ("jit", "pmap"):
        with np.load(folder / f"{parallel}.npz") as arrays:
            found[parallel] = [arrays[name] for name in arrays.files]
    return found


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_eight_devices_agree_with_one(on_eight, parallel: str):
    for one, eight in zip(trained("jit"), on_eight[parallel], strict=True):
        np.testing.assert_allclose(one, eight, rtol=2e-3, atol=2e-5)


def test_pmap_over_one_device_agrees_with_jit():
    for one, other in zip(trained("jit"), trained("pmap"), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_updates_in_one_call_give_the_bytes_of_one_by_one(parallel: str):
    for one, other in zip(trained(parallel, UPDATES), trained(parallel), strict=True):
        np.testing.assert_array_equal(one, other)


def test_seeds_side_by_side_are_what_each_is_alone():
    rngs = nnx.Rngs(0)
    shape = {"size": 32, "width": 4, "dtype": "float32", "rngs": rngs}
    networks = Generator(latent=10, **shape), Discriminator(**shape)
    optimizer = optax.adam(1e-4, b1=0.5)
    settings = {"loss": "non_saturating", "parallel": "jit", "batch_size": 8}
    states = [init_state(*networks, optimizer, seed) for seed in (3, 4)]
    rng = np.random.default_rng(0)
    batches = list(rng.integers(0, 256, (2, 3, 8, 32, 32, 3), dtype=np.uint8))
    alone = compiled(*networks, optimizer, **settings)
    both = compiled(*networks, optimizer, **settings, seeds=2)
    found = both.steps(both.spread(together(states)), both.feed(together(batches)))
    for number, (state, metrics) in enumerate(apart(both.gather(found), 2)):
        expected, losses = alone.steps(
            alone.spread(states[number]), alone.feed(batches[number])
        )
        np.testing.assert_array_equal(state.step, 3)
        for name, values in losses.items():
            np.testing.assert_allclose(metrics[name], values, rtol=1e-3)
        for one, other in zip(
            jax.tree.leaves(state.generator),
            jax.tree.leaves(expected.generator),
            strict=True,
        ):
            np.testing.assert_allclose(one, other, rtol=2e-3, atol=2e-5)


def test_the_same_seed_gives_the_same_bytes():
    for one, other in zip(trained("jit"), trained("jit"), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_what_was_compiled_ahead_is_what_the_first_call_runs(parallel: str):
    rngs = nnx.Rngs(0)
    shape = {"size": 32, "width": 4, "dtype": "float32", "rngs": rngs}
    networks = Generator(latent=10, **shape), Discriminator(**shape)
    optimizer = optax.adam(1e-4)
    settings = {"loss": "minimax", "parallel": parallel, "batch_size": 2}
    on_devices = compiled(*networks, optimizer, **settings)
    state = init_state(*networks, optimizer, seed=0)
    batches = np.zeros((1, 2, 32, 32, 3), np.uint8)
    ready = on_devices.ahead(
        jax.eval_shape(lambda: state), jax.ShapeDtypeStruct(batches.shape, np.uint8)
    )
    assert isinstance(ready, jax.stages.Compiled)
    spread, fed = on_devices.spread(state), on_devices.feed(batches)
    compilations: list[str] = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, duration_secs, **about: compilations.append(
            f"{event} {about.get('fun_name')}"
        )
    )
    try:
        jax.block_until_ready(on_devices.steps(spread, fed))
    finally:
        jax.monitoring.clear_event_listeners()
    assert not [it for it in compilations if "compile" in it and "updates" in it]


def test_the_networks_survive_the_donation_of_their_first_values():
    rngs = nnx.Rngs(0)
    shape = {"size": 32, "width": 4, "dtype": "float32", "rngs": rngs}
    networks = Generator(latent=10, **shape), Discriminator(**shape)
    optimizer = optax.adam(1e-4)
    settings = {"loss": "minimax", "parallel": "jit", "batch_size": 2}
    on_devices = compiled(*networks, optimizer, **settings)
    for _ in range(2):
        state = on_devices.spread(init_state(*networks, optimizer, seed=0))
        batch = on_devices.feed(np.zeros((1, 2, 32, 32, 3), np.uint8))
        jax.block_until_ready(on_devices.steps(state, batch))


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"parallel": "threads", "batch_size": 8}, "parallel must be one of"),
        ({"parallel": "jit", "batch_size": 0}, "batch_size must be a multiple"),
        (
            {"parallel": "pmap", "batch_size": 8, "seeds": 2},
            "parallel must be jit for several seeds",
        ),
    ],
)
def test_what_cannot_be_spread_is_refused(settings, complaint: str):
    rngs = nnx.Rngs(0)
    shape = {"size": 32, "width": 4, "dtype": "float32", "rngs": rngs}
    networks = Generator(latent=10, **shape), Discriminator(**shape)
    with pytest.raises(ValueError, match=complaint):
        compiled(*networks, optax.adam(1e-4), loss="minimax", **settings)


if __name__ == "__main__":
    for name in ("jit", "pmap"):
        np.savez(Path(sys.argv[1]) / f"{name}.npz", *trained(name))
