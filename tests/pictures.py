"""Photos of every kind, made by the tests: whole, damaged, and far too large."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from caltech_lab.embedding.images import read_photo
from caltech_lab.errors import PhotoError

SAVED_AS = ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "HEIF", "AVIF"]


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    if kind == "HEIF":
        pillow_heif.from_pillow(image).save(buffer, **options)
        return buffer.getvalue()
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


def png(width: int, height: int, bits: int, color: int, rows: bytes, *extra: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + data + chunk(b"IEND", b"")


def animation(kind: str) -> bytes:
    first, second = Image.new("RGB", (8, 8), (250, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 250))
    lossless = {"lossless": True} if kind == "WEBP" else {}
    return encode(first, kind, save_all=True, append_images=[second], duration=100, **lossless)


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


def jpeg_that_claims(width: int, height: int, **options: object) -> bytes:
    data = bytearray(encode(picture(), "JPEG", **options))
    at = data.index(b"\xff\xc2" if options.get("progressive") else b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def flat_jpeg(width: int, height: int, exif: bytes = b"") -> bytes:
    """Return a JPEG of one color, without ever having its pixels.

    Every block says that nothing changed: of 14 bits for luma and both chromas, four are 7 bytes.
    """
    gray = Image.new("RGB", (8, 8), (128, 128, 128))
    head = bytearray(encode(gray, "JPEG", subsampling=0, quality=75, exif=exif))
    at = head.index(b"\xff\xc0") + 5
    head[at : at + 4] = struct.pack(">HH", height, width)
    start = head.rindex(b"\xff\xda") + 14
    blocks = -(-width // 8) * -(-height // 8)
    four = int("00101000000000" * 4, 2).to_bytes(7, "big")
    return bytes(head[:start]) + four * -(-blocks // 4) + b"\xff\xd9"


def tiff(tags: dict[int, int], data: bytes) -> bytes:
    """Return a TIFF of one tile, with its tags as long numbers."""
    start = 8 + 2 + 12 * (len(tags) + 2) + 4
    tags = {**tags, 324: start, 325: len(data)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, tags[tag]) for tag in sorted(tags))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + data


def bombs() -> dict[str, bytes]:
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
    gray = {258: 8, 259: 8, 262: 1, 277: 1}  # bits, Deflate, black is zero, samples per pixel
    tile = zlib.compress(bytes(1_000_000))
    side, vast = (b"ispe\0\0\0\0" + struct.pack(">II", n, n) for n in (64, 12_000))
    heic, avif = (encode(picture(64, 64), kind).replace(side, vast) for kind in ("HEIF", "AVIF"))
    return {
        "jpeg": jpeg_that_claims(29_000, 29_000),
        "jpeg as large as a jpeg can be": jpeg_that_claims(65_500, 65_500),
        "progressive jpeg": jpeg_that_claims(12_000, 12_000, progressive=True),
        "tiff": tiff({256: 12_000, 257: 12_000, 322: 16, 323: 16, **gray}, tile),
        "tiff of one vast tile": tiff({256: 9, 257: 9, 322: 12_000, 323: 12_000, **gray}, tile),
        "heic": heic,
        "avif": avif,
        "png": png(29_000, 29_000, 8, 2, bytes(10_000_000)),
        "png of 100 million": png(10_000, 10_000, 8, 2, bytes(10_000_000)),
        "png too wide": png(30_001, 1, 8, 0, bytes(30_002)),
        "bmp": bytes(bmp),
        "gif": bytes(gif),
        "gif frame": bytes(wide_frame),
        "gif frame that Pillow itself refuses": bytes(vast_frame),
        "webp": b"RIFF" + struct.pack("<I", len(webp)) + webp,
    }
