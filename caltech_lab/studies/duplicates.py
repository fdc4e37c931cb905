"""Near-duplicates: photos that differ only in size, compression, retouching or a crop.

Two measures must agree, because each alone gives false positives: perceptual hashes of similar
objects on a white background are close, and so are embeddings of photos of the same category. A
copy is a pair whose hashes and embeddings are both close. A crop is found in three steps:
embeddings select candidate pairs, template matching locates the smaller photo in the larger one,
and the hashes of that region and of the smaller photo must be close.

Not found: mirrored or rotated copies, copies much smaller than a photo that is already small,
crops to less than `SMALLEST_CROP` of the side or more than `LARGEST_CROP` of the area (most of
these are found as copies), crops with another aspect ratio, and crops with a distant embedding.

On Caltech-101 (101 categories) it finds 194 copies and 280 crops. Of the 435 photos of `Faces`,
each of which is in `Faces_easy` as a crop, it pairs 196 with the correct crop and one with a wrong
one. In a visual check, 24 of 24 copies were correct, and about two thirds of 30 crops outside the
faces; the errors were motorbikes, pistols and drawings of similar shape on white.

References: C. Zauner: Implementation and benchmarking of perceptual image hash functions. Master's
thesis, University of Applied Sciences Hagenberg, 2010 (the hash by cosine transform).
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

SIDE = 96  # longer side in pixels of the gray thumbnails for hashing
MATCHED_SIDE = 40  # longer side in pixels of the thumbnails for template matching
LARGEST_CROP = 0.75  # largest share of the whole photo's area
SMALLEST_CROP = 0.32  # smallest share of the side that the crop fills most
SCALE_STEP = 0.85


@dataclass(frozen=True)
class Thresholds:
    """Thresholds for near-duplicates, chosen by inspecting pairs of Caltech-101.

    Attributes
    ----------
    hash_distance : int
        Maximum number of differing bits, of 64, between the hashes of two copies.
    cosine : float
        Minimum cosine similarity of the embeddings of two copies.
    crop_hash_distance, crop_cosine : int, float
        The same for a photo and its crop, whose embeddings differ more.
    crop_correlation : float
        Minimum normalized cross-correlation of a crop with its region in the whole, -1 to 1.
    crop_candidates : int
        Number of nearest neighbors of each photo to check for crops.
    """

    hash_distance: int = 12
    cosine: float = 0.95
    crop_hash_distance: int = 10
    crop_cosine: float = 0.75
    crop_correlation: float = 0.85
    crop_candidates: int = 5


def near_duplicates(lab: "Lab", *, crops: bool = True) -> pd.DataFrame:
    """Find the near-duplicates of a lab, cached in `results/duplicates/`.

    Parameters
    ----------
    lab : Lab
        All of its photos are compared.
    crops : bool
        Whether to also find photos that are crops of others.

    Returns
    -------
    DataFrame
        As from `find_duplicates`.
    """
    name = f"results/duplicates/{'pairs' if crops else 'copies'}.parquet"
    pairs: pd.DataFrame = lab.cached(name, _found, lab.embeddings, crops=crops)
    return pairs


def _found(embeddings: Embeddings, crops: bool) -> pd.DataFrame:
    return find_duplicates(embeddings, crops=crops)


def find_duplicates(
    embeddings: Embeddings, *, crops: bool = True, thresholds: Thresholds | None = None
) -> pd.DataFrame:
    """Find near-duplicate pairs of photos, with progress bars.

    Parameters
    ----------
    embeddings : Embeddings
        Photos and their embeddings.
    crops : bool
        Whether to find crops too; this takes most of the time, about a millisecond per candidate.
    thresholds : Thresholds, optional
        Thresholds; those for Caltech-101 by default.

    Returns
    -------
    DataFrame
        One row per pair, the most similar first: ``a``, ``b`` (rows of `embeddings`, a < b),
        ``kind`` ("same bytes", "copy" or "crop"), ``hash_distance`` (0 to 64 bits, between the
        matching regions), ``cosine`` (of the embeddings).

    Raises
    ------
    PhotoError
        When no photo can be read; single unreadable photos are named and left out.
    """
    t = thresholds or Thresholds()
    views = gray_views(embeddings.photos)
    one = {row: perceptual_hash(view) for row, view in views.items()}
    none = np.zeros_like(next(iter(one.values())))
    hashes = np.stack([one.get(row, none) for row in range(len(embeddings))])
    first_of: dict[str, int] = {}
    shas = embeddings.photos.sha256
    first = np.array([first_of.setdefault(sha, row) for row, sha in enumerate(shas)], np.int64)
    # One photo represents all with the same bytes; otherwise n copies would give n^2 pairs.
    kept = np.array([row for row in np.flatnonzero(first == np.arange(len(first))) if row in views])
    tables = [_same_bytes(first)]
    tables += [_copies(embeddings.X, hashes, kept, t)]
    if crops and len(kept) > 1:
        tables += [_crops(embeddings.X, views, kept, t)]
    pairs = pd.concat(tables, ignore_index=True).drop_duplicates(["a", "b"])
    order = ["cosine", "a", "b"]
    return pairs.sort_values(order, ascending=[False, True, True], ignore_index=True)


def groups(pairs: pd.DataFrame, n: int) -> NDArray[np.int64]:
    """Group near-duplicates: the connected components of the graph of pairs.

    Parameters
    ----------
    pairs : DataFrame
        From `find_duplicates`.
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
        raise ArgumentError(f"The pairs belong to more than {n} photos: find them again.")
    edges = coo_array((np.ones(len(pairs), np.int8), (pairs["a"], pairs["b"])), shape=(n, n))
    found = connected_components(edges, directed=False)[1]
    sizes = np.bincount(found, minlength=1)
    by_size = np.argsort(-sizes, kind="stable")
    ranks = np.empty(len(sizes), np.int64)
    ranks[by_size] = np.arange(len(sizes))
    return np.where(sizes[found] > 1, ranks[found], -1)


def gray_views(photos: Photos) -> dict[int, Gray]:
    """Read photos as gray thumbnails by row, with `SIDE` pixels on the longer side."""

    def view(file: Path) -> Gray:
        photo = read_photo(file).convert("L")
        photo.thumbnail((SIDE, SIDE), Image.Resampling.BOX, reducing_gap=None)
        return np.asarray(photo)

    rows, views = readable(photos, view)
    return dict(zip(rows.tolist(), views, strict=True))


def perceptual_hash(gray: Gray) -> Hashes:
    """Compute a 64-bit perceptual hash by cosine transform.

    The image is resized to 32 x 32. Each of the 8 x 8 lowest frequencies of its cosine transform
    gives one bit: above their median or not. Retouching and scaling change few bits.

    Parameters
    ----------
    gray : ndarray of uint8, shape (height, width)
        A gray image.

    Returns
    -------
    ndarray of uint8, shape (8,)
        The packed bits; compare hashes by the number of differing bits.

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

    # One thread: the steps are so short that two would mostly wait for the global interpreter lock.
    bar = progress(candidates, desc="Finding crops", unit=" pairs")
    distances = np.fromiter(map(distance, bar), np.int64, len(candidates))
    right = distances <= t.crop_hash_distance
    a, b = candidates[right].T
    return _table(a, b, "crop", distances[right], cosines[right])


def _crop_distance(whole: Gray, part: Gray, t: Thresholds) -> int:
    """Return the hash distance of `part` and its best match in `whole`; 64 if there is no match."""
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
    """Yield `part` at decreasing sizes, from the largest possible crop of a photo of `shape`."""
    picture = Image.fromarray(part)
    scale = min(shape[0] / part.shape[0], shape[1] / part.shape[1])
    while True:
        template = _shrunk(picture, scale)
        sides = np.array(template.shape) / shape
        if sides.max() < SMALLEST_CROP or min(template.shape) < 8:
            return
        # Correlation is undefined for a uniform template.
        if sides.prod() <= LARGEST_CROP and cv2.meanStdDev(template)[1][0, 0] > 1:
            yield template
        scale *= SCALE_STEP


def _shrunk(gray: Image.Image, scale: float) -> NDArray[np.float32]:
    width, height = (max(1, round(side * scale)) for side in gray.size)
    return np.asarray(gray.resize((width, height), Image.Resampling.BOX)).astype(np.float32)
