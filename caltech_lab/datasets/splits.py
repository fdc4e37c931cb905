"""The split into a training set and a test set."""

import numpy as np

from caltech_lab.errors import ArgumentError

TEST_SHARE = 0.2


def split(y: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Split rows into 80 % for training and 20 % held out, each category in proportion.

    Parameters
    ----------
    y : ndarray
        Labels, int of shape (n,).
    seed : int
        Another seed gives another split.

    Returns
    -------
    train, test : ndarray
        Indices, sorted, without overlap, together all rows.

    Raises
    ------
    ArgumentError
        When a category has a single photo, there are too few photos to hold any out, or
        photos without a category.
    """
    from sklearn.model_selection import train_test_split

    if np.any(y < 0):
        raise ArgumentError(
            "Training and testing need categories, and these photos have none: sort them into "
            "one sub-folder a category (clustering and retrieval work without)."
        )
    counts = np.bincount(y)
    if (counts == 1).any() or len(y) * TEST_SHARE < (counts > 0).sum():
        raise ArgumentError(
            "A split needs at least two photos in each category, and five on average: "
            "add photos, or leave the smallest categories out."
        )
    train, test = train_test_split(
        np.arange(len(y)), test_size=TEST_SHARE, random_state=seed, stratify=y
    )
    return np.sort(train), np.sort(test)
