"""Figures of the results of the retrieval demo, and of unfamiliar queries."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from caltech_lab.plots.palette import COLORS
from caltech_lab.plots.style import in_figure, name_ticks, new_axes


def similar_photos(
    similarities: ArrayLike, categories: Sequence[str], wanted: str, ax: Axes | None = None
) -> Axes:
    """Plot the similarity and the category of each result of a query, without the photos.

    Parameters
    ----------
    similarities : array-like of float, shape (k,)
        Cosine similarities, the best first.
    categories : sequence of str
        Category of each result.
    wanted : str
        Category of the query.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        One bar per result; those of other categories are hatched.
    """
    values = np.asarray(similarities)
    ax = new_axes(ax, 6.5, 0.8 + 0.26 * len(values))
    places = np.arange(len(values))
    right = np.array([category == wanted for category in categories])
    for chosen, color, hatch, name in (
        (right, COLORS[0], "", f"as the query: {in_figure(wanted)}"),
        (~right, COLORS[1], "///", "another category"),
    ):
        if chosen.any():
            ax.barh(places[chosen], values[chosen], height=0.75, color=color, hatch=hatch,
                    edgecolor="white", label=name)  # fmt: skip
    names = [f"{place + 1}. {category}" for place, category in enumerate(categories)]
    name_ticks(ax.yaxis, places, names)
    ax.invert_yaxis()
    ax.grid(visible=False, axis="y")
    ax.set(xlim=(0, 1), xlabel="cosine similarity to the query")
    ax.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return ax


def similarity_by_change(groups: Mapping[str, ArrayLike], ax: Axes | None = None) -> Axes:
    """Plot the similarity of the best result, for the same photos changed in several ways.

    Parameters
    ----------
    groups : mapping of str to array-like of float
        For each change, the cosine similarities of the best results.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        One box per change: median, quartiles, and whiskers from the 5th to the 95th percentile.
    """
    ax = new_axes(ax, 6.5, 0.9 + 0.42 * len(groups))
    ax.boxplot(
        [np.asarray(values) for values in groups.values()], vert=False, whis=(5, 95), widths=0.6,
        showfliers=False, patch_artist=True,
        boxprops={"facecolor": COLORS[5], "edgecolor": "0.3"},
        medianprops={"color": "black", "linewidth": 1.8},
        whiskerprops={"color": "0.3"}, capprops={"color": "0.3"},
    )  # fmt: skip
    name_ticks(ax.yaxis, range(1, len(groups) + 1), groups)
    ax.invert_yaxis()
    ax.grid(visible=False, axis="y")
    ax.set(xlabel="cosine similarity of the best answer")
    return ax


def known_and_unknown(
    known: ArrayLike, unknown: ArrayLike, threshold: float, ax: Axes | None = None
) -> Axes:
    """Plot the best similarity of queries whose category is in the gallery, and of others.

    Parameters
    ----------
    known, unknown : array-like of float
        Cosine similarity of the best result of each query.
    threshold : float
        A similarity below which a query could be rejected as unfamiliar.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        Two histograms, each normalized to area one, and the threshold as a line.
    """
    ax = new_axes(ax, 7.0, 3.4)
    first, second = np.asarray(known), np.asarray(unknown)
    bins = np.linspace(min(first.min(), second.min()), 1, 50).tolist()
    # Line styles differ too, for color-blind readers.
    for values, name, color, line in (
        (first, "in the gallery", COLORS[0], "-"),
        (second, "left out of it", COLORS[4], "--"),
    ):
        ax.hist(values, bins, density=True, histtype="stepfilled", color=color, alpha=0.2)
        ax.hist(values, bins, density=True, histtype="step", color=color, linestyle=line,
                linewidth=1.6, label=name)  # fmt: skip
    ax.axvline(threshold, color="0.2", linestyle=":", linewidth=1.4)
    ax.annotate(f"{threshold:.2f}", (threshold, 1), xycoords=("data", "axes fraction"),
                xytext=(3, -10), textcoords="offset points", color="0.2")  # fmt: skip
    ax.legend(title="the query's category is", frameon=False, loc="upper right")
    ax.set(xlabel="cosine similarity of the best answer", ylabel="density of queries")
    return ax
