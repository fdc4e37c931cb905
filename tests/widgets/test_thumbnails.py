"""Thumbnails for web pages."""

import io

import numpy as np
import pytest
from PIL import Image

from caltech_lab.widgets.thumbnails import small_jpeg, thumbnail


@pytest.mark.parametrize("size", [(400, 100), (100, 400), (300, 300), (1, 900), (40, 30)])
def test_thumbnails_keep_proportions(size):
    photo = Image.new("RGB", size, "teal")
    with Image.open(io.BytesIO(thumbnail(photo, 160))) as small:
        assert small.format == "JPEG"
        assert max(small.size) == min(160, max(size))
        scale = max(small.size) / max(size)
        for side, original in zip(small.size, size, strict=True):
            assert side == pytest.approx(max(1, original * scale), abs=1)
    assert photo.size == size


def test_small_jpegs_are_shown_as_they_are(tmp_path):
    file = tmp_path / "a.jpg"
    Image.new("RGB", (300, 200), "teal").save(file)
    assert small_jpeg(file) == file.read_bytes()
    file.write_bytes(file.read_bytes()[:-2])  # cut short
    assert small_jpeg(file) is None
    Image.new("RGB", (30, 20), "teal").save(file, "PNG")
    assert small_jpeg(file) is None
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, "JPEG", quality=95)
    assert small_jpeg(file) is None
    assert small_jpeg(tmp_path / "nothing.jpg") is None
