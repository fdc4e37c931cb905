"""What the demo asks and what it is told: plain records, with no work in them."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from caltech_lab.retrieval.index import Ids, Similarities

Vector = NDArray[np.float32]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Query:
    """A photo to look up, as a vector.

    Attributes
    ----------
    vector : ndarray of float32, shape (d,)
        Its embedding, of length one, by the lab's backbone.
    name : str
        What to call it.
    row : int or None
        Its row in the gallery, when it is one of the gallery's photos.
    picture : bytes
        A small JPEG of it.
    seconds : dict
        How long each step took so far, by name.
    photo : Image, optional
        The photo, or the part of it that is asked for, reduced to what is kept of it.
    whole : Query, optional
        What this one is a part of.
    learned : ndarray of float32, optional
        Its vector in the learned space, where it is searched there.
    """

    vector: Vector
    name: str
    row: int | None
    picture: bytes
    seconds: dict[str, float] = field(default_factory=dict)
    photo: Image.Image | None = None
    whole: "Query | None" = None
    learned: Vector | None = None


@dataclass(frozen=True)
class SearchOptions:
    """What a person wants of the ranking.

    Attributes
    ----------
    good, bad : tuple of int
        Rows of the gallery that were marked; the bad ones are no longer shown.
    categories : frozenset of int
        Labels of the only categories to show; all when it is empty.
    cluster : int or None
        The only K-Means cluster to show.
    hide_near_duplicates : bool
        Whether to leave out photos that are nearly the same as the query or as one before them.
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
        Their cosine similarities to the query, which fall unless marks have steered the order.
    same_category : ndarray of float64 or None
        The probabilities that they have the category of the query, where there is a classifier.
    """

    ids: Ids
    similarities: Similarities
    same_category: NDArray[np.float64] | None


@dataclass(frozen=True)
class Match:
    """What the similarity of two photos rests on, region by region.

    Attributes
    ----------
    query, result : ndarray of float64, shape (h, w)
        A value for each region of the two photos.
    query_frame, result_frame : tuple of float
        Left, top, right, bottom of the part of the photo that the network saw, as shares.
    region : tuple of int or None
        Row and column of the query's region that the values are similarities to; None when they
        are the shares of all regions in the cosine of the two photos.
    """

    query: NDArray[np.float64]
    result: NDArray[np.float64]
    query_frame: Box
    result_frame: Box
    region: tuple[int, int] | None = None


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
    probabilities : ndarray of float64, shape (number of categories,), or None
        Probability of each category, in the order of the gallery's categories; 0 for one that is
        too small to be learned. None without a classifier.
    cluster : int or None
        The K-Means cluster whose center is nearest; None without clusters.
    seconds : dict
        How long each step took, by name, those of the query included.
    cosines : ndarray of float32, shape (n,)
        The query's similarity to every photo of the gallery in the space that was searched; -2
        for the query itself.
    order : ndarray of int64, shape (n,)
        All rows of the gallery by falling cosine, those of the same cosine in ascending order.
    same_category : ndarray of float64, shape (k,), or None
        The probabilities that the answers have the category of the query; None without a
        classifier.
    familiarity : float
        Mean similarity of the nearest few by plain vectors; see `novelty.familiarity`.
    is_novel : bool
        Whether that is below the threshold: the query is unlike anything in the gallery.
    """

    query: Query
    ids: Ids
    similarities: Similarities
    probabilities: NDArray[np.float64] | None
    cluster: int | None
    seconds: dict[str, float]
    cosines: Similarities
    order: Ids
    same_category: NDArray[np.float64] | None
    familiarity: float
    is_novel: bool

    def best_categories(self, n: int = 5) -> NDArray[np.intp]:
        """Return the labels of the n most probable categories, the best first."""
        if self.probabilities is None:
            return np.empty(0, np.intp)
        best = np.argsort(-self.probabilities, kind="stable")[:n]
        return best[self.probabilities[best] > 0]
