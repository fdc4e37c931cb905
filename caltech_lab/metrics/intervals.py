"""Micro and macro averages, and their confidence intervals.

``y`` is an int64 vector of shape (n,) with the category of each photo.
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
    """An estimate and the bounds of its confidence interval."""

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
    """Return a mean with its percentile bootstrap interval.

    Parameters
    ----------
    values : array-like of float or bool, shape (n,)
        One score per photo.
    level : float
        Confidence level, between 0 and 1.
    n_resamples : int
        Number of bootstrap samples.
    seed : int
        Seed of the random generator.
    groups : ndarray of int64, shape (n,), optional
        Category of each photo. If given, the estimate is the macro average, and photos are
        resampled within each category.

    Returns
    -------
    Interval
        Mean (or macro average) of the values, and its interval.

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
        step = max(1, CHUNK_BYTES // (16 * len(part)))  # an index and a value per draw
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
    """Return the mean of ``a - b`` with its bootstrap interval, for two methods on the same photos.

    Both scores of a photo are resampled together. Photos that are hard for both methods cancel, so
    the interval is narrower than two separate intervals suggest. When it excludes zero, the
    difference is significant.

    Parameters
    ----------
    a, b : array-like of float or bool, shape (n,)
        Scores of the two methods, one per photo.
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
            f"A paired comparison needs two scores per photo, but there are {len(first)} and "
            f"{len(second)}: score both methods on the same photos."
        )
    return bootstrap_interval(
        first - second, level=level, n_resamples=n_resamples, seed=seed, groups=groups
    )


def proportion_interval(successes: int, n: int) -> Interval:
    """Return a proportion with its 95 % Wilson score interval.

    Unlike the normal approximation, it stays between 0 and 1, and it is informative even when all
    of a few photos are correct.

    Parameters
    ----------
    successes : int
        Number of correct photos.
    n : int
        Number of photos.

    Returns
    -------
    Interval
        The share of correct photos, and the ends of the interval.

    Raises
    ------
    ArgumentError
        When there is no photo.

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
    ends = binomtest(int(successes), int(n)).proportion_ci(0.95, method="wilson")
    return Interval(successes / n, float(ends.low), float(ends.high))


def macro_average(values: ArrayLike, y: Ints) -> float:
    """Return the mean of the per-category means.

    Parameters
    ----------
    values : array-like of float or bool, shape (n,)
        One score per photo.
    y : ndarray of int64, shape (n,)
        Category of each photo.

    Returns
    -------
    float
        In the unit of the scores.

    Examples
    --------
    >>> macro_average([1, 1, 1, 0], np.array([7, 7, 7, 8]))
    0.5
    """
    scores = pd.Series(np.asarray(values, dtype=np.float64))
    return float(scores.groupby(np.asarray(y)).mean().mean())
