"""The centers that K-Means starts from, drawn side by side.

In place of scikit-learn's `kmeans_plusplus`: the same centers, see
tests/clustering/test_clustering.py.

``X`` is a matrix of embeddings, float32 of shape (n, d) with rows of unit length.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
ROWS_AT_ONCE = 512  # of the matrix of distances


def shared_starts(
    X: NDArray[np.float32], k: int, generators: Sequence[np.random.RandomState], n_trials: int
) -> list[NDArray[np.float32]]:
    """Draw the centers that K-Means starts from, one array of shape (k, d) for each generator.

    They are those that scikit-learn's greedy k-means++ draws. It reads all photos once for every
    center of every start; here the starts go side by side, and share the reading.
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
    """Return the squared distances of some rows to all, computed in float64, shape (rows, n)."""
    some = X[rows].astype(np.float64)
    distances = np.empty((len(rows), len(X)), X.dtype)
    wide = np.empty((ROWS_AT_ONCE, X.shape[1]))  # one block, made once: fresh memory costs more
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
