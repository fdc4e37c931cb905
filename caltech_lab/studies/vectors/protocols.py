"""Evaluation protocols for the learned vectors, used by `report.beyond`.

Models are fitted on training photos only, and all scores are of held-out photos. The seed sets the
splits and the training, so that two seeds give independent runs.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caltech_lab.datasets.splits import split
from caltech_lab.metrics.intervals import Interval, bootstrap_interval, macro_average
from caltech_lab.metrics.retrieval import retrieval_scores
from caltech_lab.studies.vectors.projections import projection

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

PER_CATEGORY = 30  # training photos in the standard protocol, at most all but one
N_SPLITS = 5


def held_out_scores(vectors: Floats, y: Ints, train: Ints, test: Ints, k: int = 10) -> Any:
    """Score held-out queries in the training set.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, d)
        Vectors of all photos, rows of unit length.
    y : ndarray of int64, shape (n,)
        Category of each photo.
    train, test : ndarray of int64
        Rows of the gallery and of the queries.
    k : int
        Number of results that precision@k and recall@k count.

    Returns
    -------
    RetrievalScores
        From `retrieval_scores`, which has the same errors.
    """
    return retrieval_scores(
        vectors[train], y[train], queries=vectors[test], query_labels=y[test], k=k
    )


def thirty_per_category(y: Ints, seed: int = 0) -> Iterator[tuple[Ints, Ints]]:
    """Draw the random splits of the standard protocol.

    Parameters
    ----------
    y : ndarray of int64, shape (n,)
        Categories.
    seed : int
        Seed of the splits.

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
    for _ in range(N_SPLITS):
        chosen = np.zeros(len(y), bool)
        for category in np.unique(y):
            rows = random.permutation(np.flatnonzero(y == category))
            chosen[rows[: min(PER_CATEGORY, len(rows) - 1)]] = True
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
    """Run `on_held_out` and `standard_protocol` for one seed.

    Parameters
    ----------
    plain, fused : ndarray of float32, shapes (n, d) and (n, e)
        Embeddings of the lab's backbone and of the fused views.
    y : ndarray of int64, shape (n,)
        Category of each photo.
    seed : int
        Seed of the splits and of the training.

    Returns
    -------
    dict
        The keys of both.
    """
    return {**on_held_out(plain, fused, y, seed), **standard_protocol(fused, y, seed)}


def _over_photos(values: Any) -> list[float]:
    return _listed(bootstrap_interval(values))


def _over_categories(values: Any, y: Ints) -> list[float]:
    return _listed(bootstrap_interval(values, groups=y))


def _listed(interval: Interval) -> list[float]:
    return [float(end) for end in interval]
