"""Figures of cluster contents and dendrograms."""

from collections import Counter
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy.cluster import hierarchy

from caltech_lab.plots.palette import COLORS
from caltech_lab.plots.style import in_figure, name_ticks, new_axes

Floats = NDArray[np.float64]

SHADES = (COLORS[0], COLORS[5], COLORS[1], "0.85")
DPI = 80  # of figures with many names, to keep notebooks small; files are saved with more


def _axes(ax: Axes | None, width: float, height: float) -> Axes:
    if ax is not None:
        return ax
    ax = new_axes(None, width, height)
    ax.figure.set_dpi(DPI)
    return ax


def cluster_contents(counts: "pd.DataFrame", named: int = 3, ax: Axes | None = None) -> Axes:
    """Draw the size of each cluster and its most frequent categories.

    Parameters
    ----------
    counts : DataFrame of int
        Number of photos, with one row per cluster and one column per category.
    named : int
        Number of categories to name per cluster, at most three; the others are drawn as one.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        One bar per cluster, the largest at the top, with the names beside it.
    """
    ax = _axes(ax, 9.0, 0.7 + 0.24 * len(counts))
    ordered = counts.loc[counts.sum(axis=1).sort_values(kind="stable").index]
    rows = np.arange(len(ordered))
    ranked = -np.sort(-ordered.to_numpy(), axis=1)
    parts = np.column_stack([ranked[:, :named], ranked[:, named:].sum(axis=1)])
    left = np.zeros(len(ordered))
    ordinals = ("its most frequent category", "the second", "the third")[:named]
    labels = (*ordinals, "all the others")
    shades = (*SHADES[:named], SHADES[-1])
    for part, label, shade in zip(parts.T, labels, shades, strict=False):
        ax.barh(rows, part, left=left, color=shade, label=label, height=0.8)
        left += part
    for row, (_, photos) in enumerate(ordered.iterrows()):
        top = photos[photos > 0].nlargest(named)
        text = ", ".join(f"{in_figure(name, 25)} {count}" for name, count in top.items())
        ax.text(left[row] + 0.01 * left.max(), row, text, va="center", fontsize=8)
    name_ticks(ax.yaxis, rows, ordered.index)
    ax.grid(visible=False, axis="y")
    ax.legend(frameon=False, fontsize=8, loc="lower right")
    ax.set(
        xlabel="photos", ylabel="cluster", xlim=(0, left.max() * 1.6), ylim=(-0.6, len(rows) - 0.4)
    )
    return ax


def dendrogram(
    Z: Floats,
    names: Sequence[str],
    leaves: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a dendrogram horizontally, so that the names are readable.

    Parameters
    ----------
    Z : ndarray of float64, shape (n - 1, 4)
        A linkage matrix, such as that of `fast.linkage.linkage_matrix`.
    names : sequence of str, length n
        Name of each observation, for example the category of each photo.
    leaves : int, optional
        Number of branches to draw, those that merge last; all n by default. A branch of several
        observations is labeled with their most frequent name, its count, and their number.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        The horizontal axis is the distance at which two branches merge.
    """
    n = len(Z) + 1
    shown = n if leaves is None else min(leaves, n)
    branches = hierarchy.to_tree(Z, rd=True)[1]

    def title(branch: int) -> str:
        counts = Counter(names[leaf] for leaf in branches[branch].pre_order())
        name, count = counts.most_common(1)[0]
        name = in_figure(name)
        return name if counts.total() == 1 else f"{name} {count:,} of {counts.total():,}"

    ax = _axes(ax, 8.0, 0.8 + 0.16 * shown)
    hierarchy.dendrogram(
        Z,
        orientation="left",
        truncate_mode="lastp",
        p=shown,
        leaf_label_func=title,
        color_threshold=0,
        above_threshold_color="0.4",
        leaf_font_size=10,
        ax=ax,
    )
    for label in ax.get_yticklabels():  # the axes may be older than the fonts for these names
        label.set_fontfamily(plt.rcParams["font.family"])
    ax.grid(visible=False, axis="y")
    ax.set(xlabel="distance at which two branches merge")
    return ax
