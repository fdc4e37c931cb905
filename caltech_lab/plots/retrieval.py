"""Figures of search results: scores per category, and the growth of indexes."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from caltech_lab.plots.palette import COLORS
from caltech_lab.plots.style import STYLE, in_figure, new_axes


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


def index_growth(table: pd.DataFrame) -> Figure:
    """Plot the recall and the costs of index types over the number of vectors.

    Parameters
    ----------
    table : DataFrame
        One row per index and size: ``index``, ``vectors``, ``recall`` (0 to 1), ``query_ms``,
        ``build_s`` and ``bytes_per_vector``.

    Returns
    -------
    Figure
        Four panels over the number of vectors, with one line per index type.
    """
    labels = {
        "recall": "recall@10 against exact",
        "query_ms": "time a query (ms)",
        "build_s": "time to build (s)",
        "bytes_per_vector": "bytes a vector",
    }
    with sns.axes_style("whitegrid", STYLE):
        figure, axes = plt.subplots(2, 2, figsize=(8.5, 5.6), sharex=True, layout="constrained")
    for ax, (column, label) in zip(axes.flat, labels.items(), strict=True):
        for (name, rows), color, marker in zip(
            table.groupby("index", sort=False), COLORS, "osD^v", strict=False
        ):
            ax.plot(rows["vectors"], rows[column], marker=marker, color=color, label=name)
        ax.set(xscale="log", ylabel=label)
        if column != "recall":
            ax.set_yscale("log")
    for ax in axes[1]:
        ax.set_xlabel("vectors (logarithmic)")
    axes[0, 0].legend(frameon=False, fontsize=8)
    return figure
