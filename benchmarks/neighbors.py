"""Graphs of nearest neighbors, and clusters of their dense parts.

A graph of a few neighbors per photo takes memory in proportion to the number of photos, all
pairwise distances in proportion to its square.
"""

from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.cluster import HDBSCAN

from caltech_lab.retrieval.faiss_store import cells

FARTHEST = 2.0  # between unit vectors


def neighbor_graph(X: NDArray[np.float32], k: int = 15, *, approximate: bool = False) -> csr_matrix:
    """Link each photo to its nearest neighbors.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings, rows of length one.
    k : int
        Neighbors of each, below n.
    approximate : bool
        Whether to look only in the 8 nearest of about ``4 sqrt(n)`` cells; the cost then grows
        with ``n ** 1.5`` instead of the square.

    Returns
    -------
    csr_matrix of float64, shape (n, n)
        Symmetric; the Euclidean distance of each linked pair, never 0.

    References
    ----------
    M. Douze et al.: The Faiss library. arXiv:2401.08281, 2024.
    """
    n, d = X.shape
    index: Any = faiss.IndexFlatIP(d)
    if approximate and n > 1000:
        index = faiss.IndexIVFFlat(index, d, cells(n), faiss.METRIC_INNER_PRODUCT)
        index.cp.niter, index.cp.max_points_per_centroid = 8, 64
        index.nprobe = 8
        index.train(X)
    index.add(X)
    similarities, found = index.search(X, k + 1)
    rows = np.repeat(np.arange(n), k + 1)
    columns = found.ravel()
    distances = np.sqrt(np.maximum(2 - 2 * similarities.ravel().astype(np.float64), 1e-12))
    linked = (columns >= 0) & (columns != rows)
    graph = coo_array((distances[linked], (rows[linked], columns[linked])), shape=(n, n)).tocsr()
    return csr_matrix(graph.maximum(graph.T))


def hdbscan_on_neighbors(graph: csr_matrix, min_cluster_size: int = 10) -> NDArray[np.int64]:
    """Find the dense parts of a graph of neighbors.

    Parameters
    ----------
    graph : csr_matrix, shape (n, n)
        From `neighbor_graph`.
    min_cluster_size : int
        Photos of the smallest cluster.

    Returns
    -------
    ndarray of int64, shape (n,)
        Cluster of each photo; -1 for noise.

    References
    ----------
    L. McInnes, J. Healy, S. Astels: hdbscan: Hierarchical density based clustering. Journal of
    Open Source Software 2, 2017.
    """
    # The tree of all photos needs one connected graph: parts are tied to the first by long edges.
    _, part = connected_components(graph, directed=False)
    first = np.unique(part, return_index=True)[1]
    hub, others = first[0], first[1:]
    if len(others):
        ends = np.full(len(others), hub), others
        ties = coo_array((np.full(len(others), FARTHEST), ends), shape=graph.shape).tocsr()
        graph = csr_matrix(graph + ties + ties.T)
    model = HDBSCAN(min_cluster_size=min_cluster_size, min_samples=5, metric="precomputed",
                    copy=True)  # fmt: skip
    return np.asarray(model.fit_predict(graph), np.int64)
