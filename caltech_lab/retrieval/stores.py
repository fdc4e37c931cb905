"""Vector stores: exact or approximate vector search, in memory or in a Milvus server.

All stores have the same interface, so changing the name is enough to switch to another one:
`exact`, `hnsw`, `ivf-pq`, or `milvus:` and an address.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Protocol
from unicodedata import normalize

import numpy as np
from numpy.typing import ArrayLike, NDArray

from caltech_lab.errors import ArgumentError
from caltech_lab.retrieval.faiss_store import FaissStore
from caltech_lab.retrieval.index import NOTHING, Ids, Similarities

KINDS = ("exact", "hnsw", "ivf-pq")
MILVUS = "milvus:"


class VectorStore(Protocol):
    """Vectors with ids, and with categories to filter by.

    Attributes
    ----------
    d, ntotal : int
        Dimension and number of the vectors.
    """

    d: int

    @property
    def ntotal(self) -> int:
        """Number of vectors."""
        ...

    def add(
        self, ids: Ids, X: NDArray[np.float32], categories: Sequence[str] | None = None
    ) -> None:
        """Add vectors.

        Parameters
        ----------
        ids : ndarray of int64, shape (n,)
            New ids, 0 or more.
        X : ndarray of float32, shape (n, d)
            Rows of unit length.
        categories : sequence of str, optional
            Category of each vector, for filters; empty strings by default.
        """
        ...

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        *,
        categories: Sequence[str] | None = None,
        exclude: ArrayLike | None = None,
    ) -> tuple[Similarities, Ids]:
        """Find the most similar vectors, as `Index.search` does.

        Parameters
        ----------
        queries : ndarray of float32, shape (q, d) or (d,)
            Unit vectors to look up.
        k : int
            Number of results per query; `found` removes the padding for a single query.
        categories : sequence of str, optional
            Categories to search in; the filter applies during the search, so k results are found
            if there are k.
        exclude : array-like of int, shape (q,), optional
            The id of each query, which is excluded from its results.

        Returns
        -------
        similarities : ndarray of float32, shape (q, k)
            Cosine similarities, descending along each row; -inf where there is no result.
        ids : ndarray of int64, shape (q, k)
            Ids of the results, ties in ascending order; `NOTHING` where there is no result.

        Raises
        ------
        ArgumentError
            When the dimensions of queries and store differ, or `exclude` does not have one id
            per query.
        """
        ...

    def remove(self, ids: Ids) -> int:
        """Remove vectors, and return how many of the ids were in the store."""
        ...

    def save(self) -> None:
        """Save the store, so that it can be opened again."""
        ...


def is_store(name: str) -> bool:
    """Return whether `open_store` accepts a name."""
    return name in KINDS or (name.startswith(MILVUS) and len(name) > len(MILVUS))


def open_store(name: str, dimension: int, folder: Path, *, new: bool = False) -> VectorStore:
    """Open a saved vector store, or create an empty one.

    Parameters
    ----------
    name : str
        `exact`, `hnsw` or `ivf-pq` for faiss; `milvus:` and a file for Milvus Lite; or `milvus:`
        and the address of a Milvus server, such as `milvus:http://localhost:19530`. The address
        may end in `?index=HNSW` or another Milvus index; the default is FLAT, which is exact.
    dimension : int
        Dimension of the vectors.
    folder : Path
        Folder of the faiss stores.
    new : bool
        Whether to start with an empty store even if one was saved.

    Returns
    -------
    VectorStore
        Ready to search.

    Raises
    ------
    ArgumentError
        When the name is unknown, or Milvus is not installed.
    CacheError
        When the saved store is damaged, or the server cannot be reached.
    """
    if not is_store(name):
        raise ArgumentError(
            f"There is no gallery {name!r}: choose {', '.join(KINDS)}, or milvus: and a file or "
            "the address of a server."
        )
    if name.startswith(MILVUS):
        from caltech_lab.retrieval.milvus_store import MilvusStore

        address, _, index = name.removeprefix(MILVUS).partition("?index=")
        return MilvusStore(address, dimension, index or "FLAT", new=new)
    return FaissStore(name, dimension, folder / name, new=new)


def matching(names: Sequence[str], categories: Sequence[str]) -> list[str]:
    """Return the categories that somebody named, whichever way their accents are encoded.

    Parameters
    ----------
    names : sequence of str
        What was typed: an accented letter may be one character or a letter and an accent.
    categories : sequence of str
        Those there are. Several may be the same in Unicode's normal form C.

    Raises
    ------
    ArgumentError
        When there is no such category; it names similar ones.

    Examples
    --------
    >>> matching(["dog"], ["cat", "dog"])
    ['dog']
    """
    by_form: dict[str, list[str]] = {}
    for category in categories:
        by_form.setdefault(normalize("NFC", category), []).append(category)
    for name in names:
        if normalize("NFC", name) not in by_form:
            raise ArgumentError(f"There is no category '{name}'{_instead(name, list(by_form))}")
    return [category for name in names for category in by_form[normalize("NFC", name)]]


def _instead(name: str, categories: list[str]) -> str:
    plain = {category.casefold(): category for category in categories}
    near = get_close_matches(normalize("NFC", name).casefold(), plain, n=3)
    if near:
        similar = [f"'{plain[form]}'" for form in near]
        return f". Did you mean {' or '.join(similar)}?"
    more = f" and {len(categories) - 5:,} more" if len(categories) > 5 else ""
    return f": there are {', '.join(categories[:5])}{more}."


def fill(store: VectorStore, X: NDArray[np.float32], categories: Sequence[str]) -> None:
    """Add all embeddings to a store, with their row numbers as ids, and save it."""
    store.remove(np.arange(len(X)))
    store.add(np.arange(len(X)), X, categories)
    store.save()


def found(similarities: Similarities, ids: Ids) -> tuple[Similarities, Ids]:
    """Return the results of a single query without the padding.

    Examples
    --------
    >>> print(*found(np.float32([[0.9, -np.inf]]), np.array([[4, NOTHING]])))
    [0.9] [4]
    """
    there = ids[0] != NOTHING
    return similarities[0, there], ids[0, there]


def describe(name: str) -> str:
    """Describe a vector store in words, by its name."""
    kind = {"exact": "searched exactly", "hnsw": "searched by a graph of neighbors (HNSW)",
            "ivf-pq": "searched by cells and short codes (IVF-PQ)"}  # fmt: skip
    return kind.get(name, f"searched by Milvus at {name.removeprefix(MILVUS)}")
