"""A figure of search results: scores per category."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from caltech_lab.plots.palette import COLORS
from caltech_lab.plots.style import in_figure, new_axes


def scores_by_size(
    sizes: ArrayLike,
    scores: Mapping[str, ArrayLike],
    names: Sequence[str],
    named: int = 5,
    ax: Axes | None = None,
) -> Axes:
    """Plot scores of categories over their sizes.

    Parameters
    ----------
    sizes : array-like of int, shape (c,)
        Photos per category.
    scores : mapping of str to array-like of float, shape (c,)
        For each metric, the mean score of each category, 0 to 1.
    names : sequence of str
        Names of the categories.
    named : int
        Number of categories to name, those with the lowest values of the first score.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        One point per category and metric; the axis of sizes is logarithmic.
    """
    ax = new_axes(ax, 7.5, 4.2)
    photos = np.asarray(sizes)
    for (name, values), color, marker in zip(scores.items(), COLORS, "o^s", strict=False):
        ax.scatter(photos, np.asarray(values), s=22, marker=marker, color=color, alpha=0.7,
                   linewidths=0, label=name, rasterized=True)  # fmt: skip
    first = np.asarray(next(iter(scores.values())))
    lowest = np.argsort(first, kind="stable")[:named]
    # Names alternate between the two sides, so that they do not overlap.
    for place, i in enumerate(lowest):
        side = 1 if place % 2 == 0 else -1
        ax.annotate(
            in_figure(names[i]), (photos[i], first[i]), xytext=(6 * side, 0),
            textcoords="offset points", ha="left" if side > 0 else "right", va="center", fontsize=8,
            bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.5},
        )  # fmt: skip
    ax.legend(frameon=False, loc="center right")
    ax.set(xscale="log", xlabel="photos in the category (logarithmic)", ylabel="mean score",
           ylim=(0, 1.03))  # fmt: skip
    round_sizes = (5, 10, 20, 30, 50, 100, 200, 400, 800)
    ticks = [t for t in round_sizes if photos.min() <= t <= photos.max()]
    ax.set_xticks(ticks, [str(t) for t in ticks])
    ax.minorticks_off()
    return ax
