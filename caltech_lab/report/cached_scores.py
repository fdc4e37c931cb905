"""Measurements shared by the final report and the notebooks, cached by the lab."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from caltech_lab.classification.comparison import repeated_splits
from caltech_lab.classification.forest import random_forest
from caltech_lab.classification.svm import svm
from caltech_lab.clustering.comparison import compare_clusterings
from caltech_lab.errors import ArgumentError
from caltech_lab.metrics.retrieval import RetrievalScores, retrieval_scores

if TYPE_CHECKING:
    from caltech_lab.lab import Lab


def cached_split_scores(lab: "Lab", classifier: str) -> pd.DataFrame:
    """Return the accuracy of `svm` or `random_forest` on five seeded splits.

    The SVM has the parameters of `lab.svm()` in every split. See `comparison.repeated_splits`.
    """
    if classifier not in ("svm", "random_forest"):
        raise ArgumentError(f"There is no classifier {classifier!r}: choose svm or random_forest.")
    X, y = lab.embeddings.X, lab.embeddings.y
    parameters = lab.svm().parameters if classifier == "svm" else {}
    table: pd.DataFrame = lab.cached(
        f"results/classification/{classifier}_splits.parquet",
        _splits, X, y, classifier=classifier, seed=lab.seed, parameters=parameters,
    )  # fmt: skip
    return table


def _splits(
    X: Any, y: Any, classifier: str, seed: int, parameters: dict[str, float]
) -> pd.DataFrame:
    if classifier == "svm":
        return repeated_splits(lambda: svm(**parameters), X, y, seed=seed)
    return repeated_splits(lambda: random_forest(seed, n_jobs=-1), X, y, seed=seed)


def cached_clustering_scores(lab: "Lab", k: int = 50) -> pd.DataFrame:
    """Return the scores of K-Means and of each linkage at k clusters, plain and smoothed.

    See `comparison.compare_clusterings`.
    """
    lab.photos.check_labels("Comparing clusterings with categories")
    X, y, ward = lab.embeddings.X, lab.embeddings.y, lab.linkage()
    table: pd.DataFrame = lab.cached(
        f"results/clustering/compared_k{k}.parquet",
        compare_clusterings, X, y, k, lab.seed, ward,
    )  # fmt: skip
    return table


def cached_retrieval_scores(
    lab: "Lab", setting: str = "leave_one_out", k: int = 10
) -> RetrievalScores:
    """Return the retrieval scores of every query.

    Parameters
    ----------
    lab : Lab
        With labeled photos.
    setting : {"leave_one_out", "held_out"}
        Whether each photo is a query against all others, or the test photos are queries against
        the training set.
    k : int
        Cutoff of precision and recall.

    Returns
    -------
    RetrievalScores
        Result of `metrics.retrieval.retrieval_scores`.
    """
    if setting not in ("leave_one_out", "held_out"):
        raise ArgumentError(f"There is no setting {setting!r}: choose leave_one_out or held_out.")
    lab.photos.check_labels("Scoring retrieval by categories")
    X, y = lab.embeddings.X, lab.embeddings.y
    train, test = lab.split()
    gallery: tuple[Any, ...] = (X, y)
    if setting == "held_out":
        gallery = X[train], y[train], X[test], y[test]
    table = lab.cached(f"results/retrieval/{setting}_k{k}.parquet", _by_query, *gallery, k=k)
    n_queries = len(y) if setting == "leave_one_out" else len(test)
    columns = {name: table[name].to_numpy() for name in table}
    return RetrievalScores(k=k, n_dropped=n_queries - len(table), **columns)


def _by_query(
    X: Any, y: Any, queries: Any = None, query_labels: Any = None, *, k: int
) -> pd.DataFrame:
    found = retrieval_scores(X, y, queries=queries, query_labels=query_labels, k=k)
    return pd.DataFrame(found.by_query())
