"""Better clusters without categories, for `report.beyond`: whitening, linkage, scores.

``y`` is an int64 vector of shape (n,) with the category of each photo, used only for scores.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, davies_bouldin_score, normalized_mutual_info_score
from sklearn.preprocessing import normalize

from caltech_lab.clustering.hierarchical import cut
from caltech_lab.clustering.smoothing import smooth_with_neighbors
from caltech_lab.embedding.views import View
from caltech_lab.fast.linkage import linkage_matrix
from caltech_lab.fast.silhouette import silhouette
from caltech_lab.metrics.clusters import agreement_scores
from caltech_lab.metrics.intervals import bootstrap_interval

Ints = NDArray[np.int64]
Matrix = NDArray[np.float32]

COMPONENTS = 512
WHITENING = 0.5
NEIGHBORS = 10
RECIPE = "average linkage of means"
REPETITIONS = 2
SHARE = 0.9  # share of the photos in each repetition
DRAWS = 100  # number of bootstrap samples
SECOND_VIEW = View("efficientnet-lite2", size=260)  # combined with the view of ResNet-50
# Number of clusters and whitening, by subset.
CHOSEN = {"all": (101, WHITENING), "report51": (50, 0.0)}


class Clustering(NamedTuple):
    """Clusters, and the vectors that were clustered.

    Attributes
    ----------
    labels : ndarray of int64, shape (n,)
        Cluster of each photo.
    space : ndarray of float32, shape (n, any)
        The clustered vectors.
    """

    labels: Ints
    space: Matrix


def whitened(
    parts: Matrix | Sequence[Matrix],
    n_components: int = COMPONENTS,
    power: float = WHITENING,
) -> Matrix:
    """Transform embeddings: square root, centering, PCA and partial whitening.

    The square root reduces the influence of a few large activations. Whitening does the same for
    the leading principal components; it is partial because the last components are noise.

    Parameters
    ----------
    parts : ndarray of float32, shape (n, d), or sequence of them
        Embeddings of the same photos, rows of unit length; several are concatenated.
    n_components : int
        Maximum number of principal components; at most n / 2 and d are kept.
    power : float
        Each component is divided by its standard deviation to this power: 0 leaves the components
        unchanged, 1 whitens them fully.

    Returns
    -------
    ndarray of float32, shape (n, components)
        Rows of unit length.

    References
    ----------
    H. Jégou, O. Chum: Negative evidences and co-occurences in image retrieval: the benefit of PCA
    and whitening. ECCV, 2012.
    R. Arandjelović, A. Zisserman: Three things everyone should know to improve object retrieval.
    CVPR, 2012 (the square roots).
    """
    pieces = [parts] if isinstance(parts, np.ndarray) else list(parts)
    roots = np.hstack([normalize(np.sign(X) * np.sqrt(np.abs(X))) for X in pieces])
    count = min(n_components, len(roots) // 2, roots.shape[1])
    pca = PCA(count, svd_solver="covariance_eigh")
    axes = pca.fit_transform(roots.astype(np.float32))
    spread = np.sqrt(np.maximum(pca.explained_variance_, 1e-12))
    even: Matrix = normalize(axes / spread**power).astype(np.float32)
    return even


def best_clustering(
    parts: Matrix | Sequence[Matrix], k: int, power: float = WHITENING
) -> Clustering:
    """Whiten, smooth with neighbors, then cluster by average linkage with cosine distance.

    Parameters
    ----------
    parts, power
        As in `whitened`.
    k : int
        Number of clusters, 2 to n.

    Returns
    -------
    Clustering
        Deterministic. The space is that of the smoothed vectors.
    """
    space = smooth_with_neighbors(whitened(parts, power=power), NEIGHBORS)
    return Clustering(cut(linkage_matrix(space, "average", "cosine"), k), space)


def measured(found: Clustering, y: Ints, seed: int = 0) -> dict[str, Any]:
    """Score a clustering, with 95 % bootstrap intervals over the photos.

    The photos are resampled with their cluster labels; they are not clustered again. Duplicates in
    a sample make clusters look tighter, so the intervals are corrected by the mean shift.

    Parameters
    ----------
    found : Clustering
        From `best_clustering`.
    y : ndarray of int64, shape (n,)
        Category of each photo.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    dict
        ``nmi``, ``ari``, ``silhouette`` and ``davies_bouldin`` (the last two in the clustered
        space), each ``{"value": …, "interval": [low, high]}``; ``ami``, ``purity`` and
        ``matched_accuracy`` as numbers.

    References
    ----------
    B. Efron, R. J. Tibshirani: An Introduction to the Bootstrap. Chapman & Hall, 1993.
    """
    labels, space = found
    rows = np.random.default_rng(seed).integers(len(y), size=(DRAWS, len(y)))
    scores: dict[str, Callable[[Any], float]] = {
        "nmi": lambda drawn: float(normalized_mutual_info_score(y[drawn], labels[drawn])),
        "ari": lambda drawn: float(adjusted_rand_score(y[drawn], labels[drawn])),
        "davies_bouldin": lambda drawn: float(davies_bouldin_score(space[drawn], labels[drawn])),
    }
    result: dict[str, Any] = agreement_scores(labels, y)
    for name, score in scores.items():
        value, again = score(slice(None)), [score(drawn) for drawn in rows]
        low, high = value - np.mean(again) + np.quantile(again, [0.025, 0.975])
        result[name] = {"value": value, "interval": [float(low), float(high)]}
    value, low, high = bootstrap_interval(silhouette(space, labels), seed=seed)
    result["silhouette"] = {"value": value, "interval": [low, high]}
    return result


def better_clusters(
    parts: Matrix | Sequence[Matrix],
    y: Ints,
    k: int,
    seed: int = 0,
    *,
    power: float = WHITENING,
) -> dict[str, Any]:
    """Evaluate `best_clustering` for the final report.

    The method is deterministic, so the repetitions differ in their photos: each clusters a random
    90 % sample.

    Parameters
    ----------
    parts, power
        As in `whitened`.
    y : ndarray of int64, shape (n,)
        Category of each photo.
    k : int
        Number of clusters, 2 to n - 1.
    seed : int
        Seed of the bootstrap and of the first repetition; later repetitions use the next seeds.

    Returns
    -------
    dict
        The result of `measured`, and ``recipe``, ``whitening``, ``k``, ``n_photos``;
        ``repetitions``, a list of ``seed``, ``n_photos``, ``nmi``, ``ari``, ``silhouette`` and
        ``davies_bouldin``.
    """
    pieces = [parts] if isinstance(parts, np.ndarray) else list(parts)
    repeated = []
    for again in range(seed, seed + REPETITIONS):
        random = np.random.default_rng(again)
        drawn = np.sort(random.permutation(len(y))[: round(SHARE * len(y))])
        labels, space = best_clustering([X[drawn] for X in pieces], k, power)
        repeated.append(
            {
                "seed": again,
                "n_photos": len(drawn),
                "nmi": float(normalized_mutual_info_score(y[drawn], labels)),
                "ari": float(adjusted_rand_score(y[drawn], labels)),
                "silhouette": float(silhouette(space, labels).mean()),
                "davies_bouldin": float(davies_bouldin_score(space, labels)),
            }
        )
    return {
        "recipe": RECIPE,
        "whitening": power,
        "k": k,
        "n_photos": len(y),
        **measured(best_clustering(pieces, k, power), y, seed),
        "repetitions": repeated,
    }
