"""Concatenated views of all photos of a lab, and projections fitted on them."""

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import normalize

from caltech_lab.embedding.embeddings import Embeddings, load
from caltech_lab.embedding.extraction import extract
from caltech_lab.embedding.views import View, chosen_views, fused_views, own_view
from caltech_lab.settings import settings
from caltech_lab.studies.vectors.projections import fit_projection

if TYPE_CHECKING:
    from caltech_lab.lab import Lab


def view_embeddings(lab: "Lab", view: View) -> np.ndarray:
    """Return the average-pooled embeddings of one view of all photos, extracted if necessary.

    Parameters
    ----------
    lab : Lab
        The photos to embed.
    view : View
        The network and its preprocessing.

    Returns
    -------
    ndarray of float32, shape (n, width)
        Rows of unit length, in the order of `lab.embeddings`.
    """
    if view == own_view(lab.backbone):
        return lab.embeddings.X
    folder = settings().outputs / lab.photos.name / view.name / "features"
    extract(lab.photos, view.as_backbone(), folder)
    rows: np.ndarray = normalize(load(folder, lab.photos).X[:, view.parts["average"]])
    return rows


def fused_embeddings(lab: "Lab") -> Embeddings:
    """Return the average-pooled views of `views.chosen_views`, concatenated per photo."""
    views = chosen_views()
    X = fused_views([[view_embeddings(lab, view) for view in group] for group in views])
    sha256 = hashlib.sha256(np.ascontiguousarray(X).data).hexdigest()
    names = [view.name for group in views for view in group]
    identity = {"backbone": "+".join(names), "embeddings_sha256": sha256}
    return Embeddings(X, lab.embeddings.photos, lab.embeddings.identity | identity)


def projected(lab: "Lab", name: str) -> tuple[Pipeline, Embeddings]:
    """Return a projection fitted on the training set, and the projected vectors of all photos.

    Parameters
    ----------
    lab : Lab
        The photos to project.
    name : str
        As in `projections.projection`.

    Returns
    -------
    model : Pipeline
        From fused embeddings to rows of unit length; cached as `models/vectors/<name>.skops`.
    vectors : Embeddings
        The projection of `fused_embeddings`.
    """
    fused = fused_embeddings(lab)
    train, _ = lab.split()
    model: Pipeline = lab.cached(
        f"models/vectors/{name}.skops", fit_projection, fused.X[train], fused.y[train],
        name=name, seed=lab.seed,
    )  # fmt: skip
    identity = fused.identity | {"recipe": name}
    return model, replace(fused, X=model.transform(fused.X), identity=identity)
