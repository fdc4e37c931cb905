"""Spaces to search in: the vectors of a gallery, and how any other photo gets one."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.model_selection import StratifiedKFold

from caltech_lab.demo.answers import Vector
from caltech_lab.embedding.embeddings import Embeddings
from caltech_lab.embedding.views import FusedViews, own_view
from caltech_lab.retrieval.calibration import same_category_curves
from caltech_lab.retrieval.index import Index, Similarities
from caltech_lab.studies.vectors.fused import fused_embeddings, projected
from caltech_lab.studies.vectors.projections import recipe

if TYPE_CHECKING:
    from caltech_lab.lab import Lab

PLAIN, LEARNED = "plain", "learned"
RECIPE = "posterior"  # the projection that finds most; notebook 8 measures them
FOLDS = 3


@dataclass(frozen=True)
class Space:
    """Vectors that a gallery is searched by.

    Attributes
    ----------
    name : {"plain", "learned"}
        Embeddings of the lab's backbone, or what a projection made of fused views.
    X : ndarray of float32, shape (n, d)
        Those of the gallery, rows of length one.
    curves : ndarray of float64 or None
        Make probabilities "same category" of their cosines; see `calibration`. None where there
        are no categories to learn them from.
    embed : callable
        From a photo and its plain vector to the vector here; None where that is the plain one.
    """

    name: str
    X: NDArray[np.float32]
    curves: NDArray[np.float64] | None
    embed: Callable[[Image.Image, Vector], Vector] | None = None

    @cached_property
    def index(self) -> Index:
        """What those of the gallery are searched by, made when it is first needed."""
        return Index(self.X)


def plain_space(
    lab: "Lab", pairs: Callable[[], tuple[Similarities, NDArray[np.bool_]]] | None
) -> Space:
    """Return the embeddings of the lab's backbone as they are.

    Parameters
    ----------
    lab : Lab
        Whose photos are the gallery.
    pairs : callable, optional
        Gives `calibration.leave_one_out` of the training part, where that is needed.
    """
    if pairs is None:
        return Space(PLAIN, lab.embeddings.X, None)
    name = "models/retrieval/same_category_curves.npy"
    return Space(PLAIN, lab.embeddings.X, lab.cached(name, _plain_curves, pairs))


def _plain_curves(
    pairs: Callable[[], tuple[Similarities, NDArray[np.bool_]]],
) -> NDArray[np.float64]:
    return same_category_curves(*pairs())


def learned_space(lab: "Lab", k: int) -> Space:
    """Return what the best projection makes of fused views, fitted on the training part.

    The first time this extracts the views and fits the projection, which takes some minutes.

    Parameters
    ----------
    lab : Lab
        Whose photos are the gallery.
    k : int
        Answers to calibrate on.
    """
    model, vectors = projected(lab, RECIPE)
    views, own = FusedViews(), own_view(lab.backbone)
    # Compiles the other networks, so that no photo has to wait for it.
    views.embed([Image.new("RGB", (8, 8))], {own: np.zeros((1, lab.backbone.width), np.float32)})
    curves = lab.cached(
        "models/retrieval/same_category_curves_learned.npy",
        _learned_curves, vectors, lab, k=k,
    )  # fmt: skip

    def embed(photo: Image.Image, plain: Vector) -> Vector:
        fused = views.embed([photo], {own: plain[None]})
        vector: Vector = model.transform(fused)[0]
        return vector

    return Space(LEARNED, vectors.X, curves, embed)


def _learned_curves(vectors: Embeddings, lab: "Lab", k: int) -> NDArray[np.float64]:
    return same_category_curves(*held_out_pairs(lab, k))


def held_out_pairs(lab: "Lab", k: int) -> tuple[Similarities, NDArray[np.bool_]]:
    """Let each training photo ask by a projection that was not fitted on it.

    A photo that was fitted on lies where its label wants it, and would make every answer look
    surer than one to an upload is. So each third of the training part asks the rest, by a
    projection that was fitted on the rest.

    Parameters
    ----------
    lab : Lab
        With fused views.
    k : int
        Number of answers.

    Returns
    -------
    similarities : ndarray of float32, shape (n, k)
        Cosine similarities of the answers, the best first.
    relevant : ndarray of bool, shape (n, k)
        Whether an answer has the category of its query.
    """
    fused = fused_embeddings(lab)
    train, _ = lab.split()
    X, y = fused.X[train], fused.y[train]
    found = []
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=lab.seed)
    for rest, asking in folds.split(X, y):
        model = recipe(RECIPE, seed=lab.seed).fit(X[rest], y[rest])
        index, queries = Index(model.transform(X[rest])), model.transform(X[asking])
        similarities, ids = index.search(queries, min(k, len(rest)))
        found.append((similarities, y[rest][ids] == y[asking, None]))
    most = min(len(similarities[0]) for similarities, _ in found)
    similarities, relevant = (np.concatenate([part[:, :most] for part in parts])
                              for parts in zip(*found, strict=True))  # fmt: skip
    return similarities, relevant
