"""Networks of the timm library, an extra, as backbones."""

import hashlib
from functools import cache
from typing import Any

import torch

from caltech_lab.embedding.architectures import Embedder  # first: timm needs torchvision
from caltech_lab.embedding.backbones import TIMM, Backbone
from caltech_lab.errors import ArgumentError, WeightsError

import timm  # isort: skip
from timm import data  # isort: skip


def find_timm(model: str, pretrained: bool = True) -> Backbone:
    """Return a backbone for a timm model; its weights are downloaded when they are needed."""
    if not timm.is_model(model):
        raise ArgumentError(f"timm has no model {model!r}: choose one of timm.list_models().")
    graph: Any = timm.create_model(model, pretrained=False, num_classes=0)
    wants = data.resolve_model_data_config(graph)  # type: ignore[attr-defined,no-untyped-call,unused-ignore]
    means, deviations = (tuple(255 * v for v in wants[key]) for key in ("mean", "std"))

    def build() -> Embedder:
        return Embedder(_network(model, pretrained), means, deviations)

    def sha256() -> str:
        digest = hashlib.sha256()
        for key, tensor in _network(model, pretrained).state_dict().items():
            digest.update(key.encode() + tensor.numpy().tobytes())
        return digest.hexdigest()

    return Backbone(
        f"{TIMM}{model}", f"{model} (timm)", graph.num_features, wants["input_size"][-1], "crop",
        sha256, build, weights_from="hub",
    )  # fmt: skip


@cache
def _network(model: str, pretrained: bool) -> Any:
    try:
        with torch.random.fork_rng():  # keeps random initial weights from changing global state
            torch.manual_seed(0)
            return timm.create_model(model, pretrained=pretrained, num_classes=0).eval()
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"The weights of {model} could not be downloaded ({type(error).__name__}): use the "
            "backbone resnet50, whose weights are included, or try again with an internet "
            "connection."
        ) from error
