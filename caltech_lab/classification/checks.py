"""What every classifier asks of its arguments.

``X`` is a matrix of embeddings, float32 of shape (n, d) with rows of length one; ``y`` is an int64
vector of shape (n,) with the category of each photo.
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
            "A classifier needs photos of at least two categories, but these are of "
            f"{len(counts)} class."
        )
    return int(counts.min())
