"""Figures of per-class performance, robustness and doubtful labels."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import ScalarFormatter
from numpy.typing import ArrayLike

from caltech_lab.plots.palette import COLORS
from caltech_lab.plots.style import STYLE, new_axes

MARKERS = "osD^vP"


def scores_by_size(
    sizes: ArrayLike, scores: Mapping[str, ArrayLike], ax: Axes | None = None
) -> Axes:
    """Plot scores of categories against their size, with the mean of each quarter.

    Parameters
    ----------
    sizes : array-like of int, shape (c,)
        Photos per category.
    scores : mapping of str to array-like of float, shape (c,)
        Scores by name, 0 to 1.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        One dot per category and score; the steps are means over a quarter of the categories, from
        the smallest to the largest.
    """
    ax = new_axes(ax, 7.5, 4.2)
    photos = np.asarray(sizes)
    order = np.argsort(photos, kind="stable")
    for (name, values), color, marker in zip(scores.items(), COLORS, MARKERS, strict=False):
        y = np.asarray(values, dtype=float)
        ax.scatter(photos, y, s=16, color=color, marker=marker, alpha=0.45, linewidths=0)
        for number, part in enumerate(np.array_split(order, min(4, len(order)))):
            ends = photos[part].min() * 0.97, photos[part].max() * 1.03
            label = name if number == 0 else None
            ax.plot(ends, [np.nanmean(y[part])] * 2, color=color, linewidth=3, label=label)
    ax.set(xscale="log", xlabel="photos in the category", ylabel="score", ylim=(None, 1.03))
    ax.xaxis.set_major_formatter(ScalarFormatter())
    ax.set_xticks([], minor=True)
    ticks = [t for t in (10, 20, 30, 50, 100, 200, 400, 800)
             if photos.min() * 0.8 <= t <= photos.max() * 1.2]  # fmt: skip
    ax.set_xticks(ticks, [str(t) for t in ticks])
    ax.legend(frameon=False, loc="lower right")
    return ax


def paired_changes(table: pd.DataFrame, ax: Axes | None = None, unit: str = "change") -> Axes:
    """Plot changes with their intervals.

    Parameters
    ----------
    table : DataFrame
        One row per change (its name is the index): ``estimate``, ``low`` and ``high``; with a
        column ``group``, rows of a group share a color.
    ax : Axes, optional
        Where to draw; a new figure by default.
    unit : str
        Label of the horizontal axis.

    Returns
    -------
    Axes
        The first row is at the top; the line at zero means no change.
    """
    ax = new_axes(ax, 7.5, 0.9 + 0.34 * len(table))
    group = table["group"] if "group" in table else pd.Series("", index=table.index)
    names = list(dict.fromkeys(group))
    y = np.arange(len(table))[::-1]
    ax.axvline(0, color="black", linewidth=1)
    for number, name in enumerate(names):
        mine = (group == name).to_numpy()
        part, height = table[mine], y[mine]
        away = np.abs(part[["low", "high"]].to_numpy().T - part["estimate"].to_numpy())
        ax.errorbar(part["estimate"], height, xerr=away, fmt=MARKERS[number % 6], capsize=3,
                    color=COLORS[number], label=name or None)  # fmt: skip
    ax.set_yticks(y, [str(name) for name in table.index])
    ax.grid(visible=False, axis="y")
    ax.set(xlabel=unit, ylim=(-0.6, len(table) - 0.4))
    if len(names) > 1:
        ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return ax


def corruption_curves(
    tables: Mapping[str, pd.DataFrame], scores: Sequence[str], names: Sequence[str]
) -> list[Axes]:
    """Plot scores under image corruptions, one column of panels per corruption.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        `robustness.evaluate_corruptions` of each kind of vector, by name.
    scores : sequence of str
        Columns of the tables, with one row of panels each.
    names : sequence of str
        Names of the scores in the figure.

    Returns
    -------
    list of Axes
        Strength 0 is the clean photo.
    """
    first = next(iter(tables.values()))
    kinds = [kind for kind in dict.fromkeys(first["corruption"]) if kind != "none"]
    with sns.axes_style("whitegrid", STYLE):
        _, axes = plt.subplots(
            len(scores), len(kinds), figsize=(1.9 * len(kinds), 0.6 + 1.9 * len(scores)),
            sharex=True, sharey="row", layout="constrained", squeeze=False,
        )  # fmt: skip
    for (vectors, table), color, marker in zip(tables.items(), COLORS, MARKERS, strict=False):
        for column, kind in enumerate(kinds):
            mine = table[table["corruption"].isin(["none", kind])]
            for row, score in enumerate(scores):
                axes[row, column].plot(mine["strength"], mine[score], color=color, marker=marker,
                                       markersize=4, label=vectors)  # fmt: skip
    for column, kind in enumerate(kinds):
        axes[0, column].set_title(kind, fontsize=10)
        axes[-1, column].set(xlabel="strength", xticks=range(4))
    for ax, name in zip(axes[:, 0], names, strict=True):
        ax.set(ylabel=name, ylim=(0, 1.03))
    if len(tables) > 1:
        axes[0, 0].legend(frameon=False, fontsize=8, loc="lower left")
    return list(axes.flat)


def doubtful_labels(table: pd.DataFrame, decisions: Sequence[str], ax: Axes | None = None) -> Axes:
    """Plot photos with doubtful labels: the probability of the label, and of another one.

    Parameters
    ----------
    table : DataFrame
        From `label_errors.label_issues`.
    decisions : sequence of str
        The decision about each photo; empty if there is none.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        The most doubtful photos are at the upper left.
    """
    ax = new_axes(ax, 7.5, 4.2)
    styles = {"": "undecided", "keep": "keep", "relabel": "relabel", "drop": "drop"}
    decided = np.asarray(decisions, dtype=object)
    for (decision, name), color, marker in zip(styles.items(), COLORS, MARKERS, strict=False):
        mine = table[decided == decision]
        if len(mine):
            ax.scatter(mine["p_category"], mine["p_suggested"], s=24, color=color, alpha=0.7,
                       marker=marker, linewidths=0, label=f"{name}: {len(mine)}")  # fmt: skip
    ax.plot([0, 0.5, 1], [1, 0.5, 0], "--", color="0.6", linewidth=1)
    ax.set(xlabel="probability of the label", ylabel="probability of the suggestion",
           xlim=(-0.01, max(0.5, table["p_category"].max() * 1.1 if len(table) else 0)),
           ylim=(0, 1.02))  # fmt: skip
    if len(table):
        ax.legend(frameon=False, loc="upper right")
    return ax
