"""Near-duplicates: photos that are the same but for size, compression, retouching or a crop.

Two measures must agree, since each alone is fooled. A perceptual hash takes all motorbikes before
a white wall for one; embeddings take all photos of a category for alike. A copy is a pair whose
hashes and embeddings are both near. A crop is found in two steps: embeddings say which photos may
show the same, template matching says where in the larger the smaller one would lie, and the hashes
of that part and of the smaller photo must be near.

What it does not find: mirrored or turned copies, copies of a small photo that are much smaller
still (the embedding sees the blur), crops to less than `SMALLEST_CROP` of the side
or more than `LARGEST_CROP` of the area (the copies have most of these),
crops of changed proportions, and crops that the embedding no longer takes for alike.

On Caltech-101 (101 categories) it finds 194 copies and 280 crops. Of the 435 photos of `Faces`,
each of which is in `Faces_easy` as a crop, it pairs 196 with their own crop and one with another's.
Looked at by eye, 24 copies of 24 were right, and about two thirds of 30 crops outside the faces;
the others were motorbikes, pistols and drawings of one shape before white.

References
----------
C. Zauner: Implementation and benchmarking of perceptual image hash functions. Master's thesis,
University of Applied Sciences Hagenberg, 2010 (the hash by cosine transform).
J. P. Lewis: Fast normalized cross-correlation. Vision Interface, 1995.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import faiss
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from caltech_lab.datasets.photos import Photos
from caltech_lab.embedding.embeddings import Embeddings
from caltech_lab.embedding.images import read_photo, readable
from caltech_lab.errors import ArgumentError
from caltech_lab.retrieval.index import Index
from caltech_lab.storage.progress import progress

if TYPE_CHECKING:
    from caltech_lab.lab import Lab

Gray = NDArray[np.uint8]
Hashes = NDArray[np.uint8]

SIDE = 96  # longer side, in pixels, of the gray copies that are compared
MATCHED_SIDE = 40  # of those in which a crop is looked for
LARGEST_CROP = 0.75  # of the area of the whole photo
SMALLEST_CROP = 0.32  # of the side of the whole photo that the crop fills most
SCALE_STEP = 0.85


@dataclass(frozen=True)
class Thresholds:
    """How near is near; chosen by looking at pairs of Caltech-101.

    Attributes
    ----------
    hash_distance : int
        Most bits, of 64, in which the hashes of two copies differ.
    cosine : float
        Least cosine similarity of the embeddings of two copies.
    crop_hash_distance, crop_cosine : int, float
        The same for a photo and its crop, which differ more in the embedding.
    crop_correlation : float
        Least normalized cross-correlation of a crop with its place in the whole, -1 to 1.
    crop_candidates : int
        Nearest neighbors of each photo among which a crop is looked for.
    """

    hash_distance: int = 12
    cosine: float = 0.95
    crop_hash_distance: int = 10
    crop_cosine: float = 0.75
    crop_correlation: float = 0.85
    crop_candidates: int = 5


def near_duplicates(lab: "Lab", *, crops: bool = True) -> pd.DataFrame:
    """Return `find_duplicates` of all photos of a lab, kept in `results/duplicates/`."""
    name = f"results/duplicates/{'pairs' if crops else 'copies'}.parquet"
    pairs: pd.DataFrame = lab.cached(name, _found, lab.embeddings, crops=crops)
    return pairs


def _found(embeddings: Embeddings, crops: bool) -> pd.DataFrame:
    return find_duplicates(embeddings, crops=crops)


def find_duplicates(
    features: Embeddings, *, crops: bool = True, thresholds: Thresholds | None = None
) -> pd.DataFrame:
    """Find pairs of photos that are nearly the same, with progress bars.

    Parameters
    ----------
    features : Embeddings
        Photos and their embeddings.
    crops : bool
        Whether to look for crops too; it takes most of the time, about a
        millisecond a candidate.
    thresholds : Thresholds, optional
        How near is near.

    Returns
    -------
    DataFrame
        One row a pair, the most similar first: ``a``, ``b`` (rows of `features`, a < b), ``kind``
        ("same bytes", "copy" or "crop"), ``hash_distance`` (bits of 64, of the matching parts),
        ``cosine`` (of the embeddings).

    Raises
    ------
    PhotoError
        When no photo can be read any more; a few that cannot are left out, and told.
    """
    t = thresholds or Thresholds()
    views = gray_views(features.photos)
    one = {row: perceptual_hash(view) for row, view in views.items()}
    none = np.zeros_like(next(iter(one.values())))
    hashes = np.stack([one.get(row, none) for row in range(len(features))])
    first_of: dict[str, int] = {}
    shas = features.photos.sha256
    first = np.array([first_of.setdefault(sha, row) for row, sha in enumerate(shas)], np.int64)
    # Of photos with the same bytes the first stands for all, or n copies would be n^2 pairs.
    kept = np.array([row for row in np.flatnonzero(first == np.arange(len(first))) if row in views])
    tables = [_same_bytes(first)]
    tables += [_copies(features.X, hashes, kept, t)]
    if crops and len(kept) > 1:
        tables += [_crops(features.X, views, kept, t)]
    pairs = pd.concat(tables, ignore_index=True).drop_duplicates(["a", "b"])
    order = ["cosine", "a", "b"]
    return pairs.sort_values(order, ascending=[False, True, True], ignore_index=True)


def groups(pairs: pd.DataFrame, n: int) -> NDArray[np.int64]:
    """Join pairs into groups: whatever is linked by a chain of pairs belongs together.

    Parameters
    ----------
    pairs : DataFrame
        As `find_duplicates` gives them.
    n : int
        Number of photos.

    Returns
    -------
    ndarray of int64, shape (n,)
        Group of each photo, 0 for the largest; -1 for a photo without a near-duplicate.

    Examples
    --------
    >>> groups(pd.DataFrame({"a": [0, 1], "b": [1, 3]}), 5)
    array([ 0,  0, -1,  0, -1])
    """
    if len(pairs) and int(pairs[["a", "b"]].to_numpy().max()) >= n:
        raise ArgumentError(f"The pairs are of more than {n} photos: find them again.")
    edges = coo_array((np.ones(len(pairs), np.int8), (pairs["a"], pairs["b"])), shape=(n, n))
    found = connected_components(edges, directed=False)[1]
    sizes = np.bincount(found, minlength=1)
    by_size = np.argsort(-sizes, kind="stable")
    ranks = np.empty(len(sizes), np.int64)
    ranks[by_size] = np.arange(len(sizes))
    return np.where(sizes[found] > 1, ranks[found], -1)


def gray_views(photos: Photos) -> dict[int, Gray]:
    """Read photos as small gray pictures, `SIDE` pixels on the longer side, by their rows."""

    def view(file: Path) -> Gray:
        photo = read_photo(file).convert("L")
        photo.thumbnail((SIDE, SIDE), Image.Resampling.BOX, reducing_gap=None)
        return np.asarray(photo)

    rows, views = readable(photos, view)
    return dict(zip(rows.tolist(), views, strict=True))


def perceptual_hash(gray: Gray) -> Hashes:
    """Say in 64 bits what a picture looks like from afar.

    The picture is shrunk to 32 x 32; of its cosine transform the 8 x 8 lowest frequencies are
    kept, each as one bit: above their median or not. Retouching and scaling turn few bits.

    Parameters
    ----------
    gray : ndarray of uint8, shape (height, width)
        A gray picture.

    Returns
    -------
    ndarray of uint8, shape (8,)
        Compare two by the number of bits in which they differ.

    References
    ----------
    C. Zauner: Implementation and benchmarking of perceptual image hash functions. Master's
    thesis, University of Applied Sciences Hagenberg, 2010.
    """
    shrunk = Image.fromarray(gray).resize((32, 32), Image.Resampling.LANCZOS)
    lowest = dctn(np.asarray(shrunk, np.float32), norm="ortho")[:8, :8].ravel()
    return np.packbits(lowest > np.median(lowest))


def _table(a: object, b: object, kind: str, distance: object, cosine: object) -> pd.DataFrame:
    columns = {"a": a, "b": b, "kind": kind, "hash_distance": distance, "cosine": cosine}
    types = {"a": np.int64, "b": np.int64, "hash_distance": np.int64, "cosine": np.float64}
    return pd.DataFrame(columns).astype(types)


def _same_bytes(first: NDArray[np.int64]) -> pd.DataFrame:
    again = np.flatnonzero(first != np.arange(len(first)))
    zeros, ones = np.zeros(len(again)), np.ones(len(again))
    return _table(first[again], again, "same bytes", zeros, ones)


def _copies(
    X: NDArray[np.float32], hashes: Hashes, kept: NDArray[np.int64], t: Thresholds
) -> pd.DataFrame:
    index = faiss.IndexBinaryFlat(64)
    index.add(hashes[kept])
    tables = [_table([], [], "copy", [], [])]
    for start in range(0, len(kept), 1024):
        rows = kept[start : start + 1024]
        # Faiss's radius is exclusive.
        limits, distances, found = index.range_search(hashes[rows], t.hash_distance + 1)
        ends = limits.astype(np.int64)
        a = np.repeat(rows, ends[1:] - ends[:-1])
        b, later = kept[found], kept[found] > a
        a, b, distances = a[later], b[later], distances[later]
        cosines = np.einsum("ij,ij->i", X[a], X[b])
        near = cosines >= t.cosine
        tables.append(_table(a[near], b[near], "copy", distances[near], cosines[near]))
    return pd.concat(tables, ignore_index=True)


def _crops(
    X: NDArray[np.float32], views: dict[int, Gray], kept: NDArray[np.int64], t: Thresholds
) -> pd.DataFrame:
    k = min(t.crop_candidates, len(kept) - 1)
    similarities, ids = Index(X[kept]).search(X[kept], k, exclude=np.arange(len(kept)))
    near = similarities >= t.crop_cosine
    rows = np.broadcast_to(np.arange(len(kept))[:, None], ids.shape)[near]
    ends = np.sort(np.stack([kept[rows], kept[ids[near]]], axis=1), axis=1)
    candidates, places = np.unique(ends, axis=0, return_index=True)
    cosines = similarities[near][places]

    def distance(pair: NDArray[np.int64]) -> int:
        a, b = (views[row] for row in pair)
        return min(_crop_distance(a, b, t), _crop_distance(b, a, t))

    # One thread: the steps are so small that two would mostly wait for the interpreter's lock.
    bar = progress(candidates, desc="Looking for crops", unit=" pairs")
    distances = np.fromiter(map(distance, bar), np.int64, len(candidates))
    right = distances <= t.crop_hash_distance
    a, b = candidates[right].T
    return _table(a, b, "crop", distances[right], cosines[right])


def _crop_distance(whole: Gray, part: Gray, t: Thresholds) -> int:
    """Return the bits in which `part` differs from its likeliest place in `whole`; 64 for none."""
    height, width = whole.shape
    scale = MATCHED_SIDE / max(height, width)
    small = _shrunk(Image.fromarray(whole), scale)
    best, window = t.crop_correlation, None
    for template in _templates(part, small.shape):
        correlations = cv2.matchTemplate(small, template, cv2.TM_CCOEFF_NORMED)
        if correlations.max() >= best:
            best = float(correlations.max())
            top, left = np.unravel_index(correlations.argmax(), correlations.shape)
            corner = left + template.shape[1], top + template.shape[0]
            box = np.array([left, top, *corner]) / scale
            window = np.minimum(box, [width, height, width, height])
    if window is None:
        return 64
    there = Image.fromarray(whole).resize((32, 32), Image.Resampling.LANCZOS, tuple(window))
    bits = np.bitwise_count(perceptual_hash(np.asarray(there)) ^ perceptual_hash(part))
    return int(bits.sum())


def _templates(part: Gray, shape: tuple[int, ...]) -> Iterator[NDArray[np.float32]]:
    """Yield `part` in falling sizes, from the largest crop of a photo of that `shape`."""
    picture = Image.fromarray(part)
    scale = min(shape[0] / part.shape[0], shape[1] / part.shape[1])
    while True:
        template = _shrunk(picture, scale)
        sides = np.array(template.shape) / shape
        if sides.max() < SMALLEST_CROP or min(template.shape) < 8:
            return
        # A plain surface correlates with nothing.
        if sides.prod() <= LARGEST_CROP and cv2.meanStdDev(template)[1][0, 0] > 1:
            yield template
        scale *= SCALE_STEP


def _shrunk(gray: Image.Image, scale: float) -> NDArray[np.float32]:
    width, height = (max(1, round(side * scale)) for side in gray.size)
    return np.asarray(gray.resize((width, height), Image.Resampling.BOX)).astype(np.float32)
