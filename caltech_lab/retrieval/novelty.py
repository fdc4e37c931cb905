"""Out-of-distribution detection: queries that are unlike the photos of the gallery.

With categories, the score of a query is the sum of a maximum logit and a Mahalanobis distance; see
`NoveltyDetector`. Without, it is the mean cosine similarity of the `NEIGHBORS` nearest neighbors.
Low scores mean unfamiliar; the threshold is a low quantile of the scores of known photos.
"""

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist
from sklearn.base import BaseEstimator
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.utils.validation import check_is_fitted, validate_data

from caltech_lab.retrieval.index import Similarities

NEIGHBORS = 3
FALSE_ALARMS = 0.05
FLOATS = (np.float32, np.float64)  # dtypes that are kept; others become float32

Floats = NDArray[np.float64]


class NoveltyDetector(BaseEstimator):  # type: ignore[misc]
    """Maximum logit plus negative Mahalanobis distance, both standardized on held-out photos.

    Notebook 11 compares detectors; this is the sum that it chooses for plain embeddings.

    Parameters
    ----------
    n_components : int
        Principal components to keep, if there are enough photos.
    false_alarms : float
        Share of the held-out photos below the threshold, between 0 and 1.
    seed : int
        Seed of the PCA and of the split; a fifth of the photos is held out.

    Attributes
    ----------
    threshold_ : float
        Score below which a query is unfamiliar.

    References
    ----------
    K. Lee, K. Lee, H. Lee, J. Shin: A simple unified framework for detecting out-of-distribution
    samples and adversarial attacks. Neural Information Processing Systems, 2018.
    D. Hendrycks et al.: Scaling out-of-distribution detection for real-world settings.
    International Conference on Machine Learning, 2022.
    """

    def __init__(
        self, n_components: int = 512, false_alarms: float = FALSE_ALARMS, seed: int = 0
    ) -> None:
        self.n_components = n_components
        self.false_alarms = false_alarms
        self.seed = seed

    def fit(self, X: NDArray[np.float32], y: NDArray[np.int64]) -> Self:
        """Fit both parts on four fifths of the photos, and the threshold on the others.

        Parameters
        ----------
        X : ndarray of float32, shape (n, d)
            Embeddings, rows of unit length.
        y : ndarray of int64, shape (n,)
            Their categories, at least two with at least two photos each.

        Returns
        -------
        NoveltyDetector
            The same object, fitted.
        """
        X, y = validate_data(self, X, y, dtype=FLOATS, ensure_min_samples=4)
        n_held = max(len(X) // 5, len(np.unique(y)))  # one per category, for the stratified split
        rest, held = train_test_split(
            np.arange(len(X)), test_size=n_held, stratify=y, random_state=self.seed
        )
        n_components = min(self.n_components, len(rest) - 1, X.shape[1])
        self.pca_ = PCA(
            n_components, svd_solver="randomized", iterated_power=2, random_state=self.seed
        )
        Z, labels = self.pca_.fit_transform(X[rest]), np.unique(y[rest], return_inverse=True)[1]
        self.classifier_ = LogisticRegression(C=200, max_iter=100).fit(Z, labels)
        means = np.stack([Z[labels == c].mean(axis=0) for c in range(labels.max() + 1)])
        shared = LedoitWolf(assume_centered=True).fit(Z - means[labels])
        ridge = 1e-9 * np.eye(n_components)  # photos that are all the same have no variance
        self.whiten_ = np.linalg.cholesky(np.linalg.inv(shared.covariance_ + ridge))
        self.means_ = means @ self.whiten_
        parts = self._parts(X[held])
        self.center_, self.scale_ = parts.mean(axis=0), np.maximum(parts.std(axis=0), 1e-9)
        self.threshold_ = float(np.quantile(self.score_samples(X[held]), self.false_alarms))
        return self

    def score_samples(self, X: NDArray[np.float32]) -> Floats:
        """Return the familiarity of each row; low means unfamiliar."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        scores: Floats = ((self._parts(X) - self.center_) / self.scale_).sum(axis=1)
        return scores

    def _parts(self, X: NDArray[np.float32]) -> Floats:
        """Return the maximum logit and the negative Mahalanobis distance of each row."""
        Z = self.pca_.transform(X)
        logits = self.classifier_.decision_function(Z)
        highest = np.abs(logits) if logits.ndim == 1 else logits.max(axis=1)
        return np.stack([highest, -cdist(Z @ self.whiten_, self.means_).min(axis=1)], axis=1)


def fit_novelty(X: NDArray[np.float32], y: NDArray[np.int64], seed: int) -> NoveltyDetector:
    """Fit a `NoveltyDetector`.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings, rows of unit length.
    y : ndarray of int64, shape (n,)
        Their categories, at least two with at least two photos each.
    seed : int
        Seed of the split and of the principal components.

    Returns
    -------
    NoveltyDetector
        Fitted.
    """
    return NoveltyDetector(seed=seed).fit(X, y)


def familiarity(similarities: ArrayLike) -> Floats:
    """Score queries by the similarity of their nearest neighbors.

    Parameters
    ----------
    similarities : array-like of float, shape (..., k)
        Cosine similarities of the results of each query, descending.

    Returns
    -------
    ndarray of float64, shape (...)
        Mean of the first `NEIGHBORS`, or of all if there are fewer; low means unfamiliar.

    References
    ----------
    Y. Sun, Y. Ming, X. Zhu, Y. Li: Out-of-distribution detection with deep nearest neighbors.
    International Conference on Machine Learning, 2022.
    """
    scores: Floats = np.asarray(similarities)[..., :NEIGHBORS].mean(axis=-1, dtype=np.float64)
    return scores


def novelty_threshold(similarities: Similarities, false_alarms: float = FALSE_ALARMS) -> float:
    """Choose the familiarity below which a query is flagged as out-of-distribution.

    Parameters
    ----------
    similarities : ndarray of float32, shape (n, k)
        From `calibration.leave_one_out` on the training set only.
    false_alarms : float
        Share of the training photos that may be flagged, between 0 and 1.

    Returns
    -------
    float
        A mean cosine similarity.
    """
    return float(np.quantile(familiarity(similarities), false_alarms))
