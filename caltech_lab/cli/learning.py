"""Commands that cluster photos, train classifiers and build indexes, and their evaluation."""

from typing import TYPE_CHECKING, Any

import numpy as np
import typer

from caltech_lab.cli.commands import CLASSIFIERS
from caltech_lab.cli.common import Result, open_lab, use_gallery
from caltech_lab.clustering.checks import count_different, only_different, possible_k
from caltech_lab.clustering.hierarchical import cut
from caltech_lab.clustering.smoothing import average_linkage_smoothed
from caltech_lab.embedding.exports import write_clusters
from caltech_lab.errors import ArgumentError
from caltech_lab.metrics.categories import category_audit
from caltech_lab.metrics.clusters import cluster_scores
from caltech_lab.metrics.intervals import macro_average, proportion_interval
from caltech_lab.report.cached_scores import cached_retrieval_scores
from caltech_lab.retrieval.lab_store import store_of
from caltech_lab.retrieval.stores import describe
from caltech_lab.settings import settings
from caltech_lab.storage.files import make_way, write_json
from caltech_lab.storage.tables import write_csv

if TYPE_CHECKING:
    from caltech_lab.lab import Lab

SCORED = 10_000  # silhouettes need all pairwise distances; larger datasets are sampled


def cluster(method: str, k: int | None, linkage: str, metric: str) -> Result:
    """Group similar photos; no labels are needed."""
    if method == "hierarchical" and linkage == "ward" and metric != "euclidean":
        raise typer.BadParameter("--linkage ward goes with --metric euclidean.")

    lab = open_lab()
    n = len(lab.embeddings)
    if n < 3:
        raise ArgumentError(f"Clustering needs at least 3 photos, but this dataset has {n}.")
    wanted = k or (20 if method == "kmeans" else 50)
    most = possible_k(lab.embeddings.X, wanted)
    if most < max(2, k or 0):
        few = f"this dataset has {n:,} photos, so at most {n - 1:,} clusters"
        if most < n - 1 or count_different(lab.embeddings.X, n) < n:
            few = only_different(most, n)
        raise ArgumentError(f"-k {k} is too large: {few}." if k else f"T{few[1:]}.")
    k = most
    name = f"{method}_k{k}"
    if method == "hierarchical":
        name = f"{method}_{linkage}_{metric}_k{k}"
    clusters = _clusters(lab, method, k, linkage, metric)
    scores = _cluster_scores(lab, clusters)
    rows = _cluster_rows(lab, clusters)
    folder = lab.folder("results/clustering")
    wrote = [write_clusters(folder / f"{name}.csv", lab.embeddings, clusters)]
    data = {"method": method, "k": k, "linkage": linkage, "metric": metric, "scores": scores,
            "clusters": rows}  # fmt: skip
    if method != "hierarchical":
        data |= {"linkage": None, "metric": None}
    write_json(folder / f"{name}_metrics.json", data)
    wrote.append(folder / f"{name}_metrics.json")
    if method == "kmeans":
        wrote.append(lab.folder("models/clustering") / f"kmeans_k{k}.skops")
    lines = [f"{n:,} photos in {k} clusters ({method})."]
    lines += [f"{score:<18} {value:.3f}" for score, value in scores.items()]
    if not scores:
        lines.append("The clusters are too small to be scored.")
    lines += [
        f"cluster {row['cluster']:<4} {row['size']:>6,} photos"
        + (f", {row['share']:.0%} {row['category']}" if row["category"] else "")
        for row in rows[:10]
    ]
    return Result([*lines, f"... and {k - 10} more"] if k > 10 else lines, data, wrote, lab)


def _clusters(lab: "Lab", method: str, k: int, linkage: str, metric: str) -> "np.ndarray":
    if method == "kmeans":
        labels: np.ndarray = lab.kmeans(k).labels_.astype("int64")
        return labels
    if method == "hierarchical":
        return cut(lab.linkage(linkage, metric), k)
    X = lab.embeddings.X
    found: np.ndarray = lab.cached(
        f"models/clustering/smoothed_k{k}_labels.npy", average_linkage_smoothed,
        # In a small dataset, means of more than half of the photos would be almost identical.
        X, k=k, n_neighbors=min(10, len(X) // 2),
    )  # fmt: skip
    return found


def _cluster_scores(lab: "Lab", clusters: "np.ndarray") -> dict[str, float]:
    """Score clusters; with fewer than two categories, only by internal metrics."""
    X, y = lab.embeddings.X, lab.embeddings.y if _is_sorted(lab) else None
    rows = np.arange(len(X))
    if len(X) > SCORED:
        rows = np.random.default_rng(lab.seed).choice(rows, SCORED, replace=False)
    if len(np.unique(clusters[rows])) < 2:  # the whole sample is in one large cluster
        return {}
    return cluster_scores(X[rows], clusters[rows], None if y is None else y[rows])


def _is_sorted(lab: "Lab") -> bool:
    """Return whether all photos are labeled, with at least two categories to compare with."""
    return lab.photos.labeled and len(lab.embeddings.categories) > 1


def _cluster_rows(lab: "Lab", clusters: "np.ndarray") -> list[dict[str, Any]]:
    """Describe each cluster, the largest first: its size and its most frequent category."""
    y, rows = lab.embeddings.y, []
    for label in np.argsort(-np.bincount(clusters), kind="stable"):
        members = np.flatnonzero(clusters == label)
        row: dict[str, Any] = {
            "cluster": int(label),
            "size": len(members),
            "category": None,
            "share": None,
        }
        if _is_sorted(lab):
            counts = np.bincount(y[members])
            row["category"] = lab.embeddings.categories[counts.argmax()]
            row["share"] = float(counts.max() / len(members))
        rows.append(row)
    return rows


def train(classifier: str) -> Result:
    """Train a classifier on 80 % of the photos, and test it on the rest."""
    lab = open_lab()
    lab.photos.check_labels("Training a classifier")
    scores = _test(lab, classifier)
    n_categories = len(np.unique(lab.embeddings.y[lab.split()[0]]))
    folder = lab.folder("models/classifier")
    write_json(folder / "categories.json", lab.embeddings.categories)
    file = "svm_rbf.skops" if classifier == "svm" else "random_forest.skops"
    low, high = scores["accuracy_interval"]
    lines = [
        f"{classifier} of {n_categories} categories, trained on "
        f"{scores['n_train']:,} photos, tested on {scores['n_test']:,} others.",
        f"accuracy           {scores['accuracy']:.3f} [{low:.3f}, {high:.3f}]",
        f"mean of categories {scores['macro_accuracy']:.3f}",
    ]
    data = {"classifier": classifier, **scores}
    return Result(lines, data, [folder / file, folder / "categories.json"], lab)


def _test(lab: "Lab", classifier: str) -> dict[str, Any]:
    X, y = lab.embeddings.X, lab.embeddings.y
    train, test = lab.split()
    model = lab.svm() if classifier == "svm" else lab.random_forest()
    right = model.predict(X[test]) == y[test]
    accuracy = proportion_interval(int(right.sum()), len(right))
    return {
        "accuracy": accuracy.estimate,
        "accuracy_interval": [accuracy.low, accuracy.high],
        "macro_accuracy": macro_average(right, y[test]),
        "n_train": len(train),
        "n_test": len(test),
        "parameters": model.parameters if classifier == "svm" else {},
    }


def index(gallery: str | None) -> Result:
    """Write all embeddings into a faiss index for exact search, or into another gallery."""
    use_gallery(gallery)
    lab = open_lab()

    if (name := settings().gallery) != "exact":
        n, d = store_of(lab).ntotal, lab.embeddings.X.shape[1]
        wrote = [lab.folder("models/galleries")]
        line = f"{n:,} vectors of {d:,} dimensions, {describe(name)}."
        return Result([line], {"n_photos": n, "width": d, "gallery": name}, wrote, lab)
    made = lab.index()
    folder = lab.folder("models/faiss_index")
    wrote = [folder / "image_index.faiss", folder / "items.csv"]
    for path in wrote:
        make_way(path)
    made.save(wrote[0])
    write_csv(wrote[1], lab.embeddings.photos.table.set_index("path"))
    return Result(
        [f"{made.ntotal:,} vectors of {made.d:,} dimensions, searched exactly."],
        {"n_photos": made.ntotal, "width": made.d},
        wrote,
        lab,
    )


def evaluate(k: int | None) -> Result:
    """Measure classification, retrieval and clustering."""
    lab = open_lab()
    lab.photos.check_labels("Evaluation")
    X, y = lab.embeddings.X, lab.embeddings.y
    train, test = lab.split()
    if k is not None and k > len(train):
        raise ArgumentError(
            f"-k {k} is too large: the training set has {len(train):,} photos to find."
        )
    k = k or min(10, len(train))
    alone, held = (
        cached_retrieval_scores(lab, "leave_one_out", k),
        cached_retrieval_scores(lab, "held_out", k),
    )
    data: dict[str, Any] = {
        "k": k,
        "classification": {name: _test(lab, name) for name in CLASSIFIERS},
        "retrieval": {
            name: {
                "precision_at_k": scores.mean("precision"),
                "precision_at_k_macro": scores.macro("precision"),
                "map": scores.mean("average_precision"),
                "n_queries": len(scores.queries),
            }
            for name, scores in (("leave_one_out", alone), ("held_out", held))
        },
        "clustering": {
            f"{method}_k{few}": _cluster_scores(
                lab, _clusters(lab, method, few, "ward", "euclidean")
            )
            for method, few in (("kmeans", possible_k(X, 20)), ("hierarchical", possible_k(X, 50)))
            if few > 1  # copies of one photo cannot be clustered
        },
    }  # fmt: skip
    folder = lab.folder("results/evaluation")
    audit = category_audit(y[test], lab.svm().predict(X[test]), lab.embeddings.categories, alone)
    write_csv(folder / "categories.csv", audit)
    write_json(folder / "metrics.json", data)
    lines = [
        f"{name:<14} accuracy {s['accuracy']:.3f}, mean of categories {s['macro_accuracy']:.3f}"
        for name, s in data["classification"].items()
    ]
    lines += [
        f"{name:<14} precision@{k} {s['precision_at_k']:.3f}, mean average precision {s['map']:.3f}"
        for name, s in data["retrieval"].items()
    ]
    lines += [f"{name:<16} NMI {s['nmi']:.3f}" for name, s in data["clustering"].items() if s]
    return Result(lines, data, [folder / "metrics.json", folder / "categories.csv"], lab)


def report() -> Result:
    """Measure everything for the final report; it takes some minutes on Caltech-101."""
    # These import matplotlib, which no other command here needs.
    from caltech_lab.report import cards, final_report

    lab = open_lab()
    lab.photos.check_labels("The report")
    different = count_different(lab.embeddings.X, 52)
    if different < 52:
        copies = "different " if different < len(lab.embeddings) else ""
        raise ArgumentError(
            f"The report compares 50 clusters and needs at least 52 {copies}photos, not "
            f"{different}: `caltech-lab evaluate` does with fewer."
        )
    lab.split()  # fails early if no classifier can be trained
    made = final_report.final_report(lab)
    svm, forest = (made["classification"][name] for name in ("svm", "random_forest"))
    alone = made["retrieval"]["leave_one_out"]
    best = made["clustering"]["best_k50"]
    lines = [
        f"{made['n_photos']:,} photos, {made['n_categories']} categories",
        f"SVM accuracy, five splits        {svm['accuracy']:.3f}",
        f"random forest, five splits       {forest['accuracy']:.3f}",
        f"precision@10, each photo a query {alone['precision_at_10']:.3f}",
        f"mean average precision           {alone['map']:.3f}",
        f"best of 50 clusters, NMI         {best['nmi']:.3f} ({best['method']})",
    ]
    folder = lab.folder("")
    wrote = [
        folder / "final_report.json",
        folder / "performance_summary.png",
        *cards.write_cards(lab),
    ]
    return Result(lines, made, wrote, lab)
