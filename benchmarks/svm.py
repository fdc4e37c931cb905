"""The grid of notebook 05: `tune_svm` against `GridSearchCV(SVC())` on all 2,048 dimensions."""

import numpy as np
from common import alternate, arguments, compared, lab, save
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import SVC

from caltech_lab.classification.svm import PowerNormalizer, svm
from caltech_lab.classification.tuning import best_parameters, svm_grid, tune_svm
from caltech_lab.datasets.splits import split
from caltech_lab.fast.pca import fitted


def main() -> None:
    """Measure and save."""
    options = arguments(__doc__)
    embeddings = lab(options.quick, "report51").embeddings
    X, y = embeddings.X, embeddings.y
    train, test = split(embeddings.y)
    grid = svm_grid()
    # The same powers, costs and widths, on all dimensions: the same number of points.
    plain_grid = {
        "powernormalizer__power": grid["power"],
        "svc__C": grid["C"],
        "svc__gamma": grid["gamma"],
    }
    points = int(np.prod([*map(len, grid.values())]))
    folds = StratifiedKFold(3, shuffle=True, random_state=0)

    def plain() -> GridSearchCV:
        pipeline = make_pipeline(PowerNormalizer(), SVC(cache_size=500))
        return GridSearchCV(pipeline, plain_grid, cv=folds, n_jobs=-1).fit(X[train], y[train])

    def ours() -> Pipeline:
        best = best_parameters(tune_svm(X[train], y[train], seed=0))
        return fitted(svm(**best), X[train], y[train])

    # The plain grid takes minutes, so both run once.
    results, seconds = alternate(
        {
            "GridSearchCV(SVC()), 2,048 dimensions": plain,
            "the lab, tune_svm": ours,
        },
        1,
    )
    rows = compared(seconds)
    for name, row in rows.items():
        row["accuracy"] = float((results[name].predict(X[test]) == y[test]).mean())
    plainly, quickly = (row["accuracy"] for row in rows.values())
    print(f"  held-out accuracy {plainly:.4f} and {quickly:.4f}")
    assert quickly >= plainly - (0.02 if options.quick else 0.002)
    save("svm", {"n_train": len(train), "points": points, "rows": rows}, options.quick)


if __name__ == "__main__":
    main()
