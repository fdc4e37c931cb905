import time

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from caltech_lab.embedding import views
from caltech_lab.embedding.architectures import generalized_mean, regional_maximum
from caltech_lab.embedding.backbones import backbone
from caltech_lab.embedding.timing import forward_milliseconds
from caltech_lab.embedding.views import (
    PARTS,
    View,
    chosen_views,
    fuse,
    fused_views,
)
from caltech_lab.errors import ArgumentError
from caltech_lab.scale.growth import recorded
from caltech_lab.storage.models import load_model, save_model
from caltech_lab.studies.vectors import protocols
from caltech_lab.studies.vectors.projections import (
    PartialWhitener,
    PosteriorProjection,
    ProxyProjection,
    projection,
)

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def three_categories() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    y = np.repeat(np.arange(3), 40)
    X = random.normal(size=(120, 12)) * 0.2
    X[:, 11] *= 10  # what photos of one category differ in
    X[np.arange(120), y] += 1
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32), y


class TestViews:
    def test_a_view_has_a_name_and_parts_side_by_side(self):
        view = View(fit="crop", mirrored=True)
        assert view.name == "resnet50-crop-224-mirrored"
        ends = [view.parts[part] for part in PARTS]
        assert [part.start for part in ends] == [0, 2048, 4096, 6144, 8192]
        assert view.as_backbone().width == 9216
        assert view.as_backbone().transform == "crop to 224 x 224, bilinear"

    def test_there_is_none_through_a_network_without_a_map(self):
        with pytest.raises(ArgumentError, match="vit_b_16"):
            View("vit_b_16").as_backbone()

    def test_pooled_parts_are_those_of_the_network(self):
        pixels = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
        view = View(size=64)
        with torch.inference_mode():
            row = view.as_backbone().build()(pixels)[0]
            mirrored = View(size=64, mirrored=True).as_backbone().build()(pixels.flip(2))[0]
            plain = backbone("resnet50").build()(pixels)[0]
        assert_allclose(row[view.parts["average"]], plain, rtol=1e-4, atol=1e-5)
        assert_allclose(mirrored, row, rtol=1e-3, atol=1e-4)
        assert (row[view.parts["max"]] >= row[view.parts["gem"]] - 1e-4).all()
        assert (row[view.parts["gem"]] >= row[view.parts["average"]] - 1e-4).all()

    def test_generalized_mean_of_one_and_two(self):
        planes = torch.tensor([[[[1.0, 2.0]]]])
        assert generalized_mean(planes, 3).item() == pytest.approx(4.5 ** (1 / 3))

    def test_regions_that_see_the_same_point_the_same_way(self):
        planes = torch.zeros(1, 2, 7, 7)
        planes[0, 0] = 3.0  # channel 0 everywhere: 1 + 4 + 16 regions of direction (1, 0)
        assert_allclose(regional_maximum(planes), [[21.0, 0.0]], rtol=1e-6)

    def test_mirror_images_are_averaged_before_blocks_are_joined(self):
        a, b = np.array([[1, 0]], np.float32), np.array([[0, 1]], np.float32)
        assert_allclose(fused_views([[a, b], [a]]), fuse([a + b, a]))
        assert_allclose(fused_views([[a, b], [a]]), [[0.5, 0.5, 0.70710678, 0]], rtol=1e-6)


class TestChosenViews:
    @pytest.fixture(autouse=True)
    def all_networks(self, monkeypatch):
        monkeypatch.setattr(views, "_is_here", lambda view: True)

    def test_each_network_sees_the_photo_once(self):
        names = [[view.name for view in group] for group in chosen_views()]
        assert names == [
            ["resnet50-squash-224"],
            ["efficientnet-lite2-squash-260"],
            ["efficientnet-lite0-squash-224"],
        ]

    def test_a_network_without_weights_is_left_out(self, monkeypatch):
        monkeypatch.setattr(views, "_is_here", lambda view: view.backbone != "efficientnet-lite2")
        assert [group[0].backbone for group in chosen_views()] == ["resnet50", "efficientnet-lite0"]

    def test_no_smaller_set_is_within_0_004_of_the_best(self):
        sets = list(recorded("passes")["sets"].values())
        micro = [[row[photos]["micro"] for photos in ("all", "report51")] for row in sets]
        figures = np.array(micro)
        within = (figures >= figures.max(axis=0) - 0.004).all(axis=1)
        chosen = [view.name for group in chosen_views() for view in group]
        fewest = min(row["passes"] for row, near in zip(sets, within, strict=True) if near)
        assert len(chosen) == fewest <= 3
        assert any(
            near and row["views"] == chosen and row["parts"] == ["average"]
            for row, near in zip(sets, within, strict=True)
        )


class TestProjections:
    def test_whitening_by_half_equals_scikit_learns(self, three_categories):
        X, _ = three_categories
        ours = PartialWhitener(5, power=0.5).fit(X).transform(X)
        theirs = PCA(5, whiten=True, svd_solver="full").fit_transform(X)
        theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
        assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-3)

    def test_an_inner_product_of_posteriors_is_the_bhattacharyya_coefficient(
        self, three_categories
    ):
        X, y = three_categories
        model = PosteriorProjection(LogisticRegression()).fit(X, y)
        rows, shares = model.transform(X), LogisticRegression().fit(X, y).predict_proba(X)
        assert_allclose(rows @ rows.T, np.sqrt(shares) @ np.sqrt(shares).T, atol=1e-5)
        assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)

    def test_proxies_tell_categories_apart_and_the_seed_decides(self, three_categories):
        X, y = three_categories
        model = ProxyProjection(4, epochs=20, seed=1).fit(X, y + 5)
        assert (model.predict(X) == y + 5).mean() > 0.95
        assert_allclose(model.predict_proba(X).sum(axis=1), 1, rtol=1e-5)
        again = ProxyProjection(4, epochs=20, seed=1).fit(X, y + 5)
        assert_array_equal(model.projection_, again.projection_)

    def test_a_recipe_is_kept_and_read_back(self, three_categories, tmp_path):
        X, y = three_categories
        model = projection("posterior", n_components=6).fit(X, y)
        save_model(tmp_path / "model.skops", model)
        read = load_model(tmp_path / "model.skops")
        assert_allclose(read.transform(X), model.transform(X), atol=1e-5)
        assert_allclose(np.linalg.norm(read.transform(X), axis=1), 1, rtol=1e-5)

    def test_an_unknown_recipe_is_named(self):
        with pytest.raises(ArgumentError, match="magic"):
            projection("magic")


class TestTargets:
    def test_thirty_a_category_without_replacement(self):
        y = np.repeat([0, 1, 2], [100, 31, 5])
        for train, test in protocols.thirty_per_category(y, seed=3):
            assert_array_equal(np.bincount(y[train]), [30, 30, 4])
            assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(len(y)))


class Sleeper:
    """An engine that takes 20 ms for a batch of two, and the first time a second more."""

    batch, began = 2, False

    def embed(self, batches):
        time.sleep(0 if self.began else 1)
        self.began = True
        for batch in batches:
            time.sleep(0.02)
            yield batch


def test_a_forward_pass_is_timed_by_the_photo_once_it_is_warm():
    assert 10 <= forward_milliseconds(backbone("pixels"), Sleeper()) < 60


def test_each_parameter_of_a_whitener_counts(three_categories):
    X, _ = three_categories
    plain = PartialWhitener(n_components=3, power=0.0).fit(X)
    assert_allclose(plain.transform(X), normalize(plain.pca_.transform(X)), atol=1e-6)
    spread = plain.pca_.explained_variance_
    half = PartialWhitener(n_components=3, power=0.5).fit(X).transform(X)
    assert_allclose(half, normalize(plain.pca_.transform(X) / np.sqrt(spread)), atol=1e-5)
