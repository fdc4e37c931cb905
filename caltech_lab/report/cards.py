"""A model card and a dataset card with measured values.

The text is in `model_card.md`, `dataset_card.md` and `provenance.json`; this module inserts the
numbers.
"""

import json
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from caltech_lab.datasets.caltech101 import SUBSETS
from caltech_lab.datasets.splits import left_out
from caltech_lab.embedding.images import read_head, readable
from caltech_lab.errors import shown_name
from caltech_lab.metrics.categories import category_audit, unevenness
from caltech_lab.metrics.intervals import macro_average
from caltech_lab.metrics.probabilities import expected_calibration_error
from caltech_lab.report.cached_scores import cached_retrieval_scores
from caltech_lab.report.final_report import final_report
from caltech_lab.storage.files import write_atomically

if TYPE_CHECKING:
    from caltech_lab.lab import Lab

# Written by notebook 11, one table for each kind of vectors: "plain" or "learned".
ROBUSTNESS = "results/robustness/corruptions_{}.parquet"
LINE = 0.8  # the card counts the categories with an accuracy below this
NAMED = 10  # categories in the table of the lowest accuracies


def write_cards(lab: "Lab") -> list[Path]:
    """Write `model_card.md` and `dataset_card.md`, each atomically.

    The final report, the SVM and its temperature are computed if necessary. Robustness and
    suspicious labels are reported if they were measured for these embeddings; otherwise, the cards
    say that they are missing.

    Parameters
    ----------
    lab : Lab
        Provides the photos and models.

    Returns
    -------
    list of Path
        The two files, in `outputs/<dataset>/<backbone>/`.
    """
    made = []
    for name, text in (("model_card.md", model_card(lab)), ("dataset_card.md", dataset_card(lab))):
        path = lab.folder("") / name
        with write_atomically(path) as temporary:
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
        made.append(path)
    return made


# ---- the model -----------------------------------------------------------------------------


def model_card(lab: "Lab") -> str:
    """Return the model card as Markdown.

    Parameters
    ----------
    lab : Lab
        Provides the SVM.

    References
    ----------
    M. Mitchell et al.: Model cards for model reporting. Conference on Fairness, Accountability,
    and Transparency, 2019.
    """
    report, embeddings = final_report(lab), lab.embeddings
    X, y, names = embeddings.X, embeddings.y, embeddings.categories
    train, test = lab.split()
    svm = lab.svm()
    predicted = svm.predict(X[test])
    right = predicted == y[test]
    probabilities = svm.predict_proba(X[test])
    p, best = probabilities.max(axis=1), svm.classes_[probabilities.argmax(axis=1)] == y[test]
    found = cached_retrieval_scores(lab, "held_out")
    audit = category_audit(y[test], predicted, names, found)
    by_split = report["classification"]["svm"]["accuracy_by_split"]
    overall = pd.DataFrame(
        {
            "accuracy": _averages(right, y[test]),
            "precision@10": _averages(found.precision, found.labels),
        }
    ).T
    return _template("model_card.md").format(
        report=report,
        backbone=lab.backbone.title,
        width=X.shape[1],
        parameters=", ".join(f"{name} {value:g}" for name, value in svm.parameters.items()),
        temperature=svm.temperature_,
        versions=", ".join(f"{n} {v}" for n, v in report["versions"].items() if v),
        n_learned=len(svm.classes_),
        left_out=" " * bool(told := left_out(y, names)) + told,
        n_train=len(train),
        n_test=len(test),
        lowest=min(by_split),
        highest=max(by_split),
        overall=_markdown(overall.rename_axis("test set")),
        ece=expected_calibration_error(p, best),
        quarters=_markdown(_by_size(embeddings.photos.counts, audit)),
        worst=_markdown(_worst(audit)),
        robustness=_robustness(lab),
        fewest=int(audit["n"].min()),
        most=int(audit["n"].max()),
        below=int((audit["accuracy"] < LINE).sum()),
        line=LINE,
    )


def _averages(scores: ArrayLike, y: NDArray[np.int64]) -> dict[str, float]:
    values = np.asarray(scores, dtype=np.float64)
    spread = unevenness(pd.Series(values).groupby(y).mean())
    return {
        "micro average": float(values.mean()),
        "macro average": macro_average(values, y),
        "worst decile": spread.worst_decile,
        "Gini": spread.gini,
    }


def _by_size(counts: "pd.Series[int]", audit: pd.DataFrame) -> pd.DataFrame:
    sizes = counts[audit.index]
    words = ["smallest quarter", "second", "third", "largest quarter"]
    quarter = pd.qcut(sizes.rank(method="first"), 4, labels=words)
    table = audit.assign(photos=sizes).groupby(quarter, observed=True)
    rows = table["photos"].agg(["min", "max"]).join(table[["accuracy", "precision"]].mean())
    rows.columns = pd.Index(["photos from", "to", "accuracy", "precision@10"])
    rows.index.name = "categories"
    return rows


def _worst(audit: pd.DataFrame) -> pd.DataFrame:
    worst = audit.head(NAMED)
    interval = [f"{low:.2f} to {high:.2f}" for low, high in worst[["low", "high"]].to_numpy()]
    return pd.DataFrame(
        {
            "test photos": worst["n"],
            "accuracy": worst["accuracy"],
            "95 % interval": interval,
            "most frequent wrong prediction": worst["confused_with"].fillna("-"),
            "precision@10": worst["precision"],
        }
    ).rename_axis("category")


def _robustness(lab: "Lab") -> str:
    table = lab.cache.peek(ROBUSTNESS.format("plain"))
    if table is None:
        return "Not measured yet on these embeddings; notebook 11 measures it."
    clean = table[table["strength"] == 0].iloc[0]
    wide = table[table["strength"] > 0].pivot_table(
        index="corruption", columns="strength", values=["accuracy", "precision"], sort=False
    )
    words = {"accuracy": "accuracy", "precision": "precision@10"}
    wide = wide.set_axis([f"{words[c[0]]}, strength {c[1]}" for c in wide.columns], axis=1)
    return (
        "A sample of the test set with the same number of photos per category, under image "
        "corruptions (Hendrycks and Dietterich 2019), with the linear classifier of notebook 11. "
        "Without corruption: "
        f"accuracy {clean['accuracy']:.3f}, precision@10 {clean['precision']:.3f}.\n\n"
        f"{_markdown(wide)}"
    )


# ---- the photos ----------------------------------------------------------------------------


def dataset_card(lab: "Lab") -> str:
    """Return the dataset card as Markdown.

    Parameters
    ----------
    lab : Lab
        Provides the photos.

    References
    ----------
    T. Gebru et al.: Datasheets for datasets. Communications of the ACM 64(12), 2021.
    """
    photos = lab.embeddings.photos
    counts = photos.counts.sort_values(ascending=False, kind="stable")
    _, heads = readable(photos, read_head)
    longest = np.array([max(head.width, head.height) for head in heads])
    faces = counts[counts.index.str.startswith("Faces")]
    kind = "caltech101" if photos.name in SUBSETS else photos.name
    known = json.loads(_template("provenance.json"))
    words: dict[str, str] = known.get(kind, known["folder"])
    words["people"] = words["people"].format(
        faces=int(faces.sum()),
        faces_share=faces.sum() / len(photos),
        face_folders=" and ".join(f"`{shown_name(name)}`" for name in faces.index) or "none",
        faces_easy=int(faces.get("Faces_easy", 0)),
    )
    ends = pd.concat([counts.head(5), counts.tail(5)]) if len(counts) > 10 else counts
    shares = pd.DataFrame({"photos": ends, "share": ends / len(photos)})
    return _template("dataset_card.md").format(
        **words,
        name=shown_name(photos.origin.split(",")[0].split(":")[0] or photos.name),
        n_photos=len(photos),
        n_categories=len(photos.categories),
        n_unlabeled=int((photos.table["category"] == "").sum()),
        n_failed=len(lab.extraction.failed),
        fingerprint=photos.fingerprint,
        smallest=int(counts.iloc[-1]),
        smallest_name=shown_name(counts.index[-1]),
        largest=int(counts.iloc[0]),
        largest_name=shown_name(counts.index[0]),
        median=counts.median(),
        five=counts.head(5).sum() / len(photos),
        half=int((counts.cumsum() < len(photos) / 2).sum()) + 1,
        gini=unevenness(counts).gini,
        shortest=int(longest.min()),
        longest=int(longest.max()),
        side=int(np.median(longest)),
        gray=sum(head.mode == "L" for head in heads),
        copies=len(photos) - len(set(photos.sha256)),
        suspicious=_suspicious(lab),
        sizes=_markdown(shares.rename_axis("category")),
    )


def _suspicious(lab: "Lab") -> str:
    table = lab.cache.peek("results/label_errors/label_issues.parquet")
    if table is None:
        return "The number of suspicious labels was not measured yet; notebook 10 measures it."
    train, _ = lab.split()
    return (
        f"Confident learning flags {len(table):,} of the {len(train):,} labels of the training "
        f"set ({len(table) / len(train):.3f}); a person must check whether they are wrong."
    )


# ---- words and tables ----------------------------------------------------------------------


def _template(name: str) -> str:
    return (files("caltech_lab.report") / name).read_text(encoding="utf-8")


def _markdown(table: pd.DataFrame) -> str:
    """Return a table with its index as Markdown, floats with three decimals."""

    def cell(value: Any) -> str:
        if isinstance(value, float):
            return f"{value:.3f}"
        return f"{value:,}" if isinstance(value, int | np.integer) else text(value)

    def text(name: object) -> str:  # a bar would end the cell
        return shown_name(name).replace("|", r"\|")

    rows = [[str(table.index.name), *map(text, table.columns)], ["---"] * (1 + table.shape[1])]
    rows += [
        [text(name), *map(cell, values)]
        for name, values in zip(table.index, table.itertuples(index=False, name=None), strict=True)
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
