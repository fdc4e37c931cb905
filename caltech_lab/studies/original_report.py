"""The results of the original report, measured under every plausible definition.

The report used 5,163 photos in 51 folders with a ResNet-50, but does not define its scores. So
each score is measured under each definition that the report may have used.
"""

from collections.abc import Iterator

import faiss
import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.metrics import davies_bouldin_score
from sklearn.preprocessing import normalize
from sklearn.svm import SVC

from caltech_lab.clustering.hierarchical import cut
from caltech_lab.datasets.splits import split
from caltech_lab.embedding.embeddings import Embeddings
from caltech_lab.fast.linkage import linkage_matrix
from caltech_lab.fast.silhouette import silhouette
from caltech_lab.retrieval.index import Index, ranked
from caltech_lab.storage.progress import progress
from caltech_lab.storage.threads import map_ahead

K = 50  # clusters
CLAIMS = {
    "SVM validation accuracy": 0.8519,
    f"silhouette, k = {K}": 0.1409,
    f"Davies-Bouldin, k = {K}": 2.2168,
    "precision@10": 0.9853,
}
LINKAGES = (("Ward", "ward", "euclidean"), ("average", "average", "cosine"))
MODELS = (("RBF", 1.0), ("RBF", 0.1), ("linear", 1.0))
DIMENSIONS = (50, 100, 128, 256)
Reading = tuple[str, str, float]
Split = tuple[np.ndarray, np.ndarray]


def readings(embeddings: Embeddings, seed: int = 0) -> pd.DataFrame:
    """Measure each reported score under each definition that the report may have used.

    Parameters
    ----------
    embeddings : Embeddings
        Embeddings; the report's own photos are the subset `report51`.
    seed : int
        Seed of the 80/20 split and the PCA.

    Returns
    -------
    DataFrame
        One row per claim, definition and vector space: `claim`, `definition`, `space`, `reported`,
        `measured` and `off`, the measured score minus the reported one. About a minute on two cores
        for 5,163 photos.
    """
    X, y = embeddings.X, embeddings.y
    parts = split(embeddings.y, seed)
    spaces = {f"{X.shape[1]:,} dimensions": X}
    for d in DIMENSIONS:
        if d < min(X.shape):
            spaces[f"PCA-{d}"] = PCA(d, random_state=seed).fit_transform(X).astype(np.float32)
    rows = []
    for space, Z in progress(spaces.items(), desc="Spaces", unit="space"):
        svm, precision = _svm_readings(Z, y, parts), _precision_readings(Z, y, parts)
        for measured in (svm, _cluster_readings(Z), precision):
            rows += [(claim, what, space, v) for claim, what, v in measured]
    table = pd.DataFrame(rows, columns=["claim", "definition", "space", "measured"])
    table.insert(3, "reported", table["claim"].map(CLAIMS))
    return table.assign(off=table["measured"] - table["reported"])


def closest(table: pd.DataFrame) -> pd.DataFrame:
    """Return the definition of each claim whose score is closest to the reported one."""
    return table.loc[table["off"].abs().groupby(table["claim"], sort=False).idxmin()]


def _svm_readings(Z: np.ndarray, y: np.ndarray, split: Split) -> Iterator[Reading]:
    train, test = split
    ordered = np.concatenate([train, test])
    Z, y, n = Z[ordered].astype(np.float64), y[ordered], len(train)
    # Precompute all inner products, which every SVM would otherwise compute again.
    products = Z @ Z.T
    squares = products.diagonal()
    gamma = 1 / (Z.shape[1] * Z[:n].var())  # gamma="scale" in SVC
    gaussian = 2 * products
    gaussian -= squares[:, None]
    gaussian -= squares
    gaussian *= gamma
    np.exp(gaussian, out=gaussian)

    def accuracies(model: tuple[str, float]) -> tuple[str, float, float]:
        kernel, C = model
        matrix = (gaussian if kernel == "RBF" else products)[:, :n]
        right = SVC(kernel="precomputed", C=C).fit(matrix[:n], y[:n]).predict(matrix) == y
        return f"{kernel} SVM, C = {C:g}", float(right[n:].mean()), float(right[:n].mean())

    for name, held_out, own in map_ahead(accuracies, MODELS, at_once=1):
        yield "SVM validation accuracy", f"{name}, test set", held_out
        yield "SVM validation accuracy", f"{name}, training set", own


def _cluster_readings(Z: np.ndarray) -> Iterator[Reading]:
    for name, method, metric in LINKAGES:
        clusters = cut(linkage_matrix(Z, method, metric), K)
        for distance in ("Euclidean", "cosine"):
            value = float(silhouette(Z, clusters, metric=distance.lower()).mean())
            yield f"silhouette, k = {K}", f"{name} linkage, {distance} silhouette", value
        value = float(davies_bouldin_score(Z, clusters))
        yield f"Davies-Bouldin, k = {K}", f"{name} linkage", value


def _precision_readings(Z: np.ndarray, y: np.ndarray, split: Split) -> Iterator[Reading]:
    train, test = split
    every = np.arange(len(Z))
    unit = normalize(Z)
    index = Index(unit)
    euclidean = faiss.IndexFlatL2(Z.shape[1])
    euclidean.add(np.ascontiguousarray(Z))
    squared, near = euclidean.search(Z, 11)
    results = (
        ("cosine, self-match included", index.search(unit, 10)[1], every, True),
        ("cosine, leave-one-out", index.search(unit, 10, exclude=every)[1], every, False),
        ("Euclidean, leave-one-out", ranked(-squared, near, every)[1], every, False),
        (
            "cosine, test queries",
            train[Index(unit[train]).search(unit[test], 10)[1]],
            test,
            False,
        ),
    )
    for name, ids, queries, has_self in results:
        relevant = y[ids] == y[queries][:, None]
        yield "precision@10", f"precision@10, {name}", float(relevant.mean())
        if not has_self:  # with itself among the results, every query has a hit
            yield "precision@10", f"hit rate@10, {name}", float(relevant.any(axis=1).mean())
