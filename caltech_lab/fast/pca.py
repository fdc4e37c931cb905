"""PCA by the faster of two solvers.

In place of `PCA(svd_solver="full")`: the same components, see
tests/classification/test_classification.py.

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
    """Return what a PCA fitted on `X` makes of both, sooner than by its own solvers."""
    axes, variances = principal_axes(X)
    kept = axes[:, : n_kept(variances, pca.n_components)]
    # The signs are those of scikit-learn: the largest loading of each axis is positive.
    kept = kept * np.sign(np.take_along_axis(kept, np.abs(kept).argmax(axis=0)[None], axis=0))
    mean = X.mean(axis=0)
    return (X - mean) @ kept, (X_test - mean) @ kept


def fitted(model: Estimator, X: NDArray[np.float32], y: Ints) -> Estimator:
    """Fit a classifier, with the faster of the solvers for these photos where it has a PCA.

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
    """Name the faster of PCA's solvers for n rows of d numbers; the components are the same."""
    return "covariance_eigh" if n > d else "full"


def principal_axes(X: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the axes of PCA as columns, and the variance along each, the largest first."""
    if pca_solver(*X.shape) == "full":
        pca = PCA(svd_solver="full").fit(X)
        return pca.components_.T, pca.explained_variance_
    import torch

    # The same axes as PCA's. PyTorch finds them in half the time that NumPy takes, and threads
    # may do so side by side, which SciPy does not let them.
    covariance = torch.from_numpy(np.atleast_2d(np.cov(X, rowvar=False, dtype=np.float32)))
    variances, axes = (part.numpy() for part in torch.linalg.eigh(covariance))
    return axes[:, ::-1], np.maximum(variances[::-1], 0)


def n_kept(variances: NDArray[np.float32], share: float) -> int:
    """Return how many axes keep that share of the variance, counted as scikit-learn's PCA does."""
    explained = np.cumsum(variances) / variances.sum()
    return int(np.searchsorted(explained, share, side="right")) + 1
