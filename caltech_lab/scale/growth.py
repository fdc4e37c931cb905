"""Synthetic vectors for scaling experiments with more vectors than photos.

They are reflections of the real embeddings. A reflection preserves all similarities within a copy.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from sklearn.preprocessing import normalize

from caltech_lab.errors import ArgumentError, DatasetError
from caltech_lab.settings import settings
from caltech_lab.storage.files import read_json


def principal_coordinates(
    X: NDArray[np.float32], others: NDArray[np.float32], dimensions: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Project vectors on the directions that preserve most of the inner products of `X`.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings that the directions are fitted to.
    others : ndarray of float32, shape (m, d)
        Embeddings to project on the same directions.
    dimensions : int
        Number of directions, 1 to d, in descending order of their eigenvalues.

    Returns
    -------
    tuple of ndarray of float32, shapes (n, dimensions) and (m, dimensions)
        Coordinates, rows of unit length.

    Raises
    ------
    ArgumentError
        When `dimensions` is out of range.
    """
    d = X.shape[1]
    if not 1 <= dimensions <= d:
        raise ArgumentError(f"dimensions must be between 1 and {d}, not {dimensions}.")
    directions = eigh(X.T @ X, subset_by_index=(d - dimensions, d - 1))[1][:, ::-1]
    return normalize(X @ directions), normalize(others @ directions)


def grow(coordinates: NDArray[np.float32], n: int, seed: int = 0) -> NDArray[np.float32]:
    """Extend a set of vectors to n vectors by reflected copies.

    Each copy is reflected in randomly chosen principal directions, except for the first and
    strongest, which all photos share. Within a copy, all similarities are those of the real
    photos, and the second moments of the whole set do not change, so neighborhoods, spectrum and
    norms are preserved. Between copies, similarities are like those between unrelated categories.
    The result is like a dataset with n / len(coordinates) times as many categories of the same
    density.

    Parameters
    ----------
    coordinates : ndarray of float32, shape (m, d)
        From `principal_coordinates`.
    n : int
        Number of vectors, at least m.
    seed : int
        Seed of the reflections.

    Returns
    -------
    ndarray of float32, shape (n, d)
        The first m rows are the real vectors.

    Raises
    ------
    ArgumentError
        When n is smaller than m.
    """
    m, d = coordinates.shape
    if n < m:
        raise ArgumentError(f"n must be at least the number of given vectors, {m}, not {n}.")
    random = np.random.default_rng(seed)
    grown = np.empty((n, d), np.float32)
    signs = np.ones(d, np.float32)
    for start in range(0, n, m):
        part = grown[start : start + m]
        np.multiply(coordinates[: len(part)], signs, out=part)
        signs[1:] = 1 - 2 * random.integers(2, size=d - 1)
    return grown


def fitted_exponent(n: NDArray[np.float64], cost: NDArray[np.float64]) -> tuple[float, float]:
    """Fit cost = factor * n ** exponent by linear regression on the logarithms.

    Parameters
    ----------
    n, cost : ndarray of float64, shape (m,)
        Sizes and measured costs, all above zero; at least two.

    Returns
    -------
    exponent, factor : float
        Least-squares estimates.

    Examples
    --------
    >>> exponent, factor = fitted_exponent(np.array([1.0, 10.0]), np.array([3.0, 300.0]))
    >>> print(f"{factor:.1f} n^{exponent:.1f}")
    3.0 n^2.0
    """
    exponent, constant = np.polyfit(np.log(n), np.log(cost), 1)
    return float(exponent), float(np.exp(constant))


def recorded(name: str) -> Any:
    """Read the results of a benchmark from `benchmarks/results/`.

    Raises
    ------
    DatasetError
        When the results are missing, as in an installation without a checkout.
    """
    path = settings().home / "benchmarks" / "results" / f"{name}.json"
    if not path.is_file():
        raise DatasetError(f"{path} is missing: run this from a checkout of the project.")
    return read_json(path)
