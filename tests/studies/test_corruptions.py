"""Corrupted photos: what is done to them, always the same, and how scores under it are counted."""

import numpy as np
import pytest
from PIL import Image

from caltech_lab.embedding.backbones import backbone
from caltech_lab.errors import ArgumentError
from caltech_lab.lab import Lab
from caltech_lab.metrics.retrieval import retrieval_scores
from caltech_lab.studies import corruptions, robustness
from caltech_lab.studies.corruptions import CORRUPTIONS, GRAY, SIDE, corrupt

SHA = "3f" * 32


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((300, 200), Image.Resampling.NEAREST)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=float)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_stronger_the_further_away_and_always_the_same(photo, name):
    clean = corrupt(photo, name, 0, SHA)
    assert clean.size == (336, SIDE)
    before = pixels(photo)
    worse = [pixels(corrupt(photo, name, strength, SHA)) for strength in (1, 2, 3)]
    if name == "rotation":  # turned a little, no pixel is where it was: count the gray corners
        away = [(one == GRAY).all(axis=2).mean() for one in worse]
    else:
        away = [np.abs(one - pixels(clean)).mean() for one in worse]
    assert 0 < away[0] < away[1] < away[2]
    np.testing.assert_array_equal(pixels(photo), before)
    twice = [corrupt(photo, name, 3, SHA).tobytes() for _ in range(2)]
    assert twice[0] == twice[1]
    assert corrupt(photo, name, 3, SHA).size == clean.size


@pytest.mark.parametrize("name", ["noise", "occlusion"])
def test_another_photo_is_made_worse_in_another_way(photo, name):
    one, other = (corrupt(photo, name, 2, sha).tobytes() for sha in (SHA, "a0" * 32))
    assert one != other


def test_what_each_does_by_hand():
    flat = Image.new("RGB", (SIDE, SIDE), (102, 51, 0))
    rng = np.random.default_rng(0)
    noisy = pixels(CORRUPTIONS["noise"].apply(Image.new("RGB", (400, 400), (128,) * 3), 0.08, rng))
    assert noisy.std() == pytest.approx(0.08 * 255, rel=0.03)
    brighter = pixels(CORRUPTIONS["brightness"].apply(flat, 0.2, rng))
    assert brighter[0, 0].tolist() == [153, 76, 0]  # the largest grows by 51, the ratios stay
    black = Image.new("RGB", (4, 4))
    assert pixels(CORRUPTIONS["brightness"].apply(black, 0.2, rng))[0, 0].tolist() == [51] * 3
    covered = pixels(CORRUPTIONS["occlusion"].apply(flat, 0.25, rng))
    assert (covered == GRAY).all(axis=2).mean() == pytest.approx(0.25, abs=0.01)
    turned = pixels(CORRUPTIONS["rotation"].apply(flat, 45, rng))
    assert turned[0, 0].tolist() == list(GRAY)
    assert turned[SIDE // 2, SIDE // 2].tolist() == [102, 51, 0]
    step = Image.fromarray(np.repeat([[0, 255]], 50, axis=1).astype(np.uint8).repeat(9, 0))
    edge = pixels(CORRUPTIONS["blur"].apply(step.convert("RGB"), 3, rng))[4, :, 0]
    # Three pixels beside a step, a normal distribution has let 16 % of the light through.
    assert edge[50 - 3] / 255 == pytest.approx(0.19, abs=0.04)


def test_what_there_is_not_is_refused(photo):
    with pytest.raises(ArgumentError, match="no corruption 'fog'"):
        corrupt(photo, "fog", 1, SHA)
    with pytest.raises(ArgumentError, match="strength must be"):
        corrupt(photo, "blur", 4, SHA)


# ---- scores --------------------------------------------------------------------------------


def test_an_even_sample_has_as_many_of_each():
    y = np.repeat([0, 1, 2], [30, 10, 2])
    rows = np.arange(0, 42, 2)
    drawn = robustness.even_sample(y, rows, 4, seed=1)
    assert np.bincount(y[drawn]).tolist() == [4, 4, 1]
    assert set(drawn) <= set(rows)
    np.testing.assert_array_equal(drawn, robustness.even_sample(y, rows, 4, seed=1))
    assert set(drawn) != set(robustness.even_sample(y, rows, 4, seed=2))


def test_embeddings_are_made_once_and_again_when_a_corruption_changes(
    photos, environment, monkeypatch
):
    lab, rows = Lab(photos, backbone("pixels")), np.array([3, 40, 7])
    monkeypatch.setattr(robustness, "AT_ONCE", 2)  # so that three photos are two portions
    found = robustness.corrupted_embeddings(lab, rows)
    assert {name: X.shape[:2] for name, X in found.items()} == {
        "none": (1, 3), **dict.fromkeys(CORRUPTIONS, (3, 3)),
    }  # fmt: skip
    np.testing.assert_allclose(np.linalg.norm(found["blur"], axis=2), 1, rtol=1e-5)
    # Only scaled, a photo is nearly what it was; and each row belongs to its photo.
    assert (found["none"][0] @ lab.embeddings.X[rows].T).argmax(axis=1).tolist() == [0, 1, 2]
    calls = []
    original = robustness._embedded
    monkeypatch.setattr(robustness, "_embedded", lambda *a: calls.append(a[2]) or original(*a))
    again = robustness.corrupted_embeddings(lab, rows)
    assert calls == []
    np.testing.assert_array_equal(found["noise"], again["noise"])
    monkeypatch.setitem(
        CORRUPTIONS, "blur", corruptions.Corruption(CORRUPTIONS["blur"].apply, (2, 3, 6), "")
    )
    robustness.corrupted_embeddings(lab, rows)
    assert calls == ["blur"]
    robustness.corrupted_embeddings(lab, rows[:2])
    assert calls == ["blur", "none", *CORRUPTIONS]


def test_scores_under_corruption_by_hand():
    gallery = np.float32([[1, 0]] * 10 + [[0, 1]] * 10)
    labels = np.repeat([0, 1], 10)
    clean = np.float32([[1, 0], [0, 1]])
    worse = {"none": clean[None], "blur": np.stack([clean, clean, clean[::-1]])}
    table = robustness.evaluate_corruptions(
        worse, np.array([0, 1]), gallery, labels,
        predict=lambda X: X.argmax(axis=1),
    ).set_index(["corruption", "strength"])  # fmt: skip
    assert table.index.tolist() == [("none", 0), ("blur", 1), ("blur", 2), ("blur", 3)]
    assert table.loc[("blur", 2)].tolist() == [1, 1, 1, 1]
    assert table.loc[("blur", 3)].tolist() == [0, 0, 0, 0]
    mirrored = robustness.evaluate_corruptions(
        worse, np.array([0, 1]), gallery[:, ::-1], labels,
        predict=lambda X: X.argmin(axis=1), project=lambda X: X[:, ::-1],
    )  # fmt: skip
    assert mirrored["accuracy"].tolist() == table["accuracy"].tolist()
    found = retrieval_scores(gallery, labels, queries=clean, query_labels=np.array([0, 1]))
    assert table.loc[("none", 0), "precision"] == found.mean("precision")
