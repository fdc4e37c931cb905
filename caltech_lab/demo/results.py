"""Data classes of the demo: queries, options and results."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from caltech_lab.retrieval.index import Ids, Similarities

Vector = NDArray[np.float32]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Query:
    """What is searched for: a photo, a part of one, words, or several of these.

    Attributes
    ----------
    vector : ndarray of float32, shape (d,)
        Its embedding by the lab's backbone, of unit length.
    name : str
        Name of the query.
    row : int or None
        Its row in the gallery, if it is one of the gallery's photos.
    picture : bytes
        A small JPEG of it; empty for words and for several parts.
    seconds : dict
        Duration of each step so far, by name.
    photo : Image, optional
        The photo, or the part of it that is the query, reduced in size.
    whole : Query, optional
        The query that this one is a part of.
    learned : ndarray of float32, optional
        Its vector in the learned space, if that space is searched.
    box : tuple of float, optional
        Left, top, right and bottom of this part of the whole, as fractions.
    parts : tuple of Part
        The queries that this one was made of; empty for a single photo.
    """

    vector: Vector
    name: str
    row: int | None
    picture: bytes
    seconds: dict[str, float] = field(default_factory=dict)
    photo: Image.Image | None = None
    whole: "Query | None" = None
    learned: Vector | None = None
    box: Box | None = None
    parts: "tuple[Part, ...]" = ()

    @property
    def rows(self) -> list[int]:
        """The rows of the gallery that are part of the query."""
        queries = [part.query for part in self.parts] or [self]
        return list(dict.fromkeys(query.row for query in queries if query.row is not None))

    @property
    def first(self) -> "Query":
        """The first added photo of a query with several parts; otherwise the query itself."""
        added = [part.query for part in self.parts if part.sign > 0]
        return next((query for query in added if query.photo is not None), self)


@dataclass(frozen=True)
class Part:
    """One part of a query.

    Attributes
    ----------
    query : Query
        The photo or the words; it has no parts itself.
    sign : int
        1 if it is added, -1 if it is subtracted.
    """

    query: Query
    sign: int = 1


@dataclass(frozen=True)
class SearchOptions:
    """The user's options for the ranking.

    Attributes
    ----------
    good, bad : tuple of int
        Rows of the gallery that were marked as good or bad; bad ones are no longer shown.
    categories : frozenset of int
        Labels of the only categories to show; empty for all.
    cluster : int or None
        The only K-Means cluster to show; None for all.
    hide_near_duplicates : bool
        Whether to leave out near-duplicates of the query and of better-ranked photos.
    """

    good: tuple[int, ...] = ()
    bad: tuple[int, ...] = ()
    categories: frozenset[int] = frozenset()
    cluster: int | None = None
    hide_near_duplicates: bool = False


@dataclass(frozen=True)
class Ranking:
    """The photos to show.

    Attributes
    ----------
    ids : ndarray of int64, shape (up to k,)
        Rows of the gallery, the best first.
    similarities : ndarray of float32
        Their cosine similarities to the query, descending unless feedback has changed the order.
    same_category : ndarray of float64 or None
        The probabilities that they have the category of the query; None without a classifier.
    """

    ids: Ids
    similarities: Similarities
    same_category: NDArray[np.float64] | None

    def only(self, rows: Iterable[int]) -> "Ranking":
        """Return the ranking of only these rows."""
        kept = np.isin(self.ids, list(rows))
        same = None if self.same_category is None else self.same_category[kept]
        return Ranking(self.ids[kept], self.similarities[kept], same)


@dataclass(frozen=True)
class Match:
    """An explanation of the similarity of two photos by regions.

    Attributes
    ----------
    query, result : ndarray of float64, shape (h, w)
        One value per region of each photo.
    query_frame, result_frame : tuple of float
        Left, top, right, bottom of the part of the photo that the network saw, as fractions.
    cosine : float
        Cosine similarity of query and result by their plain embeddings.
    region : tuple of int or None
        Row and column of the region of the query that the values are similarities to; None if the
        values are the contributions of the regions to the cosine similarity of the two photos.
    """

    query: NDArray[np.float64]
    result: NDArray[np.float64]
    query_frame: Box
    result_frame: Box
    cosine: float
    region: tuple[int, int] | None = None


@dataclass(frozen=True)
class Results:
    """The results of a query.

    Attributes
    ----------
    query : Query
        The query.
    ids : ndarray of int64, shape (k,)
        Rows of the most similar gallery photos, the best first, excluding the query.
    similarities : ndarray of float32, shape (k,)
        Their cosine similarities, descending.
    probabilities : ndarray of float64, shape (number of categories,), or None
        Probability of each category, in the order of the gallery's categories; 0 for a category
        too small for training. None without a classifier.
    cluster : int or None
        The K-Means cluster with the nearest center; None without clusters.
    seconds : dict
        Duration of each step by name, including those of the query.
    cosines : ndarray of float32, shape (n,)
        The query's cosine similarity to every photo of the gallery in the space that was searched;
        -2 for the query itself, and for photos that a vector store did not return.
    order : ndarray of int64, shape (n,)
        All rows of the gallery by descending cosine similarity, ties in ascending order.
    same_category : ndarray of float64, shape (k,), or None
        The probabilities that the results have the category of the query; None without a
        classifier, and for an unfamiliar query.
    familiarity : float
        Score of the plain vector by `novelty.NoveltyDetector`, or by `novelty.familiarity` without
        a classifier. Not a number while the models are not there.
    is_novel : bool
        Whether the familiarity is below the threshold: the query is unlike anything in the gallery.
    """

    query: Query
    ids: Ids
    similarities: Similarities
    probabilities: NDArray[np.float64] | None
    cluster: int | None
    seconds: dict[str, float]
    cosines: Similarities
    order: Ids
    same_category: NDArray[np.float64] | None = None
    familiarity: float = float("nan")
    is_novel: bool = False

    def best_categories(self) -> NDArray[np.intp]:
        """Return the labels of the five most probable categories, the best first."""
        if self.probabilities is None:
            return np.empty(0, np.intp)
        best = np.argsort(-self.probabilities, kind="stable")[:5]
        return best[self.probabilities[best] > 0]


@contextmanager
def timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    """Add the duration of a block to a step."""
    began = time.perf_counter()
    yield
    seconds[step] = seconds.get(step, 0.0) + time.perf_counter() - began
