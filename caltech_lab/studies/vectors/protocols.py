"""Evaluation protocols for the learned vectors.

Models are fitted on training photos only, and all scores are of held-out photos. The seed sets the
splits, the left-out categories and the training, so that two seeds give independent runs.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import normalize

from caltech_lab.datasets.splits import split
from caltech_lab.metrics.intervals import (
    Interval,
    bootstrap_interval,
    macro_average,
    paired_difference_interval,
)
from caltech_lab.metrics.retrieval import RetrievalScores, retrieval_scores
from caltech_lab.studies.vectors.projections import projection

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

SHARE_LEFT_OUT = 0.2  # share of the categories that are left out of training
PER_CATEGORY = 30  # training photos in the standard protocol
N_SPLITS = 5


def held_out_scores(vectors: Floats, y: Ints, train: Ints, test: Ints, k: int = 10) -> Any:
    """Score held-out queries in the training set; see `retrieval_scores`."""
    return retrieval_scores(
        vectors[train], y[train], queries=vectors[test], query_labels=y[test], k=k
    )


def nearest_mean(vectors: Floats, y: Ints, train: Ints, test: Ints) -> NDArray[np.bool_]:
    """Classify the held-out photos by the nearest class mean.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, d)
        Rows of unit length.
    y : ndarray of int64, shape (n,)
        Categories.
    train, test : ndarray of int64
        Rows; the means are those of the training set, scaled to unit length.

    Returns
    -------
    ndarray of bool, shape (number of test rows,)
        Whether each prediction is correct.
    """
    gallery, labels = vectors[train], y[train]
    categories = np.unique(labels)
    means = normalize([gallery[labels == label].mean(axis=0) for label in categories])
    right: NDArray[np.bool_] = categories[(vectors[test] @ means.T).argmax(axis=1)] == y[test]
    return right


def left_out(y: Ints, seed: int = 0) -> NDArray[np.bool_]:
    """Choose a random fifth of the categories, and mark their photos.

    Parameters
    ----------
    y : ndarray of int64, shape (n,)
        Categories.
    seed : int
        Seed of the choice.

    Returns
    -------
    ndarray of bool, shape (n,)
        Photos of the chosen categories.
    """
    categories = np.unique(y)
    count = max(round(SHARE_LEFT_OUT * len(categories)), 1)
    chosen = np.random.default_rng(seed).choice(categories, count, replace=False)
    return np.isin(y, chosen)


def scores_on_left_out(
    name: str, X: Floats, y: Ints, seed: int = 0, k: int = 10
) -> RetrievalScores:
    """Score a projection on categories that were left out of its training.

    Parameters
    ----------
    name : str
        As in `projections.projection`, or ``"plain"`` to use `X` unchanged.
    X : ndarray of float32, shape (n, d)
        Fused or plain embeddings.
    y : ndarray of int64, shape (n,)
        Categories.
    seed : int
        Seed of the split, the left-out categories and the training.
    k : int
        Cutoff of precision@k.

    Returns
    -------
    RetrievalScores
        Test photos of the left-out categories as queries, their training photos as gallery.
    """
    train, test = split(y, seed)
    hidden = left_out(y, seed)
    vectors = X
    if name != "plain":
        fit = train[~hidden[train]]
        model = projection(name, seed=seed).fit(X[fit], y[fit])
        vectors = model.transform(X)
    scores: RetrievalScores = held_out_scores(
        vectors, y, train[hidden[train]], test[hidden[test]], k
    )
    return scores


def thirty_per_category(
    y: Ints, seed: int = 0, n_splits: int = N_SPLITS, count: int = PER_CATEGORY
) -> Iterator[tuple[Ints, Ints]]:
    """Draw the random splits of the standard protocol.

    Parameters
    ----------
    y : ndarray of int64, shape (n,)
        Categories.
    seed : int
        Seed of the splits.
    n_splits : int
        Number of splits.
    count : int
        Training photos per category; at most all but one.

    Yields
    ------
    train, test : ndarray of int64
        Sorted, disjoint rows, which together are all rows.

    References
    ----------
    L. Fei-Fei, R. Fergus, P. Perona: Learning generative visual models from few training
    examples. CVPR Workshop on Generative-Model Based Vision, 2004.
    """
    random = np.random.default_rng(seed)
    for _ in range(n_splits):
        chosen = np.zeros(len(y), bool)
        for category in np.unique(y):
            rows = random.permutation(np.flatnonzero(y == category))
            chosen[rows[: min(count, len(rows) - 1)]] = True
        yield np.flatnonzero(chosen), np.flatnonzero(~chosen)


def on_held_out(plain: Floats, fused: Floats, y: Ints, seed: int = 0) -> dict[str, Any]:
    """Evaluate the best projection on the held-out photos of one split.

    Parameters
    ----------
    plain : ndarray of float32, shape (n, d)
        Average-pooled embeddings of one view.
    fused : ndarray of float32, shape (n, d2)
        Fused views, from `fused.fused_embeddings`.
    y : ndarray of int64, shape (n,)
        Categories.
    seed : int
        Seed of the split and the training.

    Returns
    -------
    dict
        precision@10 of the plain and the learned vectors, and accuracy, each as micro and macro
        average with its 95 % bootstrap interval.
    """
    train, test = split(y, seed)
    model = projection("posterior", seed=seed).fit(fused[train], y[train])
    before = held_out_scores(plain, y, train, test)
    after = held_out_scores(model.transform(fused), y, train, test)
    right = model.predict(fused[test]) == y[test]
    return {
        "plain_precision_at_10": _over_photos(before.precision),
        "plain_precision_at_10_macro": _over_categories(before.precision, before.labels),
        "precision_at_10": _over_photos(after.precision),
        "precision_at_10_macro": _over_categories(after.precision, after.labels),
        "accuracy": _over_photos(right),
        "accuracy_macro": _over_categories(right, y[test]),
    }


def on_left_out(plain: Floats, fused: Floats, y: Ints, seed: int = 0) -> dict[str, Any]:
    """Compare two learned projections with plain vectors on left-out categories.

    Parameters
    ----------
    plain, fused, y, seed
        As for `on_held_out`.

    Returns
    -------
    dict
        Macro precision@10 of plain vectors and of the projections ``within`` and ``posterior`` on
        the left-out categories, and their gains over plain vectors; each with its interval.
    """
    unseen = scores_on_left_out("plain", plain, y, seed)
    figures = {"left_out_plain": _over_categories(unseen.precision, unseen.labels)}
    for name in ("within", "posterior"):
        scores = scores_on_left_out(name, fused, y, seed)
        figures[f"left_out_{name}"] = _over_categories(scores.precision, scores.labels)
        figures[f"left_out_{name}_gain"] = _listed(
            paired_difference_interval(scores.precision, unseen.precision, groups=scores.labels)
        )
    return figures


def standard_protocol(fused: Floats, y: Ints, seed: int = 0) -> dict[str, Any]:
    """Measure macro accuracy with 30 training photos per category.

    Parameters
    ----------
    fused, y, seed
        As for `on_held_out`.

    Returns
    -------
    dict
        ``thirty_a_category``, the mean over the splits with its 95 % bootstrap interval, and
        ``thirty_a_category_by_split``.
    """
    splits = []
    for train, test in thirty_per_category(y, seed):
        model = projection("posterior", seed=seed).fit(fused[train], y[train])
        right = model.predict(fused[test]) == y[test]
        splits.append((bootstrap_interval(right, groups=y[test]), macro_average(right, y[test])))
    # The splits share photos, so their intervals are averaged instead of combined.
    ends = np.mean([interval for interval, _ in splits], axis=0)
    return {
        "thirty_a_category": [float(end) for end in ends],
        "thirty_a_category_by_split": [value for _, value in splits],
    }


def evaluate_all(plain: Floats, fused: Floats, y: Ints, seed: int = 0) -> dict[str, Any]:
    """Run `on_held_out`, `on_left_out` and `standard_protocol` for one seed."""
    return {
        **on_held_out(plain, fused, y, seed),
        **on_left_out(plain, fused, y, seed),
        **standard_protocol(fused, y, seed),
    }


def _over_photos(values: Any) -> list[float]:
    return _listed(bootstrap_interval(values))


def _over_categories(values: Any, y: Ints) -> list[float]:
    return _listed(bootstrap_interval(values, groups=y))


def _listed(interval: Interval) -> list[float]:
    return [float(end) for end in interval]
