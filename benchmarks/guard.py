"""See that what makes things fast still does: ratios of times within one run.

    python benchmarks/guard.py

Each check times two ways to the same answer in turns (A B A B ...), takes the median
over the turns of A's seconds divided by B's, and sees that it is at most a bound.
Bounds are generous: they are for something that broke, not for something that got
slower, and hold on a machine that does other things meanwhile. With `--tries` a check
that failed is timed anew, since a machine's bad moment does not come twice.

* **convolution**: one update of the DCGAN against the same with XLA's own convolutions.
* **calls**: several updates in one call against as many calls.
* **kept**: an update that cuts its batch from a dataset on the device against one that
  is given its batch.
* **features**: slopes through VGG16's first layers against XLA's own convolutions.
* **nine losses**: those of a round of strokes in one call against nine calls.

On a GPU or TPU XLA's own convolutions are what runs, and the bounds of convolution and
features do not apply. Prints a table and, last, one JSON object on a line. Exit code 1
if a ratio is over its bound.
"""

import functools
import json
import runpy
import statistics
import sys
import time
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

from jaxart import vgg, winograd
from jaxart.gan import convolution, devices
from jaxart.gan.networks import Discriminator, Generator
from jaxart.gan.update import start
from jaxart.painter.settings import Settings
from jaxart.paintings import resident


_TURNS = flags.DEFINE_integer("turns", 7, "turns of each check", lower_bound=1)
_TRIES = flags.DEFINE_integer("tries", 3, "times that a check may fail", lower_bound=1)
_ONLY = flags.DEFINE_list("only", [], "names of checks; default: all")

SIZE, WIDTH, BATCH_SIZE = 64, 32, 8  # of the DCGAN
IN_ONE_CALL = 3  # updates
PICTURES = 200  # of the dataset that is kept
CONFIG = Path(__file__).parents[1] / "configs" / "paint.py"

TABLE = (
    Column("name", "check", 14),
    Column("seconds", "seconds", 10, ".4f"),
    Column("other_seconds", "others", 10, ".4f"),
    Column("ratio", "ratio", 8, ".2f"),
    Column("bound", "at most", 9, ".2f"),
    Column("verdict", "  ", 10),
)

Way = Callable[[], Any]  # does something once, and returns a promise of the answer


class Check(NamedTuple):
    """Two ways, and how their times should compare.

    Args:
        ours: the way that should be fast.
        other: the one it is compared with.
        bound: of our time, in times of the other.
    """

    ours: Way
    other: Way
    bound: float


def check_convolution() -> Check:
    """Compare one update with the same with XLA's own convolutions."""
    with mock.patch.multiple(convolution, halve=_halve, double=_double):
        other = updates.__wrapped__(1)
        jax.block_until_ready(other())  # is traced now
    return Check(updates(1), other, 0.6)


def check_calls() -> Check:
    """Compare several updates in one call with as many calls."""
    one = updates(1)

    def one_by_one() -> Any:
        for _ in range(IN_ONE_CALL - 1):
            one()
        return one()

    return Check(updates(IN_ONE_CALL), one_by_one, 1.25)


def check_kept() -> Check:
    """Compare an update that cuts its own batch with one that is given it."""
    return Check(updates(1, kept=True), updates(1), 1.3)


def check_features() -> Check:
    """Compare slopes through VGG16's first layers with XLA's own convolutions."""
    weights, images = vgg.load(), jnp.asarray(_pictures(2, 64) / np.float32(255))

    def slopes() -> Way:
        @jax.jit
        def slope(images: Array) -> Array:
            def loss(images: Array) -> Array:
                return (vgg.features(weights, images, ["relu3_3"])[0] ** 2).sum()

            return jax.grad(loss)(images)

        return lambda: slope(images)

    ours = slopes()
    with mock.patch.object(winograd, "convolve", _convolve):
        other = slopes()
        jax.block_until_ready(other())  # is traced now
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
    "kept": (check_kept, ""),
    "features": (check_features, "cpu"),
    "nine losses": (check_nine_losses, ""),
}


@functools.cache
def updates(count: int, *, kept: bool = False) -> Way:
    """Return a call of some updates of the DCGAN, of a dataset that is kept or not."""
    shape = {"size": SIZE, "dtype": "float32", "rngs": nnx.Rngs(0)}
    networks = (
        Generator(width=WIDTH, latent=100, **shape),
        Discriminator(width=WIDTH, **shape),
    )
    optimizer = optax.adam(1e-4)
    compiled = devices.compiled(
        *networks,
        optimizer,
        loss="non_saturating",
        parallel="jit",
        batch_size=BATCH_SIZE,
        draw=functools.partial(resident.batch, size=SIZE, batch_size=BATCH_SIZE),
    )
    state = compiled.spread(start(*networks, optimizer, 0))
    if kept:
        pictures = [{"pixels": pixels} for pixels in _pictures(PICTURES, 2 * SIZE)]
        fed = compiled.keep(resident.load(pictures))(count)
    else:
        batches = _pictures(count * BATCH_SIZE, SIZE)
        fed = compiled.feed(batches.reshape(count, BATCH_SIZE, SIZE, SIZE, 3))

    def call() -> Any:
        nonlocal state
        state, metrics = compiled.steps(state, fed)
        return metrics

    return call


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


def timed(way: Way) -> float:
    """Return the seconds that a way takes, waiting for its end."""
    begin = time.perf_counter()
    jax.block_until_ready(way())
    return time.perf_counter() - begin


def compared(check: Check, turns: int) -> dict[str, float]:
    """Time both ways in turns."""
    pairs = [(timed(check.ours), timed(check.other)) for _ in range(turns)]
    ours, others = zip(*pairs, strict=True)
    return {
        "seconds": statistics.median(ours),
        "other_seconds": statistics.median(others),
        "ratio": statistics.median(a / b for a, b in pairs),
    }


def checked(name: str, check: Check) -> dict[str, Any]:
    """Compare until the ratio is within its bound, or there are no tries left."""
    for way in (check.ours, check.other):
        jax.block_until_ready(way())  # compiles
    row: dict[str, Any] = {}
    for _ in range(_TRIES.value):
        row = {"name": name, "bound": check.bound, **compared(check, _TURNS.value)}
        row["verdict"] = "  good" if row["ratio"] <= check.bound else "  TOO SLOW"
        print_row(row, TABLE)
        if row["ratio"] <= check.bound:
            break
    return row


def main(_: list[str]) -> None:
    """Make all checks that apply to the device."""
    logging.set_verbosity(logging.WARNING)  # JAX tells which devices it did not find
    platform = jax.default_backend()
    print_head(TABLE)
    rows = [
        checked(name, make())
        for name, (make, where) in CHECKS.items()
        if where in ("", platform) and name in (_ONLY.value or CHECKS)
    ]
    kind = jax.devices()[0].device_kind
    print(json.dumps({"name": "guard", "device": kind, "rows": rows}))
    if any(row["ratio"] > row["bound"] for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    app.run(main)
