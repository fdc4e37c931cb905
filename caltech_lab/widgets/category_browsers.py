"""Browsers for a confusion matrix, and for categories by accuracy, precision or size."""

from html import escape
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from ipywidgets import HTML, Box, Dropdown, Layout, Select
from matplotlib.axes import Axes
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from caltech_lab.classification.comparison import confused_pairs
from caltech_lab.errors import LabError
from caltech_lab.plots.classification import confusion_heatmap
from caltech_lab.plots.overviews import category_profile
from caltech_lab.widgets.figure_browser import NEITHER, FigureBrowser
from caltech_lab.widgets.parts import WIDE, PhotoGrid, guarded

if TYPE_CHECKING:
    from caltech_lab.embedding.embeddings import Embeddings

Ints = NDArray[np.int64]


class ConfusionBrowser(FigureBrowser):
    """A confusion matrix whose cells show their photos.

    Parameters
    ----------
    embeddings : Embeddings
        All photos.
    rows : ndarray of int64, shape (m,)
        Photos that the classifier was tested on.
    probabilities : ndarray of float64, shape (m, number of categories)
        Predicted probabilities, in the order of ``embeddings.categories``.
    predicted : ndarray of int64, shape (m,), optional
        Predicted categories, if they are not always the most probable ones.
    """

    def __init__(
        self,
        embeddings: "Embeddings",
        rows: Ints,
        probabilities: NDArray[np.float64],
        predicted: Ints | None = None,
    ) -> None:
        names = embeddings.categories
        self.rows, self.probabilities = rows, probabilities
        self.predicted = probabilities.argmax(axis=1) if predicted is None else predicted
        self.matrix = confusion_matrix(
            embeddings.y[rows], self.predicted, labels=np.arange(len(names))
        )
        _, ax = plt.subplots(figsize=(10.5, 9), layout="constrained")
        confusion_heatmap(self.matrix, names, ax=ax)
        super().__init__(
            embeddings,
            ax,
            "Click a cell to see its photos and their predicted probabilities below.",
        )
        pairs = confused_pairs(embeddings.y[rows], self.predicted, names)
        self._pairs = {
            f"{a} predicted as {b}: {n}": (names.index(a), names.index(b))
            for a, b, n in pairs[["category", "taken_for", "mistakes"]].to_numpy()
        }
        self.choice.options = [NEITHER, *self._pairs]

    def clicked(self, ax: Axes, x: float, y: float) -> None:
        """Show the photos of the nearest cell that has any."""
        full = np.argwhere(self.matrix > 0)
        away = np.hypot(full[:, 1] - x, full[:, 0] - y)
        near = int(away.argmin())
        if away[near] > 2.5:
            raise LabError("There are no photos near this place: click a colored cell.")
        self._show_cell(*full[near].tolist())

    def chosen(self, name: str) -> None:
        """Show the photos of a frequent error."""
        self._show_cell(*self._pairs[name])

    def _show_cell(self, category: int, prediction: int) -> None:
        names = self.embeddings.categories
        here = (self.embeddings.y[self.rows] == category) & (self.predicted == prediction)
        rows, p = self.rows[here], self.probabilities[here]
        best = np.argsort(-p, axis=1, kind="stable")[:, :3]
        lines = {
            int(row): [f"{names[c]} {100 * p[i, c]:.0f} %" for c in best[i]]
            for i, row in enumerate(rows)
        }
        verdict = "correctly " if category == prediction else ""
        self.outline(
            self.axes[0], prediction - 0.5, category - 0.5, prediction + 0.5, category + 0.5
        )
        total = int(self.matrix[category].sum())
        self.show(
            f"{len(rows)} of the {total} photos of {names[category]} are {verdict}predicted as "
            f"{names[prediction]}; each is shown with its three most probable categories.",
            rows, lines,
        )  # fmt: skip


class CategoryBrowser(FigureBrowser):
    """Categories by accuracy, precision or size, and their worst queries.

    Parameters
    ----------
    embeddings : Embeddings
        All photos.
    table : DataFrame
        One row per category (its name is the index): ``accuracy``, ``precision@10``, ``photos``.
    rows : ndarray of int64, shape (m,)
        The queries.
    precision : ndarray of float64, shape (m,)
        precision@10 of each query.
    predicted : ndarray of int64, shape (m,)
        Predicted category of each query.
    neighbors : ndarray of int64, shape (m, k)
        Results of each query, as rows of `embeddings`.
    """

    def __init__(
        self,
        embeddings: "Embeddings",
        table: pd.DataFrame,
        rows: Ints,
        precision: NDArray[np.float64],
        predicted: Ints,
        neighbors: Ints,
    ) -> None:
        self.table = table[["accuracy", "precision@10", "photos"]]
        self.rows, self.precision, self.predicted = rows, precision, predicted
        self.neighbors = neighbors
        self.order = Dropdown(
            options=list(self.table.columns), description="sort by", layout=Layout(width="auto")
        )
        self.list = Select(options=[NEITHER], rows=8, layout=Layout(width="100%"))
        self.list.add_class("cl-table")
        self._ranked: list[str] = []
        super().__init__(
            embeddings, self._profile(), "Click a column or a line of the list to see the queries "
            "of that category below, the worst first. Click a photo to see its ten results."
        )  # fmt: skip
        self.grid = PhotoGrid([("results", "Show its results", "")], self._photo_clicked, 124)
        self.results_text, self.results = HTML(layout=WIDE), PhotoGrid(tile=124)
        self.order.observe(self._sorted, "value")
        self.list.observe(self._listed, "value")
        row = Layout(flex_flow="row wrap", width="100%")
        self.children = [
            Box([self.order], layout=row), self.figure, self.list, self.status,
            self.text, self.grid, self.results_text, self.results,
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
        """Show the queries of the category of a column."""
        self.chosen(self._ranked[min(max(round(x), 0), len(self._ranked) - 1)])

    def chosen(self, name: str) -> None:
        """Show the queries of a category, the worst first."""
        names = self.embeddings.categories
        mine = np.flatnonzero(self.embeddings.y[self.rows] == names.index(name))
        right = self.predicted[mine] == names.index(name)
        mine = mine[np.lexsort((right, self.precision[mine]))]
        lines = {
            int(self.rows[i]): [
                f"precision@10 {self.precision[i]:.1f}",
                "correctly predicted" if self.predicted[i] == names.index(name)
                else f"predicted as {names[self.predicted[i]]}",
            ]
            for i in mine
        }  # fmt: skip
        place = self._ranked.index(name)
        self.outline(self.axes[0], place - 0.45, -0.02, place + 0.45, 1.02)
        self.results_text.value, self.results.items = "", []
        self.show(f"{name}: {len(mine)} queries, the worst first.",
                  self.rows[mine], lines)  # fmt: skip

    @guarded
    def _photo_clicked(self, _: str, row: int) -> None:
        i = int(np.flatnonzero(self.rows == row)[0])
        path = str(self.embeddings.photos.table["path"].iat[row])
        self.results_text.value = f"<b>Results for {escape(path)}</b>"
        self.results.items = [self._item(int(j), []) for j in self.neighbors[i]]
