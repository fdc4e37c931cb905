"""What happens between a photo and its answer, without a browser."""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from caltech_lab.classification import svm_probabilities, svm_temperature
from caltech_lab.engines import Engine, compile_backbone
from caltech_lab.errors import ArgumentError
from caltech_lab.files import sha256_of
from caltech_lab.images import load_pixels, read_photo
from caltech_lab.retrieval import Ids, Similarities, search, search_excluding_self
from caltech_lab.widgets.thumbnails import thumbnail

if TYPE_CHECKING:
    from caltech_lab.lab import Lab

MAX_K = 50
N_CLUSTERS = 20
N_CACHED = 2000  # thumbnails, of about 6 KB each

Vector = NDArray[np.float32]


@dataclass(frozen=True)
class Query:
    """A photo to look up, as a vector.

    Attributes
    ----------
    vector : ndarray of float32, shape (d,)
        Its embedding, of length one.
    name : str
        What to call it.
    row : int or None
        Its row in the gallery, when it is one of the gallery's photos.
    picture : bytes
        A thumbnail of it, as `thumbnail` makes them.
    seconds : dict
        How long each step took so far, by name.
    """

    vector: Vector
    name: str
    row: int | None
    picture: bytes
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What the lab has to say about a photo.

    Attributes
    ----------
    query : Query
        What was asked.
    ids : ndarray of int64, shape (k,)
        Rows of the most similar gallery photos, the best first, never that of the query.
    similarities : ndarray of float32, shape (k,)
        Their cosine similarities, falling.
    probabilities : ndarray of float64, shape (number of categories,)
        Probability of each category, in the order of the gallery's categories.
    cluster : int
        The K-Means cluster whose centre is nearest.
    seconds : dict
        How long each step took, by name, those of the query included.
    """

    query: Query
    ids: Ids
    similarities: Similarities
    probabilities: NDArray[np.float64]
    cluster: int
    seconds: dict[str, float]

    def best_categories(self, n: int = 5) -> NDArray[np.intp]:
        """Return the labels of the n most probable categories, the best first."""
        return np.argsort(-self.probabilities, kind="stable")[:n]


class SearchSession:
    """Looks photos up in the gallery of a lab: all of its photos.

    The models are those that the lab keeps, made on demand; the backbone is loaded and compiled
    when a photo first needs it, since the gallery's embeddings are there already.

    Parameters
    ----------
    lab : Lab
        Whose photos and models to use.
    engine : Engine, optional
        The compiled backbone, where there is one already.

    Attributes
    ----------
    gallery : Features
        What answers are taken from.
    index : faiss.IndexFlatIP
        The gallery, ready to be searched.
    classifier : Pipeline
        The lab's SVM.
    trained_on : ndarray of int64
        Rows of the gallery that the classifier was trained on.
    temperature : float
        Makes probabilities of the classifier's decisions; found on those rows alone.
    kmeans : KMeans
        Fitted on the whole gallery.
    thumbnail : callable
        From a row of the gallery to a small JPEG of it, remembered.
    """

    def __init__(self, lab: "Lab", engine: Engine | None = None) -> None:
        self.lab = lab
        self.gallery = lab.embeddings
        self._engine = engine
        self._row_of = {sha: row for row, sha in enumerate(self.gallery.photos.sha256) if sha}
        self.index = lab.index()
        self.classifier = lab.svm()
        self.trained_on, _ = self.gallery.split(lab.seed)
        self.temperature = self._temperature()
        self.kmeans = lab.kmeans(min(N_CLUSTERS, len(self.gallery)))
        self.thumbnail: Callable[[int], bytes] = lru_cache(N_CACHED)(self._thumbnail)

    @property
    def max_k(self) -> int:
        """The most answers that a query can have."""
        return min(MAX_K, len(self.gallery) - 1)

    @property
    def is_compiled(self) -> bool:
        """Whether the backbone is ready."""
        return self._engine is not None

    @property
    def engine(self) -> Engine:
        """The compiled backbone; the first call takes some seconds."""
        if self._engine is None:
            self._engine = compile_backbone(self.lab.backbone, self.lab.choice)
        return self._engine

    # ---- from a photo to a query -----------------------------------------------------------

    def from_gallery(self, row: int) -> Query:
        """Make a photo of the gallery the query.

        Parameters
        ----------
        row : int
            Its row in the gallery.

        Returns
        -------
        Query
            With the embedding that is known already.

        Raises
        ------
        ArgumentError
            When there is no such row.
        PhotoError
            When its file can no longer be read.
        """
        if not 0 <= row < len(self.gallery):
            last = len(self.gallery) - 1
            raise ArgumentError(f"The gallery has the rows 0 to {last}, not {row}.")
        return Query(self.gallery.X[row], self.path(row), row, self.thumbnail(row))

    def from_photo(self, source: str | Path | bytes, name: str | None = None) -> Query:
        """Make any photo the query.

        A file that is in the gallery, byte for byte, is recognised, so that it is left out of
        its own answer.

        Parameters
        ----------
        source : str, Path or bytes
            A file, or the content of one, such as an upload.
        name : str, optional
            What to call it; the file's name by default.

        Returns
        -------
        Query
            Embedded as the gallery's photos were.

        Raises
        ------
        PhotoError
            When it cannot be read as a photo.
        """
        if name is None:
            name = "The upload" if isinstance(source, bytes) else Path(source).name
        seconds: dict[str, float] = {}
        with _timed(seconds, "read"):
            photo = read_photo(source)
            row = self._row_of.get(_sha256(source))
            if row is not None:
                return self.from_gallery(row)
            backbone = self.lab.backbone
            pixels = load_pixels(photo, backbone.size, backbone.fit)
            picture = thumbnail(photo)
        engine = self.engine  # not among the timings: only the first photo waits for it
        with _timed(seconds, "embed"):
            (vector,) = self.embed(pixels[None], engine)
        return Query(vector, name, None, picture, seconds)

    def embed(self, pixels: NDArray[np.uint8], engine: Engine | None = None) -> Vector:
        """Send pixels through the backbone, and scale the rows to length one.

        Parameters
        ----------
        pixels : ndarray of uint8, shape (m, size, size, 3)
            RGB photos as `load_pixels` gives them.
        """
        engine = engine or self.engine
        batches = (pixels[i : i + engine.batch] for i in range(0, len(pixels), engine.batch))
        rows = np.concatenate([*engine.embed(batches)])
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return rows

    # ---- from a query to an answer ---------------------------------------------------------

    def ask(self, query: Query, k: int = 10) -> Answer:
        """Answer a query.

        Parameters
        ----------
        query : Query
            From `from_gallery` or `from_photo`.
        k : int
            Number of photos to find, 1 to `max_k`.

        Returns
        -------
        Answer
            Photos, probabilities, cluster, and how long each step took.

        Raises
        ------
        ArgumentError
            When `k` is out of range.
        """
        if not 1 <= k <= self.max_k:
            raise ArgumentError(f"k must be between 1 and {self.max_k}, not {k}.")
        X = query.vector[None]
        seconds = dict(query.seconds)
        with _timed(seconds, "search"):
            if query.row is None:
                similarities, ids = search(self.index, X, k)
            else:
                rows = np.array([query.row])
                similarities, ids = search_excluding_self(self.index, X, rows, k)
        with _timed(seconds, "classify"):
            (probabilities,) = svm_probabilities(self.classifier, X, self.temperature)
        with _timed(seconds, "cluster"):
            cluster = int(self.kmeans.predict(X)[0])
        return Answer(query, ids[0], similarities[0], probabilities, cluster, seconds)

    def path(self, row: int) -> str:
        """Return the path of a gallery photo, as the dataset writes it."""
        return str(self.gallery.photos.table["path"].iat[row])

    def category(self, row: int) -> str:
        """Return the category of a gallery photo."""
        return str(self.gallery.categories[self.gallery.y[row]])

    def cluster_members(self, cluster: int) -> Ids:
        """Return the rows of the gallery's photos in a K-Means cluster."""
        return np.flatnonzero(self.kmeans.labels_ == cluster)

    def _temperature(self) -> float:
        X, y, seed = self.gallery.X, self.gallery.y, self.lab.seed
        train, path = self.trained_on, self.lab.folder("models/classifier") / "svm_temperature.npy"
        kept: NDArray[np.float64] = self.lab.kept(
            path, lambda: np.array([svm_temperature(self.classifier, X[train], y[train], seed)])
        )
        return float(kept[0])

    def _thumbnail(self, row: int) -> bytes:
        return thumbnail(read_photo(self.gallery.photos.file(row)))


def _sha256(source: str | Path | bytes) -> str:
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    return sha256_of(Path(source))


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds[step] = time.perf_counter() - began
