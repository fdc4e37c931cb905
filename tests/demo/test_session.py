"""One person's search: history, marks, filters, and several photos at once."""

import numpy as np
import pytest

from caltech_lab.demo import SearchSession
from caltech_lab.errors import ArgumentError


def rows(session):
    return session.ranking.ids.tolist()


@pytest.fixture(name="asked")
def session_with_a_query(session):
    session.search(session.encoder.gallery_photo(9))
    return session


def test_before_the_first_query_there_is_nothing_to_act_on(session):
    assert session.results is session.ranking is None
    assert session.marks == {}
    assert not any([session.can_undo, session.can_go_back, session.can_go_forward])
    for act in (
        lambda: session.mark(3, "good"),
        lambda: session.explain(3),
        lambda: session.remove(0),
        lambda: session.go(-1),
        lambda: session.add(session.encoder.gallery_photo(3), -1),
    ):
        with pytest.raises(ArgumentError):
            act()
    session.undo()
    session.clear_marks()
    session.add(session.encoder.gallery_photo(3))  # the first one is the query itself
    assert session.results.query.row == 3


def test_the_history_goes_back_and_forward_with_its_marks(asked):
    asked.mark(rows(asked)[0], "bad")
    first = rows(asked)
    asked.search(asked.encoder.gallery_photo(30))
    assert asked.marks == {}
    second = rows(asked)
    asked.go(-1)
    assert rows(asked) == first
    assert list(asked.marks.values()) == ["bad"]
    asked.go(1)
    assert rows(asked) == second
    with pytest.raises(ArgumentError, match="no further query"):
        asked.go(1)
    asked.go(-1)
    asked.search(asked.encoder.gallery_photo(50))
    assert asked.can_go_back
    assert not asked.can_go_forward  # a new search drops the later ones
    asked.go(-1)
    assert rows(asked) == first


def test_the_history_keeps_the_last_queries(asked, monkeypatch):
    monkeypatch.setattr("caltech_lab.demo.session.HISTORY", 3)
    for row in (30, 40, 50, 60):
        asked.search(asked.encoder.gallery_photo(row))
    asked.go(-1)
    asked.go(-1)
    assert not asked.can_go_back
    assert asked.results.query.row == 40


def test_marks_are_undone_step_by_step(asked):
    plain = rows(asked)
    asked.mark(plain[0], "bad")
    asked.mark(plain[1], "good")
    asked.mark(plain[1], "bad")  # another mark replaces it
    assert asked.marks == {plain[0]: "bad", plain[1]: "bad"}
    asked.mark(plain[1], "bad")  # the same mark again removes it
    assert asked.marks == {plain[0]: "bad"}
    asked.clear_marks()
    assert rows(asked) == plain
    for marks in (
        {plain[0]: "bad"},
        {plain[0]: "bad", plain[1]: "bad"},
        {plain[0]: "bad", plain[1]: "good"},
        {plain[0]: "bad"},
        {},
    ):
        asked.undo()
        assert asked.marks == marks
    assert rows(asked) == plain
    assert not asked.can_undo
    with pytest.raises(ArgumentError, match="no mark 'awful'"):
        asked.mark(3, "awful")


def test_filters_stay_for_later_queries(asked):
    labels = asked.labels(asked.gallery.categories[:2])
    asked.filter(categories=labels)
    assert set(asked.gallery.y[rows(asked)]) == labels
    asked.search(asked.encoder.gallery_photo(60))
    assert set(asked.gallery.y[rows(asked)]) == labels
    asked.filter(categories=frozenset(), cluster=True)
    members = asked.searcher.models.cluster_members(asked.results.cluster)
    assert set(rows(asked)) <= set(members)
    asked.search(asked.encoder.gallery_photo(9))  # the cluster is that of the new query
    assert set(rows(asked)) <= set(asked.searcher.models.cluster_members(asked.results.cluster))
    asked.filter(cluster=False, hide_near_duplicates=True)
    assert asked.options.hide_near_duplicates
    assert asked.options.cluster is None


def test_more_or_fewer_results(asked):
    asked.show(50)
    fifty = rows(asked)
    asked.show(7)
    assert rows(asked) == fifty[:7]
    for k in (0, 51):
        with pytest.raises(ArgumentError, match=f"not {k}"):
            asked.show(k)
    assert asked.k == 7


def test_photos_are_added_subtracted_and_removed(asked):
    plain, encoder = rows(asked), asked.encoder
    asked.add(encoder.gallery_photo(30))
    asked.add(encoder.gallery_photo(50), -1)
    assert [part.sign for part in asked.results.query.parts] == [1, 1, -1]
    assert not {9, 30, 50} & set(rows(asked))
    with pytest.raises(ArgumentError, match="already a part"):
        asked.add(encoder.gallery_photo(30))
    asked.remove(2)
    asked.remove(1)
    assert asked.results.query.parts == ()
    assert asked.results.query.row == 9
    assert rows(asked) == plain
    asked.add(encoder.gallery_photo(50), -1)
    before = rows(asked)
    with pytest.raises(ArgumentError, match="Nothing is left to search for"):
        asked.remove(0)
    with pytest.raises(ArgumentError, match="there is no 7"):
        asked.remove(7)
    assert rows(asked) == before


def test_a_failed_step_changes_nothing(asked, monkeypatch):
    asked.search(asked.encoder.gallery_photo(30))
    before, results = rows(asked), asked.results

    def fails(*_):
        raise ArgumentError("Not today.")

    monkeypatch.setattr(asked.searcher, "ask", fails)
    for act in (
        lambda: asked.search(asked.encoder.gallery_photo(3)),
        lambda: asked.go(-1),
        lambda: asked.add(asked.encoder.gallery_photo(3)),
    ):
        with pytest.raises(ArgumentError, match="Not today"):
            act()
    assert (rows(asked), asked.results) == (before, results)
    assert asked.can_go_back
    assert not asked.can_go_forward


def test_thumbnails_are_remembered(asked, monkeypatch):
    first = asked.thumbnail(11)
    monkeypatch.setattr("caltech_lab.demo.session.small_jpeg", lambda _: pytest.fail("again"))
    assert asked.thumbnail(11) is first


def test_rows_are_found_by_path(asked):
    assert asked.row(asked.path(40)) == 40
    with pytest.raises(ArgumentError, match=r"no photo nowhere\.jpg"):
        asked.row("nowhere.jpg")


def test_it_says_what_it_is_doing(lab):
    said = []
    SearchSession(lab, say=said.append)
    assert len(said) >= 3
    assert all(sentence.endswith(" ...") for sentence in said)
    assert np.unique(said).size == len(said)
