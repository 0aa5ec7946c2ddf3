"""The count of launches, against programs whose launches are known."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax import lax


BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SIDE = 64
BYTES = 4 * SIDE**2  # of an array
X = jnp.ones((SIDE, SIDE))


@pytest.fixture(scope="module")
def count() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import launches  # pyright: ignore[reportMissingImports]

        yield launches.count


def test_what_is_computed_number_by_number_is_one_kernel(count: Any):
    found = count(lambda x, y: jnp.sin(x) * y + 1, X, X)
    # And the four bytes of the number.
    assert found == (1, 0, 3 * BYTES + 4, 0)


def test_a_product_needs_its_arguments_in_memory(count: Any):
    found = count(lambda x, y: jnp.sin(x) @ y + x, X, X)
    # The sine, the product, and the sum.
    assert found == (3, 0, (2 + 3 + 3) * BYTES, 2 * SIDE**3)


def test_a_convolution_counts_its_operations(count: Any):
    x, kernel = jnp.ones((1, 8, 8, 3)), jnp.ones((4, 4, 3, 16))
    axes = ("NHWC", "HWIO", "NHWC")

    def halve(x: jax.Array) -> jax.Array:
        padding = ((1, 1), (1, 1))
        return lax.conv_general_dilated(
            x, kernel, (2, 2), padding, dimension_numbers=axes
        )

    assert count(halve, x).flop == 2 * 4 * 4 * 3 * 16 * (4 * 4)


def test_the_body_of_a_loop_counts_as_often_as_it_runs(count: Any):
    def known(x: jax.Array) -> jax.Array:
        return lax.scan(lambda x, _: (x @ x, None), x, None, 10)[0]

    assert count(known, X) == (10, 0, 10 * 2 * BYTES, 10 * 2 * SIDE**3)

    def unknown(x: jax.Array, trips: jax.Array) -> jax.Array:
        return lax.fori_loop(0, trips, lambda _, x: x @ x, x)

    # In each trip a product and the counter; the host waits once more at the end.
    found = count(unknown, X, jnp.int32(7))
    assert (found.launches, found.waits, found.flop) == (14, 8, 7 * 2 * SIDE**3)


def test_only_the_branch_that_is_taken_counts(count: Any):
    def branch(x: jax.Array, index: jax.Array) -> jax.Array:
        return lax.cond(index > 0, lambda x: x @ x @ x, lambda x: x, x)

    for index, launches in ((1, 2), (0, 0)):
        found = count(branch, X, jnp.int32(index))
        # And the comparison.
        assert (found.launches, found.waits) == (1 + launches, 1)


def test_forms_for_cpus_do_not_count(count: Any):
    def by_platform(x: jax.Array) -> jax.Array:
        return lax.platform_dependent(
            x, cpu=lambda x: x @ x @ x @ x, default=lambda x: x @ x
        )

    assert count(by_platform, X).launches == 1
