"""The cards say what was measured, and say so where nothing was."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from caltech_lab.datasets.photos import Photos
from caltech_lab.embedding.backbones import backbone
from caltech_lab.lab import Lab
from caltech_lab.report import cards
from caltech_lab.report.final_report import final_report


@pytest.fixture(name="lab")
def a_lab(photos: Photos, environment: pytest.MonkeyPatch) -> Lab:
    return Lab(photos, backbone("pixels"))


def test_the_cards_hold_the_figures(reported_lab: Lab) -> None:
    lab = reported_lab
    model, dataset = (path.read_text(encoding="utf-8") for path in cards.write_cards(lab))
    report = final_report(lab)
    svm = report["classification"]["svm"]
    assert f"{svm['accuracy']:.3f} (micro average)" in model
    assert f"{svm['macro_accuracy']:.3f} (macro average)" in model
    assert report["weights_sha256"] in model
    train, test = lab.split()
    right = lab.svm().predict(lab.embeddings.X[test]) == lab.embeddings.y[test]
    assert f"| accuracy | {right.mean():.3f} |" in model
    assert f"({len(train):,} photos) and the test set 20 % ({len(test):,} photos)" in model
    assert "Not measured yet on these embeddings" in model
    assert f"{len(lab.photos)} photos in {len(lab.photos.categories)} categories" in dataset
    assert lab.photos.fingerprint in dataset
    assert "was not measured yet" in dataset
    assert "To be answered" in dataset  # nobody told us where a folder's photos come from
    for text in (model, dataset):
        assert not re.search(r"[{}]|\bnan\b|None", text)
        rows = [line.count("|") for line in text.splitlines() if line.startswith("|")]
        assert rows
    headings = re.findall("^## (.*)", model, re.MULTILINE)
    assert headings[:4] == ["Model details", "Intended use", "Factors", "Metrics"]


def test_what_was_measured_from_other_embeddings_is_not_told(lab: Lab) -> None:
    rows = [("none", 0), *((name, s) for name in ("blur", "noise") for s in (1, 2, 3))]
    table = pd.DataFrame(rows, columns=["corruption", "strength"])
    table = table.assign(accuracy=np.linspace(0.9, 0.3, 7), precision=0.5, cosine=1.0)
    lab.cached(cards.ROBUSTNESS.format("plain"), lambda: table)
    assert "| blur | 0.800 | 0.700 | 0.600 | 0.500 | 0.500 | 0.500 |" in cards._robustness(lab)
    record = lab.folder() / f"{cards.ROBUSTNESS.format('plain')}.json"
    record.write_text(
        record.read_text().replace('"embeddings_sha256": "', '"embeddings_sha256": "0')
    )
    assert "Not measured yet" in cards._robustness(lab)


def test_the_notebook_on_robustness_writes_the_table_that_the_card_reads() -> None:
    (notebook,) = (Path(__file__).parents[2] / "notebooks").glob("11_*.ipynb")
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    assert f'f"{cards.ROBUSTNESS.format("{v}")}"' in "".join(
        line for cell in cells if cell["cell_type"] == "code" for line in cell["source"]
    )


def test_each_kind_of_dataset_has_its_provenance(lab: Lab) -> None:
    for name, words in (
        ("all", "CC BY 4.0"),
        ("drawn", "nobody is shown"),
        ("x", "To be answered"),
    ):
        object.__setattr__(lab.embeddings.photos, "name", name)
        assert words in cards.dataset_card(lab)


def test_odd_names_stay_in_their_cells() -> None:
    names = pd.Index(["a|b", "two\nlines", "q\udcff"], name="category", dtype=object)
    table = pd.DataFrame({"photos": [1000, 2, 3], "confused with": names}, index=names)
    assert cards._markdown(table).splitlines() == [
        "| category | photos | confused with |",
        "| --- | --- | --- |",
        r"| a\|b | 1,000 | a\|b |",
        r"| two\nlines | 2 | two\nlines |",
        r"| q\udcff | 3 | q\udcff |",
    ]
