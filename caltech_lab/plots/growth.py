"""A figure of how costs grow with the number of photos."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from caltech_lab.plots.palette import COLORS
from caltech_lab.plots.style import new_axes
from caltech_lab.scale.growth import fitted_exponent

MARKERS = "osD^vP*X"


def growth_curves(
    table: pd.DataFrame, label: str = "processor seconds", ax: Axes | None = None
) -> Axes:
    """Plot the cost of steps at several sizes, with the power law fitted to each.

    Parameters
    ----------
    table : DataFrame
        One row per measurement: ``step``, ``n`` (photos) and ``cost``, above zero.
    label : str
        Name of the cost, with its unit.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        Both axes are logarithmic, so that a power of n is a straight line with the exponent as
        its slope; the legend gives the exponent. Dashed lines are extrapolations.
    """
    ax = new_axes(ax, 7.5, 4.6)
    end = float(table["n"].max())
    for i, (step, rows) in enumerate(table.groupby("step", sort=False)):
        n, cost = rows["n"].to_numpy(float), rows["cost"].to_numpy(float)
        exponent, factor = fitted_exponent(n, cost)
        color, marker = COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)]
        ax.plot(n, factor * n**exponent, color=color, linewidth=1.2)
        ax.plot(n, cost, marker, color=color, markersize=5, label=f"{step}: $n^{{{exponent:.2f}}}$")
        if n.max() < end:
            further = np.array([n.max(), end])
            ax.plot(further, factor * further**exponent, "--", color=color, linewidth=1, alpha=0.6)
    ax.set(
        xscale="log", yscale="log", xlabel="photos (logarithmic)", ylabel=f"{label} (logarithmic)"
    )
    ax.legend(frameon=False, fontsize=8, bbox_to_anchor=(1.01, 1), loc="upper left")
    return ax
