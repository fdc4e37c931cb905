"""Compiles a backbone with the fastest engine available on this machine.

Every engine maps batches of uint8 pixels to float32 rows, in order. All batches have the same
shape, the last one padded, so that the row of a photo does not depend on the other photos in its
batch: interrupted and uninterrupted runs give the same bits. For low latency, `Engine.embed_one`
embeds a single photo, unpadded, with all threads.
"""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from caltech_lab.embedding.backbones import Backbone
from caltech_lab.embedding.openvino_cache import import_openvino, kept_network
from caltech_lab.errors import ArgumentError
from caltech_lab.settings import settings

# Kernels may differ with the batch size; these were the fastest when measured.
OPENVINO_BATCH = {"bf16": 4, "f32": 8}

# On Linux, drivers (NVIDIA, Windows Subsystem for Linux, AMD) and processor flags can be read from
# the kernel, without importing PyTorch, which takes a second.
GPU_DEVICES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
CPU_INFO = Path("/proc/cpuinfo")
BF16_FLAGS = frozenset({"avx512_bf16", "amx_tile"})


class Engine(Protocol):
    """A compiled backbone."""

    name: str
    precision: str
    batch: int

    def embed(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield float32 rows (m, width) for each batch of uint8 (m, size, size, 3), in order."""
        ...

    def embed_one(self, pixels: np.ndarray) -> np.ndarray:
        """Return the row (width,) of one photo, uint8 (size, size, 3), with the lowest latency.

        It differs from the row of `embed` only by rounding.
        """
        ...


@dataclass(frozen=True)
class Runtime:
    """Engine and precision.

    Attributes
    ----------
    engine : {"openvino", "cuda", "mps", "torch", "numpy"}
        Library and device that run the backbone.
    precision : {"bf16", "f32"}
        Number format of the products; part of the identity of embeddings.
    """

    engine: str
    precision: str

    def __str__(self) -> str:
        """Return engine and precision in words, as in the opening line of a notebook."""
        names = {
            "openvino": "OpenVINO",
            "cuda": "PyTorch on the graphics card",
            "mps": "PyTorch on the Apple GPU",
            "torch": "PyTorch",
            "numpy": "NumPy",
        }
        formats = {"bf16": "bfloat16", "f32": "float32"}
        return f"{names[self.engine]}, {formats[self.precision]}"


def choose_runtime(backbone: Backbone, precision: str | None = None) -> Runtime:
    """Choose engine and precision for a backbone on this machine.

    Parameters
    ----------
    backbone : Backbone
        Backbone to run.
    precision : {"auto", "bf16", "f32"}, optional
        That of the settings by default; `auto` chooses bfloat16 where the hardware multiplies in
        it.

    Returns
    -------
    Runtime
        The first available of CUDA, Apple's MPS, OpenVINO and plain PyTorch.

    Raises
    ------
    ArgumentError
        When the precision is unknown, or bfloat16 is not supported by the hardware.
    """
    wanted = precision or settings().precision
    if wanted not in ("auto", "bf16", "f32"):
        raise ArgumentError(f"There is no precision {wanted!r}: choose auto, bf16 or f32.")
    if backbone.classical:
        return Runtime("numpy", "f32")
    engine, has_bf16 = _best_engine()
    if wanted == "bf16" and not has_bf16:
        raise ArgumentError("This machine has no bfloat16 hardware: choose auto or f32.")
    return Runtime(engine, "bf16" if has_bf16 and wanted != "f32" else "f32")


def _best_engine() -> tuple[str, bool]:
    if _may_have_gpu():
        from caltech_lab.embedding.torch_engine import gpu  # imports PyTorch

        if found := gpu():
            return found
    if find_spec("openvino"):
        return "openvino", cpu_has_bf16()
    return "torch", cpu_has_bf16()


def _may_have_gpu() -> bool:
    return sys.platform != "linux" or any(map(os.path.exists, GPU_DEVICES))


def cpu_has_bf16() -> bool:
    """Return whether this processor multiplies bfloat16 in hardware."""
    if CPU_INFO.is_file():
        return not BF16_FLAGS.isdisjoint(CPU_INFO.read_text().split())
    from caltech_lab.embedding import torch_engine  # imports PyTorch

    return torch_engine.cpu_has_bf16()


def compile_backbone(backbone: Backbone, runtime: Runtime | None = None) -> Engine:
    """Load a backbone and compile it for this machine.

    Parameters
    ----------
    backbone : Backbone
        Backbone to compile.
    runtime : Runtime, optional
        Engine and precision; chosen for this machine by default.

    Returns
    -------
    Engine
        The compiled backbone.

    Raises
    ------
    WeightsError
        When the weights are missing or not the expected ones.
    """
    runtime = runtime or choose_runtime(backbone)
    if runtime.engine == "numpy":
        return NumpyEngine(backbone.build())
    if runtime.engine == "openvino":
        return OpenVinoEngine(backbone, runtime.precision)
    from caltech_lab.embedding.torch_engine import TorchEngine  # imports PyTorch

    device = "cpu" if runtime.engine == "torch" else runtime.engine
    return TorchEngine(backbone, runtime.precision, device)


class NumpyEngine:
    """Runs a classical descriptor."""

    name, precision, batch = "numpy", "f32", 32

    def __init__(self, describe: Callable[[np.ndarray], np.ndarray]) -> None:
        self.describe = describe

    def embed(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """See `Engine.embed`."""
        return map(self.describe, batches)

    def embed_one(self, pixels: np.ndarray) -> np.ndarray:
        """See `Engine.embed_one`."""
        row: np.ndarray = self.describe(pixels[None])[0]
        return row


class OpenVinoEngine:
    """Runs a network with OpenVINO: one stream per core for batches, all cores for one photo.

    References
    ----------
    OpenVINO documentation, "Optimizing for throughput" and "Optimizing for latency".
    """

    name = "openvino"

    def __init__(self, backbone: Backbone, precision: str) -> None:
        self.precision, self.batch = precision, OPENVINO_BATCH[precision]
        self.shape = (backbone.size, backbone.size, 3)
        self.model = kept_network(backbone, partial(_converted, backbone))

    @cached_property
    def requests(self) -> list[Any]:
        """Two requests per stream, so that no stream waits for its next batch."""
        streams = settings().threads
        # Pinned streams would keep the decoding threads off their cores.
        compiled = self._compiled(self.batch, NUM_STREAMS=streams, ENABLE_CPU_PINNING=False)
        return [compiled.create_infer_request() for _ in range(2 * streams)]

    @cached_property
    def request(self) -> Any:
        """The request for single photos."""
        return self._compiled(1, PERFORMANCE_HINT="LATENCY").create_infer_request()

    def _compiled(self, batch: int, **wishes: Any) -> Any:
        model = self.model.clone()
        model.reshape([batch, *self.shape])
        threads = settings().threads
        wishes |= {"INFERENCE_PRECISION_HINT": self.precision, "INFERENCE_NUM_THREADS": threads}
        return import_openvino().Core().compile_model(model, "CPU", wishes)

    def embed_one(self, pixels: np.ndarray) -> np.ndarray:
        """See `Engine.embed_one`."""
        row: np.ndarray = self.request.infer([pixels[None]], share_inputs=True)[0][0].copy()
        return row

    def embed(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """See `Engine.embed`."""
        free, running = deque(self.requests), deque[tuple[Any, np.ndarray]]()

        def finish() -> np.ndarray:
            request, batch = running.popleft()
            request.wait()
            free.append(request)
            rows: np.ndarray = request.get_output_tensor().data[: len(batch)].copy()
            return rows

        try:
            for batch in batches:
                if not free:
                    yield finish()
                request = free.popleft()
                full = padded(batch, self.batch)
                request.start_async(full, share_inputs=True)
                running.append((request, full[: len(batch)]))  # keeps the pixels alive
            while running:
                yield finish()
        finally:  # no request may stay busy when the caller stops early
            for request, _ in running:
                request.wait()


def padded(batch: np.ndarray, size: int) -> np.ndarray:
    """Fill a batch with zeros to a size."""
    if len(batch) == size:
        return batch
    return np.concatenate([batch, np.zeros((size - len(batch), *batch.shape[1:]), batch.dtype)])


def _converted(backbone: Backbone) -> Any:
    from caltech_lab.embedding.torch_engine import converted  # imports PyTorch

    return converted(backbone)
