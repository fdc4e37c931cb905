"""A support vector machine and a random forest for embeddings, tuned and compared.

``X`` is a matrix of embeddings, float32 of shape (n, d) with rows of length one; ``y`` is an int64
vector of shape (n,) with the category of each photo.
"""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from itertools import product
from typing import Any, Self, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin, clone
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, normalize
from sklearn.svm import SVC
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import threadpool_limits

from caltech_lab.errors import ArgumentError
from caltech_lab.evaluation import macro_average
from caltech_lab.features import split
from caltech_lab.memory import release
from caltech_lab.progress import progress
from caltech_lab.settings import settings

Ints = NDArray[np.int64]
Estimator = TypeVar("Estimator", bound=BaseEstimator)


class PowerNormalizer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Raise each value to a power, keeping its sign, then scale each row to length one.

    A power below one evens out a few strong activations, which would otherwise rule the distances
    between photos. It learns nothing from the data.

    Parameters
    ----------
    power : float
        Exponent, above 0; 0.5 is the signed square root and 1 leaves the directions as they are.

    References
    ----------
    F. Perronnin, J. Sánchez, T. Mensink: Improving the Fisher kernel for large-scale image
    classification. European Conference on Computer Vision, 2010.
    """

    def __init__(self, power: float = 0.5) -> None:
        self.power = power

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Remember the number of columns.

        Parameters
        ----------
        X : array-like of float, shape (n, d)
            Embeddings.
        y : None
            Not used.
        """
        validate_data(self, X, dtype=(np.float64, np.float32))
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.floating[Any]]:
        """Return the normalised rows, of the shape and the floating type of `X`.

        Parameters
        ----------
        X : array-like of float, shape (n, d)
            Embeddings.
        """
        check_is_fitted(self, "n_features_in_")
        X = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        rows: NDArray[np.floating[Any]] = normalize(np.sign(X) * np.abs(X) ** self.power)
        return rows


def svm(
    power: float = 0.5, n_components: float = 0.95, C: float = 3.0, gamma: float = 1.0
) -> Pipeline:
    """Build a support vector machine with a Gaussian kernel on the principal components.

    Nothing in it is random. The defaults were found by cross-validation on the training part of
    Caltech-101 with ResNet-50; `tune_svm` finds them for other photos.

    Parameters
    ----------
    power : float
        Exponent of `PowerNormalizer`.
    n_components : float
        Share of the variance that the principal components keep, between 0 and 1; as a share it
        suits any number of photos and any backbone.
    C : float
        Cost of a training photo on the wrong side, above 0.
    gamma : float
        Narrowness of the kernel ``exp(-gamma * squared distance)``, above 0. Rows of length one
        are at squared distances of 0 to 4, whatever the backbone.

    Returns
    -------
    Pipeline
        ``powernormalizer``, ``pca``, ``svc``, not fitted.

    References
    ----------
    C. Cortes, V. Vapnik: Support-vector networks. Machine Learning 20, 1995.
    """
    return make_pipeline(
        PowerNormalizer(power),
        PCA(n_components, svd_solver="full"),
        SVC(C=C, gamma=gamma, cache_size=500),
    )


def random_forest(
    seed: int = 0, n_estimators: int = 300, n_components: float = 0.75, n_jobs: int | None = None
) -> Pipeline:
    """Build a random forest on the principal components.

    The components make the trees about five times as fast as the plain embeddings do, at about the
    same accuracy. Rounded to two decimals they take half the time again, because a tree tries a
    threshold between any two different values. Categories count alike, however many photos they
    have.

    Parameters
    ----------
    seed : int
        Seed of the forest.
    n_estimators : int
        Number of trees.
    n_components : float
        Share of the variance that the principal components keep, between 0 and 1.
    n_jobs : int, optional
        Threads; one by default, -1 for all.

    Returns
    -------
    Pipeline
        ``pca``, ``functiontransformer`` (the rounding), ``randomforestclassifier``, not fitted.

    References
    ----------
    L. Breiman: Random forests. Machine Learning 45, 2001.
    """
    return make_pipeline(
        PCA(n_components, svd_solver="full"),
        FunctionTransformer(np.round, kw_args={"decimals": 2}),
        RandomForestClassifier(
            n_estimators, class_weight="balanced", random_state=seed, n_jobs=n_jobs
        ),
    )


def forest_parameters() -> dict[str, float]:
    """Return the parameters of `random_forest` that are not scikit-learn's defaults, by name."""
    pca, rounding, forest = (step for _, step in random_forest().steps)
    return {
        "n_components": pca.n_components,
        "n_estimators": forest.n_estimators,
        **rounding.kw_args,
    }


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
) -> tuple[Pipeline, pd.DataFrame]:
    """Find the best parameters of `svm` by cross-validation, with a progress bar.

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
    best : Pipeline
        `svm` with the parameters of the highest accuracy, fitted on all of `X`.
    table : DataFrame
        One row a point of the grid, the best first: the parameters, ``accuracy`` and
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
        points = _predictions(Z[train], y[train], Z[test], power, grid)
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
    table = table.sort_values("accuracy", key=lambda a: -a.round(9), kind="stable").reset_index()
    best = dict(zip(grid, table[list(grid)].to_numpy()[0].tolist(), strict=True))
    return fitted(svm(**best), X, y), table


def _predictions(
    X: NDArray[np.float32],
    y: Ints,
    X_test: NDArray[np.float32],
    power: float,
    grid: Mapping[str, Sequence[float]],
) -> Iterator[tuple[dict[str, float], Ints]]:
    """Yield each point of the grid with one power, and what its SVM says of the test photos.

    `X` and `X_test` have been raised to that power.
    """
    axes, variances = _principal_axes(X)
    for share in grid["n_components"]:
        kept = axes[:, : _n_kept(variances, share)]
        A, B = X @ kept, X_test @ kept  # not centred: distances do not ask where zero is
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


def _through_kernel(
    model: Pipeline, X: NDArray[np.float32], y: Ints, X_test: NDArray[np.float32]
) -> tuple[SVC, NDArray[np.float64]]:
    """Fit the steps of an `svm` anew; return the machine and the test photos' kernel for it.

    From a matrix of kernel values libsvm learns several times as fast: by itself it computes those
    of two photos of one category anew for each other category.
    """
    normalizer, gamma = clone(model[0]), model[-1].gamma
    Z, Z_test = normalizer.fit_transform(X), normalizer.transform(X_test)
    A, B = _projected(model[1], Z, Z_test)
    machine = clone(model[-1]).set_params(kernel="precomputed")
    machine.fit(_gaussian(_squared_distances(A, A), gamma), y)
    return machine, _gaussian(_squared_distances(B, A), gamma)


def _answers(
    model: BaseEstimator, X: NDArray[np.float32], y: Ints, X_test: NDArray[np.float32]
) -> Ints:
    """Fit a classifier, and return what it says of the test photos."""
    if isinstance(model, Pipeline) and list(model.named_steps) == list(svm().named_steps):
        machine, kernel = _through_kernel(model, X, y, X_test)
        return np.asarray(machine.predict(kernel), np.int64)
    if isinstance(model, Pipeline) and list(model.named_steps) == list(random_forest().named_steps):
        A, B = _projected(model[0], X, X_test)
        return np.asarray(model[1:].fit(A, y).predict(B), np.int64)
    return np.asarray(fitted(model, X, y).predict(X_test), np.int64)


def _projected(
    pca: PCA, X: NDArray[np.float32], X_test: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what a PCA fitted on `X` makes of both, sooner than by its own solvers."""
    axes, variances = _principal_axes(X)
    kept = axes[:, : _n_kept(variances, pca.n_components)]
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


def _principal_axes(X: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the axes of PCA as columns, and the variance along each, the largest first."""
    if pca_solver(*X.shape) == "full":
        pca = PCA(svd_solver="full").fit(X)
        return pca.components_.T, pca.explained_variance_
    import torch

    # The same axes as PCA's. PyTorch finds them in half the time that NumPy takes, and threads
    # may do so side by side, which SciPy does not let them.
    covariance = torch.from_numpy(np.cov(X, rowvar=False, dtype=np.float32))
    variances, axes = (part.numpy() for part in torch.linalg.eigh(covariance))
    return axes[:, ::-1], np.maximum(variances[::-1], 0)


def _n_kept(variances: NDArray[np.float32], share: float) -> int:
    """Return how many axes keep that share of the variance, counted as scikit-learn's PCA does."""
    explained = np.cumsum(variances) / variances.sum()
    return int(np.searchsorted(explained, share, side="right")) + 1


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
        Number of splits; each is `features.split` with the next seed.
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


def check_categories(y: Ints) -> int:
    """Return the size of the smallest category.

    Raises
    ------
    ArgumentError
        When there are fewer than two categories.
    """
    counts = np.unique(y, return_counts=True)[1]
    if len(counts) < 2:
        raise ArgumentError(
            f"A classifier needs photos of at least two categories, but there is {len(counts)}."
        )
    return int(counts.min())


# ---- probabilities -------------------------------------------------------------------------


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
        machine, kernel = _through_kernel(model, X[fit], y[fit], X[held])
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
    """Test a classifier that learnt from a few photos of each category, with a progress bar.

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
