"""Averages over photos and categories, and how far they would move on other photos.

``X`` is a matrix of embeddings, float32 of shape
(n, d) with one row a photo and rows of length one; ``y`` is an int64 vector of shape (n,) with the
category of each photo. Scores lie between 0 and 1 unless a docstring says otherwise.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest

from caltech_lab.errors import ArgumentError
from caltech_lab.storage.memory import CHUNK_BYTES

Ints = NDArray[np.int64]


class Interval(NamedTuple):
    """An estimate and the two ends of its confidence interval."""

    estimate: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.estimate:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap_interval(
    values: ArrayLike,
    *,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
    groups: Ints | None = None,
) -> Interval:
    """Estimate how far a mean would move with other photos, by the percentile bootstrap.

    Parameters
    ----------
    values : array-like of float or bool, shape (n,)
        One score a photo.
    level : float
        Confidence level, between 0 and 1.
    n_resamples : int
        Number of bootstrap samples.
    seed : int
        Seed of the random generator.
    groups : ndarray of int64, shape (n,), optional
        Category of each photo. With it the estimate is the macro average, and photos are drawn
        again within each category.

    Returns
    -------
    Interval
        Mean (or macro average) of the values, and the ends of its interval.

    References
    ----------
    B. Efron, R. J. Tibshirani: An Introduction to the Bootstrap. Chapman & Hall, 1993.
    """
    scores = np.asarray(values, dtype=np.float64)
    if not len(scores):
        raise ArgumentError("A confidence interval needs at least one value.")
    rng = np.random.default_rng(seed)
    labels = np.zeros(len(scores)) if groups is None else groups
    parts = [scores[labels == label] for label in np.unique(labels)]
    means = np.zeros(n_resamples)
    for part in parts:
        step = max(1, CHUNK_BYTES // (16 * len(part)))  # an index and a value a draw
        for start in range(0, n_resamples, step):
            draws = rng.integers(len(part), size=(min(step, n_resamples - start), len(part)))
            means[start : start + step] += part[draws].mean(axis=1) / len(parts)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    estimate = np.mean([part.mean() for part in parts])
    return Interval(float(estimate), float(low), float(high))


def paired_difference_interval(
    a: ArrayLike,
    b: ArrayLike,
    *,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
    groups: Ints | None = None,
) -> Interval:
    """Bootstrap the mean of ``a - b``, two methods scored on the same photos.

    Photos are drawn together with both of their scores. What is hard for both methods cancels, so
    this interval is narrower than two separate ones suggest. When it leaves out zero, the two
    methods differ.

    Parameters
    ----------
    a, b : array-like of float or bool, shape (n,)
        Scores of the two methods, photo by photo.
    level, n_resamples, seed, groups
        As in `bootstrap_interval`.

    Returns
    -------
    Interval
        Mean difference, between -1 and 1 for scores between 0 and 1, and its interval.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape:
        raise ArgumentError(
            f"A paired comparison needs two scores a photo, but there are {len(first)} and "
            f"{len(second)}."
        )
    return bootstrap_interval(
        first - second, level=level, n_resamples=n_resamples, seed=seed, groups=groups
    )


def proportion_interval(successes: int, n: int, *, level: float = 0.95) -> Interval:
    """Return a proportion with its Wilson score interval.

    Unlike the textbook normal interval it stays within 0 and 1 and says something useful when all
    of a handful of photos are right.

    Parameters
    ----------
    successes : int
        Photos that are right.
    n : int
        Photos in all.
    level : float
        Confidence level, between 0 and 1.

    References
    ----------
    E. B. Wilson: Probable inference, the law of succession, and statistical inference. Journal of
    the American Statistical Association 22, 1927.

    Examples
    --------
    >>> print(proportion_interval(6, 6))
    1.000 [0.610, 1.000]
    """
    if n < 1:
        raise ArgumentError("A proportion needs at least one photo.")
    ends = binomtest(int(successes), int(n)).proportion_ci(level, method="wilson")
    return Interval(successes / n, float(ends.low), float(ends.high))


def macro_average(values: ArrayLike, y: Ints) -> float:
    """Return the mean over categories of the mean of each category.

    Parameters
    ----------
    values : array-like of float or bool, shape (n,)
        One score a photo.
    y : ndarray of int64, shape (n,)
        Category of each photo.

    Examples
    --------
    >>> macro_average([1, 1, 1, 0], np.array([7, 7, 7, 8]))
    0.5
    """
    scores = pd.Series(np.asarray(values, dtype=np.float64))
    return float(scores.groupby(np.asarray(y)).mean().mean())
