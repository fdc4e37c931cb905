"""Scores of linkages and K-Means, with and without neighbor smoothing.

``X`` is a matrix of embeddings, float32 of shape (n, d) with rows of unit length; ``y`` is an
int64 vector of shape (n,) with the category of each photo.
"""

import time
from collections.abc import Iterator
from itertools import chain

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import davies_bouldin_score

from caltech_lab.clustering.checks import check_k
from caltech_lab.clustering.hierarchical import cut
from caltech_lab.clustering.kmeans import kmeans
from caltech_lab.clustering.smoothing import smooth_with_neighbors
from caltech_lab.fast.linkage import linkage_matrices
from caltech_lab.fast.silhouette import silhouette
from caltech_lab.metrics.clusters import agreement_scores
from caltech_lab.storage.progress import progress

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


LINKAGES = (
    ("ward", "euclidean"),
    ("average", "euclidean"),
    ("average", "cosine"),
    ("complete", "cosine"),
    ("single", "cosine"),
)
"""Pairs of linkage method and distance to compare."""


def compare_clusterings(
    X: NDArray[np.float32], y: Ints, k: int, seed: int = 0, ward: Floats | None = None
) -> pd.DataFrame:
    """Score linkages and K-Means, with and without neighbor smoothing, with a progress bar.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings, rows of unit length.
    y : ndarray of int64, shape (n,)
        Category of each photo; used only for the scores.
    k : int
        Number of clusters, 2 to n - 1.
    seed : int
        Seed of K-Means, which keeps the best of three initializations.
    ward : ndarray of float64, shape (n - 1, 4), optional
        ``linkage_matrix(X)``, if it has been computed before.

    Returns
    -------
    DataFrame
        One row per clustering, named in the index: ``silhouette`` and ``davies_bouldin``, always
        on `X` so that rows are comparable; ``nmi``, ``ami``, ``ari``, ``purity``,
        ``matched_accuracy``; ``largest``, the share of the photos in the largest cluster; and
        ``seconds``, where work that several clusterings share counts for the first of them.
    """
    check_k(k, len(X) - 1, X)
    rows, clusterings = {}, []
    found = _clusterings(X, k, seed, ward)
    start = time.perf_counter()
    for name, clusters in progress(found, total=len(LINKAGES) + 4, desc="Clustering", unit="run"):
        seconds = time.perf_counter() - start
        rows[name] = {
            "davies_bouldin": float(davies_bouldin_score(X, clusters)),
            **agreement_scores(clusters, y),
            "largest": float(np.bincount(clusters).max() / len(X)),
            "seconds": seconds,
        }
        clusterings.append(clusters)
        start = time.perf_counter()
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("recipe")
    # All clusterings share one distance matrix.
    table.insert(0, "silhouette", silhouette(X, np.stack(clusterings)).mean(axis=1))
    return table


def _clusterings(
    X: NDArray[np.float32], k: int, seed: int, ward: Floats | None
) -> Iterator[tuple[str, Ints]]:
    """Yield the name and the clusters of each clustering that `compare_clusterings` scores."""
    given = [] if ward is None else [ward]  # the first of the linkages
    linkages = chain(given, linkage_matrices(X, LINKAGES[len(given) :]))
    for (method, metric), Z in zip(LINKAGES, linkages, strict=True):
        yield f"{method} linkage, {metric}", cut(Z, k)
    yield "K-Means", kmeans(X, k, seed, 3).labels_
    means = smooth_with_neighbors(X)
    ward, average = linkage_matrices(means, [("ward", "euclidean"), ("average", "cosine")])
    yield "ward linkage, smoothed", cut(ward, k)
    yield "K-Means, smoothed", kmeans(means, k, seed, 3).labels_
    yield "average linkage, smoothed", cut(average, k)
