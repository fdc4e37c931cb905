"""A support vector machine for embeddings.

``X`` is a matrix of embeddings, float32 of shape (n, d) with rows of unit length; ``y`` is an
int64 vector of shape (n,) with the category of each photo.
"""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    OneToOneFeatureMixin,
    TransformerMixin,
)
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import normalize
from sklearn.svm import SVC
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from caltech_lab.classification.probabilities import (
    best_temperature,
    margins,
    out_of_fold_margins,
)
from caltech_lab.fast.pca import fitted


class PowerNormalizer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Raise each value to a power, keeping its sign, then scale each row to unit length.

    A power below one reduces the influence of a few large activations, which would otherwise
    dominate the distances between photos. Nothing is learned from the data.

    Parameters
    ----------
    power : float
        Exponent, above 0; 0.5 is the signed square root, and 1 leaves the directions unchanged.

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

        Returns
        -------
        PowerNormalizer
            The same object.
        """
        validate_data(self, X, dtype=(np.float64, np.float32))
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.floating[Any]]:
        """Raise each component to the power, keeping its sign, and normalize the rows.

        Parameters
        ----------
        X : array-like of float, shape (n, d)
            Embeddings.

        Returns
        -------
        ndarray of float32 or float64, shape (n, d)
            Rows of unit length, in the floating type of `X`; a row of zeros stays zero.
        """
        check_is_fitted(self, "n_features_in_")
        X = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        rows: NDArray[np.floating[Any]] = normalize(np.sign(X) * np.abs(X) ** self.power)
        return rows


def svm(
    power: float = 0.5, n_components: float = 0.95, C: float = 3.0, gamma: float = 1.0
) -> Pipeline:
    """Build a support vector machine with a Gaussian kernel on the principal components.

    The fit is deterministic. The defaults were found by cross-validation on the training set of
    Caltech-101 with ResNet-50; use `tune_svm` for other photos.

    Parameters
    ----------
    power : float
        Exponent of `PowerNormalizer`.
    n_components : float
        Share of the variance that the principal components keep, between 0 and 1; a share suits
        any number of photos and any backbone.
    C : float
        Regularization parameter (inverse regularization strength), above 0.
    gamma : float
        Kernel coefficient of ``exp(-gamma * squared distance)``, above 0. Squared distances
        between rows of unit length lie between 0 and 4, whatever the backbone.

    Returns
    -------
    Pipeline
        Unfitted: ``powernormalizer``, ``pca``, ``svc``.

    References
    ----------
    C. Cortes, V. Vapnik: Support-vector networks. Machine Learning 20, 1995.
    """
    return make_pipeline(
        PowerNormalizer(power),
        PCA(n_components, svd_solver="full"),
        SVC(C=C, gamma=gamma, cache_size=500),
    )


class CalibratedSVM(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """`svm` with probabilities: the softmax of its margins divided by a temperature.

    The temperature is found by cross-validation on the training set. Temperature scaling does not
    change the predictions: `predict` counts votes over the pairs of categories, so in rare cases
    it differs from the category with the highest probability.

    Parameters
    ----------
    power, n_components, C, gamma : float
        As for `svm`.
    n_folds : int
        Number of cross-validation folds; each category needs at least as many photos.
    random_state : int
        Seed of the folds.

    Attributes
    ----------
    svm_ : Pipeline
        `svm`, fitted on all training photos.
    temperature_ : float
        Above 0; the higher, the closer the probabilities are to uniform.
    classes_ : ndarray, shape (number of categories,)
        Sorted categories.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger: On calibration of modern neural networks.
    International Conference on Machine Learning, 2017.
    """

    def __init__(
        self,
        power: float = 0.5,
        n_components: float = 0.95,
        C: float = 3.0,
        gamma: float = 1.0,
        n_folds: int = 3,
        random_state: int = 0,
    ) -> None:
        self.power = power
        self.n_components = n_components
        self.C = C
        self.gamma = gamma
        self.n_folds = n_folds
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit the SVM and find the temperature.

        Parameters
        ----------
        X : array-like of float, shape (n, d)
            Embeddings of the training set only.
        y : array-like, shape (n,)
            Their categories.

        Returns
        -------
        CalibratedSVM
            The same object, fitted.

        Raises
        ------
        ArgumentError
            When there are fewer than two categories, or a category has fewer photos than
            `n_folds`.
        """
        rows: Any
        labels: Any
        rows, labels = validate_data(self, X, y, dtype=(np.float64, np.float32))
        check_classification_targets(labels)
        plain = svm(self.power, self.n_components, self.C, self.gamma)
        found = out_of_fold_margins(plain, rows, labels, self.random_state, self.n_folds)
        self.temperature_ = best_temperature(found, labels)
        self.svm_ = fitted(plain, rows, labels)
        self.classes_ = self.svm_.classes_
        return self

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the category that wins most pairs, for each row of `X`, shape (m,)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        return np.asarray(self.svm_.predict(X))

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of each category, float64 of shape (m, number of categories)."""
        check_is_fitted(self)
        rows: Any = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        return np.asarray(softmax(margins(self.svm_, rows) / self.temperature_, axis=1))

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters of the SVM, named as the arguments of `svm`."""
        names = ("power", "n_components", "C", "gamma")
        return {name: getattr(self, name) for name in names}


def fit_svm(X: NDArray[np.float32], y: NDArray[np.int64], **parameters: Any) -> CalibratedSVM:
    """Fit a `CalibratedSVM`.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings of the training set only.
    y : ndarray of int64, shape (n,)
        Their categories.
    **parameters
        Of `CalibratedSVM`.

    Returns
    -------
    CalibratedSVM
        Fitted; `CalibratedSVM.fit` has the same errors.
    """
    return CalibratedSVM(**parameters).fit(X, y)
