"""Every kind of photo comes in upright and right in colour, or is refused in one sentence."""

import io
import os
import random
import re
import struct
import sys
import threading
import time
import tracemalloc
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps

from caltech_lab import images
from caltech_lab.errors import ArgumentError, PhotoError
from caltech_lab.images import load_pixels, read_photo

SAVED_AS = ["JPEG", "PNG", "WEBP", "BMP", "GIF"]


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture(width: int = 40, height: int = 24) -> Image.Image:
    """Red to the right, green downwards, a blue corner: no turn or flip leaves it the same."""
    x = np.linspace(0, 255, width)[None, :].repeat(height, 0)
    y = np.linspace(0, 255, height)[:, None].repeat(width, 1)
    blue = np.zeros_like(x)
    blue[: height // 3, : width // 3] = 200
    return Image.fromarray(np.stack([x, y, blue], -1).astype(np.uint8))


def exif(orientation: int, order: str = "<") -> bytes:
    start = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(order + "HHIHH", 274, 3, 1, orientation, 0)
    return b"Exif\0\0" + start + struct.pack(order + "IH", 8, 1) + entry + bytes(4)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, bits: int, colour: int, rows: bytes, *extra: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + data + chunk(b"IEND", b"")


def animation(kind: str) -> bytes:
    first, second = Image.new("RGB", (8, 8), (250, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 250))
    lossless = {"lossless": True} if kind == "WEBP" else {}
    return encode(first, kind, save_all=True, append_images=[second], duration=100, **lossless)


def difference(a: object, b: object) -> float:
    return float(np.abs(np.asarray(a, float) - np.asarray(b, float)).mean())


def refusal(source: str | Path | bytes) -> str:
    with pytest.raises(PhotoError) as caught:
        read_photo(source)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert ". " not in sentence
    name = "The upload" if isinstance(source, bytes) else str(source)
    assert sentence.startswith(name)
    return sentence


# What comes in


@pytest.mark.parametrize("kind", SAVED_AS)
def test_each_format_is_decoded_to_plain_rgb(kind, tmp_path):
    file = tmp_path / "photo"
    file.write_bytes(encode(picture(), kind))
    for source in (file, str(file), file.read_bytes()):
        photo = read_photo(source)
        assert (photo.mode, photo.size) == ("RGB", (40, 24))
        assert difference(photo, picture()) < 12  # GIF has 256 colours, JPEG and WebP lose some


def test_a_progressive_jpeg_is_decoded_like_a_baseline_one():
    baseline = read_photo(encode(picture(), "JPEG"))
    progressive = read_photo(encode(picture(), "JPEG", progressive=True))
    assert np.array_equal(baseline, progressive)


@pytest.mark.parametrize("kind", SAVED_AS)
def test_the_name_does_not_matter(kind, tmp_path):
    file = tmp_path / "photo.txt"
    file.write_bytes(encode(picture(), kind))
    assert read_photo(file).size == (40, 24)


@pytest.mark.parametrize("size", [(1, 1), (20_000, 10), (10, 20_000)])
def test_extreme_shapes_pass(size):
    data = encode(Image.new("RGB", size, (10, 200, 30)), "PNG")
    assert read_photo(data).size == size
    for fit in ("squash", "crop"):
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


def test_sixteen_bit_colour_and_gray_with_alpha_are_read():
    colour = png(1, 1, 16, 2, b"\0" + struct.pack(">HHH", 65535, 32768, 0))
    assert read_photo(colour).getpixel((0, 0)) == (255, 128, 0)
    gray_alpha = png(1, 1, 16, 4, b"\0" + struct.pack(">HH", 0, 0))
    assert read_photo(gray_alpha).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_alpha_is_laid_over_white(mode, kind):
    colour = {"RGBA": (200, 0, 100), "LA": (80,)}[mode]
    image = Image.new(mode, (3, 1))
    for x, alpha in enumerate((0, 128, 255)):
        image.putpixel((x, 0), (*colour, alpha))
    photo = np.asarray(read_photo(encode(image, kind, lossless=True, exact=True)), float)
    for x, alpha in enumerate((0, 128, 255)):
        expected = np.array(colour) * alpha / 255 + 255 * (1 - alpha / 255)
        assert np.abs(photo[0, x] - expected).max() <= 1


def test_a_transparent_colour_or_palette_entry_becomes_white():
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


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
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
    assert np.array_equal(pixels, expected)


@pytest.mark.parametrize("shape", [(300, 200), (200, 311), (256, 256), (90, 640)])
def test_crop_is_the_centre_of_the_scaled_photo(shape):
    noise = np.random.default_rng(0).integers(0, 256, (shape[1], shape[0], 3), np.uint8)
    data = encode(Image.fromarray(noise), "PNG")
    scale = 256 / min(shape)
    width, height = int(shape[0] * scale), int(shape[1] * scale)
    left, top = round((width - 224) / 2), round((height - 224) / 2)
    whole = Image.fromarray(noise).resize((width, height), Image.Resampling.BILINEAR)
    expected = np.asarray(whole.crop((left, top, left + 224, top + 224)), int)
    assert np.abs(load_pixels(data, 224, "crop") - expected).max() <= 1


def test_an_unknown_fit_is_refused():
    with pytest.raises(ArgumentError, match="choose 'squash' or 'crop'"):
        load_pixels(encode(picture(), "PNG"), 8, "Squash")


# What is refused


@pytest.mark.parametrize(
    "data",
    [
        b"Dear diary,\n",
        b"%PDF-1.7\n",
        b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        b"\x80\x04\x95",  # a pickle
        encode(picture(), "TIFF"),
        encode(picture(), "PPM"),
        encode(picture(), "ICO"),
        encode(picture().convert("L"), "EPS"),
    ],
)
def test_other_content_is_refused_whatever_its_name(data, tmp_path):
    file = tmp_path / "photo.jpg"
    file.write_bytes(data)
    assert "JPEG, PNG, WEBP, BMP or GIF" in refusal(file)
    assert "JPEG, PNG, WEBP, BMP or GIF" in refusal(data)


def test_what_is_no_file_is_refused(tmp_path):
    assert "does not exist" in refusal(tmp_path / "missing.jpg")
    assert "folder" in refusal(tmp_path)
    (tmp_path / "empty.jpg").touch()
    assert "empty" in refusal(tmp_path / "empty.jpg")
    assert "empty" in refusal(b"")
    with pytest.raises(PhotoError, match=r"a\?b.jpg cannot be read|a\?b.jpg does not exist"):
        read_photo(tmp_path / "a\0b.jpg")
    with pytest.raises(PhotoError, match=r"a\?b.jpg does not exist: check the path\.$"):
        read_photo(tmp_path / "a\nb.jpg")


def test_a_file_without_permission_is_refused(tmp_path, monkeypatch):
    file = tmp_path / "photo.jpg"
    file.write_bytes(encode(picture(), "JPEG"))

    def refuse(*_: object) -> None:  # the tests may run as root, whom no mode bits stop
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    assert "permissions" in refusal(file)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "ordinary file" in refusal(tmp_path / "pipe")


@pytest.mark.parametrize("kind", SAVED_AS)
def test_a_file_cut_short_is_refused(kind, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)
    data = encode(Image.fromarray(noise), kind)
    whole = np.asarray(read_photo(data))
    file = tmp_path / "photo"
    refused = 0
    for length in range(1, len(data), max(1, len(data) // 150)):
        file.write_bytes(data[:length])
        try:
            photo = read_photo(file)
        except PhotoError:
            refusal(file)
            refused += 1
        else:  # only the end marker is gone
            assert np.array_equal(photo, whole)
    assert refused > 100


def test_the_cause_of_a_refusal_is_kept():
    with pytest.raises(PhotoError) as caught:
        read_photo(encode(picture(), "PNG")[:60])
    assert isinstance(caught.value.__cause__, Exception)


def test_a_file_of_too_many_bytes_is_refused_unread(tmp_path):
    file = tmp_path / "photo.jpg"
    with open(file, "wb") as stream:
        stream.truncate(images.MAX_BYTES * 40)
    assert "larger than 64 MB" in refusal(file)


def bombs() -> dict[str, bytes]:
    jpeg = bytearray(encode(picture(), "JPEG"))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">HH", 29_000, 29_000)
    bmp = bytearray(encode(picture(), "BMP"))
    bmp[18:26] = struct.pack("<ii", 29_000, 29_000)
    gif = bytearray(encode(picture(), "GIF"))
    gif[6:10] = struct.pack("<HH", 29_000, 29_000)
    wide_frame = bytearray(encode(picture(), "GIF"))
    at = wide_frame.index(b",\0\0\0\0") + 5
    wide_frame[at : at + 4] = struct.pack("<HH", 10_000, 10_000)
    vast_frame = bytearray(wide_frame)
    vast_frame[at : at + 4] = struct.pack("<HH", 60_000, 60_000)
    side = struct.pack("<I", 9_999)[:3]
    webp = b"WEBPVP8X" + struct.pack("<I", 10) + b"\2\0\0\0" + side + side
    frame = encode(picture(), "WEBP")[12:]
    body = bytes(6) + struct.pack("<I", 39)[:3] + struct.pack("<I", 23)[:3] + bytes(4) + frame
    webp += b"ANIM" + struct.pack("<I", 6) + bytes(6)
    webp += b"ANMF" + struct.pack("<I", len(body)) + body
    return {
        "jpeg": bytes(jpeg),
        "png": png(29_000, 29_000, 8, 2, bytes(10_000_000)),
        "png of 100 million": png(10_000, 10_000, 8, 2, bytes(10_000_000)),
        "png too wide": png(30_001, 1, 8, 0, bytes(30_002)),
        "bmp": bytes(bmp),
        "gif": bytes(gif),
        "gif frame": bytes(wide_frame),
        "gif frame that Pillow itself refuses": bytes(vast_frame),
        "webp": b"RIFF" + struct.pack("<I", len(webp)) + webp,
    }


@pytest.mark.parametrize("bomb", bombs())
def test_a_decompression_bomb_is_refused_before_decoding(bomb, monkeypatch):
    data = bombs()[bomb]

    def decode(*_: object) -> None:
        raise AssertionError("decoding began")

    monkeypatch.setattr(ImageFile.ImageFile, "load", decode)
    tracemalloc.start()
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sentence = refusal(data)
    seconds, (_, peak) = time.perf_counter() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "pixels" in sentence
    assert seconds < 1
    assert peak < 2**20 + 2 * len(data)


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_a_bomb_takes_no_memory():
    def peak() -> int:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) // 1024

    files = list(bombs().values())
    before = peak()
    for data in files:
        refusal(data)
    assert peak() - before < 50


# Being a good neighbour


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


# Files that nobody meant to write


def seeds() -> list[bytes]:
    image = picture(20, 12)
    deep = Image.fromarray(np.arange(240, dtype=np.uint16).reshape(12, 20) * 250)
    rgba = image.convert("RGBA")
    rgba.putalpha(image.convert("L"))
    return [
        encode(image, "JPEG"),
        encode(image, "JPEG", progressive=True, exif=exif(6)),
        encode(image, "JPEG", exif=exif(8, ">"), comment=b"a comment"),
        encode(image.convert("CMYK"), "JPEG"),
        encode(image.convert("L"), "JPEG"),
        encode(image, "PNG"),
        encode(rgba, "PNG", exif=exif(5)),
        encode(image.convert("P"), "PNG", transparency=3),
        encode(image.convert("1"), "PNG"),
        encode(deep, "PNG", transparency=500),
        animation("PNG"),
        encode(image, "WEBP"),
        encode(rgba, "WEBP", lossless=True, exif=exif(3)),
        animation("WEBP"),
        encode(image, "BMP"),
        encode(image.convert("P"), "BMP"),
        encode(image.convert("1"), "BMP"),
        encode(rgba, "BMP"),
        encode(image, "GIF", transparency=0),
        encode(image, "GIF", interlace=1, comment=b"a comment"),
        animation("GIF"),
    ]


def mutate(rng: random.Random, files: list[bytes]) -> bytes:
    data = bytearray(rng.choice(files))
    for _ in range(rng.choice((1, 1, 1, 2, 4, 12))):
        at = rng.randrange(len(data))
        near = min(at, rng.randrange(64))  # headers are where the trouble is
        match rng.randrange(7):
            case 0:
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                data[near] = rng.randrange(256)
            case 2:
                del data[max(at, 4) :]
            case 3:
                other = rng.choice(files)
                data[at:] = other[rng.randrange(len(other)) :]
            case 4:
                length = rng.choice((0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, len(data)))
                form = rng.choice(("<I", ">I", "<H", ">H"))
                field = struct.pack(form, length & (0xFFFF if "H" in form else 0xFFFFFFFF))
                data[near : near + len(field)] = field
            case 5:
                start = rng.randrange(len(data))
                data[at:at] = data[start : start + rng.randrange(1, 40)]
            case 6:
                del data[at : at + rng.randrange(1, 20)]
        if not data:
            return b"\0"
    if data.startswith(b"\x89PNG") and rng.random() < 0.7:
        return mend_checksums(bytes(data))
    return bytes(data)


def mend_checksums(data: bytes) -> bytes:
    """Make a PNG's damage pass its checksums, so that it reaches the code behind them."""
    at, mended = 8, data[:8]
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if at + 12 + length > len(data):
            break
        mended += chunk(data[at + 4 : at + 8], data[at + 8 : at + 8 + length])
        at += 12 + length
    return mended + data[at:]


def test_mutated_files_give_an_image_or_a_sentence(tmp_path, capsys):
    count = int(os.environ.get("CALTECH_LAB_FUZZ", "2000"))
    rng, files = random.Random(101), seeds()
    seen = dict.fromkeys(("image", "refused"), 0)
    causes: dict[str, int] = {}
    sentences: set[str] = set()
    slowest = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in range(count):
            data = mutate(rng, files)
            start = time.process_time()
            try:
                photo = read_photo(data)
            except PhotoError as error:
                seen["refused"] += 1
                cause = type(error.__cause__).__name__
                causes[cause] = causes.get(cause, 0) + 1
                sentences.add(str(error))
            except BaseException as error:
                (tmp_path / "found").write_bytes(data)
                pytest.fail(f"file {number}, kept in {tmp_path / 'found'}: {error!r}")
            else:
                seen["image"] += 1
                assert photo.mode == "RGB"
                assert photo.width * photo.height <= images.MAX_PIXELS
            slowest = max(slowest, time.process_time() - start)
            assert slowest < 2, f"file {number} took {slowest:.1f} s"
    assert all(re.fullmatch(r"The upload [^\n]*[^.\n]\.", sentence) for sentence in sentences)
    assert min(seen.values()) > count / 20
    assert len(causes) >= 5
    with capsys.disabled():
        if "CALTECH_LAB_FUZZ" in os.environ:
            print(f"\n{count} files: {seen}, slowest {slowest:.2f} s, causes {causes}")
