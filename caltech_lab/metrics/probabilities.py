"""Calibration of predicted probabilities."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike


def reliability_table(probabilities: ArrayLike, correct: ArrayLike, bins: int = 15) -> pd.DataFrame:
    """Compare confidence with accuracy per bin: the data of a reliability diagram.

    Parameters
    ----------
    probabilities : array-like of float, shape (n,)
        Predicted probability of the predicted class, between 0 and 1.
    correct : array-like of bool, shape (n,)
        Whether the prediction is correct.
    bins : int
        Number of equal-width bins.

    Returns
    -------
    DataFrame
        One row per bin, closed on the right: ``low``, ``high``, ``n``, ``confidence`` (mean
        probability) and ``accuracy``; the last two are missing where n is 0.
    """
    p, right = np.asarray(probabilities, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    edges = np.linspace(0, 1, bins + 1)
    bin_of = np.digitize(p, edges[1:-1], right=True)
    n = np.bincount(bin_of, minlength=bins)
    share = np.where(n > 0, n, np.nan)
    return pd.DataFrame(
        {
            "low": edges[:-1],
            "high": edges[1:],
            "n": n,
            "confidence": np.bincount(bin_of, weights=p, minlength=bins) / share,
            "accuracy": np.bincount(bin_of, weights=right, minlength=bins) / share,
        }
    )


def expected_calibration_error(
    probabilities: ArrayLike, correct: ArrayLike, bins: int = 15
) -> float:
    """Return the mean gap between confidence and accuracy, weighted by the size of the bins.

    Parameters
    ----------
    probabilities, correct, bins
        As in `reliability_table`.

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
    table = reliability_table(probabilities, correct, bins)
    gaps = (table["confidence"] - table["accuracy"]).abs()
    return float((gaps * table["n"]).sum() / table["n"].sum())
