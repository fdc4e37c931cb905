"""How many passes the learned vectors need: sets of views against cross-validated precision@10.

Three folds of the training set of seed 0: the recipe is fitted on two, and the third queries them.
That takes minutes per set. So a ridge regression first ranks all sets of up to three views, and
larger ones that grow from the best of three, and only the best of each size are measured.
A set that `results/passes.json` holds is not measured again.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from statistics import mean
from typing import Any

import numpy as np
from common import RESULTS, arguments, lab
from scipy.linalg import solve
from sklearn.decomposition import PCA
from sklearn.model_selection import StratifiedKFold

from caltech_lab.datasets import open_photos
from caltech_lab.datasets.splits import split
from caltech_lab.embedding.views import View, fused_views
from caltech_lab.lab import Lab
from caltech_lab.metrics.intervals import macro_average
from caltech_lab.storage.files import read_json, write_json
from caltech_lab.studies.vectors.projections import projection
from caltech_lab.studies.vectors.protocols import held_out_scores

DATASETS = {"all": "caltech101", "report51": "report51"}
SQUASHED = (View(), View("efficientnet-lite2", size=260), View("efficientnet-lite0"))
CANDIDATES = [
    replace(view, fit=fit, mirrored=mirrored)
    for view in SQUASHED
    for fit, mirrored in (("squash", False), ("crop", False), ("squash", True))
] + [View(size=288)]
POOLINGS = [("gem",), ("regional",), ("average", "regional"), ("average", "gem")]
EXHAUSTIVE, LARGEST = 3, 6
COMPONENTS, RIDGE = 512, 0.03  # of the regression that ranks the sets


@dataclass(frozen=True)
class Seen:
    """Views of a photo, one pass each, and the poolings of their maps that are kept."""

    views: tuple[View, ...]
    parts: tuple[str, ...] = ("average",)

    @property
    def name(self) -> str:
        """What the results call it."""
        return " + ".join(view.name for view in self.views) + ": " + ", ".join(self.parts)

    @property
    def blocks(self) -> list[tuple[tuple[View, ...], str]]:
        """What stands side by side; a view and its mirror image share a block."""
        groups: dict[View, list[View]] = {}
        for view in self.views:
            groups.setdefault(replace(view, mirrored=False), []).append(view)
        return [(tuple(group), part) for group in groups.values() for part in self.parts]


SIX = Seen((View(), View(mirrored=True), View(fit="crop"), SQUASHED[1],
            replace(SQUASHED[1], mirrored=True), SQUASHED[2]))  # fmt: skip


class Training:
    """The training set of one dataset, and its folds."""

    def __init__(self, whole: Lab, dataset: str) -> None:
        table = whole.embeddings.photos.table
        self.whole = whole
        self.rows = np.flatnonzero(table["path"].isin(open_photos(dataset).table["path"]))
        _, y = np.unique(whole.embeddings.y[self.rows], return_inverse=True)
        train, _ = split(y, seed=0)
        self.rows, self.y = self.rows[train], y[train]

    @cached_property
    def folds(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Rows to fit on, and rows to query with."""
        return list(StratifiedKFold(3, shuffle=True, random_state=0).split(self.y, self.y))

    def block(self, views: tuple[View, ...], part: str) -> np.ndarray:
        """Return the rows of one block, as `views.fused_views` makes it."""
        return fused_views([[self.whole.view(view, part)[self.rows] for view in views]])


def ranked(training: Training, sets: list[Seen]) -> dict[Seen, float]:
    """Return what a ridge regression reaches with each set: the mean of both accuracies."""
    blocks = sorted({block for seen in sets for block in seen.blocks}, key=str)
    count = min(COMPONENTS, len(training.y))
    pca = PCA(count, svd_solver="randomized", iterated_power=2, random_state=0)
    X = np.hstack([pca.fit_transform(training.block(*block)) for block in blocks])
    places = {block: np.arange(count) + i * count for i, block in enumerate(blocks)}
    T = np.eye(training.y.max() + 1, dtype=np.float32)[training.y]
    reached: dict[Seen, list[float]] = {seen: [] for seen in sets}
    for rest, asking in training.folds:
        # One product of all columns: each set solves a small part of it.
        both, towards, y = X[rest].T @ X[rest], X[rest].T @ T[rest], training.y[asking]
        for seen, found in reached.items():
            at = np.concatenate([places[block] for block in seen.blocks])
            ridge = RIDGE * len(seen.blocks) * np.eye(len(at), dtype=np.float32)
            weights = solve(both[np.ix_(at, at)] + ridge, towards[at], assume_a="pos")
            right = (X[asking][:, at] @ weights).argmax(axis=1) == y
            found.append((right.mean() + macro_average(right, y)) / 2)
    return {seen: mean(found) for seen, found in reached.items()}


def worth_measuring(
    training: Training, candidates: list[View]
) -> tuple[list[Seen], dict[Seen, float]]:
    """Return the best set of each size, the same with the best other pooling, and all scores."""
    sets = [
        Seen(views) for size in range(1, EXHAUSTIVE + 1) for views in combinations(candidates, size)
    ]
    scores = ranked(training, sets)
    best = [
        max((seen for seen in sets if len(seen.views) == size), key=lambda seen: scores[seen])
        for size in range(1, EXHAUSTIVE + 1)
    ]
    while len(best[-1].views) < min(LARGEST, len(candidates)):
        views = best[-1].views
        grown = [Seen((*views, view)) for view in candidates if view not in views]
        scores |= ranked(training, grown)
        best.append(max(grown, key=lambda seen: scores[seen]))
    pooled = [[replace(seen, parts=parts) for parts in POOLINGS] for seen in best[:EXHAUSTIVE]]
    scores |= ranked(training, [seen for row in pooled for seen in row])
    return best + [max(row, key=lambda seen: scores[seen]) for row in pooled], scores


def measured(trainings: dict[str, Training], seen: Seen) -> dict[str, Any]:
    """Cross-validate the recipe on one set of views: precision@10 of each fold."""
    names = [view.name for view in seen.views]
    row: dict[str, Any] = {"views": names, "parts": seen.parts, "passes": len(names)}
    for name, training in trainings.items():
        X = np.hstack([training.block(*block) for block in seen.blocks])
        X /= np.sqrt(len(seen.blocks))
        folds = [_fold(X, training.y, *fold) for fold in training.folds]
        micro, macro = zip(*folds, strict=True)
        row[name] = {"micro": mean(micro), "macro": mean(macro),
                     "micro_folds": micro, "macro_folds": macro}  # fmt: skip
        print(f"  {name:10} {row[name]['micro']:.4f} {row[name]['macro']:.4f}   {seen.name}")
    return row


def _fold(X: np.ndarray, y: np.ndarray, rest: np.ndarray, asking: np.ndarray) -> Any:
    vectors = projection("posterior").fit(X[rest], y[rest]).transform(X)
    scores = held_out_scores(vectors, y, rest, asking)
    return scores.mean("precision"), scores.macro("precision")


def main() -> None:
    """Rank, measure and save."""
    options = arguments(__doc__)
    whole = lab(options.quick, "all+background")
    datasets = {"drawn": "drawn"} if options.quick else DATASETS
    trainings = {name: Training(whole, dataset) for name, dataset in datasets.items()}
    candidates = CANDIDATES[::3] if options.quick else CANDIDATES
    path = RESULTS / "passes.json"
    kept = read_json(path) if path.is_file() and not options.quick else {}
    rows = kept.get("sets", {})
    best, scores = worth_measuring(next(iter(trainings.values())), candidates)
    first = Seen(SQUASHED[:1])
    for seen in [first, best[-1]] if options.quick else [first, *best, SIX]:
        if seen.name not in rows:
            rows[seen.name] = measured(trainings, seen)
        if not options.quick:
            names = {seen.name: round(score, 4) for seen, score in scores.items()}
            write_json(path, {"sets": rows, "ridge_accuracy": names})


if __name__ == "__main__":
    main()
