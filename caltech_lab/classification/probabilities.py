"""Probabilities from the decision values of an SVM.

``X`` is a matrix of embeddings, float32 of shape (n, d) with rows of length one; ``y`` is an int64
vector of shape (n,) with the category of each photo.
"""

from copy import copy

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline

from caltech_lab.classification.checks import check_categories
from caltech_lab.errors import ArgumentError
from caltech_lab.fast.kernel_svm import fitted_through_kernel
from caltech_lab.storage.progress import progress

Ints = NDArray[np.int64]


def svm_probabilities(
    model: Pipeline, X: NDArray[np.float32], temperature: float
) -> NDArray[np.float64]:
    """Turn the decision values of a fitted `svm` into probabilities.

    A support vector machine of several categories is one machine for each pair of them. The score
    of a category here is its smallest margin: how clearly it beats, or how badly it loses against,
    its strongest rival. Probabilities are the softmax of the scores over a temperature. The votes
    that scikit-learn sums up would not do: a sure and a narrow winner both get all of them.

    Parameters
    ----------
    model : Pipeline
        `svm`, fitted.
    X : ndarray of float32, shape (m, d)
        Embeddings.
    temperature : float
        From `svm_temperature`, above 0; the higher, the more even the probabilities.

    Returns
    -------
    ndarray of float64, shape (m, number of categories)
        Rows that sum to one, in the order of ``model.classes_``.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger: On calibration of modern neural networks.
    International Conference on Machine Learning, 2017.
    """
    machine = copy(model[-1]).set_params(decision_function_shape="ovo")
    margins = _smallest_margins(machine.decision_function(model[:-1].transform(X)))
    probabilities: NDArray[np.float64] = softmax(margins / temperature, axis=1)
    return probabilities


def svm_temperature(
    model: Pipeline, X: NDArray[np.float32], y: Ints, seed: int = 0, n_folds: int = 3
) -> float:
    """Find the temperature that makes the probabilities of an `svm` believable.

    Each photo is scored by a machine with the parameters of `model` that never saw it, and the
    temperature is the one at which the right categories get the highest likelihood. A progress
    bar shows the folds.

    Parameters
    ----------
    model : Pipeline
        `svm`, whose parameters are used; it is not changed.
    X : ndarray of float32, shape (n, d)
        Embeddings of the training part, and of nothing else.
    y : ndarray of int64, shape (n,)
        Their categories.
    seed : int
        Seed of the folds.
    n_folds : int
        Folds of the stratified cross-validation.

    Returns
    -------
    float
        Above 0, in the units of the decision values.

    Raises
    ------
    ArgumentError
        When there are fewer than two categories, or one has fewer photos than there are folds.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger: On calibration of modern neural networks.
    International Conference on Machine Learning, 2017.
    """
    return best_temperature(out_of_sample_margins(model, X, y, seed, n_folds), y)


def best_temperature(margins: NDArray[np.float64], y: Ints) -> float:
    """Find the temperature at which the right categories get the highest likelihood.

    Parameters
    ----------
    margins : ndarray of float64, shape (n, number of categories)
        From `out_of_sample_margins`.
    y : ndarray of int64, shape (n,)
        The right categories.

    Returns
    -------
    float
        Above 0, in the units of the margins.
    """
    codes = np.unique(y, return_inverse=True)[1]

    def surprise(log_temperature: float) -> float:
        logs = log_softmax(margins / np.exp(log_temperature), axis=1)
        return -float(logs[np.arange(len(codes)), codes].mean())

    return float(np.exp(minimize_scalar(surprise, bounds=(-7, 3), method="bounded").x))


def out_of_sample_margins(
    model: Pipeline, X: NDArray[np.float32], y: Ints, seed: int = 0, n_folds: int = 3
) -> NDArray[np.float64]:
    """Ask, for each photo, an `svm` that never saw it; a progress bar shows the folds.

    Parameters
    ----------
    model, X, y, seed, n_folds
        As for `svm_temperature`.

    Returns
    -------
    ndarray of float64, shape (n, number of categories)
        Smallest margins, as `svm_probabilities` makes probabilities of.

    Raises
    ------
    ArgumentError
        When there are fewer than two categories, or one has fewer photos than there are folds.
    """
    if check_categories(y) < n_folds:
        raise ArgumentError(
            f"Asking in {n_folds} folds needs {n_folds} training photos in each category: "
            "add photos, leave the smallest categories out, or take fewer folds."
        )
    margins = np.empty((len(y), len(np.unique(y))))
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    for fit, held in progress([*folds.split(X, y)], desc="Asking the SVM", unit="fold"):
        machine, kernel = fitted_through_kernel(model, X[fit], y[fit], X[held])
        machine.set_params(decision_function_shape="ovo")
        margins[held] = _smallest_margins(machine.decision_function(kernel))
    return margins


def _smallest_margins(decisions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each category's margin over its strongest rival, from the pairs' decision values."""
    if decisions.ndim == 1:  # for two categories scikit-learn gives one value, for the second
        return np.stack([-decisions, decisions], axis=1)
    n = round((1 + np.sqrt(1 + 8 * decisions.shape[1])) / 2)
    margins, start = np.full((len(decisions), n), np.inf), 0
    for i in range(n - 1):  # against i + 1, i + 2 ...: above 0 where i wins
        against = decisions[:, start : (start := start + n - 1 - i)]
        margins[:, i] = np.minimum(margins[:, i], against.min(axis=1))
        margins[:, i + 1 :] = np.minimum(margins[:, i + 1 :], -against)
    return margins
