"""SVMs trained on precomputed kernel matrices, with distances shared over a parameter grid.

In place of `SVC(kernel="rbf")`, alone and in a `GridSearchCV` over `svm`. The accuracies and the
predictions are the same, and the margins to 2e-3, because libsvm stops its iterations at 1e-3: see
tests/classification/test_classification.py and tests/classification/test_probabilities.py.

``X`` is a matrix of embeddings, float32 of shape (n, d) with rows of unit length.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from caltech_lab.fast.pca import n_kept, principal_axes, project

Ints = NDArray[np.int64]
ROWS = 500  # per matrix of kernel values


def grid_predictions(
    X: NDArray[np.float32],
    y: Ints,
    X_test: NDArray[np.float32],
    power: float,
    grid: Mapping[str, Sequence[float]],
) -> Iterator[tuple[dict[str, float], Ints]]:
    """Yield each grid point of one power and the predictions of its SVM for the test photos.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Training embeddings, already raised to the power and normalized by `PowerNormalizer`.
    y : ndarray of int64, shape (n,)
        Their categories.
    X_test : ndarray of float32, shape (m, d)
        Embeddings to predict, raised and normalized in the same way.
    power : float
        That power, only to name it in the grid points.
    grid : mapping of str to sequence of float
        Values of ``n_components``, ``C`` and ``gamma``, as for `svm`.

    Yields
    ------
    point : dict of str to float
        ``power``, ``n_components``, ``C`` and ``gamma``.
    predicted : ndarray of int64, shape (m,)
        Predicted categories of `X_test`.
    """
    axes, variances = principal_axes(X)
    for share in grid["n_components"]:
        kept = axes[:, : n_kept(variances, share)]
        A, B = X @ kept, X_test @ kept  # not centered: distances do not change
        near, far = _squared_distances(A, A), _squared_distances(B, A)
        for gamma in grid["gamma"]:
            kernel, test_kernel = _gaussian(near, gamma), _gaussian(far, gamma)
            for C in grid["C"]:
                model = SVC(C=C, kernel="precomputed", cache_size=500).fit(kernel, y)
                point = {"power": power, "n_components": share, "C": C, "gamma": gamma}
                yield point, model.predict(test_kernel)


def _squared_distances(A: NDArray[np.float32], B: NDArray[np.float32]) -> NDArray[np.float32]:
    # scikit-learn computes them in float64, which rows of at most unit length do not need.
    products = A @ B.T
    products *= -2
    products += np.einsum("ij,ij->i", A, A)[:, None]
    products += np.einsum("ij,ij->i", B, B)
    return products


def _gaussian(squared_distances: NDArray[np.float32], gamma: float) -> NDArray[np.float64]:
    return np.asarray(np.exp(-gamma * squared_distances), np.float64)


def fitted_through_kernel(
    model: Pipeline, X: NDArray[np.float32], y: Ints, X_test: NDArray[np.float32]
) -> tuple[SVC, NDArray[np.float64]]:
    """Refit the steps of an `svm`; return the SVC and the kernel matrix of the test photos.

    libsvm trains several times as fast on a precomputed kernel: otherwise it recomputes the kernel
    values of two photos of one category for every other category.

    Parameters
    ----------
    model : Pipeline
        An `svm`, which is not changed.
    X : ndarray of float32, shape (n, d)
        Training embeddings.
    y : ndarray of int64, shape (n,)
        Their categories.
    X_test : ndarray of float32, shape (m, d)
        Test embeddings.

    Returns
    -------
    svc : SVC
        Fitted on the precomputed kernel.
    kernel : ndarray of float64, shape (m, n)
        Kernel values of each test photo and each training photo, for ``svc.predict`` and
        ``svc.decision_function``.
    """
    normalizer, gamma = clone(model[0]), model[-1].gamma
    Z, Z_test = normalizer.fit_transform(X), normalizer.transform(X_test)
    A, B = project(model[1], Z, Z_test)
    svc = clone(model[-1]).set_params(kernel="precomputed")
    svc.fit(_gaussian(_squared_distances(A, A), gamma), y)
    return svc, _gaussian(_squared_distances(B, A), gamma)


def predictions(model: Pipeline, X: NDArray[np.float32]) -> NDArray[Any]:
    """Return ``model.predict(X)`` for an `svm`, with the kernel values from matrix products.

    libsvm computes them one by one, which takes several times as long for many rows.
    """
    svc = copy(model[-1])
    svc.kernel, svc.n_features_in_ = "precomputed", svc.shape_fit_[0]
    found = []
    for start in range(0, len(X), ROWS):
        rows = model[:-1].transform(X[start : start + ROWS])
        kernel = np.zeros((len(rows), svc.n_features_in_))
        kernel[:, svc.support_] = rbf_kernel(rows, svc.support_vectors_, svc.gamma)
        found.append(svc.predict(kernel))
    return np.concatenate(found)
