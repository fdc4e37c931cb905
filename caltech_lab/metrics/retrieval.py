"""Scores of a ranking, from precision to NDCG.

``X`` is a matrix of embeddings, float32 of shape
(n, d) with one row a photo and rows of length one; ``y`` is an int64 vector of shape (n,) with the
category of each photo. Scores lie between 0 and 1 unless a docstring says otherwise.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from caltech_lab.errors import ArgumentError
from caltech_lab.metrics.intervals import macro_average
from caltech_lab.storage.memory import CHUNK_BYTES

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RetrievalScores:
    """Scores of a ranked answer, one number a query.

    Attributes
    ----------
    k : int
        How many answers `precision` and `recall` look at.
    queries : ndarray of int64, shape (q,)
        Row of each scored query; queries without a relevant photo are left out.
    labels : ndarray of int64, shape (q,)
        Category of each scored query.
    precision : ndarray of float64, shape (q,)
        precision@k, the share of the first k answers that are relevant.
    recall : ndarray of float64, shape (q,)
        recall@k, the share of the relevant photos that are among the first k answers.
    r_precision : ndarray of float64, shape (q,)
        precision@R, where R is the number of relevant photos of the query.
    reciprocal_rank : ndarray of float64, shape (q,)
        One over the rank of the first relevant answer.
    average_precision : ndarray of float64, shape (q,)
        Mean, over the relevant photos, of the precision at the rank of each, over the whole
        ranking.
    n_dropped : int
        Queries left out because the gallery holds no photo of their category.
    """

    k: int
    queries: Ints
    labels: Ints
    precision: Floats
    recall: Floats
    r_precision: Floats
    reciprocal_rank: Floats
    average_precision: Floats
    n_dropped: int

    def by_query(self) -> dict[str, NDArray[Any]]:
        """Return the attributes that hold one value per query, by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}

    def mean(self, metric: str) -> float:
        """Return the mean of a metric over queries (micro average: large categories weigh more).

        Parameters
        ----------
        metric : str
            Name of one of the score attributes, for example ``"average_precision"``.
        """
        return float(np.mean(getattr(self, metric)))

    def macro(self, metric: str) -> float:
        """Return the mean of a metric over categories (macro average: each category weighs one).

        Parameters
        ----------
        metric : str
            Name of one of the score attributes, for example ``"average_precision"``.
        """
        return macro_average(getattr(self, metric), self.labels)


def retrieval_scores(
    X: NDArray[np.float32],
    y: Ints,
    *,
    queries: NDArray[np.float32] | None = None,
    query_labels: Ints | None = None,
    k: int = 10,
) -> RetrievalScores:
    """Rank the gallery by inner product for each query and score the rankings.

    A photo is relevant when it has the category of the query. Photos of equal similarity are
    ranked by their row. Similarities are computed a few hundred queries at a time, so memory stays
    near `CHUNK_BYTES` however many queries there are.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        The gallery, rows of length one.
    y : ndarray of int64, shape (n,)
        Categories of the gallery.
    queries : ndarray of float32, shape (q, d), optional
        The queries. Without them each gallery photo in turn is the query, and its own row is left
        out of its answer.
    query_labels : ndarray of int64, shape (q,), optional
        Categories of the queries; given exactly when `queries` are.
    k : int
        Cut-off of precision@k and recall@k.

    Returns
    -------
    RetrievalScores
        One number a scored query for each metric.

    Raises
    ------
    ArgumentError
        When `k` is not between 1 and the number of photos that can be answered, when `queries`
        and `query_labels` are not given together, or when no query has a relevant photo.

    References
    ----------
    C. D. Manning, P. Raghavan, H. Schütze: Introduction to Information Retrieval, chapter 8.
    Cambridge University Press, 2008.
    """
    if (queries is None) != (query_labels is None):
        raise ArgumentError("Give queries together with query_labels, or neither of them.")
    leave_one_out = queries is None
    Q = X if queries is None else queries
    labels = np.asarray(y if query_labels is None else query_labels)
    answers = len(X) - leave_one_out
    if not 1 <= k <= answers:
        raise ArgumentError(f"k must be between 1 and the {answers} possible answers, not {k}.")

    counts = pd.Series(y).value_counts()
    n_relevant = counts.reindex(labels, fill_value=0).to_numpy() - leave_one_out
    kept = np.flatnonzero(n_relevant > 0)
    if not len(kept):
        raise ArgumentError("No query has another photo of its category in the gallery to find.")

    columns = np.empty((5, len(kept)))
    ranks = np.arange(1, answers + 1)
    step = max(1, CHUNK_BYTES // (32 * len(X)))  # about 32 bytes a pair in the temporaries below
    for start in range(0, len(kept), step):
        rows = kept[start : start + step]
        similarity = Q[rows] @ X.T
        if leave_one_out:
            similarity[np.arange(len(rows)), rows] = -np.inf  # last in its own ranking, cut below
        ranking = _ranking(similarity)[:, :answers]
        hits = y[ranking] == labels[rows, None]
        found = np.cumsum(hits, axis=1, dtype=np.int32)
        total = n_relevant[rows]
        columns[:, start : start + step] = (
            found[:, k - 1] / k,
            found[:, k - 1] / total,
            found[np.arange(len(rows)), total - 1] / total,
            1 / (1 + hits.argmax(axis=1)),
            np.sum(found / ranks, axis=1, where=hits) / total,
        )
    precision, recall, r_precision, reciprocal_rank, average_precision = columns
    return RetrievalScores(
        k=k,
        queries=kept,
        labels=labels[kept],
        precision=precision,
        recall=recall,
        r_precision=r_precision,
        reciprocal_rank=reciprocal_rank,
        average_precision=average_precision,
        n_dropped=len(labels) - len(kept),
    )


def _ranking(similarity: NDArray[np.floating[Any]]) -> Ints:
    """Return the columns of each row, the most similar first, equal ones by their number.

    The ranking of a stable argsort, in a third of the time: NumPy sorts plain integers with vector
    instructions, so similarity and column are packed into one.
    """
    if similarity.dtype != np.float32:
        return np.argsort(-similarity, axis=1, kind="stable")
    bits = (similarity + np.float32(0)).view(np.int32)  # the sum has no -0.0
    bits[bits < 0] ^= 0x7FFFFFFF  # integers in the order of the floats
    keys: Ints = (~bits).astype(np.int64) << 32
    keys += np.arange(keys.shape[1])
    keys.sort(axis=1)
    keys &= 0xFFFFFFFF
    return keys
