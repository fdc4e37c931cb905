"""How probable is it that an answer has the category of its query? Cosines made into probabilities.

A cosine similarity ranks answers and is no probability. What it is worth is learned from the
training part: each of its photos asks all the others, and we count how often an answer of a given
similarity is right.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.isotonic import IsotonicRegression

from caltech_lab.retrieval.index import Index, Similarities
from caltech_lab.storage.progress import progress

Floats = NDArray[np.float64]

FIRST = 10  # the first ten answers and the later ones get a curve each
LEAST, MOST = 0.005, 0.995  # no count of finitely many answers makes certain
GRID = np.linspace(-1, 1, 401)


def leave_one_out(
    X: NDArray[np.float32], y: NDArray[np.int64], k: int = 50
) -> tuple[Similarities, NDArray[np.bool_]]:
    """Let every photo ask all the others, with a progress bar.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings, rows of length one.
    y : ndarray of int64, shape (n,)
        Their categories.
    k : int
        Number of answers; one less than the photos at most.

    Returns
    -------
    similarities : ndarray of float32, shape (n, k)
        Cosine similarities of the answers, the best first.
    relevant : ndarray of bool, shape (n, k)
        Whether an answer has the category of its query.
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
    """Learn how often an answer of a given similarity is right.

    Isotonic regression takes nothing for granted but that a more similar answer is no less often
    right. The first ten answers and the later ones are learned apart: of two photos with the same
    similarity, the one that is first in a poor answer is right more often than the one that is
    fortieth in a rich one.

    Parameters
    ----------
    similarities, relevant : ndarray, shape (n, k)
        From `leave_one_out` on the training part, and on nothing else.

    Returns
    -------
    ndarray of float64, shape (2, len(GRID))
        Probabilities at the cosines of `GRID`, for the first ten answers and for later ones.

    References
    ----------
    B. Zadrozny, C. Elkan: Transforming classifier scores into accurate multiclass probability
    estimates. Knowledge Discovery and Data Mining, 2002.
    """
    curves = []
    for columns in (slice(None, FIRST), slice(FIRST, None)):
        if not similarities[:, columns].size:  # a gallery of a dozen photos has no later answers
            columns = slice(None)
        regression = IsotonicRegression(y_min=LEAST, y_max=MOST, out_of_bounds="clip")
        regression.fit(similarities[:, columns].ravel(), relevant[:, columns].ravel())
        curves.append(regression.predict(GRID))
    return np.stack(curves)


def same_category_probability(curves: Floats, similarities: ArrayLike, ranks: ArrayLike) -> Floats:
    """Return how probable it is that answers have the category of their query.

    Parameters
    ----------
    curves : ndarray of float64, shape (2, len(GRID))
        From `same_category_curves`.
    similarities : array-like of float
        Cosine similarities of query and answer.
    ranks : array-like of int
        Places of the answers in the ranking of the whole gallery, from 0; of the same shape.

    Returns
    -------
    ndarray of float64
        Between `LEAST` and `MOST`, of the same shape.

    Examples
    --------
    >>> curves = np.stack([np.where(GRID < 0.5, 0.2, 0.9), np.where(GRID < 0.5, 0.1, 0.8)])
    >>> same_category_probability(curves, [0.7, 0.3, 0.3], [0, 1, 30]).tolist()
    [0.9, 0.2, 0.1]
    """
    first, later = (np.interp(np.asarray(similarities), GRID, curve) for curve in curves)
    probabilities: Floats = np.where(np.asarray(ranks) < FIRST, first, later)
    return probabilities
