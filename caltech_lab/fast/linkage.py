"""Linkage matrices of thousands of photos.

In place of `scipy.cluster.hierarchy.linkage`: the same merges, see
tests/clustering/test_clustering.py.

``X`` is a matrix of embeddings, float32 of shape (n, d) with rows of unit length.
"""

from collections.abc import Iterable, Iterator

import fastcluster
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics.pairwise import cosine_distances, euclidean_distances

from caltech_lab.errors import ArgumentError
from caltech_lab.storage.memory import require

Floats = NDArray[np.float64]
ROWS_AT_ONCE = 512  # of the matrix of distances


METHODS = ("ward", "average", "complete", "single")


DISTANCES = {"euclidean": euclidean_distances, "cosine": cosine_distances}


def linkage_matrix(
    X: NDArray[np.float32], method: str = "ward", metric: str = "euclidean"
) -> Floats:
    """Build the tree of a hierarchical clustering, the same as SciPy's but sooner.

    The distances come from matrix products and go to fastcluster, which copies them once.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings, at least two.
    method : {"ward", "average", "complete", "single"}
        How the distance between two clusters follows from those between their photos.
    metric : {"euclidean", "cosine"}
        Distance between photos; Ward's method is defined for the Euclidean one.

    Returns
    -------
    ndarray of float64, shape (n - 1, 4)
        SciPy's linkage matrix: the two clusters merged, their distance, the number of photos.

    Raises
    ------
    ArgumentError
        For fewer than two photos, an unknown linkage or distance, or Ward's method with
        another distance than the Euclidean one.
    MemoryLimitError
        When what `linkage_peak_bytes` says does not fit into the memory that is free.

    References
    ----------
    D. Müllner: fastcluster: fast hierarchical, agglomerative clustering routines for R and
    Python. Journal of Statistical Software 53(9), 2013.
    J. H. Ward: Hierarchical grouping to optimize an objective function. Journal of the American
    Statistical Association 58, 1963.
    """
    return next(linkage_matrices(X, [(method, metric)]))


def linkage_matrices(X: NDArray[np.float32], pairs: Iterable[tuple[str, str]]) -> Iterator[Floats]:
    """Build the linkage matrices of several clusterings of the same photos.

    Linkages that follow one another share the distances, and cosine distances are made from
    Euclidean ones where those came before.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings, at least two.
    pairs : iterable of (method, metric)
        As in `linkage_matrix`, whose errors are raised for them.

    Yields
    ------
    ndarray of float64, shape (n - 1, 4)
        A linkage matrix for each pair, as `linkage_matrix` returns it.
    """
    distances, kind = np.empty(0), ""
    for method, metric in pairs:
        _check_linkage(len(X), method, metric)
        if (kind, metric) == ("euclidean", "cosine"):
            _euclidean_to_cosine(distances, X)
        elif kind != metric:
            distances = np.empty(0)  # the old ones go before the new ones come
            require(
                f"A tree of {len(X):,} photos",
                linkage_peak_bytes(*X.shape),
                "cluster a sample of the photos, or the centroids of a K-Means with a few hundred "
                "clusters",
            )
            distances = _condensed_distances(X, metric)
        kind = metric
        # Without `preserve_input` fastcluster works on its own one copy, and not on two.
        yield np.asarray(fastcluster.linkage(distances, method=method, preserve_input=False))


def _euclidean_to_cosine(distances: Floats, X: NDArray[np.float32]) -> None:
    """Turn the Euclidean distances of the pairs into their cosine distances, in place."""
    squares = np.einsum("ij,ij->i", X, X, dtype=np.float64)
    lengths = np.sqrt(np.where(squares > 0, squares, 1))
    first = 0
    for i in range(len(X) - 1):  # 1 - cos = 1 + (|a - b|² - |a|² - |b|²) / (2 |a| |b|)
        tail = distances[first : (first := first + len(X) - 1 - i)]
        tail *= tail
        tail -= squares[i] + squares[i + 1 :]
        tail /= 2 * lengths[i] * lengths[i + 1 :]
        tail += 1
    np.clip(distances, 0, 2, out=distances)


def _check_linkage(n: int, method: str, metric: str) -> None:
    if n < 2:
        raise ArgumentError(f"A tree needs at least two photos, but there are {n}.")
    if method not in METHODS or metric not in DISTANCES:
        raise ArgumentError(
            f"The linkage must be one of {', '.join(METHODS)} and the distance one of "
            f"{', '.join(DISTANCES)}, not {method!r} and {metric!r}."
        )
    if method == "ward" and metric != "euclidean":
        raise ArgumentError(f"Ward's method needs Euclidean distances, not {metric} ones.")


def linkage_bytes(n: int) -> int:
    """Return the bytes that `linkage_matrix` takes for the distances between n photos.

    Examples
    --------
    >>> linkage_bytes(8677) / 1e6
    301.126608
    """
    return n * (n - 1) // 2 * 8


def linkage_peak_bytes(n: int, d: int) -> int:
    """Estimate the most bytes that `linkage_matrix` takes at a time, for n photos of d numbers."""
    distances = linkage_bytes(n)
    while_made = distances + 8 * n * d + 2 * ROWS_AT_ONCE * 8 * n
    return max(while_made, 2 * distances)


def _condensed_distances(X: NDArray[np.float32], metric: str) -> Floats:
    """Return the distances of the pairs i < j, shape (n (n - 1) / 2,), in SciPy's order."""
    X64, n = X.astype(np.float64), len(X)
    condensed = np.empty(n * (n - 1) // 2)
    first = 0
    for start in range(0, n, ROWS_AT_ONCE):
        block = X64[start : start + ROWS_AT_ONCE]
        for i, row in enumerate(DISTANCES[metric](block, X64[start:])):
            tail = row[i + 1 :]
            condensed[first : first + len(tail)] = tail
            first += len(tail)
    return condensed
