"""Calibration of predicted probabilities."""

import numpy as np
from numpy.typing import ArrayLike


def expected_calibration_error(
    probabilities: ArrayLike, correct: ArrayLike, bins: int = 15
) -> float:
    """Return the mean gap between confidence and accuracy, weighted by the size of the bins.

    Parameters
    ----------
    probabilities : array-like of float, shape (n,)
        Predicted probability of the predicted class, between 0 and 1.
    correct : array-like of bool, shape (n,)
        Whether the prediction is correct.
    bins : int
        Number of equal-width bins, closed on the right.

    Returns
    -------
    float
        Between 0 (calibrated) and 1.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger: On calibration of modern neural networks.
    International Conference on Machine Learning, 2017.

    Examples
    --------
    >>> expected_calibration_error([0.75, 0.75], [True, False], bins=2)
    0.25
    """
    p, right = np.asarray(probabilities, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    bin_of = np.digitize(p, np.linspace(0, 1, bins + 1)[1:-1], right=True)
    return float(np.abs(np.bincount(bin_of, weights=p - right)).sum() / len(p))
