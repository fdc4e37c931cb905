"""Summaries of groups of photos, and the layout of clusters and dendrograms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.cluster.hierarchy import dendrogram
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Portrait:
    """Summary of a group of photos.

    Attributes
    ----------
    rows : ndarray of int64
        Photos of the group, in descending similarity to the centroid.
    purity : float
        Share of the most frequent category, 0 to 1.
    contents : list of (str, int)
        Categories and their numbers of photos, the most frequent first.
    nearest : list of (hashable, float)
        Other groups and the cosine similarities of their centroids, the most similar first.
    """

    rows: Ints
    purity: float
    contents: list[tuple[str, int]]
    nearest: list[tuple[int, float]]


def portrait(
    X: Floats,
    y: Ints,
    categories: Sequence[str],
    rows: Ints,
    others: Mapping[int, Ints],
) -> Portrait:
    """Summarize a group of photos.

    Parameters
    ----------
    X, y : ndarray, shapes (n, d) and (n,)
        Embeddings of all photos, rows of unit length, and their categories.
    categories : sequence of str
        Names of the categories.
    rows : ndarray of int64
        Photos of the group.
    others : mapping of int to ndarray of int64
        Photos of the other groups, by number.

    Returns
    -------
    Portrait
        Photos, purity, categories and nearest other groups.
    """
    centroid = _centroid(X, rows)
    counts = np.bincount(y[rows], minlength=len(categories))
    order = np.argsort(-counts, kind="stable")
    near = {name: float(centroid @ _centroid(X, members)) for name, members in others.items()}
    return Portrait(
        rows[np.argsort(-(X[rows] @ centroid), kind="stable")],
        float(counts.max() / len(rows)),
        [(categories[c], int(counts[c])) for c in order if counts[c]],
        sorted(near.items(), key=lambda item: -item[1]),
    )


def _centroid(X: Floats, rows: Ints) -> NDArray[np.float64]:
    mean = X[rows].mean(axis=0, dtype=np.float64)
    centroid: NDArray[np.float64] = mean / max(float(np.linalg.norm(mean)), 1e-12)
    return centroid


def cluster_plane(X: Floats, clusters: Ints, seed: int = 0) -> Floats:
    """Lay out photos in the plane, cluster by cluster.

    The centroids are laid out by t-SNE, so that similar clusters are neighbors. Around its
    centroid, each cluster is spread along its own two principal components, as far as the nearest
    cluster allows. Distances within and between clusters have different scales.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings, rows of unit length.
    clusters : ndarray of int64, shape (n,)
        Cluster of each photo.
    seed : int
        Seed of t-SNE.

    Returns
    -------
    ndarray of float32, shape (n, 2)
        Coordinates of each photo, without unit.
    """
    groups = [np.flatnonzero(clusters == c) for c in np.unique(clusters)]
    centroids = np.stack([_centroid(X, rows) for rows in groups])
    spots = np.zeros((1, 2))
    if len(groups) > 1:
        apart = np.sqrt(np.clip(2 - 2 * centroids @ centroids.T, 0, None))
        perplexity = min(5.0, (len(groups) - 1) / 2)
        layout = TSNE(perplexity=perplexity, metric="precomputed", init="random", random_state=seed)
        spots = layout.fit_transform(apart)
    gaps = np.linalg.norm(spots[:, None] - spots, axis=-1)
    np.fill_diagonal(gaps, np.inf)
    places = np.empty((len(X), 2), dtype=np.float32)
    for rows, spot, gap in zip(groups, spots, gaps.min(axis=1), strict=True):
        inner = np.zeros((len(rows), 2))
        if len(rows) > 2:
            inner = PCA(2, random_state=seed).fit_transform(X[rows])
            inner /= max(float(np.linalg.norm(inner, axis=1).max()), 1e-12)
        places[rows] = spot + 0.48 * min(float(gap), 1e6) * inner
    return places


def drawn_branches(Z: NDArray[np.float64], leaves: int) -> pd.DataFrame:
    """Compute the positions of the branches in a dendrogram of the last merges.

    Parameters
    ----------
    Z : ndarray of float64, shape (n - 1, 4)
        A linkage matrix.
    leaves : int
        Number of leaves in the drawing, as in `plots.clustering.dendrogram`.

    Returns
    -------
    DataFrame
        One row per branch except the root: ``node`` (cluster number in the linkage matrix),
        ``position`` (across the drawing, 5 for the first leaf, 15 for the second ...), ``height``
        of its split (0 for a leaf of the drawing), ``joined``, the height of its merge, and
        ``is_leaf``.
    """
    n = len(Z) + 1
    leaves = min(leaves, n)
    drawing = dendrogram(Z, truncate_mode="lastp", p=leaves, no_plot=True)
    positions = {int(node): 10.0 * i + 5 for i, node in enumerate(drawing["leaves"])}
    heights = dict.fromkeys(positions, 0.0)
    rows, drawn = [], set(positions)
    for merge in range(n - leaves, n - 1):  # later merges join what earlier ones made
        node, height = n + merge, float(Z[merge, 2])
        children = [int(child) for child in Z[merge, :2]]
        for child in children:
            rows.append((child, positions[child], heights[child], height, child in drawn))
        positions[node] = float(np.mean([positions[child] for child in children]))
        heights[node] = height
    return pd.DataFrame(rows, columns=["node", "position", "height", "joined", "is_leaf"])


def branch_members(Z: NDArray[np.float64], node: int) -> Ints:
    """Return the photos below a node of a linkage matrix, as ndarray of int64."""
    n, found, open_nodes = len(Z) + 1, [], [int(node)]
    while open_nodes:
        current = open_nodes.pop()
        if current < n:
            found.append(current)
        else:
            open_nodes.extend(int(child) for child in Z[current - n, :2])
    return np.sort(np.array(found, dtype=np.int64))
