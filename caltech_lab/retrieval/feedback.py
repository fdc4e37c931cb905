"""Relevance feedback with Rocchio's rule, and removal of near-duplicates from results."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from caltech_lab.errors import ArgumentError
from caltech_lab.retrieval.index import Ids

Floats = NDArray[np.float32]

# Weights of positive and negative feedback, chosen on the training set of Caltech-101.
GOOD, BAD = 2.0, 1.0
NEAR_DUPLICATE = 0.95  # two photos with at least this cosine are near-duplicates


def rocchio(query: Floats, good: Floats, bad: Floats) -> Floats:
    """Move a query toward the photos marked as good and away from those marked as bad.

    Parameters
    ----------
    query : ndarray of float32, shape (d,)
        The original query, of unit length.
    good, bad : ndarray of float32, shape (any number, d)
        Embeddings of the marked photos, rows of unit length.

    Returns
    -------
    ndarray of float32, shape (d,)
        ``query + GOOD * mean(good) - BAD * mean(bad)``, scaled to unit length. Without good photos,
        the weight of the bad ones is divided by ``1 + GOOD``, because the full weight would leave
        little of the query.

    References
    ----------
    J. J. Rocchio: Relevance feedback in information retrieval. In G. Salton (ed.): The SMART
    Retrieval System, 1971.

    Examples
    --------
    >>> east, north = np.eye(2, dtype=np.float32)
    >>> print(rocchio(east, good=np.stack([north]), bad=np.empty((0, 2), np.float32)).round(3))
    [0.447 0.894]
    """
    moved = query.astype(np.float64)
    pull = 1.0
    if len(good):
        moved = moved + GOOD * good.mean(axis=0)
        pull += GOOD
    if len(bad):
        moved = moved - BAD * pull / (1 + GOOD) * bad.mean(axis=0)
    length = np.linalg.norm(moved)
    if length < 1e-6:  # the marked photos cancel the query, so no direction is left
        return query
    return (moved / length).astype(np.float32)


def combined(vectors: Sequence[Floats], signs: Sequence[int]) -> Floats:
    """Make one query vector of several: the mean of the added ones, less the subtracted ones.

    Parameters
    ----------
    vectors : sequence of ndarray of float32, shape (d,)
        Unit vectors.
    signs : sequence of int
        1 for a vector to add, -1 for one to subtract.

    Returns
    -------
    ndarray of float32, shape (d,)
        The mean of the added vectors without its components along the subtracted ones, scaled to
        unit length.

    Raises
    ------
    ArgumentError
        When nothing is added, or nothing is left.

    Examples
    --------
    >>> east, north = np.eye(2, dtype=np.float32)
    >>> print(combined([east, north], [1, 1]).round(3))
    [0.707 0.707]
    >>> print(combined([(east + north) / np.float32(2**0.5), north], [1, -1]).round(3))
    [1. 0.]
    """
    added, taken = ([v for v, s in zip(vectors, signs, strict=True) if s * wanted > 0]
                    for wanted in (1, -1))  # fmt: skip
    if not added:
        raise ArgumentError("Nothing is left to search for: add a photo first.")
    mean: NDArray[np.float64] = np.mean(added, axis=0, dtype=np.float64)
    for vector in np.linalg.qr(np.array(taken, np.float64).T)[0].T if taken else ():
        mean -= (mean @ vector) * vector
    length = np.linalg.norm(mean)
    if length < 1e-6:
        raise ArgumentError("Nothing is left of the query: subtract another photo.")
    return (mean / length).astype(np.float32)


def without_near_duplicates(
    X: Floats, ids: Ids, k: int, query: Floats | None = None, threshold: float = NEAR_DUPLICATE
) -> Ids:
    """Remove from a ranking the near-duplicates of the query and of higher-ranked photos.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings of the gallery, rows of unit length.
    ids : ndarray of int64
        A ranking of its rows, the best first.
    k : int
        Number of photos to keep.
    query : ndarray of float32, shape (d,), optional
        The query, of unit length.
    threshold : float
        Minimum cosine similarity of near-duplicates.

    Returns
    -------
    ndarray of int64
        The first k remaining rows, or fewer.
    """
    kept: list[int] = []
    seen = np.empty((k + 1, X.shape[1]), dtype=np.float32)
    n_seen = 0
    if query is not None:
        seen[0], n_seen = query, 1
    for row in ids.tolist():
        if len(kept) == k:
            break
        if n_seen and float((seen[:n_seen] @ X[row]).max()) >= threshold:
            continue
        kept.append(row)
        if n_seen < len(seen):
            seen[n_seen] = X[row]
            n_seen += 1
    return np.array(kept, dtype=np.int64)
