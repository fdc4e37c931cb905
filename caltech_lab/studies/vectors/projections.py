"""Projections of embeddings, learned from photos and their labels.

All are scikit-learn transformers that return rows of unit length, so that inner products are cosine
similarities. Fit them on the training set only. ``X`` is float32 of shape (n, d), ``y`` int64 of
shape (n,).
"""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import normalize
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from caltech_lab.errors import ArgumentError

Floats = NDArray[np.floating[Any]]
FLOATS = (np.float64, np.float32)  # accepted dtypes; the output has the dtype of the input


class PartialWhitener(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """PCA with partial whitening.

    Parameters
    ----------
    n_components : int
        Number of components to keep, at most n - 1 and d.
    power : float
        Each component is divided by its variance to this power: 0 is plain PCA, 0.5 whitens.
    seed : int
        Seed of the randomized decomposition.

    References
    ----------
    H. Jégou, O. Chum: Negative evidences and co-occurences in image retrieval: the benefit of PCA
    and whitening. European Conference on Computer Vision, 2012.
    """

    def __init__(self, n_components: int = 512, power: float = 0.25, seed: int = 0) -> None:
        self.n_components = n_components
        self.power = power
        self.seed = seed

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Compute the mean and the components; `y` is not used."""
        rows = validate_data(self, X, dtype=FLOATS, ensure_min_samples=2)
        count = min(self.n_components, rows.shape[1], len(rows) - 1)
        self.pca_ = PCA(
            count, svd_solver="randomized", iterated_power=4, random_state=self.seed
        ).fit(rows)
        return self

    def transform(self, X: ArrayLike) -> Floats:
        """Return rows of unit length, shape (n, components)."""
        check_is_fitted(self)
        turned = self.pca_.transform(validate_data(self, X, dtype=FLOATS, reset=False))
        # Components beyond the rank have no variance.
        strength = np.maximum(self.pca_.explained_variance_, 1e-9)
        rows: Floats = normalize(turned / strength**self.power)
        return rows


class PosteriorProjection(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Square roots of the predicted class probabilities, used as vectors.

    The inner product of two rows is the Bhattacharyya coefficient of two distributions: 1 if both
    photos have the same predicted probabilities. This space cannot separate photos that the labels
    do not separate.

    Parameters
    ----------
    classifier : estimator
        A classifier with `predict_proba`; `LogisticRegression` with C = 300 by default.

    References
    ----------
    A. Bhattacharyya: On a measure of divergence between two statistical populations defined by
    their probability distributions. Bulletin of the Calcutta Mathematical Society 35, 1943.
    """

    def __init__(self, classifier: Any = None) -> None:
        self.classifier = classifier

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit the classifier."""
        default = LogisticRegression(C=300, max_iter=300)
        self.model_ = clone(default if self.classifier is None else self.classifier)
        rows, labels = validate_data(self, X, y, dtype=FLOATS)
        check_classification_targets(labels)
        self.model_.fit(rows, labels)
        return self

    @property
    def classes_(self) -> NDArray[Any]:
        """The categories, in the order of the columns."""
        classes: NDArray[Any] = self.model_.classes_
        return classes

    def predict_proba(self, X: ArrayLike) -> NDArray[np.floating[Any]]:
        """Return the probability of each category, shape (n, categories)."""
        check_is_fitted(self)
        rows = validate_data(self, X, dtype=FLOATS, reset=False)
        shares: NDArray[np.floating[Any]] = self.model_.predict_proba(rows).astype(rows.dtype)
        return shares

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the most probable category of each row."""
        places = self.predict_proba(X).argmax(axis=1)
        best: NDArray[Any] = self.classes_[places]
        return best

    def transform(self, X: ArrayLike) -> Floats:
        """Return rows of unit length, shape (n, categories)."""
        rows: Floats = np.sqrt(self.predict_proba(X))
        return rows


class ProxyProjection(ClassifierMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A linear projection trained with a proxy loss; also a nearest-proxy classifier.

    Each category has one learned unit vector, its proxy. The loss is the cross-entropy of the
    scaled cosines between a projected photo and the proxies. The projection is initialized to the
    identity on the leading columns.

    Parameters
    ----------
    n_components : int
        Output dimension, at most d.
    scale : float
        Factor of the cosines (inverse temperature), above 0.
    epochs : int
        Number of epochs, with batches of 256.
    rate : float
        Learning rate of AdamW.
    seed : int
        Seed of the batches.

    References
    ----------
    Y. Movshovitz-Attias et al.: No fuss distance metric learning using proxies. ICCV 2017.
    A. Zhai, H.-Y. Wu: Classification is a strong baseline for deep metric learning. BMVC 2019.
    """

    def __init__(
        self,
        n_components: int = 512,
        scale: float = 16.0,
        epochs: int = 40,
        rate: float = 2e-3,
        seed: int = 0,
    ) -> None:
        self.n_components = n_components
        self.scale = scale
        self.epochs = epochs
        self.rate = rate
        self.seed = seed

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train the projection and the proxies."""
        import torch

        unit = torch.nn.functional.normalize
        random = torch.Generator().manual_seed(self.seed)
        given, categories = validate_data(self, X, y, dtype=FLOATS)
        check_classification_targets(categories)
        rows = torch.from_numpy(given.astype(np.float32))
        self.classes_, places = np.unique(categories, return_inverse=True)
        labels = torch.from_numpy(places)
        map_ = torch.eye(rows.shape[1], min(self.n_components, rows.shape[1])).requires_grad_()
        sums = torch.zeros(int(labels.max()) + 1, rows.shape[1]).index_add_(0, labels, rows)
        proxies = (sums @ map_).detach().requires_grad_()  # category centroids
        adam = torch.optim.AdamW([map_, proxies], self.rate, weight_decay=1e-2)
        for _ in range(self.epochs):
            for batch in torch.randperm(len(rows), generator=random).split(256):
                cosines = unit(rows[batch] @ map_) @ unit(proxies).T
                adam.zero_grad()
                loss = torch.nn.functional.cross_entropy(self.scale * cosines, labels[batch])
                loss.backward()  # type: ignore[no-untyped-call,unused-ignore]
                adam.step()
        self.projection_ = map_.detach().numpy()
        self.proxies_ = normalize(proxies.detach().numpy())
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.floating[Any]]:
        """Return the probability of each category, shape (n, categories)."""
        shares: NDArray[np.floating[Any]] = softmax(
            self.scale * self.transform(X) @ self.proxies_.T, axis=1
        )
        return shares

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the category with the nearest proxy for each row."""
        places = self.predict_proba(X).argmax(axis=1)
        best: NDArray[Any] = self.classes_[places]
        return best

    def transform(self, X: ArrayLike) -> Floats:
        """Return rows of unit length, shape (n, `n_components`)."""
        check_is_fitted(self)
        given = validate_data(self, X, dtype=FLOATS, reset=False)
        rows: Floats = normalize(given @ self.projection_)
        return rows


def projection(name: str, *, n_components: int | None = None, seed: int = 0) -> Pipeline:
    """Build a projection of fused embeddings that is learned from labels.

    Parameters
    ----------
    name : {"posterior"}
        Class probabilities of a `ProxyProjection` after the whitening.
    n_components : int, optional
        Number of principal components; chosen by cross-validation by default.
    seed : int
        Seed of the random steps.

    Returns
    -------
    Pipeline
        Unfitted.

    Raises
    ------
    ArgumentError
        When the name is unknown.
    """
    if name != "posterior":
        raise ArgumentError(f"There is no projection {name!r}: choose 'posterior'.")
    # Chosen by cross-validation on the training set: number of components, whitening power.
    count, power = n_components or 1024, 0.25
    classifier = ProxyProjection(count, seed=seed)
    return make_pipeline(PartialWhitener(count, power, seed), PosteriorProjection(classifier))


def fit_projection(X: Floats, y: NDArray[np.int64], name: str, seed: int = 0) -> Pipeline:
    """Build and fit a `projection`."""
    return projection(name, seed=seed).fit(X, y)
