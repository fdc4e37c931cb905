"""The final report: every figure of the series for one dataset and backbone, in one file."""

import json
from collections.abc import Callable
from importlib import metadata
from importlib.resources import files
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from caltech_lab.classification import random_forest, repeated_splits, svm
from caltech_lab.clustering import compare_recipes, cut
from caltech_lab.datasets.caltech101 import SUBSETS
from caltech_lab.evaluation import (
    RetrievalScores,
    bootstrap_interval,
    cluster_scores,
    retrieval_scores,
)
from caltech_lab.features import Features

N_SPLITS = 5
KMEANS_K = 20
HIERARCHICAL_K = 50
PACKAGES = ("faiss-cpu", "numpy", "openvino", "pillow", "scikit-learn", "scipy", "torch")


def final_report(
    features: Features,
    *,
    seed: int,
    tuned_svm: Pipeline,
    kmeans_labels: np.ndarray,
    tree: np.ndarray,
) -> dict[str, Any]:
    """Measure everything that `final_report.json` holds.

    Parameters
    ----------
    features : Features
        Embeddings of the dataset.
    seed : int
        Seed of the first split, of the forests and of the clusterings.
    tuned_svm : Pipeline
        An SVM tuned on the training part of the first split; its parameters serve all splits.
    kmeans_labels : ndarray
        Clusters of K-Means with `KMEANS_K` clusters, int of shape (n,).
    tree : ndarray
        Ward's tree, float64 of shape (n - 1, 4).

    Returns
    -------
    dict
        As `schema()` says: shares between 0 and 1, intervals at 95 %.
    """
    X, y = features.X, features.y
    subset = features.photos.name
    parameters = _svm_parameters(tuned_svm)
    train, test = features.split(seed)
    alone = retrieval_scores(X, y, k=10)
    held_out = retrieval_scores(X[train], y[train], queries=X[test], query_labels=y[test], k=10)
    return {
        "dataset": "caltech101" if subset in SUBSETS else subset,
        "subset": subset,
        "n_photos": len(features),
        "n_categories": len(features.categories),
        "backbone": features.identity["backbone"],
        "weights_sha256": features.identity["weights_sha256"],
        "precision": features.identity["precision"],
        "embeddings_sha256": features.identity["embeddings_sha256"],
        "seed": seed,
        "classification": {
            "svm": _classified(lambda: svm(**parameters), X, y, seed) | {"best_params": parameters},
            "random_forest": _classified(lambda: random_forest(seed), X, y, seed)
            | {"best_params": _forest_parameters(seed)},
        },
        "clustering": {
            f"kmeans_k{KMEANS_K}": cluster_scores(X, kmeans_labels, y),
            f"hierarchical_k{HIERARCHICAL_K}": cluster_scores(X, cut(tree, HIERARCHICAL_K), y),
            "best_k50": _best_recipe(X, y, seed),
        },
        "retrieval": {
            "leave_one_out": _retrieved(alone, seed),
            "held_out": _retrieved(held_out, seed),
        },
        "versions": {name: _version(name) for name in PACKAGES},
    }


def schema() -> dict[str, Any]:
    """Return the JSON schema of `final_report.json`."""
    path = files("caltech_lab") / "final_report.schema.json"
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _svm_parameters(tuned: Pipeline) -> dict[str, float]:
    return {
        "power": tuned["powernormalizer"].power,
        "n_components": tuned["pca"].n_components,
        "C": tuned["svc"].C,
        "gamma": tuned["svc"].gamma,
    }


def _forest_parameters(seed: int) -> dict[str, float]:
    pca, forest = (step for _, step in random_forest(seed).steps)
    return {"n_components": pca.n_components, "n_estimators": forest.n_estimators}


def _classified(
    make: Callable[[], Pipeline], X: np.ndarray, y: np.ndarray, seed: int
) -> dict[str, Any]:
    splits = repeated_splits(make, X, y, N_SPLITS, seed)
    return {
        "accuracy": float(splits["accuracy"].mean()),
        "macro_accuracy": float(splits["macro_accuracy"].mean()),
        "accuracy_by_split": splits["accuracy"].tolist(),
    }


def _best_recipe(X: np.ndarray, y: np.ndarray, seed: int) -> dict[str, Any]:
    table = compare_recipes(X, y, HIERARCHICAL_K, seed)
    scores = ["silhouette", "davies_bouldin", "nmi", "ari"]
    compared: dict[str, dict[str, float]] = table[scores].T.to_dict()  # type: ignore[assignment]
    method = str(table["nmi"].idxmax())
    return {"method": method, **compared[method], "compared": compared}


def _retrieved(scores: RetrievalScores, seed: int) -> dict[str, Any]:
    return {
        "precision_at_10": scores.mean("precision"),
        "precision_at_10_interval": list(bootstrap_interval(scores.precision, seed=seed))[1:],
        "precision_at_10_macro": scores.macro("precision"),
        "map": scores.mean("average_precision"),
        "n_queries": len(scores.queries),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
