"""The final report: every figure of the series for one dataset and backbone, in one file."""

import json
from collections.abc import Mapping
from importlib import metadata
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd

from caltech_lab.classification.forest import forest_parameters
from caltech_lab.clustering.hierarchical import cut
from caltech_lab.datasets.caltech101 import SUBSETS
from caltech_lab.embedding.features import Features
from caltech_lab.metrics.clusters import cluster_scores
from caltech_lab.metrics.intervals import bootstrap_interval
from caltech_lab.metrics.retrieval import RetrievalScores

KMEANS_K = 20
HIERARCHICAL_K = 50
PACKAGES = ("faiss-cpu", "numpy", "openvino", "pillow", "scikit-learn", "scipy", "torch")


def final_report(
    features: Features,
    *,
    seed: int,
    svm_parameters: Mapping[str, float],
    splits: Mapping[str, pd.DataFrame],
    kmeans_labels: np.ndarray,
    tree: np.ndarray,
    compared: pd.DataFrame,
    retrieval: Mapping[str, RetrievalScores],
) -> dict[str, Any]:
    """Measure everything that `final_report.json` holds.

    Parameters
    ----------
    features : Features
        Embeddings of the dataset.
    seed : int
        Seed of the first split, of the forests and of the clusterings.
    svm_parameters : mapping
        What the SVM was tuned to on the training part of the first split, and used in all.
    splits : mapping of DataFrame
        Of `svm` and of `random_forest`, as `comparison.repeated_splits` gives them.
    kmeans_labels : ndarray
        Clusters of K-Means with `KMEANS_K` clusters, int of shape (n,).
    tree : ndarray
        Ward's tree, float64 of shape (n - 1, 4).
    compared : DataFrame
        As `comparison.compare_recipes` gives it, for `HIERARCHICAL_K` clusters.
    retrieval : mapping of RetrievalScores
        With `leave_one_out` and `held_out`, as `Lab.retrieval` gives them.

    Returns
    -------
    dict
        As `schema()` says: shares between 0 and 1, intervals at 95 %.
    """
    X, y = features.X, features.y
    subset = features.photos.name
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
            "svm": _classified(splits["svm"], svm_parameters),
            "random_forest": _classified(splits["random_forest"], forest_parameters()),
        },
        "clustering": {
            f"kmeans_k{KMEANS_K}": cluster_scores(X, kmeans_labels, y),
            f"hierarchical_k{HIERARCHICAL_K}": cluster_scores(X, cut(tree, HIERARCHICAL_K), y),
            "best_k50": _best(compared),
        },
        "retrieval": {name: _retrieved(scores, seed) for name, scores in retrieval.items()},
        "versions": {name: _version(name) for name in PACKAGES},
    }


def schema() -> dict[str, Any]:
    """Return the JSON schema of `final_report.json`."""
    path = files("caltech_lab.report") / "final_report.schema.json"
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _classified(splits: pd.DataFrame, parameters: Mapping[str, float]) -> dict[str, Any]:
    return {
        "accuracy": float(splits["accuracy"].mean()),
        "macro_accuracy": float(splits["macro_accuracy"].mean()),
        "accuracy_by_split": splits["accuracy"].tolist(),
        "best_params": dict(parameters),
    }


def _best(table: pd.DataFrame) -> dict[str, Any]:
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
