"""The side that is up, very large photos, memory, and formats beyond those of the web."""

import io
import struct
import subprocess
import sys
import threading
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import get_args

import numpy as np
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from caltech_lab.embedding import pillow_readers
from caltech_lab.embedding.images import Fit, load_pixels, part_seen, read_head, read_photo
from caltech_lab.embedding.pillow_readers import plain_orientation
from caltech_lab.errors import PhotoError
from caltech_lab.storage.threads import Budget
from tests.pictures import (
    SAVED_AS,
    chunk,
    encode,
    exif,
    flat_jpeg,
    jpeg_that_claims,
    picture,
    refusal,
)

# Which side is up


def long_exif(orientation: int, order: str = "<") -> bytes:
    """Return EXIF whose orientation is a long number, as some phones write it."""
    block = exif(orientation, order)
    return block.replace(
        struct.pack(order + "HHIHH", 274, 3, 1, orientation, 0),
        struct.pack(order + "HHII", 274, 4, 1, orientation),
    )


def xmp(orientation: int, element: bool = False) -> bytes:
    attribute = "" if element else f' tiff:Orientation="{orientation}"'
    inside = f"<tiff:Orientation>{orientation}</tiff:Orientation>" if element else ""
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/"{attribute}>{inside}'
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()


def segment(data: bytes, body: bytes) -> bytes:
    """Put an APP1 segment into a JPEG."""
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]


def png_with(text: str, value: str, late: bool = False) -> bytes:
    data = encode(picture(), "PNG")
    body = chunk(b"zTXt", text.encode() + b"\0\0" + zlib.compress(value.encode()))
    if text.startswith("XML"):
        body = chunk(b"iTXt", text.encode() + bytes(5) + value.encode())
    at = data.index(b"IEND" if late else b"IDAT") - 4
    return data[:at] + body + data[at:]


def raw_profile(orientation: int) -> str:
    block = exif(orientation)
    return f"\nexif\n{len(block):8}\n{block.hex()}\n"


JPEG = encode(picture(), "JPEG")
FORMS = {
    "JPEG, short": lambda o: encode(picture(), "JPEG", exif=exif(o)),
    "JPEG, short, Motorola": lambda o: encode(picture(), "JPEG", exif=exif(o, ">")),
    "JPEG, long": lambda o: segment(JPEG, long_exif(o)),
    "JPEG, long, Motorola": lambda o: segment(JPEG, long_exif(o, ">")),
    "JPEG, XMP": lambda o: segment(JPEG, b"http://ns.adobe.com/xap/1.0/\0" + xmp(o)),
    "JPEG, XMP element": lambda o: segment(JPEG, b"http://ns.adobe.com/xap/1.0/\0" + xmp(o, True)),
    "JPEG, EXIF and XMP that differ": lambda o: segment(
        segment(JPEG, b"http://ns.adobe.com/xap/1.0/\0" + xmp(9 - o)), exif(o)
    ),
    "JPEG, progressive": lambda o: encode(picture(), "JPEG", exif=exif(o), progressive=True),
    "PNG": lambda o: encode(picture(), "PNG", exif=exif(o)),
    "PNG, long": lambda o: encode(picture(), "PNG", exif=long_exif(o)),
    "PNG, XMP": lambda o: png_with("XML:com.adobe.xmp", xmp(o).decode()),
    "PNG, XMP behind the pixels": lambda o: png_with("XML:com.adobe.xmp", xmp(o).decode(), True),
    "PNG, raw profile": lambda o: png_with("Raw profile type exif", raw_profile(o)),
    "PNG, raw profile behind": lambda o: png_with("Raw profile type exif", raw_profile(o), True),
    "WebP": lambda o: encode(picture(), "WEBP", exif=exif(o)),
    "WebP, long": lambda o: encode(picture(), "WEBP", exif=long_exif(o)),
    "WebP, XMP": lambda o: encode(picture(), "WEBP", xmp=xmp(o)),
    "AVIF": lambda o: encode(picture(), "AVIF", exif=exif(o)),
    "AVIF, long": lambda o: encode(picture(), "AVIF", exif=long_exif(o)),
    "AVIF, XMP": lambda o: encode(picture(), "AVIF", xmp=xmp(o)),
    "HEIC": lambda o: encode(picture(), "HEIF", exif=exif(o)),
    "HEIC, XMP": lambda o: encode(picture(), "HEIF", xmp=xmp(o)),
    "TIFF": lambda o: encode(picture(), "TIFF", tiffinfo={274: o}),
    "TIFF, Deflate": lambda o: encode(
        picture(), "TIFF", tiffinfo={274: o}, compression="tiff_adobe_deflate"
    ),
    "TIFF, XMP": lambda o: encode(picture(), "TIFF", tiffinfo={700: xmp(o)}),
}


def as_pillow_has_it(data: bytes) -> Image.Image:
    if data[4:8] == b"ftyp" and b"heic" in data[:32]:
        with pillow_heif.HeifImageFile(io.BytesIO(data)) as opened:
            return ImageOps.exif_transpose(opened).convert("RGB")
    with Image.open(io.BytesIO(data)) as opened:
        opened.load()
        return ImageOps.exif_transpose(opened).convert("RGB")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", FORMS)
def test_the_same_side_is_up_as_for_pillow(form, orientation):
    data = FORMS[form](orientation)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        photo, head = read_photo(data), read_head(data)
    assert np.array_equal(photo, as_pillow_has_it(data))
    turned = orientation >= 5 and "HEIC" not in form
    if "HEIC" not in form:  # its writer stores the turned photo by its own means
        assert photo.size == ((24, 40) if turned else (40, 24))
    assert (head.width, head.height) == photo.size
    assert not photo.info


def corrupted(kind: str, block: bytes) -> bytes:
    """Return a photo whose EXIF is this block, whatever the writer thinks of it."""
    # The writers take a block without an orientation as it is.
    good = exif(1).replace(b"\x12\1\3\0\1\0\0\0\1\0", b"\x0f\1\2\0\4\0\0\0ab") + bytes(len(block))
    data = encode(picture(), kind, exif=good)
    inside = good.removeprefix(b"Exif\0\0")
    bad = block.removeprefix(b"Exif\0\0").ljust(len(inside), b"\0")
    assert data.count(inside) == 1
    at = data.index(inside)
    data = data[:at] + bad + data[at + len(bad) :]
    if kind == "PNG":  # its checksums have to be right
        return data[: at - 8] + chunk(b"eXIf", bad) + data[at + len(bad) + 4 :]
    return data


BLOCKS = {
    "nothing": b"",
    "no directory": b"Exif\0\0II*\0",
    "another mark": b"Exif\0\0XX*\0\x08\0\0\0",
    "a directory beyond the end": b"Exif\0\0II*\0\xff\xff\xff\xff",
    "endless entries": b"Exif\0\0II*\0\x08\0\0\0\xff\xff"
    + b"\x12\x01\x05\0\xff\xff\xff\xff\0\0\0\0" * 3,
    "a directory in itself": b"Exif\0\0II*\0\x04\0\0\0",
    "data beyond the end": exif(1)[:-4] + b"\x0f\x01\2\0\0\1\0\0\xff\xff\0\0" + bytes(4),
    "a text as orientation": b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\2\0\4\0\0\0abc\0" + bytes(4),
    "two orientations": b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\2\0\0\0\1\0\1\0" + bytes(4),
    "noise": np.random.default_rng(0).bytes(300),
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "HEIF"])
@pytest.mark.parametrize("block", BLOCKS)
def test_corrupt_exif_costs_nothing_and_says_nothing(kind, block):
    data = corrupted(kind, BLOCKS[block])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        photo, head = read_photo(data), read_head(data)
    assert np.array_equal(photo, read_photo(encode(picture(), kind)))
    assert head[:2] == (40, 24)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_corrupt_directories_of_a_tiff_do_not_cost_the_photo(compression):
    data = encode(picture(), "TIFF", compression=compression, tiffinfo={34665: 9, 34853: 2**31})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(read_photo(data), picture())


entries = st.tuples(
    st.sampled_from([271, 274, 274, 282, 305, 34665]),
    st.integers(0, 14),
    st.integers(0, 3),
    st.binary(min_size=4, max_size=4),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(entries, max_size=5), st.sampled_from("<>"), st.binary(max_size=20))
def test_exif_is_read_as_pillow_reads_it_or_left_to_pillow(directory, order, rest):
    block = b"Exif\0\0" + (b"II*\0" if order == "<" else b"MM\0*")
    block += struct.pack(order + "IH", 8, len(directory))
    # Data of another place may lie beyond the end, where Pillow gives up.
    small = [(t, k, n, v) for t, k, n, v in directory if n <= 1 and k not in (5, 10, 12, 16)]
    block += b"".join(struct.pack(order + "HHI", t, k, n) + v for t, k, n, v in small)
    block = block[:14] + struct.pack(order + "H", len(small)) + block[16:] + bytes(4) + rest
    found = plain_orientation(block)
    if found is not None:
        read = Image.Exif()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read.load(block)
        assert found == read.get(274, 0)


def test_ordinary_photos_wait_for_no_lock(monkeypatch):
    files = [encode(picture(), "JPEG", exif=exif(6)), encode(picture(), "JPEG"), FORMS["PNG"](6)]
    files.append(segment(files[0], b"http://ns.adobe.com/xap/1.0/\0" + xmp(6)))  # as phones do
    monkeypatch.setattr(pillow_readers, "_WARNINGS", None)
    assert [read_photo(data).size for data in files] == [(24, 40), (40, 24), (24, 40), (24, 40)]


# Formats of scanners and phones

RAMP = np.linspace(0, 1, 40 * 24).reshape(24, 40)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "LAB", "YCbCr"])
def test_a_tiff_is_read_in_any_mode(mode, compression):
    image = picture().convert(mode)
    expected = np.asarray(image.convert("RGB"), int)
    photo = read_photo(encode(image, "TIFF", compression=compression))
    assert np.abs(np.asarray(photo, int) - expected).max() <= (6 if mode == "LAB" else 2)


def test_a_tiff_with_alpha_is_laid_over_white():
    image = Image.new("RGBA", (2, 1), (200, 0, 100, 255))
    image.putpixel((1, 0), (200, 0, 100, 0))
    assert np.asarray(read_photo(encode(image, "TIFF"))).tolist() == [[[200, 0, 100], [255] * 3]]


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate"])
@pytest.mark.parametrize("order", ["I;16", "I;16B"])
def test_sixteen_bits_of_a_tiff_are_scaled(order, compression):
    values = (RAMP * 65535).round().astype(np.uint16)
    stored = values.astype(">u2") if order == "I;16B" else values
    image = Image.frombytes(order, (40, 24), stored.tobytes())
    photo = np.asarray(read_photo(encode(image, "TIFF", compression=compression)))
    assert np.array_equal(photo[..., 0], ((values.astype(int) + 128) // 257).astype(np.uint8))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3, 250), (1e6, 2e9)])
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_gray_of_32_bits_is_stretched(low, high, dtype):
    values = (low + RAMP * (high - low)).astype(dtype)
    photo = np.asarray(read_photo(encode(Image.fromarray(values), "TIFF")))
    expected = (values - values.min()) * 255.0 / (float(values.max()) - values.min())
    assert np.abs(photo[..., 1] - expected).max() <= 0.51


def test_numbers_that_are_none_do_not_matter():
    values = RAMP.astype(np.float32)
    values[0, :3] = np.nan, np.inf, -np.inf
    values.view(np.uint32)[0, 3] = 0x7F800001  # a NaN that signals
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        photo = np.asarray(read_photo(encode(Image.fromarray(values), "TIFF")))
        read_photo(encode(Image.fromarray(np.full((3, 3), np.nan, np.float32)), "TIFF"))
    assert photo[0, :4, 0].tolist() == [0, 255, 0, 0]
    assert photo[-1, -1, 0] == 255


def test_the_first_page_of_a_tiff_is_taken():
    pages = [picture(), picture().rotate(180), Image.new("L", (7, 7))]
    data = encode(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    assert np.array_equal(read_photo(data), pages[0])


def test_reading_heic_changes_nothing_for_others():
    before = dict(Image.OPEN), dict(Image.SAVE), list(warnings.filters)
    assert read_photo(encode(picture(), "HEIF")).size == (40, 24)
    assert before == (Image.OPEN, Image.SAVE, warnings.filters)


# Very large photos


@pytest.mark.parametrize(
    ("size", "scale"),
    [
        ((12_000, 9_000), 2),
        ((16_320, 12_240), 4),
        ((790, 36_861), 2),
        ((36_861, 790), 2),
        ((8_001, 8_000), 2),
        ((40, 40_000), 2),
    ],
)
def test_a_very_large_jpeg_is_decoded_at_a_reduced_scale(size, scale):
    data = flat_jpeg(*size)
    head = read_head(data)
    assert (head.width, head.height) == size
    photo = read_photo(data)
    assert photo.size == tuple(-(-side // scale) for side in size)
    assert photo.width * photo.height <= pillow_readers.MAX_REDUCED
    assert photo.getextrema() == ((128, 128),) * 3
    for fit in get_args(Fit):
        assert (load_pixels(data, 32, fit) == 128).all()
        seen = part_seen(*size, 224, fit)
        assert part_seen(*photo.size, 224, fit) == pytest.approx(seen, abs=0.003)


def test_a_jpeg_within_the_limits_is_decoded_in_whole():
    assert read_photo(flat_jpeg(8_000, 8_000)).size == (8_000, 8_000)


def test_what_a_reduced_photo_shows_is_what_the_whole_one_shows(monkeypatch):
    whole = picture(800, 600)
    data = encode(whole, "JPEG", quality=95, exif=exif(6))
    expected = {fit: load_pixels(data, 64, fit).astype(int) for fit in ("squash", "crop")}
    monkeypatch.setattr(pillow_readers, "MAX_PIXELS", 200_000)
    monkeypatch.setattr(pillow_readers, "MAX_REDUCED", 100_000)
    assert read_photo(data).size == (150, 200)
    assert read_head(data)[:2] == (600, 800)
    for fit, pixels in expected.items():
        assert np.abs(load_pixels(data, 64, fit) - pixels).mean() < 2


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (flat_jpeg(20_000, 13_000), "of a JPEG at most 256 million are read"),
        (jpeg_that_claims(65_500, 65_500), "of a JPEG at most 256 million are read"),
        (
            jpeg_that_claims(12_000, 9_200, progressive=True),
            "of a progressive JPEG at most 110 million are read",
        ),
        (
            encode(Image.new("1", (30_001, 2)), "TIFF"),
            "30001 x 2 pixels, and at most 64 million and 30,000 a side are read",
        ),
        (
            encode(Image.new("1", (8_001, 8_001)), "PNG"),
            "8001 x 8001 pixels, and at most 64 million and 30,000 a side are read",
        ),
    ],
)
def test_more_is_refused_in_a_sentence_that_names_the_limit(data, said):
    assert said in refusal(data)
    with pytest.raises(PhotoError, match="save a smaller copy"):
        read_head(data)


def test_a_jpeg_in_scans_of_one_channel_counts_as_progressive():
    data = bytearray(encode(picture(), "JPEG", subsampling=0))
    image = pillow_readers.opened(bytes(data), "JPEG")
    assert not image.comes_in_scans()
    at = data.index(b"\xff\xda")
    # The first scan now has the first channel alone.
    data[at : at + 14] = b"\xff\xda\0\x08\1" + bytes(data[at + 5 : at + 7]) + b"\0\x3f\0"
    assert pillow_readers.opened(bytes(data), "JPEG").comes_in_scans()


# Memory


def test_no_more_than_the_budget_is_shared_out():
    budget, lock, now, most = Budget(100), threading.Lock(), 0, 0

    def work(amount: int) -> None:
        nonlocal now, most
        with budget.share(amount):
            with lock:
                now += min(amount, 100)
                most = max(most, now)
            time.sleep(0.002)
            with lock:
                now -= min(amount, 100)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [30, 50, 70, 1, 1000, 20] * 8))
    assert (now, budget.free) == (0, 100)
    assert 70 <= most <= 100


def test_a_share_is_given_back_after_a_fault():
    with pytest.raises(PhotoError):
        load_pixels(encode(picture(2000, 2000), "JPEG")[:9000], 8, "squash")
    assert pillow_readers.MEMORY.free == pillow_readers.MEMORY.total


MEASURE = """
import resource, sys
from pathlib import Path
from concurrent.futures import ThreadPoolExecutor
from caltech_lab.embedding.images import load_pixels

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

files = sorted(Path(sys.argv[1]).iterdir())
load_pixels(files[0], 64, "squash")  # whatever is imported or compiled at first
before = peak()
with ThreadPoolExecutor(16) as pool:
    shapes = list(pool.map(lambda file: load_pixels(file, 64, "crop").shape, files))
print(int(peak() - before), len(shapes))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has other units elsewhere")
def test_many_large_photos_at_once_stay_within_the_budget(tmp_path):
    (tmp_path / "0.jpg").write_bytes(encode(picture(), "JPEG"))
    sizes = [(4000, 3000)] * 12 + [(12_000, 9_000), (16_320, 12_240), (790, 36_861)]
    for number, (width, height) in enumerate(sizes, start=1):
        data = flat_jpeg(width, height, exif=exif(1 + number % 8))
        (tmp_path / f"{number}.jpg").write_bytes(data)
    command = [sys.executable, "-c", MEASURE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=240)
    grown, n = map(int, done.stdout.split())
    assert n == len(sizes) + 1
    assert grown < pillow_readers.MEMORY.total / 2**20


# Threads


@pytest.mark.parametrize("kind", SAVED_AS)
def test_many_threads_read_each_format(kind):
    files = [encode(picture(64 + 8 * i, 48), kind) for i in range(6)]
    expected = [np.asarray(read_photo(data)) for data in files]
    with ThreadPoolExecutor(8) as pool:
        photos = list(pool.map(read_photo, files * 8))
    for number, photo in enumerate(photos):
        assert np.array_equal(photo, expected[number % 6])
