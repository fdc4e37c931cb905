"""The entry point: one object with the dataset, the backbone, the embeddings and the models."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from caltech_lab.datasets import Photos, open_photos
from caltech_lab.datasets.splits import left_out, split
from caltech_lab.embedding.backbones import Backbone
from caltech_lab.embedding.backbones import backbone as look_up
from caltech_lab.embedding.embeddings import Embeddings, load
from caltech_lab.embedding.engines import Runtime, choose_runtime
from caltech_lab.embedding.extraction import ExtractionReport, extract
from caltech_lab.embedding.processor_noise import perturbation
from caltech_lab.errors import shown_name
from caltech_lab.retrieval.index import Index
from caltech_lab.settings import from_folder, settings
from caltech_lab.storage.cache import Cache
from caltech_lab.storage.files import make_folder

# Imports inside the methods keep `open_lab` fast: scikit-learn takes a second, and a lab that is
# only searched needs none.
if TYPE_CHECKING:
    from sklearn.cluster import KMeans
    from sklearn.pipeline import Pipeline

    from caltech_lab.classification.svm import CalibratedSVM


def open_lab(
    dataset: str | None = None,
    backbone: str | None = None,
    *,
    exclude: Sequence[str] | None = None,
) -> "Lab":
    """Open the lab, and print its dataset, backbone, output folder and seed.

    Parameters
    ----------
    dataset : str, optional
        `caltech101`, `all+background`, `report51`, `drawn` or a folder; see
        `datasets.open_photos` for the default.
    backbone : str, optional
        A name from `backbones.BACKBONES`; `resnet50` by default.
    exclude : sequence of str, optional
        Patterns of photos and folders to leave out of a folder, as in a `.gitignore` file.

    Returns
    -------
    Lab
        The lab; nothing is extracted or fitted yet.

    Raises
    ------
    LabError
        When the dataset or the backbone does not exist.
    """
    lab = Lab(open_photos(dataset, exclude), look_up(backbone))
    print(lab)
    return lab


@dataclass(frozen=True, eq=False)
class Lab:
    """A dataset, a backbone, its embeddings, and the basic models fitted on them.

    Embeddings and models are computed on first access, and cached in `outputs/`.
    """

    photos: Photos
    backbone: Backbone

    def __str__(self) -> str:
        """Return the dataset, backbone, output folder and seed, one per line."""
        shown = from_folder(self._folder, settings().home)
        return "\n".join(
            [
                f"Photos     {shown_name(self.photos.origin.rstrip('.'))}.",
                f"Backbone   {self.backbone.title}: {self.backbone.width:,}-dimensional vectors, "
                f"computed by {self.runtime}.",
                f"Outputs    {shown_name(shown.as_posix())}/",
                f"Seed       {self.seed}",
            ]
        )

    @property
    def seed(self) -> int:
        """The seed of all random choices."""
        return settings().seed

    @cached_property
    def runtime(self) -> Runtime:
        """The engine and precision used to run the backbone on this machine."""
        return choose_runtime(self.backbone)

    def with_backbone(self, name: str) -> "Lab":
        """Return a lab with the same photos and another backbone."""
        return Lab(self.photos, look_up(name))

    def on(self, folder: Path | str) -> "Lab":
        """Return a lab with the same backbone on another dataset, such as a folder of photos."""
        return Lab(open_photos(str(folder)), self.backbone)

    @property
    def embeddings(self) -> Embeddings:
        """The embeddings of all readable photos, extracted if they are not up to date.

        `X` is float32 of shape (n, width), with rows of unit length. If photos are extracted or
        cannot be read, this is reported once; if none can be read, a `DatasetError` is raised.
        """
        return self._embedded[0]

    @property
    def extraction(self) -> ExtractionReport:
        """The report of the extraction."""
        return self._embedded[1]

    @cached_property
    def _embedded(self) -> tuple[Embeddings, ExtractionReport]:
        folder = self.folder("features")
        report = extract(self.photos, self.backbone, folder, runtime=self.runtime)
        if report.n_extracted or report.failed:
            print(report)
        return load(folder, self.photos), report

    def split(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of the training set and of the test set; see `datasets.splits.split`.

        The categories that are too small for the split are printed once.
        """
        return self._split

    @cached_property
    def _split(self) -> tuple[np.ndarray, np.ndarray]:
        parts = split(self.embeddings.y, self.seed)
        if sentence := left_out(self.embeddings.y, self.embeddings.categories):
            print(sentence)
        return parts

    @property
    def _folder(self) -> Path:
        return settings().outputs / self.photos.name / self.backbone.name

    def folder(self, name: str = "") -> Path:
        """Return a folder under `outputs/<dataset>/<backbone>/`, creating it if needed.

        Results from perturbed embeddings have separate folders; see `processor_noise`.
        """
        seed, folder = perturbation(), self._folder
        if seed is not None and name != "features":
            folder /= f"perturbed-{seed}"
        folder /= name
        return make_folder(folder)

    @cached_property
    def cache(self) -> Cache:
        """The cache of results from these embeddings with this seed."""
        identity = self.embeddings.identity
        names = ("embeddings_sha256", "items_sha256")  # the vectors; their paths and categories
        return Cache(self.folder(), {name: identity[name] for name in names} | {"seed": self.seed})

    def cached(self, name: str, make: Callable[..., Any], /, *args: Any, **parameters: Any) -> Any:
        """Return ``make(*args, **parameters)``, cached as a file.

        Parameters
        ----------
        name : str
            Path of the file in the lab's folder; the suffix chooses the format, as in `Cache.get`.
        make : callable
            Computes the result; its code is part of the cache key.
        *args, **parameters
            Passed to `make`, and part of the cache key; the parameters are JSON-serializable.

        Returns
        -------
        BaseEstimator, ndarray, DataFrame or JSON value
            The result, computed or loaded.

        Raises
        ------
        CacheError
            When the result is not cached and the folder is not writable.
        """
        return self.cache.get(name, make, *args, **parameters)

    def kmeans(self, k: int = 20) -> "KMeans":
        """Return K-Means fitted on all embeddings."""
        from caltech_lab.clustering.kmeans import kmeans

        name = f"models/clustering/kmeans_k{k}.skops"
        return self.cached(name, kmeans, self.embeddings.X, k=k, seed=self.seed)

    def linkage(self, method: str = "ward", metric: str = "euclidean") -> np.ndarray:
        """Return the linkage matrix of all embeddings.

        Parameters
        ----------
        method : {"ward", "average", "complete", "single"}
            How the distance between two clusters is derived from those between their photos.
        metric : {"euclidean", "cosine"}
            Distance between photos; Ward's method requires the Euclidean distance.

        Returns
        -------
        ndarray of float64, shape (n - 1, 4)
            SciPy's linkage matrix, as from `fast.linkage.linkage_matrix`, which has the same
            errors.
        """
        from caltech_lab.fast.linkage import linkage_matrix

        name, X = f"models/clustering/linkage_{method}_{metric}.npy", self.embeddings.X
        Z: np.ndarray = self.cached(name, linkage_matrix, X, method=method, metric=metric)
        return Z

    def svm(self) -> "CalibratedSVM":
        """Return the SVM, tuned and fitted on the training set."""
        from caltech_lab.classification import svm, tuning

        train, _ = self.split()
        Xy, seed = (self.embeddings.X[train], self.embeddings.y[train]), self.seed
        name, grid = "models/classifier/svm_grid.parquet", tuning.svm_grid()
        table = self.cached(name, tuning.tune_svm, *Xy, seed=seed, grid=grid)
        model: CalibratedSVM = self.cached(
            "models/classifier/svm_rbf.skops",
            svm.fit_svm,
            *Xy,
            random_state=seed,
            **tuning.best_parameters(table),
        )
        return model

    def random_forest(self) -> "Pipeline":
        """Return the random forest, fitted on the training set."""
        from caltech_lab.classification.forest import fit_forest

        train, _ = self.split()
        Xy = self.embeddings.X[train], self.embeddings.y[train]
        return self.cached("models/classifier/random_forest.skops", fit_forest, *Xy, seed=self.seed)

    def index(self) -> Index:
        """Return the exact index of all embeddings."""
        return Index(self.embeddings.X)
