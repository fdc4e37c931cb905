"""The page: what it shows, and what a person or a hostile page may send."""

import json
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest

from benchmarks.demo import demo_speed
from caltech_lab.datasets import folder
from caltech_lab.demo import RetrievalDemo, SearchSession, open_page
from caltech_lab.demo.page import OPENING
from caltech_lab.demo.searcher import LOADING, Searcher
from caltech_lab.errors import ArgumentError
from caltech_lab.lab import Lab
from tests.demo.test_searcher import Maps

TRAITS = ("opening", "dataset", "status", "query", "results", "controls", "shelf", "why")


def rows_of(demo):
    return [item["row"] for item in demo.results["items"]]


def said(demo):
    return demo.status["text"]


def sent(demo, monkeypatch):
    """Collect the messages that the page is sent."""
    messages = []
    monkeypatch.setattr(
        demo, "send", lambda content, buffers=None: messages.append((content, buffers))
    )
    return messages


def test_it_opens_with_results(demo):
    assert demo.opening == ""
    assert not demo.status["wrong"]
    assert said(demo).startswith("Results for ")
    results, session = demo.session.results, demo.session
    assert results.query.row == demo.shelf["items"][0]["row"]
    assert len(demo.results["items"]) == 24
    for place, item in enumerate(demo.results["items"]):
        row = int(session.ranking.ids[place])
        assert item["row"] == row
        assert item["rank"] == place + 1
        assert item["path"] == session.path(row)
        assert item["name"] == session.category(row)
        assert item["src"].startswith("data:image/jpeg;base64,")
        assert item["cosine"] == f"{session.ranking.similarities[place]:.3f}"
        p = session.ranking.same_category[place]
        assert item["chance"] == ("> 99 %" if p > 0.99 else f"{100 * p:.0f} %")


def test_all_that_it_shows_is_json(demo):
    demo.act("mark", row=rows_of(demo)[0], mark="bad")
    demo.act("search", row=3, how="add")
    for trait in TRAITS:
        json.dumps(getattr(demo, trait), allow_nan=False)


def test_an_upload_is_answered(demo, upload, photo_bytes):
    upload(demo, photo_bytes(demo.session, 30) + b" ", "my photo.jpg")
    assert not demo.status["wrong"]
    assert demo.session.results.query.row is None
    assert rows_of(demo)[0] == 30
    assert demo.query["name"] == "my photo.jpg"
    assert demo.query["place"] == "Not in the gallery."
    upload(demo, photo_bytes(demo.session, 31), "my photo.jpg", chunk=10**9)
    assert demo.session.results.query.row == 31
    assert demo.query["place"].startswith(f"In the gallery as {demo.session.category(31)};")
    upload(demo, photo_bytes(demo.session, 30) + b" ", "second.jpg", how="add")
    assert [part["name"] for part in demo.query["parts"]] == [demo.session.path(31), "second.jpg"]
    assert not demo.query["photo"]


def test_what_is_no_photo_is_one_sentence_and_the_page_goes_on(demo, upload, photo_bytes):
    before = demo.session.results
    for content in (b"", b"Dear all, this is no photo.", b"\xff\xd8\xff"):
        upload(demo, content)
        assert demo.status["wrong"]
        assert said(demo).startswith("holiday.jpg ")
        assert said(demo).removeprefix("holiday.jpg").count(".") == 1
        assert demo.session.results is before
    upload(demo, photo_bytes(demo.session, 3))
    assert not demo.status["wrong"]
    assert demo.session.results.query.row == 3


def test_an_unexpected_error_is_shown_and_logged(demo, monkeypatch, caplog):
    def broken(*_):
        raise ZeroDivisionError("secret detail")

    with monkeypatch.context() as patch:
        patch.setattr(demo.session.searcher, "ask", broken)
        demo.act("surprise")
        assert demo.status["wrong"]
        assert "ZeroDivisionError" in said(demo)
        assert "secret detail" not in said(demo)
        assert "secret detail" in caplog.text
    demo.act("surprise")
    assert not demo.status["wrong"]


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"do": "explode"},
        {"do": "__init__"},
        {"do": None},
        {"do": "mark", "row": 3},
        {"do": "mark", "row": 3, "mark": "<b>"},
        {"do": "search", "row": 10**9},
        {"do": "search", "row": -1},
        {"do": "search", "row": 3, "how": "explode"},
        {"do": "search", "row": "3; drop table"},
        {"do": "part", "box": [0, 0]},
        {"do": "show", "k": 10**6},
        {"do": "space", "name": "outer"},
        {"do": "filter", "categories": ["no such"]},
        {"do": "filter", "good": [1, 2]},
        {"do": "go", "step": -1},
        {"do": "take", "kind": "everything", "marked": False},
        {"do": "take", "kind": "copies", "marked": False, "folder": " "},
        {"do": "take", "kind": "csv", "marked": True},
        {"do": "upload", "name": "a.jpg"},
        {"do": "upload", "name": "a.jpg", "size": 0, "start": 0, "upload": 0},
        {"do": "words", "text": "a boat"},
        {"do": "photo", "row": 10**9, "size": "large"},
        {"do": "path", "path": "no/such/photo.jpg"},
        {"do": "path", "path": ""},
    ],
    ids=str,
)
def test_a_message_that_is_wrong_changes_nothing(demo, message, caplog):
    before, rows = demo.session.results, rows_of(demo)
    demo._received(demo, message, [])
    assert demo.status["wrong"]
    assert said(demo).endswith(".")
    assert demo.session.results is before
    assert rows_of(demo) == rows
    demo._received(demo, {"do": "search", "row": 5}, [])
    assert not demo.status["wrong"]
    assert demo.session.options.good == ()


def test_a_path_may_be_quoted(demo, tmp_path, photo_bytes):
    file = tmp_path / "a photo.jpg"
    file.write_bytes(photo_bytes(demo.session, 12) + b" ")
    demo.act("path", path=f' "{file}" ')
    assert not demo.status["wrong"]
    assert rows_of(demo)[0] == 12


def test_surprises_are_gallery_photos_and_differ(demo):
    rows = set()
    for _ in range(6):
        demo.act("surprise")
        rows.add(demo.session.results.query.row)
    assert len(rows) > 2
    assert None not in rows


def test_the_shelf_shows_photos_of_a_category(demo):
    category = demo.session.gallery.categories[-1]
    demo.act("shelf", category=category)
    assert len(demo.shelf["items"]) == 6
    assert {item["name"] for item in demo.shelf["items"]} == {category}
    demo.act("shelf", category="")
    assert len(demo.shelf["items"]) == 8
    before = demo.shelf
    demo.act("shelf", category="")
    assert demo.shelf != before


def test_the_summary_counts_results_of_the_same_category(demo):
    demo.act("search", row=5)
    y, ids = demo.session.gallery.y, demo.session.ranking.ids
    right = (y[ids] == y[5]).sum()
    assert demo.results["summary"] == (
        "The 24 most similar photos, of 83 without the query. "
        f"Same category as the query: {right} of 24."
    )
    demo.act("search", row=6, how="add")
    assert demo.results["summary"] == "The 24 most similar photos, of 82 without the query."


def test_marks_are_counted_undone_and_cleared(demo):
    before = rows_of(demo)
    demo.act("mark", row=before[0], mark="bad")
    assert before[0] not in rows_of(demo)
    demo.act("mark", row=before[5], mark="good")
    (marked,) = [item for item in demo.results["items"] if item["mark"] == "good"]
    assert marked["row"] == before[5]
    assert (demo.controls["good"], demo.controls["bad"], demo.controls["undo"]) == (1, 1, True)
    demo.act("undo")
    assert demo.controls["good"] == 0
    demo.act("clear")
    assert rows_of(demo) == before
    assert demo.controls["undo"]
    demo.act("search", row=3)
    assert not demo.controls["undo"]
    demo.act("go", step=-1)
    assert demo.controls["undo"]
    assert demo.controls["forward"]


def test_filters_are_shown(demo):
    first, second = demo.session.gallery.categories[:2]
    demo.act("filter", categories=[second, first])
    assert demo.controls["categories"] == [first, second]
    assert {item["name"] for item in demo.results["items"]} == {first, second}
    assert "that match the filters" in demo.results["summary"]
    for row in rows_of(demo):
        demo.act("mark", row=row, mark="bad")
    assert demo.results["items"] == []
    assert "No photo matches the filters" in demo.results["summary"]


def test_a_part_is_searched_and_the_whole_again(demo):
    query = demo.session.results.query
    demo.act("part", box=[0.1, 0.1, 0.9, 0.8])
    assert demo.session.results.query.whole is query
    assert demo.query["name"] == f"a part of {query.name}"
    assert demo.query["part"]
    demo.act("whole")
    assert demo.session.results.query is query


def test_an_unfamiliar_query_is_flagged(demo):
    assert demo.query["warning"] == ""
    demo.session.searcher.models.threshold = 1000.0
    demo.act("surprise")
    assert demo.query["warning"].startswith("Unlike anything in the gallery: ")


def test_the_column_tells_category_cluster_and_training(demo):
    train, test = demo.session.lab.split()
    for row, words in ((train[0], "was trained on it"), (test[0], "was not trained on it")):
        demo.act("search", row=int(row))
        assert words in demo.query["place"]
        shares = [entry["p"] for entry in demo.query["classes"]]
        assert 1 <= len(shares) <= 5
        assert all(f"{100 * share:.1f}" != "0.0" for share in shares)
        cluster = demo.session.results.cluster + 1
        assert demo.query["cluster"].startswith(f"Cluster {cluster} of 20, with ")


def test_a_result_tells_another_prediction(demo):
    y = demo.session.gallery.y
    predicted = y.copy()
    predicted[rows_of(demo)[1]] = (y[rows_of(demo)[1]] + 1) % 14
    demo.session.searcher.models.predicted = predicted
    demo.act("show", k=10)
    told = [item["predicted"] for item in demo.results["items"]]
    assert told[1] == demo.session.gallery.categories[predicted[rows_of(demo)[1]]]
    assert told[:1] + told[2:] == [""] * 9


def test_names_stay_text(demo, upload, photo_bytes):
    name = "<img src=x onerror=alert(1)>\n\x1b[31m\udcff.jpg"
    upload(demo, photo_bytes(demo.session, 8) + b" ", name)
    assert "\x1b" not in demo.query["name"] + said(demo)
    json.dumps(demo.query).encode()
    assert "<img src=x" in demo.query["name"]  # the page never takes a text for HTML


def test_a_photo_that_vanished_takes_no_other_with_it(lab, tmp_path):
    shutil.copytree(lab.photos.root, tmp_path / "photos")
    demo = RetrievalDemo(SearchSession(Lab(folder.scan(tmp_path / "photos"), lab.backbone)))
    demo.act("search", row=0)
    gone = rows_of(demo)[2]
    demo.session.gallery.photos.file(gone).unlink()
    demo.session.thumbnail.cache_clear()
    demo.act("search", row=0)
    assert not demo.status["wrong"]
    assert [item["src"] == "" for item in demo.results["items"]] == [i == 2 for i in range(24)]
    demo.act("search", row=gone)
    assert demo.status["wrong"]


def test_the_first_upload_says_that_the_backbone_is_being_loaded(lab, upload, photo_bytes):
    demo = RetrievalDemo(SearchSession(lab))
    told = []
    demo.observe(lambda change: told.append(change["new"]["text"]), "status")
    data = photo_bytes(demo.session, 2) + b" "
    upload(demo, data)
    assert "Loading" in told[0]
    assert "Results for" in told[-1]
    told.clear()
    upload(demo, data + b" ")
    assert not any("Loading" in text for text in told)


def test_the_limits_of_uploads_are_told(demo):
    for limit in ("JPEG", "GIF", "HEIC", "128 MB", "64 million pixels", "30,000"):
        assert limit in demo.dataset["limits"]


def test_the_reasons_are_shown(lab, monkeypatch):
    monkeypatch.setattr("caltech_lab.demo.explainer.compile_backbone", lambda *_: Maps())
    session = SearchSession(lab)
    session.explainer.lab = Lab(lab.photos, replace(lab.backbone, grid=3))
    demo = RetrievalDemo(session)
    assert demo.dataset["maps"]
    assert demo.why == {}
    row = rows_of(demo)[2]
    demo.act("why", row=row)
    assert demo.session.path(row) in demo.why["title"]
    assert np.shape(demo.why["query"]["heat"]) == np.shape(demo.why["result"]["heat"]) == (3, 3)
    assert np.max(demo.why["query"]["heat"]) == 1
    assert demo.why["region"] == []
    demo.act("region", x=0.5, y=0.9)
    assert demo.why["region"] == pytest.approx([1 / 3, 2 / 3, 2 / 3, 1])
    assert "most similar to row 3, column 2 of the query: row " in demo.why["spoken"]
    demo.act("regions")
    assert demo.why["region"] == []
    assert demo.why["spoken"].startswith("Of 3 by 3 regions of the result, these contribute most")
    demo.act("close_why")
    assert demo.why == {}
    demo.act("why", row=row)
    demo.act("search", row=row)
    assert demo.why == {}  # an explanation ends with its query


def test_the_map_places_gallery_and_query(demo, upload, photo_bytes):
    assert demo.map == {}
    demo.act("map")
    points = np.frombuffer(demo.map["points"], np.float32).reshape(-1, 2)
    labels = np.frombuffer(demo.map["labels"], np.int32)
    np.testing.assert_array_equal(labels, demo.session.gallery.y)
    assert ((points >= 0) & (points <= 1)).all()
    assert demo.query["row"] == demo.session.results.query.row
    upload(demo, photo_bytes(demo.session, 30) + b" ")
    assert demo.query["row"] is None
    near = points[demo.session.results.order[:5]]
    assert demo.query["xy"] == pytest.approx(np.median(near, axis=0).tolist())


def test_files_are_sent(demo, monkeypatch, tmp_path):
    messages = sent(demo, monkeypatch)
    demo.act("take", kind="csv", marked=False)
    demo.act("take", kind="sheet", marked=False, view="second")
    (csv, (table,)), (sheet, (picture,)) = messages
    assert (csv["name"], sheet["name"]) == ("results.csv", "results.png")
    assert (csv["view"], sheet["view"]) == ("", "second")  # the view that takes it
    assert table.count(b"\n") == 25
    assert picture.startswith(b"\x89PNG")
    demo.act("mark", row=rows_of(demo)[3], mark="good")
    demo.act("take", kind="copies", marked=True, folder=str(tmp_path / "new"))
    assert len(list((tmp_path / "new").iterdir())) == 1
    assert said(demo) == f"1 photo copied to {tmp_path / 'new'}."
    messages.clear()
    for row, size in ((3, "small"), (3, "large"), (-1, "large")):
        demo.act("photo", row=row, size=size)
    assert [m["row"] for m, _ in messages] == [3, 3, -1]
    assert [m["size"] for m, _ in messages] == ["small", "large", "large"]
    assert all(data.startswith(b"\xff\xd8") for _, (data,) in messages)
    assert messages[2][0]["name"] == demo.query["name"]


def test_another_space_is_searched_or_the_search_stays(demo, monkeypatch):
    def fails(*_):
        raise ArgumentError("No views today.")

    before = rows_of(demo)
    monkeypatch.setattr("caltech_lab.demo.learned_space.learned_space", fails)
    demo.act("space", name="learned")
    assert said(demo) == "No views today."
    assert demo.controls["space"] == demo.session.searcher.space.name == "plain"
    assert rows_of(demo) == before


def test_before_it_is_open_messages_are_ignored(session):
    page = RetrievalDemo()
    assert page.opening == "Starting ..."
    page._received(page, {"do": "surprise"}, [])
    assert page.results == {}
    page.start(session)
    assert page.opening == ""
    assert page.results["items"]


def opened(page):
    for thread in threading.enumerate():
        if thread.name == OPENING:
            thread.join(60)
    return page


def test_the_page_of_voila_opens_in_the_background(lab, environment, monkeypatch, capsys):
    monkeypatch.setattr("caltech_lab.demo.page.open_lab", lambda: print("words") or lab)
    page = opened(open_page())
    assert page.opening == ""
    assert page.results["items"]
    assert page.query["classes"]
    assert not page.session.searcher.is_loading
    assert capsys.readouterr().out == ""


def test_a_page_that_cannot_open_says_why(environment, monkeypatch, caplog):
    def fails():
        raise ArgumentError("There is no dataset 'x'.")

    def breaks():
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr("caltech_lab.demo.page.open_lab", fails)
    assert opened(open_page()).opening == "There is no dataset 'x'."
    monkeypatch.setattr("caltech_lab.demo.page.open_lab", breaks)
    page = opened(open_page())
    assert "cannot be opened (ZeroDivisionError)" in page.opening
    assert "secret detail" in caplog.text


def test_the_speed_of_every_action_is_measured(lab):
    table = demo_speed(RetrievalDemo(SearchSession(lab)), uploads=5)
    assert table["times"].tolist() == [5] * 7
    assert table.index[0] == "upload"
    assert (table["median_ms"] > 0).all()
    assert (table["median_ms"] <= table["largest_ms"]).all()
    assert table["median_ms"].drop("upload").max() < 100  # a small gallery, with room to spare


def test_words_are_a_query_where_the_backbone_has_a_text_tower(lab, demo):
    assert not demo.dataset["words"]
    tower = replace(lab.backbone, text=lambda texts: lab.embeddings.X[[7]])
    spoken = RetrievalDemo(SearchSession(Lab(lab.photos, tower)))
    assert spoken.dataset["words"]
    spoken.act("words", text="a red boat")
    assert said(spoken).startswith('Results for "a red boat"')
    assert rows_of(spoken)[0] == 7  # and no photo is left out as the query itself
    spoken.act("words", text="a sheep", how="add")
    assert [part["name"] for part in spoken.query["parts"]] == ['"a red boat"', '"a sheep"']
    for trait in TRAITS:
        json.dumps(getattr(spoken, trait), allow_nan=False)
    before = rows_of(spoken)
    spoken.act("words", text=" ")
    assert "text is empty" in said(spoken)
    assert rows_of(spoken) == before


# What the page is told: it draws only what changes.


def told(demo, trait="status"):
    """Collect the values of a trait that the page is sent."""
    values = []
    demo.observe(lambda change: values.append(change["new"]), trait)
    return values


def test_the_same_error_is_told_twice(demo, upload):
    statuses = told(demo)
    for _ in range(2):
        upload(demo, b"no photo", "bad.txt")
    first, second = [status for status in statuses if status["wrong"]]
    assert first["text"] == second["text"]
    assert first != second


def test_an_error_goes_when_something_else_succeeds(demo):
    for name, details in (("mark", {"row": 5, "mark": "good"}), ("map", {}), ("undo", {})):
        demo.act("path", path="no/such/photo.jpg")
        assert demo.status["wrong"]
        demo.act(name, **details)
        assert not demo.status.get("wrong")


def test_the_map_gives_the_query_a_place_and_changes_nothing_else(demo):
    before = dict(demo.query)
    demo.act("map")
    assert {**demo.query, "row": None, "xy": None} == {**before, "row": None, "xy": None}
    assert len(demo.query["xy"]) == 2


def test_a_late_click_on_a_region_opens_nothing(demo):
    demo.act("region", x=0.5, y=0.5)
    demo.act("regions")
    assert demo.why == {}
    assert not demo.status["wrong"]


def test_two_clicks_remove_one_part(demo):
    demo.act("search", row=5)
    for row in (6, 7):
        demo.act("search", row=row, how="add")
    demo.act("remove", number=1, of=3)
    demo.act("remove", number=1, of=3)
    assert len(demo.query["parts"]) == 2


def test_two_uploads_of_one_name_are_two_parts(demo, upload, photo_bytes):
    upload(demo, photo_bytes(demo.session, 3) + b" ", "image.jpg")
    upload(demo, photo_bytes(demo.session, 30) + b" ", "image.jpg", how="add")
    assert [part["name"] for part in demo.query["parts"]] == ["image.jpg", "image.jpg"]
    upload(demo, photo_bytes(demo.session, 30) + b" ", "image.jpg", how="add")
    assert "already a part" in said(demo)


def test_a_row_that_does_not_exist_cannot_be_marked(demo):
    demo.act("mark", row=84, mark="good")
    assert demo.status["wrong"]
    assert not demo.controls["undo"]
    demo.act("mark", row=83, mark="good")
    assert demo.controls["good"] == 1


def test_words_are_not_warned_of(lab):
    far = np.eye(lab.backbone.width, dtype=np.float32)[:1]
    spoken = SearchSession(Lab(lab.photos, replace(lab.backbone, text=lambda _: far)))
    page = RetrievalDemo(spoken)
    page.act("words", text="a red boat")
    assert spoken.results.is_novel
    assert page.query["warning"] == ""
    assert {item["chance"] for item in page.results["items"]} == {None}


def test_the_page_opens_although_a_file_is_gone(lab, monkeypatch):
    photos, file = type(lab.embeddings.photos), type(lab.embeddings.photos).file
    first = RetrievalDemo(SearchSession(lab)).shelf["items"][0]["row"]
    monkeypatch.setattr(
        photos, "file", lambda self, row: Path("nowhere.jpg") if row == first else file(self, row)
    )
    page = RetrievalDemo(SearchSession(lab))
    assert page.session.results is not None
    assert not page.status["wrong"]


def test_other_cells_print_while_a_page_opens(lab, monkeypatch, capsys):
    ready, go_on = Event(), Event()

    def opens():
        print("hushed")
        ready.set()
        go_on.wait(60)
        return lab

    monkeypatch.setattr("caltech_lab.demo.page.open_lab", opens)
    page = open_page()
    assert ready.wait(60)
    print("heard")
    go_on.set()
    opened(page)
    out = capsys.readouterr().out
    assert "heard" in out
    assert "hushed" not in out


# Results first, and then what the models predict.


def started(lab):
    """Return a page without predictions."""
    page = RetrievalDemo()
    page.start(SearchSession(lab, predicts=False))
    return page


@pytest.fixture(name="early")
def page_without_models(lab):
    return started(lab)


@pytest.fixture(name="gate")
def gate_before_the_models(monkeypatch):
    """Let `load_models` wait until the gate is opened."""
    gate, load = Event(), Searcher.load_models

    def waits(self):
        assert gate.wait(60)
        return load(self)

    monkeypatch.setattr(Searcher, "load_models", waits)
    return gate


def without_predictions(items):
    return [item | {"chance": None, "predicted": ""} for item in items]


def test_the_first_results_need_no_scikit_learn(lab, tmp_path):
    code = (
        "import sys; from dataclasses import replace\n"
        "from caltech_lab.datasets import folder\n"
        "from caltech_lab.demo import RetrievalDemo, SearchSession\n"
        "from caltech_lab.embedding.backbones import backbone\n"
        "from caltech_lab.lab import Lab\n"
        "from pathlib import Path\n"
        "tiny = replace(backbone('pixels'), name='tiny', size=12, width=12 * 12 * 3)\n"
        f"lab = Lab(folder.scan(Path({str(lab.photos.root)!r})), tiny)\n"
        "demo = RetrievalDemo(SearchSession(lab, predicts=False))\n"
        "assert len(demo.results['items']) == 24\n"
        "heavy = {'sklearn', 'skops', 'scipy', 'torch', 'openvino', 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "[]"


def test_the_first_results_are_shown_without_predictions(early):
    assert early.opening == ""
    assert said(early).startswith("Results for ")
    assert said(early).endswith(f"). {LOADING}")
    assert early.status["loading"]
    assert "classify" not in said(early)
    assert len(early.results["items"]) == 24
    assert early.results["items"] == without_predictions(early.results["items"])
    assert early.query["classes"] == []
    assert early.query["warning"] == ""
    assert early.query["no_classifier"] == early.query["cluster"] == LOADING
    assert early.query["place"] == "In the gallery."
    assert list(early.dataset["spaces"]) == ["plain"]
    assert not early.dataset["clusters"]
    for trait in TRAITS:
        json.dumps(getattr(early, trait), allow_nan=False)


def test_no_decision_is_read_from_the_sentence(lab, monkeypatch):
    for module in ("page", "searcher"):
        monkeypatch.setattr(f"caltech_lab.demo.{module}.LOADING", "")
    page = started(lab)
    assert page.session.searcher.is_loading
    page.add_predictions()
    assert not page.session.searcher.is_loading
    assert "classify" in said(page)


def test_predictions_are_added_to_the_same_results(early, demo):
    before = early.results
    numbers = told(early, "query")
    early.add_predictions()
    # The page looks as one that had them from the beginning.
    assert early.dataset == demo.dataset
    assert early.query == demo.query
    assert early.results == demo.results
    assert early.controls == demo.controls
    assert said(early).startswith("Results for ")
    assert "classify" in said(early)
    assert LOADING not in said(early)
    assert not early.status["loading"]
    assert before["items"] == without_predictions(early.results["items"])
    assert {query["number"] for query in numbers} == {1}  # it is no other search


def test_what_a_person_does_meanwhile_is_neither_lost_nor_undone(lab, gate):
    page = started(lab)
    loading = Thread(target=page.add_predictions)
    loading.start()
    page._received(page, {"do": "search", "row": 40}, [])
    marked = rows_of(page)[3]
    page._received(page, {"do": "mark", "row": marked, "mark": "good"}, [])
    page._received(page, {"do": "filter", "hide_near_duplicates": True, "cluster": True}, [])
    page._received(page, {"do": "show", "k": 10}, [])
    page._received(page, {"do": "space", "name": "learned"}, [])
    assert "try again in some seconds" in said(page)
    page._received(page, {"do": "take", "kind": "csv", "marked": False}, [])
    assert said(page) == "results.csv is ready: 10 photos."
    assert page.results["items"] == without_predictions(page.results["items"])
    gate.set()
    loading.join(60)
    session = page.session
    assert said(page) == "results.csv is ready: 10 photos."  # and is not talked over
    assert session.results.query.row == 40
    assert session.marks == {marked: "good"}
    assert (page.controls["k"], page.controls["hide_near_duplicates"]) == (10, True)
    assert session.options.cluster == session.results.cluster is not None
    assert page.query["classes"]
    assert all(item["chance"] for item in page.results["items"])
    page.act("go", step=-1)
    assert page.query["classes"]
    assert not session.can_go_back


def test_a_click_waits_while_predictions_are_put_in(early, monkeypatch):
    inside, go_on, predict_by = Event(), Event(), early.session.predict_by

    def slowly(*loaded):
        early.session.searcher.models = loaded[0]
        inside.set()
        assert go_on.wait(60)
        predict_by(*loaded)

    monkeypatch.setattr(early.session, "predict_by", slowly)
    loading = Thread(target=early.add_predictions)
    loading.start()
    assert inside.wait(60)
    click = Thread(target=early.act, args=("search",), kwargs={"row": 40})
    click.start()
    click.join(0.2)
    assert early.session.results.query.row != 40  # no results by half of the models
    go_on.set()
    loading.join(60)
    click.join(60)
    assert early.session.results.query.row == 40
    assert early.query["classes"]
    assert all(item["chance"] for item in early.results["items"])


def test_an_explanation_stays_open_when_predictions_arrive(early):
    early.why = {"row": 3, "title": "Why?"}
    early.add_predictions()
    assert early.why == {"row": 3, "title": "Why?"}


def test_an_error_stays_when_predictions_arrive(early):
    early.act("path", path="no/such/photo.jpg")
    before = early.status
    early.add_predictions()
    assert early.query["classes"]
    assert early.status == before
    assert before["wrong"]


def test_without_labels_there_are_clusters_but_no_categories(lab, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for row in range(0, 84, 4):
        shutil.copy(lab.photos.file(row), flat / f"{row}.png")
    page = started(Lab(folder.scan(flat), lab.backbone))
    assert page.query["no_classifier"] == LOADING
    page.add_predictions()
    assert page.query["classes"] == []
    assert page.query["no_classifier"] not in ("", LOADING)
    assert page.query["cluster"].startswith("Cluster ")
    assert {item["chance"] for item in page.results["items"]} == {None}
    assert list(page.dataset["spaces"]) == ["plain"]
    assert page.dataset["clusters"]
    assert LOADING not in said(page)


def test_without_models_the_search_goes_on(early, monkeypatch, caplog):
    def fails(_):
        raise MemoryError

    monkeypatch.setattr(Searcher, "load_models", fails)
    early.add_predictions()
    assert early.status["wrong"]
    assert "MemoryError" in said(early)
    assert early.query["no_classifier"] == early.query["cluster"]
    assert "could not be loaded" in early.query["cluster"]
    early.act("search", row=40)
    assert said(early).startswith("Results for ")
    assert LOADING not in said(early)
    assert rows_of(early)
