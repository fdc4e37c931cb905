"""A figure of the score after each improvement of the vectors."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from caltech_lab.plots.palette import COLORS
from caltech_lab.plots.style import new_axes

MARKERS = "os^D"


def steps(table: pd.DataFrame, unit: str = "precision@10", ax: Axes | None = None) -> Axes:
    """Plot the score after each step with its interval, one series per average.

    Parameters
    ----------
    table : DataFrame
        One row per step and average: ``step``, ``average`` (such as "over photos"), ``estimate``,
        ``low`` and ``high``; steps in their order, each with every average.
    unit : str
        Label of the horizontal axis.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        The first step is at the top.
    """
    names = list(dict.fromkeys(table["step"]))
    ax = new_axes(ax, 7.5, 1.0 + 0.36 * len(names))
    ax.figure.set_dpi(80)
    y = np.arange(len(names))[::-1]
    for number, (average, part) in enumerate(table.groupby("average", sort=False)):
        away = np.abs(part[["low", "high"]].to_numpy().T - part["estimate"].to_numpy())
        ax.errorbar(part["estimate"], y - 0.16 * number, xerr=away, fmt=MARKERS[number % 4],
                    markersize=5, capsize=3, color=COLORS[number], label=str(average))  # fmt: skip
    ax.set_yticks(y, names)
    ax.grid(visible=False, axis="y")
    ax.set(xlabel=unit, ylim=(-0.6, len(names) - 0.4))
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return ax
