"""Linkage matrices for thousands of photos.

In place of `scipy.cluster.hierarchy.linkage`: the same merges, at the same heights to 1e-9, see
tests/clustering/test_clustering.py. Where distances tie, the order of the merges may differ.

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
ROWS_AT_ONCE = 512  # of the distance matrix


METHODS = ("ward", "average", "complete", "single")


DISTANCES = {"euclidean": euclidean_distances, "cosine": cosine_distances}


def linkage_matrix(
    X: NDArray[np.float32], method: str = "ward", metric: str = "euclidean"
) -> Floats:
    """Compute the linkage matrix of a hierarchical clustering, faster than SciPy.

    The distances are computed by matrix products; fastcluster copies them once.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings, at least two.
    method : {"ward", "average", "complete", "single"}
        How the distance between two clusters is derived from those between their photos.
    metric : {"euclidean", "cosine"}
        Distance between photos; Ward's method requires the Euclidean distance.

    Returns
    -------
    ndarray of float64, shape (n - 1, 4)
        SciPy's linkage matrix: the two merged clusters, their distance, the number of photos.

    Raises
    ------
    ArgumentError
        For fewer than two photos, an unknown linkage or distance, or Ward's method with a
        distance other than Euclidean.
    MemoryLimitError
        When the estimate of `linkage_peak_bytes` exceeds the free memory.

    References
    ----------
    D. Müllner: fastcluster: fast hierarchical, agglomerative clustering routines for R and
    Python. Journal of Statistical Software 53(9), 2013.
    J. H. Ward: Hierarchical grouping to optimize an objective function. Journal of the American
    Statistical Association 58, 1963.
    """
    return next(linkage_matrices(X, [(method, metric)]))


def linkage_matrices(X: NDArray[np.float32], pairs: Iterable[tuple[str, str]]) -> Iterator[Floats]:
    """Compute the linkage matrices of several clusterings of the same photos.

    Consecutive pairs with the same metric share the distances. Cosine distances are converted from
    Euclidean ones if these come directly before.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings, at least two.
    pairs : iterable of (method, metric)
        Parameters of `linkage_matrix`, with the same errors.

    Yields
    ------
    ndarray of float64, shape (n - 1, 4)
        One linkage matrix per pair, as in `linkage_matrix`.
    """
    distances, kind = np.empty(0), ""
    for method, metric in pairs:
        _check_linkage(len(X), method, metric)
        if (kind, metric) == ("euclidean", "cosine"):
            _euclidean_to_cosine(distances, X)
        elif kind != metric:
            distances = np.empty(0)  # frees the old distances first
            require(
                f"Hierarchical clustering of {len(X):,} photos",
                linkage_peak_bytes(*X.shape),
                "cluster a sample of the photos, or the centroids of K-Means with a few hundred "
                "clusters",
            )
            distances = _condensed_distances(X, metric)
        kind = metric
        # With `preserve_input`, fastcluster would make a second copy.
        yield np.asarray(fastcluster.linkage(distances, method=method, preserve_input=False))


def _euclidean_to_cosine(distances: Floats, X: NDArray[np.float32]) -> None:
    """Convert condensed Euclidean distances to cosine distances, in place."""
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
        raise ArgumentError(
            f"Hierarchical clustering needs at least two photos, but this dataset has {n}."
        )
    if method not in METHODS or metric not in DISTANCES:
        raise ArgumentError(
            f"The linkage must be one of {', '.join(METHODS)} and the distance one of "
            f"{', '.join(DISTANCES)}, not {method!r} and {metric!r}."
        )
    if method == "ward" and metric != "euclidean":
        raise ArgumentError(f"Ward's method needs the Euclidean distance, not {metric}.")


def linkage_bytes(n: int) -> int:
    """Return the size in bytes of the condensed distance matrix of n photos.

    Examples
    --------
    >>> linkage_bytes(8677) / 1e6
    301.126608
    """
    return n * (n - 1) // 2 * 8


def linkage_peak_bytes(n: int, d: int) -> int:
    """Estimate the peak memory of `linkage_matrix`, in bytes, for d-dimensional embeddings."""
    distances = linkage_bytes(n)
    while_made = distances + 8 * n * d + 2 * ROWS_AT_ONCE * 8 * n
    return max(while_made, 2 * distances)


def _condensed_distances(X: NDArray[np.float32], metric: str) -> Floats:
    """Return the condensed distance matrix, shape (n (n - 1) / 2,), in SciPy's order."""
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
