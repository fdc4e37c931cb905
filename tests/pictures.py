"""Photos of every kind, made by the tests: whole, damaged, and far too large."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caltech_lab.embedding.images import read_photo
from caltech_lab.errors import PhotoError

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
