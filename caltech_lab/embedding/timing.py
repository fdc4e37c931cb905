"""Time of a forward pass, measured on this machine."""

import time

import numpy as np

from caltech_lab.embedding.backbones import Backbone
from caltech_lab.embedding.engines import Engine, compile_backbone
from caltech_lab.settings import settings


def forward_milliseconds(
    backbone: Backbone, engine: Engine | None = None, repeats: int = 2
) -> float:
    """Time the forward pass alone, without decoding, resizing and compiling.

    Parameters
    ----------
    backbone : Backbone
        Backbone to time, on random pixels, which take as long as photos.
    engine : Engine, optional
        The compiled backbone; compiled for this machine by default.
    repeats : int
        Number of passes over one batch per core; the fastest counts.

    Returns
    -------
    float
        Milliseconds per photo.
    """
    engine = engine or compile_backbone(backbone)
    shape = (engine.batch, backbone.size, backbone.size, 3)
    batch = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    batches = [batch] * settings().threads
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        for _ in engine.embed(batches):
            pass
        seconds.append(time.perf_counter() - began)
    return min(seconds) / (len(batches) * engine.batch) * 1000
