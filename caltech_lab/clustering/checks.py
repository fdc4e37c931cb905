"""Argument checks shared by all clusterings."""

import numpy as np
from numpy.typing import NDArray

from caltech_lab.errors import ArgumentError


def check_k(k: int, most: int, X: NDArray[np.float32] | None = None) -> None:
    """Check that k is a possible number of clusters.

    Copies of a photo cannot be told apart: with `X`, k is at most the number of different photos.

    Parameters
    ----------
    k : int
        Number of clusters.
    most : int
        The largest number allowed; the smallest is 2.
    X : ndarray of float32, shape (n, d), optional
        The embeddings to cluster.

    Raises
    ------
    ArgumentError
        When k is too small or too large.
    """
    if not 2 <= k <= most:
        raise ArgumentError(f"k must be between 2 and {most} for this number of photos, not {k}.")
    if X is not None and (different := count_different(X, k)) < k:
        raise ArgumentError(f"k = {k} is too large: {only_different(different, len(X))}.")


def count_different(X: NDArray[np.float32], enough: int) -> int:
    """Count the different rows of `X`, up to `enough` of them."""
    seen: set[bytes] = set()
    for row in X:
        seen.add(row.tobytes())
        if len(seen) == enough:
            break
    return len(seen)


def only_different(different: int, n: int) -> str:
    """Say how many clusters n photos allow, of which only so many are different."""
    s, are = ("", "is") if different == 1 else ("s", "are")
    return (
        f"there {are} only {different:,} different photo{s} among these {n:,}, so at most "
        f"{different:,} cluster{s}"
    )


def possible_k(X: NDArray[np.float32], wanted: int) -> int:
    """Return the number of clusters nearest to `wanted` that these photos allow; 1 is none."""
    return count_different(X, max(1, min(wanted, len(X) - 1)))
