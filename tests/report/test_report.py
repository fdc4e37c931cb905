"""The final report against its schema, and the readings of the old report's claims."""

import copy
import json

import jsonschema
import numpy as np
import pytest

from caltech_lab.datasets.photos import Photos
from caltech_lab.embedding.backbones import backbone
from caltech_lab.lab import Lab
from caltech_lab.metrics.retrieval import retrieval_scores
from caltech_lab.report.final_report import final_report, schema
from caltech_lab.studies.original_report import CLAIMS, closest, readings


@pytest.fixture
def lab(photos: Photos, environment: pytest.MonkeyPatch) -> Lab:
    return Lab(photos, backbone("pixels"))


def test_the_final_report_keeps_to_its_schema_and_is_made_once(reported_lab: Lab) -> None:
    lab, path = reported_lab, reported_lab.folder() / "final_report.json"
    written = json.loads(path.read_text())
    report = final_report(lab)
    jsonschema.validate(report, schema())
    assert json.loads(path.read_text()) == report == written
    assert path.with_name("performance_summary.png").stat().st_size > 10_000
    made = path.parent / "results/retrieval/held_out_k10.parquet"
    stamp = made.stat().st_mtime_ns
    assert final_report(lab) == report
    assert made.stat().st_mtime_ns == stamp
    # What it says is what the functions behind it say.
    X, y = lab.embeddings.X, lab.embeddings.y
    assert report["n_photos"] == len(X)
    alone = retrieval_scores(X, y, k=10)
    assert report["retrieval"]["leave_one_out"]["precision_at_10"] == alone.mean("precision")
    assert len(report["classification"]["svm"]["accuracy_by_split"]) == 5
    best = report["clustering"]["best_k50"]
    assert best["nmi"] == max(row["nmi"] for row in best["compared"].values())
    _check_that_the_schema_refuses(report)


def _check_that_the_schema_refuses(report: dict) -> None:
    for path, value in (
        (("classification", "svm", "accuracy"), 1.2),
        (("retrieval", "held_out", "map"), None),
        (("weights_sha256",), "abc"),
        (("n_photos",), -1),
    ):
        wrong = copy.deepcopy(report)
        place = wrong
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema())
    for key in report:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({k: v for k, v in report.items() if k != key}, schema())


def test_every_claim_is_measured_in_several_ways(lab: Lab) -> None:
    table = readings(lab.embeddings)
    assert set(table["claim"]) == set(CLAIMS)
    assert not table.duplicated(["claim", "definition", "space"]).any()
    np.testing.assert_allclose(table["off"], table["measured"] - table["reported"])
    precision = table[table["claim"] == "precision@10"]
    precision = precision.pivot_table(index="space", columns="definition", values="measured")
    included = precision["precision@10, cosine, self-match included"]
    alone = precision["precision@10, cosine, leave-one-out"]
    # A query is relevant to itself, so including it can only raise the score.
    assert (included > alone).all()
    assert (alone < precision["hit rate@10, cosine, leave-one-out"]).all()
    full = f"{lab.embeddings.X.shape[1]:,} dimensions"
    scores = retrieval_scores(lab.embeddings.X, lab.embeddings.y, k=10)
    assert alone[full] == pytest.approx(scores.mean("precision"), abs=1e-3)
    nearest = closest(table)
    for row in nearest.itertuples():
        same = table[table["claim"] == row.claim]
        assert abs(row.off) == same["off"].abs().min()
