"""What all the figures share: colors that color-blind readers tell apart, and sizes."""

from typing import Any

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.axes import Axes

# Okabe and Ito's palette, in the order in which it is used.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#000000")
SEQUENTIAL = "viridis"


def new_axes(ax: Axes | None = None, width: float = 7.0, height: float = 4.0) -> Axes:
    """Return `ax`, or the axes of a new figure of that size in inches, in the series' style."""
    if ax is not None:
        return ax
    with sns.axes_style("whitegrid", STYLE):
        return plt.subplots(figsize=(width, height), layout="constrained")[1]


STYLE: dict[str, Any] = {"axes.spines.top": False, "axes.spines.right": False, "grid.color": "0.9"}
