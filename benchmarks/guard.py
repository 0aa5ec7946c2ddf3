"""Regression tests of speed: ratios of times within one run.

    python benchmarks/guard.py

Each check times two computations of the same result in turns (A B A B ...), and
compares the median of A's seconds divided by B's with a bound. Bounds are generous:
they catch what broke, not what got a little slower, and hold on a busy machine. A check
that fails is timed again, up to `--tries` times.

* **convolution**: one update of the DCGAN against the same with XLA's own convolutions.
* **calls**: several updates in one call against as many calls.
* **atlas**: an update that cuts its batch from an atlas on the device against one that
  is given its batch.
* **features**: gradients through VGG16's first layers against XLA's own convolutions.
* **nine losses**: those of a round of strokes in one call against nine calls.

On a GPU or TPU XLA's own convolutions are what runs, and the bounds of convolution and
features do not apply. Prints a table and, last, one JSON object on a line. Exit code 1
if a ratio is over its bound.
"""

import functools
import json
import runpy
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import app, flags, logging
from flax import nnx
from jax import lax
from jaxtyping import Array, Float, UInt8
from painter import nine_losses
from painter.tables import Column, print_head, print_row
from timing import median_and_spread, ratio, time_call

from jaxart import malloc, vgg, winograd
from jaxart.gan import convolution, parallel
from jaxart.gan.networks import Discriminator, Generator
from jaxart.gan.update import Recipe, init_state
from jaxart.painter.settings import Settings
from jaxart.paintings import atlas


_TURNS = flags.DEFINE_integer("turns", 7, "turns of each check", lower_bound=1)
_TRIES = flags.DEFINE_integer("tries", 3, "times that a check may fail", lower_bound=1)
_ONLY = flags.DEFINE_list("only", [], "names of checks; default: all")

SIZE, WIDTH, BATCH_SIZE = 64, 32, 8  # of the DCGAN
IN_ONE_CALL = 3  # updates
PICTURES = 200  # of the atlas
CONFIG = Path(__file__).parents[1] / "configs" / "paint.py"

TABLE = (
    Column("name", "check", 14),
    Column("seconds", "seconds", 10, ".4f"),
    Column("other_seconds", "others", 10, ".4f"),
    Column("ratio", "ratio", 8, ".2f"),
    Column("bound", "at most", 9, ".2f"),
    Column("verdict", "  ", 10),
)

Call = Callable[[], Any]  # dispatches a computation, and returns its result


class Check(NamedTuple):
    """Two calls, and a bound on the ratio of their times.

    Args:
        ours: the call that should be fast.
        other: what it is compared with.
        bound: of our seconds divided by the other's.
    """

    ours: Call
    other: Call
    bound: float


def check_convolution() -> Check:
    """Compare one update with the same with XLA's own convolutions."""
    with mock.patch.multiple(convolution, halve=_halve, double=_double):
        other = updates.__wrapped__(1)
        jax.block_until_ready(other())  # traces
    return Check(updates(1), other, 0.6)


def check_calls() -> Check:
    """Compare several updates in one call with as many calls."""
    one = updates(1)

    def one_by_one() -> Any:
        for _ in range(IN_ONE_CALL - 1):
            one()
        return one()

    return Check(updates(IN_ONE_CALL), one_by_one, 1.25)


def check_atlas() -> Check:
    """Compare an update that cuts its batch from an atlas with one that is given it."""
    return Check(updates(1, from_atlas=True), updates(1), 1.3)


def check_features() -> Check:
    """Compare gradients through VGG16's first layers with XLA's own convolutions."""
    weights, images = vgg.load(), jnp.asarray(_pictures(8, 64) / np.float32(255))

    def gradients() -> Call:
        @jax.jit
        def gradient(images: Array) -> Array:
            def loss(images: Array) -> Array:
                return (vgg.features(weights, images, ["relu3_3"])[0] ** 2).sum()

            return jax.grad(loss)(images)

        return lambda: gradient(images)

    ours = gradients()
    with mock.patch.object(winograd, "convolve", _convolve):
        other = gradients()
        jax.block_until_ready(other())  # traces
    return Check(ours, other, 0.8)


def check_nine_losses() -> Check:
    """Compare the nine losses of a round in one call with nine calls."""
    settings = Settings(**runpy.run_path(str(CONFIG))["get_config"]())
    settings = replace(settings, slope="finite_differences")
    task, _ = nine_losses.make_task(_pictures(1, 256)[0], settings)
    return Check(
        lambda: nine_losses.at_once(task),
        lambda: nine_losses.one_after_another(task),
        1.1,
    )


CHECKS = {
    "convolution": (check_convolution, "cpu"),
    "calls": (check_calls, ""),
    "atlas": (check_atlas, ""),
    "features": (check_features, "cpu"),
    "nine losses": (check_nine_losses, ""),
}


@functools.cache
def updates(count: int, *, from_atlas: bool = False) -> Call:
    """Return a call of updates of the DCGAN, on crops of an atlas or given ones."""
    shape = {"size": SIZE, "dtype": "float32", "rngs": nnx.Rngs(0)}
    networks = (
        Generator(width=WIDTH, latent_dim=100, **shape),
        Discriminator(width=WIDTH, **shape),
    )
    adam = optax.adam(1e-4)
    recipe = Recipe(adam, adam)
    compiled = parallel.make_parallel_update(
        *networks,
        recipe,
        parallel="jit",
        batch_size=BATCH_SIZE,
        load_batch=_crops if from_atlas else lambda _, pixels: pixels,
    )
    state = compiled.replicate(init_state(*networks, recipe, 0))
    dataset = None
    if from_atlas:
        records = [{"pixels": pixels} for pixels in _pictures(PICTURES, 2 * SIZE)]
        packed = atlas.load(records)
        dataset = compiled.replicate_dataset(packed.pixels)
        corners = packed.rectangles[: count * BATCH_SIZE, :2]
        batches = compiled.shard(corners.reshape(count, BATCH_SIZE, 2))
    else:
        pixels = _pictures(count * BATCH_SIZE, SIZE)
        batches = compiled.shard(pixels.reshape(count, BATCH_SIZE, SIZE, SIZE, 3))

    def call() -> Any:
        nonlocal state
        state, metrics = compiled.run(state, dataset, batches)
        return metrics

    return call


def _crops(pixels: Array, corners: Array) -> Array:
    return atlas.crops(pixels, corners, SIZE)


def _pictures(count: int, size: int) -> UInt8[np.ndarray, "b h w 3"]:
    """Return pictures of noise."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, size, size, 3), np.uint8)


AXES = ("NHWC", "HWIO", "NHWC")


def _halve(
    x: Float[Array, "b height width i"], kernel: Float[Array, "4 4 i o"]
) -> Float[Array, "b h w o"]:
    around = ((1, 1), (1, 1))
    return lax.conv_general_dilated(x, kernel, (2, 2), around, dimension_numbers=AXES)


def _double(
    x: Float[Array, "b h w o"], kernel: Float[Array, "4 4 i o"]
) -> Float[Array, "b height width i"]:
    return lax.conv_transpose(
        x, kernel, (2, 2), "SAME", dimension_numbers=AXES, transpose_kernel=True
    )


def _convolve(
    x: Float[Array, "b h w i"], kernel: Float[Array, "3 3 i o"]
) -> Float[Array, "b h w o"]:
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=AXES)


def compare(check: Check, turns: int) -> dict[str, float]:
    """Time both calls in turns."""
    pairs = [(time_call(check.ours), time_call(check.other)) for _ in range(turns)]
    ours, others = zip(*pairs, strict=True)
    return {
        "seconds": median_and_spread(ours)[0],
        "other_seconds": median_and_spread(others)[0],
        "ratio": ratio(ours, others),
    }


def run_check(name: str, check: Check) -> dict[str, Any]:
    """Compare until the ratio is within its bound, or there are no tries left."""
    for call in (check.ours, check.other):
        jax.block_until_ready(call())  # compiles
    row: dict[str, Any] = {}
    for _ in range(_TRIES.value):
        row = {"name": name, "bound": check.bound, **compare(check, _TURNS.value)}
        row["verdict"] = "  good" if row["ratio"] <= check.bound else "  TOO SLOW"
        print_row(row, TABLE)
        if row["ratio"] <= check.bound:
            break
    return row


def main(_: list[str]) -> None:
    """Run all checks that apply to the device."""
    malloc.retain_freed_memory()  # as training does, before there are threads
    logging.set_verbosity(logging.WARNING)  # JAX logs which devices it did not find
    platform = jax.default_backend()
    print_head(TABLE)
    rows = [
        run_check(name, make())
        for name, (make, on) in CHECKS.items()
        if on in ("", platform) and name in (_ONLY.value or CHECKS)
    ]
    kind = jax.devices()[0].device_kind
    print(json.dumps({"name": "guard", "device": kind, "rows": rows}))
    if any(row["ratio"] > row["bound"] for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    app.run(main)
