"""Galleries: where vectors are kept and searched, exactly or not, in this process or in a server.

All of them take the same four requests, so that a collection which outgrows one is put into
another by changing its name: `exact`, `hnsw`, `ivf-pq`, or `milvus:` and an address.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import faiss
import numpy as np
from numpy.typing import ArrayLike, NDArray

from caltech_lab.errors import ArgumentError, CacheError
from caltech_lab.retrieval.index import Ids, Similarities, checked_queries, ranked
from caltech_lab.storage.files import (
    load_array,
    read_json,
    save_array,
    sha256_of,
    write_atomically,
    write_json,
)

KINDS = ("exact", "hnsw", "ivf-pq")
MILVUS = "milvus:"
NARROW = 0.1  # a filter that leaves a smaller share is searched exhaustively
NOTHING = -1  # the id where there are fewer answers than asked for


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
            Rows of length one.
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


class FaissGallery:
    """A gallery in the memory of this process.

    Parameters
    ----------
    kind : {"exact", "hnsw", "ivf-pq"}
        Compare with all vectors; walk a graph of neighbors (the vectors and about 270 bytes
        each); or look into a few cells of vectors that are coded in `code_size` bytes each.
    dimension : int
        Width of the vectors.
    folder : Path, optional
        Where it is kept; what was saved there is opened.
    new : bool
        Whether to begin with an empty one instead.

    Notes
    -----
    IVF-PQ learns its cells and codes from the vectors that are added first: let these be many,
    and of all kinds. What is removed is passed over from then on; its memory is free when the
    gallery is filled anew.

    References
    ----------
    M. Douze et al.: The Faiss library. arXiv:2401.08281, 2024.
    Y. Malkov, D. Yashunin: Efficient and robust approximate nearest neighbor search using
    hierarchical navigable small world graphs. IEEE TPAMI 42, 2020.
    H. Jégou, M. Douze, C. Schmid: Product quantization for nearest neighbor search. IEEE TPAMI
    33, 2011.
    """

    def __init__(
        self, kind: str, dimension: int, folder: Path | None = None, *, new: bool = False
    ) -> None:
        self.kind, self.d, self.folder = kind, dimension, folder
        self.names: list[str] = []  # of categories; `_codes` points into it
        self._ids = np.empty(0, np.int64)
        self._codes = np.empty(0, np.int64)
        self._there = np.empty(0, np.bool_)
        self._index: Any = None
        if not new and folder is not None and (folder / "gallery.json").is_file():
            self._open(folder)

    @property
    def ntotal(self) -> int:
        """How many vectors there are."""
        return int(self._there.sum())

    @property
    def bytes_a_vector(self) -> float:
        """What the saved index takes for each vector."""
        return float(faiss.serialize_index(self._index).size / self._index.ntotal)

    def add(
        self, ids: Ids, X: NDArray[np.float32], categories: Sequence[str] | None = None
    ) -> None:
        """See `Gallery.add`."""
        X = checked_vectors(ids, X, self.d)
        if len(np.unique(ids)) != len(ids) or np.isin(ids, self._ids[self._there]).any():
            raise ArgumentError("Some of these ids are in the gallery already: remove them first.")
        if self._index is None:
            self._index = _empty_index(self.kind, X)
        self._index.add(X)
        given = [""] * len(X) if categories is None else list(categories)
        new = sorted(set(given) - set(self.names))
        self.names += new
        code = {name: i for i, name in enumerate(self.names)}
        self._ids = np.concatenate([self._ids, np.asarray(ids, np.int64)])
        self._codes = np.concatenate([self._codes, np.array([code[c] for c in given], np.int64)])
        self._there = np.concatenate([self._there, np.ones(len(X), np.bool_)])

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        *,
        categories: Sequence[str] | None = None,
        exclude: ArrayLike | None = None,
    ) -> tuple[Similarities, Ids]:
        """See `Gallery.search`."""
        queries = checked_queries(queries, self.d, exclude)
        allowed = self._there
        if categories is not None:
            codes = [i for i, name in enumerate(self.names) if name in set(categories)]
            allowed = allowed & np.isin(self._codes, codes)
        if self._index is None or not allowed.any():
            shape = len(queries), k
            return np.full(shape, -np.inf, np.float32), np.full(shape, NOTHING, np.int64)
        # Cells and graphs are looked into in vain where few of their photos will do.
        exhaustively = allowed.mean() < NARROW
        most = k + (exclude is not None)
        similarities, places = self._ask(queries, most, allowed, exhaustively)
        if (places < 0).any() and not exhaustively:
            similarities, places = self._ask(queries, most, allowed, True)
        similarities[places < 0] = -np.inf
        return ranked(similarities, np.where(places < 0, NOTHING, self._ids[places]), exclude)

    def _ask(
        self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_], exhaustively: bool
    ) -> tuple[Similarities, Ids]:
        library: Any = faiss  # its type hints know little of search parameters
        options: dict[str, Any] = {}
        bits = np.packbits(allowed, bitorder="little")  # faiss reads them while it searches
        if not allowed.all():
            options["sel"] = library.IDSelectorBitmap(bits)
        index = self._index
        if self.kind == "ivf-pq":
            nprobe = index.nlist if exhaustively else min(index.nlist, max(8, index.nlist // 16))
            parameters = library.SearchParametersIVF(nprobe=nprobe, **options)
        elif self.kind == "hnsw" and not exhaustively:
            parameters = library.SearchParametersHNSW(efSearch=max(64, 2 * k), **options)
        else:
            index = index.storage if self.kind == "hnsw" else index  # the graph's vectors
            parameters = library.SearchParameters(**options)
        similarities, places = index.search(queries, k, params=parameters)
        return similarities, places

    def remove(self, ids: Ids) -> int:
        """See `Gallery.remove`."""
        leaving = self._there & np.isin(self._ids, ids)
        self._there = self._there & ~leaving
        return int(leaving.sum())

    def save(self) -> None:
        """See `Gallery.save`."""
        if self.folder is None or self._index is None:
            raise ArgumentError("Only a gallery with a folder and with vectors can be saved.")
        description = self.folder / "gallery.json"
        description.unlink(missing_ok=True)  # until all files are there, there is no gallery
        with write_atomically(self.folder / "gallery.faiss") as temporary:
            faiss.serialize_index(self._index).tofile(temporary)
        table = np.stack([self._ids, self._codes, self._there.astype(np.int64)])
        save_array(self.folder / "rows.npy", table)
        sums = {name: sha256_of(self.folder / name) for name in ("gallery.faiss", "rows.npy")}
        about = {"kind": self.kind, "dimension": self.d, "names": self.names, "sha256": sums}
        write_json(description, about)

    def _open(self, folder: Path) -> None:
        about = read_json(folder / "gallery.json")
        try:
            # faiss believes what it reads, so only the bytes that were written are given to it.
            sound = all(sha256_of(folder / n) == s for n, s in about["sha256"].items())
            fits = (about["kind"], about["dimension"]) == (self.kind, self.d)
        except (OSError, KeyError, TypeError, AttributeError):
            sound = fits = False
        if not (sound and fits):
            raise CacheError(f"The gallery in {folder} is damaged or of other vectors: delete it.")
        self._index = faiss.read_index(str(folder / "gallery.faiss"))
        self._ids, self._codes, there = load_array(folder / "rows.npy")
        self._there, self.names = there.astype(np.bool_), list(about["names"])


def _empty_index(kind: str, X: NDArray[np.float32]) -> Any:
    """Make an index without vectors; what it must learn, it learns from X."""
    n, d = X.shape
    index: Any
    if kind == "exact":
        return faiss.IndexFlatIP(d)
    if kind == "hnsw":
        index = faiss.IndexHNSWFlat(d, 32, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = 80
        return index
    bits = min(8, int(np.log2(max(n, 2))))  # a code book must not be larger than what it is of
    size = code_size(d)
    coarse = faiss.IndexFlatIP(d)
    index = faiss.IndexIVFPQ(coarse, d, cells(n), size, bits, faiss.METRIC_INNER_PRODUCT)
    index.cp.niter = index.pq.cp.niter = 8  # more rounds change little, and take minutes
    index.cp.max_points_per_centroid = 64
    index.cp.min_points_per_centroid = index.pq.cp.min_points_per_centroid = 1
    random = np.random.default_rng(0)
    enough = max(64 * cells(n), 65_536)
    index.train(X if n <= enough else X[random.choice(n, enough, replace=False)])
    return index


def cells(n: int) -> int:
    """Return how many cells an inverted file of n vectors gets: ``4 sqrt(n)``, at most n / 40."""
    return max(1, min(round(4 * math.sqrt(n)), n // 40))


def code_size(d: int) -> int:
    """Return the bytes of a product quantizer's code: at most 128, and at most d / 4."""
    return next(
        m for m in (128, 96, 64, 48, 32, 16, 8, 4, 2, 1) if d % m == 0 and m <= max(d // 4, 1)
    )


def describe(name: str) -> str:
    """Return a gallery's name in words."""
    kind = {"exact": "searched exactly", "hnsw": "searched by a graph of neighbors (HNSW)",
            "ivf-pq": "searched by cells and short codes (IVF-PQ)"}  # fmt: skip
    return kind.get(name, f"searched by Milvus at {name.removeprefix(MILVUS)}")


def quoted(names: Sequence[str]) -> str:
    r"""Return names as a list in the language of Milvus's filters.

    Examples
    --------
    >>> quoted(['cup', 'Faces "easy"'])
    '["cup", "Faces \\"easy\\""]'
    """
    return json.dumps(list(names), ensure_ascii=False)
