"""An interactive map of all photos, with thumbnails on hover and a lasso."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from caltech_lab.plots.evaluation import embedding_map
from caltech_lab.widgets.figure_browser import NEITHER, SHOWN, FigureBrowser
from caltech_lab.widgets.parts import data_uri, guarded

if TYPE_CHECKING:
    from caltech_lab.embedding.embeddings import Embeddings

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

# One transparent pixel, because an empty preview would keep showing the previous photo.
NO_PHOTO = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


class MapBrowser(FigureBrowser):
    """A map of all photos: thumbnails on hover and a lasso where jupyter-scatter is installed.

    Parameters
    ----------
    features : Embeddings
        All photos.
    places : ndarray of float32, shape (n, 2)
        Coordinates of each photo, such as from t-SNE.
    highlighted : sequence of int
        Categories to color and label in the figure.
    """

    def __init__(self, features: "Embeddings", places: Floats, highlighted: Ints) -> None:
        self.places = places
        ax = embedding_map(places, features.y, features.categories, highlighted.tolist())
        super().__init__(features, ax, "Click near a point to see the photos around it below.")
        self.choice.options = [NEITHER, *features.categories]
        self.scatter = _scatter(self)
        if self.scatter is None:
            self.say(
                "jupyter-scatter is not installed, so there is no lasso: "
                "install it with pip install 'caltech-lab[map]'. " + self.hint
            )
            return
        self.hint = (
            "Hover over a point to see its photo. Draw around points with the lasso on the left, "
            "or choose a category, to see the photos below."
        )
        self.say(self.hint)
        self.children = [self.scatter.show(), *self.children[1:]]

    def clicked(self, ax: Axes, x: float, y: float) -> None:
        """Show the photos around the clicked point."""
        near = np.argsort(np.hypot(*(self.places - np.array([x, y])).T), kind="stable")[:SHOWN]
        self.show("The photos around this point, the nearest first.", near)

    def chosen(self, name: str) -> None:
        """Show the photos of a category, and select them on the map."""
        rows = np.flatnonzero(self.features.y == self.features.categories.index(name))
        if self.scatter is None:
            self.show(f"The photos of {name}.", rows)
        else:
            self.scatter.selection(rows)

    @guarded
    def _hovered(self, change: Any) -> None:
        # jupyter-scatter expects all previews beforehand, but they are computed on hover. It
        # requests one after half a second of hovering and reads it from the table. If the request
        # came first, the message below answers it; otherwise the message is ignored.
        if change["new"] is None:
            return
        row, scatter = int(change["new"]), change["owner"]
        preview = data_uri(self.thumbnail(row)) or NO_PHOTO
        scatter.data.iat[row, scatter.data.columns.get_loc("photo")] = preview
        category = self.features.categories[self.features.y[row]]
        answer = {"type": "tooltip", "index": row, "properties": {"category": category}}
        scatter.send({**answer, "preview": preview})

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
    """Return a jupyter-scatter plot of the map, or None if it is not installed."""
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
            "photo": NO_PHOTO,
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
    scatter.widget.observe(browser._hovered, "hovering")
    scatter.widget.observe(browser._selected, "selection")
    return scatter
