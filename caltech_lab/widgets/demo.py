"""The retrieval demo: a thin view of a `SearchSession`."""

import base64
import logging
from collections.abc import Callable
from functools import wraps
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from ipywidgets import (
    HTML,
    Box,
    Button,
    Dropdown,
    FileUpload,
    GridBox,
    HBox,
    IntSlider,
    Layout,
    Text,
    VBox,
)

from caltech_lab.errors import ArgumentError, LabError
from caltech_lab.images import MAX_BYTES, MAX_PIXELS
from caltech_lab.widgets.session import Answer, Query, SearchSession

N_SHELF = 8
ALL = "all categories"
UPLOAD_LIMIT_MB = 10  # of tornado's web sockets, in units of 2**20 bytes
LIMITS = (
    f"JPEG, PNG, WebP, BMP or GIF, at most {UPLOAD_LIMIT_MB} MB: Jupyter drops a larger upload "
    "without a word. For a larger photo, drag it into JupyterLab's file list and type its path "
    f"here: that works up to {MAX_BYTES / 2**20:.0f} MB and {MAX_PIXELS / 1e6:.0f} million pixels."
)
log = logging.getLogger(__name__)


def guarded(callback: Callable[..., None]) -> Callable[..., None]:
    """Make a callback of the demo show what goes wrong, which JupyterLab shows nowhere."""

    @wraps(callback)
    def safe(demo: "RetrievalDemo", *arguments: Any) -> None:
        try:
            callback(demo, *arguments)
        except LabError as error:
            demo.say(str(error), wrong=True)
        except Exception as error:
            log.exception("A callback of the retrieval demo failed.")
            demo.say(
                f"This did not work, for a reason that nobody foresaw ({type(error).__name__}): "
                "go on with another photo.",
                wrong=True,
            )

    return safe


class RetrievalDemo(VBox):  # type: ignore[misc]
    """Lets a person choose a photo, and shows what the lab has to say about it.

    Parameters
    ----------
    session : SearchSession
        What answers.

    Attributes
    ----------
    answer : Answer or None
        The answer that is shown, with as many photos as the slider can ask for.
    """

    def __init__(self, session: SearchSession) -> None:
        self.session = session
        self.answer: Answer | None = None
        self._rng = np.random.default_rng(session.lab.seed)
        wide, natural = Layout(width="100%"), Layout(width="auto")

        self.upload = FileUpload(
            accept=".jpg,.jpeg,.png,.webp,.bmp,.gif", description="Upload a photo", layout=natural
        )
        self.surprise = Button(description="Surprise me", icon="random", layout=natural)
        self.path = Text(
            placeholder="or the path of a photo, then Enter",
            continuous_update=False,
            tooltip="Path of a photo on the machine where Jupyter runs",
            layout=Layout(flex="1 1 220px", width="auto", min_width="180px"),
        )
        self.search_path = Button(description="Search", icon="search", layout=natural)
        self.shelf_category = Dropdown(
            options=[ALL, *session.gallery.categories],
            description="From the gallery:",
            style={"description_width": "initial"},
            layout=Layout(width="auto", max_width="320px"),
        )
        self.other_photos = Button(description="Other photos", icon="refresh", layout=natural)
        self.k = IntSlider(
            value=min(10, session.max_k),
            min=1,
            max=session.max_k,
            description="k, photos to show:",
            continuous_update=False,
            style={"description_width": "initial"},
            layout=Layout(width="100%", max_width="420px"),
        )
        self.status, self.asked, self.summary = HTML(), HTML(layout=wide), HTML(layout=wide)
        self.shelf = [Card(self._choose, wide) for _ in range(min(N_SHELF, len(session.gallery)))]
        self.cards = [Card(self._choose, wide) for _ in range(session.max_k)]
        self.grid = GridBox(layout=_tiles(116))

        self.upload.observe(self._uploaded, "value")
        self.path.observe(self._path_given, "value")
        self.search_path.on_click(self._path_given)
        self.surprise.on_click(self._surprise)
        self.shelf_category.observe(self._fill_shelf, "value")
        self.other_photos.on_click(self._fill_shelf)
        self.k.observe(self._draw_photos, "value")

        row = Layout(flex_flow="row wrap", align_items="center", grid_gap="4px", width="100%")
        left = Layout(flex="1 1 220px", min_width="220px", max_width="340px")
        right = Layout(flex="3 1 380px", min_width="300px")
        super().__init__(
            [
                Box([self.upload, self.surprise, self.path, self.search_path], layout=row),
                HTML(f'<div style="{_SMALL}">{LIMITS}</div>', layout=wide),
                HBox([self.shelf_category, self.other_photos], layout=row),
                GridBox(self.shelf, layout=_tiles(100)),
                self.status,
                Box(
                    [VBox([self.asked], layout=left),
                     VBox([self.k, self.summary, self.grid], layout=right)],
                    layout=Layout(flex_flow="row wrap", grid_gap="20px", width="100%"),
                ),
            ],
            layout=Layout(width="100%", max_width="1240px"),
        )  # fmt: skip
        self._fill_shelf()
        if self.shelf[0].row is not None:
            self._choose(self.shelf[0].row)

    def say(self, sentence: str, wrong: bool = False) -> None:
        """Show a sentence where the person looks for it.

        Parameters
        ----------
        sentence : str
            Plain text.
        wrong : bool
            Whether it tells of a fault.
        """
        colour = "var(--jp-error-color1, #b00020)" if wrong else "inherit"
        role = "alert" if wrong else "status"
        self.status.value = (
            f'<div role="{role}" style="line-height:1.4;overflow-wrap:anywhere;color:{colour}">'
            f"{escape(sentence)}</div>"
        )

    # ---- what a person can do --------------------------------------------------------------

    @guarded
    def _uploaded(self, change: dict[str, Any]) -> None:
        if not change["new"]:
            return
        file = change["new"][0]
        self.upload.value = ()  # lets the same file come again, and its bytes go
        if file.get("error"):
            raise LabError(f"The browser could not read {file['name']}: choose it again.")
        self._look_up(bytes(file["content"]), file["name"])

    @guarded
    def _path_given(self, _: Any) -> None:
        path = self.path.value.strip().strip("\"'")
        if not path:
            raise ArgumentError(
                "There is no path yet: type that of a photo, such as photos/cat.jpg."
            )
        self._look_up(Path(path).expanduser())

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
        picked = self._rng.permutation(rows)[: len(self.shelf)].tolist()
        for card, row in zip(self.shelf, picked, strict=False):
            self._fill(card, row, [])
        for number, card in enumerate(self.shelf):
            card.layout.display = None if number < len(picked) else "none"

    def _look_up(self, source: bytes | Path, name: str | None = None) -> None:
        if not self.session.is_compiled:
            self.say(
                "Loading and compiling the backbone, which takes some seconds the first time ..."
            )
        self._show(self.session.from_photo(source, name))

    # ---- what it shows ---------------------------------------------------------------------

    def _show(self, query: Query) -> None:
        self.answer = self.session.ask(query, self.session.max_k)
        times = ", ".join(f"{step} {1000 * s:.0f} ms" for step, s in self.answer.seconds.items())
        self.say(f"Answered {query.name} ({times}).")
        self.asked.value = self._asked(self.answer)
        self._draw_photos()
        self._fill_cards(self.k.value, self.session.max_k)  # so that a larger k is drawn at once

    @guarded
    def _draw_photos(self, _: Any = None) -> None:
        if self.answer is None:
            return
        k, y, row = self.k.value, self.session.gallery.y, self.answer.query.row
        self._fill_cards(0, k)
        self.grid.children = self.cards[:k]
        found = f"The {k} most similar of {len(y) - (row is not None):,} photos"
        if row is not None:
            right = int((y[self.answer.ids[:k]] == y[row]).sum())
            found += f", the query left out: {right} of {k} are of its category"
        self.summary.value = f'<div style="line-height:1.4">{escape(found)}.</div>'

    def _fill_cards(self, start: int, stop: int) -> None:
        assert self.answer is not None
        ids, similarities = self.answer.ids.tolist(), self.answer.similarities
        for place in range(start, stop):
            similarity = f"cosine {similarities[place]:.3f}"
            self._fill(self.cards[place], ids[place], [similarity], place + 1)

    def _fill(self, card: "Card", row: int, lines: list[str], rank: int | None = None) -> None:
        path, category = self.session.path(row), self.session.category(row)
        name = path.removeprefix(f"{category}/")
        card.show(row, path, category, [name, *lines], self._picture(row), rank)

    def _picture(self, row: int) -> bytes | None:
        try:
            return self.session.thumbnail(row)
        except LabError:  # the file is gone: its card says so, and the others are shown
            return None

    def _asked(self, answer: Answer) -> str:
        query, session = answer.query, self.session
        where = "Not in the gallery."
        if query.row is not None:
            seen = "trained on it" if query.row in session.trained_on else "never saw it"
            where = (
                f"In the gallery as <b>{escape(session.category(query.row))}</b>; "
                f"the classifier {seen}."
            )
        picture = _image(query.picture, f"The query, {query.name}", "200px")
        return (
            '<div style="line-height:1.4;overflow-wrap:anywhere;padding-right:4px">'
            f"<b>Query</b>{picture}"
            f"{escape(query.name)}<br>{where}"
            f'<div style="margin-top:12px"><b>The classifier&rsquo;s five best</b></div>'
            f"{self._probabilities(answer)}"
            f'<div style="margin-top:12px"><b>K-Means</b></div>{self._cluster(answer)}</div>'
        )

    def _probabilities(self, answer: Answer) -> str:
        rows = []
        for label in answer.best_categories():
            p = answer.probabilities[label]
            name = escape(self.session.gallery.categories[label])
            rows.append(
                f'<div style="display:flex;justify-content:space-between;gap:8px">'
                f"<span>{name}</span><span>{100 * p:.1f} %</span></div>"
                f'<div style="height:6px;background:{_GROUND}"><div style="height:6px;'
                f'width:{100 * p:.1f}%;background:#0072B2"></div></div>'
            )
        return "".join(rows)

    def _cluster(self, answer: Answer) -> str:
        gallery, members = self.session.gallery, self.session.cluster_members(answer.cluster)
        counts = np.bincount(gallery.y[members], minlength=len(gallery.categories))
        most = [label for label in np.argsort(-counts, kind="stable")[:3] if counts[label]]
        names = ", ".join(f"{gallery.categories[label]} {counts[label]}" for label in most)
        return escape(
            f"Cluster {answer.cluster + 1} of {self.session.kmeans.n_clusters}, with "
            f"{len(members):,} photos; most of them: {names}."
        )


class Card(VBox):  # type: ignore[misc]
    """One photo of the gallery, with a button that makes it the query.

    Parameters
    ----------
    choose : callable
        Called with the photo's row when the button is pressed.
    wide : Layout
        Shared by all cards, which makes them quicker to draw.
    """

    def __init__(self, choose: Callable[[int], None], wide: Layout) -> None:
        self.row: int | None = None
        self.picture = HTML(layout=wide)
        self.button = Button(description="Search", layout=wide)
        self.button.on_click(lambda _: None if self.row is None else choose(self.row))
        super().__init__([self.picture, self.button])

    def show(
        self,
        row: int,
        path: str,
        category: str,
        lines: list[str],
        picture: bytes | None,
        rank: int | None,
    ) -> None:
        """Show another photo.

        Parameters
        ----------
        row : int
            Its row in the gallery.
        path, category : str
            What the photo is called.
        lines : list of str
            What else to write below it.
        picture : bytes or None
            A JPEG, or None when the file cannot be read.
        rank : int or None
            Its place among the answers, from 1.
        """
        self.row = row
        self.button.tooltip = f"Search with {path}"
        title = escape(category if rank is None else f"{rank}. {category}")
        text = "<br>".join(map(escape, lines))
        self.picture.value = (
            f'<figure style="margin:0;line-height:1.3;overflow-wrap:anywhere">'
            f"{_image(picture, path, '100px')}"
            f'<figcaption style="{_SMALL}"><b>{title}</b><br>{text}</figcaption></figure>'
        )


_GROUND = "var(--jp-layout-color2, #eee)"
_SMALL = "font-size:12px;line-height:1.35;overflow-wrap:anywhere"


def _tiles(width: int) -> Layout:
    return Layout(
        grid_template_columns=f"repeat(auto-fill, minmax({width}px, 1fr))",
        grid_gap="8px",
        width="100%",
    )


def _image(jpeg: bytes | None, alt: str, height: str) -> str:
    """Return an `img` that letterboxes the picture: all of it, in its own proportions."""
    box = f"display:block;width:100%;height:{height};background:{_GROUND}"
    if jpeg is None:
        return f'<div style="{box}">This file can no longer be read.</div>'
    data = base64.b64encode(jpeg).decode()
    return (
        f'<img src="data:image/jpeg;base64,{data}" alt="{escape(alt, quote=True)}" '
        f'style="{box};object-fit:contain">'
    )
