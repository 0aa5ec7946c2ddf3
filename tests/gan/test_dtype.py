"""What `dtype` does to a run: bfloat16 trains as float32 does."""

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxart.gan.parallel import make_parallel_update
from jaxart.gan.settings import Settings
from jaxart.gan.update import init_state


ROOT = Path(__file__).parents[2]
UPDATES, BATCH_SIZE = 40, 16
LOSSES = ("discriminator_loss", "generator_loss")


def loss_curves(dtype: str, seed: int) -> np.ndarray:
    """Return both losses of each update of a small run, on pictures of squares."""
    config: Any = runpy.run_path(str(ROOT / "configs/art.py"))["get_config"]()
    config.size, config.batch_size, config.dtype = 32, BATCH_SIZE, dtype
    config.generator.width = config.discriminator.width = 8
    settings = Settings.from_config(config)
    networks, recipe = settings.make_networks(seed), settings.make_recipe()
    updates = make_parallel_update(
        *networks,
        recipe,
        parallel="jit",
        batch_size=BATCH_SIZE,
    )
    squares = np.random.default_rng(0).integers(
        40, 216, (UPDATES, BATCH_SIZE, 4, 4, 3), np.uint8
    )
    batches = updates.shard(squares.repeat(8, 2).repeat(8, 3))
    state = updates.replicate(init_state(*networks, recipe, seed))
    _, metrics = updates.run(state, None, batches)
    return np.array([metrics[name] for name in LOSSES])


@pytest.mark.slow
def test_losses_in_bfloat16_follow_those_in_float32():
    float32 = loss_curves("float32", 0)
    assert float32[0, -5:].mean() < 0.95 * float32[0, 0]  # D learns
    difference = abs(loss_curves("bfloat16", 0) - float32)
    other_seed = abs(loss_curves("float32", 1) - float32)
    assert 0 < difference.max() < 0.02
    assert difference.mean() < 0.1 * other_seed.mean()
