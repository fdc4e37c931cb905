"""Better clusters without categories: whitening, a comparison of methods, scores of the best.

``y`` is an int64 vector of shape (n,) with the category of each photo, used only for scores.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, davies_bouldin_score, normalized_mutual_info_score
from sklearn.preprocessing import normalize

from caltech_lab.clustering.checks import check_k
from caltech_lab.clustering.hierarchical import cut
from caltech_lab.clustering.kmeans import kmeans
from caltech_lab.clustering.smoothing import smooth_with_neighbors
from caltech_lab.embedding.views import View
from caltech_lab.fast.linkage import linkage_matrix
from caltech_lab.fast.silhouette import silhouette
from caltech_lab.metrics.clusters import agreement_scores
from caltech_lab.metrics.intervals import bootstrap_interval
from caltech_lab.storage.progress import progress
from caltech_lab.studies.clusters.consensus import consensus, mutual_agreement
from caltech_lab.studies.clusters.deep_clustering import train_heads
from caltech_lab.studies.clusters.graph_clustering import (
    neighbor_graph,
    spectral_clusters,
    spectral_embedding,
)

Ints = NDArray[np.int64]
Matrix = NDArray[np.float32]

COMPONENTS = 512
WHITENING = 0.5
NEIGHBORS = 10
HEAD_COMPONENTS = 256  # input dimension of the heads, which are the slowest method
SPECTRAL_NEIGHBORS = 20
RECIPE = "average linkage of means"
CONSENSUS = "consensus of the others"
SHARE = 0.9  # share of the photos in each repetition
DRAWS = 100  # number of bootstrap samples
SECOND_VIEW = View("efficientnet-lite2", size=260)  # combined with the view of ResNet-50
# Number of clusters and whitening, by subset.
CHOSEN = {"all": (101, WHITENING), "report51": (50, 0.0)}
# What was aimed at: the least of a score, or the most of Davies-Bouldin.


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


def cluster_in_many_ways(even: Matrix, k: int, seed: int = 0) -> pd.DataFrame:
    """Cluster the same vectors with several methods, with a progress bar.

    Parameters
    ----------
    even : ndarray of float32, shape (n, d)
        Vectors from `whitened`.
    k : int
        Number of clusters, 2 to n - 1.
    seed : int
        Seed of K-Means and of the heads.

    Returns
    -------
    DataFrame
        One row per photo, one column per clustering: the photo's cluster. The last column is the
        consensus of all others.
    """
    check_k(k, len(even) - 1)
    means = smooth_with_neighbors(even, NEIGHBORS)
    near = min(SPECTRAL_NEIGHBORS, len(even) - 1)
    recipes: dict[str, Callable[[], Ints]] = {
        "Ward": lambda: cut(linkage_matrix(even), k),
        "K-Means": lambda: kmeans(even, k, seed, 3).labels_,
        "average linkage": lambda: cut(linkage_matrix(even, "average", "cosine"), k),
        "spectral": lambda: spectral_clusters(even, k, near, seed=seed),
        "spectral, mutual": lambda: spectral_clusters(even, k, near, mutual=True, seed=seed),
        "heads (TEMI)": lambda: train_heads(even[:, :HEAD_COMPONENTS], k, seed=seed).best,
        "K-Means of means": lambda: kmeans(means, k, seed, 3).labels_,
        RECIPE: lambda: cut(linkage_matrix(means, "average", "cosine"), k),
    }
    found = {}
    for name, recipe in progress(recipes.items(), desc="Clustering", unit="run"):
        found[name] = recipe().astype(np.int64)
    return pd.DataFrame(found | {CONSENSUS: consensus(list(found.values()), k)})


def score_table(even: Matrix, clusterings: pd.DataFrame, y: Ints) -> pd.DataFrame:
    """Score clusterings by geometry, by mutual agreement, and by agreement with the categories.

    Parameters
    ----------
    even : ndarray of float32, shape (n, d)
        The clustered vectors.
    clusterings : DataFrame
        From `cluster_in_many_ways`.
    y : ndarray of int64, shape (n,)
        Category of each photo.

    Returns
    -------
    DataFrame
        One row per clustering: ``own_silhouette`` and ``own_davies_bouldin``, in the space that was
        clustered (smoothed vectors, or eigenvectors of a graph; smoothed vectors for the
        consensus); ``silhouette`` and ``davies_bouldin`` on `even`, where all rows are comparable;
        ``agreement``, from `consensus.mutual_agreement`; ``largest``, the share of the photos in
        the largest cluster; and the scores of `clusters.agreement_scores`.
    """
    labels = {str(name): clusterings[name].to_numpy() for name in clusterings}
    k = int(clusterings["K-Means"].nunique())
    near = min(SPECTRAL_NEIGHBORS, len(even) - 1)
    means = smooth_with_neighbors(even, NEIGHBORS)
    spaces = {"K-Means of means": means, RECIPE: means, CONSENSUS: means} | {
        name: spectral_embedding(neighbor_graph(even, near, mutual=mutual), k)
        for name, mutual in (("spectral", False), ("spectral, mutual", True))
    }
    common = silhouette(even, list(labels.values())).mean(axis=1)
    agreement = mutual_agreement(list(labels.values()))
    rows = {}
    for i, (name, clusters) in enumerate(labels.items()):
        space = spaces.get(name, even)
        rows[name] = {
            "own_silhouette": float(silhouette(space, clusters).mean()),
            "own_davies_bouldin": float(davies_bouldin_score(space, clusters)),
            "silhouette": float(common[i]),
            "davies_bouldin": float(davies_bouldin_score(even, clusters)),
            "agreement": float(agreement[i]),
            "largest": float(np.bincount(clusters).max() / len(clusters)),
            **agreement_scores(clusters, y),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("recipe")


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
    repetitions: int = 2,
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
    repetitions : int
        Number of repetitions.

    Returns
    -------
    dict
        The result of `measured`, and ``recipe``, ``whitening``, ``k``, ``n_photos``;
        ``repetitions``, a list of ``seed``, ``n_photos``, ``nmi``, ``ari``, ``silhouette`` and
        ``davies_bouldin``.
    """
    pieces = [parts] if isinstance(parts, np.ndarray) else list(parts)
    repeated = []
    for again in range(seed, seed + repetitions):
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
