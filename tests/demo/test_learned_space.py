"""The demo can search by learned vectors; what must not follow the labels stays with plain ones."""

from dataclasses import replace

import numpy as np
import pytest

from caltech_lab.demo import (
    Encoder,
    Part,
    RetrievalDemo,
    Searcher,
    SearchOptions,
    SearchSession,
)
from caltech_lab.demo.spaces import LEARNED, PLAIN
from caltech_lab.embedding import views
from caltech_lab.embedding.backbones import backbone
from caltech_lab.embedding.extraction import embed_few
from caltech_lab.embedding.images import read_photo
from caltech_lab.embedding.views import FusedViews, View
from caltech_lab.errors import ArgumentError
from caltech_lab.studies.vectors import fused
from caltech_lab.studies.vectors.fused import fused_embeddings, projected

SMALL = [[View(size=64), View(size=64, mirrored=True)], [View(size=64, fit="crop")]]


@pytest.fixture(scope="module", name="lab")
def lab_with_small_views(small_lab):
    """Give the small lab views of 64 x 64 pixels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(views, "chosen_views", lambda: SMALL)
        patch.setattr(fused, "chosen_views", lambda: SMALL)
        yield small_lab


@pytest.fixture(scope="module", name="search")
def search_session(lab):
    searcher = Searcher(lab)
    searcher.use(LEARNED)
    return searcher


@pytest.fixture(scope="module", name="encoder")
def encoder_of_this_module(lab):
    return Encoder(lab)


def test_any_photo_gets_the_row_that_the_lab_has_for_it(lab):
    whole = fused_embeddings(lab)
    photos = [read_photo(whole.photos.file(row)) for row in (0, 40)]
    again = FusedViews().embed(photos)
    assert again.shape == (2, 2 * 2048)
    np.testing.assert_array_less(0.999, (again * whole.X[[0, 40]]).sum(axis=1))


def test_a_row_that_is_known_takes_no_pass(lab, monkeypatch):
    photo = read_photo(lab.embeddings.photos.file(3))
    whole = FusedViews().embed([photo])
    view = SMALL[0][0]
    (row,) = embed_few([photo], replace(backbone(view.backbone), size=view.size, fit=view.fit))
    passed = []
    original = FusedViews._seen
    monkeypatch.setattr(
        FusedViews, "_seen", lambda self, p, v: passed.append(v) or original(self, p, v)
    )
    again = FusedViews().embed([photo], {view: row[None]})
    np.testing.assert_allclose(again, whole, atol=1e-5)
    assert passed == [v for group in SMALL for v in group if v != view]


def test_an_upload_is_searched_where_the_gallery_is(encoder, search, lab):
    model, vectors = projected(lab, "posterior")
    data = search.gallery.photos.file(8).read_bytes() + b" "
    results = search.ask(encoder.photo(data, "again"), 5)
    assert results.query.row is None
    assert results.query.learned.shape == (len(search.gallery.categories),)
    assert results.ids[0] == 8  # the same picture
    assert results.similarities[0] > 0.99
    np.testing.assert_allclose(results.cosines, vectors.X @ results.query.learned, atol=1e-6)
    assert len(model.steps) == 2


def test_what_is_not_about_similarity_keeps_to_plain_vectors(encoder, search):
    row = 8
    learned = search.ask(encoder.gallery_photo(row), 5)
    search.use(PLAIN)
    plain = search.ask(encoder.gallery_photo(row), 5)
    search.use(LEARNED)
    assert learned.familiarity == pytest.approx(plain.familiarity)
    assert learned.cluster == plain.cluster
    np.testing.assert_allclose(learned.probabilities, plain.probabilities)
    assert not np.allclose(learned.similarities, plain.similarities)
    assert row not in learned.ids


def test_a_part_is_embedded_by_itself(encoder, search):
    whole = encoder.gallery_photo(8)
    part = search.in_space(encoder.part(whole, (0.0, 0.0, 0.5, 1.0)))
    assert not np.allclose(part.learned, search.in_space(whole).learned, atol=1e-3)


def test_marks_and_filters_work_in_the_learned_space(encoder, search):
    results = search.ask(encoder.gallery_photo(8), 5)
    bad, label = int(results.ids[0]), int(search.gallery.y[50])
    ranking = search.rank(results, SearchOptions(bad=(bad,), categories=frozenset({label})), 5)
    assert bad not in ranking.ids
    assert set(search.gallery.y[ranking.ids]) == {label}


def test_probabilities_come_from_projections_that_had_not_seen_the_query(encoder, search):
    y, rows = search.gallery.y, np.arange(0, len(search.gallery), 3)
    several = [search.ask(encoder.gallery_photo(int(row)), 5) for row in rows]
    said = np.mean([results.same_category for results in several])
    trained = [row in search.models.trained_on for row in rows]
    right = np.array([(y[a.ids] == y[a.query.row]).mean() for a in several])
    # Photos that the projection was fitted on find their own nearly always; the probabilities
    # do not take that for granted.
    assert right[trained].mean() > said


def test_the_demo_changes_the_space_and_answers_again(lab):
    demo = RetrievalDemo(SearchSession(lab))
    session, before = demo.session, demo.session.results
    demo.act("space", name=LEARNED)
    assert demo.controls["space"] == session.searcher.space.name == LEARNED
    assert session.results.query.name == before.query.name
    assert session.results.query.learned is not None
    assert "Results for" in demo.status["text"]
    demo.act("space", name=PLAIN)
    np.testing.assert_array_equal(session.results.ids, before.ids)


def test_several_photos_are_searched_in_the_learned_space(encoder, search):
    parts = [encoder.gallery_photo(8), encoder.gallery_photo(50)]
    mixture = search.in_space(encoder.mixture([Part(parts[0]), Part(parts[1], -1)]))
    assert mixture.learned.shape == (len(search.gallery.categories),)
    assert mixture.learned @ search.space.X[50] == pytest.approx(0, abs=1e-6)
    assert not {8, 50} & set(search.ask(mixture, 20).ids)


def test_other_vectors_are_refused(encoder, search):
    with pytest.raises(ArgumentError, match="choose 'plain' or 'learned'"):
        search.use("borrowed")
