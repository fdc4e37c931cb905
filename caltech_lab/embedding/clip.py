"""CLIP models of the open_clip library: an image tower, and a text tower for queries in words.

A backbone is named ``clip-ARCHITECTURE``, with ``@TAG`` for weights other than the default, such
as ``clip-ViT-B-32@openai``. ``clip:FOLDER`` names a folder with a model, as the Hugging Face hub
has them: `open_clip_config.json` and the weights. The name of a backbone is also that of its folder
in `outputs/`, and Windows allows no colon there, so the tag follows an @.
"""

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from caltech_lab.embedding.architectures import Embedder  # first: open_clip needs torchvision
from caltech_lab.embedding.backbones import CLIP, CLIP_FOLDER, Backbone
from caltech_lab.embedding.images import Fit
from caltech_lab.errors import ArgumentError, WeightsError
from caltech_lab.settings import from_home
from caltech_lab.storage.files import sha256_of

import open_clip  # isort: skip
from huggingface_hub import try_to_load_from_cache  # isort: skip
from open_clip.transform import PreprocessCfg, merge_preprocess_dict  # isort: skip

CONFIG = "open_clip_config.json"
SUFFIXES = (".safetensors", ".bin", ".pth", ".pt")  # of files with weights, the safest first


@dataclass(frozen=True, eq=False)
class ClipModel:
    """A model of open_clip, which is loaded when it is first used.

    Attributes
    ----------
    name : str
        Name of the backbone, which is safe as the name of a folder.
    title : str
        Name in messages and reports.
    source : str
        Name for open_clip: an architecture, or ``local-dir:`` and a folder.
    config, preprocessing : dict
        Configuration of the two towers, and of the input of the image tower.
    file : callable
        Returns the file of the weights; downloads it if needed.
    weights_from : {"hub", "folder"}
        As of a `Backbone`.
    """

    name: str
    title: str
    source: str
    config: dict[str, Any]
    preprocessing: dict[str, Any]
    file: Callable[[], Path]
    weights_from: Literal["hub", "folder"]

    @property
    def width(self) -> int:
        """Dimension of the vectors of both towers."""
        return int(self.config["embed_dim"])

    @property
    def size(self) -> int:
        """Side of the square input, in pixels."""
        (size,) = set(np.ravel(self.config["vision_cfg"].get("image_size", 224)).tolist())
        return int(size)

    @property
    def fit(self) -> Fit:
        """How a photo is made square."""
        return "squash" if self.preprocessing["resize_mode"] == "squash" else "cover"

    @property
    def normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and divisor per channel, in units of 0 to 255."""
        means, deviations = (
            tuple(float(255 * value) for value in np.broadcast_to(self.preprocessing[key], 3))
            for key in ("mean", "std")
        )
        return means, deviations

    def sha256(self) -> str:
        """Return a hash of the weights and of the configuration."""
        parts = [sha256_of(self.file()), self.config, self.preprocessing]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @cached_property
    def network(self) -> Any:
        """Both towers, in evaluation mode."""
        path = self.file()
        try:
            with _quiet(), torch.random.fork_rng():  # the initial weights are random
                network = open_clip.create_model(
                    self.source,
                    load_weights=False,
                    pretrained_text=False,
                    force_quick_gelu=bool(self.config.get("quick_gelu")),
                )
            # Never unpickles: PyTorch 2.6, which the extra asks for, refuses to by default.
            open_clip.load_checkpoint(network, str(path))
        except Exception as error:  # damaged weights raise almost any
            raise WeightsError(
                f"The weights {path} do not fit {self.title} ({type(error).__name__}): "
                "download them again."
            ) from error
        return network.eval()

    @cached_property
    def _tokenizer(self) -> Any:
        try:
            with _quiet():
                return open_clip.get_tokenizer(self.source)
        except OSError as error:
            raise WeightsError(
                f"The tokenizer of {self.title} could not be downloaded ({type(error).__name__}): "
                f"use {CLIP}ViT-B-32, whose tokenizer comes with open_clip, or try again with an "
                "internet connection."
            ) from error

    def as_backbone(self) -> Backbone:
        """Return a backbone whose rows are those of the image tower."""

        def build() -> Embedder:
            return Embedder(_ImageTower(self.network.visual), *self.normalization)

        return Backbone(
            self.name, self.title, self.width, self.size, self.fit,
            self.sha256, build, self.file, weights_from=self.weights_from, text=self.text,
        )  # fmt: skip

    def text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts into the space of the photos; see `Backbone.text`."""
        if not all(text.strip() for text in texts):
            raise ArgumentError("A text query is empty: describe what the photos should show.")
        network, tokens = self.network, self._tokenizer([*texts])
        with torch.inference_mode():  # not while loading: the image tower is traced later
            rows = network.encode_text(tokens, normalize=True)
        made: NDArray[np.float32] = rows.float().numpy()
        return made


class _ImageTower(nn.Module):
    """The tower without its tokens, which that of a CoCa model returns too."""

    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, planes: Tensor) -> Tensor:
        rows = self.tower(planes)
        only: Tensor = rows[0] if isinstance(rows, tuple) else rows
        return only


def find_clip(name: str) -> ClipModel:
    """Look up a model of open_clip by the name of its backbone.

    Parameters
    ----------
    name : str
        ``clip-ARCHITECTURE``, ``clip-ARCHITECTURE@TAG`` or ``clip:FOLDER``.

    Returns
    -------
    ClipModel
        Nothing is loaded or downloaded yet.

    Raises
    ------
    ArgumentError
        When the library has no such model.
    WeightsError
        When the folder holds no model.
    """
    model = _in_folder(name) if name.startswith(CLIP_FOLDER) else _in_library(name)
    hugging = {"hf_model_name", "hf_tokenizer_name"} & {*model.config["text_cfg"]}
    if hugging and not find_spec("transformers"):
        raise ArgumentError(
            f"The text tower of {name} needs an extra package: install it with "
            f"`pip install transformers`, or use {CLIP}ViT-B-32, which does not need it."
        )
    return model


def _in_library(name: str) -> ClipModel:
    architecture, _, tag = name.removeprefix(CLIP).partition("@")
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if not tags:
        raise ArgumentError(
            f"open_clip has no model {architecture!r} with weights: choose one of "
            f"open_clip.list_pretrained(), such as {CLIP}ViT-B-32, or name a folder with a model "
            f"as {CLIP_FOLDER}FOLDER."
        )
    # Several architectures also have weights from small or partial training sets.
    tag = tag or next((t for t in reversed(tags) if t.startswith("laion2b_s")), tags[0])
    if tag not in tags:
        raise ArgumentError(
            f"open_clip has no weights {tag!r} for {architecture}: choose one of "
            f"{', '.join(tags)}, such as {CLIP}{architecture}@{tags[0]}."
        )
    entry, config = (
        open_clip.get_pretrained_cfg(architecture, tag),
        open_clip.get_model_config(architecture),
    )
    config["quick_gelu"] = config.get("quick_gelu", False) or entry.get("quick_gelu", False)
    title = f"CLIP {architecture} ({tag})"
    return ClipModel(
        f"{CLIP}{architecture}@{tag}", title, architecture, config, _preprocessing(entry),
        partial(_downloaded, entry, title), "hub",
    )  # fmt: skip


def _in_folder(name: str) -> ClipModel:
    folder = from_home(name.removeprefix(CLIP_FOLDER)).absolute()
    safe = re.sub(r"[^\w.-]+", "-", folder.name).strip("-.") or "model"
    try:
        described = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        model = ClipModel(
            f"{CLIP}{safe}", f"CLIP {safe}", f"local-dir:{folder}", described["model_cfg"],
            _preprocessing(described.get("preprocess_cfg", {})), partial(_kept, folder),
            "folder",
        )  # fmt: skip
        _ = model.width, model.size, model.fit, model.normalization, {*model.config["text_cfg"]}
    except OSError as error:
        raise WeightsError(
            f"{folder} has no readable {CONFIG}: name a folder with a model of open_clip, which "
            "holds this file and the weights."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"{folder / CONFIG} does not describe a model of open_clip with a square input: "
            "download it again."
        ) from error
    return model


def _preprocessing(given: dict[str, Any]) -> dict[str, Any]:
    """Return the preprocessing of photos, with open_clip's defaults for what is not given."""
    merged: dict[str, Any] = merge_preprocess_dict(PreprocessCfg(), given)
    return merged


def _kept(folder: Path) -> Path:
    """Return the weights in a folder; beside them may lie those of another library."""
    found = [path for path in folder.iterdir() if path.suffix in SUFFIXES]
    if not found:
        raise WeightsError(
            f"{folder} has no weights: put open_clip_model.safetensors beside {CONFIG}."
        )
    return min(
        found,
        key=lambda p: (not p.name.startswith("open_clip"), SUFFIXES.index(p.suffix), p.name),
    )


def _downloaded(entry: dict[str, Any], title: str) -> Path:
    """Return the weights from the cache of the Hugging Face hub, downloading them if needed."""
    # Without a network, open_clip would ask the hub for a minute before it looks into the cache.
    repository, _, name = entry["hf_hub"].rpartition("/")
    name = name or "open_clip_pytorch_model.bin"
    for kept in ("open_clip_model.safetensors", f"{Path(name).stem}.safetensors", name):
        path = try_to_load_from_cache(repository, kept)
        if isinstance(path, str):
            return Path(path)
    try:
        return Path(open_clip.download_pretrained(entry))
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"The weights of {title} could not be downloaded ({type(error).__name__}): try again "
            f"with an internet connection, or name a folder with the model as {CLIP_FOLDER}FOLDER."
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the log: open_clip warns about a model without weights, which are loaded next."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
