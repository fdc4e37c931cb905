"""Figure of scores under image corruptions."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from caltech_lab.plots.palette import COLORS
from caltech_lab.plots.style import STYLE

MARKERS = "osD^vP"


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
