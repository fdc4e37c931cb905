"""PCA with the faster of two solvers.

`project` stands in place of `PCA(svd_solver="full")`: the same coordinates to 2e-5, see
tests/classification/test_classification.py. `fitted` replaces nothing: it lets scikit-learn's PCA
use the faster of its own solvers.

``X`` is a matrix of embeddings, float32 of shape (n, d) with rows of unit length.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline

Ints = NDArray[np.int64]
Estimator = TypeVar("Estimator", bound=BaseEstimator)


def project(
    pca: PCA, X: NDArray[np.float32], X_test: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Project both matrices by a PCA fitted on `X`, faster than with PCA's own solvers."""
    axes, variances = principal_axes(X)
    kept = axes[:, : n_kept(variances, pca.n_components)]
    # scikit-learn's sign convention: the largest loading of each axis is positive.
    kept = kept * np.sign(np.take_along_axis(kept, np.abs(kept).argmax(axis=0)[None], axis=0))
    mean = X.mean(axis=0)
    return (X - mean) @ kept, (X_test - mean) @ kept


def fitted(model: Estimator, X: NDArray[np.float32], y: Ints) -> Estimator:
    """Fit a classifier; if it has a PCA, with the faster solver for these photos.

    Parameters
    ----------
    model : BaseEstimator
        `svm`, `random_forest` or another classifier.
    X : ndarray of float32, shape (n, d)
        Embeddings.
    y : ndarray of int64, shape (n,)
        Their categories.

    Returns
    -------
    BaseEstimator
        The same object, fitted.
    """
    if isinstance(model, Pipeline) and "pca" in model.named_steps:
        model.set_params(pca__svd_solver=pca_solver(*X.shape))
    fit: Estimator = model.fit(X, y)
    return fit


def pca_solver(n: int, d: int) -> str:
    """Return PCA's faster solver for n rows and d columns; the components are the same."""
    return "covariance_eigh" if n > d else "full"


def principal_axes(X: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the principal axes as columns and their variances, the largest first."""
    if pca_solver(*X.shape) == "full":
        pca = PCA(svd_solver="full").fit(X)
        return pca.components_.T, pca.explained_variance_
    import torch

    # The same axes as PCA's. PyTorch needs half the time of NumPy and, unlike SciPy, can do this in
    # several threads at once.
    covariance = torch.from_numpy(np.atleast_2d(np.cov(X, rowvar=False, dtype=np.float32)))
    variances, axes = (part.numpy() for part in torch.linalg.eigh(covariance))
    return axes[:, ::-1], np.maximum(variances[::-1], 0)


def n_kept(variances: NDArray[np.float32], share: float) -> int:
    """Return the number of axes that keep this share of the variance, as in scikit-learn's PCA."""
    explained = np.cumsum(variances) / variances.sum()
    return int(np.searchsorted(explained, share, side="right")) + 1
