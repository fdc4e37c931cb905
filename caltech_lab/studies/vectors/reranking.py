"""Second looks at a ranking: what the neighbors of the answers say about the query.

All take similarities by inner product between rows of length one, and give new similarities of
queries to gallery, float32 of shape (q, n), to be ranked in falling order.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import splu
from sklearn.preprocessing import normalize

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def strongest(similarities: Floats, k: int) -> Ints:
    """Return the columns of the k largest values of each row, in falling order, ties by column."""
    ids: Ints = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
    return ids


def query_expansion(Q: Floats, X: Floats, k: int = 5, alpha: float = 3.0) -> Floats:
    """Ask again with the query and its first answers, weighted by their similarity.

    Parameters
    ----------
    Q : ndarray of float32, shape (q, d)
        Queries.
    X : ndarray of float32, shape (n, d)
        Gallery.
    k : int
        How many answers join the query.
    alpha : float
        Power of the similarity that an answer weighs by; 0 weighs all alike.

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
    """Prefer answers whose neighbors are the query's own: k-reciprocal re-ranking, simplified.

    The query's k first answers are compared, as a set, with the k nearest photos of each photo on
    the shortlist; the Jaccard similarity of the two sets is added. The sets are not made larger
    by reciprocal neighbors of neighbors, as the original does.

    Parameters
    ----------
    Q, X : ndarray of float32, shapes (q, d) and (n, d)
        Queries and gallery.
    neighbors : ndarray of int64, shape (n, k)
        From `neighbor_lists`, made once.
    weight : float
        Of the cosine, 0 to 1; the Jaccard similarity gets the rest.
    shortlist : int
        How many first answers are ranked again; the others keep their places behind them.

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
        # A photo counts as one of its own neighbors, as the query does not in the gallery.
        sets = np.hstack([found[:, None], neighbors[found][:, : k - 1]])
        common = np.isin(sets, own).sum(axis=1)
        jaccard = common / (2 * k - common)
        again[row, found] = weight * cosines[row, found] + (1 - weight) * jaccard
    return again


class Diffusion:
    """Let similarity flow along the gallery's neighbor graph.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Gallery.
    neighbors : ndarray of int64, shape (n, k)
        From `neighbor_lists`; photos that name each other are joined.
    damping : float
        How far it flows, 0 to 1, without 1.
    power : float
        Of the cosine that a join weighs by.

    Notes
    -----
    With the symmetrically normalized graph S, the answer f to start values s solves
    ``(I - damping * S) f = s``; the matrix is factorised once.

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
        """Start from the k first answers of each query, and return what reaches each photo.

        Parameters
        ----------
        Q : ndarray of float32, shape (q, d)
            Queries.
        k : int
            How many answers it starts from.
        """
        cosines = Q @ self.X.T
        ids = strongest(cosines, k)
        starts = np.zeros(cosines.shape)
        strength = np.maximum(np.take_along_axis(cosines, ids, 1), 0) ** self.power
        np.put_along_axis(starts, ids, strength, 1)
        reached = self._solver.solve(starts.T).T
        # What nothing reaches is ranked by its cosine, behind the rest.
        again: Floats = (reached + 1e-9 * cosines).astype(np.float32)
        return again
