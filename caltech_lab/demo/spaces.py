"""Vector spaces of the demo: plain embeddings or learned vectors, for gallery and uploads."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from caltech_lab.demo.results import Vector
from caltech_lab.retrieval.calibration import same_category_curves
from caltech_lab.retrieval.index import Index, Similarities

if TYPE_CHECKING:
    from caltech_lab.lab import Lab

PLAIN, LEARNED = "plain", "learned"


@dataclass(frozen=True)
class Space:
    """Vectors that a gallery is searched by.

    Attributes
    ----------
    name : {"plain", "learned"}
        Embeddings of the lab's backbone, or projections of fused views.
    X : ndarray of float32, shape (n, d)
        Vectors of the gallery, rows of unit length.
    curves : ndarray of float64 or None
        Calibration curves from cosine to the probability "same category"; see `calibration`. None
        where there are no categories to learn them from.
    embed : callable
        Maps a photo and its plain vector to the vector in this space; None for plain vectors.
    """

    name: str
    X: NDArray[np.float32]
    curves: NDArray[np.float64] | None
    embed: Callable[[Image.Image, Vector], Vector] | None = None

    @cached_property
    def index(self) -> Index:
        """Search index of the gallery, built on first use."""
        return Index(self.X)


def plain_space(
    lab: "Lab", pairs: Callable[[], tuple[Similarities, NDArray[np.bool_]]] | None = None
) -> Space:
    """Return the space of the plain embeddings.

    Parameters
    ----------
    lab : Lab
        Provides the gallery.
    pairs : callable, optional
        Returns `calibration.leave_one_out` of the training set; called only if needed.
    """
    if pairs is None:
        return Space(PLAIN, lab.embeddings.X, None)
    name = "models/retrieval/same_category_curves.npy"
    return Space(PLAIN, lab.embeddings.X, lab.cached(name, _plain_curves, pairs))


def _plain_curves(
    pairs: Callable[[], tuple[Similarities, NDArray[np.bool_]]],
) -> NDArray[np.float64]:
    return same_category_curves(*pairs())
