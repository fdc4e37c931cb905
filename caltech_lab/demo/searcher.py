"""Searches the gallery for queries: from a query to its results."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from caltech_lab.demo.results import Query, Ranking, Results, SearchOptions, Vector, timed
from caltech_lab.demo.spaces import LEARNED, PLAIN, Space, plain_space
from caltech_lab.errors import ArgumentError
from caltech_lab.retrieval.calibration import same_category_probability
from caltech_lab.retrieval.feedback import combined, rocchio, without_near_duplicates
from caltech_lab.retrieval.index import Ids, Similarities
from caltech_lab.retrieval.lab_store import store_of
from caltech_lab.retrieval.stores import found
from caltech_lab.settings import settings

# Models, calibration and novelty are imported when they are needed: a search alone takes no
# scikit-learn, so that a page shows results before it.
if TYPE_CHECKING:
    from caltech_lab.demo.models import Models
    from caltech_lab.lab import Lab
    from caltech_lab.retrieval.stores import VectorStore

MAX_K = 50
CANDIDATES = 500  # fetched from a store; more than are shown, so that feedback can rerank them
UNSEEN = -2  # below any cosine similarity
LOADING = "Predictions are still being loaded, or fitted the first time ..."


class NoModels:
    """Stands for the `Models` while there are none: it predicts nothing.

    Attributes
    ----------
    no_classifier : str
        A sentence that says why.
    loading : bool
        Whether there will be models.
    """

    classifier = kmeans = predicted = novelty = None
    trained_on = np.empty(0, np.int64)
    threshold = -1.0

    def __init__(self, why: str, loading: bool = False) -> None:
        self.no_classifier, self.loading = why, loading


class Searcher:
    """Searches the photos of a lab.

    Parameters
    ----------
    lab : Lab
        The lab with the photos and models to use.
    say : callable, optional
        Called with a sentence before each slow step.
    predicts : bool
        Whether to load the models at once. Without them there are search results, but no
        predictions; see `load_models` and `predict_by`.

    Attributes
    ----------
    gallery : Embeddings
        The embeddings that are searched.
    models : Models or NoModels
        Classifier, clusters and novelty check.
    space : Space
        The vectors used for the search, plain or learned; see `use`.
    """

    def __init__(
        self, lab: "Lab", say: Callable[[str], None] = lambda _: None, predicts: bool = True
    ) -> None:
        self.lab, self.gallery = lab, lab.embeddings
        self.models: Models | NoModels = NoModels(LOADING, loading=True)
        self.space = plain_space(lab)
        self._spaces = {PLAIN: self.space}
        if predicts:
            say("Loading classifier and clusters, which are fitted the first time ...")
            self.predict_by(*self.load_models())
        say("Loading the search ...")
        # For exact search, the index of the space is used.
        self._store = None if settings().gallery == "exact" else store_of(lab)

    @property
    def max_k(self) -> int:
        """The maximum number of results per query."""
        return max(1, min(MAX_K, len(self.gallery) - 1))

    # ---- the models ------------------------------------------------------------------------

    @property
    def is_loading(self) -> bool:
        """Whether the models are not there yet."""
        return isinstance(self.models, NoModels) and self.models.loading

    @property
    def predicts(self) -> bool:
        """Whether the models are there."""
        return not isinstance(self.models, NoModels)

    def load_models(self) -> "tuple[Models, Space]":
        """Load the models, which are fitted the first time; `predict_by` uses them.

        Searches by plain vectors may go on meanwhile in another thread.

        Returns
        -------
        models : Models
            Classifier, clusters and novelty check.
        plain : Space
            The plain vectors, with calibration curves where there is a classifier.
        """
        from caltech_lab.demo.models import Models

        models = Models(self.lab, MAX_K)
        plain = plain_space(self.lab, models.pairs if models.classifier else None)
        return models, plain

    def predict_by(self, models: "Models", plain: Space) -> None:
        """Use the models from `load_models` from now on."""
        self.models, self._spaces[PLAIN] = models, plain
        self.use(self.space.name)

    def give_up(self, why: str) -> None:
        """Go on without models, of which a sentence says why there are none."""
        self.models = NoModels(why)

    # ---- the space that is searched --------------------------------------------------------

    def use(self, name: str) -> None:
        """Switch the search to other vectors.

        Parameters
        ----------
        name : {"plain", "learned"}
            Learned vectors take some minutes to compute the first time, and are cached.

        Raises
        ------
        ArgumentError
            When there are no such vectors.
        """
        if name not in (PLAIN, LEARNED):
            raise ArgumentError(f"There are no {name!r} vectors: choose 'plain' or 'learned'.")
        if name == LEARNED and not self.predicts:
            raise ArgumentError("The classifier is not there yet: try again in some seconds.")
        if name == LEARNED and self.models.classifier is None:
            raise ArgumentError(f"No vectors can be learned: {self.models.no_classifier}")
        if name not in self._spaces:
            from caltech_lab.demo.learned_space import learned_space  # imports scikit-learn

            self._spaces[name] = learned_space(self.lab, MAX_K)
        self.space = self._spaces[name]

    def can_search(self, query: Query) -> bool:
        """Whether a query has a vector in the current space; words have no learned one."""
        if self.space.embed is None or query.learned is not None:
            return True
        if query.parts:
            return all(self.can_search(part.query) for part in query.parts)
        return query.row is not None or query.photo is not None

    def in_space(self, query: Query) -> Query:
        """Return a query with its vector in the current space, embedding it if needed.

        Raises an `ArgumentError` for words in the learned space.
        """
        if not self.can_search(query):
            raise ArgumentError(
                "Words cannot be searched by learned vectors: switch to the plain embeddings."
            )
        if self.space.embed is None or query.learned is not None:
            return query
        if query.parts:
            parts = tuple(replace(p, query=self.in_space(p.query)) for p in query.parts)
            vectors = [self._by(p.query) for p in parts]
            learned = combined(vectors, [p.sign for p in parts])
            return replace(query, parts=parts, learned=learned)
        if query.row is not None and query.whole is None:
            return replace(query, learned=self.space.X[query.row])
        assert query.photo is not None
        seconds = dict(query.seconds)
        with timed(seconds, "embed"):
            learned = self.space.embed(query.photo, query.vector)
        return replace(query, learned=learned, seconds=seconds)

    # ---- from a query to its results -------------------------------------------------------

    def ask(self, query: Query, k: int | None = None) -> Results:
        """Search the gallery for a query, and classify and cluster it if the models are there.

        Parameters
        ----------
        query : Query
            From an `Encoder`.
        k : int, optional
            Number of results, 1 to `max_k`; by default 10, or `max_k` if that is smaller.

        Returns
        -------
        Results
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
        query = self.in_space(query)
        seconds = dict(query.seconds)
        with timed(seconds, "search"):
            cosines = self._scores(query)
            order = np.argsort(-cosines, kind="stable")
            ids = order[:k]
            ids = ids[cosines[ids] > UNSEEN]
        if isinstance(self.models, NoModels):
            return Results(query, ids, cosines[ids], None, None, seconds, cosines, order)
        with timed(seconds, "search"):
            familiar = self._familiarity(query, cosines[order])
        with timed(seconds, "classify"):
            probabilities = self.models.probabilities(query.vector)
        with timed(seconds, "cluster"):
            cluster = self.models.cluster(query.vector)
        is_novel = familiar < self.models.threshold
        same = self._same_category(query, cosines[ids], np.arange(len(ids)), is_novel)
        return Results(
            query, ids, cosines[ids], probabilities, cluster, seconds,
            cosines, order, same, familiar, is_novel,
        )  # fmt: skip

    def rank(self, results: Results, options: SearchOptions, k: int) -> Ranking:
        """Rerank the gallery according to a user's feedback and filters.

        Parameters
        ----------
        results : Results
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
        query, gallery = results.query, self.gallery
        cosines = results.cosines
        if self._store_in_use is not None and options.categories:
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
        if options.cluster is not None and self.models.kmeans:
            allowed &= self.models.kmeans.labels_ == options.cluster
        order = results.order
        if scores is not results.cosines:
            order = np.argsort(-scores, kind="stable")
        ids = order[allowed[order]]
        if options.hide_near_duplicates:
            ids = without_near_duplicates(gallery.X, ids, k, query.vector)
        ids = ids[:k]
        # The probabilities were fitted on rankings without feedback or filters, so they depend on
        # the rank in such a ranking.
        places = np.empty(len(gallery), dtype=np.int64)
        places[results.order] = np.arange(len(gallery))
        near = cosines[ids]
        same = self._same_category(query, near, places[ids], results.is_novel)
        return Ranking(ids, near, same)

    def _by(self, query: Query) -> Vector:
        """Return the vector of a query in the current space."""
        if self.space.embed is None:
            return query.vector
        assert query.learned is not None
        return query.learned

    def _same_category(
        self, query: Query, cosines: Similarities, places: Ids, is_novel: bool
    ) -> NDArray[np.float64] | None:
        # The curves are those of familiar photos; words and sums of vectors have other cosines.
        if self.space.curves is None or query.photo is None or is_novel:
            return None
        return same_category_probability(self.space.curves, cosines, places)

    @property
    def _store_in_use(self) -> "VectorStore | None":
        # Stores contain plain vectors; learned vectors are short and already in memory.
        return self._store if self.space.embed is None else None

    def _scores(
        self, query: Query, moved: Vector | None = None, categories: Iterable[int] = ()
    ) -> Similarities:
        """Return the similarity of each photo to a query, or to a query moved by feedback.

        It is `UNSEEN` for the query's own photos, and for photos that the store did not return:
        an approximate or remote store returns only the best `CANDIDATES`, limited to these
        categories if there are any.
        """
        vector = self._by(query) if moved is None else moved
        if self._store_in_use is None:
            scores: Similarities = self.space.index.similarities(vector)[0]
        else:
            names = [self.gallery.categories[i] for i in categories] or None
            candidates = min(CANDIDATES, len(self.gallery))
            near, ids = found(*self._store_in_use.search(vector, candidates, categories=names))
            scores = np.full(len(self.gallery), UNSEEN, np.float32)
            scores[ids] = near
        scores[query.rows] = UNSEEN
        return scores

    def _familiarity(self, query: Query, cosines: Similarities) -> float:
        """Return the familiarity of a query by plain vectors; `cosines` descend, in any space."""
        if self.models.novelty:
            return float(self.models.novelty.score_samples(query.vector[None])[0])
        from caltech_lab.retrieval.novelty import familiarity

        if self.space.embed is not None:
            (cosines,) = self._spaces[PLAIN].index.similarities(query.vector)
            cosines[query.rows] = UNSEEN
            cosines = np.sort(cosines)[::-1]
        seen = cosines[cosines > UNSEEN]
        return float(familiarity(seen)) if len(seen) else 1.0
