"""Argument checks shared by all classifiers.

``y`` is an int64 vector of shape (n,) with the category of each photo.
"""

import numpy as np
from numpy.typing import NDArray

from caltech_lab.errors import ArgumentError

Ints = NDArray[np.int64]


def check_categories(y: Ints) -> int:
    """Return the size of the smallest category.

    Raises
    ------
    ArgumentError
        When there are fewer than two categories.
    """
    counts = np.unique(y, return_counts=True)[1]
    if len(counts) < 2:
        raise ArgumentError(
            "A classifier needs photos of at least two categories, but this training set has "
            f"{len(counts)} class{'es'[: 2 * (len(counts) != 1)]}: add photos of other categories."
        )
    return int(counts.min())
