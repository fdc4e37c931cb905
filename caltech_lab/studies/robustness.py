"""Accuracy and retrieval under image corruptions."""

import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from caltech_lab.clustering.kmeans import kmeans
from caltech_lab.embedding.embeddings import Embeddings
from caltech_lab.embedding.engines import compile_backbone
from caltech_lab.embedding.extraction import embed_few
from caltech_lab.embedding.images import read_photo
from caltech_lab.embedding.views import FusedViews, own_view
from caltech_lab.metrics.retrieval import retrieval_scores
from caltech_lab.storage.progress import progress
from caltech_lab.storage.threads import AT_ONCE, map_ahead
from caltech_lab.studies.corruptions import CORRUPTIONS, VERSION, corrupt

if TYPE_CHECKING:
    from caltech_lab.lab import Lab

Ints = NDArray[np.int64]
Rows = NDArray[np.float32]
Embed = Callable[[list[Image.Image]], Rows]

STRENGTHS = (1, 2, 3)
CLEAN = "none"


def even_sample(y: Ints, rows: Ints, each: int = 5, seed: int = 0) -> Ints:
    """Draw the same number of rows from each category.

    Parameters
    ----------
    y : ndarray of int64, shape (n,)
        Categories of all rows.
    rows : ndarray of int64
        Rows to draw from, such as the test set.
    each : int
        Rows per category; of a category with fewer rows, all are drawn.
    seed : int
        Seed of the draw.

    Returns
    -------
    ndarray of int64
        The drawn rows, sorted.

    Examples
    --------
    >>> even_sample(np.array([0, 0, 0, 1]), np.arange(4), each=1).shape
    (2,)
    """
    order = np.random.default_rng(seed).permutation(rows)
    place = pd.Series(y[order]).groupby(y[order]).cumcount().to_numpy()
    return np.sort(order[place < each])


def corrupted_embeddings(lab: "Lab", rows: Ints, *, fused: bool = False) -> dict[str, Rows]:
    """Embed photos after each corruption at each strength, with a progress bar.

    The embeddings are cached in `results/robustness/`, and computed again when the photos, the
    backbone, its precision or the corruption change.

    Parameters
    ----------
    lab : Lab
        The photos and the backbone.
    rows : ndarray of int64, shape (m,)
        Photos to corrupt, as rows of ``lab.embeddings``.
    fused : bool
        Whether to add the views of `views.FusedViews`.

    Returns
    -------
    dict of str to ndarray of float32, shape (3, m, width)
        Embeddings by corruption, from light to heavy; rows of unit length. `CLEAN` has the photos
        that are only scaled, of shape (1, m, width). With `fused`, each row is the embedding
        followed by the fused vector.
    """
    photos = lab.embeddings.photos
    digest = hashlib.sha256("".join(photos.sha256[i] for i in rows).encode()).hexdigest()
    folder = "results/robustness" + "/fused" * fused
    embed = _plain_and_fused(lab) if fused else _plain(lab)
    found = {}
    strengths: dict[str, tuple[float, ...]] = {CLEAN: ()}
    for name, values in (strengths | {n: c.strengths for n, c in CORRUPTIONS.items()}).items():
        found[name] = lab.cached(
            f"{folder}/{name}.npy", _corrupted, lab.embeddings, rows, embed,
            corruption=name, strengths=list(values), version=VERSION, photos=digest,
        )  # fmt: skip
    return found


def _corrupted(
    embeddings: Embeddings, rows: Ints, embed: Embed, corruption: str, **key: Any
) -> Rows:
    return _embedded(embeddings, rows, corruption, embed)


def _plain(lab: "Lab") -> Embed:
    """Return a function that embeds photos with the lab's backbone, compiled on first use."""
    compiled = cache(lambda: compile_backbone(lab.backbone, lab.runtime))
    return lambda photos: embed_few(photos, lab.backbone, compiled())


def _plain_and_fused(lab: "Lab") -> Embed:
    """Return a function that embeds photos with the lab's backbone and all views."""
    views, plain = FusedViews(), _plain(lab)

    def embed(photos: list[Image.Image]) -> Rows:
        rows = plain(photos)
        return np.hstack([rows, views.embed(photos, {own_view(lab.backbone): rows})])

    return embed


def _embedded(features: Embeddings, rows: Ints, name: str, embed: Embed) -> Rows:
    photos, strengths = features.photos, (0,) if name == CLEAN else STRENGTHS

    def worse(i: int) -> list[Image.Image]:
        photo, sha = read_photo(photos.file(i)), photos.sha256[i]
        return [corrupt(photo, name, strength, sha) for strength in strengths]

    found = []
    # In small batches, so that few photos are in memory at a time.
    made = iter(
        progress(map_ahead(worse, rows.tolist()), total=len(rows), desc=f"Robustness, {name}")
    )
    while some := list(islice(made, AT_ONCE)):
        found.append(embed([one for shown in some for one in shown]))
    by_strength = np.concatenate(found).reshape(len(rows), len(strengths), -1).swapaxes(0, 1)
    return np.ascontiguousarray(by_strength, dtype=np.float32)


def evaluate_corruptions(
    worse: Mapping[str, Rows],
    y: Ints,
    gallery: Rows,
    gallery_labels: Ints,
    predict: Callable[[Rows], Ints],
    project: Callable[[Rows], Rows] | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Score photos after each corruption at each strength.

    Parameters
    ----------
    worse : mapping of str to ndarray of float32, shape (s, m, d)
        From `corrupted_embeddings`.
    y : ndarray of int64, shape (m,)
        Categories of the photos.
    gallery : ndarray of float32, shape (n, e)
        Vectors of the training set, without corruption, rows of unit length.
    gallery_labels : ndarray of int64, shape (n,)
        Their categories.
    predict : callable
        Maps vectors to predicted categories.
    project : callable, optional
        Maps d-dimensional embeddings to e-dimensional vectors, such as a learned projection.
    seed : int
        Seed of K-Means on the gallery, with as many clusters as categories.

    Returns
    -------
    DataFrame
        One row per corruption and strength (first `CLEAN` with 0), with ``accuracy``, ``precision``
        (mean precision@10 in the gallery), ``same_cluster`` (share of the photos in the same
        cluster as without corruption) and ``cosine`` (mean, to the clean photo).

    References
    ----------
    D. Hendrycks, T. Dietterich: Benchmarking neural network robustness to common corruptions and
    perturbations. International Conference on Learning Representations, 2019.
    """
    table = []
    k = min(10, len(gallery))
    assign = kmeans(gallery, len(np.unique(gallery_labels)), seed, 1).predict
    clean = worse[CLEAN][0] if project is None else project(worse[CLEAN][0])
    for name, views in worse.items():
        for strength, X in enumerate(views, start=name != CLEAN):
            vectors = X if project is None else project(X)
            found = retrieval_scores(gallery, gallery_labels, queries=vectors, query_labels=y, k=k)
            table.append(
                {
                    "corruption": name,
                    "strength": strength,
                    "accuracy": float(np.mean(predict(vectors) == y)),
                    "precision": found.mean("precision"),
                    "same_cluster": float(np.mean(assign(vectors) == assign(clean))),
                    "cosine": float(np.mean(np.sum(vectors * clean, axis=1))),
                }
            )
    return pd.DataFrame(table)
