"""Suspicious labels: decisions about them are never lost."""

import base64
import io
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from caltech_lab import widgets
from caltech_lab.datasets import folder
from caltech_lab.embedding.embeddings import Embeddings
from caltech_lab.errors import ArgumentError, CacheError, LabError
from caltech_lab.studies.label_decisions import Decisions
from tests.made_embeddings import scattered_embeddings


@pytest.fixture(scope="module", name="embeddings")
def a_few_features(_drawn_once):
    return scattered_embeddings(_drawn_once, noise=0.4)


@pytest.fixture(name="issues")
def some_issues(embeddings):
    rows = np.arange(0, 60, 2)
    n = len(rows)
    names = np.asarray(embeddings.categories, dtype=object)
    return pd.DataFrame(
        {
            "row": rows,
            "path": embeddings.photos.table["path"].to_numpy()[rows],
            "category": names[embeddings.y[rows]],
            "p_category": np.linspace(0.01, 0.4, n),
            "suggested": names[(embeddings.y[rows] + 1) % 14],
            "p_suggested": np.linspace(0.95, 0.5, n),
        }
    )


# ---- keeping what was decided --------------------------------------------------------------


def test_decisions_stay_and_replace_each_other(embeddings, tmp_path):
    path = tmp_path / "decisions.csv"
    decisions = Decisions(path)
    assert len(decisions.table()) == 0
    decisions.decide(embeddings, 3, "keep")
    decisions.decide(embeddings, 7, "relabel", embeddings.categories[5])
    decisions.decide(embeddings, 9, "drop")
    decisions.decide(embeddings, 3, "drop")
    decisions.decide(embeddings, 9, None)
    table = Decisions(path).table()  # another kernel
    assert table["decision"].tolist() == ["relabel", "drop"]
    assert table["path"].tolist() == [embeddings.photos.table["path"][i] for i in (7, 3)]
    rows, y = decisions.apply(embeddings, np.array([1, 3, 7, 9]))
    assert rows.tolist() == [1, 7, 9]
    assert y.tolist() == [embeddings.y[1], 5, embeddings.y[9]]


def test_a_category_may_be_called_none(embeddings, tmp_path):
    table = embeddings.photos.table.assign(
        category=["NA" if c == embeddings.categories[0] else c for c in
                  embeddings.photos.table["category"]], sha256=embeddings.photos.sha256,
    )  # fmt: skip
    photos = folder.Photos("other", embeddings.photos.root, table)
    renamed = Embeddings(embeddings.X, photos, {})
    row = int(np.flatnonzero(renamed.y != renamed.categories.index("NA"))[0])
    decisions = Decisions(tmp_path / "decisions.csv")
    decisions.decide(renamed, row, "relabel", "NA")
    assert decisions.table()["label"].tolist() == ["NA"]
    _, y = decisions.apply(renamed, np.array([row]))
    assert y.tolist() == [renamed.categories.index("NA")]


def test_a_decision_keeps_any_name(embeddings, tmp_path):
    names = ["a\rb.png", "c\r\nd.png", "e\nf.png", 'g"h,.png', "=1+1.png", "-k.png"]
    table = embeddings.photos.table.assign(sha256=embeddings.photos.sha256)
    table.loc[:5, "path"] = names
    odd = Embeddings(embeddings.X, folder.Photos("other", embeddings.photos.root, table), {})
    decisions = Decisions(tmp_path / "decisions.csv")
    for row in range(6):
        decisions.decide(odd, row, "drop")
    assert decisions.table()["path"].tolist() == names


def test_two_kernels_lose_nothing_of_each_other(embeddings, tmp_path):
    path = tmp_path / "decisions.csv"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda row: Decisions(path).decide(embeddings, row, "keep"), range(24)))
    assert len(Decisions(path).table()) == 24


def test_a_write_that_fails_leaves_what_was_there(embeddings, tmp_path, monkeypatch):
    decisions = Decisions(tmp_path / "decisions.csv")
    decisions.decide(embeddings, 3, "keep")
    before = decisions.path.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(LabError):
        decisions.decide(embeddings, 4, "drop")
    assert decisions.path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".")] == ["decisions.csv"]


@pytest.mark.parametrize(
    "text", ["", "\x00\x01", "a,b\n1,2\n", "\udcff,\udcfe", "PK\x03\x04", None]
)
def test_what_is_no_table_of_decisions_is_set_aside_and_never_lost(
    embeddings, tmp_path, text, capsys
):
    path = tmp_path / "decisions.csv"
    for number in ("", "-2"):
        path.unlink(missing_ok=True)
        if text is None:
            path.mkdir()
        else:
            path.write_bytes(text.encode(errors="surrogateescape"))
        Decisions(path).decide(embeddings, 3, "keep")
        assert len(Decisions(path).table()) == 1
        assert f"decisions.csv.damaged{number}" in capsys.readouterr().out
    kept = [tmp_path / f"decisions.csv.damaged{number}" for number in ("", "-2")]
    for aside in kept:
        if text is None:
            assert aside.is_dir()
        else:
            assert aside.read_bytes() == text.encode(errors="surrogateescape")


def test_decisions_that_are_not_understood_are_left_alone(embeddings, tmp_path):
    path, text = tmp_path / "decisions.csv", "sha256,path,category,decision,label\nx,y,z,burn,z\n"
    path.write_text(text)
    with pytest.raises(CacheError, match="move it away"):
        Decisions(path).decide(embeddings, 3, "keep")
    assert path.read_text() == text


def test_what_cannot_be_decided_is_refused(embeddings, tmp_path):
    decisions = Decisions(tmp_path / "decisions.csv")
    with pytest.raises(ArgumentError, match="keep, relabel or drop"):
        decisions.decide(embeddings, 3, "burn")
    for label in (None, "unicorn"):
        with pytest.raises(ArgumentError, match="one of the categories"):
            decisions.decide(embeddings, 3, "relabel", label)
    assert not decisions.path.exists()


# ---- the widget ----------------------------------------------------------------------------


def act(review, action, row):
    review.grid._received(review.grid, {"action": action, "row": row}, [])


def shown(html):
    return re.sub(r"<[^>]+>", " ", html.value).strip()


def rows_of(review):
    return [item["row"] for item in review.grid.items]


def test_a_review_writes_each_decision_at_once(embeddings, issues, tmp_path):
    path = tmp_path / "decisions.csv"
    review = widgets.LabelReview(embeddings, issues, path)
    assert rows_of(review) == issues["row"][:12].tolist()
    assert f"0 of {len(issues)} decided" in shown(review.text)
    first = review.grid.items[0]
    assert first["lines"][1:] == ["label 0.01", f"{issues['suggested'][0]} 0.95"]
    assert first["src"].startswith("data:image/jpeg")
    for action, row in (("keep", 0), ("relabel", 2), ("drop", 4)):
        act(review, action, row)
    assert Decisions(path).table()["decision"].tolist() == ["keep", "relabel", "drop"]
    assert [item["mark"] for item in review.grid.items[:4]] == ["keep", "relabel", "drop", ""]
    assert f"relabeled as {issues['suggested'][1]}" in review.grid.items[1]["lines"]
    assert f"3 of {len(issues)} decided" in shown(review.text)
    act(review, "drop", 4)  # again: taken back
    assert Decisions(path).table()["decision"].tolist() == ["keep", "relabel"]


def test_another_category_than_the_suggested_one(embeddings, issues, tmp_path):
    review = widgets.LabelReview(embeddings, issues, tmp_path / "decisions.csv")
    assert review.category.disabled
    act(review, "choose", 6)
    review.category.value = embeddings.categories[9]
    assert review.category.disabled
    assert review.decisions.table()["label"].tolist() == [embeddings.categories[9]]
    act(review, "relabel", 6)  # not taken back, but replaced by the suggestion
    assert review.decisions.table()["label"].tolist() == [issues["suggested"][3]]
    act(review, "choose", 6)
    review.category.value = issues["category"][3]
    assert review.decisions.table()["decision"].tolist() == ["keep"]


def test_a_reopened_review_goes_on_where_it_stopped(embeddings, issues, tmp_path):
    path = tmp_path / "decisions.csv"
    review = widgets.LabelReview(embeddings, issues, path)
    for row in issues["row"][:12]:
        act(review, "keep", int(row))
    again = widgets.LabelReview(embeddings, issues, path)
    assert "Page 2 of 3" in shown(again.text)
    assert rows_of(again) == issues["row"][12:24].tolist()
    again.before.click()
    assert {item["mark"] for item in again.grid.items} == {"keep"}
    assert again.before.disabled
    again.after.click()
    again.after.click()
    assert again.after.disabled
    assert rows_of(again) == issues["row"][24:].tolist()


def test_a_pair_and_a_click_on_the_figure(embeddings, issues, tmp_path):
    review = widgets.LabelReview(embeddings, issues, tmp_path / "decisions.csv")
    review.choice.value = review.choice.options[1]
    pairs = {(i["title"], i["lines"][2].split()[0]) for i in review.grid.items}
    assert len(pairs) == 1
    review.clicked(review.axes[0], 0.4, 0.5)
    assert issues["row"].iloc[-1] in rows_of(review)


def test_the_still_stays_without_a_kernel_and_holds_no_photo(embeddings, issues, tmp_path):
    review = widgets.LabelReview(embeddings, issues, tmp_path / "decisions.csv")
    bundle, _ = review._repr_mimebundle_()
    with Image.open(io.BytesIO(base64.b64decode(bundle["image/png"]))) as picture:
        assert picture.width > 400
    assert "keep the label of a photo" in bundle["text/plain"]


def test_a_file_that_breaks_while_one_works_is_told(embeddings, issues, tmp_path):
    review = widgets.LabelReview(embeddings, issues, tmp_path / "decisions.csv")
    text = "sha256,path,category,decision,label\nx,y,z,burn,z\n"
    (tmp_path / "decisions.csv").write_text(text)
    act(review, "keep", 0)
    assert "move it away" in shown(review.status)
    assert "alert" in review.status.value


def test_no_issues_at_all(embeddings, issues, tmp_path):
    review = widgets.LabelReview(embeddings, issues.iloc[:0], tmp_path / "decisions.csv")
    assert review.grid.items == []
    assert "0 of 0 decided" in shown(review.text)
