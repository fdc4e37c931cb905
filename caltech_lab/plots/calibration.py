"""Reliability diagrams, which show whether predicted probabilities are calibrated."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes

from caltech_lab.plots.palette import COLORS
from caltech_lab.plots.style import new_axes


def reliability_diagram(tables: Mapping[str, pd.DataFrame], ax: Axes | None = None) -> Axes:
    """Plot the accuracy of predictions against their predicted probability.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        `probabilities.reliability_table` of each kind of probability, by name.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        One line per kind. Larger points stand for more predictions; points on the diagonal are
        calibrated.
    """
    ax = new_axes(ax, 5.2, 4.6)
    ax.plot([0, 1], [0, 1], "--", color="0.5", linewidth=1, label="what is said comes true")
    for (name, table), color, marker in zip(tables.items(), COLORS, "osD^", strict=False):
        filled = table[table["n"] > 0]
        ax.plot(filled["confidence"], filled["accuracy"], color=color, linewidth=1)
        sizes = 12 + 160 * filled["n"] / filled["n"].max()
        ax.scatter(filled["confidence"], filled["accuracy"], s=sizes, color=color, marker=marker,
                   alpha=0.75, linewidths=0, label=name)  # fmt: skip
    ax.legend(frameon=False, loc="upper left")
    ax.set(xlim=(0, 1), ylim=(0, 1.02), aspect="equal", xlabel="probability that was said",
           ylabel="share that is right")  # fmt: skip
    return ax
