"""Explains the similarity of two photos by regions.

The vector of a photo is the mean of its last feature map, scaled to unit length. The cosine of two
photos is therefore a sum over pairs of regions, and the contribution of each region is exact.
"""

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]
Floats = NDArray[np.float64]


def shares_of_the_cosine(query: Map, result: Map) -> tuple[Floats, Floats]:
    r"""Decompose the cosine of two photos into the contributions of their regions.

    With :math:`q = \sum_i a_i / n` and :math:`r = \sum_j b_j / m`, the cosine is
    :math:`\sum_i a_i \cdot r / (n |q| |r|)`; a term of this sum is the share of region i of the
    query, and the same holds for the result.

    Parameters
    ----------
    query, result : ndarray of float32, shape (h, w, channels)
        Last feature maps of the two photos.

    Returns
    -------
    of_query, of_result : ndarray of float64, shape (h, w)
        Each sums to the cosine similarity of the two photos.

    References
    ----------
    A. Stylianou, R. Souvenir, R. Pless: Visualizing deep similarity networks. Winter Conference on
    Applications of Computer Vision, 2019.

    Examples
    --------
    >>> left = np.array([[[3.0, 0.0], [0.0, 0.0]]], dtype=np.float32)
    >>> shares_of_the_cosine(left, left)[0].tolist()
    [[1.0, 0.0]]
    """
    a, b = query.astype(np.float64), result.astype(np.float64)
    q, r = a.mean(axis=(0, 1)), b.mean(axis=(0, 1))
    lengths = float(np.linalg.norm(q) * np.linalg.norm(r)) or 1.0
    return a @ r / (a[..., 0].size * lengths), b @ q / (b[..., 0].size * lengths)


def similarity_to_region(query: Map, region: tuple[int, int], result: Map) -> Floats:
    """Compare one region of the query with every region of a photo.

    Parameters
    ----------
    query : ndarray of float32, shape (h, w, channels)
        Last feature map of the query.
    region : tuple of int
        Row and column of the region.
    result : ndarray of float32, shape (h, w, channels)
        Last feature map of the other photo, or of the query itself.

    Returns
    -------
    ndarray of float64, shape (h, w)
        Cosine similarities, -1 to 1; 0 where the features of a region are zero.
    """
    one, all_ = query[region].astype(np.float64), result.astype(np.float64)
    lengths = np.linalg.norm(all_, axis=-1) * np.linalg.norm(one)
    products: Floats = all_ @ one
    cosines: Floats = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    return cosines


def region_at(x: float, y: float, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return row and column of the region at a point.

    Parameters
    ----------
    x, y : float
        Distances from the left and from the top, 0 to 1.
    shape : tuple of int
        Shape of the map, rows first.

    Examples
    --------
    >>> region_at(0.99, 0.0, (7, 7, 2048))
    (0, 6)
    """
    rows, columns = shape[:2]
    row, column = int(y * rows), int(x * columns)
    return min(max(row, 0), rows - 1), min(max(column, 0), columns - 1)
