"""What a run costs, known before it starts: parameters, arithmetic, memory.

Arithmetic is counted twice. By formula it is what the plain algorithm needs:
convolutions and matrix products, two operations a product; images a second times that
is a rate that can be compared between programs. As compiled it is what XLA counts in
the program that runs, where some products are saved and everything else comes on top.
"""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
from flax import nnx
from jaxtyping import PyTree

from jaxart import machine
from jaxart.gan.networks import SMALLEST, Discriminator
from jaxart.gan.run_log import Speed
from jaxart.gan.strokes import AnyGenerator, StrokeGenerator


class Cost(NamedTuple):
    """What a run costs."""

    generator_parameters: int  # of G
    discriminator_parameters: int  # of D
    flop_per_image: int  # of an update, for an image of its batch, by formula
    # The same as XLA counts it; None if it does not.
    compiled_flop_per_image: float | None
    bytes_needed: int | None  # on each device; None if the compiler does not say
    bytes_available: int | None  # on each device; None if the device does not say

    def __str__(self) -> str:
        """Format as three lines."""
        return "\n".join(
            (
                f"parameters: {self.generator_parameters:,} of G, "
                f"{self.discriminator_parameters:,} of D",
                f"arithmetic: {format_giga(self.flop_per_image)} GFLOP an image, "
                f"{format_giga(self.compiled_flop_per_image)} as compiled",
                f"memory: {format_giga(self.bytes_needed)} GB needed, "
                f"{format_giga(self.bytes_available)} GB available",
            )
        )

    def check_memory(self, batch_size: int) -> None:
        """Check that the run fits.

        Raises:
            ValueError: it needs more memory than the device has.
        """
        if self.bytes_needed is None or self.bytes_available is None:
            return
        if self.bytes_needed > self.bytes_available:
            raise ValueError(
                f"batch_size must fit into memory: {batch_size} needs "
                f"{format_giga(self.bytes_needed)} GB, and "
                f"{format_giga(self.bytes_available)} GB are available"
            )


def estimate_cost(
    generator: AnyGenerator,
    discriminator: Discriminator,
    compiled: jax.stages.Compiled,
    images: int,
) -> Cost:
    """Estimate the cost of a run from its compiled updates.

    XLA counts what one device does: `images` are those of one update there.
    """
    analysis: Any = compiled.cost_analysis() or {}
    flop = analysis.get("flops")
    return Cost(
        parameters(generator),
        parameters(discriminator),
        flop_per_image(generator, discriminator),
        flop and flop / images,
        bytes_needed(compiled),
        machine.memory_limit(),
    )


def check_state(state: PyTree[jax.ShapeDtypeStruct]) -> None:
    """Check that the state of a run fits into memory, before it is made.

    Args:
        state: shapes and types of the networks and their optimizers.

    Raises:
        ValueError: it needs more memory than the device has.
    """
    leaves = jax.tree.leaves(state)
    needed = sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)
    available = machine.memory_limit()
    if available is not None and needed > available:
        raise ValueError(
            "generator.width and discriminator.width must lead to networks that fit "
            f"into memory: they need {format_giga(needed)} GB, and "
            f"{format_giga(available)} GB are available"
        )


def format_speed(cost: Cost, speed: Speed, dtype: str) -> str:
    """Format in a line how fast a run went, and how fast the machine could be."""
    rate = speed.images_per_second * cost.flop_per_image / jax.device_count()
    peak = machine.peak(dtype)
    share = "an unknown share of what the device can do"
    if peak is not None:
        share = (
            f"{rate / peak.flop_per_second:.0%} of the "
            f"{format_giga(peak.flop_per_second)} {peak.source}"
        )
    devices = "" if jax.device_count() == 1 else " on each device"
    return (
        f"speed: {_digits(speed.images_per_second)} images/s, "
        f"{format_giga(rate)} GFLOP/s{devices}: {share}; "
        f"{speed.input_wait_share:.1%} of the time waiting for data"
    )


def parameters(network: nnx.Module) -> int:
    """Return how many parameters a network has."""
    leaves = jax.tree.leaves(nnx.state(network, nnx.Param))
    return sum(leaf.size for leaf in leaves)


def flop_per_image(generator: AnyGenerator, discriminator: Discriminator) -> int:
    """Return the floating-point operations of an update for an image of its batch.

    Convolutions and matrix products only, with two operations a product; what drawing
    strokes takes is in `drawing.levels`. D passes over
    three batches: the real and the fake one in its own step, the fake one in G's step.
    """
    g_stages = _macs(generator.stages)
    d_stages = _macs(reversed(discriminator.stages))
    pixels = d_stages[-1]  # D's first layer
    latents = generator.seed.size
    conditions = sum(
        stage.modulation.kernel.size
        for stage in generator.stages
        if stage.modulation is not None
    )
    g = sum(g_stages) + latents + conditions
    if isinstance(generator, StrokeGenerator):
        latents += generator.hidden.kernel.size
        g += generator.hidden.kernel.size + generator.ground.kernel.size
        g += sum(layer.kernel.size for layer in generator.deeper)
        g += sum(h.out.kernel.size * h.level.cells**2 for h in generator.heads)
    d = sum(d_stages) + discriminator.score.kernel.size
    if discriminator.condition_scores is not None:
        d += discriminator.condition_scores.kernel.size
    # Forward, gradients of weights, gradients of inputs. No weights of D are asked for
    # in G's step; no gradient at the pixels in D's step, and none at the latents.
    d_products = 3 * d + 2 * d + (3 * d - 2 * pixels)
    g_products = g + g + (g - latents - conditions)
    return 2 * (d_products + g_products)


def bytes_needed(compiled: jax.stages.Compiled) -> int | None:
    """Return the bytes of a device's memory that a compiled program needs.

    Arguments, outputs and temporary buffers; a donated argument and the output in its
    place count once. None if the compiler does not say.
    """
    analysis: Any = compiled.memory_analysis()
    if analysis is None:
        return None
    return (
        analysis.argument_size_in_bytes
        + analysis.output_size_in_bytes
        + analysis.temp_size_in_bytes
        - analysis.alias_size_in_bytes
    )


def format_giga(count: int | float | None) -> str:
    """Return a count in thousands of millions, in three digits or more.

    >>> format_giga(8_982_000_000), format_giga(43_500_000)
    ('8.98', '0.0435')
    >>> format_giga(36e12), format_giga(None)
    ('36,000', 'unknown')
    """
    return "unknown" if count is None else _digits(count / 1e9)


def _digits(number: float) -> str:
    return f"{number:,.0f}" if number >= 1_000 else f"{number:.3g}"


def _macs(stages: Iterable[Any]) -> list[int]:
    """Return the products of each stage for an image, from the smallest map up.

    Every weight of its 4 by 4 kernel meets every pixel of its smaller map once.
    """
    return [
        16 * math.prod(stage.kernel.shape[2:]) * SMALLEST**2 * 4**number
        for number, stage in enumerate(stages)
    ]
