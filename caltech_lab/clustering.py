"""K-Means over many k, and hierarchical clustering of thousands of photos.

``X`` is a matrix of embeddings, float32 of shape (n, d) with rows of length one; ``y`` is an int64
vector of shape (n,) with the category of each photo.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import fastcluster
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components
from sklearn.cluster import KMeans
from sklearn.metrics import davies_bouldin_score
from sklearn.metrics.pairwise import cosine_distances, euclidean_distances
from sklearn.preprocessing import normalize

from caltech_lab.errors import ArgumentError
from caltech_lab.evaluation import agreement_scores, silhouette
from caltech_lab.memory import require
from caltech_lab.progress import progress
from caltech_lab.retrieval import build_index, search

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

METHODS = ("ward", "average", "complete", "single")
DISTANCES = {"euclidean": euclidean_distances, "cosine": cosine_distances}
ROWS_AT_ONCE = 512  # of the matrix of distances
LINKAGES = (
    ("ward", "euclidean"),
    ("average", "euclidean"),
    ("average", "cosine"),
    ("complete", "cosine"),
    ("single", "cosine"),
)
"""Pairs of linkage and distance worth comparing."""


def kmeans(X: NDArray[np.float32], k: int, seed: int = 0, n_init: int = 10) -> KMeans:
    """Fit K-Means, the same as scikit-learn's but sooner.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings.
    k : int
        Number of clusters, 2 to n.
    seed : int
        Seed of the random starts.
    n_init : int
        Number of random starts; the one with the smallest inertia is kept.

    Returns
    -------
    KMeans
        Fitted; ``labels_`` are the clusters, ``inertia_`` the sum of squared distances.

    Raises
    ------
    ArgumentError
        When `k` is not between 2 and n.

    References
    ----------
    D. Arthur, S. Vassilvitskii: k-means++: the advantages of careful seeding. Symposium on
    Discrete Algorithms, 2007.
    """
    check_k(k, len(X))
    starts: list[NDArray[np.float32]] = []

    def next_start(
        centred: NDArray[np.float32], k: int, random_state: np.random.RandomState
    ) -> NDArray[np.float32]:
        if not starts:
            starts.extend(_starts(centred, k, [random_state] * n_init, 2 + int(np.log(k))))
        return starts.pop(0)

    model = KMeans(k, init=next_start, n_init=n_init, random_state=seed).fit(X)
    return model.set_params(init="k-means++")


def _starts(
    X: NDArray[np.float32], k: int, generators: Sequence[np.random.RandomState], n_trials: int
) -> list[NDArray[np.float32]]:
    """Draw the centres that K-Means starts from, one array of shape (k, d) for each generator.

    They are those that scikit-learn's greedy k-means++ draws. It reads all photos once for every
    centre of every start; here the starts go side by side, and share the reading.
    """
    n, ones = len(X), np.ones(len(X), X.dtype)
    squares = np.einsum("ij,ij->i", X, X, dtype=np.float64)
    chosen = np.empty((len(generators), k), np.int64)
    luck = np.empty((len(generators), k - 1, n_trials))
    for start, random in enumerate(generators):
        chosen[start, 0] = random.choice(n, p=ones / n)
        luck[start] = random.uniform(size=luck[start].shape)
    nearest = _squared_distances(X, chosen[:, 0], squares)
    potentials = nearest @ ones
    for step in range(1, k):
        ends = [
            np.searchsorted(np.cumsum(near), luck[start, step - 1] * potentials[start])
            for start, near in enumerate(nearest)
        ]
        candidates = np.minimum(np.stack(ends), n - 1)
        distances = _squared_distances(X, candidates.ravel(), squares)
        distances = distances.reshape(*candidates.shape, n)
        for start, near in enumerate(distances):
            np.minimum(near, nearest[start], out=near)
            left = near @ ones
            best = left.argmin()
            chosen[start, step] = candidates[start, best]
            potentials[start], nearest[start] = left[best], near[best]
    return [X[rows] for rows in chosen]


def _squared_distances(X: NDArray[np.float32], rows: Ints, squares: Floats) -> NDArray[np.float32]:
    """Return the squared distances of some rows to all, computed in float64, shape (rows, n)."""
    some = X[rows].astype(np.float64)
    distances = np.empty((len(rows), len(X)), X.dtype)
    wide = np.empty((ROWS_AT_ONCE, X.shape[1]))  # one block, made once: fresh memory costs more
    for start in range(0, len(X), ROWS_AT_ONCE):
        part = slice(start, min(start + ROWS_AT_ONCE, len(X)))
        block = wide[: part.stop - start]
        block[:] = X[part]
        products = some @ block.T
        products *= -2
        products += squares[rows, None]
        products += squares[part]
        distances[:, part] = products
    return np.maximum(distances, 0, out=distances)


def kmeans_sweep(
    X: NDArray[np.float32],
    ks: Iterable[int],
    seed: int = 0,
    y: Ints | None = None,
    n_init: int = 3,
) -> pd.DataFrame:
    """Fit K-Means for each k and score it, with a progress bar.

    The work is shared: the starting centres are drawn once, for the largest k, and each smaller k
    starts from the first of them, as k-means++ would have drawn them; all silhouettes come from
    one pass over the distances. So the curve over k shows k, and not the luck of the draw.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings.
    ks : iterable of int
        Numbers of clusters, each 2 to n - 1.
    seed, n_init
        As in `kmeans`.
    y : ndarray of int64, shape (n,), optional
        Category of each photo, for the scores of agreement.

    Returns
    -------
    DataFrame
        One row a k: ``k``, ``inertia``, ``silhouette`` (mean, Euclidean), ``davies_bouldin``,
        with `y` also the scores of `evaluation.agreement_scores`, and ``seconds`` of the fit.

    Raises
    ------
    ArgumentError
        When a k is not between 2 and n - 1.
    """
    ks = list(ks)
    for k in ks:
        check_k(k, len(X) - 1)
    # A generator a start, and as many trials for each centre: the largest k changes no other.
    generators = [np.random.RandomState([seed, start]) for start in range(n_init)]
    starts = _starts(X, max(ks, default=1), generators, n_trials=5)
    rows, clusterings = [], []
    for k in progress(ks, desc="K-Means", unit="k"):
        start = time.perf_counter()
        models = (KMeans(k, init=centres[:k], n_init=1).fit(X) for centres in starts)
        model = min(models, key=lambda fitted: float(fitted.inertia_))
        seconds = time.perf_counter() - start
        scores = {} if y is None else agreement_scores(model.labels_, y)
        scores |= {"davies_bouldin": float(davies_bouldin_score(X, model.labels_))}
        rows.append({"k": k, "inertia": float(model.inertia_), **scores, "seconds": seconds})
        clusterings.append(model.labels_)
    table = pd.DataFrame(rows)
    # All the clusterings share one matrix of distances.
    table.insert(2, "silhouette", silhouette(X, clusterings).mean(axis=1))
    return table


def linkage_tree(X: NDArray[np.float32], method: str = "ward", metric: str = "euclidean") -> Floats:
    """Build the tree of a hierarchical clustering, the same as SciPy's but sooner.

    The distances come from matrix products and go to fastcluster, which copies them once.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings, at least two.
    method : {"ward", "average", "complete", "single"}
        How the distance between two clusters follows from those between their photos.
    metric : {"euclidean", "cosine"}
        Distance between photos; Ward's method is defined for the Euclidean one.

    Returns
    -------
    ndarray of float64, shape (n - 1, 4)
        SciPy's linkage matrix: the two clusters merged, their distance, the number of photos.

    Raises
    ------
    ArgumentError
        For fewer than two photos, an unknown linkage or distance, or Ward's method with
        another distance than the Euclidean one.
    MemoryLimitError
        When what `tree_bytes` says does not fit into the memory that is free.

    References
    ----------
    D. Müllner: fastcluster: fast hierarchical, agglomerative clustering routines for R and
    Python. Journal of Statistical Software 53(9), 2013.
    J. H. Ward: Hierarchical grouping to optimize an objective function. Journal of the American
    Statistical Association 58, 1963.
    """
    return next(linkage_trees(X, [(method, metric)]))


def linkage_trees(X: NDArray[np.float32], pairs: Iterable[tuple[str, str]]) -> Iterator[Floats]:
    """Build the linkage matrices of several clusterings of the same photos.

    Linkages that follow one another share the distances, and cosine distances are made from
    Euclidean ones where those came before.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings, at least two.
    pairs : iterable of (method, metric)
        As in `linkage_tree`, whose errors are raised for them.

    Yields
    ------
    ndarray of float64, shape (n - 1, 4)
        A linkage matrix for each pair, as `linkage_tree` returns it.
    """
    distances, kind = np.empty(0), ""
    for method, metric in pairs:
        _check_linkage(len(X), method, metric)
        if (kind, metric) == ("euclidean", "cosine"):
            _euclidean_to_cosine(distances, X)
        elif kind != metric:
            distances = np.empty(0)  # the old ones go before the new ones come
            require(
                f"A tree of {len(X):,} photos",
                tree_bytes(*X.shape),
                "cluster a sample of the photos, or the centroids of a K-Means with a few hundred "
                "clusters",
            )
            distances = _condensed_distances(X, metric)
        kind = metric
        # Without `preserve_input` fastcluster works on its own one copy, and not on two.
        yield np.asarray(fastcluster.linkage(distances, method=method, preserve_input=False))


def _euclidean_to_cosine(distances: Floats, X: NDArray[np.float32]) -> None:
    """Turn the Euclidean distances of the pairs into their cosine distances, in place."""
    squares = np.einsum("ij,ij->i", X, X, dtype=np.float64)
    lengths = np.sqrt(np.where(squares > 0, squares, 1))
    first = 0
    for i in range(len(X) - 1):  # 1 - cos = 1 + (|a - b|² - |a|² - |b|²) / (2 |a| |b|)
        tail = distances[first : (first := first + len(X) - 1 - i)]
        tail *= tail
        tail -= squares[i] + squares[i + 1 :]
        tail /= 2 * lengths[i] * lengths[i + 1 :]
        tail += 1
    np.clip(distances, 0, 2, out=distances)


def _check_linkage(n: int, method: str, metric: str) -> None:
    if n < 2:
        raise ArgumentError(f"A tree needs at least two photos, but there are {n}.")
    if method not in METHODS or metric not in DISTANCES:
        raise ArgumentError(
            f"The linkage must be one of {', '.join(METHODS)} and the distance one of "
            f"{', '.join(DISTANCES)}, not {method!r} and {metric!r}."
        )
    if method == "ward" and metric != "euclidean":
        raise ArgumentError(f"Ward's method needs Euclidean distances, not {metric} ones.")


def linkage_bytes(n: int) -> int:
    """Return the bytes that `linkage_tree` takes for the distances between n photos.

    Examples
    --------
    >>> linkage_bytes(8677) / 1e6
    301.126608
    """
    return n * (n - 1) // 2 * 8


def tree_bytes(n: int, d: int) -> int:
    """Estimate the most bytes that `linkage_tree` takes at a time, for n photos of d numbers."""
    distances = linkage_bytes(n)
    while_made = distances + 8 * n * d + 2 * ROWS_AT_ONCE * 8 * n
    return max(while_made, 2 * distances)


def _condensed_distances(X: NDArray[np.float32], metric: str) -> Floats:
    """Return the distances of the pairs i < j, shape (n (n - 1) / 2,), in SciPy's order."""
    X64, n = X.astype(np.float64), len(X)
    condensed = np.empty(n * (n - 1) // 2)
    first = 0
    for start in range(0, n, ROWS_AT_ONCE):
        block = X64[start : start + ROWS_AT_ONCE]
        for i, row in enumerate(DISTANCES[metric](block, X64[start:])):
            tail = row[i + 1 :]
            condensed[first : first + len(tail)] = tail
            first += len(tail)
    return condensed


def cut(tree: Floats, k: int) -> Ints:
    """Cut a tree into exactly k clusters.

    Unlike SciPy's `fcluster` with ``maxclust`` this gives k clusters also where merges tie.

    Parameters
    ----------
    tree : ndarray of float64, shape (n - 1, 4)
        A tree of `linkage_tree`.
    k : int
        Number of clusters, 2 to n.

    Returns
    -------
    ndarray of int64, shape (n,)
        Cluster of each photo; cluster 0 is the largest, k - 1 the smallest.

    Raises
    ------
    ArgumentError
        When `k` is not between 2 and n.
    """
    n = len(tree) + 1
    check_k(k, n)
    # The first n - k merges, as the edges of a graph, leave k connected components.
    children = tree[: n - k, :2].astype(np.int64)
    parents = np.arange(n, 2 * n - k)
    ends = np.concatenate([children[:, 0], children[:, 1]]), np.tile(parents, 2)
    graph = coo_array((np.ones(len(ends[0]), dtype=np.int8), ends), shape=(2 * n - k,) * 2)
    clusters: Ints = connected_components(graph, directed=False)[1][:n]
    by_size = np.argsort(-np.bincount(clusters, minlength=k), kind="stable")
    ranks: Ints = np.argsort(by_size)
    return ranks[clusters]


def compare_linkages(
    X: NDArray[np.float32],
    y: Ints,
    k: int,
    pairs: Iterable[tuple[str, str]] = LINKAGES,
) -> pd.DataFrame:
    """Cut the trees of several linkages into k clusters and score them, with a progress bar.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings.
    y : ndarray of int64, shape (n,)
        Category of each photo.
    k : int
        Number of clusters, 2 to n - 1.
    pairs : iterable of (method, metric)
        As in `linkage_tree`.

    Returns
    -------
    DataFrame
        One row a pair: ``method``, ``metric``, ``silhouette`` (mean; always Euclidean, so that
        the rows compare), ``largest`` (share of the photos in the largest cluster; near 1 for a
        tree that chains), the scores of `evaluation.agreement_scores`, and ``seconds`` of the
        linkage, where distances that several pairs share count for the first of them.
    """
    check_k(k, len(X) - 1)
    rows, clusterings = [], []
    pairs = list(pairs)
    start = time.perf_counter()
    for (method, metric), tree in progress(
        zip(pairs, linkage_trees(X, pairs), strict=True),
        total=len(pairs), desc="Linkages", unit="tree",
    ):  # fmt: skip
        seconds = time.perf_counter() - start
        clusters = cut(tree, k)
        rows.append(
            {
                "method": method,
                "metric": metric,
                "largest": float(np.mean(clusters == 0)),
                **agreement_scores(clusters, y),
                "seconds": seconds,
            }
        )
        clusterings.append(clusters)
        start = time.perf_counter()
    table = pd.DataFrame(rows)
    table.insert(2, "silhouette", silhouette(X, clusterings).mean(axis=1))
    return table


def check_k(k: int, most: int) -> None:
    """Raise an `ArgumentError` unless k is a number of clusters between 2 and `most`."""
    if not 2 <= k <= most:
        raise ArgumentError(f"k must be between 2 and {most} for these photos, not {k}.")


def neighbour_means(X: NDArray[np.float32], n_neighbours: int = 10) -> NDArray[np.float32]:
    """Replace each photo by the mean of itself and its nearest neighbours.

    What a photo has for itself alone averages out, what it shares with the photos around it stays:
    groups become tighter and the thin bridges between them break. No categories are used.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings, rows of length one.
    n_neighbours : int
        Neighbours averaged with a photo, 1 to n - 1.

    Returns
    -------
    ndarray of float32, shape (n, d)
        Means, scaled to length one.

    Raises
    ------
    ArgumentError
        When `n_neighbours` is not between 1 and n - 1.

    References
    ----------
    P. Turcot, D. G. Lowe: Better matching with fewer features: the selection of useful features in
    large database recognition problems. ICCV Workshops, 2009.
    R. Arandjelović, A. Zisserman: Three things everyone should know to improve object retrieval.
    CVPR, 2012 (there for retrieval, as database-side augmentation).
    Y. Cheng: Mean shift, mode seeking, and clustering. IEEE Transactions on Pattern Analysis and
    Machine Intelligence 17, 1995 (this is one step of its blurring form).

    Examples
    --------
    >>> neighbour_means(np.array([[1, 0], [0.8, 0.6], [0, -1]], dtype=np.float32), 1).round(2)
    array([[ 0.95,  0.32],
           [ 0.95,  0.32],
           [ 0.71, -0.71]], dtype=float32)
    """
    if not 1 <= n_neighbours < len(X):
        raise ArgumentError(
            f"n_neighbours must be between 1 and {len(X) - 1} for these photos, not {n_neighbours}."
        )
    _, near = search(build_index(X), X, n_neighbours + 1)  # each photo is nearest to itself
    ends = np.arange(0, near.size + 1, n_neighbours + 1)
    graph = csr_array((np.ones(near.size), near.ravel(), ends), shape=(len(X), len(X)))
    means: NDArray[np.float32] = normalize(graph @ X).astype(np.float32)
    return means


def average_linkage_of_neighbour_means(
    X: NDArray[np.float32], k: int, n_neighbours: int = 10
) -> Ints:
    """Cluster by average linkage, by cosine distance, of the neighbour means.

    Average linkage alone lets single odd photos and chains take up many of the k clusters; on
    means of neighbours there are hardly any left.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings, rows of length one.
    k : int
        Number of clusters, 2 to n.
    n_neighbours : int
        As in `neighbour_means`.

    Returns
    -------
    ndarray of int64, shape (n,)
        Cluster of each photo; cluster 0 is the largest. Nothing is random.
    """
    return cut(linkage_tree(neighbour_means(X, n_neighbours), "average", "cosine"), k)


def compare_recipes(
    X: NDArray[np.float32], y: Ints, k: int, seed: int = 0, ward: Floats | None = None
) -> pd.DataFrame:
    """Score every linkage, K-Means, and both after `neighbour_means`, with a progress bar.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings, rows of length one.
    y : ndarray of int64, shape (n,)
        Category of each photo; scores only, no recipe sees it.
    k : int
        Number of clusters, 2 to n - 1.
    seed : int
        Seed of K-Means, which keeps the best of three starts.
    ward : ndarray of float64, shape (n - 1, 4), optional
        ``linkage_tree(X)``, where it has been computed before.

    Returns
    -------
    DataFrame
        One row per recipe, named in the index: ``silhouette`` and ``davies_bouldin``, always of
        `X` itself so that the rows compare; ``nmi``, ``ami``, ``ari``, ``purity``,
        ``matched_accuracy``; ``largest``, the share of the photos in the largest cluster; and
        ``seconds``, where what several recipes share counts for the first of them.
    """
    check_k(k, len(X) - 1)
    rows, clusterings = {}, []
    recipes = _recipes(X, k, seed, ward)
    start = time.perf_counter()
    for name, clusters in progress(recipes, total=len(LINKAGES) + 4, desc="Recipes", unit="recipe"):
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
    # All the clusterings share one matrix of distances.
    table.insert(0, "silhouette", silhouette(X, np.stack(clusterings)).mean(axis=1))
    return table


def _recipes(
    X: NDArray[np.float32], k: int, seed: int, ward: Floats | None
) -> Iterator[tuple[str, Ints]]:
    """Yield the name and the clusters of each recipe that `compare_recipes` scores."""
    given = [] if ward is None else [ward]  # the first of the linkages
    trees = chain(given, linkage_trees(X, LINKAGES[len(given) :]))
    for (method, metric), tree in zip(LINKAGES, trees, strict=True):
        yield f"{method} linkage, {metric}", cut(tree, k)
    yield "K-Means", kmeans(X, k, seed, 3).labels_
    means = neighbour_means(X)
    ward, average = linkage_trees(means, [("ward", "euclidean"), ("average", "cosine")])
    yield "ward linkage of neighbour means", cut(ward, k)
    yield "K-Means of neighbour means", kmeans(means, k, seed, 3).labels_
    yield "average linkage of neighbour means", cut(average, k)
