"""Neighbor smoothing: replace each photo by the mean of itself and its nearest neighbors.

``X`` is a matrix of embeddings, float32 of shape (n, d) with rows of unit length; ``y`` is an
int64 vector of shape (n,) with the category of each photo.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.preprocessing import normalize

from caltech_lab.clustering.checks import check_k
from caltech_lab.clustering.hierarchical import cut
from caltech_lab.errors import ArgumentError
from caltech_lab.fast.linkage import linkage_matrix
from caltech_lab.retrieval.index import Index

Ints = NDArray[np.int64]


def smooth_with_neighbors(X: NDArray[np.float32], n_neighbors: int = 10) -> NDArray[np.float32]:
    """Replace each photo by the mean of itself and its nearest neighbors.

    Averaging removes what is peculiar to a single photo and keeps what it shares with its
    neighbors, so clusters become tighter and chains between them break. No categories are used.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings, rows of unit length.
    n_neighbors : int
        Number of neighbors to average with each photo, 1 to n - 1.

    Returns
    -------
    ndarray of float32, shape (n, d)
        Means, scaled to unit length.

    Raises
    ------
    ArgumentError
        When `n_neighbors` is not between 1 and n - 1.

    References
    ----------
    P. Turcot, D. G. Lowe: Better matching with fewer features: the selection of useful features in
    large database recognition problems. ICCV Workshops, 2009.
    R. Arandjelović, A. Zisserman: Three things everyone should know to improve object retrieval.
    CVPR, 2012 (there for retrieval, as database-side augmentation).
    Y. Cheng: Mean shift, mode seeking, and clustering. IEEE Transactions on Pattern Analysis and
    Machine Intelligence 17, 1995 (this is one step of its blurring form).

    Examples
    --------
    >>> smooth_with_neighbors(np.array([[1, 0], [0.8, 0.6], [0, -1]], dtype=np.float32), 1).round(2)
    array([[ 0.95,  0.32],
           [ 0.95,  0.32],
           [ 0.71, -0.71]], dtype=float32)
    """
    if not 1 <= n_neighbors < len(X):
        raise ArgumentError(
            f"n_neighbors must be between 1 and {len(X) - 1} for this number of photos, "
            f"not {n_neighbors}."
        )
    _, near = Index(X).search(X, n_neighbors + 1)  # each photo is nearest to itself
    ends = np.arange(0, near.size + 1, n_neighbors + 1)
    graph = csr_array((np.ones(near.size), near.ravel(), ends), shape=(len(X), len(X)))
    means: NDArray[np.float32] = normalize(graph @ X).astype(np.float32)
    return means


def average_linkage_smoothed(X: NDArray[np.float32], k: int, n_neighbors: int = 10) -> Ints:
    """Smooth with neighbors, then cluster by average linkage with cosine distance.

    Without smoothing, average linkage spends many of the k clusters on outliers and chains.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings, rows of unit length.
    k : int
        Number of clusters, 2 to n.
    n_neighbors : int
        As in `smooth_with_neighbors`.

    Returns
    -------
    ndarray of int64, shape (n,)
        Cluster of each photo; cluster 0 is the largest. The result is deterministic.
    """
    check_k(k, len(X), X)
    return cut(linkage_matrix(smooth_with_neighbors(X, n_neighbors), "average", "cosine"), k)
