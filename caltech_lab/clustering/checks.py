"""Argument checks shared by all clusterings."""

from caltech_lab.errors import ArgumentError


def check_k(k: int, most: int) -> None:
    """Raise an `ArgumentError` unless k is between 2 and `most`."""
    if not 2 <= k <= most:
        raise ArgumentError(f"k must be between 2 and {most} for this number of photos, not {k}.")
