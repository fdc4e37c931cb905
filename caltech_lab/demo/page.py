"""The user interface of the retrieval demo, on top of a `SearchSession`."""

from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from ipywidgets import (
    HTML,
    Box,
    Button,
    Checkbox,
    Dropdown,
    HBox,
    IntSlider,
    Layout,
    TagsInput,
    Text,
    VBox,
)

from caltech_lab.demo.answers import Answer, Match, Query, Ranking, SearchOptions
from caltech_lab.demo.session import SearchSession
from caltech_lab.demo.spaces import LEARNED, PLAIN
from caltech_lab.errors import ArgumentError, LabError
from caltech_lab.retrieval.feedback import NEAR_DUPLICATE
from caltech_lab.widgets.parts import (
    GROUND,
    WIDE,
    DropZone,
    Panel,
    PhotoGrid,
    Picture,
    data_uri,
    guarded,
)

N_SHELF = 8
ALL = "all categories"
ANY = "only categories ..."
SEARCH = ("search", "Search with this photo", "Use this photo as the query")
ACTIONS = [
    SEARCH,
    ("good", "good", "Rank similar photos higher"),
    ("bad", "bad", "Remove this photo, and rank similar photos lower"),
    ("why", "why?", "Show which regions make the photos similar"),
]
SPACES = [
    ("plain embeddings of the backbone", PLAIN),
    ("vectors learned from the categories", LEARNED),
]
LEARNING = (
    "Switching to other vectors. Learned vectors take some minutes the first time, to extract more "
    "views of all photos and fit a projection ..."
)
LOADING = "Loading and compiling the backbone, which takes some seconds the first time ..."


class RetrievalDemo(Panel):
    """Search by a photo, with predicted category, cluster, filters and relevance feedback.

    Parameters
    ----------
    session : SearchSession
        Session that searches and predicts.

    Attributes
    ----------
    answer : Answer or None
        Results of the current query.
    options : SearchOptions
        Relevance feedback and filters.
    ranking : Ranking or None
        The photos that are shown.
    """

    def __init__(self, session: SearchSession) -> None:
        super().__init__()
        self.session = session
        self.answer: Answer | None = None
        self.options = SearchOptions()
        self.ranking: Ranking | None = None
        self._why: int | None = None
        self._rng = np.random.default_rng(session.lab.seed)
        self._make_controls()
        self._connect()
        self.children = self._arranged()
        self._fill_shelf()
        if self.shelf.items:
            self._choose(self.shelf.items[0]["row"])

    # ---- controls --------------------------------------------------------------------------

    def _make_controls(self) -> None:
        session, natural = self.session, Layout(width="auto")
        fitting = {"description_width": "initial"}
        self.drop = DropZone(self._uploaded, self._refused)
        self.surprise = Button(description="Surprise me", icon="random", layout=natural)
        self.path = Text(
            placeholder="or the path of a photo, then press Enter",
            continuous_update=False,
            tooltip="Path of a photo on the machine where Jupyter runs",
            layout=Layout(flex="1 1 220px", width="auto", min_width="180px"),
        )
        self.search_path = Button(description="Search", icon="search", layout=natural)
        self.shelf_category = Dropdown(
            options=[ALL, *session.gallery.categories],
            description="From the gallery:",
            style=fitting,
            layout=Layout(width="auto", max_width="320px"),
        )
        self.other_photos = Button(description="Other photos", icon="refresh", layout=natural)
        self.shelf = PhotoGrid([SEARCH], self._act, 112)
        self.picture = Picture(croppable=True, max_height="300px", layout=Layout(width="auto"))
        self.ask_part = Button(
            description="Search with this part", disabled=True, layout=natural, icon="crop"
        )
        self.ask_whole = Button(description="Whole photo", disabled=True, layout=natural)
        self.asked = HTML(layout=WIDE)
        self.k = IntSlider(
            value=min(10, session.max_k),
            min=1,
            max=session.max_k,
            description="k, photos to show:",
            continuous_update=False,
            style=fitting,
            layout=Layout(width="100%", max_width="420px"),
        )
        self.space = Dropdown(
            options=SPACES if session.classifier else SPACES[:1],
            value=session.space.name,
            description="Search by:",
            style=fitting,
            layout=Layout(width="auto", max_width="100%"),
        )
        self.add_category = Dropdown(options=[ANY, *session.gallery.categories], layout=natural)
        self.add_category.layout.display = "" if len(session.gallery.categories) > 1 else "none"
        self.categories = TagsInput(
            allowed_tags=session.gallery.categories,
            allow_duplicates=False,
            layout=Layout(width="auto", display="none"),
        )
        fits = Layout(width="max-content")
        self.own_cluster = Checkbox(
            description="only the cluster of the query",
            indent=False,
            disabled=session.kmeans is None,
            layout=fits,
        )
        self.no_copies = Checkbox(
            description=f"hide near-duplicates (cosine of {NEAR_DUPLICATE} or more)",
            indent=False,
            layout=fits,
        )
        self.marks = HTML()
        self.forget = Button(description="Clear the marks", layout=natural)
        self.summary = HTML(layout=WIDE)
        self.grid = PhotoGrid(ACTIONS if session.has_maps else ACTIONS[:-1], self._act, 124)
        view = {"max_height": "240px", "layout": Layout(width="auto", max_width="340px")}
        self.of_query = Picture(clickable=True, **view)
        self.of_result = Picture(**view)
        self.why_text = HTML(layout=WIDE)
        self.all_regions = Button(description="All regions", layout=natural)
        self.close_why = Button(description="Close", icon="times", layout=natural)

    def _connect(self) -> None:
        self.path.observe(self._path_given, "value")
        self.search_path.on_click(self._path_given)
        self.surprise.on_click(self._surprise)
        self.shelf_category.observe(self._fill_shelf, "value")
        self.other_photos.on_click(self._fill_shelf)
        self.picture.observe(self._box_drawn, "box")
        self.ask_part.on_click(self._part_asked)
        self.ask_whole.on_click(self._whole_asked)
        self.add_category.observe(self._category_added, "value")
        for control in (self.k, self.categories, self.own_cluster, self.no_copies):
            control.observe(self._steered, "value")
        self.space.observe(self._space_chosen, "value")
        self.forget.on_click(self._marks_forgotten)
        self.of_query.on_click(self._region_clicked)
        self.all_regions.on_click(self._explain)
        self.close_why.on_click(self._why_closed)

    def _arranged(self) -> list[Any]:
        line = {"flex_flow": "row wrap", "align_items": "center", "grid_gap": "4px 8px"} | WIDE
        row = Layout(**line)
        left = Layout(flex="1 1 230px", min_width="230px", max_width="330px")
        right = Layout(flex="3 1 420px", min_width="300px")
        photos = Layout(flex_flow="row wrap", grid_gap="12px", width="100%", align_items="flex-end")
        self.marked = Box([self.marks, self.forget], layout=Layout(display="none", **line))
        self.why = VBox(
            [
                self.why_text,
                Box([self.of_query, self.of_result], layout=photos),
                Box([self.all_regions, self.close_why], layout=row),
            ],
            layout=Layout(
                display="none",
                width="100%",
                padding="8px",
                border="1px solid var(--jp-border-color2, #ccc)",
            ),
        )
        filters = [self.add_category, self.categories, self.own_cluster, self.no_copies]
        asked = [self.picture, Box([self.ask_part, self.ask_whole], layout=row), self.asked]
        answered = [
            self.space, self.k, Box(filters, layout=row), self.marked, self.summary, self.why,
            self.grid,
        ]  # fmt: skip
        return [
            self.drop,
            Box([self.surprise, self.path, self.search_path], layout=row),
            HBox([self.shelf_category, self.other_photos], layout=row),
            self.shelf,
            self.status,
            Box(
                [VBox(asked, layout=left), VBox(answered, layout=right)],
                layout=Layout(flex_flow="row wrap", grid_gap="20px", width="100%"),
            ),
        ]

    # ---- actions ---------------------------------------------------------------------------

    @guarded
    def _uploaded(self, name: str, data: bytes) -> None:
        self._announce()
        self._show(self.session.from_photo(data, name))

    def _refused(self, sentence: str) -> None:
        self.say(sentence, wrong=True)

    @guarded
    def _path_given(self, _: Any) -> None:
        path = self.path.value.strip().strip("\"'")
        if not path:
            raise ArgumentError("The path is empty: enter one such as photos/cat.jpg.")
        self._announce()
        self._show(self.session.from_photo(Path(path).expanduser()))

    @guarded
    def _surprise(self, _: Any) -> None:
        self._show(self.session.from_gallery(int(self._rng.integers(len(self.session.gallery)))))

    @guarded
    def _choose(self, row: int) -> None:
        self._show(self.session.from_gallery(row))

    @guarded
    def _fill_shelf(self, _: Any = None) -> None:
        gallery, chosen = self.session.gallery, self.shelf_category.value
        rows = np.arange(len(gallery))
        if chosen != ALL:
            rows = np.flatnonzero(gallery.y == gallery.categories.index(chosen))
        picked = self._rng.permutation(rows)[:N_SHELF].tolist()
        self.shelf.items = [self._item(row, self.session.category(row), []) for row in picked]

    def _box_drawn(self, _: Any) -> None:
        self.ask_part.disabled = not self.picture.box

    @guarded
    def _part_asked(self, _: Any) -> None:
        assert self.answer is not None
        self._announce()
        left, top, right, bottom = self.picture.box
        self._show(self.session.part(self.answer.query, (left, top, right, bottom)))

    @guarded
    def _whole_asked(self, _: Any) -> None:
        assert self.answer is not None
        self._show(self.answer.query.whole or self.answer.query)

    @guarded
    def _category_added(self, _: Any) -> None:
        chosen = self.add_category.value
        if chosen == ANY:
            return
        self.add_category.value = ANY
        if chosen not in self.categories.value:
            self.categories.value = [*self.categories.value, chosen]

    @guarded
    def _steered(self, _: Any) -> None:
        self._rank()

    @guarded
    def _space_chosen(self, _: Any) -> None:
        if self.space.value == self.session.space.name:
            return
        before = self.session.space.name
        self.say(LEARNING)
        try:
            self.session.use(self.space.value)
            if self.answer is not None:
                self._show(self.answer.query)
        except Exception:  # the control must show the vectors in use
            self.session.use(before)
            self.space.value = before
            raise

    @guarded
    def _act(self, action: str, row: int) -> None:
        if action == "search":
            self._show(self.session.from_gallery(row))
        elif action == "why":
            self._why = row
            self._explain()
        else:
            self._mark(row, action)

    def _mark(self, row: int, mark: str) -> None:
        """Mark a photo, or remove the same mark."""
        marks = {"good": set(self.options.good), "bad": set(self.options.bad)}
        taken_back = row in marks[mark]
        for rows in marks.values():
            rows.discard(row)
        if not taken_back:
            marks[mark].add(row)
        self.options = replace(
            self.options, good=tuple(sorted(marks["good"])), bad=tuple(sorted(marks["bad"]))
        )
        self._rank()

    @guarded
    def _marks_forgotten(self, _: Any) -> None:
        self.options = replace(self.options, good=(), bad=())
        self._rank()

    @guarded
    def _explain(self, _: Any = None) -> None:
        self._show_match(None)

    @guarded
    def _region_clicked(self, x: float, y: float) -> None:
        self._show_match((x, y))

    def _why_closed(self, _: Any = None) -> None:
        self._why = None
        self.why.layout.display = "none"

    def _announce(self) -> None:
        if not self.session.is_compiled:
            self.say(LOADING)

    # ---- results ---------------------------------------------------------------------------

    def _show(self, query: Query) -> None:
        self.answer = self.session.ask(query)
        self.options = replace(self.options, good=(), bad=())
        self._why_closed()
        with self.picture.hold_sync():
            self.picture.box = []
            self.picture.alt = f"The query: {query.name}"
            self.picture.src = data_uri((query.whole or query).picture)
        self.ask_part.disabled = True
        self.ask_whole.disabled = query.whole is None
        self.asked.value = self._asked(self.answer)
        self._rank()
        times = ", ".join(f"{step} {1000 * s:.0f} ms" for step, s in self.answer.seconds.items())
        self.say(f"Results for {query.name} ({times}).")  # last, when the results are on the page

    def _rank(self) -> None:
        if self.answer is None:
            return
        gallery = self.session.gallery
        self.categories.layout.display = "" if self.categories.value else "none"
        labels = frozenset(gallery.categories.index(name) for name in self.categories.value)
        self.options = replace(
            self.options,
            categories=labels,
            cluster=self.answer.cluster if self.own_cluster.value else None,
            hide_near_duplicates=self.no_copies.value,
        )
        self.ranking = self.session.rank(self.answer, self.options, self.k.value)
        marks = dict.fromkeys(self.options.good, "good")
        ids, same = self.ranking.ids.tolist(), self.ranking.same_category
        chances = [] if same is None else [f"same category {100 * p:.0f} %" for p in same]
        self.grid.items = [
            self._item(
                row,
                f"{place}. {self.session.category(row)}".rstrip(),
                [f"cosine {cosine:.3f}", *chances[place - 1 : place]],
                marks.get(row, ""),
            )
            for place, (row, cosine) in enumerate(
                zip(ids, self.ranking.similarities, strict=True), start=1
            )
        ]
        self.summary.value = self._summary(self.answer, self.ranking)
        n_good, n_bad = len(self.options.good), len(self.options.bad)
        self.marks.value = f"{n_good} marked good, {n_bad} bad: ranking adjusted"
        self.marked.layout.display = "" if n_good or n_bad else "none"

    def _item(self, row: int, title: str, lines: list[str], mark: str = "") -> dict[str, Any]:
        path, category = self.session.path(row), self.session.category(row)
        name = path.removeprefix(f"{category}/")
        try:
            source = data_uri(self.session.thumbnail(row))
        except LabError:  # the card of this photo says that the file is missing
            source = ""
        return {
            "row": row,
            "title": title,
            "lines": [name, *lines],
            "src": source,
            "path": path,
            "mark": mark,
        }

    def _summary(self, answer: Answer, ranking: Ranking) -> str:
        y, row, n = self.session.gallery.y, answer.query.row, len(ranking.ids)
        found = f"The {n} most similar of {len(y) - (row is not None):,} photos"
        options = self.options
        if options.categories or options.cluster is not None or options.hide_near_duplicates:
            found += " that match the filters"
        if row is not None and len(y) == 1:
            return '<div style="line-height:1.4">This is the only photo of the gallery.</div>'
        if row is not None and y[row] < 0:
            found += ", without the query"
        elif row is not None:
            right = int((y[ranking.ids] == y[row]).sum())
            found += f", without the query: {right} of {n} have its category"
        if not n:
            found = "No photo matches the filters: remove a filter, or clear the marks"
        return f'<div style="line-height:1.4">{escape(found)}.</div>'

    def _asked(self, answer: Answer) -> str:
        query, session = answer.query, self.session
        where = "Not in the gallery."
        if query.row is not None:
            where = "In the gallery."
        if query.row is not None and session.classifier:
            seen = "" if query.row in session.trained_on else "not "
            where = (
                f"In the gallery as <b>{escape(session.category(query.row))}</b>; the classifier "
                f"was {seen}trained on it."
            )
        strange = ""
        if answer.is_novel:
            strange = (
                '<div role="note" style="margin:8px 0;padding:6px;border-left:4px solid #D55E00">'
                "<b>Unlike anything in the gallery.</b> The cosine to its nearest photos is "
                f"{answer.familiarity:.2f}, below the threshold of {session.threshold:.2f}: do not "
                "trust the results.</div>"
            )
        return (
            '<div style="line-height:1.4;overflow-wrap:anywhere;padding-right:4px">'
            f"<b>Query:</b> {escape(query.name)}<br>{where}"
            '<div style="font-size:12px">Drag over the photo to search with a part of it.</div>'
            f"{strange}"
            f"{self._probabilities(answer)}"
            f'<div style="margin-top:12px"><b>K-Means</b></div>{self._cluster(answer)}</div>'
        )

    def _probabilities(self, answer: Answer) -> str:
        if answer.probabilities is None:
            why = escape(self.session.no_classifier)
            return f'<div style="margin-top:12px"><b>There is no classifier.</b> {why}</div>'
        rows = ['<div style="margin-top:12px"><b>Predicted probabilities</b></div>']
        for label in answer.best_categories():
            p = answer.probabilities[label]
            name = escape(self.session.gallery.categories[label])
            rows.append(
                f'<div style="display:flex;justify-content:space-between;gap:8px">'
                f"<span>{name}</span><span>{100 * p:.1f} %</span></div>"
                f'<div style="height:6px;background:{GROUND}"><div style="height:6px;'
                f'width:{100 * p:.1f}%;background:#0072B2"></div></div>'
            )
        return "".join(rows)

    def _cluster(self, answer: Answer) -> str:
        gallery, kmeans = self.session.gallery, self.session.kmeans
        if answer.cluster is None or kmeans is None:
            return "There are no clusters: they need three photos, and two that are different."
        members = self.session.cluster_members(answer.cluster)
        found = (
            f"Cluster {answer.cluster + 1} of {kmeans.n_clusters}, with {len(members):,} "
            f"photo{'s' if len(members) != 1 else ''}"
        )
        if len(gallery.categories) < 2 or (gallery.y < 0).any():
            return f"{found}."
        counts = np.bincount(gallery.y[members], minlength=len(gallery.categories))
        most = [label for label in np.argsort(-counts, kind="stable")[:3] if counts[label]]
        names = ", ".join(f"{gallery.categories[label]} {counts[label]}" for label in most)
        return escape(f"{found}, mostly {names}.")

    def _show_match(self, point: tuple[float, float] | None) -> None:
        assert self.answer is not None
        assert self._why is not None
        said = self.status.value
        if not self.session.maps_are_compiled:
            self.say(LOADING)
        match = self.session.match(self.answer.query, self._why, point)
        self.status.value = said
        query, row = self.answer.query, self._why
        for picture, source, alt, heat, frame in (
            (self.of_query, query.picture, "The query", match.query, match.query_frame),
            (self.of_result, self.session.thumbnail(row), self.session.path(row), match.result,
             match.result_frame),
        ):  # fmt: skip
            with picture.hold_sync():
                picture.alt, picture.src, picture.frame = alt, data_uri(source), list(frame)
                picture.heat = _light(heat)
        self.of_query.marks = [_place(match)] if match.region else []
        # The maps explain the plain embeddings, whichever vectors the search uses.
        cosine = float(self.session.gallery.X[row] @ query.vector)
        self.why_text.value = (
            '<div style="line-height:1.4;overflow-wrap:anywhere"><b>Why is '
            f"{escape(self.session.path(row))} similar (cosine {cosine:.3f})?</b> "
            + (
                "Light regions of both photos are similar to the outlined region of the query."
                if match.region
                else "Light regions contribute most to the cosine, dark regions least. Click a "
                "region of the query, the first photo, to see which regions are similar to it."
            )
            + "</div>"
        )
        self.all_regions.disabled = match.region is None
        self.why.layout.display = ""


def _light(values: np.ndarray) -> list[list[float]]:
    top = values.max()
    light: list[list[float]] = (np.clip(values, 0, None) / top if top > 0 else values * 0).tolist()
    return light


def _place(match: Match) -> list[float]:
    """Return left, top, width and height of the region on the query photo."""
    assert match.region is not None
    (row, column), (rows, columns) = match.region, match.query.shape
    left, top, right, bottom = match.query_frame
    wide, high = (right - left) / columns, (bottom - top) / rows
    return [left + column * wide, top + row * high, wide, high]
