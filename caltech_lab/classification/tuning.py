"""Grid search for the parameters of an SVM.

``X`` is a matrix of embeddings, float32 of shape (n, d) with rows of unit length; ``y`` is an
int64 vector of shape (n,) with the category of each photo.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from caltech_lab.classification.checks import check_categories
from caltech_lab.classification.svm import PowerNormalizer
from caltech_lab.errors import ArgumentError
from caltech_lab.fast.kernel_svm import grid_predictions
from caltech_lab.metrics.intervals import macro_average
from caltech_lab.settings import settings
from caltech_lab.storage.progress import progress

Ints = NDArray[np.int64]


def svm_grid() -> dict[str, list[float]]:
    """Return the default grid of `tune_svm`: parameters of `svm` and the values to try."""
    return {
        "power": [0.5],
        "n_components": [0.95],
        "C": [3.0, 10.0, 30.0],
        "gamma": [0.5, 1.0, 2.0],
    }


def tune_svm(
    X: NDArray[np.float32],
    y: Ints,
    seed: int = 0,
    grid: Mapping[str, Sequence[float]] | None = None,
    n_folds: int = 3,
) -> pd.DataFrame:
    """Tune the parameters of `svm` by cross-validated grid search, with a progress bar.

    The results are those of scikit-learn's `GridSearchCV` over `svm`, but faster: grid points share
    one PCA per fold and power, and one distance matrix per share of the variance.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings of the training set only.
    y : ndarray of int64, shape (n,)
        Their categories.
    seed : int
        Seed of the folds.
    grid : mapping of str to sequence of float, optional
        Parameters of `svm` and the values to try; replaces entries of `svm_grid`.
    n_folds : int
        Number of folds of the stratified cross-validation.

    Returns
    -------
    DataFrame
        One row per grid point, the best first: the parameters, ``accuracy`` and
        ``macro_accuracy`` (means over the folds), and ``accuracy_std`` (over the folds).

    Raises
    ------
    ArgumentError
        When there are fewer than two categories, or a category has fewer photos than `n_folds`.

    Notes
    -----
    Distances and kernel are float64 matrices of shape (m, m), where m is the number of training
    photos per fold.
    """
    smallest = check_categories(y)
    if smallest < n_folds:
        raise ArgumentError(
            f"Cross-validation with {n_folds} folds needs {n_folds} training photos in each "
            f"category, but one has {smallest}: add photos, leave it out, or use fewer folds."
        )
    grid = svm_grid() | dict(grid or {})
    scores = []
    folds = list(StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(X, y))
    parts = list(product(folds, grid["power"]))
    raised = {power: PowerNormalizer(power).fit_transform(X) for power in grid["power"]}

    def tried(part: tuple[tuple[Ints, Ints], float]) -> list[tuple[dict[str, float], Ints, Ints]]:
        (train, test), power = part
        Z = raised[power]
        points = grid_predictions(Z[train], y[train], Z[test], power, grid)
        return [(point, predicted, y[test]) for point, predicted in points]

    # One thread per part, each with a single-threaded BLAS, because libsvm is single-threaded.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(settings().threads) as pool:
        for points in progress(
            pool.map(tried, parts), total=len(parts), desc="Tuning the SVM", unit="part"
        ):
            for point, predicted, right in points:
                hits = predicted == right
                accuracies = {"accuracy": hits.mean(), "macro_accuracy": macro_average(hits, right)}
                scores.append(point | accuracies)
    by_point = pd.DataFrame(scores).groupby(list(grid), sort=False)
    table = by_point.mean().assign(accuracy_std=by_point["accuracy"].std(ddof=0))
    # Points with equal accuracy keep the order of the grid, whatever the rounding.
    return table.sort_values("accuracy", key=lambda a: -a.round(9), kind="stable").reset_index()


def best_parameters(table: pd.DataFrame) -> dict[str, float]:
    """Return the parameters in the first row of the table of `tune_svm`, by name."""
    return {name: float(table[name].iloc[0]) for name in svm_grid()}
