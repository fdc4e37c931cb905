"""Exact nearest-neighbor search, and indexes on disk."""

import os
import struct
from pathlib import Path
from typing import cast

import faiss
import numpy as np
from numpy.typing import NDArray

from caltech_lab.errors import ArgumentError, CacheError
from caltech_lab.storage.files import write_atomically

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
        Embeddings, such as `Embeddings.add` gives them.

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
