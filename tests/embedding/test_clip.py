"""CLIP backbones: both towers as open_clip runs them, and a sentence for whatever is missing."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from caltech_lab.datasets.photos import Photos
from caltech_lab.embedding.backbones import Backbone, backbone
from caltech_lab.embedding.engines import compile_backbone
from caltech_lab.embedding.extraction import embed_few, extract
from caltech_lab.embedding.torchvision_operators import define_missing_operators
from caltech_lab.errors import ArgumentError, WeightsError
from tests.tiny_clip import tiny_clip

TEXTS = ["a red boat", "ein Hund auf einer Wiese", "the letter A, " * 60]


@pytest.fixture(scope="module")
def open_clip() -> Any:
    """Give the library, which imports torchvision."""
    define_missing_operators()
    return pytest.importorskip("open_clip")


@pytest.fixture(scope="module")
def folder(open_clip: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip(tmp_path_factory.mktemp("models") / "my model")


@pytest.fixture(scope="module")
def tiny(folder: Path) -> Backbone:
    return backbone(f"clip:{folder}")


def noise(n: int, size: int = 32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_the_image_tower_is_that_of_open_clip(
    tiny: Backbone, folder: Path, open_clip: Any, engine: str
) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino")
        from caltech_lab.embedding.engines import OpenVinoEngine

        compiled: Any = OpenVinoEngine(tiny, "f32")
    else:
        from caltech_lab.embedding.torch_engine import TorchEngine

        compiled = TorchEngine(tiny, "f32", "cpu")
    pixels = noise(9)
    (rows,) = compiled.embed([pixels[: compiled.batch]])
    alone = compiled.embed_one(pixels[0])
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    with torch.inference_mode():
        planes = torch.stack([preprocess(Image.fromarray(p)) for p in pixels[: compiled.batch]])
        theirs = model.eval().encode_image(planes).numpy()
    assert rows.shape[1] == tiny.width == 16
    assert cosines(rows, theirs).min() > 0.9999
    assert cosines(alone[None], theirs[:1]).min() > 0.9999
    # So that the comparison can fail: the photos are told apart.
    assert cosines(theirs[:1], theirs[1:]).max() < 0.999


def test_the_text_tower_is_that_of_open_clip(tiny: Backbone, folder: Path, open_clip: Any) -> None:
    assert tiny.text is not None
    rows = tiny.text(TEXTS)
    assert (rows.shape, rows.dtype) == ((3, 16), np.float32)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    model = open_clip.create_model(f"local-dir:{folder}").eval()
    with torch.inference_mode():
        theirs = model.encode_text(open_clip.get_tokenizer(f"local-dir:{folder}")(TEXTS)).numpy()
    assert cosines(rows, theirs).min() > 0.9999
    assert cosines(theirs[:1], theirs[1:]).max() < 0.999
    with pytest.raises(ArgumentError, match=r"^A text query is empty: .*\.$"):
        tiny.text(["a cat", " \n"])


def test_photos_can_be_embedded_after_words(folder: Path) -> None:
    made = backbone(f"clip:{folder}")
    assert made.text is not None
    made.text(TEXTS)
    assert compile_backbone(made).embed_one(noise(1)[0]).shape == (16,)


def test_photos_are_extracted_by_it(tiny: Backbone, photos: Photos, tmp_path: Path) -> None:
    some = photos.subset(np.arange(3))
    extract(some, tiny, tmp_path / "features")
    X = np.load(tmp_path / "features" / "embeddings.npy")
    np.testing.assert_allclose(np.linalg.norm(X, axis=1), 1, atol=1e-6)
    again = embed_few([some.file(i) for i in range(3)], tiny)
    assert cosines(X, again).min() > 0.999


def test_what_is_cached_follows_weights_and_configuration(
    tiny: Backbone, folder: Path, open_clip: Any, tmp_path: Path
) -> None:
    assert tiny.weights() == backbone(f"clip:{tiny_clip(tmp_path / 'same')}").weights()
    darker = backbone(f"clip:{tiny_clip(tmp_path / 'other', mean=[0.1, 0.1, 0.1])}")
    assert darker.weights() != tiny.weights()


def test_the_size_and_the_fit_are_those_of_the_model(
    tiny: Backbone, open_clip: Any, tmp_path: Path
) -> None:
    assert (tiny.size, tiny.fit) == (32, "cover")
    whole = backbone(f"clip:{tiny_clip(tmp_path, resize_mode='squash')}")
    assert whole.transform == "squash to 32 x 32, bilinear"


def test_the_name_of_a_folder_is_made_safe(tiny: Backbone, open_clip: Any, tmp_path: Path) -> None:
    assert tiny.name == "clip-my-model"
    odd = tiny_clip(tmp_path / "a..b c.")
    assert backbone(f"clip:{odd}").name == "clip-a..b-c"


def test_architectures_and_tags_have_one_name_each(open_clip: Any) -> None:
    given = backbone("clip-ViT-B-32")
    assert given.name == "clip-ViT-B-32@laion2b_s34b_b79k"
    assert (given.width, given.size, given.fit) == (512, 224, "cover")
    assert backbone(given.name).name == given.name
    assert backbone("clip-ViT-B-32@openai").title == "CLIP ViT-B-32 (openai)"
    with pytest.raises(ArgumentError, match=r"^open_clip has no model 'ViT-B-99' .*FOLDER\.$"):
        backbone("clip-ViT-B-99")
    with pytest.raises(ArgumentError, match=r"^open_clip has no weights 'best' for ViT-B-32: "):
        backbone("clip-ViT-B-32@best")


def test_every_pretrained_model_of_open_clip_can_be_named(
    open_clip: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("caltech_lab.embedding.clip.find_spec", lambda name: name == "transformers")
    for architecture, tag in open_clip.list_pretrained():
        entry = backbone(f"clip-{architecture}@{tag}")
        assert entry.name == f"clip-{architecture}@{tag}"
        assert entry.width > 0
        assert entry.size > 0


def test_openai_weights_get_the_activation_that_they_were_trained_with(open_clip: Any) -> None:
    from caltech_lab.embedding.clip import find_clip

    assert find_clip("clip-ViT-B-32@openai").config["quick_gelu"]
    assert not find_clip("clip-ViT-B-32").config["quick_gelu"]


def test_a_tower_that_returns_its_tokens_too(open_clip: Any) -> None:
    """As a CoCa model's does."""
    from caltech_lab.embedding.clip import _ImageTower

    class WithTokens(torch.nn.Module):
        def forward(self, planes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return planes.mean((2, 3)), planes

    assert _ImageTower(WithTokens())(torch.zeros(2, 3, 8, 8)).shape == (2, 3)


# ---- what is missing or damaged ----------------------------------------------------------------


def test_without_the_package_a_sentence_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    monkeypatch.delitem(sys.modules, "caltech_lab.embedding.clip", raising=False)
    for name in ("clip-ViT-B-32", "clip:/models/mine"):
        with pytest.raises(ArgumentError) as caught:
            backbone(name)
        assert str(caught.value) == (
            f"The backbone {name} needs an extra package: "
            "install it with `pip install 'caltech-lab[text]'`."
        )


def test_other_backbones_have_no_text_tower() -> None:
    assert backbone("resnet50").text is None


def test_a_text_tower_of_hugging_face_says_what_it_needs(
    open_clip: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("caltech_lab.embedding.clip.find_spec", lambda name: None)
    with pytest.raises(ArgumentError, match="pip install transformers"):
        backbone("clip-ViT-B-16-SigLIP")


def test_without_a_network_a_sentence_says_what_else_to_do(
    open_clip: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise FileNotFoundError("Failed to download file")

    monkeypatch.setattr("caltech_lab.embedding.clip.try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(open_clip, "download_pretrained", offline)
    with pytest.raises(WeightsError, match=r"^The weights of CLIP ViT-B-32 .* clip:FOLDER\.$"):
        backbone("clip-ViT-B-32").weights()


def test_downloaded_weights_are_found_without_a_network(
    open_clip: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = []

    def cached(repository: str, name: str) -> str | None:
        asked.append((repository, name))
        return str(tmp_path / name) if name.endswith(".bin") else None

    monkeypatch.setattr("caltech_lab.embedding.clip.try_to_load_from_cache", cached)
    monkeypatch.setattr(open_clip, "download_pretrained", None)
    file = backbone("clip-ViT-B-32").file
    assert file is not None
    assert file() == tmp_path / "open_clip_pytorch_model.bin"
    assert {repository for repository, _ in asked} == {"laion/CLIP-ViT-B-32-laion2B-s34B-b79K"}


def test_a_folder_without_a_model_is_a_sentence(open_clip: Any, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"has no readable open_clip_config\.json: .*\.$"):
        backbone(f"clip:{tmp_path}")
    config = tmp_path / "open_clip_config.json"
    for text in ("{", "[]", "{}", '{"model_cfg": {"embed_dim": "?"}}', '{"model_cfg": 3}'):
        config.write_text(text)
        with pytest.raises(WeightsError, match=r"does not describe a model of open_clip"):
            backbone(f"clip:{tmp_path}")
    tiny_clip(tmp_path)
    (tmp_path / "open_clip_model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"has no weights: put open_clip_model.safetensors"):
        backbone(f"clip:{tmp_path}").weights()


def test_weights_of_another_library_beside_them_are_passed_over(
    open_clip: Any, tmp_path: Path
) -> None:
    for name in ("model.safetensors", "pytorch_model.bin"):
        (tmp_path / name).write_bytes(b"")
    made = backbone(f"clip:{tiny_clip(tmp_path, '.bin')}")
    assert made.file is not None
    assert made.file().name == "open_clip_pytorch_model.bin"
    assert compile_backbone(made).embed_one(noise(1)[0]).shape == (16,)


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_damaged_weights_are_a_sentence(open_clip: Any, tmp_path: Path, suffix: str) -> None:
    made = backbone(f"clip:{tiny_clip(tmp_path, suffix)}")
    assert made.file is not None
    assert made.text is not None
    made.file().write_bytes(made.file().read_bytes()[:5000])
    with pytest.raises(WeightsError, match=r"^The weights .* do not fit CLIP .*again\.$"):
        made.text(["a cat"])


def test_loading_says_nothing_and_leaves_the_random_numbers_alone(folder: Path) -> None:
    """In a process of its own, since open_clip logs to the root."""
    code = (
        "import sys, torch; from caltech_lab.embedding.backbones import backbone;"
        "before = torch.random.get_rng_state();"
        "made = backbone('clip:' + sys.argv[1]); made.text(['a cat']); made.build();"
        "assert torch.equal(before, torch.random.get_rng_state())"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
