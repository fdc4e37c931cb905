"""Accuracy over several splits and training-set sizes, and the most confused categories.

``X`` is a matrix of embeddings, float32 of shape (n, d) with rows of unit length; ``y`` is an
int64 vector of shape (n,) with the category of each photo.
"""

import time
import warnings
from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from caltech_lab.classification.checks import check_categories
from caltech_lab.classification.forest import random_forest
from caltech_lab.classification.svm import svm
from caltech_lab.datasets.splits import split
from caltech_lab.fast.kernel_svm import fitted_through_kernel
from caltech_lab.fast.pca import fitted, project
from caltech_lab.metrics.intervals import macro_average
from caltech_lab.storage.memory import release
from caltech_lab.storage.progress import progress

Ints = NDArray[np.int64]


def _predicted(
    model: BaseEstimator, X: NDArray[np.float32], y: Ints, X_test: NDArray[np.float32]
) -> Ints:
    """Fit a classifier and return its predictions for the test photos."""
    if isinstance(model, Pipeline) and list(model.named_steps) == list(svm().named_steps):
        svc, kernel = fitted_through_kernel(model, X, y, X_test)
        return np.asarray(svc.predict(kernel), np.int64)
    if isinstance(model, Pipeline) and list(model.named_steps) == list(random_forest().named_steps):
        A, B = project(model[0], X, X_test)
        return np.asarray(model[1:].fit(A, y).predict(B), np.int64)
    return np.asarray(fitted(model, X, y).predict(X_test), np.int64)


def repeated_splits(
    make_estimator: Callable[[], BaseEstimator],
    X: NDArray[np.float32],
    y: Ints,
    n_splits: int = 5,
    seed: int = 0,
) -> pd.DataFrame:
    """Fit and test a classifier on several random splits, with a progress bar.

    The spread over the splits shows how much a single accuracy depends on the random split.

    Parameters
    ----------
    make_estimator : callable
        Returns an unfitted classifier, such as `svm`.
    X : ndarray of float32, shape (n, d)
        Embeddings.
    y : ndarray of int64, shape (n,)
        Category of each photo.
    n_splits : int
        Number of splits; split i is `splits.split` with seed ``seed + i``.
    seed : int
        Seed of the first split.

    Returns
    -------
    DataFrame
        One row per split: ``seed``, ``accuracy``, ``macro_accuracy`` (mean of the per-category
        accuracies) and ``seconds`` to fit and predict.

    Raises
    ------
    ArgumentError
        When there are fewer than two categories, or too few photos to split.
    """
    check_categories(y)
    rows = []
    for split_seed in progress(range(seed, seed + n_splits), desc="Splits", unit="split"):
        train, test = split(y, split_seed)
        start = time.perf_counter()
        right = _predicted(make_estimator(), X[train], y[train], X[test]) == y[test]
        rows.append(
            {
                "seed": split_seed,
                "accuracy": float(right.mean()),
                "macro_accuracy": macro_average(right, y[test]),
                "seconds": time.perf_counter() - start,
            }
        )
        release()
    return pd.DataFrame(rows)


def learning_curve(
    make_estimator: Callable[[], BaseEstimator],
    X: NDArray[np.float32],
    y: Ints,
    X_test: NDArray[np.float32],
    y_test: Ints,
    sizes: Sequence[int],
    n_draws: int = 2,
    seed: int = 0,
) -> pd.DataFrame:
    """Test a classifier trained on a few photos per category, with a progress bar.

    Parameters
    ----------
    make_estimator : callable
        Returns an unfitted classifier, such as `svm`.
    X : ndarray of float32, shape (n, d)
        Embeddings of the training set.
    y : ndarray of int64, shape (n,)
        Their categories.
    X_test, y_test : ndarray
        The test set, the same for all sizes.
    sizes : sequence of int
        Training photos per category; of a category with fewer photos, all are used.
    n_draws : int
        Number of random draws per size.
    seed : int
        Seed of the draws; with the same seed, two classifiers are trained on the same photos.

    Returns
    -------
    DataFrame
        One row per size and draw: ``photos`` per category, ``n`` training photos in total,
        ``draw``, ``accuracy`` and ``macro_accuracy``.

    Raises
    ------
    ArgumentError
        When there are fewer than two categories.
    """
    check_categories(y)
    rows = []
    steps = list(product(range(n_draws), sizes))
    for draw, size in progress(steps, desc="Learning curve", unit="fit"):
        # One order per draw, so that a smaller training set is a subset of a larger one.
        order = np.random.default_rng((seed, draw)).permutation(len(y))
        place = pd.Series(y[order]).groupby(y[order]).cumcount().to_numpy()
        chosen = order[place < size]
        with warnings.catch_warnings():  # one photo per category is intended
            warnings.filterwarnings("ignore", "The number of unique classes")
            right = _predicted(make_estimator(), X[chosen], y[chosen], X_test) == y_test
        rows.append(
            {
                "photos": size,
                "n": len(chosen),
                "draw": draw,
                "accuracy": float(right.mean()),
                "macro_accuracy": macro_average(right, y_test),
            }
        )
    return pd.DataFrame(rows)


def confused_pairs(y: Ints, predicted: Ints, categories: Sequence[str]) -> pd.DataFrame:
    """Count the errors of a classifier per pair of categories, the most frequent first.

    Parameters
    ----------
    y : ndarray of int64, shape (n,)
        Category of each photo, as a position in `categories`.
    predicted : ndarray of int64, shape (n,)
        Predicted category of each photo.
    categories : sequence of str
        Names of the categories.

    Returns
    -------
    DataFrame
        One row per pair with at least one error: the true ``category``, the predicted category
        ``taken_for``, the number of ``mistakes``, and their ``share`` of the category's photos.
    """
    wrong = pd.DataFrame({"y": y, "predicted": predicted})[y != predicted]
    pairs = wrong.value_counts(sort=False).rename("mistakes").reset_index()
    names, sizes = np.asarray(categories), np.bincount(y, minlength=len(categories))
    table = pd.DataFrame(
        {
            "category": names[pairs["y"]],
            "taken_for": names[pairs["predicted"]],
            "mistakes": pairs["mistakes"],
            "share": pairs["mistakes"] / sizes[pairs["y"]],
        }
    )
    order = ["mistakes", "share"]
    return table.sort_values(order, ascending=False, kind="stable", ignore_index=True)
