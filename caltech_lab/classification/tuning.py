"""The search for the parameters of an SVM.

``X`` is a matrix of embeddings, float32 of shape (n, d) with rows of length one; ``y`` is an int64
vector of shape (n,) with the category of each photo.
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
    """Return the values of the parameters of `svm` that `tune_svm` tries."""
    return {
        "power": [0.5, 1.0],
        "n_components": [0.95],
        "C": [3.0, 10.0],
        "gamma": [0.5, 1.0],
    }


def tune_svm(
    X: NDArray[np.float32],
    y: Ints,
    seed: int = 0,
    grid: Mapping[str, Sequence[float]] | None = None,
    n_folds: int = 3,
) -> pd.DataFrame:
    """Try parameters of `svm` by cross-validation, with a progress bar.

    The same table as that of scikit-learn's `GridSearchCV` over `svm`, much sooner: the points of
    the grid share one PCA for each fold and power, and one matrix of distances for each share of
    variance.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings of the training part, and of nothing else.
    y : ndarray of int64, shape (n,)
        Their categories.
    seed : int
        Seed of the folds.
    grid : mapping of str to sequence of float, optional
        Values to try for parameters of `svm`, in place of those of `svm_grid`.
    n_folds : int
        Folds of the stratified cross-validation.

    Returns
    -------
    DataFrame
        One row per point of the grid, the best first: the parameters, ``accuracy`` and
        ``macro_accuracy`` (means over the folds) and ``accuracy_std`` (over the folds).

    Raises
    ------
    ArgumentError
        When there are fewer than two categories, or one has fewer photos than there are folds.

    Notes
    -----
    Distances and kernel are float64 matrices of m by m, where m is the number of photos of
    n_folds - 1 folds.
    """
    smallest = check_categories(y)
    if smallest < n_folds:
        raise ArgumentError(
            f"Cross-validation in {n_folds} folds needs {n_folds} training photos in each "
            f"category, and one has {smallest}: add photos, leave it out, or take fewer folds."
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

    # A thread a part, each with a BLAS of one thread: libsvm knows no threads of its own.
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
    # Points that are right on as many photos keep the order of the grid, whatever the rounding.
    return table.sort_values("accuracy", key=lambda a: -a.round(9), kind="stable").reset_index()


def best_parameters(table: pd.DataFrame) -> dict[str, float]:
    """Return the parameters of the first row of `tune_svm`'s table, by name."""
    return {name: float(table[name].iloc[0]) for name in svm_grid()}
