"""Calibrate cosine similarities: the probability that a result has the category of its query.

A cosine similarity is not a probability. The mapping is learned from leave-one-out searches in
the training set: how often is a result of a given similarity relevant?
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from caltech_lab.retrieval.index import Index, Similarities
from caltech_lab.storage.progress import progress

Floats = NDArray[np.float64]

FIRST = 10  # one curve for the first ten results, one for later results
LEAST, MOST = 0.005, 0.995  # a finite sample never justifies a probability of 0 or 1
GRID = np.linspace(-1, 1, 401)


def leave_one_out(
    X: NDArray[np.float32], y: NDArray[np.int64], k: int = 50
) -> tuple[Similarities, NDArray[np.bool_]]:
    """Search with each photo among all other photos, with a progress bar.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings, rows of unit length.
    y : ndarray of int64, shape (n,)
        Their categories.
    k : int
        Number of results per query; reduced to n - 1 if larger.

    Returns
    -------
    similarities : ndarray of float32, shape (n, k)
        Cosine similarities of the results, descending.
    relevant : ndarray of bool, shape (n, k)
        Whether each result has the category of its query.
    """
    index, k = Index(X), min(k, len(X) - 1)
    parts = np.array_split(np.arange(len(X)), -(-len(X) // 500))
    found = [
        index.search(X[rows], k, exclude=rows) for rows in progress(parts, desc="Leave-one-out")
    ]
    similarities = np.concatenate([part for part, _ in found])
    ids = np.concatenate([part for _, part in found])
    return similarities, y[ids] == y[:, None]


def same_category_curves(similarities: Similarities, relevant: NDArray[np.bool_]) -> Floats:
    """Learn the probability that a result of a given similarity is relevant.

    Isotonic regression assumes only that this probability does not decrease with similarity. The
    first ten results and later results get separate curves, because at the same similarity a
    top-ranked result is relevant more often than one at rank 40.

    Parameters
    ----------
    similarities, relevant : ndarray, shape (n, k)
        From `leave_one_out` on the training set only.

    Returns
    -------
    ndarray of float64, shape (2, len(GRID))
        Probabilities at the cosines of `GRID`, for the first ten results and for later results.

    References
    ----------
    B. Zadrozny, C. Elkan: Transforming classifier scores into accurate multiclass probability
    estimates. Knowledge Discovery and Data Mining, 2002.
    """
    from sklearn.isotonic import IsotonicRegression  # takes a second; a search needs none

    curves = []
    for columns in (slice(None, FIRST), slice(FIRST, None)):
        if not similarities[:, columns].size:  # a very small gallery has no later results
            columns = slice(None)
        regression = IsotonicRegression(y_min=LEAST, y_max=MOST, out_of_bounds="clip")
        regression.fit(similarities[:, columns].ravel(), relevant[:, columns].ravel())
        curves.append(regression.predict(GRID))
    return np.stack(curves)


def same_category_probability(curves: Floats, similarities: ArrayLike, ranks: ArrayLike) -> Floats:
    """Return the probability that each result has the category of its query.

    Parameters
    ----------
    curves : ndarray of float64, shape (2, len(GRID))
        From `same_category_curves`.
    similarities : array-like of float
        Cosine similarities of query and result.
    ranks : array-like of int
        Ranks of the results in the whole gallery, from 0; same shape.

    Returns
    -------
    ndarray of float64
        Between `LEAST` and `MOST`, same shape.

    Examples
    --------
    >>> curves = np.stack([np.where(GRID < 0.5, 0.2, 0.9), np.where(GRID < 0.5, 0.1, 0.8)])
    >>> same_category_probability(curves, [0.7, 0.3, 0.3], [0, 1, 30]).tolist()
    [0.9, 0.2, 0.1]
    """
    first, later = (np.interp(np.asarray(similarities), GRID, curve) for curve in curves)
    probabilities: Floats = np.where(np.asarray(ranks) < FIRST, first, later)
    return probabilities
