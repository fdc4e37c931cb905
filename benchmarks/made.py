"""Vectors for collections that are larger than the dataset: reflections of the real embeddings."""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from sklearn.preprocessing import normalize


def principal_coordinates(
    X: NDArray[np.float32], others: NDArray[np.float32], dimensions: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Project vectors on the directions that preserve most of the inner products of `X`.

    The directions are fitted to `X`, and sorted by descending eigenvalue. The rows of both results
    have unit length.
    """
    d = X.shape[1]
    directions = eigh(X.T @ X, subset_by_index=(d - dimensions, d - 1))[1][:, ::-1]
    return normalize(X @ directions), normalize(others @ directions)


def grow(coordinates: NDArray[np.float32], n: int, seed: int = 0) -> NDArray[np.float32]:
    """Extend the result of `principal_coordinates` to n vectors by reflected copies.

    Each copy is reflected in randomly chosen principal directions, except for the first and
    strongest, which all photos share. Within a copy, all similarities are those of the real
    photos, and the second moments of the whole set do not change, so neighborhoods, spectrum and
    norms are preserved. Between copies, similarities are like those between unrelated categories.
    The result is like a dataset with n / len(coordinates) times as many categories of the same
    density. The first rows are the real vectors.
    """
    m, d = coordinates.shape
    random = np.random.default_rng(seed)
    grown = np.empty((n, d), np.float32)
    signs = np.ones(d, np.float32)
    for start in range(0, n, m):
        part = grown[start : start + m]
        np.multiply(coordinates[: len(part)], signs, out=part)
        signs[1:] = 1 - 2 * random.integers(2, size=d - 1)
    return grown
