"""Galleries: where vectors are kept and searched, exactly or not, in this process or in a server.

All of them take the same four requests, so that a collection which outgrows one is put into
another by changing its name: `exact`, `hnsw`, `ivf-pq`, or `milvus:` and an address.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Protocol
from unicodedata import normalize

import numpy as np
from numpy.typing import ArrayLike, NDArray

from caltech_lab.errors import ArgumentError
from caltech_lab.retrieval.faiss_gallery import FaissGallery
from caltech_lab.retrieval.index import NOTHING, Ids, Similarities

KINDS = ("exact", "hnsw", "ivf-pq")
MILVUS = "milvus:"


class Gallery(Protocol):
    """Vectors under ids, with categories to filter by.

    Attributes
    ----------
    d, ntotal : int
        Width of the vectors, and how many there are.
    """

    d: int

    @property
    def ntotal(self) -> int:
        """How many vectors there are."""
        ...

    def add(
        self, ids: Ids, X: NDArray[np.float32], categories: Sequence[str] | None = None
    ) -> None:
        """Put vectors in.

        Parameters
        ----------
        ids : ndarray of int64, shape (n,)
            What to call them, 0 or more; not in the gallery yet.
        X : ndarray of float32, shape (n, d)
            Rows of unit length.
        categories : sequence of str, optional
            What a search may filter by; empty by default.
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
            Number of results per query; `found` gives those of a single query without padding.
        categories : sequence of str, optional
            The results have one of these; the gallery applies that while it searches, so that k
            are found where there are k.
        exclude : array-like of int, shape (q,), optional
            The id of each query, which is left out of its results.

        Returns
        -------
        similarities : ndarray of float32, shape (q, k)
            Cosine similarities, descending along each row; -inf where there is no result.
        ids : ndarray of int64, shape (q, k)
            Those of the same similarity in ascending order; `NOTHING` where there is no result.

        Raises
        ------
        ArgumentError
            When the queries have another dimension than the gallery, or there is not one id to
            exclude per query.
        """
        ...

    def remove(self, ids: Ids) -> int:
        """Take vectors out, and return how many of these ids there were."""
        ...

    def save(self) -> None:
        """Keep the gallery, so that opening it again finds it as it is."""
        ...


def is_gallery(name: str) -> bool:
    """Tell whether `open_gallery` knows a name."""
    return name in KINDS or (name.startswith(MILVUS) and len(name) > len(MILVUS))


def open_gallery(name: str, dimension: int, folder: Path, *, new: bool = False) -> Gallery:
    """Open a gallery as it was saved, or an empty one.

    Parameters
    ----------
    name : str
        `exact`, `hnsw` or `ivf-pq`, through faiss; or `milvus:` and a file for Milvus Lite, or the
        address of a Milvus server, such as `milvus:http://localhost:19530`. The address may end in
        `?index=HNSW` or another index of Milvus; FLAT, which is exact, by default.
    dimension : int
        Width of the vectors.
    folder : Path
        Where the faiss ones are kept.
    new : bool
        Whether to begin with an empty one, whatever was saved.

    Returns
    -------
    Gallery
        Ready to be asked.

    Raises
    ------
    ArgumentError
        When there is no such gallery, or Milvus is not installed.
    CacheError
        When what was saved is damaged, or a server cannot be reached.
    """
    if not is_gallery(name):
        raise ArgumentError(
            f"There is no gallery {name!r}: choose {', '.join(KINDS)}, or milvus: and a file or "
            "the address of a server."
        )
    if name.startswith(MILVUS):
        from caltech_lab.retrieval.milvus import MilvusGallery

        address, _, index = name.removeprefix(MILVUS).partition("?index=")
        return MilvusGallery(address, dimension, index or "FLAT", new=new)
    return FaissGallery(name, dimension, folder / name, new=new)


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


def fill(gallery: Gallery, X: NDArray[np.float32], categories: Sequence[str]) -> None:
    """Put all embeddings into an empty gallery under the numbers of their rows, and save it."""
    gallery.remove(np.arange(len(X)))
    gallery.add(np.arange(len(X)), X, categories)
    gallery.save()


def found(similarities: Similarities, ids: Ids) -> tuple[Similarities, Ids]:
    """Return the results of a single query without the padding where there are fewer than k.

    Examples
    --------
    >>> print(*found(np.float32([[0.9, -np.inf]]), np.array([[4, NOTHING]])))
    [0.9] [4]
    """
    there = ids[0] != NOTHING
    return similarities[0, there], ids[0, there]


def describe(name: str) -> str:
    """Return a gallery's name in words."""
    kind = {"exact": "searched exactly", "hnsw": "searched by a graph of neighbors (HNSW)",
            "ivf-pq": "searched by cells and short codes (IVF-PQ)"}  # fmt: skip
    return kind.get(name, f"searched by Milvus at {name.removeprefix(MILVUS)}")
