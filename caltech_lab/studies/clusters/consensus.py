"""Several clusterings of the same photos: their agreement and their consensus.

A clustering is an int64 vector of shape (n,), the cluster of each photo.
"""

from collections.abc import Sequence

import fastcluster
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import squareform
from sklearn.metrics import normalized_mutual_info_score

from caltech_lab.clustering.checks import check_k
from caltech_lab.clustering.hierarchical import cut
from caltech_lab.errors import ArgumentError
from caltech_lab.fast.linkage import linkage_bytes
from caltech_lab.storage.memory import require

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def co_association(clusterings: Sequence[Ints]) -> NDArray[np.float32]:
    """Return the share of the clusterings in which two photos share a cluster.

    Parameters
    ----------
    clusterings : sequence of ndarray of int64, shape (n,)
        At least one; they may differ in their number of clusters.

    Returns
    -------
    ndarray of float32, shape (n, n)
        Shares between 0 and 1; 1 on the diagonal.

    Raises
    ------
    ArgumentError
        When there is no clustering, or their numbers of photos differ.

    References
    ----------
    A. L. N. Fred, A. K. Jain: Combining multiple clusterings using evidence accumulation. IEEE
    Transactions on Pattern Analysis and Machine Intelligence 27(6), 2005.

    Examples
    --------
    >>> co_association([np.array([0, 0, 1]), np.array([0, 1, 1])])
    array([[1. , 0.5, 0. ],
           [0.5, 1. , 0.5],
           [0. , 0.5, 1. ]], dtype=float32)
    """
    lengths = {len(clusters) for clusters in clusterings}
    if len(lengths) != 1:
        raise ArgumentError("A consensus needs at least one clustering, all of the same photos.")
    together = np.zeros((n := lengths.pop(), n), dtype=np.float32)
    for clusters in clusterings:
        for members in _groups(clusters):
            together[np.ix_(members, members)] += 1
    together /= len(clusterings)
    return together


def _groups(clusters: Ints) -> list[Ints]:
    """Return the photos of each cluster."""
    order = np.argsort(clusters, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(clusters[order])) + 1)


def consensus(clusterings: Sequence[Ints], k: int) -> Ints:
    """Find the consensus of several clusterings by evidence accumulation.

    The photos are clustered by average linkage; their distance is one minus their co-association.

    Parameters
    ----------
    clusterings : sequence of ndarray of int64, shape (n,)
        As in `co_association`.
    k : int
        Number of clusters, 2 to n.

    Returns
    -------
    ndarray of int64, shape (n,)
        Cluster of each photo; cluster 0 is the largest. The result is deterministic.

    Raises
    ------
    ArgumentError
        When the clusterings are not of the same photos, or `k` is not between 2 and n.
    MemoryLimitError
        When the distances of all pairs do not fit into free memory.

    References
    ----------
    As in `co_association`.
    """
    n = len(clusterings[0]) if clusterings else 0
    check_k(k, n)
    require(
        f"The consensus of {len(clusterings)} clusterings of {n:,} photos",
        8 * n * n + linkage_bytes(n),
        "use a sample of the photos",
    )
    distances = squareform(1 - co_association(clusterings), checks=False).astype(np.float64)
    return cut(fastcluster.linkage(distances, "average", preserve_input=False), k)


def mutual_agreement(clusterings: Sequence[Ints]) -> Floats:
    """Return the mean NMI of each clustering with the others.

    No categories are needed. Structure that many methods find is more likely to be real, but
    methods with a common bias agree too.

    Parameters
    ----------
    clusterings : sequence of ndarray of int64, shape (n,)
        At least two.

    Returns
    -------
    ndarray of float64, shape (number of clusterings,)
        Between 0 and 1.

    Raises
    ------
    ArgumentError
        For fewer than two clusterings.

    References
    ----------
    A. Strehl, J. Ghosh: Cluster ensembles: a knowledge reuse framework for combining multiple
    partitions. Journal of Machine Learning Research 3, 2002.

    Examples
    --------
    >>> a, b = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    >>> mutual_agreement([a, 1 - a, b]).round(2)
    array([0.5, 0.5, 0. ])
    """
    m = len(clusterings)
    if m < 2:
        raise ArgumentError("Agreement needs at least two clusterings.")
    table = np.eye(m)
    for i in range(m):
        for j in range(i):
            table[i, j] = table[j, i] = normalized_mutual_info_score(clusterings[i], clusterings[j])
    agreement: Floats = (table.sum(axis=1) - 1) / (m - 1)
    return agreement
