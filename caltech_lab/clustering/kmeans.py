"""K-Means, for one k or a range of k.

``X`` is a matrix of embeddings, float32 of shape (n, d) with rows of unit length; ``y`` is an
int64 vector of shape (n,) with the category of each photo.
"""

import time
from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import davies_bouldin_score

from caltech_lab.clustering.checks import check_k
from caltech_lab.fast.kmeans_starts import shared_starts
from caltech_lab.fast.silhouette import silhouette
from caltech_lab.metrics.clusters import agreement_scores
from caltech_lab.storage.progress import progress

Ints = NDArray[np.int64]


def kmeans(X: NDArray[np.float32], k: int, seed: int = 0, n_init: int = 10) -> KMeans:
    """Fit K-Means with the same result as scikit-learn, but faster.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings.
    k : int
        Number of clusters, 2 to n.
    seed : int
        Seed of the initializations.
    n_init : int
        Number of initializations; the run with the smallest inertia is kept.

    Returns
    -------
    KMeans
        Fitted; ``labels_`` are the clusters, ``inertia_`` the sum of squared distances.

    Raises
    ------
    ArgumentError
        When `k` is not between 2 and the number of different photos.

    References
    ----------
    D. Arthur, S. Vassilvitskii: k-means++: the advantages of careful seeding. Symposium on
    Discrete Algorithms, 2007.
    """
    check_k(k, len(X), X)
    starts: list[NDArray[np.float32]] = []

    def next_start(
        centered: NDArray[np.float32], k: int, random_state: np.random.RandomState
    ) -> NDArray[np.float32]:
        if not starts:
            starts.extend(shared_starts(centered, k, [random_state] * n_init, 2 + int(np.log(k))))
        return starts.pop(0)

    model = KMeans(k, init=next_start, n_init=n_init, random_state=seed).fit(X)
    return model.set_params(init="k-means++")


def kmeans_sweep(
    X: NDArray[np.float32],
    ks: Iterable[int],
    seed: int = 0,
    y: Ints | None = None,
    n_init: int = 3,
) -> pd.DataFrame:
    """Fit K-Means for each k and score it, with a progress bar.

    The initial centers are drawn once, for the largest k, and each smaller k starts from the first
    of them, exactly as k-means++ would draw them. So differences along the curve are due to k and
    not to the initialization. All silhouettes share one pass over the distances.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings.
    ks : iterable of int
        Numbers of clusters, each 2 to n - 1.
    seed, n_init
        As in `kmeans`.
    y : ndarray of int64, shape (n,), optional
        Category of each photo, for the agreement scores.

    Returns
    -------
    DataFrame
        One row per k: ``k``, ``inertia``, ``silhouette`` (mean, Euclidean), ``davies_bouldin``,
        with `y` also the scores of `clusters.agreement_scores`, and ``seconds`` of the fit.

    Raises
    ------
    ArgumentError
        When a k is not between 2 and n - 1, or larger than the number of different photos.
    """
    ks = list(ks)
    for k in ks:
        check_k(k, len(X) - 1, X)
    # One generator per start and a fixed number of trials, so that no k depends on the largest.
    generators = [np.random.RandomState([seed, start]) for start in range(n_init)]
    starts = shared_starts(X, max(ks, default=1), generators, n_trials=5)
    rows, clusterings = [], []
    for k in progress(ks, desc="K-Means", unit="k"):
        start = time.perf_counter()
        models = (KMeans(k, init=centers[:k], n_init=1).fit(X) for centers in starts)
        model = min(models, key=lambda fitted: float(fitted.inertia_))
        seconds = time.perf_counter() - start
        scores = {} if y is None else agreement_scores(model.labels_, y)
        scores |= {"davies_bouldin": float(davies_bouldin_score(X, model.labels_))}
        rows.append({"k": k, "inertia": float(model.inertia_), **scores, "seconds": seconds})
        clusterings.append(model.labels_)
    table = pd.DataFrame(rows)
    # All clusterings share one distance matrix.
    table.insert(2, "silhouette", silhouette(X, clusterings).mean(axis=1))
    return table
