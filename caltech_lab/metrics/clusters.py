"""Scores of a clustering, with and without categories.

``X`` is a matrix of embeddings, float32 of shape (n, d) with rows of unit length; ``y`` is an
int64 vector of shape (n,) with the category of each photo. Scores lie between 0 and 1 unless a
docstring says otherwise.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import (
    adjusted_mutual_info_score,
    adjusted_rand_score,
    davies_bouldin_score,
    normalized_mutual_info_score,
)
from sklearn.metrics.cluster import contingency_matrix

from caltech_lab.fast.silhouette import silhouette

Ints = NDArray[np.int64]


def cluster_scores(
    X: NDArray[np.float32], clusters: Ints, y: Ints | None = None
) -> dict[str, float]:
    """Score a clustering by its geometry and, given categories, by its agreement with them.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings.
    clusters : ndarray of int64, shape (n,)
        Cluster of each photo.
    y : ndarray of int64, shape (n,), optional
        Category of each photo.

    Returns
    -------
    dict of str to float
        ``silhouette`` (mean, -1 to 1, Euclidean) and ``davies_bouldin`` (0 or more, lower is
        better); with `y` also the scores of `agreement_scores`.
    """
    scores = {
        "silhouette": float(silhouette(X, clusters).mean()),
        "davies_bouldin": float(davies_bouldin_score(X, clusters)),
    }
    return scores if y is None else scores | agreement_scores(clusters, y)


def agreement_scores(clusters: Ints, y: Ints) -> dict[str, float]:
    """Compare a clustering with the categories.

    Parameters
    ----------
    clusters : ndarray of int64, shape (n,)
        Cluster of each photo.
    y : ndarray of int64, shape (n,)
        Category of each photo.

    Returns
    -------
    dict of str to float
        ``nmi`` and ``ami``, normalized and adjusted mutual information; ``ari``, adjusted Rand
        index (adjusted scores are near 0 by chance and can be negative); ``purity``, accuracy
        when each cluster predicts its most frequent category; ``matched_accuracy``, accuracy under
        the best one-to-one matching of clusters and categories.

    References
    ----------
    N. X. Vinh, J. Epps, J. Bailey: Information theoretic measures for clusterings comparison.
    Journal of Machine Learning Research 11, 2010.
    H. W. Kuhn: The Hungarian method for the assignment problem. Naval Research Logistics
    Quarterly 2, 1955.

    Examples
    --------
    >>> scores = agreement_scores(np.array([0, 0, 1, 1, 2]), np.array([5, 5, 7, 7, 7]))
    >>> scores["purity"], scores["matched_accuracy"]
    (1.0, 0.8)
    """
    table = contingency_matrix(y, clusters)
    return {
        "nmi": float(normalized_mutual_info_score(y, clusters)),
        "ami": float(adjusted_mutual_info_score(y, clusters)),
        "ari": float(adjusted_rand_score(y, clusters)),
        "purity": float(table.max(axis=0).sum() / table.sum()),
        "matched_accuracy": float(
            table[linear_sum_assignment(table, maximize=True)].sum() / table.sum()
        ),
    }
