"""Exact nearest-neighbor search: the index of notebooks and demo."""

import os
import struct
from pathlib import Path
from typing import Any, Self

import faiss
import numpy as np
from numpy.typing import ArrayLike, NDArray

from caltech_lab.errors import ArgumentError, CacheError
from caltech_lab.storage.files import write_atomically

NOTHING = -1  # the id that pads rows with fewer than k results
Similarities = NDArray[np.float32]
Ids = NDArray[np.int64]

# What faiss writes before the vectors of an IndexFlatIP: type, dimension, count, two reserved
# numbers, trained, metric (0 is the inner product), and the number of floats that follow.
HEADER = struct.Struct("<4siqqq?iQ")
RESERVED = 1 << 20


class Index:
    """Nearest-neighbor search by cosine similarity; exact unless another index is wrapped.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Unit vectors; row i gets the id i.

    Attributes
    ----------
    faiss : faiss.IndexFlatIP
        The underlying faiss index; with `from_faiss`, the wrapped index.

    References
    ----------
    M. Douze et al.: The Faiss library. arXiv:2401.08281, 2024.

    Examples
    --------
    >>> index = Index(np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32))
    >>> similarities, ids = index.search(np.array([0, 1], np.float32), k=2)
    >>> print(similarities, ids)
    [[1.  0.8]] [[2 1]]
    >>> print(*index.search(np.array([0, 1], np.float32), k=2, exclude=2))
    [[0.8 0. ]] [[1 0]]
    """

    def __init__(self, X: NDArray[np.float32]) -> None:
        self.faiss: Any = faiss.IndexFlatIP(X.shape[1])
        self.faiss.add(np.ascontiguousarray(X, dtype=np.float32))

    @classmethod
    def from_faiss(cls, index: Any) -> Self:
        """Wrap a filled index, to search it in the same way as an exact one.

        Parameters
        ----------
        index : faiss.Index
            An inner-product index. Only an `IndexFlatIP` also supports `add`, `save` and
            `similarities`.

        Returns
        -------
        Index
            It shares the faiss index, which is not copied.
        """
        made = cls.__new__(cls)
        made.faiss = index
        return made

    @classmethod
    def load(cls, path: Path, dimension: int, count: int) -> Self:
        """Read an index written by `save`, after checking its size and header.

        Parameters
        ----------
        path : Path
            File to read.
        dimension : int
            Expected dimension of the vectors.
        count : int
            Expected number of vectors.

        Returns
        -------
        Index
            With the vectors of the file.

        Raises
        ------
        CacheError
            When the file is missing, or is not an `IndexFlatIP` of `count` vectors of dimension
            `dimension`.
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
                        f"{path} is not an exact index of {count} vectors of {dimension} "
                        "dimensions: write it again, with `caltech-lab index` or Index.save."
                    )
                # faiss does not validate its input, so it gets the bytes only after the check.
                data = header + file.read(size - HEADER.size)
        except OSError as error:
            raise CacheError(
                f"{path} cannot be read: build it again from the embeddings."
            ) from error
        return cls.from_faiss(faiss.deserialize_index(np.frombuffer(data, dtype=np.uint8)))

    def save(self, path: Path) -> None:
        """Write the index atomically; `faiss.read_index` can read the file too."""
        with write_atomically(path) as temporary:
            faiss.serialize_index(self._exact()).tofile(temporary)

    @property
    def d(self) -> int:
        """Dimension of the vectors."""
        return int(self.faiss.d)

    @property
    def ntotal(self) -> int:
        """Number of vectors."""
        return int(self.faiss.ntotal)

    def __len__(self) -> int:
        return self.ntotal

    def add(self, X: NDArray[np.float32]) -> int:
        """Append the new rows of `X`, whose first rows are those of the index.

        Parameters
        ----------
        X : ndarray of float32, shape (n, d)
            All embeddings, those of the index first, as `Embeddings.add` returns them.

        Returns
        -------
        int
            Number of added rows; afterwards the index equals ``Index(X)``.

        Raises
        ------
        ArgumentError
            When the vectors of the index are not the first rows of `X`.
        """
        index, n = self._exact(), self.ntotal
        if n > len(X) or self.d != X.shape[1] or not np.array_equal(self._vectors(), X[:n]):
            raise ArgumentError(
                "The index does not hold the first rows of these embeddings: make a new one, "
                "Index(X)."
            )
        index.add(np.ascontiguousarray(X[n:], dtype=np.float32))
        return len(X) - n

    def search(
        self, queries: NDArray[np.float32], k: int = 10, *, exclude: ArrayLike | None = None
    ) -> tuple[Similarities, Ids]:
        """Find the k most similar vectors of each query.

        Parameters
        ----------
        queries : ndarray of float32, shape (q, d) or (d,)
            Unit vectors to look up.
        k : int
            Number of results per query, 1 to the number of vectors, without the excluded one.
        exclude : array-like of int, shape (q,), optional
            The row of each query in the index, which is excluded from its results. The row is
            identified by this id and not by rank, because an exact copy may rank first.

        Returns
        -------
        similarities : ndarray of float32, shape (q, k)
            Cosine similarities, descending along each row.
        ids : ndarray of int64, shape (q, k)
            Rows of the index, ties in ascending order.

        Raises
        ------
        ArgumentError
            When `k` is out of range, the dimensions of queries and index differ, or `exclude` does
            not have one row per query.
        """
        most = self.ntotal if exclude is None else self.ntotal - 1
        if most < 1:
            raise ArgumentError("The index has no other photo to find: add photos.")
        if not 1 <= k <= most:
            others = "photos" if exclude is None else "other photos"
            raise ArgumentError(f"k must be between 1 and {most}, the number of {others}, not {k}.")
        queries = checked_queries(queries, self.d, exclude)
        similarities, ids = self.faiss.search(queries, k + (exclude is not None))
        return ranked(similarities, ids, exclude)

    def similarities(self, queries: NDArray[np.float32]) -> Similarities:
        """Return the cosine similarities of all queries to all vectors, shape (q, n)."""
        self._exact()
        queries = checked_queries(queries, self.d)
        similarities: Similarities = queries @ self._vectors().T
        return similarities

    def _exact(self) -> Any:
        if not isinstance(self.faiss, faiss.IndexFlatIP):
            raise ArgumentError(
                "An approximate index does not keep the original vectors: build an exact one with "
                "Index(X)."
            )
        return self.faiss

    def _vectors(self) -> NDArray[np.float32]:
        """Return a view of the vectors in faiss, valid only while the index exists."""
        flat: NDArray[np.float32] = faiss.rev_swig_ptr(self.faiss.get_xb(), self.ntotal * self.d)
        return flat.reshape(self.ntotal, self.d)


def checked_queries(
    queries: NDArray[np.float32], d: int, exclude: ArrayLike | None = None
) -> NDArray[np.float32]:
    """Return queries as a contiguous float32 matrix, after checking their shape."""
    queries = np.ascontiguousarray(np.atleast_2d(queries), dtype=np.float32)
    if queries.shape[1] != d:
        raise ArgumentError(
            f"The queries have {queries.shape[1]} dimensions and the index has {d}: "
            "use the same backbone for both."
        )
    if exclude is not None and np.size(exclude) != len(queries):
        raise ArgumentError(
            f"There are {len(queries)} queries but {np.size(exclude)} rows to exclude: pass one "
            "row per query."
        )
    return queries


def ranked(
    similarities: Similarities, ids: Ids, exclude: ArrayLike | None = None
) -> tuple[Similarities, Ids]:
    """Sort results, and exclude each query from its own results.

    Parameters
    ----------
    similarities, ids : ndarray, shape (q, m)
        Results in any order.
    exclude : array-like of int, shape (q,), optional
        The id of each query. Where it is not among the results, the last result is dropped.

    Returns
    -------
    similarities, ids : ndarray, shape (q, m) or (q, m - 1)
        By descending similarity; ties, whose order faiss does not define, by ascending id.
    """
    order = np.lexsort((ids, -similarities))
    similarities = np.take_along_axis(similarities, order, 1)
    ids = np.take_along_axis(ids, order, 1)
    if exclude is None:
        return similarities, ids
    itself = ids == np.reshape(exclude, (-1, 1))
    left_out = np.where(itself.any(axis=1), itself.argmax(axis=1), ids.shape[1] - 1)
    kept = np.arange(ids.shape[1]) != left_out[:, None]
    shape = len(ids), ids.shape[1] - 1
    return similarities[kept].reshape(shape), ids[kept].reshape(shape)


def checked_vectors(ids: Ids, X: NDArray[np.float32], d: int) -> NDArray[np.float32]:
    """Return the vectors as a contiguous float32 matrix, after checking their shape.

    Raises
    ------
    ArgumentError
        When there is not one id per vector, or the vectors are not d-dimensional.
    """
    X = np.ascontiguousarray(X, np.float32)
    if X.ndim != 2 or X.shape[1] != d or len(ids) != len(X):
        raise ArgumentError(
            f"The gallery needs {d}-dimensional vectors and one id per vector: use the backbone "
            "that it was built with."
        )
    return X
