"""Re-ranking: query expansion, k-reciprocal neighbors and diffusion.

All methods take rows of unit length and return new similarities between queries and gallery,
float32 of shape (q, n), to be ranked in descending order.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import splu
from sklearn.preprocessing import normalize

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def strongest(similarities: Floats, k: int) -> Ints:
    """Return the columns of the k largest values of each row, descending, ties by column."""
    ids: Ints = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
    return ids


def query_expansion(Q: Floats, X: Floats, k: int = 5, alpha: float = 3.0) -> Floats:
    """Search again with the mean of the query and its first results, weighted by similarity.

    Parameters
    ----------
    Q : ndarray of float32, shape (q, d)
        Queries.
    X : ndarray of float32, shape (n, d)
        Gallery.
    k : int
        Number of results to add to the query.
    alpha : float
        Each result is weighted by its similarity to this power; 0 weights all equally.

    Returns
    -------
    ndarray of float32, shape (q, n)
        Cosines to the expanded queries.

    References
    ----------
    F. Radenović, G. Tolias, O. Chum: Fine-tuning CNN image retrieval with no human annotation.
    IEEE Transactions on Pattern Analysis and Machine Intelligence 41(7), 2019.
    """
    first = Q @ X.T
    ids = strongest(first, k)
    weights = np.maximum(np.take_along_axis(first, ids, 1), 0) ** alpha
    expanded = normalize(Q + np.einsum("qk,qkd->qd", weights, X[ids]))
    again: Floats = (expanded @ X.T).astype(np.float32)
    return again


def neighbor_lists(X: Floats, k: int = 20, rows_at_once: int = 1024) -> Ints:
    """Return the k nearest other photos of each gallery photo, int64 of shape (n, k)."""
    lists = []
    for start in range(0, len(X), rows_at_once):
        block = X[start : start + rows_at_once] @ X.T
        block[np.arange(len(block)), start + np.arange(len(block))] = -np.inf
        lists.append(strongest(block, k))
    return np.concatenate(lists)


def reciprocal_neighbors(
    Q: Floats, X: Floats, neighbors: Ints, weight: float = 0.3, shortlist: int = 100
) -> Floats:
    """Re-rank by shared neighbors: a simplified k-reciprocal re-ranking.

    For each photo on the shortlist, the Jaccard similarity between its k nearest neighbors and the
    first k results of the query is added to the cosine. Unlike in the original, the sets are not
    expanded by reciprocal neighbors of neighbors.

    Parameters
    ----------
    Q, X : ndarray of float32, shapes (q, d) and (n, d)
        Queries and gallery.
    neighbors : ndarray of int64, shape (n, k)
        From `neighbor_lists`.
    weight : float
        Weight of the cosine, 0 to 1; the Jaccard similarity gets the rest.
    shortlist : int
        Number of results to re-rank; the others keep their order behind them.

    Returns
    -------
    ndarray of float32, shape (q, n)
        New similarities.

    References
    ----------
    Z. Zhong, L. Zheng, D. Cao, S. Li: Re-ranking person re-identification with k-reciprocal
    encoding. CVPR 2017.
    """
    cosines = Q @ X.T
    k = neighbors.shape[1]
    ids = strongest(cosines, max(shortlist, k))
    again = cosines - 3  # behind the shortlist
    for row, found in enumerate(ids):
        own = found[:k]
        # A gallery photo is in its own neighbor set; the query is not in the gallery.
        sets = np.hstack([found[:, None], neighbors[found][:, : k - 1]])
        common = np.isin(sets, own).sum(axis=1)
        jaccard = common / (2 * k - common)
        again[row, found] = weight * cosines[row, found] + (1 - weight) * jaccard
    return again


class Diffusion:
    """Diffusion of similarity on the neighbor graph of the gallery.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Gallery.
    neighbors : ndarray of int64, shape (n, k)
        From `neighbor_lists`; mutual neighbors are joined.
    damping : float
        Strength of the diffusion, 0 to below 1.
    power : float
        Edges are weighted by the cosine to this power.

    Notes
    -----
    With the symmetrically normalized adjacency matrix S, the result f for the initial values s
    solves ``(I - damping * S) f = s``; the matrix is factorized once.

    References
    ----------
    A. Iscen et al.: Efficient diffusion on region manifolds. CVPR 2017.
    """

    def __init__(
        self, X: Floats, neighbors: Ints, damping: float = 0.9, power: float = 3.0
    ) -> None:
        self.X, self.power = X, power
        n, k = neighbors.shape
        rows = np.repeat(np.arange(n), k)
        columns = neighbors.ravel()
        cosines = np.einsum("ij,ij->i", X[rows], X[columns], dtype=np.float64)
        graph = csr_matrix((np.maximum(cosines, 0) ** power, (rows, columns)), (n, n))
        mutual = graph.minimum(graph.T)
        degree = np.asarray(mutual.sum(axis=1)).ravel()
        scale = diags(1 / np.sqrt(np.maximum(degree, 1e-12)))
        smoothed = scale @ mutual @ scale
        self._solver = splu((diags(np.ones(n)) - damping * smoothed).tocsc())

    def similarities(self, Q: Floats, k: int = 10) -> Floats:
        """Diffuse from the first k results of each query.

        Parameters
        ----------
        Q : ndarray of float32, shape (q, d)
            Queries.
        k : int
            Number of results to start from.
        """
        cosines = Q @ self.X.T
        ids = strongest(cosines, k)
        starts = np.zeros(cosines.shape)
        strength = np.maximum(np.take_along_axis(cosines, ids, 1), 0) ** self.power
        np.put_along_axis(starts, ids, strength, 1)
        reached = self._solver.solve(starts.T).T
        # Photos that the diffusion does not reach are ranked by cosine, behind the rest.
        again: Floats = (reached + 1e-9 * cosines).astype(np.float32)
        return again
