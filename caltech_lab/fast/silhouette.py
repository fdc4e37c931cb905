"""Silhouettes of several clusterings in one pass over the distances.

In place of `sklearn.metrics.silhouette_samples`: the same values to 1e-6, or to 1e-4 if some photos
are identical, see tests/metrics/test_evaluation.py.

``X`` is a matrix of embeddings, float32 of shape (n, d) with rows of unit length.
"""

from concurrent.futures import ThreadPoolExecutor
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from caltech_lab.errors import ArgumentError
from caltech_lab.settings import settings
from caltech_lab.storage.memory import require

Floats = NDArray[np.float64]


BLOCK = 1024
"""Rows and columns of each block of the distance matrix."""


def silhouette(
    X: NDArray[np.float32],
    clusters: ArrayLike,
    *,
    metric: str = "euclidean",
) -> Floats:
    """Compute the silhouette of each photo by matrix products.

    The values are those of `sklearn.metrics.silhouette_samples`. Several clusterings of the same
    photos share the distances, so a sweep over k costs little more than a single clustering: each
    block of the distance matrix is computed once, in float32, and multiplied by the matrix of
    cluster memberships. Cosine distances only need the sum of the vectors of each cluster.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings.
    clusters : array-like of int, shape (n,) or (m, n)
        Cluster of each photo, in one clustering or in m, each with 2 to n - 1 clusters.
    metric : {"euclidean", "cosine"}
        Distance between photos.

    Returns
    -------
    ndarray of float64, shape (n,) or (m, n)
        Silhouettes, between -1 and 1; 0 for a photo alone in its cluster.

    Raises
    ------
    ArgumentError
        When a clustering has fewer than 2 clusters or as many clusters as photos, or for an
        unknown distance.
    MemoryLimitError
        When the estimate of `silhouette_bytes` exceeds the free memory.

    Notes
    -----
    The distances are computed in blocks: the memory must hold a centered copy of `X`, a few blocks
    of 4 MiB per thread and n sums of distances per cluster, not the full distance matrix. Rounding
    affects the sixth decimal and beyond, or the fourth if some photos are identical.

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
        "score a sample of the photos, or one clustering at a time",
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
        # Below 1e-12 both are rounding errors: the photos are identical.
        value[:] = np.divide(nearest - own, widest, out=np.zeros(n), where=widest > 1e-12)
        value[sizes[code] == 1] = 0
        first += len(sizes)
    return values.reshape(labels.shape)


def silhouette_bytes(n: int, d: int, n_clusters: int) -> int:
    """Estimate the memory that `silhouette` needs, in bytes.

    Parameters
    ----------
    n, d : int
        Shape of the embeddings.
    n_clusters : int
        Total number of clusters in all clusterings.

    Returns
    -------
    int
        Bytes at the peak.
    """
    return 4 * n * d + 3 * 8 * n * n_clusters + 12 * BLOCK**2 * settings().threads


def _euclidean_sums(X: NDArray[np.float32], members: Floats) -> Floats:
    """Sum the distances from each photo to the photos of each cluster, shape (n, clusters)."""
    # Centered, so that float32 is precise enough however far the photos are from the origin.
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

    # One block per thread; the sums are added in order, so that every run gives the same bits.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(settings().threads) as pool:
        # Distances are symmetric: each block above the diagonal is also used below it.
        for a, b, forth, back in pool.map(both_ways, combinations_with_replacement(blocks, 2)):
            sums[a] += forth
            if a != b:
                sums[b] += back
    return sums


def _cosine_sums(X: NDArray[np.float32], members: Floats) -> Floats:
    """Sum the cosine distances from each photo to each cluster's photos, shape (n, clusters)."""
    unit = normalize(X.astype(np.float64))
    sums: Floats = members.sum(axis=0) - unit @ (unit.T @ members)
    return sums
