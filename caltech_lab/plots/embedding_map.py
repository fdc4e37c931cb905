"""The map of the embeddings."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from caltech_lab.plots.palette import COLORS
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
        Categories to color and name; at most as many as there are colors.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        Photos of other categories are gray.
    """
    ax = new_axes(ax, 7.5, 6.5)
    style: dict[str, Any] = {"s": 6, "linewidths": 0, "rasterized": True}
    ax.scatter(*places.T, color="0.8", **style)
    for category, color in zip(highlighted, COLORS, strict=False):
        mine = places[y == category]
        ax.scatter(*mine.T, color=color, **style)
        x0, y0 = np.median(mine, axis=0)
        ax.annotate(
            in_figure(categories[category]), (x0, y0), ha="center", fontsize=9, color=color,
            bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 1},
        )  # fmt: skip
    ax.grid(visible=False)
    ax.set(xticks=[], yticks=[], xlabel="t-SNE 1 (no unit)", ylabel="t-SNE 2 (no unit)")
    return ax
