"""The map of the embeddings."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from caltech_lab.plots.palette import COLORS, MARKERS
from caltech_lab.plots.style import in_figure, new_axes


def embedding_map(
    places: NDArray[np.float32],
    y: NDArray[np.int64],
    categories: Sequence[str],
    highlighted: Sequence[int],
    ax: Axes | None = None,
) -> Axes:
    """Draw a two-dimensional map of all photos, with a few categories named.

    Parameters
    ----------
    places : ndarray of float32, shape (n, 2)
        Coordinates of each photo, from t-SNE; the axes have no unit.
    y : ndarray of int64, shape (n,)
        Category of each photo.
    categories : sequence of str
        Names of the categories.
    highlighted : sequence of int
        Categories to color and name; at most as many as there are markers.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        Photos of other categories are gray.
    """
    ax = new_axes(ax, 8.5, 6.5)
    ax.scatter(places[:, 0], places[:, 1], color="0.8", s=6, linewidths=0, rasterized=True)
    points, names = [], []  # two long names may look the same
    for category, color, marker in zip(highlighted, COLORS, MARKERS, strict=False):
        mine = places[y == category]
        points.append(ax.scatter(
            mine[:, 0], mine[:, 1], s=16, marker=marker, color=color, linewidths=0, rasterized=True
        ))  # fmt: skip
        names.append(in_figure(categories[category]))
    # Beside the map, where no name hides a photo or another name. Passed explicitly, because
    # labels that start with an underscore are otherwise left out.
    ax.legend(points, names, loc="upper left", bbox_to_anchor=(1, 1), frameon=False,
              markerscale=1.5)  # fmt: skip
    ax.grid(visible=False)
    ax.set(xticks=[], yticks=[], xlabel="t-SNE 1 (no unit)", ylabel="t-SNE 2 (no unit)")
    return ax
