"""Scores of the best vectors and the best clusters, added to the final report by `make report`.

Notebooks 08 and 09 explain the methods, but compute their own scores: they do not use this module.
"""

from typing import TYPE_CHECKING, Any

from caltech_lab.lab import open_lab
from caltech_lab.report.final_report import final_report
from caltech_lab.storage.progress import progress
from caltech_lab.studies.clusters.better_clusters import CHOSEN, SECOND_VIEW, better_clusters
from caltech_lab.studies.vectors.fused import fused_embeddings, view_embeddings
from caltech_lab.studies.vectors.protocols import evaluate_all

if TYPE_CHECKING:
    from caltech_lab.lab import Lab


SEEDS = (0, 1)  # of independent runs


def best_vectors(lab: "Lab") -> dict[str, Any]:
    """Evaluate the best vectors, which takes about ten minutes, and update the final report.

    Parameters
    ----------
    lab : Lab
        With labeled photos.

    Returns
    -------
    dict
        ``views`` and ``by_seed``, which has the result of `protocols.evaluate_all` per seed.
    """
    fused = fused_embeddings(lab)
    made: dict[str, Any] = lab.cached(
        "results/beyond/vectors.json", _by_seed, lab.embeddings.X, fused.X, fused.y,
        views=fused.identity["backbone"].split("+"), seeds=[*SEEDS],
    )  # fmt: skip
    final_report(lab)
    return made


def _by_seed(plain: Any, fused: Any, y: Any, views: list[str], seeds: list[int]) -> dict[str, Any]:
    by_seed = {
        str(seed): evaluate_all(plain, fused, y, seed) for seed in progress(seeds, desc="Seed")
    }
    return {"views": views, "by_seed": by_seed}


def best_clusters(lab: "Lab") -> dict[str, Any]:
    """Evaluate the best clusters, which takes about two minutes, and update the final report.

    Parameters
    ----------
    lab : Lab
        With labeled photos.

    Returns
    -------
    dict
        Result of `better_clusters.better_clusters`.
    """
    embeddings = lab.embeddings
    k, power = CHOSEN.get(lab.photos.name, CHOSEN["all"])
    parts = [embeddings.X, view_embeddings(lab, SECOND_VIEW)]
    made: dict[str, Any] = lab.cached(
        "results/beyond/clusters.json", better_clusters, parts, embeddings.y,
        k=min(k, len(embeddings) // 4), seed=lab.seed, power=power,
    )  # fmt: skip
    final_report(lab)
    return made


if __name__ == "__main__":
    for dataset in ("report51", "caltech101"):
        lab = open_lab(dataset)
        best_vectors(lab)
        best_clusters(lab)
