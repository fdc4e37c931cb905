"""Embeddings of a few dimensions, made without a network."""

from pathlib import Path

import numpy as np

from caltech_lab.datasets import folder
from caltech_lab.embedding.embeddings import Embeddings


def scattered_embeddings(root: Path, noise: float) -> Embeddings:
    """Return 8-d unit vectors of the drawn photos, scattered around one point per category."""
    photos = folder.scan(root)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(14, 8))[photos.labels] + noise * rng.normal(size=(len(photos), 8))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return Embeddings(X.astype(np.float32), photos, {})
