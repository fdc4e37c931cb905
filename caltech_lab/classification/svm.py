"""A support vector machine for embeddings.

``X`` is a matrix of embeddings, float32 of shape (n, d) with rows of length one; ``y`` is an int64
vector of shape (n,) with the category of each photo.
"""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import normalize
from sklearn.svm import SVC
from sklearn.utils.validation import check_is_fitted, validate_data


class PowerNormalizer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Raise each value to a power, keeping its sign, then scale each row to length one.

    A power below one evens out a few strong activations, which would otherwise rule the distances
    between photos. It learns nothing from the data.

    Parameters
    ----------
    power : float
        Exponent, above 0; 0.5 is the signed square root and 1 leaves the directions as they are.

    References
    ----------
    F. Perronnin, J. Sánchez, T. Mensink: Improving the Fisher kernel for large-scale image
    classification. European Conference on Computer Vision, 2010.
    """

    def __init__(self, power: float = 0.5) -> None:
        self.power = power

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Remember the number of columns.

        Parameters
        ----------
        X : array-like of float, shape (n, d)
            Embeddings.
        y : None
            Not used.
        """
        validate_data(self, X, dtype=(np.float64, np.float32))
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.floating[Any]]:
        """Return the normalised rows, of the shape and the floating type of `X`.

        Parameters
        ----------
        X : array-like of float, shape (n, d)
            Embeddings.
        """
        check_is_fitted(self, "n_features_in_")
        X = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        rows: NDArray[np.floating[Any]] = normalize(np.sign(X) * np.abs(X) ** self.power)
        return rows


def svm(
    power: float = 0.5, n_components: float = 0.95, C: float = 3.0, gamma: float = 1.0
) -> Pipeline:
    """Build a support vector machine with a Gaussian kernel on the principal components.

    Nothing in it is random. The defaults were found by cross-validation on the training part of
    Caltech-101 with ResNet-50; `tune_svm` finds them for other photos.

    Parameters
    ----------
    power : float
        Exponent of `PowerNormalizer`.
    n_components : float
        Share of the variance that the principal components keep, between 0 and 1; as a share it
        suits any number of photos and any backbone.
    C : float
        Cost of a training photo on the wrong side, above 0.
    gamma : float
        Narrowness of the kernel ``exp(-gamma * squared distance)``, above 0. Rows of length one
        are at squared distances of 0 to 4, whatever the backbone.

    Returns
    -------
    Pipeline
        ``powernormalizer``, ``pca``, ``svc``, not fitted.

    References
    ----------
    C. Cortes, V. Vapnik: Support-vector networks. Machine Learning 20, 1995.
    """
    return make_pipeline(
        PowerNormalizer(power),
        PCA(n_components, svd_solver="full"),
        SVC(C=C, gamma=gamma, cache_size=500),
    )
