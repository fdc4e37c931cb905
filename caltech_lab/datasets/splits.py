"""The split into a training set and a test set, and the categories that are too small for it."""

from collections.abc import Sequence

import numpy as np

from caltech_lab.errors import ArgumentError

TEST_SHARE = 0.2
LEAST = 5
"""Photos that a category needs: 20 % leave one for the test set, and one per fold for training."""
NAMED = 5  # maximum number of categories named in a message


def split(y: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Split rows into a training set (80 %) and a test set (20 %), stratified by category.

    Categories with fewer than `LEAST` photos are left out of both, so that every category in the
    training set is also in the test set.

    Parameters
    ----------
    y : ndarray
        Labels, int of shape (n,).
    seed : int
        Seed of the random split.

    Returns
    -------
    train, test : ndarray
        Sorted indices without overlap; together, all rows of the categories that are large
        enough.

    Raises
    ------
    ArgumentError
        When fewer than two categories are large enough, or photos have no category.
    """
    from sklearn.model_selection import train_test_split

    if np.any(y < 0):
        raise ArgumentError(
            "Training and testing need categories, and these photos have none: sort them into "
            "one sub-folder per category (clustering and retrieval work without)."
        )
    counts = np.bincount(y)
    if (n := int((counts >= LEAST).sum())) < 2:
        raise ArgumentError(
            f"A classifier needs at least two categories of {LEAST} photos or more, and this "
            f"dataset has {n}: add photos (clustering and retrieval work without)."
        )
    rows = np.flatnonzero(counts[y] >= LEAST)
    train, test = train_test_split(rows, test_size=TEST_SHARE, random_state=seed, stratify=y[rows])
    return np.sort(train), np.sort(test)


def too_small(y: np.ndarray) -> dict[int, int]:
    """Return the label and the number of photos of each category that `split` leaves out."""
    labels, counts = np.unique(y[y >= 0], return_counts=True)
    few = counts < LEAST
    return dict(zip(labels[few].tolist(), counts[few].tolist(), strict=True))


def left_out(y: np.ndarray, categories: Sequence[str]) -> str:
    """Return a sentence that names the categories that `split` leaves out, or an empty string.

    Examples
    --------
    >>> left_out(np.array([0] * 8 + [1]), ["cat", "misc"])
    '`misc` has 1 photo and is left out: a classifier needs 5 photos per category.'
    """
    few = list(too_small(y).items())
    if not few:
        return ""
    names = [f"`{categories[label]}` ({count})" for label, count in few[:NAMED]]
    if len(few) > NAMED:
        names[-1] = f"{len(few) - NAMED + 1:,} others"
    told = f"{', '.join(names[:-1])} and {names[-1]} have too few photos and are left out"
    if len(few) == 1:
        ((label, count),) = few
        told = f"`{categories[label]}` has {count} photo{'s'[: count - 1]} and is left out"
    return f"{told}: a classifier needs {LEAST} photos per category."
