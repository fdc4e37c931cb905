"""Search in two stages: a shortlist by short vectors, ranked by the full vectors.

In place of `faiss.IndexFlatIP`: the same results, see tests/fast/test_two_stage_search.py.
"""

import faiss
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped,unused-ignore]

from caltech_lab.retrieval.index import Ids, Similarities


class TwoStageIndex:
    """Index with faster single queries: a shortlist by short vectors, ranked by the full ones.

    The short vectors are projections of the embeddings that preserve most of their inner products.
    Photos on the shortlist are compared exactly, so all similarities are exact; a photo can be
    missed only if it is not on the shortlist. `Index.from_faiss` accepts it like any FAISS index.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings, rows of unit length; row i gets the id i.
    dimensions : int
        Dimension of the short vectors; at most d is used.
    shortlist : int
        Minimum length of the shortlist; five times the number of results, if that is more.

    Attributes
    ----------
    d, ntotal : int
        Dimension and number of the embeddings.

    Notes
    -----
    Exact search reads all vectors for a single query. `BATCH` or more queries share this reading in
    one matrix product, so a shortlist would save no time, and they are searched exactly.

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
        # X is not centered, because inner products are to be preserved, not variances.
        _, directions = eigh(X.T @ X, subset_by_index=(self.d - m, self.d - 1))
        shorten = faiss.LinearTransform(self.d, m, False)
        faiss.copy_array_to_vector(np.ascontiguousarray(directions.T).ravel(), shorten.A)
        shorten.is_trained = True
        short = faiss.IndexPreTransform(shorten, faiss.IndexFlatIP(m))
        self._index = faiss.IndexRefineFlat(short)
        self._index.add(X)
        self._threads = ThreadpoolController()

    def search(self, queries: NDArray[np.float32], k: int) -> tuple[Similarities, Ids]:
        """Find the k most similar photos per query, from shape (q, d) to shapes (q, k)."""
        if len(queries) >= self.BATCH:
            similarities, ids = self._index.refine_index.search(queries, k)
            return similarities, ids
        wide = faiss.IndexRefineSearchParameters()
        wide.k_factor = min(max(self.shortlist, 5 * k), self.ntotal) / k
        # The search takes less time than starting a second thread.
        with self._threads.limit(limits=1):
            similarities, ids = self._index.search(queries, k, params=wide)
        return similarities, ids
