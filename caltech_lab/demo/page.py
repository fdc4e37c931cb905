"""The page of the retrieval demo: a widget that shows a `SearchSession`.

`page.js` draws what the traits say and sends what a person does; everything else happens here and
in the session.
"""

import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from itertools import count
from pathlib import Path
from threading import RLock, Thread, current_thread
from typing import Any

import anywidget
import numpy as np
import traitlets
from ipywidgets import Layout

from caltech_lab.datasets.formats import SUFFIXES
from caltech_lab.demo import takeaway
from caltech_lab.demo.gallery_map import place_of, places
from caltech_lab.demo.results import Match, Query, Results
from caltech_lab.demo.searcher import LOADING, NoModels
from caltech_lab.demo.session import SearchSession
from caltech_lab.demo.upload import LIMITS, Upload
from caltech_lab.embedding.images import read_photo
from caltech_lab.embedding.pillow_readers import MAX_BYTES
from caltech_lab.errors import ArgumentError, LabError, shown_name
from caltech_lab.lab import open_lab
from caltech_lab.retrieval.feedback import NEAR_DUPLICATE
from caltech_lab.settings import from_home
from caltech_lab.widgets.parts import data_uri, errors_shown
from caltech_lab.widgets.photo_map import SCRIPT, STYLE, colors, regions
from caltech_lab.widgets.thumbnails import thumbnail

HERE = Path(__file__).parent
SCRIPTS = [SCRIPT, *(HERE / f"{n}.js" for n in ("elements", "query_photo", "tiles", "page"))]
N_SHELF = 8
QUERY = -1  # the row that stands for the query
LARGE = 1024  # pixels per side in the lightbox
LEAST_SHOWN = 0.0005  # a probability that would be shown as 0.0 % is left out
SPACES = {"plain": "plain embeddings", "learned": "vectors learned from the categories"}
COMPILING = "Loading and compiling the backbone, which takes some seconds the first time ..."
LEARNING = (
    "Switching to other vectors. Learned vectors take some minutes the first time, to extract more "
    "views of all photos and fit a projection ..."
)
MAPPING = "Computing the map, which takes up to half a minute the first time ..."
OPENING = "caltech-lab demo"  # the thread that opens a page
log = logging.getLogger(__name__)


class RetrievalDemo(anywidget.AnyWidget):
    """Search by photos, with predicted category, cluster, filters, feedback and explanations.

    Parameters
    ----------
    session : SearchSession, optional
        Session that searches and predicts; without one, the page waits for `start`.

    Attributes
    ----------
    session : SearchSession
        The session.
    """

    _esm = "\n".join(path.read_text(encoding="utf-8") for path in SCRIPTS)
    _css = "\n".join(path.read_text(encoding="utf-8") for path in (STYLE, HERE / "page.css"))
    opening = traitlets.Unicode().tag(sync=True)
    dataset = traitlets.Dict().tag(sync=True)
    status = traitlets.Dict().tag(sync=True)
    query = traitlets.Dict().tag(sync=True)
    results = traitlets.Dict().tag(sync=True)
    controls = traitlets.Dict().tag(sync=True)
    shelf = traitlets.Dict().tag(sync=True)
    why = traitlets.Dict().tag(sync=True)
    map = traitlets.Dict().tag(sync=True)

    def __init__(self, session: "SearchSession | None" = None) -> None:
        super().__init__(layout=Layout(width="100%"))
        self._upload, self._why, self._said, self._searches = Upload(), -1, count(), 0
        self._lock = RLock()  # one action at a time: `open_page` acts in a thread of its own
        self.on_msg(self._received)
        if session is None:
            self.opening = "Starting ..."
        else:
            self.start(session)

    def start(self, session: "SearchSession") -> None:
        """Show a session, and search for a photo of its gallery."""
        self.session = session
        self._rng = np.random.default_rng(session.lab.seed)
        self._show_dataset()
        self._do_shelf("")
        for item in self.shelf["items"]:  # the first whose file is still there
            self.act("search", row=item["row"])
            if session.results is not None:
                break
        self.opening = ""

    def add_predictions(self) -> None:
        """Load the models that the session does not have yet, and add what they predict.

        Actions of the person go on meanwhile, without predictions.
        """
        session = self.session
        with errors_shown(self, "Loading the models"):
            try:
                loaded = session.searcher.load_models()
            except Exception:
                with self._lock:
                    session.searcher.give_up("The models could not be loaded.")
                    self._show_predictions()
                raise
            with self._lock:
                session.predict_by(*loaded)
                self._show_predictions()

    def _show_predictions(self) -> None:
        """Show the current query again, and leave alone what the person has opened or read."""
        before = self.status
        self._show_dataset()
        if self.session.results is not None:
            self.query = self._described(self._current)
            self._place_query()
            self._show_results()
            if before.get("loading"):
                self._say_results()
            elif self.status is not before:
                self.status = before

    def _show_dataset(self) -> None:
        session, embeddings = self.session, self.session.gallery
        searcher = session.searcher
        self.dataset = {
            "name": shown_name(embeddings.photos.origin.rstrip(".")),
            "backbone": session.lab.backbone.title,
            "categories": [shown_name(name) for name in embeddings.categories],
            "max_k": searcher.max_k,
            "spaces": SPACES if searcher.models.classifier else {"plain": SPACES["plain"]},
            "clusters": searcher.models.kmeans is not None,
            "near_duplicate": NEAR_DUPLICATE,
            "maps": session.explainer.has_maps,
            "words": session.lab.backbone.text is not None,
            "limits": LIMITS,
            # Not every browser counts HEIC, AVIF and TIFF among the images.
            "accept": ",".join(["image/*", *sorted(SUFFIXES)]),
            "max_bytes": MAX_BYTES,
        }

    def say(self, sentence: str, wrong: bool = False, loading: bool = False) -> None:
        """Show a sentence in the status line.

        Parameters
        ----------
        sentence : str
            The sentence.
        wrong : bool
            Whether it is an error.
        loading : bool
            Whether it is to be said again, changed, when the predictions are there.
        """
        # The number lets the page notice that the same sentence is said again.
        text, number = shown_name(sentence), next(self._said)
        self.status = {"text": text, "wrong": wrong, "loading": loading, "number": number}

    def _shown_status(self) -> dict[str, Any]:
        """Return the status to restore after a slow step; an error has served its purpose."""
        return {} if self.status.get("wrong") else self.status

    def act(self, action: str, /, **details: Any) -> None:
        """Do what a person does on the page; an error is a sentence in the status line.

        Parameters
        ----------
        action : str
            Name of an action, such as ``search`` or ``mark``: a method of this class without its
            prefix ``_do_``.
        **details
            Arguments of the method.
        """
        method: Callable[..., None] | None = getattr(self, f"_do_{action}", None)
        with self._lock, errors_shown(self, f"The action {action}"):
            if method is None:
                raise ArgumentError(f"The page has no action {action!r}: reload it.")
            method(**details)

    def _received(self, _: Any, content: dict[str, Any], buffers: Sequence[Any]) -> None:
        if self.opening:
            return
        details = {str(name): value for name, value in content.items() if name != "do"}
        if content.get("do") == "upload":
            details["buffers"] = buffers
        self.act(str(content.get("do")), **details)

    # ---- queries ---------------------------------------------------------------------------

    def _ask(self, query: Query, how: str = "search") -> None:
        """Search for a query, add it to the current one, or subtract it."""
        if how == "search":
            self.session.search(query)
        else:
            self.session.add(query, {"add": 1, "subtract": -1}[how])
        self._show()

    def _do_upload(self, buffers: Sequence[Any], how: str = "search", **chunk: Any) -> None:
        data = self._upload.take(chunk, buffers)
        if data is not None:
            self._announce()
            self._ask(self.session.encoder.photo(data, str(chunk["name"])), how)

    def _do_path(self, path: str, how: str = "search") -> None:
        path = path.strip().strip("\"'")
        if not path:
            raise ArgumentError("The path is empty: enter one such as photos/cat.jpg.")
        self._announce()
        self._ask(self.session.encoder.photo(from_home(Path(path))), how)

    def _do_words(self, text: str, how: str = "search") -> None:
        self.say("Searching for these words ...")
        self._ask(self.session.encoder.words(text), how)

    def _do_search(self, row: int, how: str = "search") -> None:
        self._ask(self.session.encoder.gallery_photo(row), how)

    def _do_surprise(self, how: str = "search") -> None:
        self._do_search(int(self._rng.integers(len(self.session.gallery))), how)

    def _do_part(self, box: list[float]) -> None:
        self._announce()
        left, top, right, bottom = box
        self._ask(self.session.encoder.part(self._current.query, (left, top, right, bottom)))

    def _do_whole(self) -> None:
        self._ask(self._current.query.whole or self._current.query)

    def _do_remove(self, number: int, of: int) -> None:
        if of != len(self._current.query.parts):
            return  # the second of two clicks, of which the first has changed the numbers
        self.session.remove(number)
        self._show()

    def _do_go(self, step: int) -> None:
        self.session.go(step)
        self._show()

    # ---- results ---------------------------------------------------------------------------

    def _do_show(self, k: int) -> None:
        self.session.show(k)
        self._show_results()

    def _do_space(self, name: str) -> None:
        if name != self.session.searcher.space.name:
            self.say(LEARNING)
            self.session.use(name)
            self._show()

    def _do_filter(self, **filters: Any) -> None:
        if "categories" in filters:
            names = self.dataset["categories"]
            filters["categories"] = frozenset(names.index(name) for name in filters["categories"])
        self.session.filter(**filters)
        self._show_results()

    def _do_mark(self, row: int, mark: str) -> None:
        self.session.mark(row, mark)
        self._show_results()

    def _do_undo(self) -> None:
        self.session.undo()
        self._show_results()

    def _do_clear(self) -> None:
        self.session.clear_marks()
        self._show_results()

    def _do_why(self, row: int) -> None:
        self._explain(row)

    def _do_region(self, x: float, y: float) -> None:
        if self._why >= 0:  # the drawer may have been closed meanwhile
            self._explain(self._why, (x, y))

    def _do_regions(self) -> None:
        if self._why >= 0:
            self._explain(self._why)

    def _do_close_why(self) -> None:
        self._why, self.why = -1, {}

    # ---- photos, map, and what can be taken away -------------------------------------------

    def _do_shelf(self, category: str) -> None:
        embeddings = self.session.gallery
        rows = np.arange(len(embeddings))
        if category:
            rows = np.flatnonzero(embeddings.y == self.dataset["categories"].index(category))
        picked = self._rng.permutation(rows)[:N_SHELF].tolist()
        items = [{"row": row, "src": self._source(row), "name": self._name(row)} for row in picked]
        self.shelf = {"category": category, "items": items}

    def _do_photo(self, row: int, size: str) -> None:
        """Send a photo of the gallery, or the query, for the map's preview or the lightbox."""
        query = self._current.query.first
        if row == QUERY:
            data, name = thumbnail(query.photo, LARGE) if query.photo else b"", query.name
        elif size == "large":
            photo = read_photo(self.session.gallery.photos.file(row))
            data, name = thumbnail(photo, LARGE), self._name(row)
        else:
            data, name = self._thumbnail(row), self._name(row)
        if data:
            self.send({"kind": "photo", "row": row, "size": size, "name": name}, [data])

    def _do_map(self) -> None:
        if not self.map:
            before = self._shown_status()
            self.say(MAPPING)
            session = self.session
            xy, y = places(session.lab), session.gallery.y
            names = np.array([*self.dataset["categories"], ""])[y]
            self.map = {
                "points": xy.astype(np.float32).tobytes(),
                "labels": y.astype(np.int32).tobytes(),
                "colors": colors(len(session.gallery.categories)),
                "regions": regions(xy, names),
            }
            self.status = before
        self._place_query()

    def _do_take(self, kind: str, marked: bool, folder: str = "", view: str = "") -> None:
        """Send the results, or those marked good, as a file, or copy them to a folder.

        Of several views of this widget, only the one with the name `view` takes the file.
        """
        session, ranking = self.session, self.session.ranking
        assert ranking is not None
        if marked:
            ranking = ranking.only(session.options.good)
        if not len(ranking.ids):
            raise ArgumentError(
                "No photo marked good is among the results shown: mark one, or remove a filter."
                if marked
                else "There are no results to export: remove a filter."
            )
        query = self._current.query
        if kind == "copies":
            if not folder.strip():
                raise ArgumentError("The folder is empty: enter one such as found/lotus.")
            goal = from_home(Path(folder.strip())).absolute()
            copied = takeaway.copy_photos(session.gallery, ranking.ids, goal)
            self.say(f"{_photos(len(copied))} copied to {goal}.")
            return
        make, name = {"csv": (takeaway.csv_bytes, "results.csv"),
                      "sheet": (takeaway.sheet_png, "results.png")}[kind]  # fmt: skip
        self.send(
            {"kind": "file", "name": name, "view": view}, [make(session.gallery, query, ranking)]
        )
        self.say(f"{name} is ready: {_photos(len(ranking.ids))}.")

    # ---- what the page shows ---------------------------------------------------------------

    @property
    def _current(self) -> Results:
        if self.session.results is None:
            raise ArgumentError("There is no query yet: search first.")
        return self.session.results

    def _announce(self) -> None:
        if not self.session.encoder.is_compiled:
            self.say(COMPILING)

    def _show(self) -> None:
        self._do_close_why()
        self._searches += 1
        self.query = self._described(self._current)
        self._place_query()
        self._show_results()
        self._say_results()  # last, when the results are on the page

    def _say_results(self) -> None:
        results = self._current
        times = ", ".join(f"{step} {1000 * s:.0f} ms" for step, s in results.seconds.items())
        found = f"Results for {results.query.name}" + (f" ({times})." if times else ".")
        loading = self.session.searcher.is_loading
        self.say(f"{found} {LOADING}" if loading else found, loading=loading)

    def _place_query(self) -> None:
        """Give the query its place on the map: for an upload, among its nearest photos."""
        if self.map:
            results = self._current
            points = np.frombuffer(self.map["points"], np.float32).reshape(-1, 2)
            xy = place_of(points, results.order).tolist()
            self.query = {**self.query, "row": results.query.row, "xy": xy}

    def _show_results(self) -> None:
        session, ranking = self.session, self.session.ranking
        assert ranking is not None
        y, predicted = session.gallery.y, session.searcher.models.predicted
        same = ranking.same_category
        items = []
        for place, row in enumerate(ranking.ids.tolist()):
            cosine = float(ranking.similarities[place])
            other = y[row] if predicted is None else predicted[row]
            items.append(
                {
                    "row": row,
                    "rank": place + 1,
                    "src": self._source(row),
                    "name": self._name(row),
                    "path": shown_name(session.path(row)),
                    "cosine": f"{cosine:.3f}",
                    "chance": None if same is None else _percent(same[place]),
                    "mark": session.marks.get(row, ""),
                    "predicted": "" if other == y[row] else self.dataset["categories"][other],
                }
            )
        self.results = {"items": items, "summary": self._summary()}
        self._show_controls()
        if self.status.get("wrong"):
            self.say("")

    def _show_controls(self) -> None:
        session, options = self.session, self.session.options
        names = self.dataset["categories"]
        self.controls = {
            "k": session.k,
            "space": session.searcher.space.name,
            "categories": [names[label] for label in sorted(options.categories)],
            "cluster": options.cluster is not None,
            "hide_near_duplicates": options.hide_near_duplicates,
            "good": len(options.good),
            "bad": len(options.bad),
            "undo": session.can_undo,
            "back": session.can_go_back,
            "forward": session.can_go_forward,
            "python": takeaway.python_line(session),
        }

    def _name(self, row: int) -> str:
        """Return the category of a photo; without one, the name of its file."""
        return shown_name(self.session.category(row) or Path(self.session.path(row)).name)

    def _source(self, row: int) -> str:
        return data_uri(self._thumbnail(row))

    def _thumbnail(self, row: int) -> bytes:
        try:
            return self.session.thumbnail(row)
        except LabError:  # the tile of this photo says that the file is missing
            return b""

    def _described(self, results: Results) -> dict[str, Any]:
        query, searcher = results.query, self.session.searcher
        warning = ""
        # The threshold is one of photos; words and sums of vectors are farther away.
        if results.is_novel and query.photo is not None:
            warning = (
                "Unlike anything in the gallery: its familiarity score is "
                f"{results.familiarity:.2f}, below the threshold of "
                f"{searcher.models.threshold:.2f}. Do not trust the results."
            )
        return {
            "number": self._searches,  # the same when only predictions are added
            "name": shown_name(query.name),
            "src": data_uri((query.whole or query).picture),
            "photo": query.photo is not None,
            "part": query.whole is not None,
            "explained": query.first.photo is not None and self.session.explainer.has_maps,
            "parts": [
                {
                    "name": shown_name(part.query.name),
                    "src": data_uri(part.query.picture),
                    "sign": part.sign,
                }
                for part in query.parts
            ],
            "place": self._where(query),
            "warning": warning,
            "classes": self._classes(results),
            "no_classifier": searcher.models.no_classifier,
            "cluster": self._cluster(results),
        }

    def _where(self, query: Query) -> str:
        searcher = self.session.searcher
        if query.parts:
            return ""
        if query.row is None:
            return "Not in the gallery."
        if searcher.models.classifier is None:
            return "In the gallery."
        seen = "" if query.row in searcher.models.trained_on else "not "
        name = self._name(query.row)
        return f"In the gallery as {name}; the classifier was {seen}trained on it."

    def _classes(self, results: Results) -> list[dict[str, Any]]:
        if results.probabilities is None:
            return []
        best = [(label, float(results.probabilities[label])) for label in results.best_categories()]
        names = self.dataset["categories"]
        return [{"name": names[label], "p": p} for label, p in best if p >= LEAST_SHOWN]

    def _cluster(self, results: Results) -> str:
        embeddings, models = self.session.gallery, self.session.searcher.models
        if isinstance(models, NoModels):
            return models.no_classifier
        if results.cluster is None or models.kmeans is None:
            return "There are no clusters: they need at least three photos, not all identical."
        members = models.cluster_members(results.cluster)
        found = (
            f"Cluster {results.cluster + 1} of {models.kmeans.n_clusters}, "
            f"with {_photos(len(members))}"
        )
        if len(embeddings.categories) < 2 or (embeddings.y < 0).any():
            return f"{found}."
        counts = np.bincount(embeddings.y[members], minlength=len(embeddings.categories))
        most = [label for label in np.argsort(-counts, kind="stable")[:3] if counts[label]]
        names = ", ".join(f"{self.dataset['categories'][label]} {counts[label]}" for label in most)
        return f"{found}, mostly {names}."

    def _summary(self) -> str:
        session, results, options = self.session, self._current, self.session.options
        y, rows, ranking = session.gallery.y, results.query.rows, session.ranking
        assert ranking is not None
        n = len(ranking.ids)
        if len(rows) == len(y):
            return (
                "This is the only photo in the gallery."
                if len(y) == 1
                else "All photos of the gallery are in the query."
            )
        if not n:
            return "No photo matches the filters: remove a filter, or clear the marks."
        found = "The most similar photo" if n == 1 else f"The {n} most similar photos"
        if options.categories or options.cluster is not None or options.hide_near_duplicates:
            found += " that match the filters"
        found += f", of {len(y) - len(rows):,}{' without the query' if rows else ''}."
        if results.query.row is not None and y[results.query.row] >= 0:
            right = int((y[ranking.ids] == y[results.query.row]).sum())
            found += f" Same category as the query: {right} of {n}."
        return found

    def _explain(self, row: int, point: tuple[float, float] | None = None) -> None:
        session, before = self.session, self._shown_status()
        if not session.explainer.is_compiled:
            self.say(COMPILING)
        match = session.explain(row, point)
        query = self._current.query.first
        self._why, self.status = row, before
        self.why = {
            "row": row,
            "title": f"Why is {shown_name(session.path(row))} similar (cosine {match.cosine:.3f})?",
            "region": [] if match.region is None else _place(match),
            "spoken": _spoken(match),
            "query": {
                "src": data_uri(query.picture),
                "heat": _light(match.query),
                "frame": list(match.query_frame),
            },
            "result": {
                "src": self._source(row),
                "heat": _light(match.result),
                "frame": list(match.result_frame),
            },
        }


def _photos(n: int) -> str:
    return f"{n:,} photo{'s' if n != 1 else ''}"


def _percent(probability: float) -> str:
    """Return a probability for a caption; a finite sample never justifies 100 %."""
    return "> 99 %" if probability > 0.99 else f"{100 * probability:.0f} %"


def _light(values: np.ndarray) -> list[list[float]]:
    top = values.max()
    light: list[list[float]] = (np.clip(values, 0, None) / top if top > 0 else values * 0).tolist()
    return light


def _place(match: Match) -> list[float]:
    """Return left, top, right and bottom of the region on the query photo."""
    assert match.region is not None
    (row, column), (rows, columns) = match.region, match.query.shape
    left, top, right, bottom = match.query_frame
    wide, high = (right - left) / columns, (bottom - top) / rows
    x, y = left + column * wide, top + row * high
    return [x, y, x + wide, y + high]


def _spoken(match: Match) -> str:
    """Return what a screen reader says of the values: where those of the result are highest."""
    rows, columns = match.result.shape
    best = np.argsort(-match.result, axis=None, kind="stable")[:3]
    places = ", ".join(f"row {i // columns + 1}, column {i % columns + 1}" for i in best.tolist())
    what = "contribute most to the cosine"
    if match.region is not None:
        row, column = match.region
        what = f"are most similar to row {row + 1}, column {column + 1} of the query"
    return f"Of {rows} by {columns} regions of the result, these {what}: {places}."


class _Hushed:
    """Standard output without what the current thread prints."""

    def __init__(self) -> None:
        self._out, self._thread = sys.stdout, current_thread()

    def write(self, text: str) -> int:
        return len(text) if current_thread() is self._thread else self._out.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._out, name)


def open_page() -> RetrievalDemo:
    """Return a page at once, and open the lab of the settings in the background.

    The page shows its first results as soon as photos can be searched, and what the models predict
    when these are loaded too.
    """
    page = RetrievalDemo()

    def open_session() -> None:
        def say(sentence: str) -> None:
            page.opening = shown_name(sentence)

        try:
            hushed: Any = _Hushed()  # there is no cell to print into
            with redirect_stdout(hushed):
                page.start(SearchSession(open_lab(), say=say, predicts=False))
                page.add_predictions()
        except LabError as error:
            say(str(error))
        except Exception as error:
            log.exception("The demo cannot be opened.")
            say(f"The demo cannot be opened ({type(error).__name__}): see the log of the server.")

    Thread(target=open_session, name=OPENING, daemon=True).start()
    return page
