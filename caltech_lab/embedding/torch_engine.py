"""What the engines do with PyTorch: run networks, convert them for OpenVINO, ask the hardware.

PyTorch takes a second to import, so `engines` imports this module only where it is needed.
"""

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch

from caltech_lab.embedding.backbones import Backbone
from caltech_lab.embedding.engines import padded
from caltech_lab.embedding.openvino_cache import import_openvino
from caltech_lab.settings import settings

TORCH_BATCH = 32  # kernels may differ with the batch size; this was the fastest when measured


def gpu() -> tuple[str, bool] | None:
    """Return the graphics card that PyTorch can use, and whether it multiplies bfloat16."""
    if torch.cuda.is_available():
        return "cuda", torch.cuda.is_bf16_supported(including_emulation=False)
    if torch.backends.mps.is_available():
        return "mps", False
    return None


def cpu_has_bf16() -> bool:
    """Return whether this processor multiplies bfloat16 in hardware."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def converted(backbone: Backbone) -> Any:
    """Convert a network to an `openvino.Model` for batches of any size."""
    photo = (backbone.size, backbone.size, 3)
    example = torch.zeros((1, *photo), dtype=torch.uint8)
    with warnings.catch_warnings():
        # The tracer warns that it treats sizes as constants; here they are constant.
        warnings.filterwarnings("ignore", "Converting a tensor to")
        # Traced here, because OpenVINO would trace the network twice, to compare.
        traced = torch.jit.trace(backbone.build(), example, check_trace=False)
    frozen = torch.jit.freeze(traced, optimize_numerics=False)  # halves the conversion time
    whole = [(-1, *photo)]
    return import_openvino().convert_model(frozen, example_input=example, input=whole)


class TorchEngine:
    """Runs a network with PyTorch, on the CPU or a GPU."""

    name = "torch"

    def __init__(self, backbone: Backbone, precision: str, device: str) -> None:
        self.precision, self.batch, self.device = precision, TORCH_BATCH, device
        if device == "cpu":
            torch.set_num_threads(settings().threads)
        if device == "cuda" and precision == "f32":
            torch.backends.cudnn.allow_tf32 = False  # TF32 keeps only ten of 23 mantissa bits
        network = backbone.build().to(device)
        self.network = network.to(memory_format=torch.channels_last)

    def embed(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """See `Engine.embed`."""
        for batch in batches:
            yield self._rows(padded(batch, self.batch))[: len(batch)]

    def embed_one(self, pixels: np.ndarray) -> np.ndarray:
        """See `Engine.embed_one`."""
        row: np.ndarray = self._rows(pixels[None])[0]
        return row

    def _rows(self, batch: np.ndarray) -> np.ndarray:
        pixels = torch.from_numpy(np.ascontiguousarray(batch)).to(self.device)
        with (
            torch.inference_mode(),
            torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.precision == "bf16"),
        ):
            rows: np.ndarray = self.network(pixels).float().cpu().numpy()
        return rows
