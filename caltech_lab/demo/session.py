"""The search session behind the demo: from a photo to its results, without a browser."""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from caltech_lab.clustering.checks import possible_k
from caltech_lab.demo.answers import Answer, Box, Match, Query, Ranking, SearchOptions, Vector
from caltech_lab.demo.similarity_map import region_at, shares_of_the_cosine, similarity_to_region
from caltech_lab.demo.spaces import LEARNED, PLAIN, Space, learned_space, plain_space
from caltech_lab.embedding.backbones import feature_map
from caltech_lab.embedding.engines import Engine, compile_backbone
from caltech_lab.embedding.extraction import unit_rows
from caltech_lab.embedding.images import load_pixels, part_seen, read_photo
from caltech_lab.errors import ArgumentError
from caltech_lab.retrieval.calibration import leave_one_out, same_category_probability
from caltech_lab.retrieval.feedback import rocchio, without_near_duplicates
from caltech_lab.retrieval.gallery import found
from caltech_lab.retrieval.index import Ids, Similarities
from caltech_lab.retrieval.novelty import familiarity, novelty_threshold
from caltech_lab.scale.galleries import gallery
from caltech_lab.settings import settings
from caltech_lab.storage.files import sha256_of
from caltech_lab.widgets.thumbnails import shrunk, small_jpeg, thumbnail

if TYPE_CHECKING:
    from caltech_lab.classification.svm import CalibratedSVM
    from caltech_lab.lab import Lab
    from caltech_lab.retrieval.gallery import Gallery

MAX_K = 50
N_CLUSTERS = 20
N_CACHED = 2000  # thumbnails for the page, of about 10 KB each
VIEW = 420  # pixels per side of the query as it is shown
KEPT = 1024  # pixels per side of the query as it is kept, for selecting parts of it
LEAST_PART = 8  # pixels
CANDIDATES = 500  # fetched from a gallery; more than are shown, so that feedback can rerank them
UNSEEN = -2  # below any cosine similarity


class SearchSession:
    """Searches the photos of a lab, which are the gallery.

    The models are those cached by the lab, fitted on demand. The backbone is loaded and compiled
    when a photo first has to be embedded, since the gallery's embeddings already exist.

    Parameters
    ----------
    lab : Lab
        The lab with the photos and models to use.
    engine : Engine, optional
        The compiled backbone, if there is one already.

    Attributes
    ----------
    gallery : Embeddings
        The embeddings that are searched.
    classifier : CalibratedSVM or None
        The lab's SVM; None if fewer than two categories are large enough.
    no_classifier : str
        A sentence that says why there is no classifier; empty otherwise.
    trained_on : ndarray of int64
        Rows of the gallery that the classifier was trained on.
    space : Space
        The vectors used for the search, plain or learned; see `use`.
    threshold : float
        Familiarity, by plain vectors, below which a query counts as unlike the gallery.
    kmeans : KMeans or None
        Fitted on the whole gallery; None for fewer than three photos, and for copies of one photo.
    thumbnail : callable
        Returns a small JPEG of a row of the gallery, cached.
    """

    def __init__(self, lab: "Lab", engine: Engine | None = None) -> None:
        self.lab = lab
        self.gallery = lab.embeddings
        self._engine = engine
        self._row_of = {sha: row for row, sha in enumerate(self.gallery.photos.sha256) if sha}
        self.classifier: CalibratedSVM | None = None
        self.trained_on, self.no_classifier = np.empty(0, np.int64), ""
        try:
            self.classifier = lab.svm()
            self.trained_on, _ = lab.split()
        except ArgumentError as error:
            self.no_classifier = str(error)
        self._pairs = lru_cache(1)(self._leave_one_out)
        self._spaces: dict[str, Space] = {}
        self.use(PLAIN)
        self.threshold = self._novelty_threshold()
        n_clusters = possible_k(self.gallery.X, N_CLUSTERS)
        self.kmeans = lab.kmeans(n_clusters) if n_clusters > 1 else None
        self.thumbnail: Callable[[int], bytes] = lru_cache(N_CACHED)(self._thumbnail)
        self._mapper: Engine | None = None
        # For the exact gallery, the index of the space is used.
        self._asks = None if settings().gallery == "exact" else gallery(lab)

    @property
    def max_k(self) -> int:
        """The maximum number of results per query."""
        return max(1, min(MAX_K, len(self.gallery) - 1))

    @property
    def is_compiled(self) -> bool:
        """Whether the backbone is compiled."""
        return self._engine is not None

    @property
    def engine(self) -> Engine:
        """The compiled backbone; the first access takes some seconds."""
        if self._engine is None:
            self._engine = compile_backbone(self.lab.backbone, self.lab.runtime)
        return self._engine

    # ---- the space that is searched --------------------------------------------------------

    def use(self, name: str) -> None:
        """Switch the search to other vectors.

        The classifier, the clusters, the near-duplicates and the novelty check always use the
        plain vectors, because learned vectors represent only the categories.

        Parameters
        ----------
        name : {"plain", "learned"}
            Learned vectors take some minutes to compute the first time, and are cached.

        Raises
        ------
        ArgumentError
            When there are no such vectors.
        """
        pairs = self._pairs if self.classifier else None
        makers = {
            PLAIN: lambda: plain_space(self.lab, pairs),
            LEARNED: lambda: learned_space(self.lab, MAX_K),
        }
        if name not in makers:
            raise ArgumentError(f"There are no {name!r} vectors: choose 'plain' or 'learned'.")
        if name == LEARNED and self.no_classifier:
            raise ArgumentError(f"No vectors can be learned: {self.no_classifier}")
        if name not in self._spaces:
            self._spaces[name] = makers[name]()
        self.space = self._spaces[name]

    def _by(self, query: Query) -> Vector:
        """Return the vector of a query in the current space."""
        if self.space.embed is None:
            return query.vector
        assert query.learned is not None
        return query.learned

    def seen(self, query: Query) -> Query:
        """Return a query with its vector in the current space, embedding it if needed.

        Parameters
        ----------
        query : Query
            From `from_gallery`, `from_photo` or `part`.

        Returns
        -------
        Query
            The same query if plain vectors are searched; otherwise with `learned` set.

        Raises
        ------
        ArgumentError
            When the query has no photo to embed.
        """
        if self.space.embed is None or query.learned is not None:
            return query
        if query.row is not None and query.whole is None:
            return replace(query, learned=self.space.X[query.row])
        if query.photo is None:
            raise ArgumentError("This query has no photo that could be embedded once more.")
        seconds = dict(query.seconds)
        with _timed(seconds, "embed"):
            learned = self.space.embed(query.photo, query.vector)
        return replace(query, learned=learned, seconds=seconds)

    # ---- from a photo to a query -----------------------------------------------------------

    def from_gallery(self, row: int) -> Query:
        """Make a query from a photo of the gallery.

        Parameters
        ----------
        row : int
            Row of the photo in the gallery.

        Returns
        -------
        Query
            The query, with the stored embedding.

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
        photo = shrunk(read_photo(self.gallery.photos.file(row)), KEPT)
        return Query(self.gallery.X[row], self.path(row), row, thumbnail(photo, VIEW), {}, photo)

    def from_photo(self, source: str | Path | bytes, name: str | None = None) -> Query:
        """Make a query from any photo.

        A file that is identical to a photo in the gallery is recognized, and excluded from its own
        results.

        Parameters
        ----------
        source : str, Path or bytes
            A file, or the content of one, such as an upload.
        name : str, optional
            Name of the query; the file's name by default.

        Returns
        -------
        Query
            The query, embedded in the same way as the gallery's photos.

        Raises
        ------
        PhotoError
            When the photo cannot be read.
        """
        if name is None:
            name = "The upload" if isinstance(source, bytes) else Path(source).name
        seconds: dict[str, float] = {}
        with _timed(seconds, "read"):
            photo = read_photo(source)
            row = self._row_of.get(_sha256(source))
            if row is not None:
                return self.from_gallery(row)
        return self._asked(photo, name, None, seconds)

    def part(self, query: Query, box: Box) -> Query:
        """Make a query from a part of the query's photo.

        Parameters
        ----------
        query : Query
            A query with a `photo`; if it is itself a part, the whole photo is used.
        box : tuple of float
            Left, top, right and bottom, as fractions of width and height, 0 to 1.

        Returns
        -------
        Query
            The query; if the photo is in the gallery, it stays excluded from the results.

        Raises
        ------
        ArgumentError
            When there is no photo, or the part is too small.
        """
        whole = query.whole or query
        if whole.photo is None:
            raise ArgumentError("This query has no photo that a part could be cut from.")
        width, height = whole.photo.size
        left, right = (round(min(max(x, 0.0), 1.0) * width) for x in (box[0], box[2]))
        top, bottom = (round(min(max(y, 0.0), 1.0) * height) for y in (box[1], box[3]))
        if right - left < LEAST_PART or bottom - top < LEAST_PART:
            raise ArgumentError(
                f"This part has {max(right - left, 0)} x {max(bottom - top, 0)} pixels: "
                f"drag over a larger one, at least {LEAST_PART} x {LEAST_PART}."
            )
        part = whole.photo.crop((left, top, right, bottom))
        return self._asked(part, f"a part of {whole.name}", whole.row, {}, whole)

    def _asked(
        self,
        photo: Image.Image,
        name: str,
        row: int | None,
        seconds: dict[str, float],
        whole: Query | None = None,
    ) -> Query:
        backbone = self.lab.backbone
        engine = self.engine  # not timed, because only the first photo waits for it
        with _timed(seconds, "read"):
            pixels = load_pixels(photo, backbone.size, backbone.fit)
            kept = shrunk(photo, KEPT)
            picture = thumbnail(kept, VIEW)
        with _timed(seconds, "embed"):
            (vector,) = unit_rows(engine.embed_one(pixels)[None])
        return Query(vector, name, row, picture, seconds, kept, whole)

    # ---- from a query to its results -------------------------------------------------------

    def ask(self, query: Query, k: int | None = None) -> Answer:
        """Search the gallery for a query, and classify and cluster it.

        Parameters
        ----------
        query : Query
            From `from_gallery` or `from_photo`.
        k : int, optional
            Number of results, 1 to `max_k`; by default 10, or `max_k` if that is smaller.

        Returns
        -------
        Answer
            Photos, probabilities, cluster, and the duration of each step. If the query is the only
            photo in the gallery, there are no results.

        Raises
        ------
        ArgumentError
            When `k` is out of range.
        """
        k = min(10, self.max_k) if k is None else k
        if not 1 <= k <= self.max_k:
            raise ArgumentError(f"k must be between 1 and {self.max_k}, not {k}.")
        query = self.seen(query)
        X = query.vector[None]
        seconds = dict(query.seconds)
        with _timed(seconds, "search"):
            cosines = self._scores(query)
            order = np.argsort(-cosines, kind="stable")
            ids = order[:k]
            ids = ids[cosines[ids] > UNSEEN]
            familiar = self._familiarity(query, cosines[order])
        with _timed(seconds, "classify"):
            probabilities = self._probabilities(X)
        with _timed(seconds, "cluster"):
            cluster = int(self.kmeans.predict(X)[0]) if self.kmeans else None
        same = self._same_category(cosines[ids], np.arange(len(ids)))
        return Answer(
            query, ids, cosines[ids], probabilities, cluster, seconds,
            cosines, order, same, familiar, familiar < self.threshold,
        )  # fmt: skip

    def rank(self, answer: Answer, options: SearchOptions, k: int) -> Ranking:
        """Rerank the gallery according to a user's feedback and filters.

        Parameters
        ----------
        answer : Answer
            From `ask`.
        options : SearchOptions
            Marked photos move the query by `feedback.rocchio`; the other options are filters.
        k : int
            Maximum number of photos.

        Returns
        -------
        Ranking
            Fewer than k photos if the filters leave fewer.
        """
        query, gallery = answer.query, self.gallery
        cosines = answer.cosines
        if self._asked_gallery is not None and options.categories:
            cosines = self._scores(query, categories=options.categories)
        scores = cosines
        if options.good or options.bad:
            good, bad = (self.space.X[list(rows)] for rows in (options.good, options.bad))
            moved = rocchio(self._by(query), good, bad)
            scores = self._scores(query, moved, options.categories)
        allowed = (cosines > UNSEEN) & (scores > UNSEEN)
        allowed[list(options.bad)] = False
        if options.categories:
            allowed &= np.isin(gallery.y, list(options.categories))
        if options.cluster is not None and self.kmeans:
            allowed &= self.kmeans.labels_ == options.cluster
        order = answer.order
        if scores is not answer.cosines:
            order = np.argsort(-scores, kind="stable")
        ids = order[allowed[order]]
        if options.hide_near_duplicates:
            ids = without_near_duplicates(gallery.X, ids, k, query.vector)
        ids = ids[:k]
        # The probabilities were fitted on rankings without feedback or filters, so they depend on
        # the rank in such a ranking.
        places = np.empty(len(gallery), dtype=np.int64)
        places[answer.order] = np.arange(len(gallery))
        near = cosines[ids]
        return Ranking(ids, near, self._same_category(near, places[ids]))

    def _probabilities(self, X: Vector) -> NDArray[np.float64] | None:
        """Return the probability of each category of the gallery, 0 for untrained ones."""
        if self.classifier is None:
            return None
        probabilities = np.zeros(len(self.gallery.categories))
        probabilities[self.classifier.classes_] = self.classifier.predict_proba(X)[0]
        return probabilities

    def _same_category(self, cosines: Similarities, places: Ids) -> NDArray[np.float64] | None:
        if self.space.curves is None:
            return None
        return same_category_probability(self.space.curves, cosines, places)

    @property
    def _asked_gallery(self) -> "Gallery | None":
        # Galleries contain plain vectors; learned vectors are short and already in memory.
        return self._asks if self.space.embed is None else None

    def _scores(
        self, query: Query, moved: Vector | None = None, categories: Iterable[int] = ()
    ) -> Similarities:
        """Return the similarity of each photo to a query, or to a query moved by feedback.

        It is `UNSEEN` for the query's own photo, and for photos that the gallery did not return:
        an approximate or remote gallery returns only the best `CANDIDATES`, limited to these
        categories if there are any.
        """
        vector = self._by(query) if moved is None else moved
        if self._asked_gallery is None:
            scores: Similarities = self.space.index.similarities(vector)[0]
        else:
            names = [self.gallery.categories[i] for i in categories] or None
            candidates = min(CANDIDATES, len(self.gallery))
            near, ids = found(*self._asked_gallery.search(vector, candidates, categories=names))
            scores = np.full(len(self.gallery), UNSEEN, np.float32)
            scores[ids] = near
        if query.row is not None:
            scores[query.row] = UNSEEN
        return scores

    def _familiarity(self, query: Query, cosines: Similarities) -> float:
        """Return the familiarity of a query by plain vectors; `cosines` descend, in any space."""
        if self.space.embed is not None:
            (cosines,) = self._spaces[PLAIN].index.similarities(query.vector)
            if query.row is not None:
                cosines[query.row] = UNSEEN
            cosines = np.sort(cosines)[::-1]
        seen = cosines[cosines > UNSEEN]
        return float(familiarity(seen)) if len(seen) else 1.0

    # ---- why two photos are similar --------------------------------------------------------

    @property
    def has_maps(self) -> bool:
        """Whether the backbone has a feature map to compare photos by."""
        return self.lab.backbone.grid > 0

    @property
    def maps_are_compiled(self) -> bool:
        """Whether the network that computes feature maps is compiled."""
        return self._mapper is not None

    def match(self, query: Query, row: int, point: tuple[float, float] | None = None) -> Match:
        """Explain the similarity of the query and a photo of the gallery by regions.

        Parameters
        ----------
        query : Query
            A query with a `photo`.
        row : int
            Row of the other photo in the gallery.
        point : tuple of float, optional
            Position in the query's photo, from the left and from the top, 0 to 1. If given, the
            region there is compared with all regions of both photos.

        Returns
        -------
        Match
            Contributions to the cosine similarity, or similarities to the region.

        Raises
        ------
        ArgumentError
            When the query has no photo, or the backbone has no feature map.
        PhotoError
            When the other photo can no longer be read.
        """
        if query.photo is None:
            raise ArgumentError("This query has no photo to be compared region by region.")
        if self._mapper is None:
            self._mapper = compile_backbone(feature_map(self.lab.backbone), self.lab.runtime)
        photos = [query.photo, read_photo(self.gallery.photos.file(row))]
        size, fit = self.lab.backbone.size, self.lab.backbone.fit
        first, second = (self._mapper.embed_one(load_pixels(photo, size, fit)) for photo in photos)
        seen, seen_of_result = (part_seen(*photo.size, size, fit) for photo in photos)
        if point is None:
            return Match(*shares_of_the_cosine(first, second), seen, seen_of_result)
        left, top, right, bottom = seen
        x, y = (point[0] - left) / (right - left), (point[1] - top) / (bottom - top)
        region = region_at(x, y, first.shape)
        here, there = (similarity_to_region(first, region, other) for other in (first, second))
        return Match(here, there, seen, seen_of_result, region)

    def path(self, row: int) -> str:
        """Return the path of a gallery photo, relative to the dataset."""
        return str(self.gallery.photos.table["path"].iat[row])

    def category(self, row: int) -> str:
        """Return the category of a gallery photo; empty if it has none."""
        return str(self.gallery.photos.table["category"].iat[row])

    def cluster_members(self, cluster: int) -> Ids:
        """Return the rows of the gallery's photos in a K-Means cluster."""
        if self.kmeans is None:
            return np.empty(0, np.int64)
        return np.flatnonzero(self.kmeans.labels_ == cluster)

    def _leave_one_out(self) -> tuple[Similarities, NDArray[np.bool_]]:
        rows = self.trained_on if self.classifier else np.arange(len(self.gallery))
        return leave_one_out(self.gallery.X[rows], self.gallery.y[rows], MAX_K)

    def _novelty_threshold(self) -> float:
        if len(self.gallery) < 2:
            return -1.0  # there are no pairs to derive a threshold from
        name = "models/retrieval/novelty_threshold.json"
        return float(self.lab.cached(name, _threshold, self._pairs))

    def _thumbnail(self, row: int) -> bytes:
        file = self.gallery.photos.file(row)
        return small_jpeg(file) or thumbnail(read_photo(file))


def _threshold(pairs: Callable[[], tuple[Similarities, NDArray[np.bool_]]]) -> float:
    return novelty_threshold(pairs()[0])


def _sha256(source: str | Path | bytes) -> str:
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    return sha256_of(Path(source))


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds[step] = seconds.get(step, 0.0) + time.perf_counter() - began
