"""What scikit-learn does not measure: retrieval, clusters against categories, uncertainty.

Everything here is a pure function of arrays. ``X`` is a matrix of embeddings, float32 of shape
(n, d) with one row a photo and rows of length one; ``y`` is an int64 vector of shape (n,) with the
category of each photo. Scores lie between 0 and 1 unless a docstring says otherwise.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from scipy.stats import binomtest
from sklearn.metrics import (
    adjusted_mutual_info_score,
    adjusted_rand_score,
    davies_bouldin_score,
    normalized_mutual_info_score,
)
from sklearn.metrics.cluster import contingency_matrix
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from caltech_lab.errors import ArgumentError
from caltech_lab.memory import require
from caltech_lab.settings import settings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CHUNK_BYTES = 256 * 2**20
"""Working memory, in bytes, that a chunked computation here aims to stay under."""


BLOCK = 1024
"""Rows and columns of the distances that are in memory at a time."""


# Retrieval


@dataclass(frozen=True, eq=False)
class RetrievalScores:
    """Scores of a ranked answer, one number a query.

    Attributes
    ----------
    k : int
        How many answers `precision` and `recall` look at.
    queries : ndarray of int64, shape (q,)
        Row of each scored query; queries without a relevant photo are left out.
    labels : ndarray of int64, shape (q,)
        Category of each scored query.
    precision : ndarray of float64, shape (q,)
        precision@k, the share of the first k answers that are relevant.
    recall : ndarray of float64, shape (q,)
        recall@k, the share of the relevant photos that are among the first k answers.
    r_precision : ndarray of float64, shape (q,)
        precision@R, where R is the number of relevant photos of the query.
    reciprocal_rank : ndarray of float64, shape (q,)
        One over the rank of the first relevant answer.
    average_precision : ndarray of float64, shape (q,)
        Mean, over the relevant photos, of the precision at the rank of each, over the whole
        ranking.
    n_dropped : int
        Queries left out because the gallery holds no photo of their category.
    """

    k: int
    queries: Ints
    labels: Ints
    precision: Floats
    recall: Floats
    r_precision: Floats
    reciprocal_rank: Floats
    average_precision: Floats
    n_dropped: int

    def by_query(self) -> dict[str, NDArray[Any]]:
        """Return the attributes that hold one value per query, by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}

    def mean(self, metric: str) -> float:
        """Return the mean of a metric over queries (micro average: large categories weigh more).

        Parameters
        ----------
        metric : str
            Name of one of the score attributes, for example ``"average_precision"``.
        """
        return float(np.mean(getattr(self, metric)))

    def macro(self, metric: str) -> float:
        """Return the mean of a metric over categories (macro average: each category weighs one).

        Parameters
        ----------
        metric : str
            Name of one of the score attributes, for example ``"average_precision"``.
        """
        return macro_average(getattr(self, metric), self.labels)


def retrieval_scores(
    X: NDArray[np.float32],
    y: Ints,
    *,
    queries: NDArray[np.float32] | None = None,
    query_labels: Ints | None = None,
    k: int = 10,
) -> RetrievalScores:
    """Rank the gallery by inner product for each query and score the rankings.

    A photo is relevant when it has the category of the query. Photos of equal similarity are
    ranked by their row. Similarities are computed a few hundred queries at a time, so memory stays
    near `CHUNK_BYTES` however many queries there are.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        The gallery, rows of length one.
    y : ndarray of int64, shape (n,)
        Categories of the gallery.
    queries : ndarray of float32, shape (q, d), optional
        The queries. Without them each gallery photo in turn is the query, and its own row is left
        out of its answer.
    query_labels : ndarray of int64, shape (q,), optional
        Categories of the queries; given exactly when `queries` are.
    k : int
        Cut-off of precision@k and recall@k.

    Returns
    -------
    RetrievalScores
        One number a scored query for each metric.

    Raises
    ------
    ArgumentError
        When `k` is not between 1 and the number of photos that can be answered, when `queries`
        and `query_labels` are not given together, or when no query has a relevant photo.

    References
    ----------
    C. D. Manning, P. Raghavan, H. Schütze: Introduction to Information Retrieval, chapter 8.
    Cambridge University Press, 2008.
    """
    if (queries is None) != (query_labels is None):
        raise ArgumentError("Give queries together with query_labels, or neither of them.")
    leave_one_out = queries is None
    Q = X if queries is None else queries
    labels = np.asarray(y if query_labels is None else query_labels)
    answers = len(X) - leave_one_out
    if not 1 <= k <= answers:
        raise ArgumentError(f"k must be between 1 and the {answers} possible answers, not {k}.")

    counts = pd.Series(y).value_counts()
    n_relevant = counts.reindex(labels, fill_value=0).to_numpy() - leave_one_out
    kept = np.flatnonzero(n_relevant > 0)
    if not len(kept):
        raise ArgumentError("No query has another photo of its category in the gallery to find.")

    columns = np.empty((5, len(kept)))
    ranks = np.arange(1, answers + 1)
    step = max(1, CHUNK_BYTES // (32 * len(X)))  # about 32 bytes a pair in the temporaries below
    for start in range(0, len(kept), step):
        rows = kept[start : start + step]
        similarity = Q[rows] @ X.T
        if leave_one_out:
            similarity[np.arange(len(rows)), rows] = -np.inf  # last in its own ranking, cut below
        ranking = _ranking(similarity)[:, :answers]
        hits = y[ranking] == labels[rows, None]
        found = np.cumsum(hits, axis=1, dtype=np.int32)
        total = n_relevant[rows]
        columns[:, start : start + step] = (
            found[:, k - 1] / k,
            found[:, k - 1] / total,
            found[np.arange(len(rows)), total - 1] / total,
            1 / (1 + hits.argmax(axis=1)),
            np.sum(found / ranks, axis=1, where=hits) / total,
        )
    precision, recall, r_precision, reciprocal_rank, average_precision = columns
    return RetrievalScores(
        k=k,
        queries=kept,
        labels=labels[kept],
        precision=precision,
        recall=recall,
        r_precision=r_precision,
        reciprocal_rank=reciprocal_rank,
        average_precision=average_precision,
        n_dropped=len(labels) - len(kept),
    )


def _ranking(similarity: NDArray[np.floating[Any]]) -> Ints:
    """Return the columns of each row, the most similar first, equal ones by their number.

    The ranking of a stable argsort, in a third of the time: NumPy sorts plain integers with vector
    instructions, so similarity and column are packed into one.
    """
    if similarity.dtype != np.float32:
        return np.argsort(-similarity, axis=1, kind="stable")
    bits = (similarity + np.float32(0)).view(np.int32)  # the sum has no -0.0
    bits[bits < 0] ^= 0x7FFFFFFF  # integers in the order of the floats
    keys: Ints = (~bits).astype(np.int64) << 32
    keys += np.arange(keys.shape[1])
    keys.sort(axis=1)
    keys &= 0xFFFFFFFF
    return keys


# Averages and their uncertainty


class Interval(NamedTuple):
    """An estimate and the two ends of its confidence interval."""

    estimate: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.estimate:.3f} [{self.low:.3f}, {self.high:.3f}]"


def macro_average(values: ArrayLike, y: Ints) -> float:
    """Return the mean over categories of the mean of each category.

    Parameters
    ----------
    values : array-like of float or bool, shape (n,)
        One score a photo.
    y : ndarray of int64, shape (n,)
        Category of each photo.

    Examples
    --------
    >>> macro_average([1, 1, 1, 0], np.array([7, 7, 7, 8]))
    0.5
    """
    scores = pd.Series(np.asarray(values, dtype=np.float64))
    return float(scores.groupby(np.asarray(y)).mean().mean())


def bootstrap_interval(
    values: ArrayLike,
    *,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
    groups: Ints | None = None,
) -> Interval:
    """Estimate how far a mean would move with other photos, by the percentile bootstrap.

    Parameters
    ----------
    values : array-like of float or bool, shape (n,)
        One score a photo.
    level : float
        Confidence level, between 0 and 1.
    n_resamples : int
        Number of bootstrap samples.
    seed : int
        Seed of the random generator.
    groups : ndarray of int64, shape (n,), optional
        Category of each photo. With it the estimate is the macro average, and photos are drawn
        again within each category.

    Returns
    -------
    Interval
        Mean (or macro average) of the values, and the ends of its interval.

    References
    ----------
    B. Efron, R. J. Tibshirani: An Introduction to the Bootstrap. Chapman & Hall, 1993.
    """
    scores = np.asarray(values, dtype=np.float64)
    if not len(scores):
        raise ArgumentError("A confidence interval needs at least one value.")
    rng = np.random.default_rng(seed)
    labels = np.zeros(len(scores)) if groups is None else groups
    parts = [scores[labels == label] for label in np.unique(labels)]
    means = np.zeros(n_resamples)
    for part in parts:
        step = max(1, CHUNK_BYTES // (16 * len(part)))  # an index and a value a draw
        for start in range(0, n_resamples, step):
            draws = rng.integers(len(part), size=(min(step, n_resamples - start), len(part)))
            means[start : start + step] += part[draws].mean(axis=1) / len(parts)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    estimate = np.mean([part.mean() for part in parts])
    return Interval(float(estimate), float(low), float(high))


def paired_difference_interval(
    a: ArrayLike,
    b: ArrayLike,
    *,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
    groups: Ints | None = None,
) -> Interval:
    """Bootstrap the mean of ``a - b``, two methods scored on the same photos.

    Photos are drawn together with both of their scores. What is hard for both methods cancels, so
    this interval is narrower than two separate ones suggest. When it leaves out zero, the two
    methods differ.

    Parameters
    ----------
    a, b : array-like of float or bool, shape (n,)
        Scores of the two methods, photo by photo.
    level, n_resamples, seed, groups
        As in `bootstrap_interval`.

    Returns
    -------
    Interval
        Mean difference, between -1 and 1 for scores between 0 and 1, and its interval.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape:
        raise ArgumentError(
            f"A paired comparison needs two scores a photo, but there are {len(first)} and "
            f"{len(second)}."
        )
    return bootstrap_interval(
        first - second, level=level, n_resamples=n_resamples, seed=seed, groups=groups
    )


def proportion_interval(successes: int, n: int, *, level: float = 0.95) -> Interval:
    """Return a proportion with its Wilson score interval.

    Unlike the textbook normal interval it stays within 0 and 1 and says something useful when all
    of a handful of photos are right.

    Parameters
    ----------
    successes : int
        Photos that are right.
    n : int
        Photos in all.
    level : float
        Confidence level, between 0 and 1.

    References
    ----------
    E. B. Wilson: Probable inference, the law of succession, and statistical inference. Journal of
    the American Statistical Association 22, 1927.

    Examples
    --------
    >>> print(proportion_interval(6, 6))
    1.000 [0.610, 1.000]
    """
    if n < 1:
        raise ArgumentError("A proportion needs at least one photo.")
    ends = binomtest(int(successes), int(n)).proportion_ci(level, method="wilson")
    return Interval(successes / n, float(ends.low), float(ends.high))


class Unevenness(NamedTuple):
    """How unevenly a score is spread over categories."""

    gini: float
    worst_decile: float


def unevenness(values: ArrayLike) -> Unevenness:
    """Measure how unevenly a score is spread over categories.

    Parameters
    ----------
    values : array-like of float, shape (c,)
        One score a category, none negative.

    Returns
    -------
    Unevenness
        ``gini``, 0 when all categories score the same, towards 1 when one has it all; and
        ``worst_decile``, the mean score of the worst tenth of the categories (at least one).

    References
    ----------
    C. Gini: Variabilità e mutabilità. Bologna, 1912.

    Examples
    --------
    >>> unevenness([0.5, 0.5])
    Unevenness(gini=0.0, worst_decile=0.5)
    >>> unevenness([0.0, 1.0])
    Unevenness(gini=0.5, worst_decile=0.0)
    """
    scores = np.sort(np.asarray(values, dtype=np.float64))
    n = len(scores)
    weights = 2 * np.arange(1, n + 1) - n - 1
    total = n * scores.sum()
    gini = float(weights @ scores / total) if total else 0.0
    return Unevenness(gini, float(scores[: -(-n // 10)].mean()))


# Clusters


def silhouette(
    X: NDArray[np.float32],
    clusters: ArrayLike,
    *,
    metric: str = "euclidean",
) -> Floats:
    """Compute the silhouette of each photo by matrix products.

    The same numbers as `sklearn.metrics.silhouette_samples`. Several clusterings of the same
    photos share the distances, so that a sweep over k costs little more than one of them: each
    block of the distance matrix is made once, in float32, and multiplied by the matrix that says
    which photo is in which cluster. With cosine distances the sum of the vectors of each cluster
    is enough.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings.
    clusters : array-like of int, shape (n,) or (m, n)
        Cluster of each photo, in one clustering or in m of them. Each has 2 to n - 1 clusters.
    metric : {"euclidean", "cosine"}
        Distance between photos.

    Returns
    -------
    ndarray of float64, shape (n,) or (m, n)
        Silhouettes, between -1 and 1; 0 for a photo alone in its cluster.

    Raises
    ------
    ArgumentError
        When a clustering has fewer than 2 clusters or as many as there are photos, or for
        another distance.
    MemoryLimitError
        When what `silhouette_bytes` says does not fit into the memory that is free.

    Notes
    -----
    The distances are gone through in blocks: what has to fit is a centred copy of `X`, a few blocks
    of 4 MiB a thread, and n sums of distances a cluster, not the distances between all photos.
    Rounding shows from the sixth decimal on.

    References
    ----------
    P. J. Rousseeuw: Silhouettes: a graphical aid to the interpretation and validation of cluster
    analysis. Journal of Computational and Applied Mathematics 20, 1987.
    """
    sums_of_distances = {"euclidean": _euclidean_sums, "cosine": _cosine_sums}
    if metric not in sums_of_distances:
        raise ArgumentError(f"The distance must be euclidean or cosine, not {metric!r}.")
    labels = np.asarray(clusters)
    n = len(X)
    codes = [np.unique(row, return_inverse=True)[1] for row in np.atleast_2d(labels)]
    for code in codes:
        if not 1 < code.max() + 1 < n:
            raise ArgumentError(
                f"A silhouette of {n} photos needs 2 to {n - 1} clusters, "
                f"but there are {code.max() + 1}."
            )
    n_clusters = sum(int(code.max()) + 1 for code in codes)
    require(
        f"The silhouette of {n:,} photos in {len(codes)} clusterings",
        silhouette_bytes(n, X.shape[1], n_clusters),
        "score a sample of the photos, or one clustering after the other",
    )
    members = np.hstack([np.eye(code.max() + 1)[code] for code in codes])
    sums = sums_of_distances[metric](X, members)

    values = np.empty((len(codes), n))
    rows, first = np.arange(n), 0
    for value, code in zip(values, codes, strict=True):
        sizes = np.bincount(code)
        total = sums[:, first : first + len(sizes)]
        own = total[rows, code] / np.maximum(sizes[code] - 1, 1)
        other = total / sizes
        other[rows, code] = np.inf
        nearest = other.min(axis=1)
        widest = np.maximum(own, nearest)
        # Below 1e-12 both are rounding: all the photos are one.
        value[:] = np.divide(nearest - own, widest, out=np.zeros(n), where=widest > 1e-12)
        value[sizes[code] == 1] = 0
        first += len(sizes)
    return values.reshape(labels.shape)


def silhouette_bytes(n: int, d: int, n_clusters: int) -> int:
    """Estimate what `silhouette` takes, in bytes.

    Parameters
    ----------
    n, d : int
        Shape of the embeddings.
    n_clusters : int
        Number of clusters, in all clusterings together.
    """
    return 4 * n * d + 3 * 8 * n * n_clusters + 12 * BLOCK**2 * settings().threads


def _euclidean_sums(X: NDArray[np.float32], members: Floats) -> Floats:
    """Sum the distances from each photo to the photos of each cluster, shape (n, clusters)."""
    # Centred first: float32 then holds the distances, however far the photos are from zero.
    X32 = (X - X.mean(axis=0, dtype=np.float64).astype(np.float32)).astype(np.float32, copy=False)
    squares = np.einsum("ij,ij->i", X32, X32)
    members32, sums = members.astype(np.float32), np.zeros_like(members)
    blocks = [slice(start, start + BLOCK) for start in range(0, len(X), BLOCK)]

    def both_ways(pair: tuple[slice, slice]) -> tuple[slice, slice, Any, Any]:
        a, b = pair
        distances = X32[a] @ X32[b].T
        distances *= -2
        distances += squares[a, None]
        distances += squares[b]
        np.sqrt(np.maximum(distances, 0, out=distances), out=distances)
        if a == b:
            np.fill_diagonal(distances, 0)
        return a, b, distances @ members32[b], distances.T @ members32[a]

    # A thread a block, each with a product of its own; added up in order, for the same bits.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(settings().threads) as pool:
        # Distances are symmetric: a block above the diagonal serves below it too.
        for a, b, forth, back in pool.map(both_ways, combinations_with_replacement(blocks, 2)):
            sums[a] += forth
            if a != b:
                sums[b] += back
    return sums


def _cosine_sums(X: NDArray[np.float32], members: Floats) -> Floats:
    """Sum the cosine distances from each photo to those of each cluster, shape (n, clusters)."""
    unit = normalize(X.astype(np.float64))
    sums: Floats = members.sum(axis=0) - unit @ (unit.T @ members)
    return sums


def cluster_scores(
    X: NDArray[np.float32], clusters: Ints, y: Ints | None = None
) -> dict[str, float]:
    """Score a clustering by its shape and, given categories, by its agreement with them.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings.
    clusters : ndarray of int64, shape (n,)
        Cluster of each photo.
    y : ndarray of int64, shape (n,), optional
        Category of each photo.

    Returns
    -------
    dict of str to float
        ``silhouette`` (mean, -1 to 1, Euclidean) and ``davies_bouldin`` (0 or more, low is
        good); with `y` also the scores of `agreement_scores`.
    """
    scores = {
        "silhouette": float(silhouette(X, clusters).mean()),
        "davies_bouldin": float(davies_bouldin_score(X, clusters)),
    }
    return scores if y is None else scores | agreement_scores(clusters, y)


def agreement_scores(clusters: Ints, y: Ints) -> dict[str, float]:
    """Compare a clustering with the categories.

    Parameters
    ----------
    clusters : ndarray of int64, shape (n,)
        Cluster of each photo.
    y : ndarray of int64, shape (n,)
        Category of each photo.

    Returns
    -------
    dict of str to float
        ``nmi`` and ``ami``, normalised and adjusted mutual information; ``ari``, adjusted Rand
        index (adjusted scores are near 0 by chance and can be negative); ``purity``, accuracy
        when each cluster is named after its most frequent category; ``matched_accuracy``,
        accuracy when each category names at most one cluster, in the best way.

    References
    ----------
    N. X. Vinh, J. Epps, J. Bailey: Information theoretic measures for clusterings comparison.
    Journal of Machine Learning Research 11, 2010.
    H. W. Kuhn: The Hungarian method for the assignment problem. Naval Research Logistics
    Quarterly 2, 1955.

    Examples
    --------
    >>> scores = agreement_scores(np.array([0, 0, 1, 1, 2]), np.array([5, 5, 7, 7, 7]))
    >>> scores["purity"], scores["matched_accuracy"]
    (1.0, 0.8)
    """
    table = contingency_matrix(y, clusters)
    return {
        "nmi": float(normalized_mutual_info_score(y, clusters)),
        "ami": float(adjusted_mutual_info_score(y, clusters)),
        "ari": float(adjusted_rand_score(y, clusters)),
        "purity": float(table.max(axis=0).sum() / table.sum()),
        "matched_accuracy": float(
            table[linear_sum_assignment(table, maximize=True)].sum() / table.sum()
        ),
    }


# Categories and calibration


def category_audit(
    y: Ints,
    predicted: Ints,
    categories: Sequence[str],
    retrieval: RetrievalScores | None = None,
) -> pd.DataFrame:
    """Tell how each category fares, the worst first.

    Parameters
    ----------
    y : ndarray of int64, shape (n,)
        Category of each test photo, as a position in `categories`.
    predicted : ndarray of int64, shape (n,)
        Category that a classifier gave each test photo.
    categories : sequence of str
        Names of the categories.
    retrieval : RetrievalScores, optional
        Scores of queries, which need not be the test photos.

    Returns
    -------
    DataFrame
        One row a category that occurs in `y`, named in the index: ``n`` test photos,
        ``accuracy`` (the recall of the category), ``low`` and ``high`` (its 95% Wilson
        interval), ``confused_with`` (the most frequent wrong answer, or missing) and
        ``confused_share`` (the share of the n photos that got it); with `retrieval` also
        ``precision`` and ``average_precision``, means over the queries of the category.
    """
    rows = []
    for label in np.unique(y):
        answers = np.bincount(predicted[y == label], minlength=len(categories))
        right, n = int(answers[label]), int(answers.sum())
        answers[label] = 0
        wrong = int(answers.argmax())
        rows.append(
            {
                "category": categories[label],
                "n": n,
                **proportion_interval(right, n)._asdict(),
                "confused_with": categories[wrong] if right < n else None,
                "confused_share": answers[wrong] / n,
            }
        )
    audit = pd.DataFrame(rows).rename(columns={"estimate": "accuracy"}).set_index("category")
    if retrieval is not None:
        found = pd.DataFrame(
            {"precision": retrieval.precision, "average_precision": retrieval.average_precision}
        )
        names = pd.Index([categories[label] for label in retrieval.labels], name="category")
        audit = audit.join(found.groupby(names).mean())
    order = ["accuracy"] + ["average_precision"] * (retrieval is not None)
    return audit.sort_values(order, kind="stable")


def reliability_table(probabilities: ArrayLike, correct: ArrayLike, bins: int = 15) -> pd.DataFrame:
    """Compare confidence with accuracy, bin by bin: the numbers of a reliability diagram.

    Parameters
    ----------
    probabilities : array-like of float, shape (n,)
        Probability that the classifier gives to its own answer, between 0 and 1.
    correct : array-like of bool, shape (n,)
        Whether the answer was right.
    bins : int
        Number of bins of equal width.

    Returns
    -------
    DataFrame
        One row a bin, closed on the right: ``low``, ``high``, ``n``, ``confidence`` (mean
        probability) and ``accuracy``; the last two are missing where n is 0.
    """
    p, right = np.asarray(probabilities, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    edges = np.linspace(0, 1, bins + 1)
    bin_of = np.digitize(p, edges[1:-1], right=True)
    n = np.bincount(bin_of, minlength=bins)
    share = np.where(n > 0, n, np.nan)
    return pd.DataFrame(
        {
            "low": edges[:-1],
            "high": edges[1:],
            "n": n,
            "confidence": np.bincount(bin_of, weights=p, minlength=bins) / share,
            "accuracy": np.bincount(bin_of, weights=right, minlength=bins) / share,
        }
    )


def expected_calibration_error(
    probabilities: ArrayLike, correct: ArrayLike, bins: int = 15
) -> float:
    """Return the mean gap between confidence and accuracy over the bins, weighted by their size.

    Parameters
    ----------
    probabilities, correct, bins
        As in `reliability_table`.

    Returns
    -------
    float
        Between 0 (calibrated) and 1.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger: On calibration of modern neural networks.
    International Conference on Machine Learning, 2017.

    Examples
    --------
    >>> expected_calibration_error([0.75, 0.75], [True, False], bins=2)
    0.25
    """
    table = reliability_table(probabilities, correct, bins)
    gaps = (table["confidence"] - table["accuracy"]).abs()
    return float((gaps * table["n"]).sum() / table["n"].sum())
