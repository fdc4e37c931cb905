"""Nearest-neighbor search: one index for notebooks, command line and demo."""

import os
import struct
from pathlib import Path
from typing import Any, Self

import faiss
import numpy as np
from numpy.typing import ArrayLike, NDArray

from caltech_lab.errors import ArgumentError, CacheError
from caltech_lab.storage.files import write_atomically

NOTHING = -1  # the id where there are fewer results than asked for
Similarities = NDArray[np.float32]
Ids = NDArray[np.int64]

# What faiss writes before the vectors of an IndexFlatIP: type, dimension, count, two reserved
# numbers, trained, metric (0 is the inner product), and the number of floats that follow.
HEADER = struct.Struct("<4siqqq?iQ")
RESERVED = 1 << 20


class Index:
    """Search among unit vectors by cosine similarity, exact unless another index is wrapped.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Unit vectors; row i gets the id i.

    Attributes
    ----------
    faiss : faiss.IndexFlatIP
        The index of faiss inside; with `from_faiss`, what was wrapped.

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
        """Wrap a filled index, so that it is searched in the same way as an exact one.

        Parameters
        ----------
        index : faiss.Index or TwoStageIndex
            Of inner products. Only an `IndexFlatIP` can also `add`, `save` and give all
            `similarities`.
        """
        made = cls.__new__(cls)
        made.faiss = index
        return made

    @classmethod
    def load(cls, path: Path, dimension: int, count: int) -> Self:
        """Read an index written by `save`, once its size and header are what they should be.

        Parameters
        ----------
        path : Path
            File to read.
        dimension : int
            Width of the embeddings that it must hold.
        count : int
            Number of embeddings that it must hold.

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
                        f"{path} is not an exact index of {count} vectors of {dimension} "
                        "dimensions: write it again, with `caltech-lab index` or Index.save."
                    )
                # faiss believes what it reads, so it sees these bytes only now.
                data = header + file.read(size - HEADER.size)
        except OSError as error:
            raise CacheError(
                f"{path} cannot be read: build it again from the embeddings."
            ) from error
        return cls.from_faiss(faiss.deserialize_index(np.frombuffer(data, dtype=np.uint8)))

    def save(self, path: Path) -> None:
        """Write the index, whole or not at all; `faiss.read_index` reads the file too."""
        with write_atomically(path) as temporary:
            faiss.serialize_index(self._exact()).tofile(temporary)

    @property
    def d(self) -> int:
        """Width of the vectors."""
        return int(self.faiss.d)

    @property
    def ntotal(self) -> int:
        """Number of vectors."""
        return int(self.faiss.ntotal)

    def __len__(self) -> int:
        return self.ntotal

    def add(self, X: NDArray[np.float32]) -> int:
        """Append the rows that are new: `X` holds those of the index first.

        Parameters
        ----------
        X : ndarray of float32, shape (n, d)
            All embeddings, those of the index first, as `Embeddings.add` gives them.

        Returns
        -------
        int
            How many rows were added; the index is then the same as ``Index(X)``.

        Raises
        ------
        ArgumentError
            When the index is not of the first rows of `X`.
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
            The row of the index that each query itself is, which is left out of its results. It is
            recognized by this id and not by coming first, since an exact copy may come before it.

        Returns
        -------
        similarities : ndarray of float32, shape (q, k)
            Cosine similarities, descending along each row.
        ids : ndarray of int64, shape (q, k)
            Rows of the index; those of the same similarity in ascending order.

        Raises
        ------
        ArgumentError
            When `k` is out of range, the queries have another dimension than the index, or there
            is not one row to exclude per query.
        """
        most = self.ntotal if exclude is None else self.ntotal - 1
        if most < 1:
            raise ArgumentError("There is a single photo, so there is nothing to find: add photos.")
        if not 1 <= k <= most:
            others = "photos" if exclude is None else "other photos"
            raise ArgumentError(f"k must be between 1 and the {most} {others} there, not {k}.")
        queries = checked_queries(queries, self.d, exclude)
        similarities, ids = self.faiss.search(queries, k + (exclude is not None))
        return ranked(similarities, ids, exclude)

    def similarities(self, queries: NDArray[np.float32]) -> Similarities:
        """Return the cosine similarity of each query to each vector, shape (q, n)."""
        self._exact()
        queries = checked_queries(queries, self.d)
        similarities: Similarities = queries @ self._vectors().T
        return similarities

    def _exact(self) -> Any:
        if not isinstance(self.faiss, faiss.IndexFlatIP):
            raise ArgumentError(
                "An approximate index does not keep the vectors as they are: make an exact one of "
                "them with Index(X)."
            )
        return self.faiss

    def _vectors(self) -> NDArray[np.float32]:
        """Return the vectors where faiss keeps them, without a copy: not beyond the index."""
        flat: NDArray[np.float32] = faiss.rev_swig_ptr(self.faiss.get_xb(), self.ntotal * self.d)
        return flat.reshape(self.ntotal, self.d)


def checked_queries(
    queries: NDArray[np.float32], d: int, exclude: ArrayLike | None = None
) -> NDArray[np.float32]:
    """Return queries as faiss reads them, once they fit the index and the rows to exclude."""
    queries = np.ascontiguousarray(np.atleast_2d(queries), dtype=np.float32)
    if queries.shape[1] != d:
        raise ArgumentError(
            f"The queries have {queries.shape[1]} dimensions and the index has {d}: "
            "take both from the same backbone."
        )
    if exclude is not None and np.size(exclude) != len(queries):
        raise ArgumentError(
            f"There are {len(queries)} queries and {np.size(exclude)} rows to exclude: give the "
            "row of each query."
        )
    return queries


def ranked(
    similarities: Similarities, ids: Ids, exclude: ArrayLike | None = None
) -> tuple[Similarities, Ids]:
    """Order results, and leave the query out of its own.

    Parameters
    ----------
    similarities, ids : ndarray, shape (q, m)
        What was found, in any order.
    exclude : array-like of int, shape (q,), optional
        The id of each query. Where it was not found, the last result is left out instead.

    Returns
    -------
    similarities, ids : ndarray, shape (q, m) or (q, m - 1)
        By falling similarity, and by rising id where that is the same, which faiss leaves open.
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
    """Return the vectors as faiss and Milvus read them.

    Raises
    ------
    ArgumentError
        When there is not one id a vector, or a vector is not of d numbers.
    """
    X = np.ascontiguousarray(X, np.float32)
    if X.ndim != 2 or X.shape[1] != d or len(ids) != len(X):
        raise ArgumentError(
            f"The gallery takes one id and {d} numbers a vector: take vectors of the "
            "backbone that it was made with."
        )
    return X
