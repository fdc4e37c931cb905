"""Accuracy over several splits and sizes of the training set, and what is confused.

``X`` is a matrix of embeddings, float32 of shape (n, d) with rows of length one; ``y`` is an int64
vector of shape (n,) with the category of each photo.
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


def _answers(
    model: BaseEstimator, X: NDArray[np.float32], y: Ints, X_test: NDArray[np.float32]
) -> Ints:
    """Fit a classifier, and return what it says of the test photos."""
    if isinstance(model, Pipeline) and list(model.named_steps) == list(svm().named_steps):
        machine, kernel = fitted_through_kernel(model, X, y, X_test)
        return np.asarray(machine.predict(kernel), np.int64)
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

    How much the accuracy moves from split to split is how much of a single number is luck.

    Parameters
    ----------
    make_estimator : callable
        Returns a classifier that is not fitted, such as `svm`.
    X : ndarray of float32, shape (n, d)
        Embeddings.
    y : ndarray of int64, shape (n,)
        Category of each photo.
    n_splits : int
        Number of splits; each is `splits.split` with the next seed.
    seed : int
        Seed of the first split.

    Returns
    -------
    DataFrame
        One row a split: ``seed``, ``accuracy``, ``macro_accuracy`` (mean over categories of
        their accuracy) and ``seconds`` to fit and predict.

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
        right = _answers(make_estimator(), X[train], y[train], X[test]) == y[test]
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
    """Test a classifier that learned from a few photos of each category, with a progress bar.

    Parameters
    ----------
    make_estimator : callable
        Returns a classifier that is not fitted, such as `svm`.
    X : ndarray of float32, shape (n, d)
        Embeddings of the training part.
    y : ndarray of int64, shape (n,)
        Their categories.
    X_test, y_test : ndarray
        The held-out part, the same for all sizes.
    sizes : sequence of int
        Training photos a category; a category that has fewer gives all it has.
    n_draws : int
        How often the photos are drawn anew for each size.
    seed : int
        Seed of the draws; with the same seed, two classifiers learn from the same photos.

    Returns
    -------
    DataFrame
        One row a size and draw: ``photos`` a category, ``n`` training photos in all, ``draw``,
        ``accuracy`` and ``macro_accuracy``.

    Raises
    ------
    ArgumentError
        When there are fewer than two categories.
    """
    check_categories(y)
    rows = []
    steps = list(product(range(n_draws), sizes))
    for draw, size in progress(steps, desc="Learning curve", unit="fit"):
        # One order a draw: the photos of a smaller size are among those of a larger one.
        order = np.random.default_rng((seed, draw)).permutation(len(y))
        place = pd.Series(y[order]).groupby(y[order]).cumcount().to_numpy()
        chosen = order[place < size]
        with warnings.catch_warnings():  # one photo a category is what we ask for
            warnings.filterwarnings("ignore", "The number of unique classes")
            right = _answers(make_estimator(), X[chosen], y[chosen], X_test) == y_test
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
    """List the mistakes of a classifier by pair of categories, the most frequent first.

    Parameters
    ----------
    y : ndarray of int64, shape (n,)
        Category of each photo, as a position in `categories`.
    predicted : ndarray of int64, shape (n,)
        Category that the classifier gave it.
    categories : sequence of str
        Names of the categories.

    Returns
    -------
    DataFrame
        One row a pair with at least one mistake: ``category``, ``taken_for``, ``mistakes``, and
        ``share`` of the category's photos that are taken for the other.
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
