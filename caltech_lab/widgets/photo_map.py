"""An interactive map of photos, with colors for categories and names for regions."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets
from numpy.typing import NDArray
from skimage import measure, segmentation

from caltech_lab.errors import shown_name
from caltech_lab.plots.palette import COLORS
from caltech_lab.widgets.parts import WIDE

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

HUES = COLORS[:-1]  # without black, which is invisible on a dark page
SHADES = (0.0, -0.3, 0.35)  # toward black, and toward white
LEAST = 3  # photos of a region with a name
HERE = Path(__file__).parent
SCRIPT, STYLE, MODULE = HERE / "photo_map.js", HERE / "photo_map.css", HERE / "map_browser.js"


class PhotoMap(anywidget.AnyWidget):
    """A map of photos with previews on hover, a legend and a lasso.

    Parameters
    ----------
    places : ndarray of float32, shape (n, 2)
        Coordinates of each photo, in any unit.
    y : ndarray of int64, shape (n,)
        Category of each photo.
    categories : sequence of str
        Names of the categories.
    first : sequence of int
        Categories to emphasize while no photos are shown.
    hovered, clicked : callable
        Called with the row of a photo whose preview is needed, or that was clicked.
    selected : callable
        Called with the rows inside a lasso.

    Attributes
    ----------
    shown : list of int
        Photos to mark on the map.
    """

    _esm = SCRIPT.read_text(encoding="utf-8") + (HERE / "map_browser.js").read_text(
        encoding="utf-8"
    )
    _css = STYLE
    points = traitlets.Bytes().tag(sync=True)  # float32
    labels = traitlets.Bytes().tag(sync=True)  # int32
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    colors = traitlets.List(traitlets.Unicode()).tag(sync=True)
    regions = traitlets.List(traitlets.Tuple()).tag(sync=True)
    first = traitlets.List(traitlets.Int()).tag(sync=True)
    shown = traitlets.List(traitlets.Int()).tag(sync=True)

    def __init__(
        self,
        places: Floats,
        y: Ints,
        categories: Sequence[str],
        first: Sequence[int],
        hovered: Callable[[int], None],
        clicked: Callable[[int], None],
        selected: Callable[[Ints], None],
    ) -> None:
        places, names = unit_square(places), [shown_name(name) for name in categories]
        super().__init__(
            points=places.tobytes(),
            labels=y.astype(np.int32).tobytes(),
            names=names,
            colors=colors(len(names)),
            regions=regions(places, np.asarray(names)[y]),
            first=[*first],
            layout=WIDE,
        )
        self._n = len(places)
        self._callbacks: dict[str, Callable[..., None]] = {
            "hover": lambda rows: hovered(rows[0]),
            "click": lambda rows: clicked(rows[0]),
            "select": lambda rows: selected(np.asarray(rows, np.int64)),
        }
        self.on_msg(self._received)

    def preview(self, row: int, src: str, caption: str) -> None:
        """Show the photo of a row at its point: a data URI, or an empty text if there is none."""
        self.send({"kind": "preview", "row": row, "src": src, "caption": caption})

    def _received(self, _: Any, content: dict[str, Any], __: Any) -> None:
        callback = self._callbacks.get(str(content.get("kind")))
        rows = [int(row) for row in content.get("rows", [])]
        if callback and all(0 <= row < self._n for row in rows):
            callback(rows)


def unit_square(flat: NDArray[Any]) -> Floats:
    """Move and scale coordinates into the unit square, keeping their aspect ratio."""
    low, high = flat.min(axis=0), flat.max(axis=0)
    extent = float((high - low).max()) or 1.0
    return np.asarray((flat - (low + high) / 2) / extent + 0.5, dtype=np.float32).clip(0, 1)


def colors(n: int) -> list[str]:
    """Return a color for each of n categories, which depends only on the category's index.

    The seven hues of the palette are repeated in three shades, so every 21st color is the same.

    Examples
    --------
    >>> colors(2)
    ['#0072b2', '#e69f00']
    """
    return [_shade(HUES[i % len(HUES)], SHADES[i // len(HUES) % len(SHADES)]) for i in range(n)]


def _shade(color: str, toward: float) -> str:
    """Return a color that is darker (below 0) or lighter (above 0)."""
    goal, part = (255, toward) if toward > 0 else (0, -toward)
    channels = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(c + part * (goal - c)):02x}" for c in channels)


def regions(
    places: Floats, names: "Sequence[str] | NDArray[np.str_]", most: int = 100
) -> list[tuple[float, float, str]]:
    """Find the dense regions of a map, and name each after the majority of its photos.

    The density of the photos, smoothed on a grid, is divided into its hills by a watershed.

    Parameters
    ----------
    places : ndarray of float32, shape (n, 2)
        Coordinates of each photo, from 0 to 1.
    names : sequence of str
        Name of each photo's category or cluster; empty for none.
    most : int
        Maximum number of regions. The page shows as many of them as fit.

    Returns
    -------
    list of tuple
        x, y and name of each region in which more than half of the photos have the same name, the
        largest first. A name can occur more than once.
    """
    from scipy.ndimage import gaussian_filter  # takes half a second; a page shows results before it

    side = int(np.clip(2 * np.sqrt(len(places)), 6, 300))
    cells = tuple(np.clip((places * side).astype(np.int64), 0, side - 1).T)
    counts = np.zeros((side, side))
    np.add.at(counts, cells, 1)
    density = gaussian_filter(counts, 1.0, mode="constant")
    hills = segmentation.watershed(-density, mask=density > 0.02)
    known, codes = np.unique(np.asarray(names, dtype=np.str_), return_inverse=True)
    majority = [0]  # of each hill: a name's code plus one, or zero for none
    for mine in _members(hills[cells], hills.max() + 1)[1:]:
        sizes = np.bincount(codes[mine], minlength=len(known))
        majority.append(int(sizes.argmax()) + 1 if 2 * sizes.max() > len(mine) else 0)
    # Neighboring hills with the same name are one region.
    named = np.array(majority)[hills]
    found = []
    for mine in _members(measure.label(named, background=0)[cells])[1:]:
        mine = mine[codes[mine] == named[cells][mine] - 1]
        name = str(known[codes[mine[0]]]) if len(mine) >= LEAST else ""
        if name:
            x, y = np.median(places[mine], axis=0)
            found.append((len(mine), float(x), float(y), name))
    found.sort(key=lambda region: (-region[0], region[1:]))
    return [region[1:] for region in found[:most]]


def _members(groups: NDArray[np.int64], least: int = 0) -> list[NDArray[np.int64]]:
    """Return the rows of each group, from group 0 on, for at least so many groups."""
    order = np.argsort(groups, kind="stable")
    return np.split(order, np.cumsum(np.bincount(groups, minlength=least))[:-1])
