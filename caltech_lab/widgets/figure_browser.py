"""Base class of all browsers: a clickable figure of `caltech_lab.plots` with photos below it.

Without a kernel, the page shows a static figure.
"""

import base64
import io
from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from ipywidgets import HTML, Dropdown, Layout
from matplotlib.axes import Axes
from numpy.typing import NDArray
from PIL import Image

from caltech_lab.embedding.images import read_photo
from caltech_lab.errors import LabError
from caltech_lab.widgets.parts import WIDE, Panel, PhotoGrid, Picture, data_uri, guarded
from caltech_lab.widgets.thumbnails import small_jpeg, thumbnail

if TYPE_CHECKING:
    from caltech_lab.embedding.embeddings import Embeddings

Ints = NDArray[np.int64]

SHOWN = 24  # photos below a figure
DPI = 100
STILL_WIDTH, STILL_COLORS = 910, 64  # pixels at most, so that notebooks stay small
NEITHER = "choose ..."


class FigureBrowser(Panel):
    """A clickable figure, a list with the same choices, and photos.

    Parameters
    ----------
    embeddings : Embeddings
        Embeddings whose photos are shown.
    axes : Axes or sequence of Axes
        Axes of one figure, which is closed.
    hint : str
        One sentence on how to use the figure.
    """

    def __init__(
        self, embeddings: "Embeddings", axes: "Axes | tuple[Axes, ...]", hint: str
    ) -> None:
        super().__init__()
        self.embeddings = embeddings
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
            Axes of one figure, which is closed.
        """
        self.axes = axes if isinstance(axes, tuple) else (axes,)
        figure = self.axes[0].get_figure(root=True)
        assert figure is not None
        figure.set_dpi(DPI)
        self._png = _png(figure, DPI)
        self._size = figure.bbox.width, figure.bbox.height
        shrink = min(1, STILL_WIDTH / self._size[0])
        self._still = _png(figure, DPI * shrink, STILL_COLORS)
        plt.close(figure)
        self.figure.alt = self.hint
        self.figure.marks = []
        self.figure.src = data_uri(self._png)

    def _repr_mimebundle_(self, **options: Any) -> Any:
        # A page without a kernel shows this image.
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
        """Handle a click, in the coordinates of the axes."""
        raise NotImplementedError

    def chosen(self, name: str) -> None:
        """Handle a choice from the list."""
        raise NotImplementedError

    def outline(self, ax: Axes, left: float, bottom: float, right: float, top: float) -> None:
        """Outline a rectangle, in the coordinates of the axes."""
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
            Description of the photos, plain text.
        rows : ndarray of int64
            Photos; the first `SHOWN` are shown.
        lines : dict, optional
            Captions of each photo.
        """
        more = f" The first {SHOWN} of {len(rows):,} are shown." if len(rows) > SHOWN else ""
        self.say(self.hint)
        self.text.value = f'<div style="line-height:1.4">{escape(sentence + more)}</div>'
        self.grid.items = [self._item(row, (lines or {}).get(row, [])) for row in
                           rows[:SHOWN].tolist()]  # fmt: skip

    def _item(self, row: int, lines: list[str]) -> dict[str, Any]:
        path = str(self.embeddings.photos.table["path"].iat[row])
        category = self.embeddings.categories[self.embeddings.y[row]]
        name = path.removeprefix(f"{category}/")
        return {
            "row": row, "title": category, "lines": [name, *lines], "path": path, "mark": "",
            "src": data_uri(self.thumbnail(row)),
        }  # fmt: skip

    def _thumbnail(self, row: int) -> bytes | None:
        file = self.embeddings.photos.file(row)
        try:
            return small_jpeg(file) or thumbnail(read_photo(file))
        except LabError:  # the card of this photo says that the file is missing
            return None


def _png(figure: Any, dpi: float, colors: int | None = None) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    if colors is None:
        return buffer.getvalue()
    smaller = io.BytesIO()
    with Image.open(buffer) as picture:
        few = picture.convert("RGB").quantize(colors, Image.Quantize.MAXCOVERAGE)
    few.save(smaller, "PNG", optimize=True)
    return smaller.getvalue()
