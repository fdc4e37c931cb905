"""The demo on few photos, on photos without labels, and on categories that are too small."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caltech_lab.datasets.folder import scan
from caltech_lab.demo import RetrievalDemo, SearchSession
from caltech_lab.demo.spaces import LEARNED
from caltech_lab.embedding.backbones import backbone
from caltech_lab.errors import ArgumentError
from caltech_lab.lab import Lab

Open = Callable[..., Lab]


@pytest.fixture
def opened(tmp_path: Path, environment: pytest.MonkeyPatch) -> Open:
    """Give a way to open a lab on a folder with so many photos per category."""

    def opened(copies: bool = False, **sizes: int) -> Lab:
        root, number = tmp_path / "photos", 0
        for category, size in sizes.items():
            (root / category.removeprefix("flat")).mkdir(parents=True, exist_ok=True)
            for _ in range(size):
                seed = 0 if copies else number
                pixels = np.random.default_rng(seed).integers(0, 255, (12, 16, 3), dtype=np.uint8)
                place = root / category.removeprefix("flat") / f"p{number:02d}.png"
                Image.fromarray(pixels).save(place)
                number += 1
        tiny = replace(backbone("pixels"), name="tiny", size=12, width=12 * 12 * 3)
        return Lab(scan(root), tiny)

    return opened


def text(demo: RetrievalDemo) -> str:
    query = [str(value) for value in demo.query.values()]
    return " ".join([*query, demo.results["summary"], demo.status["text"]])


def test_photos_without_labels_have_search_and_clusters_and_no_classifier(
    opened: Open, upload: Callable[..., None]
) -> None:
    demo = RetrievalDemo(SearchSession(opened(flat=12)))
    assert not demo.status["wrong"]
    assert len(demo.results["items"]) == 11
    assert re.search(r"need categories, and these photos have none", text(demo))
    assert re.search(r"Cluster \d+ of 11, with \d+ photos?\.", text(demo))
    assert {item["chance"] for item in demo.results["items"]} == {None}
    assert {item["name"] for item in demo.results["items"]} <= {f"p{i:02d}.png" for i in range(12)}
    assert demo.session.results is not None
    assert demo.session.results.best_categories().tolist() == []
    assert demo.query["classes"] == []
    for mark in ("good", "bad"):
        demo.act("mark", row=demo.results["items"][0]["row"], mark=mark)
        assert not demo.status["wrong"]
    demo.act("filter", cluster=True, hide_near_duplicates=True)
    demo.act("surprise")
    upload(demo, demo.session.gallery.photos.file(0).read_bytes() + b" ")
    demo.act("map")
    demo.act("filter", cluster=False, hide_near_duplicates=False)
    demo.act("take", kind="csv", marked=False)
    assert not demo.status["wrong"]
    with pytest.raises(ArgumentError, match=r"^No vectors can be learned: .*\.$"):
        demo.session.use(LEARNED)


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ({"cat": 7, "misc": 1}, "A classifier needs at least two"),
        ({"cat": 2, "dog": 2}, "A classifier needs at least two"),
        ({"flat": 1}, "This is the only photo in the gallery."),
        ({"flat": 1}, "There are no clusters"),
        ({"flat": 2}, "The most similar photo, of 1 without the query."),
        ({"flat": 3}, "Cluster"),
    ],
)  # fmt: skip
def test_a_small_gallery_opens_and_says_what_is_missing(
    opened: Open, upload: Callable[..., None], sizes: dict[str, int], told: str
) -> None:
    demo = RetrievalDemo(SearchSession(opened(**sizes)))
    assert not demo.status["wrong"]
    assert told in text(demo)
    assert demo.session.searcher.models.threshold <= 1
    new = demo.session.gallery.photos.file(0).read_bytes() + b" "
    upload(demo, new)
    assert not demo.status["wrong"]
    assert demo.session.results is not None
    assert len(demo.session.results.ids) == max(1, min(10, sum(sizes.values()) - 1))


def test_copies_of_one_photo_have_no_clusters(opened: Open) -> None:
    demo = RetrievalDemo(SearchSession(opened(copies=True, flat=6)))
    assert not demo.status["wrong"]
    assert "There are no clusters" in text(demo)
    assert not demo.dataset["clusters"]


def test_a_lonely_category_is_found_but_never_predicted(
    opened: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    session = SearchSession(opened(cat=6, dog=6, misc=1))
    assert capsys.readouterr().out.count("`misc` has 1 photo and is left out") == 1
    encoder, searcher = session.encoder, session.searcher
    assert searcher.models.classifier is not None
    results = searcher.ask(encoder.gallery_photo(12))
    assert session.category(12) == "misc"
    assert results.probabilities is not None
    assert results.probabilities[2] == 0
    assert results.probabilities.sum() == pytest.approx(1)
    assert sorted(results.best_categories().tolist()) == [0, 1]
    assert 12 in searcher.ask(encoder.gallery_photo(0), 12).ids
    demo = RetrievalDemo(session)
    demo.act("search", row=12)
    assert "the classifier was not trained on it" in text(demo)


def test_the_familiarity_of_a_photo_does_not_count_itself(opened: Open) -> None:
    session = SearchSession(opened(flat=3))
    X = session.gallery.X
    results = session.searcher.ask(session.encoder.gallery_photo(0), 2)
    assert results.familiarity == pytest.approx((X[1:] @ X[0]).mean(), abs=1e-6)
