"""The final report: the results for one dataset and backbone in one JSON file."""

import json
from collections.abc import Mapping
from importlib import metadata
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib import pyplot as plt

from caltech_lab.classification.forest import forest_parameters
from caltech_lab.clustering.hierarchical import cut
from caltech_lab.datasets.caltech101 import SUBSETS
from caltech_lab.metrics.clusters import cluster_scores
from caltech_lab.metrics.intervals import bootstrap_interval
from caltech_lab.metrics.retrieval import RetrievalScores
from caltech_lab.plots.summary import performance_summary
from caltech_lab.report.cached_scores import (
    cached_clustering_scores,
    cached_retrieval_scores,
    cached_split_scores,
)
from caltech_lab.storage.files import lock, make_way, write_atomically, write_json

if TYPE_CHECKING:
    from caltech_lab.lab import Lab

KMEANS_K = 20
HIERARCHICAL_K = 50
PACKAGES = ("faiss-cpu", "numpy", "openvino", "pillow", "scikit-learn", "scipy", "torch")


def final_report(lab: "Lab") -> dict[str, Any]:
    """Compute the final report; write `final_report.json` and `performance_summary.png`.

    Parameters
    ----------
    lab : Lab
        With labeled photos.

    Returns
    -------
    dict
        Report in the format of `schema()`: shares between 0 and 1, 95 % intervals.
    """
    path = lab.folder() / "final_report.json"
    made = _measured(lab)
    for name in ("vectors", "clusters"):  # measured by `beyond`, if it was run
        if found := lab.cache.peek(f"results/beyond/{name}.json"):
            made.setdefault("beyond", {})[name] = found
    summary = path.with_name("performance_summary.png")
    with lock(path):
        make_way(path)
        write_json(path, made)
    figure = performance_summary(made)
    make_way(summary)
    with write_atomically(summary) as picture:
        figure.savefig(picture, dpi=150)
    plt.close(figure)  # a notebook would show it
    return made


def _measured(lab: "Lab") -> dict[str, Any]:
    lab.photos.check_labels("The final report")
    embeddings, seed = lab.embeddings, lab.seed
    X, y, subset = embeddings.X, embeddings.y, embeddings.photos.name
    kmeans, hierarchical = lab.kmeans(KMEANS_K).labels_, cut(lab.linkage(), HIERARCHICAL_K)
    return {
        "dataset": "caltech101" if subset in SUBSETS else subset,
        "subset": subset,
        "n_photos": len(embeddings),
        "n_categories": len(embeddings.categories),
        "backbone": embeddings.identity["backbone"],
        "weights_sha256": embeddings.identity["weights_sha256"],
        "precision": embeddings.identity["precision"],
        "embeddings_sha256": embeddings.identity["embeddings_sha256"],
        "seed": seed,
        "classification": {
            "svm": _classified(cached_split_scores(lab, "svm"), lab.svm().parameters),
            "random_forest": _classified(
                cached_split_scores(lab, "random_forest"), forest_parameters()
            ),
        },
        "clustering": {
            f"kmeans_k{KMEANS_K}": lab.cached(
                f"results/clustering/kmeans_k{KMEANS_K}_scores.json", cluster_scores, X, kmeans, y
            ),
            f"hierarchical_k{HIERARCHICAL_K}": lab.cached(
                f"results/clustering/ward_k{HIERARCHICAL_K}_scores.json",
                cluster_scores, X, hierarchical, y,
            ),
            "best_k50": _best(cached_clustering_scores(lab, HIERARCHICAL_K)),
        },
        "retrieval": {
            name: _retrieved(cached_retrieval_scores(lab, name), seed)
            for name in ("leave_one_out", "held_out")
        },
        "versions": {name: _version(name) for name in PACKAGES},
    }  # fmt: skip


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
