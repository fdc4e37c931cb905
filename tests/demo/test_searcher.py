"""From a photo to its results, step by step: encoder, searcher and explainer."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caltech_lab.classification.svm import CalibratedSVM
from caltech_lab.demo import Part, Query, SearchOptions, SearchSession, explainer, models
from caltech_lab.demo.encoder import Encoder
from caltech_lab.demo.explainer import Explainer
from caltech_lab.demo.searcher import Searcher
from caltech_lab.errors import ArgumentError, PhotoError
from caltech_lab.lab import Lab
from caltech_lab.retrieval.feedback import NEAR_DUPLICATE, rocchio
from caltech_lab.settings import settings


@pytest.fixture(scope="module", name="encoder")
def encoder_of_this_module(lab):
    return Encoder(lab)


@pytest.fixture(scope="module", name="search")
def searcher_of_this_module(lab):
    return Searcher(lab)


@pytest.fixture(scope="module", name="X")
def vectors(lab):
    return lab.embeddings.X


# ---- queries ---------------------------------------------------------------------------------


def test_a_gallery_photo_is_answered_exactly_and_without_itself(encoder, search, X):
    for row in (0, 17, len(X) - 1):
        results = search.ask(encoder.gallery_photo(row), search.max_k)
        cosine = X @ X[row]
        cosine[row] = -2
        np.testing.assert_allclose(
            results.similarities, np.sort(cosine)[::-1][: search.max_k], atol=1e-5
        )
        np.testing.assert_allclose(cosine[results.ids], results.similarities, atol=1e-5)
        assert row not in results.ids


def test_an_unknown_photo_finds_its_double(lab, encoder, search, photo_bytes):
    data = photo_bytes(SearchSession(lab), 23) + b" "  # the same picture in another file
    query = encoder.photo(data, "double.jpg")
    results = search.ask(query, 3)
    assert query.row is None
    assert query.name == "double.jpg"
    assert results.ids[0] == 23
    assert results.similarities[0] == pytest.approx(1, abs=1e-5)
    assert list(results.seconds) == ["read", "embed", "search", "classify", "cluster"]
    assert all(0 <= seconds < 60 for seconds in results.seconds.values())


def test_a_gallery_photo_is_recognized_wherever_it_comes_from(lab, encoder, search, tmp_path):
    data = lab.embeddings.photos.file(40).read_bytes()
    copy = tmp_path / "other name.png"
    copy.write_bytes(data)
    for source in (data, copy, str(copy)):
        query = encoder.photo(source)
        assert query.row == 40
        assert 40 not in search.ask(query, search.max_k).ids


def test_an_upload_is_shown_where_the_gallery_has_lost_its_file(lab, encoder, monkeypatch):
    data = lab.embeddings.photos.file(40).read_bytes()
    monkeypatch.setattr(type(lab.embeddings.photos), "file", lambda *_: Path("nowhere.jpg"))
    query = encoder.photo(data)
    assert query.row == 40
    assert query.picture
    with pytest.raises(PhotoError, match="does not exist"):
        encoder.gallery_photo(40)


def test_a_photo_gets_the_same_vector_as_in_the_gallery(lab, encoder, X):
    query = encoder.photo(lab.embeddings.photos.file(5).read_bytes() + b" ")
    np.testing.assert_allclose(query.vector, X[5], atol=1e-6)


@pytest.mark.parametrize("row", [-1, 84, 10_000])
def test_only_rows_of_the_gallery_can_be_queries(encoder, row):
    with pytest.raises(ArgumentError, match="0 to 83"):
        encoder.gallery_photo(row)


def test_what_is_no_photo_is_refused(encoder, tmp_path):
    for source in (b"", b"Dear all", tmp_path, tmp_path / "nothing.jpg"):
        with pytest.raises(PhotoError):
            encoder.photo(source)


def test_a_part_of_a_photo_can_be_the_query(encoder, search):
    whole = encoder.gallery_photo(7)
    part = encoder.part(whole, (0.25, 0.0, 0.75, 0.5))
    width, height = whole.photo.size
    box = (round(0.25 * width), 0, round(0.75 * width), round(0.5 * height))
    buffer = io.BytesIO()
    whole.photo.crop(box).save(buffer, "PNG")
    np.testing.assert_allclose(part.vector, encoder.photo(buffer.getvalue()).vector, atol=1e-5)
    assert 7 not in search.ask(part, search.max_k).ids
    assert part.whole is whole
    assert part.box == (0.25, 0.0, 0.75, 0.5)
    again = encoder.part(part, (0, 0, 1, 1))  # a part of a part is a part of the whole
    np.testing.assert_allclose(again.vector, whole.vector, atol=1e-5)


@pytest.mark.parametrize(
    "box", [(0.5, 0.5, 0.5, 0.5), (0.9, 0, 0.1, 1), (0, 0, 0.01, 1), (2, 2, 3, 3)]
)
def test_a_part_must_have_pixels(encoder, X, box):
    with pytest.raises(ArgumentError, match="larger"):
        encoder.part(encoder.gallery_photo(7), box)
    with pytest.raises(ArgumentError, match="no photo"):
        encoder.part(Query(X[0], "a vector", None, b""), (0, 0, 1, 1))


def test_several_photos_are_one_query_and_none_of_its_results(encoder, search, X):
    parts = [Part(encoder.gallery_photo(3)), Part(encoder.gallery_photo(70))]
    mixture = encoder.mixture(parts)
    mean = X[3] + X[70]
    np.testing.assert_allclose(mixture.vector, mean / np.linalg.norm(mean), atol=1e-6)
    assert mixture.name == f"{parts[0].query.name} + {parts[1].query.name}"
    assert mixture.rows == [3, 70]
    assert not {3, 70} & set(search.ask(mixture, search.max_k).ids)
    without = encoder.mixture([*parts, Part(encoder.gallery_photo(71), -1)])
    assert float(without.vector @ X[71]) == pytest.approx(0, abs=1e-6)
    assert "− " in without.name
    assert without.first is parts[0].query
    assert 71 not in search.ask(without, search.max_k).ids


def test_words_need_a_text_tower(lab, encoder, X):
    with pytest.raises(ArgumentError, match="no vectors for words"):
        encoder.words("a boat")
    asked = []

    def tower(texts):
        asked.extend(texts)
        return X[[5]]

    spoken = Encoder(Lab(lab.photos, replace(lab.backbone, text=tower)))
    query = spoken.words("  a red boat ")
    assert asked == ["a red boat"]
    assert query.name == '"a red boat"'
    np.testing.assert_array_equal(query.vector, X[5])
    with pytest.raises(ArgumentError, match="text is empty"):
        spoken.words("  ")


def test_a_query_may_be_any_vector(search, X):
    vector = X[3] + X[70]
    results = search.ask(Query(vector / np.linalg.norm(vector), "two at once", None, b""), 5)
    assert {3, 70} <= set(results.ids)


# ---- results ---------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [-1, 0, 51])
def test_k_has_limits(encoder, search, k):
    assert search.max_k == 50
    with pytest.raises(ArgumentError, match=f"between 1 and 50, not {k}"):
        search.ask(encoder.gallery_photo(0), k)


def test_k_may_not_exceed_a_small_gallery(lab):
    counts = np.unique(lab.photos.labels, return_index=True)[1]
    rows = np.concatenate([counts[:2] + i for i in range(6)])
    tiny = SearchSession(Lab(lab.photos.subset(np.sort(rows), "tiny"), lab.backbone))
    assert tiny.searcher.max_k == tiny.k == 11
    assert len(tiny.searcher.ask(tiny.encoder.gallery_photo(3), 11).ids) == 11


def test_probabilities_and_cluster(lab, encoder, search, X):
    same = 0
    for row in search.models.trained_on.tolist():
        results = search.ask(encoder.gallery_photo(row), 1)
        assert results.probabilities.sum() == pytest.approx(1)
        best = results.best_categories()
        assert len(best) == 5
        assert (np.diff(results.probabilities[best]) <= 0).all()
        assert results.probabilities[best[0]] == results.probabilities.max()
        assert results.cluster == search.models.kmeans.labels_[row]
        assert row in search.models.cluster_members(results.cluster)
        same += best[0] == search.models.classifier.predict(X[[row]])[0]
    assert (
        same / len(search.models.trained_on) > 0.95
    )  # a vote may go otherwise where no one beats all
    train, test = lab.split()
    np.testing.assert_array_equal(search.models.trained_on, train)
    assert not set(test) & set(search.models.trained_on)


def test_the_predictions_of_the_gallery_are_those_of_the_classifier(search, X):
    np.testing.assert_array_equal(search.models.predicted, search.models.classifier.predict(X))


def test_calibration_happens_once(lab, search, monkeypatch):
    def again(*_):
        raise AssertionError("calibrated again")

    monkeypatch.setattr(CalibratedSVM, "fit", again)
    monkeypatch.setattr(models, "leave_one_out", again)
    monkeypatch.setattr(models, "predictions", again)
    said = []
    with pytest.raises(AssertionError, match="again"):  # another function is another entry
        Searcher(lab, said.append)
    assert len(said) == 1
    monkeypatch.undo()
    assert Searcher(lab).models.classifier.temperature_ == search.models.classifier.temperature_ > 0


def test_without_marks_the_ranking_is_the_results(encoder, search):
    results = search.ask(encoder.gallery_photo(9), 20)
    ranking = search.rank(results, SearchOptions(), 20)
    np.testing.assert_array_equal(ranking.ids, results.ids)
    np.testing.assert_array_equal(ranking.similarities, results.similarities)
    np.testing.assert_array_equal(ranking.same_category, results.same_category)
    assert ((ranking.same_category > 0) & (ranking.same_category < 1)).all()


def test_an_answer_is_ranked_once(lab, encoder, search, monkeypatch):
    results = search.ask(encoder.gallery_photo(9), 20)
    falling = np.lexsort((np.arange(len(lab.embeddings)), -results.cosines))
    np.testing.assert_array_equal(results.order, falling)
    monkeypatch.setattr(np, "argsort", lambda *_, **__: pytest.fail("ranked again"))
    for options in (SearchOptions(), SearchOptions(categories=frozenset({2}))):
        assert len(search.rank(results, options, 5).ids) == 5


def test_probabilities_depend_on_the_rank_without_marks(encoder, search):
    results = search.ask(encoder.gallery_photo(9), 50)
    last = int(results.ids[-1])
    ranking = search.rank(results, SearchOptions(good=(last,)), 50)
    places = [results.ids.tolist().index(row) for row in ranking.ids if row in results.ids]
    kept = np.isin(ranking.ids, results.ids)
    assert ranking.ids.tolist().index(last) < 10  # where the curve is that of the first ten
    np.testing.assert_array_equal(ranking.same_category[kept], results.same_category[places])


def test_marks_move_the_ranking(encoder, search, X):
    results = search.ask(encoder.gallery_photo(9), 20)
    good, bad = (int(results.ids[12]),), (int(results.ids[0]), int(results.ids[3]))
    ranking = search.rank(results, SearchOptions(good=good, bad=bad), 50)
    assert not set(bad) & set(ranking.ids)
    assert 9 not in ranking.ids
    assert ranking.ids.tolist().index(good[0]) < 5
    moved = rocchio(X[9], X[list(good)], X[list(bad)])
    assert (np.diff(X[ranking.ids] @ moved) <= 1e-6).all()
    np.testing.assert_allclose(ranking.similarities, X[ranking.ids] @ X[9], atol=1e-5)


def test_filters(lab, encoder, search, X):
    results = search.ask(encoder.gallery_photo(9), 20)
    y, labels = lab.embeddings.y, frozenset({2, 5})
    only = search.rank(results, SearchOptions(categories=labels), 50)
    assert set(y[only.ids]) == labels
    assert len(only.ids) == 12
    own = search.rank(results, SearchOptions(cluster=results.cluster), 50)
    assert set(own.ids) | {9} == set(search.models.cluster_members(results.cluster)) | {9}
    bad = tuple(only.ids)
    assert len(search.rank(results, SearchOptions(categories=labels, bad=bad), 5).ids) == 0
    kept = search.rank(results, SearchOptions(hide_near_duplicates=True), 30).ids
    cosine = X[[9, *kept]] @ X[[9, *kept]].T
    np.fill_diagonal(cosine, 0)
    assert cosine.max() < NEAR_DUPLICATE


def test_only_some_rows_of_a_ranking(encoder, search):
    ranking = search.rank(search.ask(encoder.gallery_photo(9), 20), SearchOptions(), 20)
    some = ranking.only(ranking.ids[[5, 2]])
    np.testing.assert_array_equal(some.ids, ranking.ids[[2, 5]])
    np.testing.assert_array_equal(some.similarities, ranking.similarities[[2, 5]])
    np.testing.assert_array_equal(some.same_category, ranking.same_category[[2, 5]])


def test_noise_is_unlike_anything_and_the_gallery_is_not(encoder, search, X):
    noise = -np.ones(len(X[0]), dtype=np.float32)
    results = search.ask(Query(noise / np.linalg.norm(noise), "noise", None, b""), 5)
    assert results.is_novel
    assert results.familiarity < search.models.threshold
    novel = [search.ask(encoder.gallery_photo(int(i))).is_novel for i in search.models.trained_on]
    assert np.mean(novel) < 0.1


@pytest.mark.parametrize("gallery", ["hnsw", "ivf-pq"])
def test_another_gallery_answers_filters_and_takes_marks(
    lab, encoder, search, gallery, monkeypatch
):
    monkeypatch.setenv("CALTECH_LAB_GALLERY", gallery)
    settings.cache_clear()
    try:
        other = Searcher(lab)
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    query = encoder.gallery_photo(8)
    here, there = search.ask(query, 10), other.ask(query, 10)
    assert 8 not in there.ids
    assert np.isin(there.ids, here.ids).mean() >= (1 if gallery == "hnsw" else 0.2)
    marked = SearchOptions(
        good=(int(there.ids[0]),), bad=(int(there.ids[1]),), categories=frozenset({1, 3})
    )
    for options in (SearchOptions(categories=frozenset({3})), marked):
        ranked = other.rank(there, options, 5)
        assert len(ranked.ids) == 5
        assert set(lab.embeddings.y[ranked.ids]) <= options.categories
        if gallery == "hnsw":  # a narrow filter is searched exhaustively
            np.testing.assert_array_equal(ranked.ids, search.rank(here, options, 5).ids)


# ---- explanations ----------------------------------------------------------------------------


class Maps:
    """A network whose feature map is the photo itself on a grid of 3 x 3."""

    def embed_one(self, pixels):
        return pixels.reshape(3, 4, 3, 4, 3).mean(axis=(1, 3)).astype(np.float32)


def test_classical_descriptors_have_no_maps(lab, encoder):
    plain = Explainer(lab)
    assert not plain.has_maps
    with pytest.raises(ArgumentError, match="no feature map"):
        plain.match(encoder.gallery_photo(0), 1)


def test_a_match_is_explained_region_by_region(lab, encoder, X, monkeypatch):
    monkeypatch.setattr(explainer, "compile_backbone", lambda *_: Maps())
    mapped = Explainer(Lab(lab.photos, replace(lab.backbone, grid=3)))
    query = encoder.gallery_photo(4)
    match = mapped.match(query, 30)
    assert match.query.shape == match.result.shape == (3, 3)
    assert match.query.sum() == pytest.approx(match.result.sum())
    assert match.query_frame == (0, 0, 1, 1)
    assert match.cosine == pytest.approx(float(X[4] @ X[30]), abs=1e-6)
    assert match.region is None
    clicked = mapped.match(query, 30, (0.9, 0.1))
    assert clicked.region == (0, 2)
    assert clicked.query[0, 2] == pytest.approx(1)
    assert clicked.query.max() == pytest.approx(1)
    mixture = encoder.mixture([Part(query), Part(encoder.gallery_photo(50))])
    np.testing.assert_array_equal(mapped.match(mixture, 30).query, match.query)
    with pytest.raises(ArgumentError, match="no photo to be compared"):
        mapped.match(Query(X[0], "a vector", None, b""), 3)


def test_pictures_of_queries_are_small(encoder):
    query = encoder.gallery_photo(2)
    with Image.open(io.BytesIO(query.picture)) as picture:
        assert max(picture.size) <= 420
