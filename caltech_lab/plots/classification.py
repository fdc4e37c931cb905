"""Figures of classifiers: decision boundaries and the confusion matrix."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin

from caltech_lab.plots.palette import COLORS, MARKERS
from caltech_lab.plots.style import in_figure, name_ticks, new_axes

NAMED = 20
"""Up to so many categories, a confusion matrix names them and writes the counts."""


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
    ax = new_axes(ax, *((1.5 + 0.5 * c, 1.0 + 0.5 * c) if few else (7.5, 6.6)))
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
    name_ticks(ax.xaxis, shown, labels, rotation=90, fontsize=8)
    name_ticks(ax.yaxis, shown, labels, fontsize=8)
    ax.grid(visible=False)
    ax.set(xlabel="predicted category", ylabel="category")
    bar = ax.figure.colorbar(image, ax=ax, label="share of the category", pad=0.02)
    ticks = np.array([0, 0.05, 0.2, 0.5, 1])
    bar.set_ticks(np.sqrt(ticks), labels=[f"{tick:g}" for tick in ticks])
    return ax
