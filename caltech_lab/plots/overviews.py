"""Static versions of the interactive browsers, shown at the start and without a kernel."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from caltech_lab.plots.clustering import cluster_contents
from caltech_lab.plots.palette import COLORS, MARKERS
from caltech_lab.plots.style import name_ticks, new_axes


def clusters_and_contents(
    places: NDArray[np.float32], clusters: NDArray[np.int64], counts: pd.DataFrame
) -> tuple[Axes, Axes]:
    """Plot photos as points in the plane, numbered by cluster, beside the cluster contents.

    Parameters
    ----------
    places : ndarray of float32, shape (n, 2)
        Coordinates of each photo, from `cluster_portraits.cluster_plane`.
    clusters : ndarray of int64, shape (n,)
        The cluster of each photo.
    counts : DataFrame of int
        As in `plots.clustering.cluster_contents`.

    Returns
    -------
    tuple of Axes
        The plane and the bars.
    """
    _, (plane, bars) = plt.subplots(
        1, 2, figsize=(13, 1.2 + 0.27 * max(len(counts), 14)), layout="constrained"
    )
    for number, cluster in enumerate(counts.index):
        mine = places[clusters == cluster]
        color, marker = COLORS[number % 7], MARKERS[number // 7 % len(MARKERS)]
        plane.scatter(*mine.T, s=7, color=color, marker=marker, linewidths=0, rasterized=True)
    for cluster in counts.index:
        x, y = np.median(places[clusters == cluster], axis=0)
        plane.text(x, y, str(cluster), fontsize=10, weight="bold", ha="center", va="center",
                   bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1})  # fmt: skip
    plane.grid(visible=False)
    plane.set(xticks=[], yticks=[], aspect="equal",
              xlabel="photos by cluster; similar clusters are neighbors (no unit)")  # fmt: skip
    cluster_contents(counts, ax=bars)
    return plane, bars


def category_profile(
    table: pd.DataFrame, scores: Sequence[str], order: str, ax: Axes | None = None
) -> Axes:
    """Plot scores of all categories, sorted by one column.

    Parameters
    ----------
    table : DataFrame
        One row per category, with the columns of `scores` (0 to 1) and of `order`.
    scores : sequence of str
        Columns to plot.
    order : str
        Column to sort by, the lowest value first.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        One column of points per category.
    """
    ax = new_axes(ax, 13.0, 4.2)
    ranked = table.sort_values(order, kind="stable")
    x = np.arange(len(ranked))
    for score, color, marker in zip(scores, COLORS, MARKERS, strict=False):
        ax.plot(x, ranked[score], marker, color=color, markersize=4.5, label=score)
    name_ticks(ax.xaxis, x, ranked.index, 25, rotation=90, fontsize=7 if len(x) > 40 else 11)
    ax.set(xlim=(-0.8, len(x) - 0.2), ylim=(-0.03, 1.03), ylabel="score",
           xlabel=f"categories by {order}, the lowest first")  # fmt: skip
    ax.legend(frameon=False, ncols=len(scores), loc="lower right", bbox_to_anchor=(1, 1))
    return ax
