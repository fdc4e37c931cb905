"""Graph clustering: photos are nodes, and edges join nearest neighbors.

``X`` is a matrix of embeddings, float32 of shape (n, d) with rows of unit length. A graph is a
symmetric sparse matrix of shape (n, n), whose entries are the cosines of joined photos.
"""

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import eigsh
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.neighbors import kneighbors_graph
from sklearn.preprocessing import normalize

from caltech_lab.clustering.checks import check_k
from caltech_lab.errors import ArgumentError

Ints = NDArray[np.int64]

# Added to the degree of each node, as a share of the mean degree. Without it, the first
# eigenvectors isolate single, weakly connected photos.
REGULARIZATION = 0.1


def neighbor_graph(
    X: NDArray[np.float32], n_neighbors: int = 20, *, mutual: bool = False
) -> csr_array:
    """Join each photo with its nearest neighbors.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings, rows of unit length.
    n_neighbors : int
        Number of neighbors, 1 to n - 1.
    mutual : bool
        Whether to join two photos only if each is a neighbor of the other, instead of if either
        is.

    Returns
    -------
    csr_array of float64, shape (n, n)
        Symmetric; cosines of the joined photos, at least 0, without a diagonal.

    Raises
    ------
    ArgumentError
        When `n_neighbors` is not between 1 and n - 1.

    References
    ----------
    M. Maier, M. Hein, U. von Luxburg: Optimal construction of k-nearest-neighbor graphs for
    identifying noisy clusters. Theoretical Computer Science 410, 2009.

    Examples
    --------
    >>> X = np.array([[1, 0], [0.8, 0.6], [0, 1]], dtype=np.float32)
    >>> neighbor_graph(X, 1).toarray().round(2)
    array([[0. , 0.8, 0. ],
           [0.8, 0. , 0.6],
           [0. , 0.6, 0. ]])
    >>> neighbor_graph(X, 1, mutual=True).toarray().round(2)
    array([[0. , 0.8, 0. ],
           [0.8, 0. , 0. ],
           [0. , 0. , 0. ]])
    """
    if not 1 <= n_neighbors < len(X):
        raise ArgumentError(
            f"n_neighbors must be between 1 and {len(X) - 1} for this number of photos, "
            f"not {n_neighbors}."
        )
    graph = csr_array(kneighbors_graph(X, n_neighbors, mode="distance"), dtype=np.float64)
    graph.data = np.clip(1 - graph.data**2 / 2, 1e-6, None)  # cosine, of rows of unit length
    both = csr_array(graph.minimum(graph.T) if mutual else graph.maximum(graph.T))
    both.indices, both.indptr = both.indices.astype(np.int32), both.indptr.astype(np.int32)
    return both  # with the index type that scikit-learn requires


def spectral_embedding(graph: csr_array, n_components: int) -> NDArray[np.float32]:
    """Embed the nodes by the leading eigenvectors of the normalized adjacency matrix.

    Nodes of the same densely connected group get nearby coordinates.

    Parameters
    ----------
    graph : csr_array, shape (n, n)
        From `neighbor_graph`.
    n_components : int
        Number of eigenvectors, 1 to n - 1; usually the number of clusters.

    Returns
    -------
    ndarray of float32, shape (n, n_components)
        Rows scaled to unit length.

    References
    ----------
    A. Y. Ng, M. I. Jordan, Y. Weiss: On spectral clustering: analysis and an algorithm. NIPS, 2001.
    T. Qin, K. Rohe: Regularized spectral clustering under the degree-corrected stochastic
    blockmodel. NIPS, 2013.
    """
    n = graph.shape[0]
    check_components(n_components, n)
    degrees = graph.sum(axis=1)
    scale = diags_array(1 / np.sqrt(degrees + REGULARIZATION * degrees.mean() + 1e-12))
    # A fixed starting vector makes the result deterministic.
    _, vectors = eigsh(scale @ graph @ scale, n_components, which="LA", v0=np.ones(n), tol=1e-4)
    embedded: NDArray[np.float32] = normalize(vectors[:, ::-1]).astype(np.float32)
    return embedded


def check_components(n_components: int, n: int) -> None:
    """Raise an `ArgumentError` unless `n_components` is between 1 and n - 1."""
    if not 1 <= n_components < n:
        raise ArgumentError(
            f"n_components must be between 1 and {n - 1} for this graph, not {n_components}."
        )


def spectral_clusters(
    X: NDArray[np.float32],
    k: int,
    n_neighbors: int = 20,
    *,
    mutual: bool = False,
    seed: int = 0,
) -> Ints:
    """Cluster by K-Means on the spectral embedding of the neighbor graph.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings, rows of unit length.
    k : int
        Number of clusters and of eigenvectors, 2 to n - 1.
    n_neighbors, mutual
        As in `neighbor_graph`.
    seed : int
        Seed of K-Means, which keeps the best of three initializations.

    Returns
    -------
    ndarray of int64, shape (n,)
        Cluster of each photo.

    References
    ----------
    U. von Luxburg: A tutorial on spectral clustering. Statistics and Computing 17, 2007.
    """
    check_k(k, len(X) - 1)
    embedded = spectral_embedding(neighbor_graph(X, n_neighbors, mutual=mutual), k)
    labels: Ints = KMeans(k, n_init=3, random_state=seed).fit_predict(embedded).astype(np.int64)
    return labels


def communities(graph: csr_array, resolution: float = 1.0, seed: int = 0) -> Ints:
    """Find communities by the Louvain method, which chooses their number.

    Parameters
    ----------
    graph : csr_array, shape (n, n)
        From `neighbor_graph`.
    resolution : float
        Above 0; 1 is standard modularity, and higher values give more and smaller communities.
    seed : int
        Seed of the order in which the nodes are visited.

    Returns
    -------
    ndarray of int64, shape (n,)
        Community of each photo; 0 is the largest.

    References
    ----------
    V. D. Blondel, J.-L. Guillaume, R. Lambiotte, E. Lefebvre: Fast unfolding of communities in
    large networks. Journal of Statistical Mechanics, 2008.
    J. Reichardt, S. Bornholdt: Statistical mechanics of community detection. Physical Review E 74,
    2006 (the resolution).
    """
    found = nx.community.louvain_communities(
        nx.from_scipy_sparse_array(graph), resolution=resolution, seed=seed
    )
    labels = np.empty(graph.shape[0], dtype=np.int64)
    for label, members in enumerate(sorted(found, key=len, reverse=True)):
        labels[list(members)] = label
    return labels


def dense_groups(X: NDArray[np.float32], smallest: int = 15, min_samples: int = 5) -> Ints:
    """Find dense clusters by HDBSCAN, which chooses their number and marks outliers.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Vectors of a few dozen dimensions; in thousands of dimensions, no region is dense.
    smallest : int
        Minimum cluster size.
    min_samples : int
        Number of neighbors for the density estimate.

    Returns
    -------
    ndarray of int64, shape (n,)
        Cluster of each photo, -1 for outliers.

    References
    ----------
    R. J. G. B. Campello, D. Moulavi, J. Sander: Density-based clustering based on hierarchical
    density estimates. PAKDD, 2013.
    """
    model = HDBSCAN(min_cluster_size=smallest, min_samples=min_samples, copy=True)
    labels: Ints = model.fit_predict(X).astype(np.int64)
    return labels
