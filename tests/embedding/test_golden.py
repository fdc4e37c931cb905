"""A known picture gives a known vector: `golden.npz`, which `golden.py` makes and describes."""

import numpy as np
import pytest
import torch

from caltech_lab.datasets import drawn
from caltech_lab.embedding.architectures import (
    IMAGENET_DEVIATIONS,
    IMAGENET_MEANS,
    Embedder,
    models,
)
from caltech_lab.embedding.backbones import BACKBONES, backbone
from caltech_lab.embedding.images import load_pixels
from caltech_lab.errors import WeightsError
from tests.embedding.golden import GOLDEN, PICTURE

ROWS = dict(np.load(GOLDEN))
# Pillow and PyTorch resample to the same pixels but for one level in some places; the gradients of
# HOG show it.
CLOSE = {"hog": 3e-5}


@pytest.mark.parametrize("name", ROWS)
def test_a_known_picture_gives_the_known_row(name: str) -> None:
    entry = backbone(name)
    with drawn.opened() as archive:
        pixels = load_pixels(archive.read(PICTURE), entry.size, entry.fit)[None]
    try:
        network = entry.build()
    except WeightsError:
        pytest.skip("these weights are an extra")
    if entry.classical:
        (row,) = network(pixels)
    else:
        with torch.inference_mode():
            (row,) = network(torch.from_numpy(pixels)).numpy()
    assert row.dtype == np.float32
    row = row.astype(np.float64) / np.linalg.norm(row)
    assert 1 - row @ ROWS[name].astype(np.float64) < CLOSE.get(name, 1e-5)


TORCHVISION = [name for name in BACKBONES if "lite" not in name and name not in ROWS]


@pytest.mark.parametrize("name", TORCHVISION)
def test_a_network_of_torchvision_sees_what_torchvision_shows_it(name: str) -> None:
    entry = backbone(name)
    _, architecture, weights, _ = entry.build.args  # which need not be here
    shown = models.get_model_weights(architecture)[weights].transforms()
    from torchvision.transforms.functional import normalize

    assert shown.crop_size == [entry.size]
    pixels = torch.randint(0, 256, (1, 4, 4, 3), dtype=torch.uint8)
    ours = Embedder(torch.nn.Identity(), IMAGENET_MEANS, IMAGENET_DEVIATIONS)(pixels)
    theirs = normalize(pixels.permute(0, 3, 1, 2) / 255, shown.mean, shown.std)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
