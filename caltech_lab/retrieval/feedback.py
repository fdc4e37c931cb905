"""Relevance feedback: a query that moves with the marks, and results without near-duplicates."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from caltech_lab.retrieval.index import Ids
from caltech_lab.storage.progress import progress

Floats = NDArray[np.float32]

# Weights of the good and of the bad, chosen on the training part of Caltech-101.
GOOD, BAD = 2.0, 1.0
BLOCK = 200  # queries whose rankings are in memory at a time
NEAR_DUPLICATE = 0.95  # cosine at and above which two photos count as near-duplicates


def rocchio(query: Floats, good: Floats, bad: Floats) -> Floats:
    """Move a query towards the photos marked as good and away from those marked as bad.

    Parameters
    ----------
    query : ndarray of float32, shape (d,)
        What was asked at first, of length one.
    good, bad : ndarray of float32, shape (any number, d)
        Embeddings of the marked photos, rows of length one.

    Returns
    -------
    ndarray of float32, shape (d,)
        ``query + GOOD * mean(good) - BAD * mean(bad)``, scaled to length one. Without any good
        photo the bad ones get the same share against the query alone, since a full one would
        leave little of what was asked.

    References
    ----------
    J. J. Rocchio: Relevance feedback in information retrieval. In G. Salton (ed.): The SMART
    Retrieval System, 1971.

    Examples
    --------
    >>> east, north = np.eye(2, dtype=np.float32)
    >>> print(rocchio(east, good=np.stack([north]), bad=np.empty((0, 2), np.float32)).round(3))
    [0.447 0.894]
    """
    moved = query.astype(np.float64)
    pull = 1.0
    if len(good):
        moved = moved + GOOD * good.mean(axis=0)
        pull += GOOD
    if len(bad):
        moved = moved - BAD * pull / (1 + GOOD) * bad.mean(axis=0)
    length = np.linalg.norm(moved)
    if length < 1e-6:  # the marks cancel the query: there is no direction left to ask in
        return query
    return (moved / length).astype(np.float32)


def without_near_duplicates(
    X: Floats, ids: Ids, k: int, query: Floats | None = None, threshold: float = NEAR_DUPLICATE
) -> Ids:
    """Go down a ranking, and leave out what is nearly the same as the query or as one above it.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Embeddings of the gallery, rows of length one.
    ids : ndarray of int64
        A ranking of its rows, the best first.
    k : int
        How many to keep.
    query : ndarray of float32, shape (d,), optional
        The query, of length one.
    threshold : float
        Cosine similarity from which on two photos are near-duplicates.

    Returns
    -------
    ndarray of int64
        The first k that are left, or fewer.
    """
    kept: list[int] = []
    seen = np.empty((k + 1, X.shape[1]), dtype=np.float32)
    n_seen = 0
    if query is not None:
        seen[0], n_seen = query, 1
    for row in ids.tolist():
        if len(kept) == k:
            break
        if n_seen and float((seen[:n_seen] @ X[row]).max()) >= threshold:
            continue
        kept.append(row)
        if n_seen < len(seen):
            seen[n_seen] = X[row]
            n_seen += 1
    return np.array(kept, dtype=np.int64)


def simulate_feedback(
    X: Floats,
    y: NDArray[np.int64],
    queries: Floats,
    query_labels: NDArray[np.int64],
    k: int = 10,
    rounds: int = 2,
) -> pd.DataFrame:
    """Measure what marking the first k answers gives, with a progress bar.

    In each round a simulated person marks all k answers: good when they have the category of the
    query, else bad. The next answer is taken from the rest of the gallery, so that no mark pays
    for itself; this is called residual collection. The rest has fewer right photos each time, so
    the score of a search without feedback falls from page to page, and it is that score with
    which feedback must be compared.

    Parameters
    ----------
    X, y : ndarray, shapes (n, d) and (n,)
        Embeddings and categories of the gallery.
    queries, query_labels : ndarray, shapes (q, d) and (q,)
        Held-out photos, which are not in the gallery.
    k : int
        Answers that are shown, and marked, in each round.
    rounds : int
        How many times a person marks.

    Returns
    -------
    DataFrame
        One row a query and round, from 0 (nothing marked yet): ``query``, ``round``, and
        precision@k among the photos not yet marked: ``feedback``, ``paging`` (the next page of the
        first ranking) and ``ceiling`` (what a perfect ranking would reach after `feedback`).

    References
    ----------
    Y. K. Chang, C. Cirillo, J. Razon: Evaluation of feedback retrieval using modified freezing,
    residual collection and test and control groups. In G. Salton (ed.): The SMART Retrieval System,
    1971.
    """
    rows = []
    blocks = np.array_split(np.arange(len(queries)), -(-len(queries) // BLOCK))
    for block in progress(blocks, desc="Feedback"):
        relevant = y == query_labels[block, None]
        first = _ranked(queries[block] @ X.T)
        left = np.ones(relevant.shape, dtype=bool)
        moved, ranking = queries[block].copy(), first
        for turn in range(rounds + 1):
            if turn:
                ranking = _ranked(moved @ X.T)
            for place, number in enumerate(block.tolist()):
                order = ranking[place]
                shown = order[left[place, order]][:k]
                page = first[place, turn * k : (turn + 1) * k]
                rows.append(
                    {
                        "query": number,
                        "round": turn,
                        "feedback": relevant[place, shown].mean(),
                        "paging": relevant[place, page].mean(),
                        "ceiling": min(1.0, (relevant[place] & left[place]).sum() / k),
                    }
                )
                left[place, shown] = False
                good = np.flatnonzero(~left[place] & relevant[place])
                bad = np.flatnonzero(~left[place] & ~relevant[place])
                moved[place] = rocchio(queries[number], X[good], X[bad])
    return pd.DataFrame(rows).sort_values(["query", "round"], ignore_index=True)


def _ranked(scores: NDArray[np.float32]) -> Ids:
    return np.argsort(-scores, axis=1, kind="stable")
