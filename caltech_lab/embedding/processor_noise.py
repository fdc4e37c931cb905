"""Simulates the embeddings of another processor by seeded noise.

Embeddings computed in bfloat16 and in float32 differ slightly, and so do the figures that are
computed from them. If `CALTECH_LAB_PERTURB` is set to a seed, all embeddings that the lab reads are
multiplied by seeded noise of the size of that difference. The files of embeddings do not change.

The noise has one parameter, `RELATIVE`. It was fitted on the ResNet-50 embeddings of the 336
pictures of the drawn sample, computed by one processor in both formats::

    | | bfloat16 against float32 | noise, three seeds |
    |---|---|---|
    | change of a similarity, standard deviation | 0.00092 | 0.00097 to 0.00101 |
    | the same within a category | 0.00105 | 0.00115 to 0.00121 |
    | share of the ten nearest neighbors that change | 0.0086 | 0.0092 to 0.0107 |
    | share of the nearest neighbors that change | 0.015 | 0.006 to 0.021 |
    | change of the silhouette of the categories | -0.0003 | -0.0003 |
    | length of the change of a row | 0.0115 | 0.0197 |

The noise is fitted to similarities, because all figures depend on them. The norm of the real
difference is smaller, because more of it lies along the directions in which photos differ.
"""

from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from caltech_lab.settings import settings

PERTURB = "CALTECH_LAB_PERTURB"  # an integer seed; embeddings are not perturbed without it
RELATIVE = 0.02  # standard deviation of the noise, relative to each component


def perturbation() -> int | None:
    """Return the seed of the perturbation; None if embeddings are not perturbed."""
    return settings().perturb


def perturbed(X: NDArray[np.float32]) -> NDArray[np.float32]:
    """Perturb embeddings if `CALTECH_LAB_PERTURB` is set.

    The noise of a row depends only on the seed and the row, so the result for a photo does not
    depend on the other rows.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Rows of unit length, or zero.

    Returns
    -------
    ndarray of float32, shape (n, d)
        Rows with unchanged norms; `X` itself when `CALTECH_LAB_PERTURB` is not set.
    """
    seed = perturbation()
    if seed is None:
        return X
    rows = np.empty_like(X)
    for row, before in zip(rows, X, strict=True):
        noise = np.random.default_rng([seed, crc32(before.tobytes())])
        row[:] = before * (1 + RELATIVE * noise.standard_normal(len(before)))
        length = float(np.linalg.norm(row))
        row *= float(np.linalg.norm(before)) / length if length else 0.0
    return rows
