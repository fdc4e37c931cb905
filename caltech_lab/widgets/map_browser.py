"""An interactive map of all photos, with previews on hover and a lasso."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from caltech_lab.plots.embedding_map import embedding_map
from caltech_lab.widgets.figure_browser import NEITHER, SHOWN, FigureBrowser
from caltech_lab.widgets.parts import guarded
from caltech_lab.widgets.photo_map import PhotoMap

if TYPE_CHECKING:
    from caltech_lab.embedding.embeddings import Embeddings

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

HINT = (
    "Hover over a point to see its photo. Click a point, drag around points with Shift, or choose "
    "a category to see photos below."
)


class MapBrowser(FigureBrowser):
    """A map of all photos: a preview on hover, and the photos of a click or lasso below.

    Without a kernel, the page shows a static figure of the map.

    Parameters
    ----------
    embeddings : Embeddings
        All photos.
    places : ndarray of float32, shape (n, 2)
        Coordinates of each photo, such as from t-SNE.
    highlighted : sequence of int
        Categories to emphasize.
    """

    def __init__(self, embeddings: "Embeddings", places: Floats, highlighted: Ints) -> None:
        places, first = np.asarray(places), highlighted.tolist()
        ax = embedding_map(places, embeddings.y, embeddings.categories, first)
        super().__init__(embeddings, ax, HINT)
        self.places = places
        self.choice.options = [NEITHER, *embeddings.categories]
        self.map = PhotoMap(places, embeddings.y, embeddings.categories, first,
                            self._hovered, self._point_clicked, self._selected)  # fmt: skip
        self.children = [self.map, *self.children[1:]]

    def chosen(self, name: str) -> None:
        """Show the photos of a category, and mark them on the map."""
        rows = np.flatnonzero(self.embeddings.y == self.embeddings.categories.index(name))
        self._show(f"The photos of {name}.", rows)

    @guarded
    def _hovered(self, row: int) -> None:
        item = self._item(row, [])
        self.map.preview(row, item["src"], "\n".join([item["title"], *item["lines"]]))

    @guarded
    def _point_clicked(self, row: int) -> None:
        away = np.hypot(*(self.places - self.places[row]).T)
        away[row] = -1  # before its duplicates
        near = np.argsort(away, kind="stable")[:SHOWN]
        self._show("The photos around this point, the nearest first.", near)

    @guarded
    def _selected(self, rows: Ints) -> None:
        if not len(rows):
            self.say("There are no photos in this area: drag around some points.", wrong=True)
            return
        counts = np.bincount(self.embeddings.y[rows], minlength=len(self.embeddings.categories))
        top = np.argsort(-counts, kind="stable")[:4]
        names = ", ".join(f"{self.embeddings.categories[c]} {counts[c]}" for c in top if counts[c])
        self._show(f"{len(rows):,} photos selected: {names}.", rows)

    def _show(self, sentence: str, rows: Ints) -> None:
        self.map.shown = rows.tolist()
        self.show(sentence, rows)
