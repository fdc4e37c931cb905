"""Figures of classifiers: decision boundaries, tuning, comparisons and errors."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin

from caltech_lab.plots.palette import COLORS, SEQUENTIAL
from caltech_lab.plots.style import in_figure, name_ticks, new_axes

NAMED = 20
"""Up to so many categories, a confusion matrix names them and writes the counts."""
MARKERS = ("o", "s", "^", "D", "v", "P")


def decision_boundaries(
    models: Mapping[tuple[str, float, float], ClassifierMixin],
    X: NDArray[np.floating[Any]],
    y: NDArray[np.int64],
    categories: Sequence[str],
    columns: int = 3,
) -> list[Axes]:
    """Draw the decision regions of each SVM in the plane.

    Parameters
    ----------
    models : mapping of (kernel, C, gamma) to classifier
        Fitted on two columns and two categories.
    X : ndarray of float, shape (n, 2)
        The photos to show.
    y : ndarray of int64, shape (n,)
        Their categories, as indices into `categories`.
    categories : sequence of str
        Names of the categories.
    columns : int
        Panels per row.

    Returns
    -------
    list of Axes
        One panel per model: photos as points over the shaded decision regions.
    """
    rows = -(-len(models) // columns)
    _, panels = plt.subplots(
        rows, columns, figsize=(3.1 * columns, 2.8 * rows), layout="constrained", squeeze=False
    )
    low, high = X.min(axis=0), X.max(axis=0)
    margin = 0.08 * (high - low)
    across, up = np.meshgrid(*np.linspace(low - margin, high + margin, 150).T)
    pair = np.unique(y)
    for ax, ((kernel, C, gamma), model) in zip(panels.flat, models.items(), strict=False):
        says = model.predict(np.column_stack([across.ravel(), up.ravel()]))
        sides = (says == pair[1]).reshape(across.shape)
        ax.pcolormesh(
            across, up, sides, cmap=ListedColormap(COLORS[:2]), vmin=0, vmax=1, alpha=0.25,
            linewidth=0, rasterized=True,
        )  # fmt: skip
        for number, label in enumerate(pair):
            points = X[y == label]
            ax.scatter(
                points[:, 0], points[:, 1], s=12, marker=MARKERS[number], color=COLORS[number],
                edgecolors="white", linewidths=0.3, rasterized=True,
            )  # fmt: skip
        width = f", gamma {gamma:g}" if kernel == "rbf" else ""
        ax.set_title(f"{kernel}, C {C:g}{width}", fontsize=10)
        ax.set(xlabel="component 1", ylabel="component 2", xticks=[], yticks=[])
    # Passed explicitly, because labels that start with an underscore are otherwise left out.
    named = [in_figure(categories[label]) for label in pair]
    panels.flat[0].legend(panels.flat[0].collections[-len(pair) :], named, fontsize=8)
    return list(panels.flat)


def tuning_heatmap(table: pd.DataFrame, score: str = "accuracy", ax: Axes | None = None) -> Axes:
    """Draw the grid of `tuning.tune_svm` as a heat map.

    Parameters
    ----------
    table : DataFrame
        One row per grid point, with the columns ``power``, ``n_components``, ``C``, ``gamma`` and
        `score`.
    score : str
        The column to show.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        One cell per grid point; the best is framed.
    """
    grid = table.pivot_table(index=["power", "n_components"], columns=["gamma", "C"], values=score)
    ax = new_axes(ax, 1.8 + 1.2 * grid.shape[1], 1.2 + 0.55 * grid.shape[0])
    values = grid.to_numpy()
    image = ax.imshow(values, cmap=SEQUENTIAL, aspect="auto")
    middle = (values.min() + values.max()) / 2
    for (row, column), value in np.ndenumerate(values):
        shade = "black" if value > middle else "white"
        ax.text(column, row, f"{value:.3f}", ha="center", va="center", color=shade)
    row, column = np.unravel_index(values.argmax(), values.shape)
    frame = Rectangle(
        (column - 0.47, row - 0.47), 0.94, 0.94, fill=False, edgecolor=COLORS[4], linewidth=2.5
    )
    ax.add_patch(frame)
    ax.set_xticks(
        range(grid.shape[1]), [f"gamma {x[0]:g}\nC {x[1]:g}" for x in grid.columns.to_list()]
    )
    ax.set_yticks(range(grid.shape[0]), [f"power {p:g}, {s:.0%}" for p, s in grid.index])
    ax.grid(visible=False)
    ax.set(ylabel="power, share of variance")
    ax.figure.colorbar(image, ax=ax, label=score.replace("_", " "), pad=0.02)
    return ax


def score_curves(
    curves: Mapping[str, "pd.Series[float]"],
    xlabel: str,
    ylabel: str = "accuracy",
    ax: Axes | None = None,
) -> Axes:
    """Plot scores over an amount, on a logarithmic axis with the amounts as its ticks.

    Parameters
    ----------
    curves : mapping of str to Series
        Scores indexed by the amount; at most six curves, with the same amounts.
    xlabel, ylabel : str
        Names of the amount and of the score.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        One line per curve, each with a different marker.
    """
    ax = new_axes(ax, 7.0, 3.6)
    ticks: list[float] = []
    for number, (name, curve) in enumerate(curves.items()):
        ax.plot(
            curve.index, curve.to_numpy(), marker=MARKERS[number], color=COLORS[number], label=name
        )
        ticks = sorted({*ticks, *curve.index})
    if len(curves) > 1:
        ax.legend(frameon=False)
    ax.set(xscale="log", xlabel=xlabel, ylabel=ylabel)
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    return ax


def split_scores(tables: Mapping[str, pd.DataFrame], ax: Axes | None = None) -> Axes:
    """Plot accuracy and macro accuracy of classifiers on several splits.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        Table of `comparison.repeated_splits` by classifier, for the same splits.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        One point per split and a bar at the mean; the two scores of a classifier are side by side.
    """
    ax = new_axes(ax, 7.0, 3.8)
    scores = {"accuracy": "over photos", "macro_accuracy": "mean over categories"}
    for place, table in enumerate(tables.values()):
        for number, (score, title) in enumerate(scores.items()):
            x, values = place + 0.46 * number - 0.26, table[score]
            color = COLORS[number]
            ax.hlines(values.mean(), x - 0.12, x + 0.12, color=color, linewidth=2)
            spread = x + np.linspace(-0.07, 0.07, len(values))
            ax.scatter(
                spread, values, s=26, color=color, marker=MARKERS[number], alpha=0.7, linewidths=0,
                label=title if place == 0 else None,
            )  # fmt: skip
            ax.annotate(f"{values.mean():.3f}", (x + 0.13, values.mean()), va="center", fontsize=9)
    ax.set_xticks(range(len(tables)), list(tables))
    ax.grid(visible=False, axis="x")
    ax.legend(frameon=False)
    ax.set(ylabel="accuracy", xlim=(-0.5, len(tables) - 0.4))
    return ax


def confusion_heatmap(
    matrix: NDArray[np.int64],
    names: Sequence[str],
    sizes: ArrayLike | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a confusion matrix, with each row as shares of its category.

    Parameters
    ----------
    matrix : ndarray of int, shape (c, c)
        Number of photos by true category (row) and predicted category (column).
    names : sequence of str
        Names of the categories. Up to `NAMED` categories are all named, with the counts in the
        cells; of more, only some are named.
    sizes : array-like of int, shape (c,), optional
        Photos per category, if the matrix is a part of a larger one; the sums of its rows by
        default.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        Darker cells contain a larger share of their row.
    """
    c = len(names)
    few = c <= NAMED
    ax = new_axes(ax, *((1.5 + 0.5 * c, 1.0 + 0.5 * c) if few else (6.5, 5.6)))
    totals = matrix.sum(axis=1) if sizes is None else np.asarray(sizes)
    shares = matrix / np.maximum(totals, 1)[:, None]
    # The square root makes even a single error visible.
    image = ax.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    if few:
        for (row, column), n in np.ndenumerate(matrix):
            if n:
                shade = "white" if shares[row, column] > 0.4 else "black"
                ax.text(column, row, str(n), ha="center", va="center", fontsize=8, color=shade)
    shown = np.arange(c) if few else np.linspace(0, c - 1, 21).round().astype(int)
    labels = [names[i] for i in shown]
    name_ticks(ax.xaxis, shown, labels, rotation=90, fontsize=8 if few else 7)
    name_ticks(ax.yaxis, shown, labels, fontsize=8 if few else 7)
    ax.grid(visible=False)
    ax.set(xlabel="taken for", ylabel="category")
    bar = ax.figure.colorbar(image, ax=ax, label="share of the category", pad=0.02)
    ticks = np.array([0, 0.05, 0.2, 0.5, 1])
    bar.set_ticks(np.sqrt(ticks), labels=[f"{tick:g}" for tick in ticks])
    return ax


def accuracy_by_size(audit: pd.DataFrame, named: int = 5, ax: Axes | None = None) -> Axes:
    """Plot the accuracy of each category over its number of test photos.

    Parameters
    ----------
    audit : DataFrame
        From `categories.category_audit`, the worst category first.
    named : int
        Number of the worst categories to name.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        One point per category, with a logarithmic axis of sizes.
    """
    ax = new_axes(ax, 7.0, 4.0)
    ax.scatter(
        audit["n"], audit["accuracy"], s=26, alpha=0.5, color=COLORS[0], linewidths=0,
        rasterized=True,
    )  # fmt: skip
    worst = audit[audit["accuracy"] < 1].head(named)
    worst = worst.assign(name=[in_figure(name, 25) for name in worst.index])
    # Names of smaller categories are on the left, so that they do not overlap with their neighbors.
    left = worst["n"] < worst["n"].median()
    for (n, accuracy, on_left), group in worst.groupby(["n", "accuracy", left]):
        side, align = (-7, "right") if on_left else (7, "left")
        ax.annotate(
            ", ".join(group["name"]), (n, accuracy), xytext=(side, 0), textcoords="offset points",
            ha=align, va="center", fontsize=8, color="0.25",
        )  # fmt: skip
    sizes = np.unique(np.geomspace(audit["n"].min(), audit["n"].max(), 6).round().astype(int))
    ax.set(
        xscale="log", xlabel="test photos of the category (logarithmic)", ylabel="accuracy",
        xlim=(sizes[0] / 2.2, sizes[-1] * 1.3),
    )  # fmt: skip
    ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
    ax.minorticks_off()
    return ax


def selection_gap(claimed: ArrayLike, honest: ArrayLike, ax: Axes | None = None) -> Axes:
    """Compare the score that a choice was based on with the score of that choice on other photos.

    Parameters
    ----------
    claimed, honest : array-like of float, shape (m,)
        One pair per repetition.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        Two histograms, with their means as lines.
    """
    ax = new_axes(ax, 7.0, 3.2)
    both = np.concatenate([np.asarray(claimed), np.asarray(honest)])
    bins = np.linspace(both.min(), both.max(), 25).tolist()
    for values, name, color, line in (
        (honest, "on other photos", COLORS[0], "-"),
        (claimed, "on the photos it was chosen by", COLORS[4], "--"),
    ):
        mean = float(np.asarray(values).mean())
        ax.hist(values, bins, color=color, alpha=0.4, label=f"{name} (mean {mean:.3f})")
        ax.axvline(mean, color=color, linestyle=line)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)
    ax.set(xlabel="accuracy of the chosen setting", ylabel="repetitions")
    return ax
