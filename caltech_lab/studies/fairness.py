"""Disaggregated evaluation: per-category calibration, class weights and a background class.

Per-category scores are in `categories.category_audit`, their inequality in
`categories.unevenness`.
``X`` is a matrix of embeddings, float32 of shape (n, d) with rows of unit length; ``y`` is an
int64 vector of shape (n,) with the category of each photo.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from caltech_lab.classification.probabilities import margins
from caltech_lab.clustering.kmeans import kmeans
from caltech_lab.datasets import caltech101, open_photos
from caltech_lab.datasets.splits import split
from caltech_lab.embedding.embeddings import Embeddings
from caltech_lab.fast.pca import pca_solver
from caltech_lab.lab import Lab
from caltech_lab.metrics.categories import unevenness
from caltech_lab.metrics.clusters import agreement_scores
from caltech_lab.metrics.intervals import macro_average
from caltech_lab.metrics.probabilities import expected_calibration_error
from caltech_lab.metrics.retrieval import retrieval_scores
from caltech_lab.storage.memory import release

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Rows = NDArray[np.float32]


def summary(scores: ArrayLike, y: Ints) -> dict[str, float]:
    """Compare the average over photos with per-category summaries.

    Parameters
    ----------
    scores : array-like of float or bool, shape (n,)
        One score per photo, 0 to 1.
    y : ndarray of int64, shape (n,)
        Category of each photo.

    Returns
    -------
    dict of str to float
        ``photos`` (mean over photos), ``categories`` (mean over categories), ``worst_decile`` and
        ``gini`` (both over categories; see `categories.unevenness`).

    Examples
    --------
    >>> summary([1, 1, 1, 0], np.array([0, 0, 0, 1]))
    {'photos': 0.75, 'categories': 0.5, 'worst_decile': 0.0, 'gini': 0.5}
    """
    values = np.asarray(scores, dtype=float)
    by_category = pd.Series(values).groupby(np.asarray(y)).mean().to_numpy()
    gini, worst = unevenness(by_category)
    return {
        "photos": float(values.mean()),
        "categories": macro_average(values, y),
        "worst_decile": worst,
        "gini": gini,
    }


def size_quarters(sizes: ArrayLike) -> Ints:
    """Split the categories by size into four groups of equally many categories.

    Parameters
    ----------
    sizes : array-like of int, shape (c,)
        Number of photos per category.

    Returns
    -------
    ndarray of int64, shape (c,)
        0 for the smallest quarter, 3 for the largest.

    Examples
    --------
    >>> size_quarters([40, 800, 31, 60]).tolist()
    [1, 3, 0, 2]
    """
    order = np.argsort(sizes, kind="stable")
    quarters = np.empty(len(order), dtype=np.int64)
    for number, part in enumerate(np.array_split(order, 4)):
        quarters[part] = number
    return quarters


def calibration_by_category(
    probabilities: Floats, y: Ints, categories: Sequence[str]
) -> pd.DataFrame:
    """Compare predicted probability and accuracy per category.

    A category has few test photos, so a gap may be due to chance. If the probabilities were
    calibrated, the number of correct predictions would have mean sum(p) and variance
    sum(p (1 - p)); ``z`` is its deviation from the mean in standard deviations.

    Parameters
    ----------
    probabilities : ndarray of float64, shape (n, c)
        Predicted probability of each category, per test photo.
    y : ndarray of int64, shape (n,)
        True categories.
    categories : sequence of str
        Names of the categories.

    Returns
    -------
    DataFrame
        One row per category, the most overconfident first: ``n``, ``confidence`` (mean probability
        of the predicted class), ``accuracy``, ``gap`` (confidence minus accuracy) and ``z``
        (positive where the classifier is underconfident).

    References
    ----------
    D. J. Spiegelhalter: Probabilistic prediction in patient management and clinical trials.
    Statistics in Medicine 5, 1986.
    """
    p = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == y
    each = pd.DataFrame({"p": p, "right": right * 1.0, "spread": p * (1 - p)}).groupby(y)
    total = each.sum()
    table = each.mean()[["p", "right"]].set_axis(["confidence", "accuracy"], axis=1)
    table["gap"] = table["confidence"] - table["accuracy"]
    spread = np.sqrt(np.maximum(total["spread"].to_numpy(), 1e-12))
    table["z"] = (total["right"] - total["p"]).to_numpy() / spread
    table.insert(0, "n", each.size())
    table.index = pd.Index([categories[i] for i in table.index], name="category")
    return table.sort_values("gap", ascending=False, kind="stable")


# ---- class weights and balanced sampling ----------------------------------------------------


def balanced_rows(y: Ints, seed: int = 0) -> Ints:
    """Draw a balanced sample of about n photos, with the same number from each category.

    Large categories are undersampled, and small categories are oversampled.

    Parameters
    ----------
    y : ndarray of int64, shape (n,)
        Categories of the training set. Oversample only after the split, or copies leak into the
        test set.
    seed : int
        Seed of the draw.

    Returns
    -------
    ndarray of int64
        Rows, sorted; some several times.

    Examples
    --------
    >>> rows = balanced_rows(np.array([0, 0, 0, 0, 1, 1]))
    >>> np.bincount(np.array([0, 0, 0, 0, 1, 1])[rows]).tolist()
    [3, 3]
    """
    rng = np.random.default_rng(seed)
    categories = np.unique(y)
    each = round(len(y) / len(categories))
    drawn = []
    for category in categories:
        own = rng.permutation(np.flatnonzero(y == category))
        drawn.append(np.resize(own, each))  # repeats photos where there are too few
    return np.sort(np.concatenate(drawn))


def weighted_answers(
    model: Pipeline, X: Rows, y: Ints, X_test: Rows, seed: int = 0
) -> dict[str, Ints]:
    """Compare a classifier with and without class weights and balanced sampling.

    Parameters
    ----------
    model : Pipeline
        Its last step has a `class_weight`; it is not changed.
    X, y : ndarray
        The training set.
    X_test : ndarray of float32, shape (m, d)
        Embeddings of the held-out photos.
    seed : int
        Seed of the balanced draw.

    Returns
    -------
    dict of str to ndarray of int64, shape (m,)
        Predictions for the held-out photos: unweighted (``plain``), with weights inversely
        proportional to the category sizes (``class weights``), and trained on `balanced_rows`
        (``balanced sampling``).

    References
    ----------
    G. King, L. Zeng: Logistic regression in rare events data. Political Analysis 9, 2001.
    """
    last = model.steps[-1][0]
    rows = balanced_rows(y, seed)
    everything = np.arange(len(y))
    ways: dict[str, tuple[Any, Ints]] = {
        "plain": (None, everything),
        "class weights": ("balanced", everything),
        "balanced sampling": (None, rows),
    }
    answers = {}
    for name, (weight, chosen) in ways.items():
        fresh = clone(model).set_params(**{f"{last}__class_weight": weight})
        answers[name] = np.asarray(fresh.fit(X[chosen], y[chosen]).predict(X_test))
        release()
    return answers


# ---- background class -----------------------------------------------------------------------


def known_and_background(lab: "Lab") -> tuple[Embeddings, Embeddings]:
    """Return the photos of the categories, and background photos of no category.

    Parameters
    ----------
    lab : Lab
        On Caltech-101, the background is ``BACKGROUND_Google``, which is embedded if necessary. On
        other datasets, the photos of the last two categories are used instead.

    Returns
    -------
    known, background : Embeddings
        Disjoint sets of photos.
    """
    features = lab.embeddings
    if lab.photos.name in caltech101.SUBSETS:
        both = Lab(open_photos("all+background"), lab.backbone).embeddings
        background = (both.photos.table["category"] == caltech101.BACKGROUND).to_numpy()
        own = (features.photos.table["category"] != caltech101.BACKGROUND).to_numpy()
        return features.subset(own), both.subset(background)
    last = features.y >= len(features.categories) - 2
    return features.subset(~last), features.subset(last)


def background_effect(
    known: Embeddings, background: Embeddings, model: Pipeline, temperature: float, seed: int = 0
) -> pd.DataFrame:
    """Compare all scores without the background, and with it as an additional category.

    The background is split separately from the known photos, so that the first two columns are
    scores of the same held-out photos.

    Parameters
    ----------
    known, background : Embeddings
        From `known_and_background`.
    model : Pipeline
        `svm.svm`; only its parameters are used, and it is not changed.
    temperature : float
        From `probabilities.best_temperature`.
    seed : int
        Seed of the split and of K-Means.

    Returns
    -------
    DataFrame
        One row per score; ``without`` the background, ``with`` it in the training set and gallery
        but scored on the same photos, ``counted`` as an additional category in the average, and
        the ``background`` alone.
    """
    c = len(known.categories)
    X, y = known.X, known.y
    train, test = split(y, seed)
    last = np.random.default_rng(seed).permutation(len(background)) + len(known)
    held = round(len(background) * len(test) / len(known))
    both = np.concatenate([X, background.X])
    labels = np.concatenate([y, np.full(len(background), c)])
    here = _figures(X, y, train, test, model, temperature, seed)
    there = _figures(
        both, labels, np.concatenate([train, last[held:]]),
        np.concatenate([test, last[:held]]), model, temperature, seed,
    )  # fmt: skip
    known_only, extra = np.arange(len(test)), np.arange(len(test), len(test) + held)
    columns = {
        "without": _row(here, known_only, np.arange(len(known))),
        "with": _row(there, known_only, np.arange(len(known))),
        "counted": _row(there, np.arange(len(test) + held), np.arange(len(both))),
        "background": _row(there, extra, np.arange(len(known), len(both))),
    }
    return pd.DataFrame(columns).rename_axis("figure")


def _figures(
    X: Rows, y: Ints, train: Ints, test: Ints, model: Pipeline, temperature: float, seed: int
) -> dict[str, Any]:
    """Compute the per-photo scores that `_row` averages."""
    solver = pca_solver(len(train), X.shape[1])
    fitted = clone(model).set_params(pca__svd_solver=solver).fit(X[train], y[train])
    probabilities = softmax(margins(fitted, X[test]) / temperature, axis=1)
    found = retrieval_scores(X[train], y[train], queries=X[test], query_labels=y[test])
    k = len(np.unique(y))
    made = {
        "y": y, "test": test, "right": fitted.predict(X[test]) == y[test],
        "p": probabilities.max(axis=1), "best": probabilities.argmax(axis=1) == y[test],
        "precision": found.precision, "average_precision": found.average_precision,
        "clusters": kmeans(X, k, seed, 1).labels_,
    }  # fmt: skip
    release()
    return made


def _row(made: dict[str, Any], asked: Ints, clustered: Ints) -> dict[str, float]:
    """Average the scores over some of the held-out photos, and over some of all photos."""
    y, mine = made["y"], made["y"][made["test"]][asked]
    accuracy, found = summary(made["right"][asked], mine), summary(made["precision"][asked], mine)
    agreement = agreement_scores(made["clusters"][clustered], y[clustered])
    one = len(np.unique(mine)) == 1  # agreement with a single category is meaningless
    return {
        "accuracy": accuracy["photos"],
        "accuracy, mean of categories": accuracy["categories"],
        "accuracy, worst decile": accuracy["worst_decile"],
        "accuracy, Gini": accuracy["gini"],
        "calibration error": expected_calibration_error(made["p"][asked], made["best"][asked]),
        "precision@10": found["photos"],
        "precision@10, mean of categories": found["categories"],
        "precision@10, worst decile": found["worst_decile"],
        "precision@10, Gini": found["gini"],
        "mean average precision": float(made["average_precision"][asked].mean()),
        "K-Means: NMI": np.nan if one else agreement["nmi"],
        "K-Means: ARI": np.nan if one else agreement["ari"],
    }
