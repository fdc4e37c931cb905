"""The shares of a match add up to its cosine; the map is that of the network that embeds."""

import numpy as np
import pytest

from caltech_lab.demo.similarity_map import region_at, shares_of_the_cosine, similarity_to_region
from caltech_lab.embedding import backbones, torch_engine
from caltech_lab.embedding.engines import Runtime, compile_backbone
from caltech_lab.errors import ArgumentError


@pytest.fixture(name="maps")
def random_maps():
    return np.random.default_rng(0).exponential(size=(2, 3, 4, 8)).astype(np.float32)


def test_shares_add_up_to_the_cosine(maps):
    q, r = (m.mean(axis=(0, 1)) for m in maps)
    cosine = q @ r / np.linalg.norm(q) / np.linalg.norm(r)
    for share in shares_of_the_cosine(*maps):
        assert share.shape == (3, 4)
        assert share.sum() == pytest.approx(cosine, rel=1e-5)


def test_shares_are_the_sums_over_pairs_of_regions(maps):
    a, b = (m.reshape(12, 8).astype(np.float64) for m in maps)
    pairs = a @ b.T / 144
    pairs /= np.linalg.norm(a.mean(axis=0)) * np.linalg.norm(b.mean(axis=0))
    of_query, of_result = shares_of_the_cosine(*maps)
    np.testing.assert_allclose(of_query.ravel(), pairs.sum(axis=1))
    np.testing.assert_allclose(of_result.ravel(), pairs.sum(axis=0))


def test_a_region_is_most_like_itself(maps):
    maps[0, 2, 1] = 0
    here = similarity_to_region(maps[0], (1, 3), maps[0])
    assert here[1, 3] == pytest.approx(1)
    assert here.max() == here[1, 3]
    assert here[2, 1] == 0  # silent
    assert not similarity_to_region(maps[0], (2, 1), maps[1]).any()


def test_points_and_regions():
    assert region_at(0, 0, (7, 7)) == (0, 0)
    assert region_at(0.5, 0.2, (5, 4)) == (1, 2)
    assert region_at(1, 1, (7, 9)) == (6, 8)
    assert region_at(-0.2, 3, (7, 9)) == (6, 0)


@pytest.mark.parametrize("name", ["resnet50", "efficientnet-lite0"])
def test_the_mean_of_the_map_is_the_vector(name, monkeypatch):
    monkeypatch.setattr(torch_engine, "TORCH_BATCH", 2)  # 32 would be padding alone
    backbone = backbones.backbone(name)
    mapper = backbones.feature_map(backbone)
    pixels = np.random.default_rng(1).integers(0, 256, (2, backbone.size, backbone.size, 3))
    pixels = pixels.astype(np.uint8)
    choice = Runtime("torch", "f32")
    (vectors,) = compile_backbone(backbone, choice).embed([pixels])
    (maps,) = compile_backbone(mapper, choice).embed([pixels])
    side = backbone.grid
    assert maps.shape == (2, side, side, backbone.width)
    np.testing.assert_allclose(maps.mean(axis=(1, 2)), vectors, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["hog", "pixels", "vit_b_16", "convnext_tiny"])
def test_backbones_without_such_a_map_say_so(name):
    with pytest.raises(ArgumentError, match="no feature map"):
        backbones.feature_map(backbones.backbone(name))
