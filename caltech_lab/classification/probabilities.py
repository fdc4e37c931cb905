"""Probabilities from the decision values of an SVM.

``X`` is a matrix of embeddings, float32 of shape (n, d) with rows of unit length; ``y`` is an
int64 vector of shape (n,) with the category of each photo.
"""

from copy import copy

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline

from caltech_lab.classification.checks import check_categories
from caltech_lab.errors import ArgumentError
from caltech_lab.fast.kernel_svm import fitted_through_kernel
from caltech_lab.storage.progress import progress

Ints = NDArray[np.int64]


def margins(model: Pipeline, X: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return each category's smallest pairwise margin, from a fitted `svm`.

    A multiclass SVC trains one binary classifier per pair of categories. The score of a category
    is its smallest decision value over its pairs: positive when it wins all of them. The votes
    that scikit-learn sums are not used, because they do not tell a clear win from a narrow one.

    Parameters
    ----------
    model : Pipeline
        Fitted `svm`.
    X : ndarray of float32, shape (m, d)
        Embeddings.

    Returns
    -------
    ndarray of float64, shape (m, number of categories)
        In the order of ``model.classes_``.
    """
    pairs = copy(model[-1]).set_params(decision_function_shape="ovo")
    return _smallest_margins(pairs.decision_function(model[:-1].transform(X)))


def best_temperature(margins: NDArray[np.float64], y: Ints) -> float:
    """Find the temperature that maximizes the likelihood of the true categories.

    The probabilities are the softmax of the margins divided by the temperature.

    Parameters
    ----------
    margins : ndarray of float64, shape (n, number of categories)
        From `out_of_fold_margins`.
    y : ndarray of int64, shape (n,)
        True categories.

    Returns
    -------
    float
        Above 0, in the units of the margins.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger: On calibration of modern neural networks.
    International Conference on Machine Learning, 2017.
    """
    codes = np.unique(y, return_inverse=True)[1]

    def negative_log_likelihood(log_temperature: float) -> float:
        logs = log_softmax(margins / np.exp(log_temperature), axis=1)
        return -float(logs[np.arange(len(codes)), codes].mean())

    return float(
        np.exp(minimize_scalar(negative_log_likelihood, bounds=(-7, 3), method="bounded").x)
    )


def out_of_fold_margins(
    model: Pipeline, X: NDArray[np.float32], y: Ints, seed: int = 0, n_folds: int = 3
) -> NDArray[np.float64]:
    """Return the out-of-fold `margins` of each photo, with a progress bar.

    Parameters
    ----------
    model : Pipeline
        `svm`; only its parameters are used, and it is not changed.
    X : ndarray of float32, shape (n, d)
        Embeddings of the training set only.
    y : ndarray of int64, shape (n,)
        Their categories.
    seed : int
        Seed of the folds.
    n_folds : int
        Number of folds of the stratified cross-validation.

    Returns
    -------
    ndarray of float64, shape (n, number of categories)
        In the order of the sorted categories.

    Raises
    ------
    ArgumentError
        When there are fewer than two categories, or a category has fewer photos than `n_folds`.
    """
    if check_categories(y) < n_folds:
        raise ArgumentError(
            f"Probabilities need {n_folds} training photos in each category: "
            "add photos, leave out the smallest categories, or use fewer folds."
        )
    found = np.empty((len(y), len(np.unique(y))))
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    for fit, held in progress([*folds.split(X, y)], desc="Calibrating the SVM", unit="fold"):
        pairs, kernel = fitted_through_kernel(model, X[fit], y[fit], X[held])
        pairs.set_params(decision_function_shape="ovo")
        found[held] = _smallest_margins(pairs.decision_function(kernel))
    return found


def _smallest_margins(decisions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each category's smallest margin, from the pairwise decision values."""
    if decisions.ndim == 1:  # two categories: scikit-learn returns one value, for the second
        return np.stack([-decisions, decisions], axis=1)
    n = round((1 + np.sqrt(1 + 8 * decisions.shape[1])) / 2)
    margins, start = np.full((len(decisions), n), np.inf), 0
    for i in range(n - 1):  # against i + 1, i + 2 ...: positive where i wins
        against = decisions[:, start : (start := start + n - 1 - i)]
        margins[:, i] = np.minimum(margins[:, i], against.min(axis=1))
        margins[:, i + 1 :] = np.minimum(margins[:, i + 1 :], -against)
    return margins
