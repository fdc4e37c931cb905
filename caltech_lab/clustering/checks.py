"""What every clustering asks of its arguments.

``X`` is a matrix of embeddings, float32 of shape (n, d) with rows of length one; ``y`` is an int64
vector of shape (n,) with the category of each photo.
"""

from caltech_lab.errors import ArgumentError


def check_k(k: int, most: int) -> None:
    """Raise an `ArgumentError` unless k is a number of clusters between 2 and `most`."""
    if not 2 <= k <= most:
        raise ArgumentError(f"k must be between 2 and {most} for these photos, not {k}.")
