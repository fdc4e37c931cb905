"""The main results on one page."""

from typing import Any

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from caltech_lab.plots.palette import COLORS
from caltech_lab.plots.style import STYLE, in_figure


def performance_summary(report: dict[str, Any]) -> Figure:
    """Plot the main results of a final report.

    Parameters
    ----------
    report : dict
        A final report; see `final_report.schema`.

    Returns
    -------
    Figure
        Three panels: classification, retrieval and clustering.
    """
    with sns.axes_style("whitegrid", STYLE):
        figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
    classifiers = report["classification"]
    retrieval = report["retrieval"]
    clusters = report["clustering"]
    n_compared = len(clusters["best_k50"]["compared"])
    _bars(
        left,
        "Classification: accuracy, five splits",
        {
            "SVM": [classifiers["svm"]["accuracy"], classifiers["svm"]["macro_accuracy"]],
            "random forest": [
                classifiers["random_forest"]["accuracy"],
                classifiers["random_forest"]["macro_accuracy"],
            ],
        },
        ("micro average", "macro average"),
    )
    _bars(
        middle,
        "Retrieval: precision@10",
        {
            name.replace("_", "-"): [
                retrieval[name]["precision_at_10"],
                retrieval[name]["precision_at_10_macro"],
            ]
            for name in ("leave_one_out", "held_out")
        },
        ("micro average", "macro average"),
    )
    _bars(
        right,
        "Clustering: agreement with categories",
        {
            label: [clusters[name]["nmi"], clusters[name]["ari"]]
            for label, name in (
                ("K-Means\nk = 20", "kmeans_k20"),
                ("Ward\nk = 50", "hierarchical_k50"),
                (f"best of {n_compared}\nk = 50", "best_k50"),
            )
        },
        ("NMI", "ARI"),
    )
    figure.suptitle(
        f"{in_figure(report['subset'])}: {report['n_photos']:,} photos, "
        f"{report['n_categories']} categories, {report['backbone']}"
    )
    return figure


def _bars(ax: Axes, title: str, groups: dict[str, list[float]], legend: tuple[str, str]) -> None:
    for i, (name, color) in enumerate(zip(legend, COLORS, strict=False)):
        places = [x + (i - 0.5) * 0.38 for x in range(len(groups))]
        heights = [values[i] for values in groups.values()]
        bars = ax.bar(places, heights, width=0.36, color=color, label=name)
        ax.bar_label(bars, fmt="%.3f", fontsize=8, padding=2)
    ax.set_xticks(range(len(groups)), list(groups))
    ax.grid(visible=False, axis="x")
    ax.set(title=title, ylim=(0, 1.25), yticks=[0, 0.2, 0.4, 0.6, 0.8, 1])
    ax.legend(loc="upper right", ncols=2, fontsize=8, frameon=False)
