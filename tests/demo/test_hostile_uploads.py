"""Odd and hostile uploads: each ends in results or in a sentence, soon and in little memory."""

import io
import logging
import random
import re
import struct
import time
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caltech_lab.datasets import folder
from caltech_lab.demo import RetrievalDemo, SearchSession
from caltech_lab.embedding.backbones import backbone
from caltech_lab.lab import Lab
from caltech_lab.settings import settings
from tests.pictures import encode, flat_jpeg

SECONDS, BYTES = 2.0, 500e6


def photo(mode: str = "RGB", size: tuple[int, int] = (120, 90)) -> Image.Image:
    y, x = np.mgrid[: size[1], : size[0]]
    rgb = np.stack([x * 255 // size[0], y * 255 // size[1], (x + y) % 256], axis=-1)
    return Image.fromarray(rgb.astype(np.uint8)).convert(mode)


def saved(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, depth: int, color: int, pixels: bytes, *more: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + b"".join(more)
        + chunk(b"IDAT", pixels)
        + chunk(b"IEND", b"")
    )


def zeros(n: int) -> bytes:
    """Compress n zero bytes, ten million of them once: the same again is the same compressed."""

    def squeezed(size: int, end: int) -> bytes:
        squeeze = zlib.compressobj(9, wbits=-15)
        return squeeze.compress(bytes(size)) + squeeze.flush(end)

    many, rest = divmod(n, 10**7)
    parts = squeezed(10**7, zlib.Z_FULL_FLUSH) * many + squeezed(rest, zlib.Z_FINISH)
    return b"\x78\xda" + parts + struct.pack(">I", n % 65_521 << 16 | 1)  # the sum is Adler-32


def with_exif(exif: bytes) -> bytes:
    return saved(photo(), "JPEG", exif=b"Exif\0\0" + exif)


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("photo.jpg", saved(photo(), "JPEG"))
    return buffer.getvalue()


def flipped(data: bytes, seed: int, n: int = 20) -> bytes:
    chance, changed = random.Random(seed), bytearray(data)
    for _ in range(n):
        changed[chance.randrange(20, len(data))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def hostile() -> dict[str, bytes]:
    """Return uploads by name, those with results beginning with `ok`."""
    jpeg, whole = saved(photo(), "JPEG"), saved(photo(), "PNG")
    frames = [photo(), photo().rotate(90), photo().rotate(180)]
    animated = {"save_all": True, "append_images": frames[1:], "duration": 50}
    gif, webp = saved(frames[0], "GIF", **animated), saved(frames[0], "WEBP", **animated)
    bmp, progressive = saved(photo(), "BMP"), saved(photo(), "JPEG", progressive=True)
    newer = [
        ("tif", saved(photo(), "TIFF", compression="tiff_lzw")),
        ("avif", saved(photo(), "AVIF")),
        ("heic", encode(photo(), "HEIF")),
    ]
    cases = {
        # what is no photo
        "nothing": b"",
        "one byte": b"\xff",
        "zero bytes": bytes(5000),
        "text.jpg": b"Dear all, this is no photo.\n" * 20,
        "page.png": b"<!doctype html><html><body>no photo</body></html>",
        "report.pdf": b"%PDF-1.7\n1 0 obj <</Type /Catalog>> endobj\n%%EOF",
        "drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="9"/></svg>',
        "archive.jpg": zipped(),
        "film.jpg": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(500),
        "phone.heic": b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + bytes(500),
        "photo.jp2": saved(photo(), "JPEG2000"),
        "photo.jxl": b"\xff\x0a" + bytes(500),
        "icon.ico": saved(photo(size=(32, 32)), "ICO"),
        "program.jpg": b"MZ" + bytes(500),
        "numbers.npy": b"\x93NUMPY\x01\0" + bytes(200),
        # the beginnings alone
        "only the mark of a JPEG": b"\xff\xd8\xff",
        "only the mark of a PNG": b"\x89PNG\r\n\x1a\n",
        "only the mark of a GIF": b"GIF89a",
        "only the mark of a WebP": b"RIFF\x10\0\0\0WEBP",
        "only the mark of a BMP": b"BM",
        # too much of it
        "bomb.png": png(30_000, 30_000, 8, 2, zeros(30_000 * 90_001)),
        "larger than it can be.png": png(2**31 - 1, 2**31 - 1, 8, 2, zeros(1000)),
        "bomb of one bit.png": png(29_000, 29_000, 1, 0, zeros(29_000 * 3626)),
        "text bomb.png": png(9, 9, 8, 0, zeros(90), chunk(b"zTXt", b"a\0\0" + zeros(200_000_000))),
        "profile bomb.png": png(9, 9, 8, 0, zeros(90), chunk(b"iCCP", b"a\0\0" + zeros(10**8))),
        "31,000 x 1.png": png(31_000, 1, 8, 0, zeros(31_001)),
        "huge.bmp": bmp[:18] + struct.pack("<ii", 60_000, 60_000) + bmp[26:],
        "huge.gif": gif[:6] + struct.pack("<HH", 65_535, 65_535) + gif[10:],
        "huge.jpg": re.sub(
            rb"(\xff\xc0..\x08)....",
            lambda m: m[1] + b"\xff\xdc\xff\xdc",
            jpeg,
            count=1,
            flags=re.DOTALL,
        ),
        # something is broken
        "no palette.png": png(9, 9, 8, 3, zeros(90)),
        "palette of half a color.png": png(9, 9, 8, 3, zeros(90), chunk(b"PLTE", b"\1\2")),
        "wrong checksum.png": whole[:20] + b"\x07" + whole[21:],
        "no pixels.png": png(90, 90, 8, 2, b""),
        "too few pixels.png": png(90, 90, 8, 2, zeros(200)),
        "of no size.png": png(0, 0, 8, 2, zeros(1)),
        "no frame.gif": gif[:13] + b";",
        "of negative size.bmp": bmp[:18] + struct.pack("<ii", -5, -5) + bmp[26:],
        "two ends.jpg": jpeg[:-2],
        **{f"cut at {p} %.jpg": jpeg[: len(jpeg) * p // 100] for p in (1, 5, 20, 40, 60, 80, 95)},
        **{f"cut at {p} %.png": whole[: len(whole) * p // 100] for p in (1, 10, 50, 99)},
        **{f"cut at {p} %.gif": gif[: len(gif) * p // 100] for p in (1, 10, 30)},
        **{f"cut at {p} %.webp": webp[: len(webp) * p // 100] for p in (5, 50, 90)},
        **{
            f"cut at {p} %, progressive.jpg": progressive[: len(progressive) * p // 100]
            for p in (10, 50, 90)
        },
        "cut.bmp": bmp[: len(bmp) // 2],
        **{f"bits turned, {seed}.jpg": flipped(jpeg, seed) for seed in range(6)},
        **{f"bits turned, {seed}.png": flipped(whole, seed) for seed in range(3)},
        **{f"bits turned, {seed}.webp": flipped(webp, seed) for seed in range(3)},
        **{f"bits turned, {seed}.gif": flipped(gif, seed) for seed in range(3)},
        **{
            f"cut at {p} %.{name}": data[: len(data) * p // 100]
            for name, data in newer
            for p in (20, 90)
        },
        **{f"bits turned.{name}": flipped(data, 1) for name, data in newer},
        # odd, and good
        **{f"ok as it is.{name}": data for name, data in newer},
        "ok a strip of 36,861 pixels.jpg": flat_jpeg(790, 36_861),
        "ok JPEG named otherwise.txt": jpeg,
        "ok PNG named.jpg": whole,
        "ok animated.gif": gif,
        "ok animated.webp": webp,
        "ok animated.png": saved(frames[0], "PNG", **animated),
        "ok upright by EXIF.jpg": with_exif(
            b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"
        ),
        "ok EXIF that points at itself.jpg": with_exif(b"II*\0\x04\0\0\0"),
        "ok EXIF of noise.jpg": with_exif(random.Random(0).randbytes(3000)),
        "ok EXIF that ends too soon.jpg": with_exif(b"MM\0*\0\0\0\x08\xff\xff\1"),
        "ok CMYK.jpg": saved(photo("CMYK"), "JPEG"),
        "ok gray.jpg": saved(photo("L"), "JPEG"),
        "ok of one bit.png": saved(photo("1"), "PNG"),
        "ok of 16 bits.png": saved(
            Image.fromarray(np.arange(9000, dtype=np.uint16).reshape(90, 100)), "PNG"
        ),
        "ok palette.png": saved(photo().quantize(7), "PNG"),
        "ok palette with a clear color.gif": saved(photo().quantize(7), "GIF", transparency=2),
        "ok alpha.png": saved(photo("RGBA"), "PNG"),
        "ok gray and alpha.png": saved(photo("LA"), "PNG"),
        "ok 1 x 1.png": saved(photo(size=(1, 1)), "PNG"),
        "ok 20,000 x 10.png": saved(photo(size=(20_000, 10)), "PNG"),
        "ok 10 x 20,000.jpg": saved(photo(size=(10, 20_000)), "JPEG"),
        "ok 64 million pixels.png": png(8000, 8000, 8, 0, zeros(8000 * 8001)),
        "ok more after its end.jpg": jpeg + b"and more" * 1000,
    }
    assert len(cases) >= 40
    return cases


CASES = hostile()


@pytest.fixture(scope="module", name="demo")
def small_demo(
    _drawn_once: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RetrievalDemo]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CALTECH_LAB_OUTPUTS", str(tmp_path_factory.mktemp("hostile")))
        settings.cache_clear()
        tiny = replace(backbone("pixels"), name="tiny", size=12, width=12 * 12 * 3)
        session = SearchSession(Lab(folder.scan(_drawn_once), tiny))
        # Compiled and imported, so that no upload has to wait for it.
        assert session.encoder.engine
        session.encoder.photo(png(9, 9, 8, 0, zeros(9 * 10)))
        yield RetrievalDemo(session)
    settings.cache_clear()


def peak() -> int:
    """Return the most memory that this process has had since `forget_peak`, in bytes."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status)[1])


def forget_peak() -> int:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pytest.skip("Peak memory can be measured on Linux only.")
    return peak()


@pytest.mark.parametrize("name", CASES)
def test_it_ends_in_an_answer_or_in_a_sentence(demo, upload, name, caplog, recwarn):
    before, memory = demo.session.results, forget_peak()
    demo.say("nothing yet")
    began = time.process_time()  # other tests may run beside
    with caplog.at_level(logging.WARNING):
        upload(demo, CASES[name], name, chunk=2**21)
    seconds, grown = time.process_time() - began, peak() - memory
    said = demo.status["text"]
    if demo.status["wrong"]:
        assert not name.startswith("ok")
        assert demo.session.results is before
        assert re.fullmatch(rf"{re.escape(name)} [^\n]+\.", said), said
        assert len(re.findall(r"\. |\.$", said)) == 1, said
    else:
        assert said.startswith(f"Results for {name} ("), said
        assert demo.session.results is not before
        assert np.isfinite(demo.session.results.query.vector).all()
    assert caplog.records == []
    assert [str(w.message) for w in recwarn] == []
    assert seconds < SECONDS, f"{seconds:.1f} processor seconds"
    assert grown < BYTES, f"{grown / 1e6:.0f} MB"


def test_after_all_of_them_it_still_answers(demo, upload):
    upload(demo, CASES["ok PNG named.jpg"], "last.jpg")
    assert "Results for last.jpg" in demo.status["text"]
