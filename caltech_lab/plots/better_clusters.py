"""Figures that compare clusterings, and numbers of clusters."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from caltech_lab.plots.palette import COLORS
from caltech_lab.plots.style import new_axes

DPI = 80
CRITERIA = {
    "inertia": ("elbow", "inertia (squared distance)"),
    "silhouette": ("silhouette", "mean silhouette"),
    "gap": ("gap", "gap (log of inertia)"),
    "stability": ("stability", "ARI between two samples"),
}


def score_against_score(
    table: pd.DataFrame,
    x: str,
    y: str,
    labels: tuple[str, str] | None = None,
    highlight: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Plot two scores of several clusterings against each other, naming each clustering.

    Parameters
    ----------
    table : DataFrame
        One row per clustering, with its name in the index.
    x, y : str
        Columns of `table`.
    labels : tuple of str, optional
        Labels of the axes; the names of the columns by default.
    highlight : str, optional
        Row to draw in another color.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        One point per clustering; if higher is better for both scores, the best are at the upper
        right.
    """
    if ax is None:
        ax = new_axes(None, 7.0, 4.2)
        ax.figure.set_dpi(DPI)
    ordered = table.sort_values(y)
    colors = [COLORS[4] if name == highlight else COLORS[0] for name in ordered.index]
    ax.scatter(ordered[x], ordered[y], c=colors, s=36, zorder=3)
    middle = (ordered[x].min() + ordered[x].max()) / 2
    gap = 0.055 * (ordered[y].max() - ordered[y].min())
    last = {True: -np.inf, False: -np.inf}  # height of the last name on the left and on the right
    for (name, row), color in zip(ordered.iterrows(), colors, strict=True):
        right = bool(row[x] > middle)  # names stay inside the axes
        last[right] = max(row[y], last[right] + gap)  # and do not overlap
        ax.text(
            row[x],
            last[right],
            f"{name}   " if right else f"   {name}",
            fontsize=8,
            color=color,
            ha="right" if right else "left",
            va="center",
        )
    ax.set(xlabel=labels[0] if labels else x, ylabel=labels[1] if labels else y)
    ax.margins(x=0.12, y=0.12)
    return ax


def numbers_of_clusters(
    table: pd.DataFrame, best: Mapping[str, int], axes: Sequence[Axes] | None = None
) -> list[Axes]:
    """Plot four criteria over the number of clusters, marking the number that each one selects.

    Parameters
    ----------
    table : DataFrame
        From `number_of_clusters.cluster_number_table`.
    best : mapping of str to int
        From `number_of_clusters.best_numbers`.
    axes : sequence of Axes, optional
        Four of them; a new figure by default.

    Returns
    -------
    list of Axes
        Inertia, silhouette, gap statistic with its error, and stability; logarithmic in k.
    """
    if axes is None:
        _, grid = plt.subplots(2, 2, figsize=(8.5, 5.4), layout="constrained", dpi=DPI)
        axes = list(grid.flat)
        for ax in axes:
            ax.spines[["top", "right"]].set_visible(False)
            ax.grid(color="0.9")
            ax.set_axisbelow(True)
    for ax, (column, (name, ylabel)) in zip(axes, CRITERIA.items(), strict=True):
        errors = table["gap_error"] if column == "gap" else None
        ax.errorbar(table.index, table[column], errors, marker="o", color=COLORS[0], capsize=3)
        ax.axvline(best[name], color=COLORS[4], linestyle="--")
        ax.set_xscale("log")
        ax.set_xticks(list(table.index), [str(k) for k in table.index], fontsize=7)
        ax.minorticks_off()
        ax.set(xlabel="number of clusters k", ylabel=ylabel, title=f"{name}: {best[name]}")
    return list(axes)
