"""Embeddings as another processor would compute them, without computing them again.

A processor that multiplies in bfloat16 and one that multiplies in float32 give embeddings that
differ a little, and a figure that counts what lies on one side of a threshold moves with them. With
`CALTECH_LAB_PERTURB` set to a seed, everything that the lab reads as embeddings is multiplied by
seeded noise of the size of that difference. The files of rows stay as they are.

The noise has one parameter, `RELATIVE`. It was fitted on the 336 pictures of the drawn sample
through ResNet-50, embedded by one processor in both formats:

| | bfloat16 against float32 | noise, three seeds |
|---|---|---|
| change of a similarity, standard deviation | 0.00092 | 0.00097 to 0.00101 |
| the same within a category | 0.00105 | 0.00115 to 0.00121 |
| share of the ten nearest neighbors that change | 0.0086 | 0.0092 to 0.0107 |
| share of the nearest neighbors that change | 0.015 | 0.006 to 0.021 |
| change of the silhouette of the categories | -0.0003 | -0.0003 |
| length of the change of a row | 0.0115 | 0.0197 |

So the noise is fitted to similarities, which all figures are made of. The real difference is
shorter, because more of it lies along the directions in which photos differ.
"""

import os
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

PERTURB = "CALTECH_LAB_PERTURB"  # a seed, a whole number; without it nothing is perturbed
RELATIVE = 0.02  # standard deviation of the noise, relative to each component


def perturbation() -> int | None:
    """Return the seed that embeddings are perturbed with; None when they are not."""
    seed = os.environ.get(PERTURB)
    return int(seed) if seed else None


def perturbed(X: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return rows as another processor might have computed them, or the same ones.

    The noise of a row depends on the seed and on the row alone, so that a photo has the same row
    whichever others it was read with.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Rows of length one, or zero.

    Returns
    -------
    ndarray of float32, shape (n, d)
        Rows of the same lengths; `X` itself when `CALTECH_LAB_PERTURB` is not set.
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
