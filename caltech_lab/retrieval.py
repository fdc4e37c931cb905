"""Exact nearest neighbours with faiss, and an index file that is checked before it is believed.

Embeddings have rows of length one, so that the inner product of two of them is their cosine
similarity, between -1 and 1.
"""

import os
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import faiss
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.linalg import eigh
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped,unused-ignore]

from caltech_lab.errors import ArgumentError, CacheError
from caltech_lab.files import write_atomically
from caltech_lab.progress import progress

Similarities = NDArray[np.float32]
Ids = NDArray[np.int64]

# What faiss writes before the vectors of an IndexFlatIP: type, dimension, count, two reserved
# numbers, trained, metric (0 is the inner product), and the number of floats that follow.
HEADER = struct.Struct("<4siqqq?iQ")
RESERVED = 1 << 20


def build_index(X: NDArray[np.float32]) -> faiss.IndexFlatIP:
    """Put embeddings into an index that searches all of them by inner product.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings, rows of length one; row i gets the id i.

    Returns
    -------
    faiss.IndexFlatIP
        Exact, with ``ntotal`` n and ``d`` d.

    References
    ----------
    M. Douze et al.: The Faiss library. arXiv:2401.08281, 2024.
    """
    index = faiss.IndexFlatIP(X.shape[1])
    index.add(np.ascontiguousarray(X, dtype=np.float32))
    return index


def extend_index(index: faiss.IndexFlatIP, X: NDArray[np.float32]) -> int:
    """Let an index follow embeddings that grew: only the new rows are put into it.

    Parameters
    ----------
    index : faiss.IndexFlatIP
        Of the first rows of `X`; changed in place.
    X : ndarray of float32, shape (n, d)
        Embeddings, such as `Features.add` gives them.

    Returns
    -------
    int
        How many rows were added; the index is then the same as `build_index` makes of `X`.

    Raises
    ------
    ArgumentError
        When the index is not of the first rows of `X`.
    """
    n = index.ntotal
    if n > len(X) or index.d != X.shape[1] or not np.array_equal(index.reconstruct_n(0, n), X[:n]):
        raise ArgumentError(
            "The index is not of the first of these embeddings: build it anew with build_index."
        )
    index.add(np.ascontiguousarray(X[n:], dtype=np.float32))
    return len(X) - n


def search(
    index: faiss.Index, queries: NDArray[np.float32], k: int = 10
) -> tuple[Similarities, Ids]:
    """Find the k most similar photos of each query.

    Parameters
    ----------
    index : faiss.Index or TwoStageIndex
        The gallery.
    queries : ndarray of float32, shape (q, d) or (d,)
        Embeddings to look up, rows of length one.
    k : int
        Number of answers, 1 to the number of photos in the index.

    Returns
    -------
    similarities : ndarray of float32, shape (q, k)
        Cosine similarities, falling along each row.
    ids : ndarray of int64, shape (q, k)
        Rows of the gallery.

    Raises
    ------
    ArgumentError
        When `k` is out of range, or the queries have another dimension than the gallery.
    """
    if not 1 <= k <= index.ntotal:
        raise ArgumentError(f"k must be between 1 and the {index.ntotal} photos there, not {k}.")
    queries = np.ascontiguousarray(np.atleast_2d(queries), dtype=np.float32)
    if queries.shape[1] != index.d:
        raise ArgumentError(
            f"The queries have {queries.shape[1]} dimensions and the index has {index.d}: "
            "take both from the same backbone."
        )
    similarities, ids = index.search(queries, k)
    # Faiss leaves open in which order photos of the same similarity come.
    order = np.lexsort((ids, -similarities))
    return np.take_along_axis(similarities, order, 1), np.take_along_axis(ids, order, 1)


def search_excluding_self(
    index: faiss.Index, queries: NDArray[np.float32], ids: Ids, k: int = 10
) -> tuple[Similarities, Ids]:
    """Find the k photos most similar to photos of the gallery, other than themselves.

    The query is recognised by its id and not by coming first, since an exact copy of it may come
    before it.

    Parameters
    ----------
    index : faiss.IndexFlatIP
        The gallery.
    queries : ndarray of float32, shape (q, d)
        Embeddings of photos of the gallery.
    ids : ndarray of int64, shape (q,)
        Their rows in the gallery.
    k : int
        Number of answers, 1 to one less than the photos in the index.

    Returns
    -------
    similarities : ndarray of float32, shape (q, k)
        Cosine similarities, falling along each row.
    ids : ndarray of int64, shape (q, k)
        Rows of the gallery, never that of the query.

    Raises
    ------
    ArgumentError
        As for `search`.
    """
    if not 1 <= k < index.ntotal:
        raise ArgumentError(
            f"k must be between 1 and the {index.ntotal - 1} other photos there, not {k}."
        )
    similarities, found = search(index, queries, k + 1)
    others = found != np.atleast_1d(ids)[:, None]
    others[others.all(axis=1), -1] = False  # crowded out by copies: drop the last answer
    shape = len(found), k
    return similarities[others].reshape(shape), found[others].reshape(shape)


def save_index(path: Path, index: faiss.IndexFlatIP) -> None:
    """Write an index, whole or not at all.

    Parameters
    ----------
    path : Path
        File to write; `faiss.read_index` reads it too.
    index : faiss.IndexFlatIP
        The gallery.
    """
    with write_atomically(path) as temporary:
        faiss.serialize_index(index).tofile(temporary)


def load_index(path: Path, dimension: int, count: int) -> faiss.IndexFlatIP:
    """Read an index written by `save_index`, once its size and header are what they should be.

    Parameters
    ----------
    path : Path
        File to read.
    dimension : int
        Width of the embeddings that it must hold.
    count : int
        Number of embeddings that it must hold.

    Returns
    -------
    faiss.IndexFlatIP
        The gallery.

    Raises
    ------
    CacheError
        When the file is missing, or anything but an `IndexFlatIP` of `count` vectors of
        `dimension` numbers.
    """
    expected = HEADER.pack(
        b"IxFI", dimension, count, RESERVED, RESERVED, True, faiss.METRIC_INNER_PRODUCT,
        dimension * count,
    )  # fmt: skip
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            header = file.read(HEADER.size)
            if header != expected or size != HEADER.size + 4 * dimension * count:
                raise CacheError(
                    f"{path} is not an exact index of {count} photos with {dimension} numbers "
                    "each: delete it to have it built again from the embeddings."
                )
            # faiss believes what it reads, so it sees these bytes only now.
            data = header + file.read(size - HEADER.size)
    except OSError as error:
        raise CacheError(f"{path} cannot be read: build it again from the embeddings.") from error
    return cast(faiss.IndexFlatIP, faiss.deserialize_index(np.frombuffer(data, dtype=np.uint8)))


def compare_indexes(
    indexes: Mapping[str, faiss.Index], queries: NDArray[np.float32], k: int = 10, rounds: int = 5
) -> pd.DataFrame:
    """Measure indexes of the same photos against the first of them, with a progress bar.

    The indexes take turns, so that what else the machine does hits them alike, and the medians
    over the rounds are told.

    Parameters
    ----------
    indexes : mapping of str to faiss.Index
        Filled indexes by name, the exact one first.
    queries : ndarray of float32, shape (q, d)
        What to look up, in one batch and then the first 20 one by one.
    k : int
        Number of answers.
    rounds : int
        How often each index is timed.

    Returns
    -------
    DataFrame
        One row an index: ``recall``, the share of the exact k answers that it gives too;
        ``single_ms`` and ``batch_ms``, milliseconds a query one by one and in a batch; and
        ``bytes``, what the saved index takes for each photo.
    """
    exact = search(next(iter(indexes.values())), queries, k)[1]
    rows = {}
    for name, index in indexes.items():
        found = search(index, queries, k)[1]
        common = sum(np.intersect1d(a, b).size for a, b in zip(exact, found, strict=True))
        rows[name] = {
            "recall": common / exact.size,
            "bytes": faiss.serialize_index(index).size / index.ntotal,
        }
    times: list[dict[str, float | str]] = []
    turns = [(name, index) for _ in range(rounds) for name, index in indexes.items()]
    for name, index in progress(turns, desc="Timing", unit="turn"):
        marks = [time.perf_counter()]
        for query in queries[:20]:
            search(index, query, k)
            marks.append(time.perf_counter())
        search(index, queries, k)
        batch = time.perf_counter() - marks[-1]
        single = float(np.median(np.diff(marks)))
        times.append(
            {"name": name, "single_ms": 1e3 * single, "batch_ms": 1e3 * batch / len(queries)}
        )
    medians = pd.DataFrame(times).groupby("name").median()
    return pd.DataFrame(rows).T.join(medians)[["recall", "single_ms", "batch_ms", "bytes"]]


class TwoStageIndex:
    """Answers single queries sooner: a shortlist by short vectors, ranked by the full ones.

    The short vectors are the embeddings on the directions that keep most of their inner products.
    What is on the shortlist is compared exactly, so a similarity is always right; a photo can only
    be missed when it is not on the shortlist. `search` of this module takes it like any index.

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
        # Inner products, and not distances from the mean, are to be kept: X is not centred.
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
