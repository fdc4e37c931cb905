"""Hierarchical clustering: cuts a linkage matrix, from `fast.linkage`, into clusters."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from caltech_lab.clustering.checks import check_k

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def cut(Z: Floats, k: int) -> Ints:
    """Cut a linkage matrix into exactly k clusters.

    Unlike SciPy's `fcluster` with ``maxclust``, this gives k clusters even when merges tie.

    Parameters
    ----------
    Z : ndarray of float64, shape (n - 1, 4)
        Linkage matrix, from `fast.linkage.linkage_matrix`.
    k : int
        Number of clusters, 2 to n.

    Returns
    -------
    ndarray of int64, shape (n,)
        Cluster of each photo; cluster 0 is the largest, k - 1 the smallest.

    Raises
    ------
    ArgumentError
        When `k` is not between 2 and n.
    """
    n = len(Z) + 1
    check_k(k, n)
    # As edges of a graph, the first n - k merges leave k connected components.
    children = Z[: n - k, :2].astype(np.int64)
    parents = np.arange(n, 2 * n - k)
    ends = np.concatenate([children[:, 0], children[:, 1]]), np.tile(parents, 2)
    graph = coo_array((np.ones(len(ends[0]), dtype=np.int8), ends), shape=(2 * n - k,) * 2)
    clusters: Ints = connected_components(graph, directed=False)[1][:n]
    by_size = np.argsort(-np.bincount(clusters, minlength=k), kind="stable")
    ranks: Ints = np.argsort(by_size)
    return ranks[clusters]
