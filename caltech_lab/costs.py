"""What a photo costs on its way through a network, measured here and now."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from caltech_lab.backbones import Backbone
from caltech_lab.engines import compile_backbone
from caltech_lab.images import load_pixels


def forward_milliseconds(backbone: Backbone, photos: Sequence[Path], repeats: int = 3) -> float:
    """Time the forward pass alone: decoding, resizing and compiling are not counted.

    Parameters
    ----------
    backbone : Backbone
        Compiled for this machine as for an extraction.
    photos : sequence of Path
        Some dozens are enough.
    repeats : int
        The fastest of so many passes counts; the first one warms up.

    Returns
    -------
    float
        Milliseconds a photo.
    """
    engine = compile_backbone(backbone)
    pixels = np.stack([load_pixels(photo, backbone.size, backbone.fit) for photo in photos])
    batches = [pixels[i : i + engine.batch] for i in range(0, len(pixels), engine.batch)]
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        for _ in engine.embed(batches):
            pass
        seconds.append(time.perf_counter() - began)
    return min(seconds) / len(photos) * 1000
