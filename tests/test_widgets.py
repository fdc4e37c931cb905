"""The retrieval demo: what it answers, and what a person sees of it, without a browser."""

import io
import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import make_blobs

from caltech_lab import classification
from caltech_lab.backbones import backbone
from caltech_lab.datasets import drawn, folder
from caltech_lab.errors import ArgumentError, PhotoError
from caltech_lab.lab import Lab
from caltech_lab.settings import settings
from caltech_lab.widgets import Query, RetrievalDemo, SearchSession, session
from caltech_lab.widgets.thumbnails import thumbnail


@pytest.fixture(scope="module", name="lab")
def small_lab(_drawn_once, tmp_path_factory):
    """Six drawn photos a category seen as 12 x 12 pixels, with outputs of their own."""
    root = tmp_path_factory.mktemp("widgets")
    shutil.copytree(_drawn_once, root / "photos")
    (root / "photos" / drawn.MARKER).unlink(missing_ok=True)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CALTECH_LAB_OUTPUTS", str(root / "outputs"))
        settings.cache_clear()
        tiny = replace(backbone("pixels"), name="tiny", size=12, width=12 * 12 * 3)
        yield Lab(folder.scan(root / "photos"), tiny)
    settings.cache_clear()


@pytest.fixture(scope="module", name="search")
def search_session(lab):
    return SearchSession(lab)


@pytest.fixture(name="demo")
def retrieval_demo(search):
    return RetrievalDemo(search)


def photo_bytes(search, row):
    return search.gallery.photos.file(row).read_bytes()


def upload(demo, content, name="holiday.jpg", error=""):
    demo.upload.value = (
        {
            "name": name,
            "type": "image/jpeg",
            "size": len(content),
            "content": memoryview(content),
            "last_modified": datetime.now(UTC),
            "error": error,
        },
    )


def shown(html):
    return re.sub(r"<[^>]+>", " ", html.value).strip()


def is_alert(demo):
    return 'role="alert"' in demo.status.value


# ---- the session ---------------------------------------------------------------------------


def test_a_gallery_photo_is_answered_exactly_and_without_itself(search):
    X = search.gallery.X
    for row in (0, 17, len(X) - 1):
        answer = search.ask(search.from_gallery(row), search.max_k)
        cosine = X @ X[row]
        cosine[row] = -2
        np.testing.assert_allclose(
            answer.similarities, np.sort(cosine)[::-1][: search.max_k], atol=1e-5
        )
        np.testing.assert_allclose(cosine[answer.ids], answer.similarities, atol=1e-5)
        assert row not in answer.ids


def test_a_stranger_finds_its_double(search):
    data = photo_bytes(search, 23) + b" "  # the same picture in another file
    query = search.from_photo(data, "double.jpg")
    answer = search.ask(query, 3)
    assert query.row is None
    assert query.name == "double.jpg"
    assert answer.ids[0] == 23
    assert answer.similarities[0] == pytest.approx(1, abs=1e-5)
    assert list(answer.seconds) == ["read", "embed", "search", "classify", "cluster"]
    assert all(0 <= seconds < 60 for seconds in answer.seconds.values())


def test_a_gallery_photo_is_recognised_wherever_it_comes_from(search, tmp_path):
    copy = tmp_path / "other name.png"
    copy.write_bytes(photo_bytes(search, 40))
    for source in (photo_bytes(search, 40), copy, str(copy)):
        query = search.from_photo(source)
        assert query.row == 40
        assert 40 not in search.ask(query, search.max_k).ids


def test_a_photo_reaches_the_same_vector_as_in_the_gallery(search):
    query = search.from_photo(photo_bytes(search, 5) + b" ")
    np.testing.assert_allclose(query.vector, search.gallery.X[5], atol=1e-6)


def test_embedding_many_is_embedding_each(search):
    pixels = np.random.default_rng(0).integers(0, 256, (35, 12, 12, 3), dtype=np.uint8)
    together = search.embed(pixels)
    np.testing.assert_allclose(together, np.concatenate([search.embed(p[None]) for p in pixels]))
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("k", [-1, 0, 51])
def test_k_has_limits(search, k):
    assert search.max_k == 50
    with pytest.raises(ArgumentError, match=f"between 1 and 50, not {k}"):
        search.ask(search.from_gallery(0), k)


def test_k_may_not_pass_a_small_gallery(lab):
    counts = np.unique(lab.photos.labels, return_index=True)[1]
    rows = np.concatenate([counts[:2] + i for i in range(6)])
    tiny = SearchSession(Lab(lab.photos.subset(np.sort(rows), "tiny"), lab.backbone))
    assert tiny.max_k == 11
    assert len(tiny.ask(tiny.from_gallery(3), 11).ids) == 11
    assert len(RetrievalDemo(tiny).grid.children) == 10


@pytest.mark.parametrize("row", [-1, 84, 10_000])
def test_only_rows_of_the_gallery_can_be_asked_for(search, row):
    with pytest.raises(ArgumentError, match="0 to 83"):
        search.from_gallery(row)


def test_what_is_no_photo_is_refused(search, tmp_path):
    for source in (b"", b"Dear all", tmp_path, tmp_path / "nothing.jpg"):
        with pytest.raises(PhotoError):
            search.from_photo(source)


def test_probabilities_and_cluster(search):
    same = 0
    for row in search.trained_on.tolist():
        answer = search.ask(search.from_gallery(row), 1)
        assert answer.probabilities.sum() == pytest.approx(1)
        best = answer.best_categories()
        assert len(best) == 5
        assert (np.diff(answer.probabilities[best]) <= 0).all()
        assert answer.probabilities[best[0]] == answer.probabilities.max()
        assert answer.cluster == search.kmeans.labels_[row]
        assert row in search.cluster_members(answer.cluster)
        same += best[0] == search.classifier.predict(search.gallery.X[[row]])[0]
    assert same / len(search.trained_on) > 0.95  # a vote may go otherwise where no one beats all
    train, test = search.gallery.split(search.lab.seed)
    np.testing.assert_array_equal(search.trained_on, train)
    assert not set(test) & set(search.trained_on)


def test_calibration_happens_once(lab, search, monkeypatch):
    def again(*_):
        raise AssertionError("calibrated again")

    monkeypatch.setattr(session, "svm_temperature", again)
    assert SearchSession(lab).temperature == search.temperature > 0


def test_a_query_may_be_any_vector(search):
    vector = search.gallery.X[3] + search.gallery.X[70]
    answer = search.ask(Query(vector / np.linalg.norm(vector), "two at once", None, b""), 5)
    assert {3, 70} <= set(answer.ids)


# ---- probabilities of a support vector machine ---------------------------------------------


def blobs(n_categories, spread, seed=0):
    X, y = make_blobs(
        900, centers=np.eye(n_categories, 12) * 4, cluster_std=spread, random_state=seed
    )
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return X.astype(np.float32), y.astype(np.int64)


@pytest.mark.parametrize("n_categories", [2, 3, 6])
def test_probabilities_are_calibrated(n_categories):
    X, y = blobs(n_categories, 1.9)
    model = classification.svm(power=1.0).fit(X[:450], y[:450])
    temperature = classification.svm_temperature(model, X[:450], y[:450])
    P = classification.svm_probabilities(model, X[450:], temperature)
    assert P.shape == (450, n_categories)
    np.testing.assert_allclose(P.sum(axis=1), 1)
    predicted = model.classes_[P.argmax(axis=1)]
    assert (predicted == model.predict(X[450:])).mean() > 0.97
    accuracy = (predicted == y[450:]).mean()
    assert 0.5 < accuracy < 0.99  # else there is nothing to calibrate
    assert P.max(axis=1).mean() == pytest.approx(accuracy, abs=0.06)


def test_scores_are_the_margins_over_the_strongest_rival():
    X, y = blobs(4, 1.2)
    model = classification.svm(power=1.0).fit(X, y)
    P = classification.svm_probabilities(model, X[:20], 0.5)
    assert model[-1].decision_function_shape == "ovr"  # the model is left as it was
    pairs = (
        model[-1]
        .set_params(decision_function_shape="ovo")
        .decision_function(model[:-1].transform(X[:20]))
    )
    names = [(i, j) for i in range(4) for j in range(i + 1, 4)]
    for row, probabilities in zip(pairs, P, strict=True):
        beats = dict(zip(names, row, strict=True))
        beats |= {(j, i): -value for (i, j), value in beats.items()}
        margins = [min(beats[i, j] for j in range(4) if j != i) for i in range(4)]
        expected = np.exp(np.array(margins) / 0.5)
        np.testing.assert_allclose(probabilities, expected / expected.sum(), rtol=1e-6)


def test_calibration_needs_photos_for_its_folds():
    X, y = blobs(3, 1.0)
    model = classification.svm().fit(X, y)
    few = np.r_[np.flatnonzero(y == 0)[:2], np.flatnonzero(y == 1)]
    with pytest.raises(ArgumentError, match="3 training photos"):
        classification.svm_temperature(model, X[few], y[few])


# ---- thumbnails ----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(400, 100), (100, 400), (300, 300), (1, 900), (40, 30)])
def test_thumbnails_keep_proportions(size):
    photo = Image.new("RGB", size, "teal")
    with Image.open(io.BytesIO(thumbnail(photo, 160))) as small:
        assert small.format == "JPEG"
        assert max(small.size) == min(160, max(size))
        scale = max(small.size) / max(size)
        for side, original in zip(small.size, size, strict=True):
            assert side == pytest.approx(max(1, original * scale), abs=1)
    assert photo.size == size


def test_thumbnails_are_remembered(search, monkeypatch):
    first = search.thumbnail(11)

    def again(_):
        raise AssertionError("read again")

    monkeypatch.setattr(session, "read_photo", again)
    assert search.thumbnail(11) is first


# ---- the view ------------------------------------------------------------------------------


def test_it_opens_with_an_answer(demo):
    assert not is_alert(demo)
    assert "Answered" in shown(demo.status)
    assert len(demo.grid.children) == 10
    assert demo.answer.query.row == demo.shelf[0].row
    for rank, card in enumerate(demo.grid.children):
        assert card.row == demo.answer.ids[rank]
        path = demo.session.path(card.row)
        assert f'alt="{path}"' in card.picture.value
        assert "object-fit:contain" in card.picture.value
        text = shown(card.picture)
        assert text.startswith(f"{rank + 1}. {demo.session.category(card.row)}")
        assert path.rpartition("/")[2] in text
        assert f"cosine {demo.answer.similarities[rank]:.3f}" in text
        assert path in card.button.tooltip


def test_a_new_k_only_draws(demo, monkeypatch):
    answer = demo.answer

    def again(*_):
        raise AssertionError("asked again")

    monkeypatch.setattr(demo.session, "ask", again)
    for k, n in ((50, 50), (1, 1), (23, 23), (999, 50), (-5, 1)):
        demo.k.value = k
        assert len(demo.grid.children) == n
    assert demo.answer is answer
    assert not is_alert(demo)


def test_an_upload_is_answered(demo):
    upload(demo, photo_bytes(demo.session, 30) + b" ", "my photo.jpg")
    assert not is_alert(demo)
    assert demo.answer.query.row is None
    assert demo.grid.children[0].row == 30
    assert "my photo.jpg" in shown(demo.asked)
    assert "Not in the gallery" in shown(demo.asked)
    assert demo.upload.value == ()  # so that the same file can come again
    upload(demo, photo_bytes(demo.session, 31), "my photo.jpg")
    assert demo.answer.query.row == 31
    assert f"In the gallery as  {demo.session.category(31)}" in shown(demo.asked)


def test_what_is_wrong_is_one_sentence_and_the_demo_goes_on(demo):
    before = demo.answer
    for content in (b"", b"Dear all, this is no photo.", photo_bytes(demo.session, 3)[:400]):
        upload(demo, content, "holiday.jpg")
        assert is_alert(demo)
        assert shown(demo.status).startswith("The upload")
        assert shown(demo.status).count(".") == 1
        assert demo.answer is before
        assert demo.upload.value == ()
    upload(demo, b"", error="NotReadableError")
    assert "could not read holiday.jpg" in shown(demo.status)
    upload(demo, photo_bytes(demo.session, 3))
    assert not is_alert(demo)
    assert demo.answer.query.row == 3


def test_a_fault_that_nobody_foresaw_is_shown_and_logged(demo, monkeypatch, caplog):
    def broken(*_):
        raise ZeroDivisionError("secret detail")

    with monkeypatch.context() as patch:
        patch.setattr(demo.session, "ask", broken)
        demo.surprise.click()
        assert is_alert(demo)
        assert "ZeroDivisionError" in shown(demo.status)
        assert "secret detail" not in demo.status.value
        assert "secret detail" in caplog.text
    demo.surprise.click()
    assert not is_alert(demo)


def test_the_path_box(demo, tmp_path):
    file = tmp_path / "a photo.jpg"
    file.write_bytes(photo_bytes(demo.session, 12) + b" ")
    demo.path.value = f' "{file}" '
    assert not is_alert(demo)
    assert demo.grid.children[0].row == 12
    file.unlink()
    demo.search_path.click()
    assert is_alert(demo)
    assert "does not exist" in shown(demo.status)
    demo.path.value = ""
    assert "no path yet" in shown(demo.status)


def test_surprises_are_gallery_photos_and_differ(demo):
    rows = set()
    for _ in range(6):
        demo.surprise.click()
        rows.add(demo.answer.query.row)
    assert len(rows) > 2
    assert None not in rows


def test_the_shelf_shows_a_category_and_its_photos_can_be_asked_for(demo):
    category = demo.session.gallery.categories[-1]
    demo.shelf_category.value = category
    visible = [card for card in demo.shelf if card.layout.display != "none"]
    assert len(visible) == 6
    assert {demo.session.category(card.row) for card in visible} == {category}
    visible[2].button.click()
    assert demo.answer.query.row == visible[2].row
    demo.shelf_category.value = demo.shelf_category.options[0]
    assert all(card.layout.display != "none" for card in demo.shelf)
    before = [card.row for card in demo.shelf]
    demo.other_photos.click()
    assert [card.row for card in demo.shelf] != before


def test_an_answer_can_be_the_next_query(demo):
    row = demo.grid.children[4].row
    demo.grid.children[4].button.click()
    assert demo.answer.query.row == row


def test_the_summary_counts_the_right_answers(demo):
    demo.shelf[1].button.click()
    y, ids = demo.session.gallery.y, demo.answer.ids[:10]
    right = (y[ids] == y[demo.answer.query.row]).sum()
    assert f"of 83 photos, the query left out: {right} of 10" in shown(demo.summary)


def test_the_panel_tells_probabilities_cluster_and_what_was_trained_on(demo):
    train, test = demo.session.gallery.split(demo.session.lab.seed)
    for row, words in ((train[0], "trained on it"), (test[0], "never saw it")):
        demo._choose(int(row))
        text = shown(demo.asked)
        assert words in text
        assert len(re.findall(r"\d+\.\d %", text)) == 5
        assert f"Cluster {demo.answer.cluster + 1} of 20" in text


def test_names_cannot_smuggle_html_in(demo):
    upload(demo, photo_bytes(demo.session, 8) + b" ", "<img src=x onerror=alert(1)>.jpg")
    assert "<img src=x" not in demo.asked.value + demo.status.value
    upload(demo, b"no photo", "<script>")
    assert "<script" not in demo.status.value


def test_a_photo_that_vanished_takes_no_other_with_it(lab, tmp_path):
    shutil.copytree(lab.photos.root, tmp_path / "photos")
    photos = folder.scan(tmp_path / "photos")
    demo = RetrievalDemo(SearchSession(Lab(photos, lab.backbone)))
    query = demo.session.from_gallery(0)
    gone = demo.session.ask(query, 5).ids[2]
    photos.file(gone).unlink()
    demo.session.thumbnail.cache_clear()
    demo._choose(0)
    assert not is_alert(demo)
    texts = [shown(card.picture) for card in demo.grid.children]
    assert "can no longer be read" in texts[2]
    assert sum("can no longer" in text for text in texts) == 1
    demo._choose(int(gone))
    assert is_alert(demo)


def test_the_first_upload_says_that_the_backbone_is_being_loaded(lab):
    demo = RetrievalDemo(SearchSession(lab))
    said = []
    demo.status.observe(lambda change: said.append(change["new"]), "value")
    data = photo_bytes(demo.session, 2) + b" "
    assert not demo.session.is_compiled
    upload(demo, data)
    assert "Loading" in said[0]
    assert "Answered" in said[-1]
    said.clear()
    upload(demo, data + b" ")
    assert demo.session.is_compiled
    assert not any("Loading" in text for text in said)


def test_every_control_says_what_it_is(demo):
    assert demo.upload.description == "Upload a photo"
    for button in (demo.surprise, demo.search_path, demo.other_photos):
        assert button.description
    assert "k, photos" in demo.k.description
    assert demo.path.tooltip
    texts = "".join(str(getattr(w, "value", "")) for w in demo.children)
    assert "10 MB" in texts
