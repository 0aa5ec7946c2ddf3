"""Distances between two sets of pictures, and how far their features overlap.

A picture is a vector of features (of `vgg.py` or `inception.py`), a set of pictures a
matrix with a row for each. Two sets are compared by the Fréchet distance of Gaussians
fitted to them, by the kernel distance (the squared maximum mean discrepancy), or by
nearest neighbours: precision and density measure fidelity, whether generated pictures
look real; recall and coverage measure diversity, whether they vary as real ones do. All
are pure functions of features and come with a standard error. They depend on the
features and most of them on the number of pictures: compare only values of the same
features and the same counts.

Pairwise distances are computed in blocks of one shape, so that memory is bounded and
one compilation serves any number of pictures. Sums that nearly cancel are computed in
float64 on the host.

Source: Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local
Nash Equilibrium" (2017), for the Fréchet distance; Rippl, Munk and Sturm, "Limit laws
of the empirical Wasserstein distance: Gaussian distributions" (2016), for the idea of
its error. Bińkowski et al., "Demystifying MMD GANs" (2018), for the kernel distance.
Kynkäänniemi et al., "Improved Precision and Recall Metric for Assessing Generative
Models" (2019). Naeem et al., "Reliable Fidelity and Diversity Metrics for Generative
Models" (2020), and their program for balls without their border.
Deviation: the Fréchet distance needs no matrix square root, only singular values. The
subsets of the kernel distance are disjoint, which theirs are not: the scatter of
independent subsets gives a trustworthy standard error.
"""

import math
from itertools import chain
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, Bool, Float, Int


# Rows of a block. A block of pairwise distances has this many, squared: 4 MB.
BLOCK = 1024

# Of the distances of held-out pictures to training pictures: what is nearer counts as a
# copy.
COPY_QUANTILE = 0.01


class Estimate(NamedTuple):
    """An estimate from samples, and its standard error."""

    value: float
    error: float


class PRDC(NamedTuple):
    """Precision, recall and coverage, in [0, 1], and density, at least 0."""

    precision: Estimate
    recall: Estimate
    density: Estimate
    coverage: Estimate


class Copies(NamedTuple):
    """How many pictures are nearer to training pictures than unseen ones are."""

    share: Estimate  # in [0, 1]
    threshold: float  # the distance below which a picture counts


class Neighbours(NamedTuple):
    """For each query its k nearest neighbours in a corpus, nearest first."""

    indices: Int[np.ndarray, "n k"]
    distances: Float[np.ndarray, "n k"]


def frechet_distance(
    a: Float[Array | np.ndarray, "n c"], b: Float[Array | np.ndarray, "m _"]
) -> Estimate:
    """Return the squared Fréchet distance of Gaussians fitted to two sets of samples.

    That is |μa − μb|² + tr(A) + tr(B) − 2 tr((AB)^½) for means μ and covariances A and
    B (over n − 1). The last trace is the sum of the singular values of Xa Xbᵀ, for any
    X with XᵀX = A: no matrix square root, nothing complex, never negative. X are the
    centred samples where they are fewer than the features, so that all but one product
    is as small as the smaller side (n x m); else X comes from the eigenvectors of the
    covariance.

    The error is of first order in the weights of single samples (the infinitesimal
    jackknife), from the same singular vectors. It is conservative: for equal
    distributions 1.4 times the scatter, and up to 1.6 times where there are about as
    many samples as features.

    It measures the scatter and not the bias. The estimate is biased upwards by about a
    constant times 1/n + 1/m, so compare only distances of the same counts. For two
    samples of one Gaussian with variance v in each of c directions it is
    v c (c + 5) / 4 · (1/n + 1/m) instead of 0. With fewer samples than features the
    bias is most of the value.

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
    first, second = _fit_gaussian(a), _fit_gaussian(b)
    mean_difference = first.mean - second.mean
    u, singular_values, vt = np.linalg.svd(
        first.factor @ second.factor.T, full_matrices=False
    )
    traces = np.sum(first.centred**2) + np.sum(second.centred**2)
    value = mean_difference @ mean_difference + traces - 2 * np.sum(singular_values)
    variance = _jackknife_variance(first, u, singular_values, mean_difference)
    variance += _jackknife_variance(second, vt.T, singular_values, -mean_difference)
    return Estimate(max(float(value), 0.0), math.sqrt(variance))


def kernel_distance(
    a: Float[Array | np.ndarray, "n c"],
    b: Float[Array | np.ndarray, "m _"],
    *,
    seed: int,
    subsets: int,
    subset_size: int,
) -> Estimate:
    """Return the squared maximum mean discrepancy, with the kernel (x·y / c + 1)³.

    The mean over disjoint subsets of its unbiased estimate, which may be below 0. Its
    expectation does not depend on the number of samples. The error is the standard
    error over subsets, which are independent where the samples are.

    Cost: 6 subsets · subset_size² c floating-point operations, in float64.

    Args:
        a: features, a row for each sample; at least subsets · subset_size.
        b: features to compare them with; at least as many.
        seed: draws the subsets, from `numpy.random.default_rng`: the first rows of a
            permutation of `a`, then of one of `b`.
        subsets: at least 2. The error's own error is 1 / sqrt(2 (subsets − 1)) of it.
        subset_size: samples of each set in a subset, at least 2.

    Raises:
        ValueError: `subsets` or `subset_size` is too small, or asks for more samples
            than there are; the widths differ, or a feature is not finite.
    """
    for name, number in (("subsets", subsets), ("subset_size", subset_size)):
        if number < 2:
            raise ValueError(f"{name} must be at least 2; got {number}")
    total = subsets * subset_size
    a = _features("a", a, total, f"{subsets} subsets of {subset_size}")
    b = _features("b", b, total, f"{subsets} subsets of {subset_size}")
    _check_widths("a", a, "b", b)
    rng = np.random.default_rng(seed)
    rows_a, rows_b = (
        rng.permutation(len(x))[:total].reshape(subsets, subset_size) for x in (a, b)
    )
    values = [
        _squared_mmd(a[i].astype(np.float64), b[j].astype(np.float64))
        for i, j in zip(rows_a, rows_b, strict=True)
    ]
    return mean(np.array(values))


def prdc(
    real: Float[Array | np.ndarray, "n c"],
    fake: Float[Array | np.ndarray, "m _"],
    *,
    precision_k: int = 3,
    density_k: int = 5,
) -> PRDC:
    """Return precision, recall, density and coverage, from one pass over distances.

    The neighbourhood of a sample is the ball around it that reaches to its k-th nearest
    neighbour in its own set; the union of the balls of a set estimates its manifold.
    Precision: the fraction of fakes inside the real manifold. Recall: the fraction of
    reals inside the fake manifold. Density: how many real neighbourhoods contain a
    fake, on average over fakes and divided by k; about 1 for equal distributions, more
    where fakes crowd. Coverage: the fraction of reals whose neighbourhood contains a
    fake. Balls are closed for precision and recall, and open for density and coverage.

    The errors are over fakes for precision and density and over reals for recall and
    coverage, with the other set fixed. Precision grows with the number of reals, recall
    with that of fakes.

    Cost: 2 (n² + m² + n m) c floating-point operations, in float32, and a few
    comparisons for each distance.

    Args:
        real: features of real pictures, a row for each; more than either k.
        fake: features of generated pictures; more than either k.
        precision_k: neighbours for precision and recall, at least 1; 3 in the paper.
        density_k: neighbours for density and coverage, at least 1; 5 in the paper.

    Raises:
        ValueError: a k is below 1 or not below the number of samples, the widths
            differ, or a feature is not finite.
    """
    if min(precision_k, density_k) < 1:
        raise ValueError(
            f"neighbours must be at least 1; got {min(precision_k, density_k)}"
        )
    k = max(precision_k, density_k)
    real = _features("real", real, k + 1, f"{k} neighbours")
    fake = _features("fake", fake, k + 1, f"{k} neighbours")
    _check_widths("real", real, "fake", fake)
    real_blocks, fake_blocks = _blocks(real, fake)
    # A sample is its own nearest neighbour, which does not count.
    fake_radii = [
        _squared_radii(_nearest(block, fake_blocks, precision_k + 1)[0])
        for block in fake_blocks
    ]
    real_counts = [jnp.zeros((2, BLOCK), jnp.int32)] * len(real_blocks)
    fake_counts = [jnp.zeros((2, BLOCK), jnp.int32)] * len(fake_blocks)
    for i, real_block in enumerate(real_blocks):
        squares, _ = _nearest(real_block, real_blocks, k + 1)
        precision_radii = _squared_radii(squares[:, : precision_k + 1])
        density_radii = _squared_radii(squares[:, : density_k + 1])
        for j, fake_block in enumerate(fake_blocks):
            real_counts[i], fake_counts[j] = _count_neighbourhoods(
                real_counts[i],
                fake_counts[j],
                (real_block, precision_radii, density_radii),
                (fake_block, fake_radii[j]),
            )
    recalled, covered = np.concatenate(real_counts, axis=1)[:, : len(real)]
    precise, dense = np.concatenate(fake_counts, axis=1)[:, : len(fake)]
    return PRDC(
        precision=mean(precise > 0),
        recall=mean(recalled > 0),
        density=mean(dense / density_k),
        coverage=mean(covered > 0),
    )


def nearest_neighbours(
    queries: Float[Array | np.ndarray, "n c"],
    corpus: Float[Array | np.ndarray, "m _"],
    k: int,
) -> Neighbours:
    """Return the k nearest neighbours of each query in a corpus.

    They are chosen by squared distances in float32, which do not tell two apart that
    differ by less than about 1e-6 of the corpus's squared extent; the chosen ones are
    sorted by their distances in float64, and ties by their order in the corpus.

    Cost: 2 n m c floating-point operations.

    Args:
        queries: features, a row for each; at least 1.
        corpus: features to search; at least `k`.
        k: neighbours for each query, at least 1.

    Raises:
        ValueError: `k` is less than 1 or more than the corpus has, there is no query,
            the widths differ, or a feature is not finite.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1; got {k}")
    queries = _features("queries", queries, 1, "nearest neighbours")
    corpus = _features("corpus", corpus, k, f"{k} nearest neighbours")
    _check_widths("queries", queries, "corpus", corpus)
    query_blocks, corpus_blocks = _blocks(queries, corpus)
    results = []
    for number, block in enumerate(query_blocks):
        rows = queries[number * BLOCK : (number + 1) * BLOCK].astype(np.float64)
        indices = np.asarray(_nearest(block, corpus_blocks, k)[1])[: len(rows)]
        # One neighbour at a time, as all of them may need much memory.
        distances = np.stack(
            [np.linalg.norm(rows - corpus[column], axis=1) for column in indices.T], 1
        )
        order = np.lexsort((indices, distances), axis=1)
        results.append([np.take_along_axis(x, order, 1) for x in (indices, distances)])
    return Neighbours(*(np.concatenate(parts) for parts in zip(*results, strict=True)))


def copies(
    pictures: Float[Array | np.ndarray, "n c"],
    training: Float[Array | np.ndarray, "m _"],
    held_out: Float[Array | np.ndarray, "k _"],
) -> Copies:
    """Return the share of pictures that are suspiciously near to training pictures.

    A picture counts if it is as near to its nearest training picture as the nearest 1 %
    of the held-out pictures are to theirs. So the share is 0.01 for new pictures of the
    same kind, 1 for copies, and 0 for pictures that are unlike any. The error is over
    pictures, with the threshold fixed; of a few hundred held-out pictures, the
    threshold hangs on the nearest few.

    Cost: 2 (n + k) m c floating-point operations.

    Args:
        pictures: features, a row for each picture; at least 2.
        training: features of pictures that a model was trained on; at least 1.
        held_out: features of pictures of the same kind that it was not trained on; at
            least 1.

    Raises:
        ValueError: there are too few rows, the widths differ, or a feature is not
            finite.
    """
    pictures = _features("pictures", pictures, 2, "a share with an error")
    nearest, usual = (
        nearest_neighbours(x, training, 1).distances[:, 0] for x in (pictures, held_out)
    )
    threshold = np.quantile(usual, COPY_QUANTILE)
    return Copies(mean(nearest <= threshold), float(threshold))


def _features(
    name: str, values: Float[Array | np.ndarray, "n c"], minimum: int, purpose: str
) -> Float[np.ndarray, "n c"]:
    """Check features, and return them on the host in the precision they have."""
    values = np.asarray(values)
    if len(values) < minimum:
        raise ValueError(
            f"{name} must have at least {minimum} rows for {purpose}; got {len(values)}"
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


def mean(values: Float[np.ndarray, " n"] | Bool[np.ndarray, " n"]) -> Estimate:
    """Return the mean of independent values and its standard error."""
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    return Estimate(float(values.mean()), error)


# The Fréchet distance.


class _Gaussian(NamedTuple):
    """A Gaussian fitted to samples."""

    mean: Float[np.ndarray, " c"]  # of the samples
    # X, the samples less their mean, over sqrt(n - 1): the covariance is XᵀX.
    centred: Float[np.ndarray, "n c"]
    # F with FᵀF the covariance too, and at most c rows.
    factor: Float[np.ndarray, "k c"]
    # W, where the columns of XW are orthonormal and XWF is X; None where F is X itself.
    whitening: Float[np.ndarray, "c k"] | None


def _fit_gaussian(values: Float[np.ndarray, "n c"]) -> _Gaussian:
    values = values.astype(np.float64)
    mean = values.mean(axis=0)
    centred = (values - mean) / math.sqrt(len(values) - 1)
    if len(centred) <= centred.shape[1]:
        return _Gaussian(mean, centred, centred, None)
    eigenvalues, eigenvectors = np.linalg.eigh(centred.T @ centred)
    # What is below is rounding error: the samples do not span such a direction.
    tolerance = len(centred) * np.finfo(np.float64).eps * eigenvalues[-1]
    spanned = eigenvalues > tolerance
    deviations = np.sqrt(eigenvalues[spanned])
    eigenvectors = eigenvectors[:, spanned]
    factor = deviations[:, None] * eigenvectors.T
    return _Gaussian(mean, centred, factor, eigenvectors / deviations)


def _jackknife_variance(
    gaussian: _Gaussian,
    singular_vectors: Float[np.ndarray, "k s"],
    singular_values: Float[np.ndarray, " s"],
    mean_difference: Float[np.ndarray, " c"],
) -> float:
    """Return the variance of the Fréchet distance due to one of the two sets.

    The infinitesimal jackknife: the variance of the derivatives with respect to each
    sample's weight, over the number of samples. With Xa Xbᵀ = U S Vᵀ the derivative of
    the sum of S is n/2 times the sample's entry on the diagonal of U S Uᵀ. The vectors
    are those on this set's side, the difference is its mean less the other's.
    """
    centred, whitening = gaussian.centred, gaussian.whitening
    n = len(centred)
    u = (
        singular_vectors
        if whitening is None
        else centred @ (whitening @ singular_vectors)
    )
    influence = 2 * math.sqrt(n - 1) * (centred @ mean_difference)
    influence += n * (np.sum(centred**2, axis=1) - u**2 @ singular_values)
    return float(influence.var(ddof=1)) / n


# The kernel distance.


def _squared_mmd(a: Float[np.ndarray, "k c"], b: Float[np.ndarray, "k c"]) -> float:
    """Return the unbiased estimate of the squared maximum mean discrepancy."""
    size = len(a)
    value = -2 * _kernel(a, b).mean()
    for x in (a, b):
        gram = _kernel(x, x)
        value += (gram.sum() - np.trace(gram)) / (size * (size - 1))
    return value


def _kernel(
    a: Float[np.ndarray, "k c"], b: Float[np.ndarray, "k c"]
) -> Float[np.ndarray, "k k"]:
    return (a @ b.T / a.shape[1] + 1) ** 3


# Nearest neighbours.


class _Block(NamedTuple):
    """`BLOCK` rows of features; padding has an infinite norm, so it is never near."""

    features: Float[Array, "r c"]
    squared_norms: Float[Array, " r"]


def _blocks(*sets: Float[np.ndarray, "_ c"]) -> list[list[_Block]]:
    """Cut sets of features into blocks, shifted and scaled by the same amount.

    Centred at 0 and of extent 1, the squares lose least in float32.
    """
    centre = np.mean([x.mean(axis=0, dtype=np.float64) for x in sets], axis=0)
    slices = [
        [x[start : start + BLOCK] for start in range(0, len(x), BLOCK)] for x in sets
    ]
    # One by one, as the features may need much memory.
    extent = max(np.abs(rows - centre).max() for rows in chain(*slices)) or 1.0
    return [
        [_block((rows - centre) / extent) for rows in rows_of_set]
        for rows_of_set in slices
    ]


def _block(features: Float[np.ndarray, "_ c"]) -> _Block:
    padding = BLOCK - len(features)
    features = np.pad(features, ((0, padding), (0, 0))).astype(np.float32)
    squared_norms = np.sum(features**2, axis=1)
    squared_norms[BLOCK - padding :] = np.inf
    return _Block(jnp.asarray(features), jnp.asarray(squared_norms))


def _nearest(
    queries: _Block, corpus: list[_Block], k: int
) -> tuple[Float[Array, "r k"], Int[Array, "r k"]]:
    """Return the squared distances and indices of the k nearest neighbours."""
    squares = jnp.full((BLOCK, k), jnp.inf, jnp.float32)
    indices = jnp.zeros((BLOCK, k), jnp.int32)
    for number, block in enumerate(corpus):
        squares, indices = _merge(squares, indices, queries, block, number * BLOCK)
    return squares, indices


@jax.jit
def _merge(
    squares: Float[Array, "r k"],
    indices: Int[Array, "r k"],
    queries: _Block,
    corpus: _Block,
    start: Int[ArrayLike, ""],
) -> tuple[Float[Array, "r k"], Int[Array, "r k"]]:
    """Merge the nearest neighbours so far with a block whose first row is `start`."""
    k = squares.shape[1]
    new_squares = _squared_distances(queries, corpus)
    new_indices = jnp.broadcast_to(
        start + jnp.arange(len(corpus.squared_norms)), new_squares.shape
    )
    squares = jnp.concatenate([squares, new_squares], axis=1)
    indices = jnp.concatenate([indices, new_indices], axis=1)
    negated, columns = lax.top_k(-squares, k)
    return -negated, jnp.take_along_axis(indices, columns, axis=1)


def _squared_radii(squares: Float[Array, "r k"]) -> Float[Array, " r"]:
    """Return the squared distances of the k-th nearest neighbours; -1 for padding."""
    return jnp.where(jnp.isfinite(squares[:, -1]), squares[:, -1], -1.0)


@jax.jit
def _count_neighbourhoods(
    real_counts: Int[Array, "2 r"],
    fake_counts: Int[Array, "2 r"],
    real: tuple[_Block, Float[Array, " r"], Float[Array, " r"]],
    fake: tuple[_Block, Float[Array, " r"]],
) -> tuple[Int[Array, "2 r"], Int[Array, "2 r"]]:
    """Add the counts of a block of reals and a block of fakes, each with squared radii.

    Those of reals are for precision and for density, those of fakes for recall.
    For each real: the fake neighbourhoods that contain it, and the fakes in its own
    (open) one. For each fake: the same of the real ones, for precision and density.
    """
    (real_block, precision_radii, density_radii), (fake_block, fake_radii) = real, fake
    squares = _squared_distances(real_block, fake_block)
    inside_fake = squares <= fake_radii[None]
    inside_real = squares <= precision_radii[:, None]
    inside_dense = squares < density_radii[:, None]
    return (
        real_counts + jnp.stack([inside_fake.sum(1), inside_dense.sum(1)]),
        fake_counts + jnp.stack([inside_real.sum(0), inside_dense.sum(0)]),
    )


def _squared_distances(a: _Block, b: _Block) -> Float[Array, "r r"]:
    # On an accelerator, float32 products would otherwise have fewer digits.
    products = jnp.matmul(a.features, b.features.T, precision=lax.Precision.HIGHEST)
    squares = a.squared_norms[:, None] + b.squared_norms[None] - 2 * products
    return jnp.maximum(squares, 0)
