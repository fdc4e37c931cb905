"""Figures of search results: similarity, precision, scores per category, hubs, and indexes."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator
from numpy.typing import ArrayLike, NDArray

from caltech_lab.plots.palette import COLORS
from caltech_lab.plots.style import STYLE, in_figure, new_axes

LINES = ("-", "--", ":", "-.")


def answer_similarities(
    similarities: NDArray[np.float32], relevant: NDArray[np.bool_], ax: Axes | None = None
) -> Axes:
    """Plot the similarity of correct and wrong results to their queries.

    Parameters
    ----------
    similarities : ndarray of float32, shape (q, k)
        Cosine similarity of each result, -1 to 1.
    relevant : ndarray of bool, shape (q, k)
        Whether the result is correct.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        Two histograms with the same bins, counting results, with lines at the medians.
    """
    ax = new_axes(ax, 7.0, 3.4)
    bins = np.linspace(float(similarities.min()), float(similarities.max()), 60).tolist()
    # Line styles differ too, for color-blind readers.
    for chosen, name, color, line in (
        (relevant, "right", COLORS[0], "-"),
        (~relevant, "wrong", COLORS[4], "--"),
    ):
        values = similarities[chosen]
        if not len(values):
            continue
        median = float(np.median(values))
        ax.hist(values, bins, histtype="stepfilled", color=color, alpha=0.2)
        ax.hist(values, bins, histtype="step", color=color, linestyle=line, linewidth=1.6,
                label=f"{name} (median {median:.2f})")  # fmt: skip
        ax.axvline(median, color=color, linestyle=line, linewidth=1)
    ax.legend(title="answers", frameon=False, loc="upper left")
    ax.set(xlabel="cosine similarity of query and answer", ylabel="answers")
    return ax


def precision_at_k(
    curves: Mapping[str, ArrayLike], mark: int | None = 10, ax: Axes | None = None
) -> Axes:
    """Plot precision@k over the number of results.

    Parameters
    ----------
    curves : mapping of str to array-like of float, shape (k,)
        For each name, precision@1, precision@2 and so on, 0 to 1.
    mark : int, optional
        A k for which the precision is written beside each curve.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        One line per curve.
    """
    ax = new_axes(ax, 7.0, 3.8)
    for (name, values), color, line in zip(curves.items(), COLORS, LINES * 2, strict=False):
        curve = np.asarray(values, np.float64)
        ax.plot(np.arange(1, len(curve) + 1), curve, line, color=color, linewidth=2, label=name)
        if mark is not None and mark <= len(curve):
            ax.plot([mark], [curve[mark - 1]], "o", color=color)
            ax.annotate(f"{curve[mark - 1]:.3f}", (mark, curve[mark - 1]), xytext=(5, 5),
                        textcoords="offset points", color=color)  # fmt: skip
    ax.legend(frameon=False, loc="lower left")
    ax.set(xlabel="k, number of answers", ylabel="precision@k", ylim=(0, 1.02), xlim=(0, None))
    return ax


def scores_by_size(
    sizes: ArrayLike,
    scores: Mapping[str, ArrayLike],
    names: Sequence[str],
    named: int = 5,
    ax: Axes | None = None,
) -> Axes:
    """Plot scores of categories over their sizes.

    Parameters
    ----------
    sizes : array-like of int, shape (c,)
        Photos per category.
    scores : mapping of str to array-like of float, shape (c,)
        For each metric, the mean score of each category, 0 to 1.
    names : sequence of str
        Names of the categories.
    named : int
        Number of categories to name, those with the lowest values of the first score.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        One point per category and metric; the axis of sizes is logarithmic.
    """
    ax = new_axes(ax, 7.5, 4.2)
    photos = np.asarray(sizes)
    for (name, values), color, marker in zip(scores.items(), COLORS, "o^s", strict=False):
        ax.scatter(photos, np.asarray(values), s=22, marker=marker, color=color, alpha=0.7,
                   linewidths=0, label=name, rasterized=True)  # fmt: skip
    first = np.asarray(next(iter(scores.values())))
    lowest = np.argsort(first, kind="stable")[:named]
    # Names alternate between the two sides, so that they do not overlap.
    for place, i in enumerate(lowest):
        side = 1 if place % 2 == 0 else -1
        ax.annotate(
            in_figure(names[i]), (photos[i], first[i]), xytext=(6 * side, 0),
            textcoords="offset points", ha="left" if side > 0 else "right", va="center", fontsize=8,
            bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.5},
        )  # fmt: skip
    ax.legend(frameon=False, loc="center right")
    ax.set(xscale="log", xlabel="photos in the category (logarithmic)", ylabel="mean score",
           ylim=(0, 1.03))  # fmt: skip
    round_sizes = (5, 10, 20, 30, 50, 100, 200, 400, 800)
    ticks = [t for t in round_sizes if photos.min() <= t <= photos.max()]
    ax.set_xticks(ticks, [str(t) for t in ticks])
    ax.minorticks_off()
    return ax


def occurrences(counts: NDArray[np.int64], k: int, ax: Axes | None = None) -> Axes:
    """Plot how often each photo appears in result lists (its k-occurrence).

    Parameters
    ----------
    counts : ndarray of int64, shape (n,)
        Number of result lists, of n with `k` photos each, in which each photo appears.
    k : int
        Length of a result list, which is also the mean of `counts`.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        A histogram with logarithmic counts, and the distribution expected by chance.

    Notes
    -----
    If results were drawn at random, the counts would follow a Poisson distribution with mean `k`.
    """
    from scipy.stats import poisson

    ax = new_axes(ax, 7.0, 3.4)
    width = max(1, int(counts.max()) // 60)
    edges = np.arange(0, counts.max() + width + 1, width) - 0.5
    ax.hist(counts, edges.tolist(), color=COLORS[0], alpha=0.8, label="photos")
    chance = len(counts) * np.diff(poisson.cdf(edges, k))
    seen = chance > 0.1
    ax.plot((edges[:-1] + width / 2)[seen], chance[seen], "--", color=COLORS[4], linewidth=2,
            label="if answers were drawn by chance")  # fmt: skip
    ax.axvline(k, color="0.35", linestyle=":", linewidth=1.5, label=f"mean, {k}")
    ax.legend(frameon=False)
    ax.set(yscale="log", ylim=(0.5, None), ylabel="photos (logarithmic)",
           xlabel=f"answers of {k} that a photo appears in")  # fmt: skip
    ax.xaxis.set_major_locator(MultipleLocator(10 if counts.max() > 25 else 5))
    return ax


def index_growth(table: pd.DataFrame) -> Figure:
    """Plot the recall and the costs of index types over the number of vectors.

    Parameters
    ----------
    table : DataFrame
        One row per index and size: ``index``, ``vectors``, ``recall`` (0 to 1), ``query_ms``,
        ``build_s`` and ``bytes_per_vector``.

    Returns
    -------
    Figure
        Four panels over the number of vectors, with one line per index type.
    """
    labels = {
        "recall": "recall@10 against exact",
        "query_ms": "time a query (ms)",
        "build_s": "time to build (s)",
        "bytes_per_vector": "bytes a vector",
    }
    with sns.axes_style("whitegrid", STYLE):
        figure, axes = plt.subplots(2, 2, figsize=(8.5, 5.6), sharex=True, layout="constrained")
    for ax, (column, label) in zip(axes.flat, labels.items(), strict=True):
        for (name, rows), color, marker in zip(
            table.groupby("index", sort=False), COLORS, "osD^v", strict=False
        ):
            ax.plot(rows["vectors"], rows[column], marker=marker, color=color, label=name)
        ax.set(xscale="log", ylabel=label)
        if column != "recall":
            ax.set_yscale("log")
    for ax in axes[1]:
        ax.set_xlabel("vectors (logarithmic)")
    axes[0, 0].legend(frameon=False, fontsize=8)
    return figure
