"""One person's search: queries, marks and filters, with a history; no widgets."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from caltech_lab.demo.encoder import Encoder
from caltech_lab.demo.explainer import Explainer
from caltech_lab.demo.results import Match, Part, Query, Ranking, Results, SearchOptions
from caltech_lab.demo.searcher import Searcher
from caltech_lab.embedding.engines import Engine
from caltech_lab.embedding.images import read_photo
from caltech_lab.errors import ArgumentError
from caltech_lab.retrieval.stores import matching
from caltech_lab.widgets.thumbnails import small_jpeg, thumbnail

if TYPE_CHECKING:
    from caltech_lab.demo.models import Models
    from caltech_lab.demo.spaces import Space
    from caltech_lab.lab import Lab

N_CACHED = 2000  # thumbnails for the page, of about 10 KB each
K = 24  # results to begin with
MARKS = ("good", "bad")
HISTORY = 30  # queries, each with its photo of up to 3 MB


@dataclass
class _Visit:
    """A query of the history, with its marks: one state per step that can be undone."""

    query: Query
    marks: list[dict[int, str]] = field(default_factory=lambda: [{}])


class SearchSession:
    """Searches the photos of a lab, and keeps a person's query, marks, filters and history.

    Parameters
    ----------
    lab : Lab
        The lab with the photos and models to use.
    engine : Engine, optional
        The compiled backbone, if there is one already.
    say : callable, optional
        Called with a sentence before each slow step.
    predicts : bool
        Whether to load classifier and clusters at once; otherwise a search gives no predictions
        until `predict_by`.

    Attributes
    ----------
    encoder : Encoder
        Turns photos and words into queries.
    searcher : Searcher
        Turns queries into results.
    explainer : Explainer
        Explains the similarity of two photos.
    results : Results or None
        Results of the current query.
    options : SearchOptions
        Marks and filters.
    ranking : Ranking or None
        The photos to show, after marks and filters.
    k : int
        Maximum number of photos to show.
    thumbnail : callable
        Returns a small JPEG of a row of the gallery, cached.

    Examples
    --------
    >>> import caltech_lab
    >>> lab = caltech_lab.open_lab("drawn")  # doctest: +SKIP
    >>> session = SearchSession(lab)  # doctest: +SKIP
    >>> session.search(session.encoder.gallery_photo(0)).ids  # doctest: +SKIP
    """

    def __init__(
        self,
        lab: "Lab",
        engine: Engine | None = None,
        say: Callable[[str], None] = lambda _: None,
        predicts: bool = True,
    ) -> None:
        say("Opening the photos, which are embedded the first time ...")
        self.lab, self.gallery = lab, lab.embeddings
        self.encoder = Encoder(lab, engine)
        self.searcher = Searcher(lab, say, predicts)
        self.explainer = Explainer(lab)
        self.results: Results | None = None
        self.options = SearchOptions()
        self.ranking: Ranking | None = None
        self.k = min(K, self.searcher.max_k)
        self._own_cluster = False
        self._visits: list[_Visit] = []
        self._place = -1
        self.thumbnail: Callable[[int], bytes] = lru_cache(N_CACHED)(self._thumbnail)

    # ---- queries and their history ---------------------------------------------------------

    def search(self, query: Query) -> Results:
        """Search for a query, and append it to the history, which keeps the last `HISTORY`."""
        results = self.searcher.ask(query)
        del self._visits[self._place + 1 :]
        self._visits = [*self._visits, _Visit(results.query)][-HISTORY:]
        self._place = len(self._visits) - 1
        return self._show(results)

    def add(self, query: Query, sign: int = 1) -> Results:
        """Add a query to the current one, or subtract it (sign -1), and search for both."""
        if self.results is None:
            if sign < 0:
                raise ArgumentError("There is no query yet to subtract from: search first.")
            return self.search(query)
        current = self.results.query
        parts = current.parts or (Part(current),)
        if any(
            p.query.name == query.name and np.array_equal(p.query.vector, query.vector)
            for p in parts
        ):
            raise ArgumentError(f"{query.name} is already a part of the query.")
        return self.search(self.encoder.mixture([*parts, Part(query, sign)]))

    def remove(self, number: int) -> Results:
        """Remove one part of the current query, counted from 0, and search for the others."""
        query = self._current().query
        if not 0 <= number < len(query.parts):
            raise ArgumentError(f"The query has {len(query.parts)} parts; there is no {number}.")
        left = [part for i, part in enumerate(query.parts) if i != number]
        if len(left) == 1 and left[0].sign > 0:
            return self.search(left[0].query)
        return self.search(self.encoder.mixture(left))

    @property
    def can_go_back(self) -> bool:
        """Whether there is an earlier query."""
        return self._place > 0

    @property
    def can_go_forward(self) -> bool:
        """Whether there is a later query."""
        return self._place < len(self._visits) - 1

    def go(self, step: int) -> Results:
        """Return to an earlier query (-1) or to a later one (1), with its marks."""
        place = self._place + step
        while 0 <= place < len(self._visits):
            if self.searcher.can_search(query := self._visits[place].query):
                results = self.searcher.ask(query)
                self._place = place
                return self._show(results)
            place += step
        raise ArgumentError("There is no further query in the history.")

    def use(self, name: str) -> None:
        """Switch the search to plain or learned vectors, and search again; see `Searcher.use`."""
        before = self.searcher.space.name
        self.searcher.use(name)
        try:
            if self.results is not None:
                self._show(self.searcher.ask(self._visits[self._place].query))
        except Exception:
            self.searcher.use(before)  # the results on the page must come from the vectors in use
            raise

    def predict_by(self, models: "Models", plain: "Space") -> None:
        """Use models from `Searcher.load_models` from now on, and search again with them."""
        self.searcher.predict_by(models, plain)
        if self.results is not None:
            self._show(self.searcher.ask(self._visits[self._place].query))

    # ---- marks and filters -----------------------------------------------------------------

    @property
    def marks(self) -> dict[int, str]:
        """The marked rows of the gallery, each ``good`` or ``bad``."""
        return self._visits[self._place].marks[-1] if self._visits else {}

    @property
    def can_undo(self) -> bool:
        """Whether a mark of the current query can be undone."""
        return bool(self._visits) and len(self._visits[self._place].marks) > 1

    def mark(self, row: int, mark: str) -> None:
        """Mark a photo as ``good`` or ``bad``; the same mark again removes it."""
        if not 0 <= row < len(self.gallery):
            raise ArgumentError(f"The gallery has no row {row}.")
        if mark not in MARKS:
            raise ArgumentError(f"There is no mark {mark!r}: choose 'good' or 'bad'.")
        self._current()
        marks = dict(self.marks)
        if marks.pop(row, "") != mark:
            marks[row] = mark
        self._marked(marks)

    def clear_marks(self) -> None:
        """Remove all marks; this can be undone."""
        if self.marks:
            self._marked({})

    def undo(self) -> None:
        """Undo the last change of the marks."""
        if self.can_undo:
            self._visits[self._place].marks.pop()
            self._rank()

    def filter(
        self,
        categories: Iterable[int] | None = None,
        cluster: bool | None = None,
        hide_near_duplicates: bool | None = None,
    ) -> None:
        """Change filters, which stay for later queries.

        Parameters
        ----------
        categories : iterable of int, optional
            Labels of the only categories to show; empty for all. See `labels`.
        cluster : bool, optional
            Whether to show only the cluster of the query.
        hide_near_duplicates : bool, optional
            Whether to leave out near-duplicates of the query and of better-ranked photos.
        """
        if categories is not None:
            self.options = replace(self.options, categories=frozenset(categories))
        if cluster is not None:
            self._own_cluster = cluster
        if hide_near_duplicates is not None:
            self.options = replace(self.options, hide_near_duplicates=hide_near_duplicates)
        self._rank()

    def show(self, k: int) -> None:
        """Show up to k photos."""
        if not 1 <= k <= self.searcher.max_k:
            raise ArgumentError(f"k must be between 1 and {self.searcher.max_k}, not {k}.")
        self.k = k
        self._rank()

    # ---- explanations and photos -----------------------------------------------------------

    def explain(self, row: int, point: tuple[float, float] | None = None) -> Match:
        """Explain the similarity of the query and a photo by regions; see `Explainer.match`."""
        return self.explainer.match(self._current().query, row, point)

    def row(self, path: str) -> int:
        """Return the row of a gallery photo, by its path relative to the dataset."""
        (rows,) = np.nonzero(self.gallery.photos.table["path"].to_numpy() == path)
        if not len(rows):
            raise ArgumentError(f"The gallery has no photo {path}.")
        return int(rows[0])

    def labels(self, categories: Sequence[str]) -> frozenset[int]:
        """Return the labels of categories, for a filter."""
        names = self.gallery.categories
        return frozenset(names.index(name) for name in matching(categories, names))

    def path(self, row: int) -> str:
        """Return the path of a gallery photo, relative to the dataset."""
        return str(self.gallery.photos.table["path"].iat[row])

    def category(self, row: int) -> str:
        """Return the category of a gallery photo; empty if it has none."""
        return str(self.gallery.photos.table["category"].iat[row])

    def _current(self) -> Results:
        if self.results is None:
            raise ArgumentError("There is no query yet: search first.")
        return self.results

    def _show(self, results: Results) -> Results:
        self.results = results
        self._visits[self._place].query = results.query  # with its learned vector
        self._rank()
        return results

    def _marked(self, marks: dict[int, str]) -> None:
        self._visits[self._place].marks.append(marks)
        self._rank()

    def _rank(self) -> None:
        if self.results is None:
            return
        good, bad = (tuple(r for r, m in self.marks.items() if m == mark) for mark in MARKS)
        cluster = self.results.cluster if self._own_cluster else None
        self.options = replace(self.options, good=good, bad=bad, cluster=cluster)
        self.ranking = self.searcher.rank(self.results, self.options, self.k)

    def _thumbnail(self, row: int) -> bytes:
        file = self.gallery.photos.file(row)
        return small_jpeg(file) or thumbnail(read_photo(file))
