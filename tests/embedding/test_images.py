"""Every kind of photo comes in upright and right in color, or is refused in one sentence."""

import io
import random
import struct
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import get_args

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps

from caltech_lab.embedding.images import Fit, load_pixels, part_seen, read_photo
from caltech_lab.errors import ArgumentError, PhotoError
from tests.pictures import SAVED_AS, animation, bombs, chunk, encode, exif, picture, png


def difference(a: object, b: object) -> float:
    return float(np.abs(np.asarray(a, float) - np.asarray(b, float)).mean())


# What comes in


@pytest.mark.parametrize("kind", SAVED_AS)
def test_each_format_is_decoded_to_plain_rgb(kind, tmp_path):
    file = tmp_path / "photo"
    file.write_bytes(encode(picture(), kind))
    for source in (file, str(file), file.read_bytes()):
        photo = read_photo(source)
        assert (photo.mode, photo.size) == ("RGB", (40, 24))
        assert difference(photo, picture()) < 12  # GIF has 256 colors, JPEG and WebP lose some


def test_a_progressive_jpeg_is_decoded_like_a_baseline_one():
    baseline = read_photo(encode(picture(), "JPEG"))
    progressive = read_photo(encode(picture(), "JPEG", progressive=True))
    assert np.array_equal(baseline, progressive)


def test_what_stands_behind_the_end_of_a_jpeg_does_not_matter():
    data = encode(picture(), "JPEG")
    assert np.array_equal(read_photo(data + b"a trailer"), read_photo(data))


@pytest.mark.parametrize("kind", SAVED_AS)
def test_the_name_does_not_matter(kind, tmp_path):
    file = tmp_path / "photo.txt"
    file.write_bytes(encode(picture(), kind))
    assert read_photo(file).size == (40, 24)


@pytest.mark.parametrize("size", [(1, 1), (20_000, 10), (10, 20_000)])
def test_extreme_shapes_pass(size):
    data = encode(Image.new("RGB", size, (10, 200, 30)), "PNG")
    assert read_photo(data).size == size
    for fit in get_args(Fit):
        assert (load_pixels(data, 32, fit) == (10, 200, 30)).all()


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("1", "PNG"), ("1", "BMP"), ("L", "PNG"), ("L", "JPEG"), ("L", "BMP"), ("P", "PNG")],
)
def test_fewer_channels_become_three_equal_ones(mode, kind):
    ramp = Image.fromarray(np.tile(np.arange(0, 256, 8, np.uint8), (16, 1)))
    photo = np.asarray(read_photo(encode(ramp.convert(mode), kind, quality=98)))
    expected = np.asarray(ramp.convert("1" if mode == "1" else "L").convert("RGB"))
    assert difference(photo, expected) < 1


def test_sixteen_bit_gray_is_scaled_and_not_clipped():
    values = np.array([[0, 128, 129, 257, 32768, 65406, 65407, 65535]], np.uint16)
    photo = np.asarray(read_photo(encode(Image.fromarray(values), "PNG")))
    assert (photo == photo[..., :1]).all()
    assert photo[0, :, 0].tolist() == [0, 0, 1, 1, 128, 254, 255, 255]


def test_sixteen_bit_color_and_gray_with_alpha_are_read():
    color = png(1, 1, 16, 2, b"\0" + struct.pack(">HHH", 65535, 32768, 0))
    assert read_photo(color).getpixel((0, 0)) == (255, 128, 0)
    gray_alpha = png(1, 1, 16, 4, b"\0" + struct.pack(">HH", 0, 0))
    assert read_photo(gray_alpha).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_alpha_is_laid_over_white(mode, kind):
    color = {"RGBA": (200, 0, 100), "LA": (80,)}[mode]
    image = Image.new(mode, (3, 1))
    for x, alpha in enumerate((0, 128, 255)):
        image.putpixel((x, 0), (*color, alpha))
    photo = np.asarray(read_photo(encode(image, kind, lossless=True, exact=True)), float)
    for x, alpha in enumerate((0, 128, 255)):
        expected = np.array(color) * alpha / 255 + 255 * (1 - alpha / 255)
        assert np.abs(photo[0, x] - expected).max() <= 1


def test_a_transparent_color_or_palette_entry_becomes_white():
    red_and_blue = Image.new("RGB", (2, 1), (255, 0, 0))
    red_and_blue.putpixel((1, 0), (0, 0, 255))
    expected = [[[255, 255, 255], [0, 0, 255]]]
    paletted = Image.new("P", (2, 1))
    paletted.putpalette([255, 0, 0, 0, 0, 255])
    paletted.putpixel((1, 0), 1)
    for data in (
        encode(red_and_blue, "PNG", transparency=(255, 0, 0)),
        encode(paletted, "PNG", transparency=0),
        encode(paletted, "PNG", transparency=b"\x00\xff"),
        encode(paletted, "GIF", transparency=0),
    ):
        assert np.asarray(read_photo(data)).tolist() == expected
    gray = Image.fromarray(np.array([[7, 100]], np.uint8))
    deep = Image.fromarray(np.array([[7, 100 * 257]], np.uint16))
    for image in (gray, deep):
        pixels = np.asarray(read_photo(encode(image, "PNG", transparency=7)))
        assert pixels.tolist() == [[[255] * 3, [100] * 3]]


def test_cmyk_is_not_inverted():
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    data = encode(red, "JPEG", quality=95)
    assert b"Adobe" in data  # such files hold their inks inverted
    assert difference(read_photo(data), Image.new("RGB", (16, 16), (255, 0, 0))) < 3


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF", "TIFF"])
def test_the_first_frame_of_an_animation_is_taken(kind):
    data = animation(kind)
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.n_frames == 2
    assert difference(read_photo(data), Image.new("RGB", (8, 8), (250, 0, 0))) < 3


# Which way is up


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_is_applied(orientation, kind, order):
    # How the camera stored the upright picture, by EXIF's definition: which side of the scene
    # the 0th row and the 0th column show.
    pixels = np.asarray(picture())
    stored = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.transpose(1, 0, 2),
        6: pixels[:, ::-1].transpose(1, 0, 2),
        7: pixels[::-1, ::-1].transpose(1, 0, 2),
        8: pixels[::-1].transpose(1, 0, 2),
    }[orientation]
    image = Image.fromarray(np.ascontiguousarray(stored))
    data = encode(image, kind, exif=exif(orientation, order), quality=95)
    photo = read_photo(data)
    assert photo.size == (40, 24)
    assert difference(photo, pixels) < 6
    with Image.open(io.BytesIO(data)) as opened:
        assert np.array_equal(photo, ImageOps.exif_transpose(opened).convert("RGB"))
    # Nothing is left that would turn it a second time.
    assert ImageOps.exif_transpose(photo).size == photo.size
    assert not photo.info


@pytest.mark.parametrize(
    "block",
    [
        b"Exif\0\0",
        b"Exif\0\0II*\0",
        b"Exif\0\0XX*\0\x08\0\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x05\0\xff\xff\xff\xff\0\0\0\0" * 3,
        exif(6)[:-8],
        exif(0),
        exif(9),
        exif(60_000),
    ],
)
def test_corrupt_exif_leaves_the_photo_as_stored(block):
    data = encode(picture(), "JPEG", exif=block)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        photo = read_photo(data)
    assert np.array_equal(photo, read_photo(encode(picture(), "JPEG")))


# What a network sees


def test_squash_is_one_bilinear_resize_of_the_whole_photo():
    noise = np.random.default_rng(0).integers(0, 256, (700, 900, 3), np.uint8)
    data = encode(Image.fromarray(noise), "JPEG")
    with Image.open(io.BytesIO(data)) as opened:
        expected = opened.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)
    pixels = load_pixels(data, 224, "squash")
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable
    assert np.abs(pixels.astype(int) - expected).max() <= 2
    assert (pixels != expected).mean() < 0.1
    assert np.array_equal(pixels, load_pixels(read_photo(data), 224, "squash"))


@pytest.mark.parametrize(("fit", "shorter"), [("crop", 256), ("cover", 224)])
@pytest.mark.parametrize("shape", [(300, 200), (200, 311), (256, 256), (90, 640)])
def test_crop_and_cover_are_the_center_of_the_scaled_photo(shape, fit, shorter):
    noise = np.random.default_rng(0).integers(0, 256, (shape[1], shape[0], 3), np.uint8)
    data = encode(Image.fromarray(noise), "PNG")
    width, height = (shorter * side // min(shape) for side in shape)
    left, top = round((width - 224) / 2), round((height - 224) / 2)
    whole = Image.fromarray(noise).resize((width, height), Image.Resampling.BILINEAR)
    expected = np.asarray(whole.crop((left, top, left + 224, top + 224)), int)
    assert np.abs(load_pixels(data, 224, fit) - expected).max() <= 1
    seen = np.array(part_seen(*shape, 224, fit)) * [width, height, width, height]
    np.testing.assert_allclose(seen, [left, top, left + 224, top + 224], atol=1e-6)


def test_an_unknown_fit_is_refused():
    with pytest.raises(ArgumentError, match="choose one of squash, crop, cover"):
        load_pixels(encode(picture(), "PNG"), 8, "Squash")


# Being a good neighbor


def test_pillow_and_the_warning_filters_stay_as_they_were(monkeypatch):
    before = (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS, list(warnings.filters))
    bad_animation = png(1, 1, 8, 0, b"\0\7", chunk(b"acTL", bytes(8)))
    for data in (encode(picture(), "GIF"), bad_animation, *bombs().values()):
        with suppress(PhotoError):
            read_photo(data)
    after = (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS, list(warnings.filters))
    assert before == after
    assert before[0] is False


def test_no_warning_escapes():
    bad_animation = png(1, 1, 8, 0, b"\0\7", chunk(b"acTL", bytes(8)))
    with Image.open(io.BytesIO(encode(picture(), "PNG"))), pytest.warns(UserWarning, match="APNG"):
        Image.open(io.BytesIO(bad_animation)).close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_photo(bad_animation).getpixel((0, 0)) == (7, 7, 7)


def test_the_file_is_closed(tmp_path):
    file = tmp_path / "photo.gif"
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        for data in (animation("GIF"), animation("GIF")[:50]):
            file.write_bytes(data)
            with suppress(PhotoError):
                photo = read_photo(file)
            file.rename(tmp_path / "moved.gif")  # Windows refuses this for an open file
    assert getattr(photo, "fp", None) is None


def test_many_threads_at_once():
    rng = np.random.default_rng(0)
    photos = [
        encode(Image.fromarray(rng.integers(0, 256, (60, 80, 3), np.uint8)), kind)
        for kind in SAVED_AS * 4
    ] + [animation("PNG"), animation("GIF"), animation("WEBP")]
    expected = [load_pixels(data, 32, "crop") for data in photos]
    filters = list(warnings.filters)
    barrier = threading.Barrier(8)

    def work(seed: int) -> bool:
        barrier.wait()
        order = random.Random(seed).sample(range(len(photos)), len(photos))
        return all(np.array_equal(load_pixels(photos[i], 32, "crop"), expected[i]) for i in order)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
    assert list(warnings.filters) == filters
