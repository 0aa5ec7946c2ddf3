"""How alike two collections of pictures are, judged by their features.

A picture becomes a row of numbers (`vgg.py` or `inception.py` says which), a collection
a cloud of points. Two clouds are compared as two Gaussians (Fréchet distance), by a
kernel that knows no Gaussian (kernel distance), or by who is whose neighbour: precision
and density say whether the made pictures look real, recall and coverage whether they
are as varied as the real ones. All are pure functions of features; each number comes
with its standard error. All depend on the features and, most of them, on how many
pictures there are: compare only numbers of the same features and the same counts.

Distances are computed in blocks of one shape, so that memory is bounded and one
compilation serves any number of pictures. Sums that nearly cancel are done in float64,
on the host.

Source: Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local
Nash Equilibrium" (2017), for the Fréchet distance; Rippl, Munk and Sturm, "Limit laws
of the empirical Wasserstein distance: Gaussian distributions" (2016), for the idea of
its error. Bińkowski et al., "Demystifying MMD GANs" (2018). Kynkäänniemi et al.,
"Improved Precision and Recall Metric for Assessing Generative Models" (2019). Naeem et
al., "Reliable Fidelity and Diversity Metrics for Generative Models" (2020), and their
program for a ball without its border.
Deviation: the Fréchet distance is found without a square root of a matrix, from
singular values alone. The subsets of the kernel distance share no picture, as theirs
do; the scatter of independent subsets is an error that can be trusted.
"""

import math
from itertools import chain
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, Bool, Float, Int


# Rows of a block. A block of distances has this many, squared: 4 MB.
BLOCK = 1024


class Estimate(NamedTuple):
    """A number found from samples, and its standard error."""

    value: float
    error: float


class Neighbourhoods(NamedTuple):
    """What `neighbourhoods` found; all in [0, 1] but density, which is above 0."""

    precision: Estimate
    recall: Estimate
    density: Estimate
    coverage: Estimate


class Nearest(NamedTuple):
    """For each query its nearest points of a corpus, nearest first."""

    indices: Int[np.ndarray, "n k"]
    distances: Float[np.ndarray, "n k"]


def frechet_distance(
    a: Float[Array | np.ndarray, "n c"], b: Float[Array | np.ndarray, "m _"]
) -> Estimate:
    """Return the squared Fréchet distance of two Gaussians fitted to samples.

    That is |μa − μb|² + tr(A) + tr(B) − 2 tr((AB)^½) for means μ and covariances A and
    B (over n − 1). The last trace is the sum of the singular values of Xa Xbᵀ, for any
    X with XᵀX = A: no square root of a matrix, nothing complex, and never negative. X
    are the centred samples where they are fewer than the features, so that all but one
    product happens at the smaller side (n x m); else it comes from the eigenvectors of
    the covariance.

    The error is that of the first order in the weights of single samples (the
    infinitesimal jackknife), from the same singular vectors. Where it is not right it
    is rather too large: for clouds that are alike 1.4 times the scatter, and up to 1.6
    times where there are about as many samples as features.

    It says how much the number scatters, not how far off it is. The number is too
    large, by about a constant times 1/n + 1/m, so compare only distances of the same
    counts. For one and the same Gaussian, with variance v in each of c directions, it
    is v c (c + 5) / 4 · (1/n + 1/m) instead of 0. With fewer samples than features
    such an offset is most of it.

    Cost: with n and m above c, 4 (n + m) c² floating-point operations, and about 50 c³
    by the textbook's counts for two eigendecompositions (9 each), the singular vectors
    (22) and products; up to c, 2 n m c and 22 n³. In float64.

    Args:
        a: features, a row for each sample; at least 2.
        b: features to compare them with; at least 2.

    Raises:
        ValueError: there are too few samples, the widths differ, or a feature is not
            finite.
    """
    a = _features("a", a, 2, "the Fréchet distance")
    b = _features("b", b, 2, "the Fréchet distance")
    _check_widths("a", a, "b", b)
    first, second = _fitted(a), _fitted(b)
    apart = first.mean - second.mean
    products = first.factor @ second.factor.T
    left, shared, right = np.linalg.svd(products, full_matrices=False)
    spread = np.sum(first.rows**2) + np.sum(second.rows**2)
    value = apart @ apart + spread - 2 * np.sum(shared)
    variance = _influence(first, left, shared, apart)
    variance += _influence(second, right.T, shared, -apart)
    return Estimate(max(float(value), 0.0), math.sqrt(variance))


def kernel_distance(
    a: Float[Array | np.ndarray, "n c"],
    b: Float[Array | np.ndarray, "m _"],
    *,
    seed: int,
    subsets: int,
    size: int,
) -> Estimate:
    """Return the squared maximum mean discrepancy, with the kernel (x·y / c + 1)³.

    The mean over subsets of its unbiased estimate, which may be below 0 where the true
    value is not. It does not depend on the number of samples but by its scatter, of
    which the error is the standard error over rows, if these are independent: no two
    subsets share one.

    Cost: 6 subsets · size² c floating-point operations, in float64.

    Args:
        a: features, a row for each sample; at least subsets · size.
        b: features to compare them with; at least as many.
        seed: draws the subsets, from `numpy.random.default_rng`: the first rows of a
            permutation of `a`, then of one of `b`.
        subsets: at least 2. The error's own error is 1 / sqrt(2 (subsets − 1)) of it.
        size: samples of each in a subset, at least 2.

    Raises:
        ValueError: `subsets` or `size` is too small, or asks for more samples than
            there are; the widths differ, or a feature is not finite.
    """
    for name, number in (("subsets", subsets), ("size", size)):
        if number < 2:
            raise ValueError(f"{name} must be at least 2; got {number}")
    used = subsets * size
    a = _features("a", a, used, f"{subsets} subsets of {size}")
    b = _features("b", b, used, f"{subsets} subsets of {size}")
    _check_widths("a", a, "b", b)
    rng = np.random.default_rng(seed)
    chosen = [rng.permutation(len(x))[:used].reshape(subsets, size) for x in (a, b)]
    values = [
        _discrepancy(a[i].astype(np.float64), b[j].astype(np.float64))
        for i, j in zip(*chosen, strict=True)
    ]
    return _mean(np.array(values))


def neighbourhoods(
    real: Float[Array | np.ndarray, "n c"],
    fake: Float[Array | np.ndarray, "m _"],
    *,
    precision_neighbours: int = 3,
    density_neighbours: int = 5,
) -> Neighbourhoods:
    """Return precision, recall, density and coverage, from one pass over distances.

    A point's neighbourhood is the ball that reaches to its k-th nearest neighbour of
    its own kind. Precision: the share of fakes in the neighbourhood of a real. Recall:
    the share of reals in the neighbourhood of a fake. Density: in how many reals'
    neighbourhoods a fake lies, over k; about 1 where both kinds are alike, and more
    where fakes crowd. Coverage: the share of reals that have a fake in their
    neighbourhood. The border belongs to the ball of the first two and not to that of
    the last two.

    The errors are over the pictures that are judged, fakes for precision and density,
    reals for recall and coverage, with the pictures that judge them given. Precision
    and recall grow with the number of the ones that judge.

    Cost: 2 (n² + m² + n m) c floating-point operations, in float32, and a few
    comparisons for each distance.

    Args:
        real: features of real pictures, a row for each; more than the neighbours.
        fake: features of made ones; more than the neighbours.
        precision_neighbours: k of precision and recall, at least 1; 3 in the paper.
        density_neighbours: k of density and coverage, at least 1; 5 in the paper.

    Raises:
        ValueError: there are not more samples than neighbours, or no neighbours; the
            widths differ, or a feature is not finite.
    """
    counts = precision_neighbours, density_neighbours
    if min(counts) < 1:
        raise ValueError(f"neighbours must be at least 1; got {min(counts)}")
    most = max(counts)
    real = _features("real", real, most + 1, f"{most} neighbours")
    fake = _features("fake", fake, most + 1, f"{most} neighbours")
    _check_widths("real", real, "fake", fake)
    reals, fakes = _blocks(real, fake)
    # A point is its own nearest one, which does not count.
    radii = [
        _radii(_closest(block, fakes, precision_neighbours + 1)[0]) for block in fakes
    ]
    of_reals = [jnp.zeros((2, BLOCK), jnp.int32)] * len(reals)
    of_fakes = [jnp.zeros((2, BLOCK), jnp.int32)] * len(fakes)
    for i, real_block in enumerate(reals):
        closest, _ = _closest(real_block, reals, most + 1)
        narrow = _radii(closest[:, : precision_neighbours + 1])
        wide = _radii(closest[:, : density_neighbours + 1])
        for j, fake_block in enumerate(fakes):
            of_reals[i], of_fakes[j] = _judge(
                of_reals[i],
                of_fakes[j],
                (real_block, narrow, wide),
                (fake_block, radii[j]),
            )
    recalled, covered = np.concatenate(of_reals, axis=1)[:, : len(real)]
    precise, around = np.concatenate(of_fakes, axis=1)[:, : len(fake)]
    return Neighbourhoods(
        precision=_mean(precise > 0),
        recall=_mean(recalled > 0),
        density=_mean(around / density_neighbours),
        coverage=_mean(covered > 0),
    )


def nearest(
    queries: Float[Array | np.ndarray, "n c"],
    corpus: Float[Array | np.ndarray, "m _"],
    count: int,
) -> Nearest:
    """Return for each query the points of a corpus that are nearest to it.

    They are chosen by squared distances in float32, where two that differ by less than
    about 1e-6 of the corpus's squared extent are the same; those chosen are then sorted
    by their distances in float64, and of equal ones the first in the corpus comes
    first.

    Cost: 2 n m c floating-point operations.

    Args:
        queries: features, a row for each; at least 1.
        corpus: where to look; at least `count`.
        count: how many for each query, at least 1.

    Raises:
        ValueError: `count` is less than 1 or more than the corpus has, there is no
            query, the widths differ, or a feature is not finite.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1; got {count}")
    queries = _features("queries", queries, 1, "nearest")
    corpus = _features("corpus", corpus, count, f"{count} nearest")
    _check_widths("queries", queries, "corpus", corpus)
    asked, there = _blocks(queries, corpus)
    answers = []
    for place, block in enumerate(asked):
        rows = queries[place * BLOCK : (place + 1) * BLOCK].astype(np.float64)
        indices = np.asarray(_closest(block, there, count)[1])[: len(rows)]
        # One neighbour at a time, as all of them may need much memory.
        distances = np.stack(
            [np.linalg.norm(rows - corpus[column], axis=1) for column in indices.T], 1
        )
        order = np.lexsort((indices, distances), axis=1)
        answers.append([np.take_along_axis(x, order, 1) for x in (indices, distances)])
    return Nearest(*(np.concatenate(parts) for parts in zip(*answers, strict=True)))


def _features(
    name: str, values: Float[Array | np.ndarray, "n c"], least: int, what: str
) -> Float[np.ndarray, "n c"]:
    """Return features on the host, in the precision they have."""
    values = np.asarray(values)
    if len(values) < least:
        raise ValueError(
            f"{name} must have at least {least} rows for {what}; got {len(values)}"
        )
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values).all(axis=1)))
        raise ValueError(f"{name} must be finite; got NaN or infinity in row {row}")
    return values


def _check_widths(first: str, a: np.ndarray, second: str, b: np.ndarray) -> None:
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"{second} must have as many features as {first}, {a.shape[1]}; got "
            f"{b.shape[1]}"
        )


def _mean(values: Float[np.ndarray, " n"] | Bool[np.ndarray, " n"]) -> Estimate:
    """Return the mean of independent values and its standard error."""
    error = values.std(ddof=1) / math.sqrt(len(values))
    return Estimate(float(values.mean()), float(error))


# The Fréchet distance.


class _Gaussian(NamedTuple):
    """A Gaussian fitted to samples.

    Args:
        mean: of the samples.
        rows: the samples less their mean, over sqrt(n - 1): the covariance is rowsᵀ
            rows.
        factor: factorᵀ factor is the covariance too, with at most c rows.
        turn: rows @ turn has orthonormal columns, and that times the factor is rows;
            None where the factor is rows itself.
    """

    mean: Float[np.ndarray, " c"]
    rows: Float[np.ndarray, "n c"]
    factor: Float[np.ndarray, "k c"]
    turn: Float[np.ndarray, "c k"] | None


def _fitted(values: Float[np.ndarray, "n c"]) -> _Gaussian:
    values = values.astype(np.float64)
    mean = values.mean(axis=0)
    rows = (values - mean) / math.sqrt(len(values) - 1)
    if len(rows) <= rows.shape[1]:
        return _Gaussian(mean, rows, rows, None)
    squares, directions = np.linalg.eigh(rows.T @ rows)
    # What is below is rounding error; such a direction has no samples.
    there = squares > len(rows) * np.finfo(np.float64).eps * squares[-1]
    lengths = np.sqrt(squares[there])
    directions = directions[:, there]
    return _Gaussian(mean, rows, lengths[:, None] * directions.T, directions / lengths)


def _influence(
    gaussian: _Gaussian,
    vectors: Float[np.ndarray, "k s"],
    shared: Float[np.ndarray, " s"],
    apart: Float[np.ndarray, " c"],
) -> float:
    """Return the variance of the Fréchet distance that one of the two samples brings.

    Were a sample's weight 1/n + e, the distance would change by e times what is here
    found for each. With Xa Xbᵀ = U S Vᵀ the derivative of the sum of S with the weight
    is n/2 (U S Uᵀ) at that sample's place of the diagonal.

    Args:
        gaussian: fitted to the samples whose weights change.
        vectors: the singular vectors on its side, in the basis of its factor.
        shared: the singular values.
        apart: its mean less the other's.
    """
    rows, turn = gaussian.rows, gaussian.turn
    count = len(rows)
    if turn is not None:
        vectors = rows @ (turn @ vectors)
    change = 2 * math.sqrt(count - 1) * (rows @ apart)
    change += count * (np.sum(rows**2, axis=1) - vectors**2 @ shared)
    return float(change.var(ddof=1)) / count


# The kernel distance.


def _discrepancy(a: Float[np.ndarray, "k c"], b: Float[np.ndarray, "k c"]) -> float:
    """Return the unbiased estimate of the squared maximum mean discrepancy."""
    size = len(a)
    value = -2 * _kernel(a, b).mean()
    for x in (a, b):
        products = _kernel(x, x)
        value += (products.sum() - np.trace(products)) / (size * (size - 1))
    return value


def _kernel(
    a: Float[np.ndarray, "k c"], b: Float[np.ndarray, "k c"]
) -> Float[np.ndarray, "k k"]:
    return (a @ b.T / a.shape[1] + 1) ** 3


# Neighbours.


class _Block(NamedTuple):
    """Points, filled up to `BLOCK` rows with such as are infinitely far away."""

    points: Float[Array, "r c"]
    squares: Float[Array, " r"]


def _blocks(*collections: Float[np.ndarray, "_ c"]) -> list[list[_Block]]:
    """Cut collections into blocks, moved and scaled together.

    Near zero and of a size of about 1, the squares lose least in float32.
    """
    middle = np.mean([x.mean(axis=0, dtype=np.float64) for x in collections], axis=0)
    parts = [
        [x[first : first + BLOCK] for first in range(0, len(x), BLOCK)]
        for x in collections
    ]
    # One by one, as the features may be many.
    extent = max(np.abs(part - middle).max() for part in chain(*parts)) or 1.0
    return [[_block((part - middle) / extent) for part in these] for these in parts]


def _block(points: Float[np.ndarray, "_ c"]) -> _Block:
    missing = BLOCK - len(points)
    points = np.pad(points, ((0, missing), (0, 0))).astype(np.float32)
    squares = np.sum(points**2, axis=1)
    squares[BLOCK - missing :] = np.inf
    return _Block(jnp.asarray(points), jnp.asarray(squares))


def _closest(
    queries: _Block, corpus: list[_Block], count: int
) -> tuple[Float[Array, "r k"], Int[Array, "r k"]]:
    """Return the squared distances and indices of the nearest points."""
    squares = jnp.full((BLOCK, count), jnp.inf, jnp.float32)
    indices = jnp.zeros((BLOCK, count), jnp.int32)
    for place, block in enumerate(corpus):
        squares, indices = _merge(squares, indices, queries, block, place * BLOCK)
    return squares, indices


@jax.jit
def _merge(
    squares: Float[Array, "r k"],
    indices: Int[Array, "r k"],
    queries: _Block,
    corpus: _Block,
    first: Int[ArrayLike, ""],
) -> tuple[Float[Array, "r k"], Int[Array, "r k"]]:
    """Let the points of a block, of which the first has a number, compete too."""
    kept = squares.shape[1]
    found = _squared_distances(queries, corpus)
    numbers = jnp.broadcast_to(first + jnp.arange(len(corpus.squares)), found.shape)
    squares = jnp.concatenate([squares, found], axis=1)
    indices = jnp.concatenate([indices, numbers], axis=1)
    nearer, places = lax.top_k(-squares, kept)
    return -nearer, jnp.take_along_axis(indices, places, axis=1)


def _radii(squares: Float[Array, "r k"]) -> Float[Array, " r"]:
    """Return the squared radii of balls that reach to the last of the nearest points.

    Below 0 for what only fills a block.
    """
    return jnp.where(jnp.isfinite(squares[:, -1]), squares[:, -1], -1.0)


@jax.jit
def _judge(
    of_reals: Int[Array, "2 r"],
    of_fakes: Int[Array, "2 r"],
    reals: tuple[_Block, Float[Array, " r"], Float[Array, " r"]],
    fakes: tuple[_Block, Float[Array, " r"]],
) -> tuple[Int[Array, "2 r"], Int[Array, "2 r"]]:
    """Add what a block of reals and one of fakes are to each other.

    Args:
        of_reals: of how many fakes' neighbourhoods each real is in, and how many fakes
            are in its own.
        of_fakes: of how many reals' neighbourhoods each fake is in, the narrow ones and
            the wide ones.
        reals: with the squared radii of both.
        fakes: with their squared radii.
    """
    (real, narrow, wide), (fake, radii) = reals, fakes
    squares = _squared_distances(real, fake)
    near = squares < wide[:, None]
    return (
        of_reals + jnp.stack([(squares <= radii[None]).sum(1), near.sum(1)]),
        of_fakes + jnp.stack([(squares <= narrow[:, None]).sum(0), near.sum(0)]),
    )


def _squared_distances(a: _Block, b: _Block) -> Float[Array, "r r"]:
    # On an accelerator, float32 would else mean fewer digits.
    products = jnp.matmul(a.points, b.points.T, precision=lax.Precision.HIGHEST)
    return jnp.maximum(a.squares[:, None] + b.squares[None] - 2 * products, 0)
