"""Initial centers for several K-Means runs at once.

In place of scikit-learn's `kmeans_plusplus`: the same centers, so that K-Means finds the same
clusters, see tests/clustering/test_clustering.py.

``X`` is a matrix of embeddings, float32 of shape (n, d) with rows of unit length.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
ROWS_AT_ONCE = 512  # of the distance matrix


def shared_starts(
    X: NDArray[np.float32], k: int, generators: Sequence[np.random.RandomState], n_trials: int
) -> list[NDArray[np.float32]]:
    """Draw the initial centers of several runs of K-Means.

    They are the centers of scikit-learn's greedy k-means++, which reads all photos once per center
    and run. Here the runs advance together and share each pass over the photos.

    Parameters
    ----------
    X : ndarray of float32 or float64, shape (n, d)
        Embeddings.
    k : int
        Number of centers, 1 to n.
    generators : sequence of RandomState
        One per run.
    n_trials : int
        Number of candidates drawn for each center, of which the best is kept.

    Returns
    -------
    list of ndarray, shape (k, d)
        The centers of each run, which are rows of `X`.

    References
    ----------
    D. Arthur, S. Vassilvitskii: k-means++: the advantages of careful seeding. Symposium on Discrete
    Algorithms, 2007.
    """
    n, ones = len(X), np.ones(len(X), X.dtype)
    squares = np.einsum("ij,ij->i", X, X, dtype=np.float64)
    chosen = np.empty((len(generators), k), np.int64)
    luck = np.empty((len(generators), k - 1, n_trials))
    for start, random in enumerate(generators):
        chosen[start, 0] = random.choice(n, p=ones / n)
        luck[start] = random.uniform(size=luck[start].shape)
    nearest = _squared_distances(X, chosen[:, 0], squares)
    potentials = nearest @ ones
    for step in range(1, k):
        ends = [
            np.searchsorted(np.cumsum(near), luck[start, step - 1] * potentials[start])
            for start, near in enumerate(nearest)
        ]
        candidates = np.minimum(np.stack(ends), n - 1)
        distances = _squared_distances(X, candidates.ravel(), squares)
        distances = distances.reshape(*candidates.shape, n)
        for start, near in enumerate(distances):
            np.minimum(near, nearest[start], out=near)
            left = near @ ones
            best = left.argmin()
            chosen[start, step] = candidates[start, best]
            potentials[start], nearest[start] = left[best], near[best]
    return [X[rows] for rows in chosen]


def _squared_distances(X: NDArray[np.float32], rows: Ints, squares: Floats) -> NDArray[np.float32]:
    """Return squared distances from some rows to all rows, shape (rows, n), via float64."""
    some = X[rows].astype(np.float64)
    distances = np.empty((len(rows), len(X)), X.dtype)
    wide = np.empty((ROWS_AT_ONCE, X.shape[1]))  # reused, because new memory costs time
    for start in range(0, len(X), ROWS_AT_ONCE):
        part = slice(start, min(start + ROWS_AT_ONCE, len(X)))
        block = wide[: part.stop - start]
        block[:] = X[part]
        products = some @ block.T
        products *= -2
        products += squares[rows, None]
        products += squares[part]
        distances[:, part] = products
    return np.maximum(distances, 0, out=distances)
