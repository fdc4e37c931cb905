"""The map of the gallery: each photo has a place near photos with similar embeddings."""

from typing import TYPE_CHECKING

import faiss
import numpy as np
from numpy.typing import NDArray

from caltech_lab.clustering.checks import count_different
from caltech_lab.fast.tsne import tsne
from caltech_lab.widgets.photo_map import unit_square

if TYPE_CHECKING:
    from caltech_lab.lab import Lab

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

N_COMPONENTS = 50
LEAST = 5  # different photos for t-SNE
MOST = 10_000  # photos for t-SNE, which takes minutes for more
N_NEAREST = 5


def places(lab: "Lab") -> Floats:
    """Return the coordinates of all photos on a t-SNE map, cached.

    Parameters
    ----------
    lab : Lab
        The lab with the photos; the first time, 9,000 photos take about ten seconds.

    Returns
    -------
    ndarray of float32, shape (n, 2)
        From 0 to 1, without unit, with the same scale on both axes.
    """
    name = "results/demo/map.npy"
    cached: Floats = lab.cached(name, map_of, lab.embeddings.X, seed=lab.seed)
    return cached


def place_of(places: Floats, nearest: Ints) -> Floats:
    """Return the place of a photo that is not on the map: the median of its nearest photos'.

    Parameters
    ----------
    places : ndarray of float32, shape (n, 2)
        From `places`.
    nearest : ndarray of int64, shape (..., k)
        Rows of the most similar photos, the first `N_NEAREST` of which are used.

    Returns
    -------
    ndarray of float32, shape (..., 2)
        One place per row of `nearest`.
    """
    median: Floats = np.median(places[nearest[..., :N_NEAREST]], axis=-2)
    return median


def map_of(X: Floats, seed: int = 0) -> Floats:
    """Return the places of vectors; see `places`.

    Of more than `MOST` photos, a random sample is mapped, and each of the others is placed by its
    nearest photos in the sample.
    """
    if count_different(X, LEAST) < LEAST:
        return unit_square(_few(X))
    from sklearn.decomposition import PCA  # takes a second; the page shows results before it

    rows = np.arange(len(X))
    if len(X) > MOST:
        rows = np.sort(np.random.default_rng(seed).choice(len(X), MOST, replace=False))
    sample = X[rows]
    pca = PCA(min(N_COMPONENTS, *sample.shape), random_state=seed).fit(sample)
    reduced = pca.transform(X).astype(np.float32, copy=False)
    perplexity = min(30.0, (len(rows) - 1) / 3)
    flat = np.asarray(tsne(reduced[rows], perplexity, seed), dtype=np.float32)
    if len(rows) < len(X):
        _, nearest = faiss.knn(reduced, reduced[rows], N_NEAREST)
        mapped, flat = flat, place_of(flat, nearest)
        flat[rows] = mapped
    return unit_square(flat)


def _few(X: Floats) -> Floats:
    """Return the first two principal components of photos of which only a few are different."""
    different, which = np.unique(X, axis=0, return_inverse=True)
    left, lengths, _ = np.linalg.svd(different - different.mean(axis=0), full_matrices=False)
    flat = np.zeros((len(different), 2), dtype=np.float32)
    two = (left * lengths)[:, :2]
    flat[:, : two.shape[1]] = two
    return flat[which.ravel()]
