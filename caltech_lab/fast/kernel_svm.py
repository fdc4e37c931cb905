"""SVMs that share their distances and learn from a matrix of kernel values.

In place of `SVC(kernel="rbf")` in a `GridSearchCV` over `svm`: the same accuracies, see
tests/classification/test_classification.py.

``X`` is a matrix of embeddings, float32 of shape (n, d) with rows of unit length.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from caltech_lab.fast.pca import n_kept, principal_axes, project

Ints = NDArray[np.int64]


def grid_predictions(
    X: NDArray[np.float32],
    y: Ints,
    X_test: NDArray[np.float32],
    power: float,
    grid: Mapping[str, Sequence[float]],
) -> Iterator[tuple[dict[str, float], Ints]]:
    """Yield each point of the grid with one power, and what its SVM says of the test photos.

    `X` and `X_test` have been raised to that power.
    """
    axes, variances = principal_axes(X)
    for share in grid["n_components"]:
        kept = axes[:, : n_kept(variances, share)]
        A, B = X @ kept, X_test @ kept  # not centered: distances do not ask where zero is
        near, far = _squared_distances(A, A), _squared_distances(B, A)
        for gamma in grid["gamma"]:
            kernel, test_kernel = _gaussian(near, gamma), _gaussian(far, gamma)
            for C in grid["C"]:
                model = SVC(C=C, kernel="precomputed", cache_size=500).fit(kernel, y)
                point = {"power": power, "n_components": share, "C": C, "gamma": gamma}
                yield point, model.predict(test_kernel)


def _squared_distances(A: NDArray[np.float32], B: NDArray[np.float32]) -> NDArray[np.float32]:
    # scikit-learn's would go by way of float64; rows no longer than one do not need it.
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
    """Fit the steps of an `svm` anew; return the machine and the test photos' kernel for it.

    From a matrix of kernel values libsvm learns several times as fast: by itself it computes those
    of two photos of one category anew for each other category.
    """
    normalizer, gamma = clone(model[0]), model[-1].gamma
    Z, Z_test = normalizer.fit_transform(X), normalizer.transform(X_test)
    A, B = project(model[1], Z, Z_test)
    machine = clone(model[-1]).set_params(kernel="precomputed")
    machine.fit(_gaussian(_squared_distances(A, A), gamma), y)
    return machine, _gaussian(_squared_distances(B, A), gamma)
