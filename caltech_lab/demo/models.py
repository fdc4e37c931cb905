"""The fitted models of the demo: classifier, clusters, calibration pairs and novelty threshold."""

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from caltech_lab.clustering.checks import possible_k
from caltech_lab.demo.results import Vector
from caltech_lab.errors import ArgumentError
from caltech_lab.fast.kernel_svm import predictions
from caltech_lab.retrieval.calibration import leave_one_out
from caltech_lab.retrieval.index import Ids, Similarities
from caltech_lab.retrieval.novelty import NoveltyDetector, fit_novelty, novelty_threshold

if TYPE_CHECKING:
    from caltech_lab.classification.svm import CalibratedSVM
    from caltech_lab.lab import Lab

N_CLUSTERS = 20


class Models:
    """Predicts the category and the cluster of a query.

    The models are those cached by the lab, fitted on demand. They always use the plain vectors,
    because learned vectors represent only the categories.

    Parameters
    ----------
    lab : Lab
        The lab with the photos and models to use.
    k : int
        Number of results per photo for calibration and novelty.

    Attributes
    ----------
    classifier : CalibratedSVM or None
        The lab's SVM; None if fewer than two categories are large enough.
    no_classifier : str
        A sentence that says why there is no classifier; empty otherwise.
    trained_on : ndarray of int64
        Rows of the gallery that the classifier was trained on.
    predicted : ndarray of int64, shape (n,), or None
        The category that the classifier predicts for each photo of the gallery.
    novelty : NoveltyDetector or None
        Scores the familiarity of a query; None without a classifier.
    threshold : float
        Familiarity below which a query counts as unlike the gallery.
    kmeans : KMeans or None
        Fitted on the whole gallery; None for fewer than three photos, and for copies of one photo.
    pairs : callable
        Returns `calibration.leave_one_out` of the photos that the classifier was trained on, or of
        all photos without a classifier; computed once.
    """

    def __init__(self, lab: "Lab", k: int) -> None:
        self._gallery = gallery = lab.embeddings
        self.classifier: CalibratedSVM | None = None
        self.trained_on, self.no_classifier = np.empty(0, np.int64), ""
        self.predicted: Ids | None = None
        try:
            self.classifier = lab.svm()
            self.trained_on, _ = lab.split()
            name, svm = "models/retrieval/predicted.npy", self.classifier.svm_
            self.predicted = lab.cached(name, predictions, svm, gallery.X)
        except ArgumentError as error:
            self.no_classifier = str(error)
        rows = self.trained_on if self.classifier else np.arange(len(gallery))
        self.pairs = lru_cache(1)(lambda: leave_one_out(gallery.X[rows], gallery.y[rows], k))
        self.threshold = -1.0  # there are no pairs to derive a threshold from
        self.novelty: NoveltyDetector | None = None
        if self.classifier:
            name, X, y = "models/retrieval/novelty.skops", gallery.X[rows], gallery.y[rows]
            self.novelty = lab.cached(name, fit_novelty, X, y, seed=lab.seed)
            self.threshold = self.novelty.threshold_
        elif len(gallery) > 1:
            name = "models/retrieval/novelty_threshold.json"
            self.threshold = float(lab.cached(name, _threshold, self.pairs))
        n_clusters = possible_k(gallery.X, N_CLUSTERS)
        self.kmeans = lab.kmeans(n_clusters) if n_clusters > 1 else None

    def probabilities(self, vector: Vector) -> NDArray[np.float64] | None:
        """Return the probability of each category of the gallery, 0 for untrained ones."""
        if self.classifier is None:
            return None
        probabilities = np.zeros(len(self._gallery.categories))
        probabilities[self.classifier.classes_] = self.classifier.predict_proba(vector[None])[0]
        return probabilities

    def cluster(self, vector: Vector) -> int | None:
        """Return the K-Means cluster with the nearest center; None without clusters."""
        return int(self.kmeans.predict(vector[None])[0]) if self.kmeans else None

    def cluster_members(self, cluster: int) -> Ids:
        """Return the rows of the gallery's photos in a K-Means cluster."""
        if self.kmeans is None:
            return np.empty(0, np.int64)
        return np.flatnonzero(self.kmeans.labels_ == cluster)


def _threshold(pairs: Callable[[], tuple[Similarities, NDArray[np.bool_]]]) -> float:
    return novelty_threshold(pairs()[0])
