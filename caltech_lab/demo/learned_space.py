"""The learned vectors of the demo, with calibration curves of their own."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.model_selection import StratifiedKFold

from caltech_lab.demo.results import Vector
from caltech_lab.demo.spaces import LEARNED, Space
from caltech_lab.embedding.embeddings import Embeddings
from caltech_lab.embedding.views import FusedViews, own_view
from caltech_lab.retrieval.calibration import same_category_curves
from caltech_lab.retrieval.index import Index, Similarities
from caltech_lab.studies.vectors.fused import fused_embeddings, projected
from caltech_lab.studies.vectors.projections import projection

if TYPE_CHECKING:
    from caltech_lab.lab import Lab

RECIPE = "posterior"  # the projection with the best retrieval in notebook 8
FOLDS = 3


def learned_space(lab: "Lab", k: int) -> Space:
    """Return the space of the best projection of fused views, fitted on the training set.

    The first call extracts the views and fits the projection, which takes some minutes.

    Parameters
    ----------
    lab : Lab
        Provides the gallery.
    k : int
        Number of results per query for the calibration.
    """
    model, vectors = projected(lab, RECIPE)
    views, own = FusedViews(), own_view(lab.backbone)
    # Compiles the other networks now, so that the first query does not wait for it.
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
    """Return out-of-fold results of all training photos, for calibration.

    Each third of the training set queries the other two thirds, with a projection fitted on these.
    Photos that the projection was fitted on would give higher precision than uploads, and so
    probabilities that are too high.

    Parameters
    ----------
    lab : Lab
        Provides the fused views.
    k : int
        Number of results per query.

    Returns
    -------
    similarities : ndarray of float32, shape (n, k)
        Cosine similarities of the results, the best first.
    relevant : ndarray of bool, shape (n, k)
        Whether a result has the category of its query.
    """
    fused = fused_embeddings(lab)
    train, _ = lab.split()
    X, y = fused.X[train], fused.y[train]
    found = []
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=lab.seed)
    for gallery, queries in folds.split(X, y):
        model = projection(RECIPE, seed=lab.seed).fit(X[gallery], y[gallery])
        index = Index(model.transform(X[gallery]))
        similarities, ids = index.search(model.transform(X[queries]), min(k, len(gallery)))
        found.append((similarities, y[gallery][ids] == y[queries, None]))
    most = min(len(similarities[0]) for similarities, _ in found)
    similarities, relevant = (np.concatenate([part[:, :most] for part in parts])
                              for parts in zip(*found, strict=True))  # fmt: skip
    return similarities, relevant
