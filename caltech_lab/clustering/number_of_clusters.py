"""Choose the number of clusters by four criteria that need no categories."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score

from caltech_lab.clustering.checks import check_k
from caltech_lab.clustering.kmeans import kmeans
from caltech_lab.errors import ArgumentError
from caltech_lab.fast.silhouette import silhouette
from caltech_lab.storage.progress import progress

Floats = NDArray[np.float64]


def cluster_number_table(
    X: NDArray[np.float32],
    ks: Sequence[int],
    *,
    references: int = 3,
    draws: int = 5,
    seed: int = 0,
) -> pd.DataFrame:
    """Score numbers of clusters of K-Means by four criteria, with a progress bar.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings; use a sample and a few dozen dimensions to keep it fast.
    ks : sequence of int
        Numbers of clusters, ascending, each 2 to half of n.
    references : int
        Number of reference datasets without clusters for the gap statistic, at least 2.
    draws : int
        Number of random samples of 80 % of the photos for the stability, at least 2.
    seed : int
        Seed of K-Means, the reference datasets and the samples.

    Returns
    -------
    DataFrame
        Indexed by k: ``inertia``; ``silhouette`` (mean, Euclidean); ``gap``, the gap statistic
        against points drawn uniformly in the bounding box along the principal axes, and
        ``gap_error``, its standard error; ``stability``, the mean adjusted Rand index between the
        clusterings of two samples, on the photos in both.

    Raises
    ------
    ArgumentError
        When a k is not between 2 and n / 2, or `references` or `draws` is less than 2.

    References
    ----------
    R. Tibshirani, G. Walther, T. Hastie: Estimating the number of clusters in a data set via the
    gap statistic. Journal of the Royal Statistical Society B 63, 2001.
    A. Ben-Hur, A. Elisseeff, I. Guyon: A stability based method for discovering structure in
    clustered data. Pacific Symposium on Biocomputing, 2002.
    U. von Luxburg: Clustering stability: an overview. Foundations and Trends in Machine Learning 2,
    2010.
    """
    for k in ks:
        check_k(k, len(X) // 2, X)
    if min(references, draws) < 2:
        raise ArgumentError("references and draws must be at least 2 each.")
    random = np.random.default_rng(seed)
    empty = [_without_clusters(X, random) for _ in range(references)]
    samples = [random.permutation(len(X))[: round(0.8 * len(X))] for _ in range(draws)]

    rows, clusterings = [], []
    for k in progress(list(ks), desc="Numbers of clusters", unit="k"):
        model = kmeans(X, k, seed, 3)
        expected = [np.log(kmeans(E, k, seed, 1).inertia_) for E in empty]
        rows.append(
            {
                "k": k,
                "inertia": float(model.inertia_),
                "gap": float(np.mean(expected) - np.log(model.inertia_)),
                "gap_error": float(np.std(expected) * np.sqrt(1 + 1 / references)),
                "stability": _stability(X, k, samples, seed),
            }
        )
        clusterings.append(model.labels_)
    table = pd.DataFrame(rows).set_index("k")
    table.insert(1, "silhouette", silhouette(X, clusterings).mean(axis=1))
    return table


def best_numbers(table: pd.DataFrame) -> dict[str, int]:
    """Return the number of clusters that each criterion chooses.

    Parameters
    ----------
    table : DataFrame
        From `cluster_number_table`, with at least three rows.

    Returns
    -------
    dict of str to int
        ``elbow``, where the inertia is farthest below the line from its first to its last value;
        ``silhouette`` and ``stability``, where they are highest; ``gap``, the smallest k whose gap
        is at least that of the next k minus its standard error, or the last k if there is none.

    References
    ----------
    V. Satopää, J. Albrecht, D. Irwin, B. Raghavan: Finding a "kneedle" in a haystack. ICDCS
    Workshops, 2011 (the elbow).
    """
    ks, inertia = table.index.to_numpy(), table["inertia"].to_numpy()
    line = np.interp(ks, ks[[0, -1]], inertia[[0, -1]])
    gap, error = table["gap"].to_numpy(), table["gap_error"].to_numpy()
    enough = np.append(gap[:-1] >= gap[1:] - error[1:], True)
    return {
        "elbow": int(ks[np.argmax(line - inertia)]),
        "silhouette": int(ks[np.argmax(table["silhouette"])]),
        "gap": int(ks[np.argmax(enough)]),
        "stability": int(ks[np.argmax(table["stability"])]),
    }


def _without_clusters(X: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """Draw as many points uniformly from the bounding box of `X` along its principal axes."""
    centered = X - X.mean(axis=0)
    _, axes = np.linalg.eigh(centered.T @ centered)
    turned = centered @ axes
    spread = random.uniform(turned.min(axis=0), turned.max(axis=0), size=X.shape)
    return spread.astype(np.float32)  # not rotated back: a rotation changes no distance


def _stability(
    X: NDArray[np.float32], k: int, samples: Sequence[NDArray[np.int64]], seed: int
) -> float:
    labels = np.full((len(samples), len(X)), -1)
    for i, sample in enumerate(samples):
        # A different seed per sample: a clustering that depends on its initialization is unstable.
        labels[i, sample] = kmeans(X[sample], k, seed + i, 1).labels_
    agreements = []
    for a, b in combinations(labels, 2):
        both = (a >= 0) & (b >= 0)
        agreements.append(adjusted_rand_score(a[both], b[both]))
    return float(np.mean(agreements))
