"""Figures of the evaluation: the embedding map, scores per category, and the report's claims."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
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


def score_against_size(
    sizes: NDArray[np.int64],
    scores: NDArray[np.float64],
    names: Sequence[str],
    score: str,
    n_named: int = 6,
    ax: Axes | None = None,
) -> Axes:
    """Plot a score of each category against its number of photos, naming the lowest.

    Parameters
    ----------
    sizes : ndarray of int64, shape (c,)
        Number of photos per category.
    scores : ndarray of float64, shape (c,)
        Score of each category, 0 to 1.
    names : sequence of str
        Names of the categories.
    score : str
        Name of the score on its axis.
    n_named : int
        Number of the lowest scores to name.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        The axis of sizes is logarithmic.
    """
    ax = new_axes(ax, 7.0, 4.0)
    ax.scatter(sizes, scores, s=22, color=COLORS[0], alpha=0.7, linewidths=0)
    for i in np.argsort(scores)[:n_named]:
        ax.annotate(
            in_figure(names[i]), (sizes[i], scores[i]), xytext=(5, -3),
            textcoords="offset points", fontsize=8,
        )  # fmt: skip
    ax.set(xscale="log", xlabel="photos in the category", ylabel=score, ylim=(None, 1.03))
    ax.set_xticks([], minor=True)
    ticks = [t for t in (10, 20, 30, 50, 100, 200, 400, 800) if sizes.min() * 0.7 <= t]
    ticks = [t for t in ticks if t <= sizes.max() * 1.4]
    ax.set_xticks(ticks, [str(t) for t in ticks])
    return ax


def claims_and_readings(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Plot every reading of each claim as a multiple of the reported value.

    Parameters
    ----------
    table : DataFrame
        From `original_report.readings`.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        One dot per reading; the line at one is the claim.
    """
    ax = new_axes(ax, 7.5, 3.2)
    claims = list(dict.fromkeys(table["claim"]))[::-1]
    ratio = table["measured"] / table["reported"]
    rows = table["claim"].map(claims.index)
    ax.axvline(1, color="black", linewidth=1)
    ax.scatter(ratio, rows, s=26, color=COLORS[0], alpha=0.55, linewidths=0)
    nearest = table.loc[table["off"].abs().groupby(table["claim"]).idxmin()].index
    ax.scatter(
        ratio[nearest], rows[nearest], s=70, facecolors="none", edgecolors=COLORS[4], linewidths=2
    )
    ax.set_yticks(range(len(claims)), claims)
    ax.set(xlabel="measured, as a multiple of what was reported", ylim=(-0.5, len(claims) - 0.5))
    ax.grid(visible=False, axis="y")
    return ax
