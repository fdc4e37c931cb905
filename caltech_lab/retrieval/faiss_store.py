"""In-memory vector stores that use faiss: exact, HNSW and IVF-PQ."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import ArrayLike, NDArray

from caltech_lab.errors import ArgumentError, CacheError
from caltech_lab.retrieval.index import (
    NOTHING,
    Ids,
    Similarities,
    checked_queries,
    checked_vectors,
    ranked,
)
from caltech_lab.storage.arrays import load_array, save_array
from caltech_lab.storage.files import make_way, read_json, sha256_of, write_atomically, write_json

NARROW = 0.1  # below this share of allowed vectors, the search is exhaustive


class FaissStore:
    """An in-memory vector store that uses faiss.

    Parameters
    ----------
    kind : {"exact", "hnsw", "ivf-pq"}
        Exhaustive search; a neighbor graph (the vectors plus about 270 bytes each); or an
        inverted file with product quantization (`code_size` bytes per vector).
    dimension : int
        Dimension of the vectors.
    folder : Path, optional
        Folder for saving; a store saved there is opened.
    new : bool
        Whether to start with an empty store instead.

    Notes
    -----
    IVF-PQ is trained on the vectors that are added first, so add a large and representative batch
    first. Removed vectors are only hidden; refill the store to free their memory.

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
        """Number of vectors."""
        return int(self._there.sum())

    def add(
        self, ids: Ids, X: NDArray[np.float32], categories: Sequence[str] | None = None
    ) -> None:
        """See `VectorStore.add`."""
        X = checked_vectors(ids, X, self.d)
        if len(np.unique(ids)) != len(ids) or np.isin(ids, self._ids[self._there]).any():
            raise ArgumentError("Some of these ids are already in the gallery: remove them first.")
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
        """See `VectorStore.search`."""
        queries = checked_queries(queries, self.d, exclude)
        allowed = self._there
        if categories is not None:
            codes = [i for i, name in enumerate(self.names) if name in set(categories)]
            allowed = allowed & np.isin(self._codes, codes)
        if self._index is None or not allowed.any():
            shape = len(queries), k
            return np.full(shape, -np.inf, np.float32), np.full(shape, NOTHING, np.int64)
        # With a narrow filter, cells and graphs contain too few allowed vectors.
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
        library: Any = faiss  # its type hints lack most search parameters
        options: dict[str, Any] = {}
        bits = np.packbits(allowed, bitorder="little")  # must stay alive during the search
        if not allowed.all():
            options["sel"] = library.IDSelectorBitmap(bits)
        index = self._index
        if self.kind == "ivf-pq":
            nprobe = index.nlist if exhaustively else min(index.nlist, max(8, index.nlist // 16))
            parameters = library.SearchParametersIVF(nprobe=nprobe, **options)
        elif self.kind == "hnsw" and not exhaustively:
            parameters = library.SearchParametersHNSW(efSearch=max(64, 2 * k), **options)
        else:
            index = index.storage if self.kind == "hnsw" else index  # the vectors of the graph
            parameters = library.SearchParameters(**options)
        similarities, places = index.search(queries, k, params=parameters)
        return similarities, places

    def remove(self, ids: Ids) -> int:
        """See `VectorStore.remove`."""
        leaving = self._there & np.isin(self._ids, ids)
        self._there = self._there & ~leaving
        return int(leaving.sum())

    def save(self) -> None:
        """See `VectorStore.save`."""
        if self.folder is None or self._index is None:
            raise ArgumentError("Only a gallery with a folder and with vectors can be saved.")
        description = self.folder / "gallery.json"
        for name in ("gallery.json", "gallery.faiss", "rows.npy"):
            make_way(self.folder / name)
        description.unlink(missing_ok=True)  # the store exists only once all files are written
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
            # faiss does not validate its input, so the checksums are compared first.
            sound = all(sha256_of(folder / n) == s for n, s in about["sha256"].items())
            fits = (about["kind"], about["dimension"]) == (self.kind, self.d)
        except (OSError, KeyError, TypeError, AttributeError):
            sound = fits = False
        if not (sound and fits and isinstance(about.get("names"), list)):
            raise CacheError(f"The gallery in {folder} is damaged or has other vectors: delete it.")
        self._index = faiss.read_index(str(folder / "gallery.faiss"))
        self._ids, self._codes, there = load_array(folder / "rows.npy")
        self._there, self.names = there.astype(np.bool_), list(about["names"])


def _empty_index(kind: str, X: NDArray[np.float32]) -> Any:
    """Return an index without vectors, trained on X if its kind requires training."""
    n, d = X.shape
    index: Any
    if kind == "exact":
        return faiss.IndexFlatIP(d)
    if kind == "hnsw":
        index = faiss.IndexHNSWFlat(d, 32, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = 80
        return index
    bits = min(8, int(np.log2(max(n, 2))))  # a codebook cannot have more entries than vectors
    size = code_size(d)
    coarse = faiss.IndexFlatIP(d)
    index = faiss.IndexIVFPQ(coarse, d, cells(n), size, bits, faiss.METRIC_INNER_PRODUCT)
    index.cp.niter = index.pq.cp.niter = 8  # more iterations change little and take minutes
    index.cp.max_points_per_centroid = 64
    index.cp.min_points_per_centroid = index.pq.cp.min_points_per_centroid = 1
    random = np.random.default_rng(0)
    enough = max(64 * cells(n), 65_536)
    index.train(X if n <= enough else X[random.choice(n, enough, replace=False)])
    return index


def cells(n: int) -> int:
    """Return the number of cells of an inverted file: ``4 sqrt(n)``, at most n / 40."""
    return max(1, min(round(4 * math.sqrt(n)), n // 40))


def code_size(d: int) -> int:
    """Return the code size of a product quantizer in bytes: at most 128, and at most d / 4."""
    return next(
        m for m in (128, 96, 64, 48, 32, 16, 8, 4, 2, 1) if d % m == 0 and m <= max(d // 4, 1)
    )
