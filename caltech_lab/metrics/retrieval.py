"""Scores of a ranking, from precision@k to average precision.

``X`` is a matrix of embeddings, float32 of shape (n, d) with rows of unit length; ``y`` is an
int64 vector of shape (n,) with the category of each photo. Scores lie between 0 and 1.
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
    """Scores of ranked results, one value per query.

    Attributes
    ----------
    k : int
        Cutoff of `precision` and `recall`.
    queries : ndarray of int64, shape (q,)
        Row of each scored query; queries without a relevant photo are dropped.
    labels : ndarray of int64, shape (q,)
        Category of each scored query.
    precision : ndarray of float64, shape (q,)
        precision@k, the share of the first k results that are relevant.
    recall : ndarray of float64, shape (q,)
        recall@k, the share of the relevant photos that are among the first k results.
    r_precision : ndarray of float64, shape (q,)
        precision@R, where R is the number of relevant photos of the query.
    reciprocal_rank : ndarray of float64, shape (q,)
        One over the rank of the first relevant result.
    average_precision : ndarray of float64, shape (q,)
        Mean of the precision at the rank of each relevant photo, over the whole ranking.
    n_dropped : int
        Number of queries dropped because the gallery has no photo of their category.
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
        """Return the attributes with one value per query, by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}

    def mean(self, metric: str) -> float:
        """Return the mean of a metric over queries (micro average: every query weighs the same).

        Parameters
        ----------
        metric : str
            Name of one of the score attributes, for example ``"average_precision"``.

        Returns
        -------
        float
            Between 0 and 1.
        """
        return float(np.mean(getattr(self, metric)))

    def macro(self, metric: str) -> float:
        """Return the mean of a metric over categories (macro average: all weigh the same).

        Parameters
        ----------
        metric : str
            Name of one of the score attributes, for example ``"average_precision"``.

        Returns
        -------
        float
            Between 0 and 1.
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

    A photo is relevant when it has the category of the query. Ties are ranked by row number.
    Similarities are computed in blocks of queries, so memory stays near `CHUNK_BYTES` for any
    number of queries.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        The gallery, rows of unit length.
    y : ndarray of int64, shape (n,)
        Categories of the gallery.
    queries : ndarray of float32, shape (q, d), optional
        The queries. Without them, the scores are leave-one-out: each gallery photo is a query, and
        its own row is excluded from its results.
    query_labels : ndarray of int64, shape (q,), optional
        Categories of the queries; required with `queries`.
    k : int
        Cutoff of precision@k and recall@k.

    Returns
    -------
    RetrievalScores
        One value per metric and scored query.

    Raises
    ------
    ArgumentError
        When `k` is not between 1 and the number of possible results, when only one of `queries`
        and `query_labels` is given, or when no query has a relevant photo.

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
    n_results = len(X) - leave_one_out
    if not 1 <= k <= n_results:
        raise ArgumentError(f"k must be between 1 and {n_results} for this gallery, not {k}.")

    counts = pd.Series(y).value_counts()
    n_relevant = counts.reindex(labels, fill_value=0).to_numpy() - leave_one_out
    kept = np.flatnonzero(n_relevant > 0)
    if not len(kept):
        raise ArgumentError(
            "No query has a relevant photo in the gallery: add photos of the queries' categories."
        )

    blocks = []
    step = max(1, CHUNK_BYTES // (32 * len(X)))  # about 32 bytes per pair in the temporaries below
    for start in range(0, len(kept), step):
        rows = kept[start : start + step]
        similarity = Q[rows] @ X.T
        if leave_one_out:
            similarity[np.arange(len(rows)), rows] = -np.inf  # ranked last, cut off below
        ranking = _ranking(similarity)[:, :n_results]
        blocks.append(_measures(y[ranking] == labels[rows, None], n_relevant[rows], k))
    return RetrievalScores(
        k=k,
        queries=kept,
        labels=labels[kept],
        n_dropped=len(labels) - len(kept),
        **{name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]},
    )


def _measures(
    hits: NDArray[np.bool_], n_relevant: NDArray[np.integer[Any]], k: int
) -> dict[str, Floats]:
    """Score rankings, one per row, where `hits` marks the relevant photos."""
    n_hits = np.cumsum(hits, axis=1, dtype=np.int32)  # among the results up to each rank
    ranks = np.arange(1, hits.shape[1] + 1)
    return {
        "precision": n_hits[:, k - 1] / k,
        "recall": n_hits[:, k - 1] / n_relevant,
        "r_precision": n_hits[np.arange(len(hits)), n_relevant - 1] / n_relevant,
        "reciprocal_rank": 1 / (1 + hits.argmax(axis=1)),
        "average_precision": np.sum(n_hits / ranks, axis=1, where=hits) / n_relevant,
    }


def _ranking(similarity: NDArray[np.floating[Any]]) -> Ints:
    """Return the columns of each row by descending similarity, ties by column number.

    Equal to a stable argsort, in a third of the time: similarity and column are packed into one
    integer, because NumPy sorts integers with vector instructions.
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
