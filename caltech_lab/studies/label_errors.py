"""Possible label errors, found by confident learning, and a person's decisions about them.

A label is suspicious if the out-of-fold probability of another category is high. Confident
learning (in the library cleanlab) accounts for different average confidence per category. Only a
person can decide whether a label is wrong, so decisions are stored separately, and no photo or
folder is changed.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.pipeline import Pipeline

from caltech_lab.classification.probabilities import (
    best_temperature,
    margins,
    out_of_fold_margins,
)
from caltech_lab.classification.svm import svm
from caltech_lab.embedding.embeddings import Embeddings
from caltech_lab.errors import ArgumentError, CacheError
from caltech_lab.storage.files import csv_text, lock, set_aside, write_atomically

if TYPE_CHECKING:
    from caltech_lab.lab import Lab

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

Decision = Literal["keep", "relabel", "drop"]
COLUMNS = ["path", "category", "decision", "label"]


def out_of_fold_probabilities(
    model: Pipeline,
    X: NDArray[np.float32],
    y: Ints,
    temperature: float,
    seed: int = 0,
    n_folds: int = 3,
) -> Floats:
    """Return out-of-fold probabilities of each photo, with a progress bar.

    Parameters
    ----------
    model : Pipeline
        `svm.svm`; only its parameters are used, and it is not changed.
    X : ndarray of float32, shape (n, d)
        Embeddings of the training set.
    y : ndarray of int64, shape (n,)
        Their categories, numbered from 0 without gaps.
    temperature : float
        From `probabilities.best_temperature`.
    seed : int
        Seed of the folds.
    n_folds : int
        Number of folds of the stratified cross-validation.

    Returns
    -------
    ndarray of float64, shape (n, number of categories)
        Rows that sum to one.

    Raises
    ------
    ArgumentError
        When there are fewer than two categories, or a category has fewer photos than `n_folds`.
    """
    found = out_of_fold_margins(model, X, y, seed, n_folds)
    probabilities: Floats = softmax(found / temperature, axis=1)
    return probabilities


def out_of_fold_for_all(lab: "Lab", model: Pipeline) -> tuple[Floats, float]:
    """Return out-of-sample probabilities of all photos; cached in `results/label_errors/`.

    Parameters
    ----------
    lab : Lab
        The photos and their split.
    model : Pipeline
        `svm.svm`, fitted on the training set, which predicts the test set. The training set is
        predicted in three folds, by `probabilities.out_of_fold_margins`.

    Returns
    -------
    probabilities : ndarray of float64, shape (n, number of categories)
        Rows that sum to one, in the order of ``lab.embeddings``.
    temperature : float
        Temperature of the probabilities, found on the training set.
    """
    X, y = lab.embeddings.X, lab.embeddings.y
    train, test = lab.split()
    parameters = {
        "power": model[0].power, "n_components": model[1].n_components,
        "C": model[2].C, "gamma": model[2].gamma,
    }  # fmt: skip
    found = lab.cached(
        "results/label_errors/out_of_fold_margins.npy",
        _margins, X[train], y[train], seed=lab.seed, parameters=parameters,
    )  # fmt: skip
    temperature = best_temperature(found, y[train])
    probabilities = np.empty((len(y), found.shape[1]))
    probabilities[train] = softmax(found / temperature, axis=1)
    probabilities[test] = softmax(margins(model, X[test]) / temperature, axis=1)
    return probabilities, temperature


def _margins(X: Any, y: Any, seed: int, parameters: dict[str, float]) -> Floats:
    return out_of_fold_margins(svm(**parameters), X, y, seed)


def label_issues(features: Embeddings, rows: Ints, probabilities: Floats) -> pd.DataFrame:
    """List the photos with a suspicious label by confident learning, the most suspicious first.

    Parameters
    ----------
    features : Embeddings
        All photos.
    rows : ndarray of int64, shape (n,)
        Rows of the predicted photos, such as the training set.
    probabilities : ndarray of float64, shape (n, number of categories)
        From `out_of_fold_probabilities`.

    Returns
    -------
    DataFrame
        One row per suspicious label: ``row`` in `features`, ``path``, ``category``, ``p_category``
        (predicted probability of the label), ``suggested`` (the most probable other category) and
        ``p_suggested`` (its probability).

    References
    ----------
    C. G. Northcutt, L. Jiang, I. L. Chuang: Confident learning: estimating uncertainty in dataset
    labels. Journal of Artificial Intelligence Research 70, 2021.
    """
    ranked = find_label_issues(features.y[rows], probabilities)
    label, here = features.y[rows][ranked], np.arange(len(ranked))
    p = probabilities[ranked]
    others = p.copy()
    others[here, label] = -1
    suggested = others.argmax(axis=1)
    names = np.asarray(features.categories, dtype=object)
    return pd.DataFrame(
        {
            "row": rows[ranked],
            "path": features.photos.table["path"].to_numpy()[rows[ranked]],
            "category": names[label],
            "p_category": p[here, label],
            "suggested": names[suggested],
            "p_suggested": p[here, suggested],
        }
    )


def find_label_issues(y: Ints, probabilities: Floats) -> Ints:
    """Return the suspicious labels by confident learning, the most suspicious first.

    Parameters
    ----------
    y : ndarray of int64, shape (n,)
        Labels, numbered from 0 without gaps.
    probabilities : ndarray of float64, shape (n, c)
        Out-of-fold probabilities.

    Returns
    -------
    ndarray of int64
        Positions in `y`, by ascending probability of the label.

    References
    ----------
    C. G. Northcutt, L. Jiang, I. L. Chuang: Confident learning: estimating uncertainty in dataset
    labels. Journal of Artificial Intelligence Research 70, 2021.
    """
    from cleanlab.filter import find_label_issues  # takes seconds to import

    ranked = find_label_issues(
        y, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1
    )
    return np.asarray(ranked, dtype=np.int64)


# ---- decisions -----------------------------------------------------------------------------


class Decisions:
    """Decisions about labels, in a CSV file that is written atomically after each decision.

    Rows are identified by the sha256 of the photo, so that a moved photo keeps its decision. A lock
    protects the file when several processes write to it.

    Parameters
    ----------
    path : Path
        The file; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def table(self) -> pd.DataFrame:
        """Read the decisions.

        Returns
        -------
        DataFrame
            Indexed by ``sha256``: ``path``, ``category`` (the original label), ``decision`` (keep,
            relabel or drop) and ``label`` (the label to use; the original unless relabeled).

        Raises
        ------
        CacheError
            When a decision is not understood; the file is not changed. A file that is not a table
            of decisions is set aside, and never lost.
        """
        nothing = pd.DataFrame(columns=COLUMNS, index=pd.Index([], name="sha256"), dtype=object)
        if not self.path.exists():
            return nothing
        try:
            if b"\0" in self.path.read_bytes():
                raise ValueError("no text has zeros in it")
            table = pd.read_csv(
                self.path, dtype=object, keep_default_na=False, encoding_errors="surrogateescape"
            )
            table = table.set_index("sha256")[COLUMNS]
        except (ValueError, KeyError, IsADirectoryError):
            aside = set_aside(self.path).name
            print(f"{self.path} is not a table of decisions: it is renamed to {aside}.")
            return nothing
        if not set(table["decision"]) <= {*get_args(Decision)} or table.index.has_duplicates:
            raise CacheError(
                f"{self.path} has decisions other than keep, relabel and drop, or two for the same "
                "photo: fix it, or move it away to start a new one."
            )
        return table.astype(object)

    def decide(
        self, features: Embeddings, row: int, decision: Decision | None, label: str | None = None
    ) -> None:
        """Save the decision about a photo, replacing any earlier decision.

        Parameters
        ----------
        features : Embeddings
            All photos.
        row : int
            Row of the photo.
        decision : {"keep", "relabel", "drop"}, optional
            None removes the decision.
        label : str, optional
            The correct category; required to relabel, otherwise ignored.

        Raises
        ------
        ArgumentError
            When the decision does not exist, or the label is missing or not a category.
        CacheError
            When the file cannot be read or written; it is not changed.
        """
        if decision not in (None, *get_args(Decision)):
            raise ArgumentError(f"The decision must be keep, relabel or drop, not {decision!r}.")
        category = str(features.photos.table["category"].iat[row])
        if decision == "relabel" and label not in features.categories:
            raise ArgumentError(f"Relabeling needs one of the categories, not {label!r}.")
        sha, path = features.photos.sha256[row], str(features.photos.table["path"].iat[row])
        with lock(self.path):
            table = self.table().drop(index=sha, errors="ignore")
            if decision is not None:
                new = label if decision == "relabel" else category
                table.loc[sha] = [path, category, decision, new]
            with write_atomically(self.path) as temporary:  # names as they are: it is read back
                text = csv_text(table.rename_axis("sha256"), index=True)
                temporary.write_bytes(text.encode("utf-8", "surrogateescape"))

    def apply(self, features: Embeddings, rows: Ints) -> tuple[Ints, Ints]:
        """Apply the decisions: return the rows that are not dropped, and their labels.

        Parameters
        ----------
        features : Embeddings
            All photos; they are not changed.
        rows : ndarray of int64, shape (n,)
            Some of them, such as the training set.

        Returns
        -------
        rows, y : ndarray of int64, shape (m,)
            Remaining rows, and their labels.
        """
        table = self.table()
        sha = pd.Index([features.photos.sha256[i] for i in rows])
        decision = table["decision"].reindex(sha).to_numpy()
        label = pd.Index(features.categories).get_indexer(pd.Index(table["label"].reindex(sha)))
        y = np.where((decision == "relabel") & (label >= 0), label, features.y[rows])
        kept = decision != "drop"
        return rows[kept], y[kept].astype(np.int64)
