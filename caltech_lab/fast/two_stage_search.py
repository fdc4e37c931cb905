"""Exact search in two stages: a short vector first, the whole one for a few.

In place of `faiss.IndexFlatIP`: the same results, see tests/fast/test_two_stage_search.py.
"""

import faiss
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped,unused-ignore]

from caltech_lab.retrieval.index import Ids, Similarities


class TwoStageIndex:
    """Answers single queries sooner: a shortlist by short vectors, ranked by the full ones.

    The short vectors are the embeddings on the directions that keep most of their inner products.
    What is on the shortlist is compared exactly, so a similarity is always right; a photo can only
    be missed when it is not on the shortlist. `Index.from_faiss` searches it like any index.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings, rows of length one; row i gets the id i.
    dimensions : int
        Length of the short vectors; at most d are used.
    shortlist : int
        Least number of photos on the shortlist; five times the answers asked for, if that is more.

    Attributes
    ----------
    d, ntotal : int
        Width and number of the embeddings.

    Notes
    -----
    A single query costs exact search the reading of all vectors. A batch of `BATCH` queries shares
    that in a product of matrices, so that nothing is won, and is searched exactly.

    References
    ----------
    C. Eckart, G. Young: The approximation of one matrix by another of lower rank. Psychometrika 1,
    1936.
    """

    BATCH = 64

    def __init__(self, X: NDArray[np.float32], dimensions: int = 384, shortlist: int = 50) -> None:
        X = np.ascontiguousarray(X, dtype=np.float32)
        self.ntotal, self.d = X.shape
        self.shortlist = shortlist
        m = min(dimensions, self.d)
        # Inner products, and not distances from the mean, are to be kept: X is not centered.
        _, directions = eigh(X.T @ X, subset_by_index=(self.d - m, self.d - 1))
        shorten = faiss.LinearTransform(self.d, m, False)
        faiss.copy_array_to_vector(np.ascontiguousarray(directions.T).ravel(), shorten.A)
        shorten.is_trained = True
        short = faiss.IndexPreTransform(shorten, faiss.IndexFlatIP(m))
        self._index = faiss.IndexRefineFlat(short)
        self._index.add(X)
        self._threads = ThreadpoolController()

    def search(self, queries: NDArray[np.float32], k: int) -> tuple[Similarities, Ids]:
        """Find the k most similar photos of each query; shapes (q, k) from (q, d)."""
        if len(queries) >= self.BATCH:
            similarities, ids = self._index.refine_index.search(queries, k)
            return similarities, ids
        wide = faiss.IndexRefineSearchParameters()
        wide.k_factor = min(max(self.shortlist, 5 * k), self.ntotal) / k
        # So little work is done before a second thread has woken up.
        with self._threads.limit(limits=1):
            similarities, ids = self._index.search(queries, k, params=wide)
        return similarities, ids
