"""The door for pixels holds: whatever comes, an image goes in or a `PhotoError` comes out."""

import os
import random
import re
import struct
import sys
import time
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from caltech_lab.embedding import pillow_readers
from caltech_lab.embedding.images import load_pixels, read_photo
from caltech_lab.errors import PhotoError
from tests.pictures import SAVED_AS, animation, bombs, chunk, encode, exif, picture, refusal

# What is refused


@pytest.mark.parametrize(
    "data",
    [
        b"Dear diary,\n",
        b"%PDF-1.7\n",
        b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        b"\x80\x04\x95",  # a pickle
        encode(picture(), "PPM"),
        encode(picture(), "ICO"),
        encode(picture().convert("L"), "EPS"),
        encode(picture(), "JPEG2000"),
        b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(200),
        b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(200),  # a video
    ],
)
def test_other_content_is_refused_whatever_its_name(data, tmp_path):
    file = tmp_path / "photo.jpg"
    file.write_bytes(data)
    for source in (file, data):
        assert "is not a JPEG, PNG, WebP, BMP, GIF, TIFF, HEIC or AVIF image:" in refusal(source)


def test_what_is_no_file_is_refused(tmp_path):
    assert "does not exist" in refusal(tmp_path / "missing.jpg")
    assert "folder" in refusal(tmp_path)
    (tmp_path / "empty.jpg").touch()
    assert "empty" in refusal(tmp_path / "empty.jpg")
    assert "empty" in refusal(b"")
    with pytest.raises(PhotoError, match=r"a\\x00b.jpg (cannot be read|does not exist)"):
        read_photo(tmp_path / "a\0b.jpg")
    with pytest.raises(PhotoError, match=r"a\\nb.jpg does not exist: check the path\.$"):
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
        stream.truncate(pillow_readers.MAX_BYTES * 40)
    assert "larger than 128 MB" in refusal(file)


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
        encode(image, "TIFF", exif=exif(6)),
        encode(image, "TIFF", compression="tiff_lzw", save_all=True, append_images=[rgba]),
        encode(image, "TIFF", compression="jpeg"),
        encode(deep, "TIFF", compression="tiff_adobe_deflate"),
        encode(Image.fromarray(np.linspace(-1, 1, 240, dtype=np.float32).reshape(12, 20)), "TIFF"),
        encode(image, "HEIF", exif=exif(6)),
        encode(rgba, "HEIF"),
        encode(image, "AVIF", exif=exif(6)),
        animation("AVIF"),
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


@pytest.mark.timeout(600)
def test_twenty_thousand_mutated_files_give_an_image_or_a_sentence(tmp_path, capsys):
    count = max(20_000, int(os.environ.get("CALTECH_LAB_FUZZ", "0")))
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
                assert photo.width * photo.height <= pillow_readers.MAX_PIXELS
            slowest = max(slowest, time.process_time() - start)
            assert slowest < 2, f"file {number} took {slowest:.1f} s"
    assert all(re.fullmatch(r"The upload [^\n]*[^.\n]\.", sentence) for sentence in sentences)
    assert min(seen.values()) > count / 20
    assert len(causes) >= 5
    assert not [cause for cause in causes if cause.endswith("Warning")]
    with capsys.disabled():
        print(f"\n{count:,} mutated files: {seen}, slowest {slowest:.2f} s, causes {causes}")


def verdict(read, data: bytes) -> str:
    try:
        read(data)
    except PhotoError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("kind", ["JPEG", "any"])
def test_what_extraction_reads_is_what_a_reader_of_photos_reads(kind):
    """OpenCV, which is faster, takes four of these 600 JPEGs that Pillow refuses."""
    rng, files = random.Random(7), seeds()
    jpegs = [data for data in files if data.startswith(b"\xff\xd8\xff")]
    refused = 0
    for number in range(600):
        data = mutate(rng, jpegs if kind == "JPEG" else files)
        said = verdict(read_photo, data)
        for fit in ("squash", "crop"):
            assert verdict(lambda d, fit=fit: load_pixels(d, 8, fit), data) == said, number
        refused += bool(said)
    assert 300 < refused < 500
