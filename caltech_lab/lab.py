"""The front door: one object that knows the dataset, the backbone and where everything is kept."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from caltech_lab.datasets import Photos, open_photos
from caltech_lab.embedding.backbones import Backbone
from caltech_lab.embedding.backbones import backbone as look_up
from caltech_lab.embedding.perturbation import perturbation
from caltech_lab.settings import settings
from caltech_lab.storage.files import (
    load_array,
    load_model,
    load_table,
    lock,
    read_json,
    save_array,
    save_model,
    save_table,
    write_atomically,
    write_json,
)
from caltech_lab.storage.memory import release

if TYPE_CHECKING:
    import faiss
    import pandas as pd
    from sklearn.cluster import KMeans
    from sklearn.pipeline import Pipeline

    from caltech_lab.embedding.engines import Choice
    from caltech_lab.embedding.extraction import Outcome
    from caltech_lab.embedding.features import Features
    from caltech_lab.embedding.views import View
    from caltech_lab.metrics.retrieval import RetrievalScores
    from caltech_lab.retrieval.gallery import Gallery


def open_lab(dataset: str | None = None, backbone: str | None = None) -> "Lab":
    """Open the lab, and print what it works on.

    Parameters
    ----------
    dataset : str, optional
        `caltech101`, `all+background`, `report51`, `drawn` or a folder; see
        `datasets.open_photos` for the default.
    backbone : str, optional
        A name from `backbones.BACKBONES`; `resnet50` by default.

    Returns
    -------
    Lab
        The lab; nothing is extracted or fitted yet.

    Raises
    ------
    LabError
        When there is no such dataset or backbone.
    """
    lab = Lab(open_photos(dataset), look_up(backbone))
    print(lab)
    return lab


@dataclass(frozen=True, eq=False)
class Lab:
    """A dataset seen through a backbone, and what was made of it.

    What is asked for is made when it is not there yet, and kept in `outputs/`; it is made again
    when the embeddings that it was made from have changed.

    Parameters
    ----------
    photos : Photos
        What the lab works on.
    backbone : Backbone
        What turns photos into vectors.
    """

    photos: Photos
    backbone: Backbone

    def __str__(self) -> str:
        """Return the opening lines of a notebook."""
        folder = self.folder("")
        place = (
            folder.relative_to(settings().home)
            if folder.is_relative_to(settings().home)
            else folder
        )
        weights = self.backbone.weights()
        return "\n".join(
            [
                f"Photos     {self.photos.origin.rstrip('.')}.",
                f"Backbone   {self.backbone.title}: {self.backbone.width:,} numbers a photo, "
                f"weights {weights[:12]}, run by {self.choice}.",
                f"Outputs    {place.as_posix()}/",
                f"Seed       {self.seed}",
            ]
        )

    @property
    def seed(self) -> int:
        """The seed of every random choice."""
        return settings().seed

    @cached_property
    def choice(self) -> "Choice":
        """The engine and precision that this machine runs the backbone with."""
        from caltech_lab.embedding.engines import choose

        return choose(self.backbone)

    def folder(self, name: str) -> Path:
        """Return a folder under `outputs/<dataset>/<backbone>/`, made when it is not there.

        What is made from perturbed embeddings has folders of its own; see `perturbation`.
        """
        folder = settings().outputs / self.photos.name / self.backbone.name
        seed = perturbation()
        if seed is not None and name != "features":
            folder /= f"perturbed-{seed}"
        folder /= name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def with_backbone(self, name: str) -> "Lab":
        """Return a lab on the same photos with another backbone."""
        return Lab(self.photos, look_up(name))

    def on(self, folder: Path | str) -> "Lab":
        """Return a lab with the same backbone on another dataset, such as a folder of photos."""
        return Lab(open_photos(str(folder)), self.backbone)

    # ---- made on demand --------------------------------------------------------------------

    def features(self) -> "Features":
        """Return the embeddings of all photos, extracted when they are not there or not current.

        It prints one line that says why the cache may be used, or what had changed.

        Returns
        -------
        Features
            `X` is float32 of shape (n, width) with rows of unit length.

        Raises
        ------
        DatasetError
            When no photo can be read.
        CacheError
            When the disk is full or cannot be written.
        """
        features, outcome = self._features
        print(outcome)
        return features

    @property
    def outcome(self) -> "Outcome":
        """What became of each photo at the extraction."""
        return self._features[1]

    @cached_property
    def _features(self) -> "tuple[Features, Outcome]":
        from caltech_lab.embedding.extraction import extract
        from caltech_lab.embedding.features import load

        folder = self.folder("features")
        outcome = extract(self.photos, self.backbone, folder, choice=self.choice)
        return load(folder, self.photos), outcome

    @property
    def embeddings(self) -> "Features":
        """The same as `features()` gives, without its line."""
        return self._features[0]

    def view(self, view: "View", part: str = "average") -> np.ndarray:
        """Return one pooling of one view of all photos, extracted when it is not there.

        Parameters
        ----------
        view : View
            Through which network, and how the photo is shown to it.
        part : str
            One of `views.PARTS`.

        Returns
        -------
        ndarray of float32, shape (n, width)
            Rows of length one, in the order of `features()`.
        """
        from caltech_lab.embedding.extraction import extract
        from caltech_lab.embedding.features import load
        from caltech_lab.embedding.views import own_view, part_of

        if view == own_view(self.backbone) and part == "average":
            return self.embeddings.X
        network = view.as_backbone()
        folder = settings().outputs / self.photos.name / view.name / "features"
        extract(self.photos, network, folder)
        return part_of(load(folder, self.photos).X, view, part)

    def fused(self) -> "Features":
        """Return the average-pooled views of `views.chosen_views`, side by side in each row."""
        from caltech_lab.embedding.features import Features
        from caltech_lab.embedding.views import chosen_views, fused_views

        views = chosen_views()
        X = fused_views([[self.view(view) for view in group] for group in views])
        made = hashlib.sha256(np.ascontiguousarray(X).data).hexdigest()
        names = [view.name for group in views for view in group]
        identity = {"backbone": "+".join(names), "embeddings_sha256": made}
        return Features(X, self.embeddings.photos, self.embeddings.identity | identity)

    def kmeans(self, k: int = 20) -> "KMeans":
        """Return K-Means fitted on all embeddings, kept in `models/clustering/`."""
        from caltech_lab.clustering.kmeans import kmeans

        path = self.folder("models/clustering") / f"kmeans_k{k}.skops"
        return self.kept(path, lambda: kmeans(self.embeddings.X, k, self.seed), k=k)

    def tree(self, method: str = "ward", metric: str = "euclidean") -> np.ndarray:
        """Return the linkage tree of all embeddings, float64 of shape (n - 1, 4), kept as .npy."""
        from caltech_lab.fast.linkage import linkage_tree

        path = self.folder("models/clustering") / f"tree_{method}_{metric}.npy"
        tree: np.ndarray = self.kept(path, lambda: linkage_tree(self.embeddings.X, method, metric))
        return tree

    def svm(self) -> "Pipeline":
        """Return the SVM, tuned and fitted on the training part, kept as `svm_rbf.skops`."""
        from caltech_lab.classification.tuning import tune_svm

        train, _ = self.embeddings.split(self.seed)
        path = self.folder("models/classifier") / "svm_rbf.skops"
        X, y = self.embeddings.X[train], self.embeddings.y[train]
        return self.kept(path, lambda: tune_svm(X, y, seed=self.seed)[0])

    def svm_temperature(self) -> float:
        """Return what makes probabilities of the SVM's decisions, kept as `svm_temperature.npy`."""
        from caltech_lab.classification.probabilities import svm_temperature

        train, _ = self.embeddings.split(self.seed)
        path = self.folder("models/classifier") / "svm_temperature.npy"
        X, y, svm = self.embeddings.X[train], self.embeddings.y[train], self.svm()
        kept = self.kept(path, lambda: np.array([svm_temperature(svm, X, y, self.seed)]))
        return float(kept[0])

    def random_forest(self) -> "Pipeline":
        """Return the random forest, fitted on the training part, kept as `random_forest.skops`."""
        from caltech_lab.classification.forest import forest_parameters, random_forest
        from caltech_lab.fast.pca import fitted

        train, _ = self.embeddings.split(self.seed)
        path = self.folder("models/classifier") / "random_forest.skops"
        X, y = self.embeddings.X[train], self.embeddings.y[train]
        return self.kept(
            path, lambda: fitted(random_forest(self.seed, n_jobs=-1), X, y), **forest_parameters()
        )

    def splits(self, classifier: str) -> "pd.DataFrame":
        """Return the accuracy of a classifier on five seeded splits, kept as .csv.

        Parameters
        ----------
        classifier : {"svm", "random_forest"}
            With the parameters of `svm()`, or its own.

        Returns
        -------
        DataFrame
            As `comparison.repeated_splits` gives it.
        """
        from sklearn.base import clone

        from caltech_lab.classification.comparison import repeated_splits
        from caltech_lab.classification.forest import forest_parameters, random_forest

        X, y = self.embeddings.X, self.embeddings.y
        parameters = self.svm_parameters() if classifier == "svm" else forest_parameters()
        models: dict[str, Callable[[], Any]] = {
            "svm": self.svm,
            "random_forest": lambda: random_forest(self.seed, n_jobs=-1),
        }
        model = models[classifier]()
        path = self.folder("results/classification") / f"{classifier}_splits.csv"
        table: pd.DataFrame = self.kept(
            path, lambda: repeated_splits(lambda: clone(model), X, y, seed=self.seed), **parameters
        )
        return table

    def svm_parameters(self) -> dict[str, float]:
        """Return what the tuning of the SVM chose, by the names that `svm.svm` takes."""
        tuned = self.svm()
        return {
            "power": tuned["powernormalizer"].power,
            "n_components": tuned["pca"].n_components,
            "C": tuned["svc"].C,
            "gamma": tuned["svc"].gamma,
        }

    def clusterings(self, k: int = 50) -> "pd.DataFrame":
        """Return the scores of every recipe compared at k clusters, kept as .csv.

        Returns
        -------
        DataFrame
            As `comparison.compare_recipes` gives it.
        """
        from caltech_lab.clustering.comparison import compare_recipes

        self.photos.check_labels("Comparing clusterings with categories")
        X, y = self.embeddings.X, self.embeddings.y
        path = self.folder("results/clustering") / f"compared_k{k}.csv"
        table: pd.DataFrame = self.kept(
            path, lambda: compare_recipes(X, y, k, self.seed, self.tree()), k=k
        )
        return table

    def retrieval(self, setting: str = "leave_one_out", k: int = 10) -> "RetrievalScores":
        """Return the retrieval scores of every query, kept as .csv.

        Parameters
        ----------
        setting : {"leave_one_out", "held_out"}
            Whether every photo is a query to all the others, or the held-out photos are queries
            to the training set.
        k : int
            Cut-off of precision and recall.

        Returns
        -------
        RetrievalScores
            As `retrieval.retrieval_scores` gives them.
        """
        import pandas as pd

        from caltech_lab.metrics.retrieval import RetrievalScores, retrieval_scores

        self.photos.check_labels("Scoring retrieval by categories")
        X, y = self.embeddings.X, self.embeddings.y
        train, test = self.embeddings.split(self.seed)
        ways: dict[str, Callable[[], RetrievalScores]] = {
            "leave_one_out": lambda: retrieval_scores(X, y, k=k),
            "held_out": lambda: retrieval_scores(
                X[train], y[train], queries=X[test], query_labels=y[test], k=k
            ),
        }
        measure = ways[setting]
        path = self.folder("results/retrieval") / f"{setting}_k{k}.csv"
        table = self.kept(path, lambda: pd.DataFrame(measure().by_query()), k=k)
        n_queries = len(y) if setting == "leave_one_out" else len(test)
        columns = {name: table[name].to_numpy() for name in table}
        return RetrievalScores(k=k, n_dropped=n_queries - len(table), **columns)

    def index(self) -> "faiss.IndexFlatIP":
        """Return the exact index of all embeddings, kept as `models/faiss_index/`."""
        from caltech_lab.errors import CacheError
        from caltech_lab.retrieval.index import build_index, load_index, save_index

        X = self.embeddings.X
        path = self.folder("models/faiss_index") / "image_index.faiss"
        key = {"embeddings": self.embeddings.identity["embeddings_sha256"]}
        with lock(path):
            if _key_of(path) == key:
                with suppress(CacheError):
                    index = load_index(path, X.shape[1], len(X))
                    if np.array_equal(index.reconstruct_n(0, len(X)), X):
                        return index
            # Not there, or in doubt: it takes a moment to build it from the embeddings.
            index = build_index(X)
            save_index(path, index)
            self.embeddings.photos.table.to_csv(path.with_name("items.csv"), index=False)
            write_json(_key_path(path), key)
        return index

    def gallery(self, name: str | None = None) -> "Gallery":
        """Return a gallery of all embeddings, under the numbers of their rows, with categories.

        One that holds embeddings of other photos or another recipe is emptied and filled again.

        Parameters
        ----------
        name : str, optional
            As `gallery.open_gallery` takes it; that of the settings by default.
        """
        from caltech_lab.retrieval.gallery import fill, open_gallery

        features = self.embeddings
        name = name or settings().gallery
        folder = self.folder("models/galleries")
        # What a server holds is known by its own address, whatever else this folder has seen.
        key = hashlib.sha256(name.encode()).hexdigest()[:12]
        record = folder / f"{key}.json"
        key_now = {"gallery": name, "embeddings": features.identity["embeddings_sha256"]}
        with lock(record):
            current = record.is_file() and read_json(record) == key_now
            gallery = open_gallery(name, features.X.shape[1], folder, new=not current)
            if not current or gallery.ntotal != len(features):
                record.unlink(missing_ok=True)
                fill(gallery, features.X, features.photos.table["category"].tolist())
                write_json(record, key_now)
        return gallery

    def duplicates(self, *, crops: bool = True) -> "pd.DataFrame":
        """Return the pairs of photos that are nearly the same, kept as .csv.

        Parameters
        ----------
        crops : bool
            Whether to look for crops too.

        Returns
        -------
        DataFrame
            As `duplicates.find_duplicates` gives it.
        """
        from caltech_lab.studies.duplicates import Thresholds, find_duplicates

        path = self.folder("results/duplicates") / ("pairs.csv" if crops else "copies.csv")
        parameters = {"thresholds": asdict(Thresholds())}
        table: pd.DataFrame = self.kept(
            path, lambda: find_duplicates(self.embeddings, crops=crops), **parameters
        )
        return table

    def report(self) -> dict[str, Any]:
        """Measure the final report, and write `final_report.json` and `performance_summary.png`.

        Returns
        -------
        dict
            As `report.schema()` says; read from the file when embeddings and seed are the same.
        """
        from matplotlib import pyplot as plt

        from caltech_lab.plots.summary import performance_summary
        from caltech_lab.report.final_report import HIERARCHICAL_K, KMEANS_K, final_report

        path = self.folder("") / "final_report.json"
        with lock(path):
            saved = read_json(path) if path.is_file() else {}
            current = self.embeddings.identity["embeddings_sha256"], self.seed
            if (saved.get("embeddings_sha256"), saved.get("seed")) == current:
                return dict(saved)
            made = final_report(
                self.embeddings,
                seed=self.seed,
                svm_parameters=self.svm_parameters(),
                splits={name: self.splits(name) for name in ("svm", "random_forest")},
                kmeans_labels=self.kmeans(KMEANS_K).labels_,
                tree=self.tree(),
                compared=self.clusterings(HIERARCHICAL_K),
                retrieval={name: self.retrieval(name) for name in ("leave_one_out", "held_out")},
            )
            with write_atomically(path.with_name("performance_summary.png")) as picture:
                figure = performance_summary(made)
                figure.savefig(picture, dpi=150)
                plt.close(figure)  # a notebook would show it
            write_json(path, made)
            return made

    def projected(self, name: str) -> "tuple[Pipeline, Features]":
        """Return a projection fitted on the training part, and the vectors of all photos by it.

        Parameters
        ----------
        name : str
            As `projections.recipe` takes it.

        Returns
        -------
        model : Pipeline
            From fused embeddings to rows of length one; kept as `models/vectors/<name>.skops`.
        vectors : Features
            What it makes of `fused()`.
        """
        from caltech_lab.studies.vectors.projections import recipe

        fused = self.fused()
        train, _ = fused.split(self.seed)
        model: Pipeline = self.kept(
            self.folder("models/vectors") / f"{name}.skops",
            lambda: recipe(name, seed=self.seed).fit(fused.X[train], fused.y[train]),
            fused=fused.identity["embeddings_sha256"],
        )
        identity = fused.identity | {"recipe": name}
        return model, replace(fused, X=model.transform(fused.X), identity=identity)

    def beyond(self, seeds: Sequence[int] = (0, 1)) -> dict[str, Any]:
        """Measure what the best vectors reach, and write it into `final_report.json`.

        It takes some ten minutes on two cores, and is read from the file where it is there.

        Parameters
        ----------
        seeds : sequence of int
            Each is a run from scratch.

        Returns
        -------
        dict
            ``views``, ``by_seed`` as `targets.reached` gives it, and ``targets`` as
            `targets.table` does.
        """
        from caltech_lab.storage.progress import progress
        from caltech_lab.studies.vectors.targets import reached, table

        made, fused = self.report(), self.fused()
        key = {"embeddings_sha256": fused.identity["embeddings_sha256"], "seeds": [*seeds]}
        saved = made.get("beyond", {}).get("vectors", {})
        if key.items() <= saved.items():
            return dict(saved)
        plain, y = self.embeddings.X, self.embeddings.y
        by_seed = {seed: reached(plain, fused.X, y, seed) for seed in progress(seeds, desc="Seed")}
        vectors = {
            **key,
            "views": fused.identity["backbone"].split("+"),
            "by_seed": {str(seed): figures for seed, figures in by_seed.items()},
            "targets": table(self.photos.name, by_seed),
        }
        self._add_beyond("vectors", vectors)
        return vectors

    def better_clusters(self) -> dict[str, Any]:
        """Measure what `better_clusters.better_recipe` finds, and write it into the final report.

        It takes about two minutes on two cores, and is read from the file where it is there.

        Returns
        -------
        dict
            As `better_clusters.better_clusters` gives it, with ``targets`` for the photos that
            have such.
        """
        from caltech_lab.studies.clusters.better_clusters import (
            CHOSEN,
            SECOND_VIEW,
            against,
            better_clusters,
        )

        features, made = self.embeddings, self.report()
        k, power = CHOSEN.get(self.photos.name, CHOSEN["all"])
        k = min(k, len(features) // 4)
        key = {"embeddings_sha256": features.identity["embeddings_sha256"], "seed": self.seed}
        saved = made.get("beyond", {}).get("clusters", {})
        if key.items() <= saved.items():
            return dict(saved)
        parts = [features.X, self.view(SECOND_VIEW)]
        found = better_clusters(parts, features.y, k, self.seed, power=power)
        clusters = {**key, **found, "targets": against(self.photos.name, found)}
        self._add_beyond("clusters", clusters)
        return clusters

    def _add_beyond(self, name: str, figures: dict[str, Any]) -> None:
        path = self.folder("") / "final_report.json"
        with lock(path):
            made = read_json(path)
            write_json(path, made | {"beyond": made.get("beyond", {}) | {name: figures}})

    def kept(self, path: Path, make: Callable[[], Any], **parameters: Any) -> Any:
        """Load what was made from these embeddings before, or make it and keep it.

        Parameters
        ----------
        path : Path
            Where it is kept: an estimator as `.skops`, an array as `.npy` or a table as `.csv`. A
            `.json` beside it says what it was made from.
        make : callable
            Makes it.
        **parameters
            What else it depends on, in terms of JSON.

        Returns
        -------
        BaseEstimator, ndarray or DataFrame
            What `make` gave, now or then.
        """
        formats: dict[str, tuple[Callable[[Path], Any], Callable[[Path, Any], None]]] = {
            ".skops": (load_model, save_model),
            ".npy": (load_array, save_array),
            ".csv": (load_table, save_table),
        }
        load, save = formats[path.suffix]
        key = {
            "embeddings": self.embeddings.identity["embeddings_sha256"],
            "seed": self.seed,
            **parameters,
        }
        with lock(path):
            if path.is_file() and _key_of(path) == key:
                return load(path)
            _key_path(path).unlink(missing_ok=True)
            made = make()
            save(path, made)
            release()
            write_json(_key_path(path), key)
            return made

    # ---- checkpoints -----------------------------------------------------------------------

    def checkpoint(self, notebook: str, figures: Mapping[str, Any]) -> None:
        """Say in one line whether a notebook's figures are the recorded ones.

        Parameters
        ----------
        notebook : str
            The notebook's number, such as "03", or its name where it has none.
        figures : mapping
            What the notebook measured, by name.
        """
        from caltech_lab.report.checkpoints import check

        check(self, notebook, figures)


def _key_path(path: Path) -> Path:
    return path.with_suffix(".json")


def _key_of(path: Path) -> Any:
    key = _key_path(path)
    return read_json(key) if key.is_file() else None
