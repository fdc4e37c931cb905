"""Figures that can be questioned with a click: confusion, clusters, trees, maps, categories.

A browser shows a figure of `caltech_lab.plots`, and photos below it once somebody has clicked. On a
page without a kernel the figure stays.
"""

import base64
import io
from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from ipywidgets import HTML, Box, Dropdown, Layout, Select
from matplotlib.axes import Axes
from numpy.typing import NDArray
from PIL import Image

from caltech_lab.cluster_portraits import branch_members, drawn_branches, portrait
from caltech_lab.errors import LabError
from caltech_lab.images import read_photo
from caltech_lab.plots.browsers import category_profile, clusters_and_contents
from caltech_lab.plots.classification import confusion_heatmap
from caltech_lab.plots.clustering import dendrogram
from caltech_lab.plots.evaluation import embedding_map
from caltech_lab.widgets.parts import WIDE, Panel, PhotoGrid, Picture, data_uri, guarded
from caltech_lab.widgets.thumbnails import small_jpeg, thumbnail

if TYPE_CHECKING:
    from caltech_lab.features import Features

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

SHOWN = 24  # photos below a figure
DPI, STILL_DPI, STILL_COLOURS = 100, 70, 48
NEITHER = "choose ..."


class FigureBrowser(Panel):
    """A figure that takes clicks, a list that does the same, and photos.

    Parameters
    ----------
    features : Features
        Whose photos to show.
    axes : Axes or sequence of Axes
        Of one figure, which is closed.
    hint : str
        What to do, in a sentence.
    """

    def __init__(self, features: "Features", axes: "Axes | tuple[Axes, ...]", hint: str) -> None:
        super().__init__()
        self.features = features
        self.hint = hint
        self.figure = Picture(clickable=True, layout=Layout(width="100%"))
        self.figure.on_click(self._figure_clicked)
        self.choice = Dropdown(options=[NEITHER], layout=Layout(width="auto", max_width="100%"))
        self.choice.observe(self._chosen, "value")
        self.text = HTML(layout=WIDE)
        self.grid = PhotoGrid(tile=124)
        self.thumbnail = lru_cache(2000)(self._thumbnail)
        self.draw(axes)
        self.say(hint)
        self.children = [self.figure, self.choice, self.status, self.text, self.grid]

    def draw(self, axes: "Axes | tuple[Axes, ...]") -> None:
        """Show another figure.

        Parameters
        ----------
        axes : Axes or sequence of Axes
            Of one figure, which is closed.
        """
        self.axes = axes if isinstance(axes, tuple) else (axes,)
        figure = self.axes[0].get_figure(root=True)
        assert figure is not None
        figure.set_dpi(DPI)
        self._png = _png(figure, DPI)
        self._still = _png(figure, STILL_DPI, STILL_COLOURS)
        self._size = figure.bbox.width, figure.bbox.height
        plt.close(figure)
        self.figure.alt = self.hint
        self.figure.marks = []
        self.figure.src = data_uri(self._png)

    def _repr_mimebundle_(self, **options: Any) -> Any:
        # The still is what a page without a kernel can show.
        bundle = super()._repr_mimebundle_(**options)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        still = base64.b64encode(self._still).decode()
        return {**data, "text/plain": self.hint, "image/png": still}, metadata

    @guarded
    def _figure_clicked(self, x: float, y: float) -> None:
        pixel = x * self._size[0], (1 - y) * self._size[1]
        for ax in self.axes:
            if ax.bbox.padded(120).contains(*pixel) and ax is self._nearest_axes(pixel):
                across, up = ax.transData.inverted().transform(pixel)
                self.clicked(ax, float(across), float(up))

    def _nearest_axes(self, pixel: tuple[float, float]) -> Axes:
        def away(ax: Axes) -> float:
            box = ax.bbox
            sideways = max(box.x0 - pixel[0], 0, pixel[0] - box.x1)
            return float(sideways + max(box.y0 - pixel[1], 0, pixel[1] - box.y1))

        return min(self.axes, key=away)

    @guarded
    def _chosen(self, _: Any) -> None:
        if self.choice.value != NEITHER:
            self.chosen(self.choice.value)

    def clicked(self, ax: Axes, x: float, y: float) -> None:
        """Answer a click at a place in the units of the axes."""
        raise NotImplementedError

    def chosen(self, name: str) -> None:
        """Answer a choice from the list."""
        raise NotImplementedError

    def outline(self, ax: Axes, left: float, bottom: float, right: float, top: float) -> None:
        """Outline a rectangle, given in the units of the axes."""
        (x0, y0), (x1, y1) = ax.transData.transform([(left, bottom), (right, top)])
        wide, high = self._size
        x0, x1, y0, y1 = min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1)
        mark = [x0 / wide, 1 - y1 / high, (x1 - x0) / wide, (y1 - y0) / high]
        self.figure.marks = [[float(v) for v in mark]]

    def show(self, sentence: str, rows: Ints, lines: "dict[int, list[str]] | None" = None) -> None:
        """Show photos below the figure.

        Parameters
        ----------
        sentence : str
            What they are, plain text.
        rows : ndarray of int64
            Which ones; the first `SHOWN` are shown.
        lines : dict, optional
            What to say about each.
        """
        more = f" The first {SHOWN} of {len(rows):,} are shown." if len(rows) > SHOWN else ""
        self.say(self.hint)
        self.text.value = f'<div style="line-height:1.4">{escape(sentence + more)}</div>'
        self.grid.items = [self._item(row, (lines or {}).get(row, [])) for row in
                           rows[:SHOWN].tolist()]  # fmt: skip

    def _item(self, row: int, lines: list[str]) -> dict[str, Any]:
        path = str(self.features.photos.table["path"].iat[row])
        category = self.features.categories[self.features.y[row]]
        name = path.removeprefix(f"{category}/")
        return {
            "row": row, "title": category, "lines": [name, *lines], "path": path, "mark": "",
            "src": data_uri(self.thumbnail(row)),
        }  # fmt: skip

    def _thumbnail(self, row: int) -> bytes | None:
        file = self.features.photos.file(row)
        try:
            return small_jpeg(file) or thumbnail(read_photo(file))
        except LabError:  # the file is gone: its card says so, and the others are shown
            return None


class ConfusionBrowser(FigureBrowser):
    """A confusion matrix whose cells show their photos.

    Parameters
    ----------
    features : Features
        All photos.
    rows : ndarray of int64, shape (m,)
        Those that the classifier was tested on.
    probabilities : ndarray of float64, shape (m, number of categories)
        What it says of them, in the order of ``features.categories``.
    predicted : ndarray of int64, shape (m,), optional
        Its answers, where they are not always the most probable category.
    """

    def __init__(
        self,
        features: "Features",
        rows: Ints,
        probabilities: NDArray[np.float64],
        predicted: Ints | None = None,
    ) -> None:
        from sklearn.metrics import confusion_matrix

        from caltech_lab.classification import confused_pairs

        names = features.categories
        self.rows, self.probabilities = rows, probabilities
        self.predicted = probabilities.argmax(axis=1) if predicted is None else predicted
        self.matrix = confusion_matrix(
            features.y[rows], self.predicted, labels=np.arange(len(names))
        )
        _, ax = plt.subplots(figsize=(10.5, 9), layout="constrained")
        confusion_heatmap(self.matrix, names, ax=ax)
        super().__init__(
            features, ax, "Click a cell: its photos appear below, with what the classifier says."
        )
        pairs = confused_pairs(features.y[rows], self.predicted, names)
        self._pairs = {
            f"{a} taken for {b}: {n}": (names.index(a), names.index(b))
            for a, b, n in pairs[["category", "taken_for", "mistakes"]].to_numpy()
        }
        self.choice.options = [NEITHER, *self._pairs]

    def clicked(self, ax: Axes, x: float, y: float) -> None:
        """Show the photos of a cell, or of the nearest one that has any."""
        full = np.argwhere(self.matrix > 0)
        away = np.hypot(full[:, 1] - x, full[:, 0] - y)
        near = int(away.argmin())
        if away[near] > 2.5:
            raise LabError("No photo is near there: click a coloured cell.")
        self._show_cell(*full[near].tolist())

    def chosen(self, name: str) -> None:
        """Show the photos of a frequent mistake."""
        self._show_cell(*self._pairs[name])

    def _show_cell(self, category: int, answer: int) -> None:
        names = self.features.categories
        here = (self.features.y[self.rows] == category) & (self.predicted == answer)
        rows, p = self.rows[here], self.probabilities[here]
        best = np.argsort(-p, axis=1, kind="stable")[:, :3]
        lines = {
            int(row): [f"{names[c]} {100 * p[i, c]:.0f} %" for c in best[i]]
            for i, row in enumerate(rows)
        }
        verdict = "rightly " if category == answer else ""
        self.outline(self.axes[0], answer - 0.5, category - 0.5, answer + 0.5, category + 0.5)
        total = int(self.matrix[category].sum())
        self.show(
            f"{len(rows)} of the {total} photos of {names[category]} are {verdict}taken for "
            f"{names[answer]}; below each the three most probable categories.",
            rows, lines,
        )  # fmt: skip


class ClusterBrowser(FigureBrowser):
    """Clusters as points and as bars; a click shows the photos of one.

    Parameters
    ----------
    features : Features
        All photos.
    clusters : ndarray of int64, shape (n,)
        The cluster of each photo.
    places : ndarray of float32, shape (n, 2)
        Where each photo lies on a plane.
    """

    def __init__(self, features: "Features", clusters: Ints, places: Floats) -> None:
        self.clusters, self.places = clusters, places
        self.groups = {int(c): np.flatnonzero(clusters == c) for c in np.unique(clusters)}
        counts = pd.crosstab(clusters, np.asarray(features.photos.table["category"]))
        super().__init__(
            features,
            clusters_and_contents(places, clusters, counts),
            "Click a point or a bar: the photos of its cluster appear below.",
        )
        sizes = counts.sum(axis=1).sort_values(kind="stable")
        self._order: list[int] = sizes.index.to_numpy().tolist()
        self.choice.options = [NEITHER, *(f"cluster {c}" for c in self.groups)]

    def clicked(self, ax: Axes, x: float, y: float) -> None:
        """Show the cluster of the nearest point, or of a bar."""
        if ax is self.axes[1]:
            self._show_cluster(self._order[min(max(round(y), 0), len(self._order) - 1)])
            return
        spots = ax.transData.transform(self.places) - ax.transData.transform((x, y))
        row = int(np.hypot(*spots.T).argmin())
        self._show_cluster(int(self.clusters[row]), row)

    def chosen(self, name: str) -> None:
        """Show a cluster by its name."""
        self._show_cluster(int(name.rpartition(" ")[2]))

    def _show_cluster(self, cluster: int, first: int | None = None) -> None:
        place = self._order.index(cluster)
        _, right = self.axes[1].get_xlim()
        self.outline(self.axes[1], 0, place - 0.45, right, place + 0.45)
        others = {c: rows for c, rows in self.groups.items() if c != cluster}
        show_portrait(self, f"Cluster {cluster}", "clusters", self.groups[cluster], others, first)


class TreeBrowser(FigureBrowser):
    """A dendrogram whose branches show their photos.

    Parameters
    ----------
    features : Features
        All photos.
    tree : ndarray of float64, shape (n - 1, 4)
        A linkage matrix of them.
    leaves : int
        How many branches are drawn.
    """

    def __init__(self, features: "Features", tree: NDArray[np.float64], leaves: int = 30) -> None:
        self.tree = tree
        self.branches = drawn_branches(tree, leaves)
        _, ax = plt.subplots(
            figsize=(10.5, 1 + 0.21 * (self.branches["is_leaf"].sum())), layout="constrained"
        )
        names = features.photos.table["category"].tolist()
        dendrogram(tree, names, leaves=leaves, ax=ax)
        super().__init__(
            features, ax, "Click a branch: its photos appear below. A line leads to what is right "
            "of it."
        )  # fmt: skip
        drawn = self.branches[self.branches["is_leaf"]]
        order: list[int] = drawn.sort_values("position")["node"].to_numpy().tolist()
        self.leaves = {node: branch_members(tree, node) for node in order}
        labels = [label.get_text() for label in ax.get_yticklabels()]
        self._names = dict(zip(order, labels, strict=True))
        options = {f"{place + 1}. {self._names[node]}": node for place, node in enumerate(order)}
        self._options = options
        self.choice.options = [NEITHER, *options]

    def clicked(self, ax: Axes, x: float, y: float) -> None:
        """Show the branch whose line is nearest."""
        b = self.branches
        inside = np.clip(x, b["height"], b["joined"])
        spots = ax.transData.transform(np.column_stack([inside, b["position"]]))
        away = np.hypot(*(spots - ax.transData.transform((x, y))).T)
        self._show_branch(b["node"].to_numpy().tolist()[int(away.argmin())])

    def chosen(self, name: str) -> None:
        """Show a branch by its name."""
        self._show_branch(self._options[name])

    def _show_branch(self, node: int) -> None:
        joined = float(self.branches.loc[self.branches["node"] == node, "joined"].iloc[0])
        rows = branch_members(self.tree, node)
        inside = [leaf for leaf, members in self.leaves.items() if members[0] in set(rows.tolist())]
        places = self.branches.set_index("node").loc[inside, "position"]
        self.outline(self.axes[0], 0, places.min() - 4, joined, places.max() + 4)
        others = {leaf: members for leaf, members in self.leaves.items() if leaf not in inside}
        show_portrait(self, "This branch", "branches", rows, others, None, self._names)


def show_portrait(
    browser: FigureBrowser,
    title: str,
    kind: str,
    rows: Ints,
    others: dict[int, Ints],
    first: int | None = None,
    names: "dict[int, str] | None" = None,
) -> None:
    """Show the photos of a group, its purity and its nearest other groups.

    Parameters
    ----------
    browser : FigureBrowser
        Where to show them.
    title, kind : str
        What to call this group, and groups as such.
    rows : ndarray of int64
        Its photos.
    others : dict
        The other groups, by number.
    first : int, optional
        The photo that was clicked, shown first.
    names : dict, optional
        What to call the others; their numbers and most frequent categories by default.
    """
    features = browser.features
    about = portrait(features.X, features.y, features.categories, rows, others)
    contents = ", ".join(f"{name} {n}" for name, n in about.contents[:4])
    near = []
    for number, cosine in about.nearest[:3]:
        top = np.bincount(features.y[others[number]]).argmax()
        name = names[number] if names else f"{number}, mostly {features.categories[top]}"
        near.append(f"{name} (cosine {cosine:.2f})")
    shown = about.rows
    if first is not None:
        shown = np.concatenate([[first], shown[shown != first]])
    browser.show(
        f"{title}: {len(rows):,} photos, purity {about.purity:.2f} ({contents}). "
        f"The nearest other {kind}: {'; '.join(near) or 'none'}. The photos nearest to its middle "
        f"come first{'' if first is None else ', after the one that was clicked'}.",
        shown,
    )


class CategoryBrowser(FigureBrowser):
    """Categories by accuracy, precision or size, and their worst answers.

    Parameters
    ----------
    features : Features
        All photos.
    table : DataFrame
        One row a category (its name is the index): ``accuracy``, ``precision@10``, ``photos``.
    rows : ndarray of int64, shape (m,)
        The photos that were asked.
    precision : ndarray of float64, shape (m,)
        precision@10 of each.
    predicted : ndarray of int64, shape (m,)
        What a classifier took each for.
    neighbours : ndarray of int64, shape (m, k)
        The answers of each, as rows of `features`.
    """

    def __init__(
        self,
        features: "Features",
        table: pd.DataFrame,
        rows: Ints,
        precision: NDArray[np.float64],
        predicted: Ints,
        neighbours: Ints,
    ) -> None:
        self.table = table[["accuracy", "precision@10", "photos"]]
        self.rows, self.precision, self.predicted = rows, precision, predicted
        self.neighbours = neighbours
        self.order = Dropdown(
            options=list(self.table.columns), description="sort by", layout=Layout(width="auto")
        )
        self.list = Select(options=[NEITHER], rows=8, layout=Layout(width="100%"))
        self.list.add_class("cl-table")
        self._ranked: list[str] = []
        super().__init__(
            features, self._profile(), "Click a column or a line of the list: the category's worst "
            "answers appear below. Click a photo there to see its own ten answers."
        )  # fmt: skip
        self.grid = PhotoGrid([("answers", "Show its answers", "")], self._photo_clicked, 124)
        self.answers_text, self.answers = HTML(layout=WIDE), PhotoGrid(tile=124)
        self.order.observe(self._sorted, "value")
        self.list.observe(self._listed, "value")
        row = Layout(flex_flow="row wrap", width="100%")
        self.children = [
            Box([self.order], layout=row), self.figure, self.list, self.status,
            self.text, self.grid, self.answers_text, self.answers,
        ]  # fmt: skip
        self._fill_list()

    def _profile(self) -> Axes:
        order = self.order.value
        self._ranked = [str(n) for n in self.table.sort_values(order, kind="stable").index]
        return category_profile(self.table, ["accuracy", "precision@10"], order)

    def _fill_list(self) -> None:
        wide = max(map(len, self._ranked))
        columns = self.table.loc[self._ranked, ["accuracy", "precision@10", "photos"]].to_numpy()
        self._lines = {
            f"{name:<{wide}}  accuracy {accuracy:.3f}  precision@10 {precision:.3f}  "
            f"{photos:.0f} photos": name
            for name, (accuracy, precision, photos) in zip(self._ranked, columns, strict=True)
        }
        self.list.options = [NEITHER, *self._lines]

    @guarded
    def _sorted(self, _: Any) -> None:
        self.draw(self._profile())
        self._fill_list()

    @guarded
    def _listed(self, _: Any) -> None:
        if self.list.value in self._lines:
            self.chosen(self._lines[self.list.value])

    def clicked(self, ax: Axes, x: float, y: float) -> None:
        """Show the worst answers of the category of a column."""
        self.chosen(self._ranked[min(max(round(x), 0), len(self._ranked) - 1)])

    def chosen(self, name: str) -> None:
        """Show the worst answers of a category."""
        names = self.features.categories
        mine = np.flatnonzero(self.features.y[self.rows] == names.index(name))
        right = self.predicted[mine] == names.index(name)
        mine = mine[np.lexsort((right, self.precision[mine]))]
        lines = {
            int(self.rows[i]): [
                f"precision@10 {self.precision[i]:.1f}",
                "the classifier is right" if self.predicted[i] == names.index(name)
                else f"taken for {names[self.predicted[i]]}",
            ]
            for i in mine
        }  # fmt: skip
        place = self._ranked.index(name)
        self.outline(self.axes[0], place - 0.45, -0.02, place + 0.45, 1.02)
        self.answers_text.value, self.answers.items = "", []
        self.show(f"{name}: {len(mine)} photos were asked; the worst come first.",
                  self.rows[mine], lines)  # fmt: skip

    @guarded
    def _photo_clicked(self, _: str, row: int) -> None:
        i = int(np.flatnonzero(self.rows == row)[0])
        path = str(self.features.photos.table["path"].iat[row])
        self.answers_text.value = f"<b>The answers to {escape(path)}</b>"
        self.answers.items = [self._item(int(j), []) for j in self.neighbours[i]]


class MapBrowser(FigureBrowser):
    """A map of all photos: thumbnails on hover and a lasso where jupyter-scatter is installed.

    Parameters
    ----------
    features : Features
        All photos.
    places : ndarray of float32, shape (n, 2)
        Where each photo lies, as t-SNE gives it.
    highlighted : sequence of int
        Categories to colour and to name in the figure.
    """

    def __init__(self, features: "Features", places: Floats, highlighted: Ints) -> None:
        self.places = places
        ax = embedding_map(places, features.y, features.categories, highlighted.tolist())
        super().__init__(features, ax, "Click near a point: the photos around it appear below.")
        self.choice.options = [NEITHER, *features.categories]
        self.scatter = _scatter(self)
        if self.scatter is None:
            self.say(
                "jupyter-scatter is not installed, so there is no lasso: "
                "install it with pip install 'caltech-lab[map]'. " + self.hint
            )
            return
        self.hint = (
            "Hover over a point to see its photo. Take the lasso on the left and draw around "
            "points, or choose a category: the photos appear below."
        )
        self.say(self.hint)
        self.children = [self.scatter.show(), *self.children[1:]]

    def clicked(self, ax: Axes, x: float, y: float) -> None:
        """Show the photos around a place."""
        near = np.argsort(np.hypot(*(self.places - np.array([x, y])).T), kind="stable")[:SHOWN]
        self.show("The photos around this place, the nearest first.", near)

    def chosen(self, name: str) -> None:
        """Show the photos of a category, and select them on the map."""
        rows = np.flatnonzero(self.features.y == self.features.categories.index(name))
        if self.scatter is None:
            self.show(f"The photos of {name}.", rows)
        else:
            self.scatter.selection(rows)

    @guarded
    def _hovered(self, widget: Any, content: dict[str, Any], _: Any) -> None:
        # jupyter-scatter wants all previews beforehand; they are made when they are looked at.
        if "index" not in content or content.get("preview") != "photo":
            return
        row = int(content["index"])
        category = self.features.categories[self.features.y[row]]
        preview = data_uri(self.thumbnail(row))
        widget.send({**content, "preview": preview, "properties": {"category": category}})

    @guarded
    def _selected(self, change: Any) -> None:
        rows = np.asarray(change["new"], dtype=np.int64)
        if not len(rows):
            return
        counts = np.bincount(self.features.y[rows], minlength=len(self.features.categories))
        top = np.argsort(-counts, kind="stable")[:4]
        names = ", ".join(f"{self.features.categories[c]} {counts[c]}" for c in top if counts[c])
        self.show(f"{len(rows):,} photos selected: {names}.", rows)


def _scatter(browser: MapBrowser) -> Any:
    """Return a jupyter-scatter of the map, or None where it is not installed."""
    try:
        from jscatter import Scatter
    except ImportError:
        return None
    features = browser.features
    data = pd.DataFrame(
        {
            "x": browser.places[:, 0],
            "y": browser.places[:, 1],
            "category": features.photos.table["category"].astype("category").to_numpy(),
            "photo": "",
        }
    )
    low, high = browser.places.min(axis=0), browser.places.max(axis=0)
    room = 0.08 * (high - low)
    scales = [(float(a), float(b)) for a, b in zip(low - room, high + room, strict=True)]
    scatter = Scatter(data=data, x="x", y="y", x_scale=scales[0], y_scale=scales[1],
                      color_by="category", height=520, size=4)  # fmt: skip
    scatter.legend(False)
    scatter.axes(False)
    scatter.tooltip(True, properties=["category"], preview="photo", preview_type="image",
                    preview_image_size="contain")  # fmt: skip
    scatter.widget.on_msg(browser._hovered)
    scatter.widget.observe(browser._selected, "selection")
    return scatter


def _png(figure: Any, dpi: int, colours: int | None = None) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    if colours is None:
        return buffer.getvalue()
    smaller = io.BytesIO()
    with Image.open(buffer) as picture:
        few = picture.convert("RGB").quantize(colours, Image.Quantize.MAXCOVERAGE)
    few.save(smaller, "PNG", optimize=True)
    return smaller.getvalue()
