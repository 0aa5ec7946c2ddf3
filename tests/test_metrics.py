import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import prdc
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxart import metrics


def samples_with_moments(
    rng: np.random.Generator, count: int, mean: np.ndarray, covariance: np.ndarray
) -> np.ndarray:
    """Draw samples, and transform them so that their moments are exactly these."""
    rows = rng.standard_normal((count, len(mean)))
    rows -= rows.mean(axis=0)
    root = scipy.linalg.cholesky(np.cov(rows, rowvar=False), lower=True)
    target = scipy.linalg.cholesky(covariance, lower=True)
    return mean + np.linalg.solve(root, rows.T).T @ target.T


def rotation(rng: np.random.Generator, width: int) -> np.ndarray:
    return np.linalg.qr(rng.standard_normal((width, width)))[0]


def frechet_by_sqrtm(a: np.ndarray, b: np.ndarray) -> float:
    """The Fréchet distance by its definition."""
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = np.trace(scipy.linalg.sqrtm(first @ second)).real
    difference = a.mean(axis=0) - b.mean(axis=0)
    return difference @ difference + np.trace(first) + np.trace(second) - 2 * root


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch):
    """Blocks of the usual size are slower than small tests need."""
    monkeypatch.setattr(metrics, "BLOCK", 128)


# The Fréchet distance.


def test_frechet_distance_of_commuting_covariances_has_a_closed_form():
    rng = np.random.default_rng(0)
    turn = rotation(rng, 3)
    # Covariances that commute: the distance is that of means and of deviations.
    a = samples_with_moments(rng, 10, np.zeros(3), turn @ np.diag([1.0, 4, 9]) @ turn.T)
    b = samples_with_moments(
        rng, 7, np.array([1.0, 2, 2]), turn @ np.diag([4.0, 4, 1]) @ turn.T
    )
    assert metrics.frechet_distance(a, b).value == pytest.approx(9 + 1 + 0 + 4)


@pytest.mark.parametrize("counts", [(40, 50), (40, 9), (9, 40)])
def test_frechet_distance_agrees_with_scipy_s_square_root(counts: tuple[int, int]):
    rng = np.random.default_rng(0)
    a, b = (rng.gamma(2, size=(n, 8)) @ rng.standard_normal((8, 8)) for n in counts)
    assert metrics.frechet_distance(a, b).value == pytest.approx(frechet_by_sqrtm(a, b))


@pytest.mark.parametrize("counts", [(5, 6), (5, 30), (30, 5), (2, 2), (12, 13)])
def test_linearly_dependent_features_do_not_matter(counts: tuple[int, int]):
    """With fewer samples than features as with more, and singular covariances."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((n, 3)) for n in counts)
    embedding = rotation(rng, 12)[:3]
    expected = metrics.frechet_distance(a, b)
    found = metrics.frechet_distance(a @ embedding, b @ embedding)
    assert found.value == pytest.approx(expected.value, rel=1e-6)
    assert found.error == pytest.approx(expected.error, rel=1e-6)


@pytest.mark.parametrize("count", [2, 7, 50])
def test_frechet_distance_is_zero_for_the_same_never_negative_and_symmetric(count: int):
    rng = np.random.default_rng(count)
    a = 100 + rng.standard_normal((count, 10)).astype(np.float32)
    b = rng.standard_normal((count + 1, 10))
    same = metrics.frechet_distance(a, a[::-1])
    assert 0 <= same.value < 1e-5
    assert metrics.frechet_distance(np.ones((3, 4)), np.ones((2, 4))) == (0, 0)
    assert metrics.frechet_distance(a, b) == pytest.approx(
        metrics.frechet_distance(b, a)
    )


@pytest.mark.parametrize("count", [6, 60])
def test_frechet_distance_is_invariant_to_shifts_and_rotations(count: int):
    rng = np.random.default_rng(0)
    a, b = rng.gamma(2, size=(2, count, 10))
    turn, shift = rotation(rng, 10), rng.standard_normal((1, 10))
    assert metrics.frechet_distance(5 * (a @ turn + shift), 5 * (b @ turn + shift)) == (
        pytest.approx(25 * np.array(metrics.frechet_distance(a, b)))
    )


@pytest.mark.parametrize("counts", [(30, 40), (12, 15), (5, 4)])
def test_the_error_is_the_derivative_in_the_weights_of_samples(
    counts: tuple[int, int],
):
    rng = np.random.default_rng(0)
    a, b = (rng.gamma(2, size=(n, 8)) for n in counts)
    width = 1e-4

    def distance(weights: list[np.ndarray]) -> float:
        """Of weighted samples, from their covariances (over n - 1 again)."""
        means, factors, traces = [], [], 0.0
        for x, w in zip((a, b), weights, strict=True):
            w = w / w.sum()
            mean = w @ x
            rows = np.sqrt(w)[:, None] * (x - mean) * np.sqrt(len(x) / (len(x) - 1))
            means.append(mean)
            factors.append(rows)
            traces += (rows**2).sum()
        product = np.linalg.svd(factors[0] @ factors[1].T, compute_uv=False).sum()
        return ((means[0] - means[1]) ** 2).sum() + traces - 2 * product

    variance = 0.0
    for side, count in enumerate(counts):
        derivatives = []
        for sample in range(count):
            ends = []
            for sign in (1, -1):
                weights = [np.full(n, 1 / n) for n in counts]
                weights[side][sample] += sign * width / count
                ends.append(distance(weights))
            derivatives.append((ends[0] - ends[1]) / (2 * width / count))
        variance += np.var(derivatives, ddof=1) / count
    found = metrics.frechet_distance(a, b)
    assert found.value == pytest.approx(distance([np.ones(n) for n in counts]))
    assert found.error == pytest.approx(np.sqrt(variance), rel=1e-5)


def test_the_error_of_the_frechet_distance_is_its_scatter():
    rng = np.random.default_rng(0)
    found = [
        metrics.frechet_distance(
            rng.standard_normal((300, 4)), 0.5 + 1.5 * rng.standard_normal((200, 4))
        )
        for _ in range(200)
    ]
    values, errors = np.array(found).T
    # The scatter of 200 numbers is known to 5 %.
    assert errors.mean() == pytest.approx(values.std(ddof=1), rel=0.15)
    # 4 (0.5² + (1.5 - 1)²), and a little more.
    assert 2 < values.mean() < 2.2


@pytest.mark.parametrize("counts", [(400, 400), (300, 600)])
def test_the_bias_of_the_frechet_distance_is_as_documented(
    counts: tuple[int, int],
):
    rng = np.random.default_rng(0)
    width, variance = 20, 3.0
    samples = [
        [np.sqrt(variance) * rng.standard_normal((n, width)) for n in counts]
        for _ in range(40)
    ]
    found = np.mean([metrics.frechet_distance(a, b).value for a, b in samples])
    bias = variance * width * (width + 5) / 4 * sum(1 / n for n in counts)
    assert found == pytest.approx(bias, rel=0.1)


# The kernel distance.


def mmd_by_double_sums(a: np.ndarray, b: np.ndarray) -> float:
    """The unbiased estimate by its double sums, one pair after the other."""

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return (
            sum(float(p) * float(q) for p, q in zip(x, y, strict=True)) / len(x) + 1
        ) ** 3

    value = 0.0
    for x in (a, b):
        pairs = itertools.permutations(x, 2)
        value += sum(kernel(p, q) for p, q in pairs) / (len(x) * (len(x) - 1))
    cross = [kernel(p, q) for p in a for q in b]
    return value - 2 * sum(cross) / len(cross)


def test_kernel_distance_is_the_mean_of_double_sums():
    rng = np.random.default_rng(0)
    a, b = rng.gamma(2, size=(25, 5)), rng.gamma(3, size=(22, 5))
    found = metrics.kernel_distance(a, b, seed=7, subsets=3, subset_size=7)
    permuted = np.random.default_rng(7)
    first = a[permuted.permutation(25)[:21].reshape(3, 7)]
    second = b[permuted.permutation(22)[:21].reshape(3, 7)]
    values = [mmd_by_double_sums(x, y) for x, y in zip(first, second, strict=True)]
    assert found.value == pytest.approx(np.mean(values))
    assert found.error == pytest.approx(np.std(values, ddof=1) / 3**0.5)


def test_kernel_distance_of_equal_distributions_is_zero_within_its_error():
    rng = np.random.default_rng(0)
    found = np.array(
        [
            metrics.kernel_distance(a, b, seed=0, subsets=10, subset_size=20)
            for a, b in rng.standard_normal((200, 2, 200, 6))
        ]
    )
    values, errors = found.T
    assert abs(values.mean()) < 3 * values.std() / 200**0.5
    assert (values < 0).mean() > 0.2
    assert np.sqrt((errors**2).mean()) == pytest.approx(values.std(), rel=0.15)


def test_kernel_distance_depends_on_the_seed_and_not_on_rotations():
    rng = np.random.default_rng(0)
    a, b = rng.gamma(2, size=(2, 60, 6))
    turn = rotation(rng, 6)
    options = {"subsets": 3, "subset_size": 20}
    found = metrics.kernel_distance(a, b, seed=1, **options)
    assert found == metrics.kernel_distance(a, b, seed=1, **options)
    assert found != metrics.kernel_distance(a, b, seed=2, **options)
    assert metrics.kernel_distance(a @ turn, b @ turn, seed=1, **options) == (
        pytest.approx(found)
    )


# Nearest neighbours.


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.array([[np.sqrt(((p - q) ** 2).sum()) for q in b] for p in a])


def values(found: metrics.PRDC) -> dict[str, float]:
    return {name: estimate.value for name, estimate in found._asdict().items()}


def check_equal(found: metrics.PRDC, other: metrics.PRDC) -> None:
    np.testing.assert_allclose(np.array(found), np.array(other), rtol=1e-12)


def test_prdc_on_a_line_can_be_counted_by_hand():
    # Balls to the nearest neighbour: reals reach 1, 1, 1, 7; fakes 0.5, 0.5, 9.5.
    # All are exact in float32, also after the shift by 4.5 and the scaling by 1/8.
    real = np.array([0.0, 1, 2, 9])[:, None]
    fake = np.array([2.5, 3, 12.5])[:, None]
    found = metrics.prdc(real, fake, precision_k=1, density_k=1)
    assert values(found) == {
        # All are within 7 of 9 (2.5 and 12.5), or within 1 of 2.
        "precision": 1,
        # 2 is on the border of 2.5's ball; 9 is within 9.5 of 12.5.
        "recall": 0.5,
        # 2.5 is within 1 of 2 and within 7 of 9; 3 is on 2's border, and within 7 of
        # 9; 12.5 is within 7 of 9.
        "density": pytest.approx(4 / 3),
        # 2 and 9.
        "coverage": 0.5,
    }


@pytest.mark.parametrize("block", [4, 7, 32])
@pytest.mark.parametrize("counts", [(20, 13), (8, 21), (8, 8)])
def test_prdc_agrees_with_the_authors_program_for_any_block_size(
    counts: tuple[int, int], block: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(metrics, "BLOCK", block)
    rng = np.random.default_rng(0)
    real, fake = (rng.standard_normal((n, 4)) for n in counts)
    for precision_k, density_k in ((1, 1), (3, 5), (6, 2)):
        found = metrics.prdc(real, fake, precision_k=precision_k, density_k=density_k)
        # The authors' program has one k for all.
        by_k = [prdc.compute_prdc(real, fake, k) for k in (precision_k, density_k)]
        sources = {"precision": 0, "recall": 0, "density": 1, "coverage": 1}
        expected = {name: by_k[source][name] for name, source in sources.items()}
        assert values(found) == pytest.approx(expected)


def test_prdc_of_a_set_with_itself_is_one():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((50, 5))
    found = metrics.prdc(a, a[::-1])
    assert values(found) == {"precision": 1, "recall": 1, "density": 1, "coverage": 1}
    assert found.precision.error == found.recall.error == found.coverage.error == 0


def test_precision_is_recall_with_the_sets_swapped():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((40, 5)), 0.7 * rng.standard_normal((30, 5))
    one, other = metrics.prdc(a, b), metrics.prdc(b, a)
    assert one.precision == other.recall != one.recall == other.precision


def test_prdc_is_invariant_to_shifts_rotations_scales_and_order():
    rng = np.random.default_rng(0)
    real, fake = rng.standard_normal((60, 6)), 0.8 * rng.standard_normal((50, 6))
    turn = rotation(rng, 6)
    found = metrics.prdc(real, fake)
    for scale in (1e-20, 1e20):
        moved = [scale * ((x + 1000) @ turn) for x in (real, fake)]
        check_equal(metrics.prdc(*moved), found)
    mixed = metrics.prdc(real[::-1], rng.permutation(fake))
    check_equal(mixed, found)


def test_the_errors_of_precision_and_density_are_their_scatter():
    rng = np.random.default_rng(0)
    real = rng.standard_normal((120, 2))
    samples = [
        metrics.prdc(real, 1.5 * rng.standard_normal((100, 2))) for _ in range(100)
    ]
    for name in ("precision", "density"):
        found = np.array([getattr(one, name) for one in samples])
        # Known to 7 %.
        scatter = found[:, 0].std(ddof=1)
        assert found[:, 1].mean() == pytest.approx(scatter, rel=0.2)


@pytest.mark.parametrize("block", [3, 16])
@pytest.mark.parametrize("count", [1, 4, 11])
def test_nearest_neighbours_are_found_for_any_block_size(
    block: int, count: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(metrics, "BLOCK", block)
    rng = np.random.default_rng(0)
    queries, corpus = rng.standard_normal((7, 4)), rng.standard_normal((11, 4))
    found = metrics.nearest_neighbours(queries, corpus, count)
    across = distances(queries, corpus)
    expected = np.argsort(across, axis=1)[:, :count]
    np.testing.assert_array_equal(found.indices, expected)
    np.testing.assert_allclose(
        found.distances, np.take_along_axis(across, expected, 1), rtol=1e-12
    )
    for row, query in enumerate(queries):
        alone = metrics.nearest_neighbours(query[None], corpus, count)
        np.testing.assert_array_equal(alone.indices[0], found.indices[row])


def test_a_copy_is_at_a_distance_of_exactly_zero():
    rng = np.random.default_rng(0)
    corpus = 1e4 + rng.standard_normal((30, 50), np.float32)
    found = metrics.nearest_neighbours(corpus[[5, 17]], corpus, 2)
    np.testing.assert_array_equal(found.indices[:, 0], [5, 17])
    np.testing.assert_array_equal(found.distances[:, 0], [0, 0])
    assert (found.distances[:, 1] > 1).all()


def test_ties_are_broken_by_the_order_of_the_corpus(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(metrics, "BLOCK", 2)
    found = metrics.nearest_neighbours(
        np.zeros((1, 2)), np.array([[2.0, 0], [1, 0]] * 3), 4
    )
    np.testing.assert_array_equal(found.indices, [[1, 3, 5, 0]])
    np.testing.assert_array_equal(found.distances, [[1, 1, 1, 2]])


def test_another_number_of_pictures_is_not_compiled_again():
    compilations: list[str] = []
    rng = np.random.default_rng(0)

    def compiled(n: int, m: int, width: int) -> int:
        compilations.clear()
        a, b = rng.random((n, width)), rng.random((m, width))
        metrics.prdc(a, b)
        metrics.nearest_neighbours(a, b, 2)
        return sum("backend_compile" in name for name in compilations)

    jax.monitoring.register_event_duration_secs_listener(
        lambda event, duration_secs, **_: compilations.append(event)
    )
    try:
        assert compiled(10, 20, 7) > 0
        assert compiled(300, 9, 7) == compiled(40, 130, 7) == 0
    finally:
        jax.monitoring.clear_event_listeners()


# All metrics.

Metric = Callable[[Any, Any], Any]
METRICS: dict[str, Metric] = {
    "frechet_distance": metrics.frechet_distance,
    "kernel_distance": lambda a, b: metrics.kernel_distance(
        a, b, seed=0, subsets=2, subset_size=3
    ),
    "prdc": metrics.prdc,
    "nearest_neighbours": lambda a, b: metrics.nearest_neighbours(a, b, 5),
}


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_features_may_be_on_a_device_and_in_any_precision(metric: Metric):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 40, 5)).astype(np.float32)
    expected = metric(a, b)
    for convert in (jnp.asarray, lambda x: x.astype(np.float64)):
        found = metric(convert(a), convert(b))
        assert jax.tree.structure(found) == jax.tree.structure(expected)
        jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_different_widths_are_refused(metric: Metric):
    with pytest.raises(ValueError, match=r"must have as many features as .*4; got 5"):
        metric(np.zeros((20, 4)), np.zeros((20, 5)))


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_features_that_are_not_finite_are_refused(
    metric: Metric, bad: float, side: int
):
    pair = np.ones((2, 20, 4))
    pair[side, 13, 2] = bad
    with pytest.raises(ValueError, match="finite; got NaN or infinity in row 13"):
        metric(*pair)


@pytest.mark.parametrize(
    ("metric", "minimum", "message"),
    [
        ("frechet_distance", (2, 2), "at least 2 rows for the Fréchet distance; got 1"),
        ("kernel_distance", (6, 6), "at least 6 rows for 2 subsets of 3; got 5"),
        ("prdc", (6, 6), "at least 6 rows for 5 neighbours; got 5"),
        ("nearest_neighbours", (1, 5), "at least"),
    ],
)
def test_too_few_samples_are_refused(
    metric: str, minimum: tuple[int, int], message: str
):
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((n, 4)) for n in minimum)
    METRICS[metric](a, b)
    for pair in ((a[1:], b), (a, b[1:])):
        with pytest.raises(ValueError, match=message):
            METRICS[metric](*pair)


def test_counts_out_of_range_are_refused():
    a = np.zeros((20, 3))
    with pytest.raises(ValueError, match="subsets must be at least 2; got 1"):
        metrics.kernel_distance(a, a, seed=0, subsets=1, subset_size=5)
    with pytest.raises(ValueError, match="subset_size must be at least 2; got 1"):
        metrics.kernel_distance(a, a, seed=0, subsets=5, subset_size=1)
    with pytest.raises(ValueError, match="neighbours must be at least 1; got 0"):
        metrics.prdc(a, a, density_k=0)
    with pytest.raises(ValueError, match="k must be at least 1; got 0"):
        metrics.nearest_neighbours(a, a, 0)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 12), st.integers(2, 12), st.integers(1, 8), st.integers(0, 2**31))
def test_frechet_distance_is_finite_and_symmetric_for_any_size(
    n: int, m: int, width: int, seed: int
):
    rng = np.random.default_rng(seed)
    # Zeros and ones: ranks are low, and rows repeat.
    a, b = (rng.integers(0, 2, (count, width)) * 1.0 for count in (n, m))
    found = metrics.frechet_distance(a, b)
    assert found.value >= 0
    assert found.error >= 0
    assert found == pytest.approx(metrics.frechet_distance(b, a), abs=1e-6)
    assert found.value >= ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum() - 1e-6


# Copies.


def test_copies_of_training_pictures_are_counted_as_such():
    rng = np.random.default_rng(0)
    training, held_out = rng.standard_normal((2, 300, 6))
    near = training[:50] + 1e-3 * rng.standard_normal((50, 6))
    assert metrics.copies(near, training, held_out).share == (1, 0)
    assert metrics.copies(held_out + 100, training, held_out).share == (0, 0)
    # Half of them, of which each picture has a standard deviation of 1/2.
    share = metrics.copies(np.concatenate([near, near + 50]), training, held_out).share
    assert share.value == 0.5
    assert share.error == pytest.approx(0.5 / np.sqrt(99))


def test_one_in_a_hundred_new_pictures_counts_as_a_copy():
    rng = np.random.default_rng(1)
    training, held_out = rng.standard_normal((2, 2000, 6))
    new = rng.standard_normal((8000, 6))
    found = metrics.copies(new, training, held_out)
    nearest = [
        np.sqrt(((x[:, None] - training[None]) ** 2).sum(2).min(1))
        for x in (held_out[:500], held_out[500:1000], held_out[1000:])
    ]
    expected = np.quantile(np.concatenate(nearest), 0.01)
    assert found.threshold == pytest.approx(expected)
    assert found.share.value == pytest.approx(0.01, abs=0.006)
    assert found.share.error == pytest.approx(np.sqrt(0.01 * 0.99 / 8000), rel=0.3)
