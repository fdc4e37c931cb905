"""Out-of-distribution detection: queries that are unlike the photos of the gallery.

The score of a query is the mean cosine similarity of its `NEIGHBORS` nearest neighbors. The
threshold is a low quantile of the leave-one-out scores of the training set.
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from caltech_lab.retrieval.calibration import leave_one_out
from caltech_lab.retrieval.index import Index, Similarities

NEIGHBORS = 3
FALSE_ALARMS = 0.05


def familiarity(similarities: ArrayLike) -> NDArray[np.float64]:
    """Score queries by the similarity of their nearest neighbors.

    Parameters
    ----------
    similarities : array-like of float, shape (..., k)
        Cosine similarities of the results of each query, descending.

    Returns
    -------
    ndarray of float64, shape (...)
        Mean of the first `NEIGHBORS`, or of all if there are fewer; low means unfamiliar.

    References
    ----------
    Y. Sun, Y. Ming, X. Zhu, Y. Li: Out-of-distribution detection with deep nearest neighbors.
    International Conference on Machine Learning, 2022.
    """
    scores: NDArray[np.float64] = np.asarray(similarities)[..., :NEIGHBORS].mean(
        axis=-1, dtype=np.float64
    )
    return scores


def novelty_threshold(similarities: Similarities, false_alarms: float = FALSE_ALARMS) -> float:
    """Choose the familiarity below which a query is flagged as out-of-distribution.

    Parameters
    ----------
    similarities : ndarray of float32, shape (n, k)
        From `calibration.leave_one_out` on the training set only.
    false_alarms : float
        Share of the training photos that may be flagged, between 0 and 1.

    Returns
    -------
    float
        A mean cosine similarity.
    """
    return float(np.quantile(familiarity(similarities), false_alarms))


def half_left_out(
    X: NDArray[np.float32],
    y: NDArray[np.int64],
    X_test: NDArray[np.float32],
    y_test: NDArray[np.int64],
    seed: int = 0,
    draws: int = 3,
) -> pd.DataFrame:
    """Measure false alarms and misses with half of the categories left out of the gallery.

    Per draw, each half of the categories is left out once, so that every category is known once and
    unknown once. The threshold is chosen for each gallery separately.

    Parameters
    ----------
    X, y : ndarray, shapes (n, d) and (n,)
        Embeddings and categories of the training set: the full gallery.
    X_test, y_test : ndarray, shapes (m, d) and (m,)
        Held-out queries.
    seed : int
        Seed of the draws.
    draws : int
        Number of random halvings of the categories.

    Returns
    -------
    DataFrame
        One row per gallery: ``draw``, ``threshold``, ``false_alarms`` (share of the queries of
        known categories below the threshold), ``misses`` (share of the queries of unknown
        categories not below it), and ``auc`` (ROC AUC of known against unknown).
    """
    from sklearn.metrics import roc_auc_score

    categories = np.unique(y)
    rows = []
    for draw in range(draws):
        shuffled = np.random.default_rng((seed, draw)).permutation(categories)
        for known in np.array_split(shuffled, 2):
            inside, familiar = np.isin(y, known), np.isin(y_test, known)
            threshold = novelty_threshold(
                leave_one_out(X[inside], y[inside], NEIGHBORS)[0], FALSE_ALARMS
            )
            k = min(NEIGHBORS, int(inside.sum()))
            scores = familiarity(Index(X[inside]).search(X_test, k)[0])
            rows.append(
                {
                    "draw": draw,
                    "threshold": threshold,
                    "false_alarms": float((scores[familiar] < threshold).mean()),
                    "misses": float((scores[~familiar] >= threshold).mean()),
                    "auc": float(roc_auc_score(familiar, scores)),
                }
            )
    return pd.DataFrame(rows)
