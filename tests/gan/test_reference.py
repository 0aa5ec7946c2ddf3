"""The paper's DCGAN against PyTorch: same weights, same inputs, same losses.

`reference.npz` was written by `benchmarks/peers/torch_dcgan.py`; PyTorch itself is not
needed here.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jaxtyping import PyTree

from jaxart.gan import update
from jaxart.gan.networks import Discriminator, Generator


REFERENCE = np.load(Path(__file__).parent / "reference.npz")
SIDE = 64  # of the paper's images, in pixels


class Replay(NamedTuple):
    """The reference's updates, done by our code."""

    start: update.TrainState
    second: update.TrainState
    end: update.TrainState
    losses: dict[str, list[float]]
    generator: nnx.GraphDef


@pytest.fixture(scope="module")
def replay():
    z = jnp.asarray(REFERENCE["z"])
    rngs = nnx.Rngs(0)
    generator = Generator(SIDE, 4, z.shape[-1], dtype="float32", rngs=rngs)
    discriminator = Discriminator(SIDE, 4, dtype="float32", rngs=rngs)
    adam = optax.adam(1e-4, b1=0.5, b2=0.999, eps=1e-8)
    recipe = update.Recipe(adam, adam)
    start = update.init_state(generator, discriminator, recipe, 0)
    start = start._replace(
        generator=reference("start/generator", start.generator),
        discriminator=reference("start/discriminator", start.discriminator),
    )
    states, losses = [start], {"discriminator": [], "generator": []}
    with pytest.MonkeyPatch.context() as patch, jax.default_matmul_precision("highest"):
        patch.setattr(update._Draws, "latents", lambda draws, _: z[draws.step])
        once = jax.jit(update.update_fn(generator, discriminator, recipe))
        for pixels in batches():
            state, metrics = once(states[-1], pixels)
            states.append(state)
            for player, values in losses.items():
                values.append(float(metrics[f"{player}_loss"]))
    return Replay(start, states[1], states[-1], losses, nnx.graphdef(generator))


def reference(prefix: str, like: PyTree) -> PyTree:
    """The reference's arrays in the tree, and of the shapes, of `like`."""

    def named(path, leaf):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        value = jnp.asarray(REFERENCE[f"{prefix}/{name}"])
        assert value.shape == leaf.shape, name
        return value

    return jax.tree.map_with_path(named, like)


def batches() -> Iterator[np.ndarray]:
    """The reference's real batches, cut from its picture."""
    picture = REFERENCE["picture"]
    for corners in REFERENCE["corners"].astype(int):
        yield np.stack([picture[y : y + SIDE, x : x + SIDE] for y, x in corners])


@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_the_first_losses_are_those_of_pytorch(replay, player):
    expected = REFERENCE[f"{player}_losses"][0]
    np.testing.assert_allclose(replay.losses[player][0], expected, rtol=1e-5)


@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_ten_updates_have_the_losses_of_pytorch(replay, player):
    expected = REFERENCE[f"{player}_losses"]
    assert len(expected) == 10
    np.testing.assert_allclose(replay.losses[player], expected, rtol=1e-3)


@pytest.mark.parametrize("stage", range(4))
def test_the_generators_running_statistics_are_those_of_pytorch(replay, stage):
    ours = replay.end.generator.batch_stats["stages"][stage]["norm"]
    name = f"end/generator/batch_stats/stages/{stage}/norm"
    mean, unbiased = REFERENCE[f"{name}/mean"], REFERENCE[f"{name}/var"]
    np.testing.assert_allclose(ours["mean"], mean, rtol=1e-3, atol=1e-5)
    # PyTorch keeps the unbiased variance, Flax the biased one; of the initial one,
    # 0.9 to the tenth is left in both.
    n = REFERENCE["z"].shape[1] * (4 << stage) ** 2
    kept = 0.9**10
    biased = kept + (unbiased - kept) * (n - 1) / n
    np.testing.assert_allclose(ours["var"], biased, rtol=1e-4)


def test_the_discriminators_running_means_follow_the_real_batch_then_the_fake(replay):
    paint = jax.jit(lambda player, z: update.apply(replay.generator, player, z)[0])
    fake = paint(replay.start.generator, REFERENCE["z"][0])
    stages = replay.start.discriminator.params["stages"]

    def mean_before_the_first_batch_norm(pictures):
        x = pictures
        for stage in (0, 1):
            x = jax.nn.leaky_relu(x, 0.2) if stage else x
            x = jax.lax.conv_general_dilated(
                x,
                stages[stage]["kernel"],
                (2, 2),
                ((1, 1), (1, 1)),
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
                precision="highest",
            )
        return np.mean(x, axis=(0, 1, 2))

    real = jnp.asarray(next(batches()) / 127.5 - 1.0, jnp.float32)
    # Starting from nothing, a tenth of the real batch, nine tenths of that later.
    expected = 0.09 * mean_before_the_first_batch_norm(
        real
    ) + 0.1 * mean_before_the_first_batch_norm(fake)
    ours = replay.second.discriminator.batch_stats["stages"][1]["norm"]["mean"]
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-6)


def test_the_reference_is_small_enough_to_be_committed():
    assert (Path(__file__).parent / "reference.npz").stat().st_size <= 400_000
