"""Per-category scores, and how unevenly they are distributed.

Scores lie between 0 and 1 unless a docstring says otherwise.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from caltech_lab.metrics.intervals import proportion_interval
from caltech_lab.metrics.retrieval import RetrievalScores

Ints = NDArray[np.int64]


class Unevenness(NamedTuple):
    """How unevenly a score is distributed over categories."""

    gini: float
    worst_decile: float


def unevenness(values: ArrayLike) -> Unevenness:
    """Measure how unevenly a score is distributed over categories.

    Parameters
    ----------
    values : array-like of float, shape (c,)
        One non-negative score per category.

    Returns
    -------
    Unevenness
        ``gini``, the Gini coefficient: 0 when all categories score the same, close to 1 when one
        category has almost the whole sum; and ``worst_decile``, the mean score of the worst 10 %
        of the categories (at least one).

    References
    ----------
    C. Gini: Variabilità e mutabilità. Bologna, 1912.

    Examples
    --------
    >>> unevenness([0.5, 0.5])
    Unevenness(gini=0.0, worst_decile=0.5)
    >>> unevenness([0.0, 1.0])
    Unevenness(gini=0.5, worst_decile=0.0)
    """
    scores = np.sort(np.asarray(values, dtype=np.float64))
    n = len(scores)
    weights = 2 * np.arange(1, n + 1) - n - 1
    total = n * scores.sum()
    gini = float(weights @ scores / total) if total else 0.0
    return Unevenness(gini, float(scores[: -(-n // 10)].mean()))


# Categories and calibration


def category_audit(
    y: Ints,
    predicted: Ints,
    categories: Sequence[str],
    retrieval: RetrievalScores | None = None,
) -> pd.DataFrame:
    """Report accuracy, confusion and retrieval per category, the least accurate first.

    Parameters
    ----------
    y : ndarray of int64, shape (n,)
        Category of each test photo, as a position in `categories`.
    predicted : ndarray of int64, shape (n,)
        Predicted category of each test photo.
    categories : sequence of str
        Names of the categories.
    retrieval : RetrievalScores, optional
        Scores of queries, which need not be the test photos.

    Returns
    -------
    DataFrame
        One row per category that occurs in `y`, named in the index: ``n`` test photos,
        ``accuracy`` (the recall of the category), ``low`` and ``high`` (its 95% Wilson
        interval), ``confused_with`` (the most frequent wrong prediction, or missing) and
        ``confused_share`` (its share of the n photos); with `retrieval` also ``precision`` and
        ``average_precision``, means over the queries of the category.
    """
    rows = []
    for label in np.unique(y):
        counts = np.bincount(predicted[y == label], minlength=len(categories))
        right, n = int(counts[label]), int(counts.sum())
        counts[label] = 0
        wrong = int(counts.argmax())
        rows.append(
            {
                "category": categories[label],
                "n": n,
                **proportion_interval(right, n)._asdict(),
                "confused_with": categories[wrong] if right < n else None,
                "confused_share": counts[wrong] / n,
            }
        )
    audit = pd.DataFrame(rows).rename(columns={"estimate": "accuracy"}).set_index("category")
    if retrieval is not None:
        found = pd.DataFrame(
            {"precision": retrieval.precision, "average_precision": retrieval.average_precision}
        )
        names = pd.Index([categories[label] for label in retrieval.labels], name="category")
        audit = audit.join(found.groupby(names).mean())
    order = ["accuracy"] + ["average_precision"] * (retrieval is not None)
    return audit.sort_values(order, kind="stable")
