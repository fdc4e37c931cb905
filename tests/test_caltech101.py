"""Caltech-101 on a small dataset of the same shape, served by a server on this machine."""

import errno
import hashlib
import io
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from caltech_lab.datasets import caltech101
from caltech_lab.errors import DatasetError
from caltech_lab.settings import settings

CATEGORIES = ("BACKGROUND_Google", "Faces", "Faces_easy", "accordion", "wrench")
REAL_MANIFEST = caltech101.manifest
REAL_PHOTOS = caltech101.find(settings().photo_places)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def jpeg(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def contents(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def entry(name: str, kind: bytes = tarfile.REGTYPE, **fields: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def pack(
    photos: dict[str, bytes],
    extra: tarfile.TarInfo | None = None,
    zipped: Callable[[zipfile.ZipFile], None] = lambda outer: None,
) -> bytes:
    """Return an archive of the official shape, a tar.gz in a zip, with `extra` in its middle."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz") as tar:
        for number, (path, content) in enumerate(photos.items()):
            tar.addfile(
                entry(f"101_ObjectCategories/{path}", size=len(content)), io.BytesIO(content)
            )
            if extra and number == len(photos) // 2:
                tar.addfile(extra, io.BytesIO(b"evil" * 100))
    outer = io.BytesIO()
    with zipfile.ZipFile(outer, "w") as archive:
        zipped(archive)
        archive.writestr("__MACOSX/caltech-101/._101_ObjectCategories.tar.gz", b"not a tar")
        archive.writestr("caltech-101/Annotations.tar", b"outlines")
        archive.writestr("caltech-101/101_ObjectCategories.tar.gz", inner.getvalue())
    return outer.getvalue()


@pytest.fixture(scope="module")
def photos() -> dict[str, bytes]:
    made = {
        f"{category}/image_{i:04d}.jpg": jpeg(10 * k + i)
        for k, category in enumerate(CATEGORIES)
        for i in (1, 2, 3)
    }
    return dict(sorted(made.items())) | {"BACKGROUND_Google/tmp": b"no photo"}


@pytest.fixture(autouse=True)
def small_manifest(photos: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    rows = [(p, len(c), sha256(c)) for p, c in photos.items() if p != "BACKGROUND_Google/tmp"]
    table = pd.DataFrame(rows, columns=["path", "bytes", "sha256"])
    monkeypatch.setattr(caltech101, "manifest", table.copy)
    monkeypatch.setattr(caltech101, "ARCHIVE_BYTES", 1_000_000)
    monkeypatch.setenv("no_proxy", "*")
    return table


@pytest.fixture
def root(photos: dict[str, bytes], tmp_path: Path) -> Path:
    folder = tmp_path / "home" / "101_ObjectCategories"
    for path, content in photos.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


class Server(ThreadingHTTPServer):
    """Serves `body` with Range support; each entry of `faults` spoils one request."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, body: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.faults, self.ranges = body, [], []
        self.asleep = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/caltech-101.zip"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        wanted = self.headers["Range"]
        self.server.ranges.append(wanted)
        fault, _, detail = (self.server.faults.pop(0) if self.server.faults else "").partition(" ")
        body = self.server.body
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if fault == "hang":
            self.server.asleep.wait(20)
            return
        if fault in ("403", "416"):
            self.send_error(int(fault))
            return
        if fault == "redirect":
            self.send_response(302)
            self.send_header("Location", detail)
            self.end_headers()
            return
        if fault == "plain":  # no Range support
            start = 0
        if fault == "strange":
            start -= 7
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.end_headers()
        end = int(detail) if fault in ("cut", "stall") else len(body)
        self.wfile.write(body[start:end])
        if fault == "stall":
            self.wfile.flush()
            self.server.asleep.wait(20)


@contextmanager
def serving(body: bytes, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(body)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.asleep.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def server(photos: dict[str, bytes]) -> Iterator[Server]:
    with serving(pack(photos)) as running:
        yield running


@pytest.fixture
def over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test fetch over http, which the package never does."""
    monkeypatch.setattr(caltech101, "_fetch", partial(caltech101._fetch, schemes=("http",)))


@pytest.fixture
def get(server: Server, over_http: None, tmp_path: Path) -> Callable[..., Path]:
    """`download` from the server; `md5` is the right one unless told."""

    def call(md5: str | None = None) -> Path:
        right = hashlib.md5(server.body).hexdigest()
        return caltech101.download(tmp_path / "data", server.address, md5 or right)

    return call


def is_sentence(error: pytest.ExceptionInfo[BaseException]) -> bool:
    text = str(error.value)
    return text.endswith(".") and "\n" not in text and ". " not in text.replace("..", "")


# -- The manifest and the subsets


def test_manifest_is_that_of_the_official_archive() -> None:
    table = REAL_MANIFEST()
    assert list(table.columns) == ["path", "bytes", "sha256"]
    assert len(table) == 9144
    assert table["path"].is_unique
    assert table["path"].tolist() == sorted(table["path"])
    assert table["path"].str.fullmatch(r"\w[\w-]*/image_\d{4}\.jpg").all()
    assert table["path"].str.partition("/")[0].nunique() == 102
    assert table["sha256"].str.fullmatch(r"[0-9a-f]{64}").all()
    assert (table["bytes"] > 0).all()


def test_manifest_cannot_be_spoilt_by_its_user() -> None:
    table = REAL_MANIFEST()
    table.loc[0, "path"] = "spoilt"
    del table["sha256"]
    assert "spoilt" not in set(REAL_MANIFEST()["path"])
    assert "sha256" in REAL_MANIFEST()


@pytest.mark.parametrize(
    ("subset", "categories", "count"),
    [("all", 101, 8677), ("all+background", 102, 9144), ("report51", 51, 5163)],
)
def test_subsets_count(
    subset: str, categories: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caltech101, "manifest", REAL_MANIFEST)
    table = caltech101.select(subset)
    assert len(table) == count
    assert table["category"].nunique() == categories
    assert ("BACKGROUND_Google" in set(table["category"])) == (subset != "all")
    assert table.index.tolist() == list(range(count))
    assert f"{count:,}" in caltech101.SUBSETS[subset]


def test_report51_is_the_first_folders_whatever_their_case(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(caltech101, "manifest", REAL_MANIFEST)
    inside = set(caltech101.select("report51")["category"])
    outside = set(caltech101.select("all+background")["category"]) - inside
    assert {"BACKGROUND_Google", "Faces", "Faces_easy", "accordion", "ibis"} <= inside
    assert {"inline_skate", "Leopards", "Motorbikes", "yin_yang"} <= outside
    assert max(map(str.lower, inside)) < min(map(str.lower, outside))


def test_unknown_subset_is_told() -> None:
    with pytest.raises(DatasetError, match="no subset 'half': choose from") as error:
        caltech101.select("half")
    assert is_sentence(error)


# -- Finding


@pytest.mark.parametrize(
    "where",
    [
        ".",
        "101_ObjectCategories",
        "caltech-101/101_ObjectCategories",
        "caltech101/101_ObjectCategories",
    ],
)
def test_find_knows_each_layout(where: str, root: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    (place / where).parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(root, place / where)
    found = caltech101.find([tmp_path / "nowhere", place])
    assert found is not None
    assert found.samefile(place / where)


def test_find_takes_a_damaged_folder_but_not_any_folder(root: Path, tmp_path: Path) -> None:
    shutil.rmtree(root / "Faces")
    shutil.rmtree(root / "accordion")
    assert caltech101.find([root.parent]) == root
    shutil.rmtree(root / "wrench")
    assert caltech101.find([root.parent, tmp_path, tmp_path / "nowhere"]) is None


def test_find_takes_the_first_place(root: Path, tmp_path: Path) -> None:
    second = tmp_path / "second" / "101_ObjectCategories"
    shutil.copytree(root, second)
    assert caltech101.find([second.parent, root.parent]) == second
    assert caltech101.find([root.parent, second.parent]) == root


# -- Verifying and opening


def test_verify_whole(root: Path, photos: dict[str, bytes]) -> None:
    found = caltech101.verify(root)
    assert found.ok
    assert (found.missing, found.altered, found.extra) == ([], [], [])
    assert found.sha256 == {
        path: sha256(content) for path, content in photos.items() if path.endswith(".jpg")
    }
    assert str(found) == "Photos of Caltech-101: all 15 there and unaltered."


def damage(root: Path) -> None:
    (root / "Faces/image_0002.jpg").unlink()
    shutil.rmtree(root / "wrench")
    (root / "accordion/image_0001.jpg").write_bytes(b"mine")
    flipped = bytearray((root / "accordion/image_0003.jpg").read_bytes())
    flipped[len(flipped) // 2] ^= 1
    (root / "accordion/image_0003.jpg").write_bytes(flipped)
    (root / "accordion/notes.txt").write_text("mine too")
    (root / "tmp").write_text("only the archive's own stray file is known")


MISSING = ["Faces/image_0002.jpg", *(f"wrench/image_000{i}.jpg" for i in (1, 2, 3))]
ALTERED = ["accordion/image_0001.jpg", "accordion/image_0003.jpg"]
EXTRA = ["accordion/notes.txt", "tmp"]


def test_verify_names_exactly_what_is_wrong(root: Path) -> None:
    damage(root)
    found = caltech101.verify(root)
    assert not found.ok
    assert (found.missing, found.altered, found.extra) == (MISSING, ALTERED, EXTRA)
    assert found.sha256["accordion/image_0001.jpg"] == sha256(b"mine")
    assert len(found.sha256) == 15 - 4
    text = str(found)
    assert (
        "4 missing (Faces/image_0002.jpg, wrench/image_0001.jpg, wrench/image_0002.jpg, …)" in text
    )
    assert "2 altered (accordion/image_0001.jpg, accordion/image_0003.jpg)" in text
    assert "2 extra (accordion/notes.txt, tmp)" in text
    assert text.endswith(f"call caltech_lab.datasets.caltech101.repair({str(root)!r}).")


def test_extra_files_do_no_harm(root: Path) -> None:
    (root / "Faces/.DS_Store").write_bytes(b"")
    found = caltech101.verify(root)
    assert found.ok
    assert found.extra == ["Faces/.DS_Store"]
    assert "1 extra" in str(found)


def test_an_unreadable_photo_is_altered_not_missing(root: Path) -> None:
    photo = root / "Faces/image_0001.jpg"
    photo.unlink()
    photo.mkdir()
    found = caltech101.verify(root)
    assert (found.missing, found.altered) == ([], ["Faces/image_0001.jpg"])
    assert "Faces/image_0001.jpg" not in found.sha256


def test_verify_of_no_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="There is no folder") as error:
        caltech101.verify(tmp_path / "nowhere")
    assert is_sentence(error)


def test_open_subset(root: Path, photos: dict[str, bytes]) -> None:
    opened = caltech101.open_subset(root, "all", "Found in a folder")
    assert (opened.name, len(opened), opened.origin) == ("all", 12, "Found in a folder")
    assert opened.categories == ["accordion", "Faces", "Faces_easy", "wrench"]
    assert opened.sha256 == [sha256(opened.file(i).read_bytes()) for i in range(12)]
    assert len(caltech101.open_subset(root, "all+background", "")) == 15
    assert caltech101.open_subset(root, "all+background", "").name == "all+background"
    assert caltech101.open_subset(root, "report51", "").name == "report51"


def test_open_subset_goes_on_with_what_is_there_and_says_so(root: Path) -> None:
    damage(root)
    opened = caltech101.open_subset(root, "all", "Found in a folder.")
    assert len(opened) == 12 - 4
    assert set(opened.table["path"]).isdisjoint(MISSING)
    assert opened.sha256 == [sha256(opened.file(i).read_bytes()) for i in range(8)]
    assert opened.origin.startswith("Found in a folder. Photos of Caltech-101: 4 missing")
    assert "2 altered" in opened.origin
    assert "\n" not in opened.origin


def test_a_subset_does_not_ask_for_photos_outside_it(root: Path) -> None:
    shutil.rmtree(root / "BACKGROUND_Google")
    assert caltech101.open_subset(root, "all", "Found").origin == "Found"
    assert "3 missing" in caltech101.open_subset(root, "all+background", "Found").origin


def test_open_subset_without_any_photo_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="None of the photos"):
        caltech101.open_subset(tmp_path, "all", "Found")


# -- Downloading


def test_download(get: Callable[..., Path], server: Server, photos: dict[str, bytes]) -> None:
    goal = get()
    assert goal.parts[-3:] == ("data", "caltech-101", "101_ObjectCategories")
    assert contents(goal) == photos
    data = goal.parents[1]
    assert (data / "caltech-101.zip").read_bytes() == server.body
    assert not list(data.rglob("*.part"))
    assert not list(data.rglob(".unpacking"))
    assert get() == goal
    assert server.ranges == [None]  # the second call asked nothing
    assert caltech101.find([data]) == goal


def test_download_is_resumed(
    get: Callable[..., Path], server: Server, photos: dict[str, bytes]
) -> None:
    server.faults = ["cut 70000", "cut 90000"]
    assert contents(get()) == photos
    assert server.ranges == [None, "bytes=70000-", "bytes=90000-"]


def test_a_part_left_by_an_earlier_call_is_resumed(
    get: Callable[..., Path], server: Server, photos: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/caltech-101.zip.part").write_bytes(server.body[:50_000])
    assert contents(get()) == photos
    assert server.ranges == ["bytes=50000-"]


def test_a_whole_part_is_not_asked_for_again(
    get: Callable[..., Path], server: Server, photos: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/caltech-101.zip.part").write_bytes(server.body)
    assert contents(get()) == photos
    assert server.ranges == []


@pytest.mark.parametrize("fault", ["plain", "strange", "416"])
def test_a_server_that_cannot_resume_starts_again(
    fault: str, get: Callable[..., Path], server: Server, photos: dict[str, bytes]
) -> None:
    server.faults = ["cut 70000", fault]
    assert contents(get()) == photos
    assert server.ranges[:2] == [None, "bytes=70000-"]
    assert server.ranges[2:] == ([] if fault == "plain" else [None])


def test_an_archive_that_keeps_breaking_off_is_told(
    get: Callable[..., Path], server: Server, photos: dict[str, bytes]
) -> None:
    server.faults = [f"cut {10_000 * n}" for n in range(1, caltech101.ATTEMPTS + 1)]
    with pytest.raises(DatasetError, match=r"broke off 5 times.*call again to go on") as error:
        get()
    assert is_sentence(error)
    assert contents(get()) == photos
    assert server.ranges[-1] == "bytes=50000-"


def test_wrong_md5_is_told_and_deleted(get: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"md5 differs.*was deleted") as error:
        get(md5="0" * 32)
    assert is_sentence(error)
    assert not [p for p in (tmp_path / "data").rglob("*") if p.suffix in (".part", ".zip", ".jpg")]


def test_an_archive_put_there_by_hand_is_used(
    server: Server, photos: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "caltech-101.zip").write_bytes(server.body)
    md5 = hashlib.md5(server.body).hexdigest()
    assert contents(caltech101.download(tmp_path, server.address, md5)) == photos
    assert server.ranges == []


def test_a_wrong_archive_put_there_by_hand_is_told(tmp_path: Path) -> None:
    (tmp_path / "caltech-101.zip").write_bytes(b"another")
    with pytest.raises(DatasetError, match=r"is not the official archive: delete it") as error:
        caltech101.download(tmp_path)
    assert is_sentence(error)
    assert (tmp_path / "caltech-101.zip").read_bytes() == b"another"


@pytest.mark.parametrize("fault", ["hang", "stall 0"])
def test_a_hung_server_is_given_up(
    fault: str, get: Callable[..., Path], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caltech101, "TIMEOUT", 0.3)
    server.faults = [fault] * 10
    start = time.monotonic()
    with pytest.raises(DatasetError, match=r"cannot be reached|stalled") as error:
        get()
    assert is_sentence(error)
    assert time.monotonic() - start < 3
    assert len(server.ranges) == 1


def test_an_unreachable_server_is_told_at_once(server: Server, tmp_path: Path) -> None:
    server.shutdown()
    server.server_close()
    start = time.monotonic()
    with pytest.raises(
        DatasetError, match=r"127\.0\.0\.1:\d+ cannot be reached .*by hand"
    ) as error:
        caltech101._fetch(server.address, tmp_path / "a.zip", "", schemes=("http",))
    assert is_sentence(error)
    assert time.monotonic() - start < 3


def test_a_refusal_is_told(get: Callable[..., Path], server: Server) -> None:
    server.faults = ["403"]
    with pytest.raises(DatasetError, match="answered 403 Forbidden: try again later") as error:
        get()
    assert is_sentence(error)


def test_only_https_is_asked(server: Server, tmp_path: Path) -> None:
    for url in (server.address, "file:///etc/hostname", "ftp://127.0.0.1/a.zip"):
        with pytest.raises(DatasetError, match="is not an https address") as error:
            caltech101.download(tmp_path, url, "0" * 32)
        assert is_sentence(error)
    assert server.ranges == []
    assert caltech101.URL.startswith("https://")


def test_a_redirect_keeps_to_the_scheme(get: Callable[..., Path], server: Server) -> None:
    server.faults = ["redirect https://127.0.0.1:1/a.zip"]
    with pytest.raises(DatasetError, match="is not an http address") as error:
        get()
    assert is_sentence(error)


def test_a_redirect_within_the_scheme_is_followed(
    get: Callable[..., Path], server: Server, photos: dict[str, bytes]
) -> None:
    server.faults = [f"redirect {server.address}?elsewhere"]
    assert contents(get()) == photos


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate")
def test_a_redirect_from_https_to_http_is_refused(
    server: Server, photos: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 "
        "-addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out certificate.pem"
    )
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    body = server.body
    with serving(body, context) as secure:
        address = secure.address.replace("http:", "https:")
        secure.faults = [f"redirect {server.address}"]
        with pytest.raises(DatasetError, match="is not an https address") as error:
            caltech101.download(tmp_path / "data", address, hashlib.md5(body).hexdigest())
        assert is_sentence(error)
        assert server.ranges == []
        goal = caltech101.download(tmp_path / "data", address, hashlib.md5(body).hexdigest())
    assert contents(goal) == photos


# -- Faults of the disk


def test_a_full_disk_is_told_beforehand(
    get: Callable[..., Path],
    server: Server,
    small_manifest: pd.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unpacked = sum(4096 * (size // 4096 + 1) for size in small_manifest["bytes"])
    enough = caltech101.ARCHIVE_BYTES + unpacked
    free = SimpleNamespace(free=enough - 1)
    monkeypatch.setattr(caltech101.shutil, "disk_usage", lambda folder: free)
    with pytest.raises(DatasetError, match="1 MB of free space and Caltech-101 needs") as error:
        get()
    assert is_sentence(error)
    assert server.ranges == []
    free.free = enough
    assert get().is_dir()


def test_a_disk_that_fills_up_is_told(
    get: Callable[..., Path], photos: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(tarfile.TarFile, "extract", full)
        with pytest.raises(DatasetError, match="no space") as error:
            get()
    assert is_sentence(error)
    assert contents(get()) == photos


@pytest.fixture
def read_only() -> Iterator[Path]:
    """Give a folder that this process cannot write, even where the tests run as root."""
    if not hasattr(os, "geteuid"):
        pytest.skip("needs POSIX permissions")
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    root = os.geteuid() == 0
    yield folder
    if root:
        os.seteuid(0)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    shutil.rmtree(folder)


def forbid(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555)
    if os.geteuid() == 0:
        os.seteuid(65534)


def test_download_into_a_read_only_folder_is_told(read_only: Path, server: Server) -> None:
    forbid(read_only)
    with pytest.raises(DatasetError, match="cannot be written: make it writable") as error:
        caltech101.download(read_only / "data", server.address)
    assert is_sentence(error)


def test_repair_of_a_read_only_folder_is_told(read_only: Path, root: Path, server: Server) -> None:
    damage(root)
    copy = read_only / "101_ObjectCategories"
    shutil.copytree(root, copy)
    read_only.chmod(0o777)  # beside the photos there would be room for the archive
    forbid(copy)
    before = contents(copy)
    with pytest.raises(DatasetError, match="cannot be written: make it writable") as error:
        caltech101.repair(copy)  # and it does not try the network first
    assert is_sentence(error)
    assert contents(copy) == before


# -- Unpacking


EVIL = {
    "climbs": entry("../evil", size=400),
    "climbs from inside": entry("101_ObjectCategories/../../evil", size=400),
    "absolute": entry("/tmp/caltech_lab_evil", size=400),
    "climbs by backslashes": entry("101_ObjectCategories\\..\\..\\evil", size=400),
    "drive letter": entry("C:\\evil", size=400),
    "symbolic link": entry("101_ObjectCategories/evil", tarfile.SYMTYPE, linkname="image_0001.jpg"),
    "hard link": entry(
        "101_ObjectCategories/evil",
        tarfile.LNKTYPE,
        linkname="101_ObjectCategories/BACKGROUND_Google/image_0001.jpg",
    ),
    "device": entry("101_ObjectCategories/evil", tarfile.CHRTYPE, devmajor=1, devminor=3),
    "pipe": entry("101_ObjectCategories/evil", tarfile.FIFOTYPE),
}


@pytest.mark.parametrize("name", EVIL)
def test_an_evil_entry_stops_the_unpacking(
    name: str,
    get: Callable[..., Path],
    server: Server,
    photos: dict[str, bytes],
    root: Path,
    tmp_path: Path,
) -> None:
    server.body = pack(photos, EVIL[name])
    before = set(tmp_path.rglob("*"))
    with pytest.raises(
        DatasetError, match=r"not safe to unpack, .* (leads out|is a link)"
    ) as error:
        get()
    assert is_sentence(error)
    made = {p.relative_to(tmp_path).as_posix() for p in set(tmp_path.rglob("*")) - before}
    left = {path for path in made if not path.endswith(".lock")}
    assert left == {"data", "data/caltech-101.zip", "data/caltech-101"}
    assert not Path("/tmp/caltech_lab_evil").exists()
    (root / "wrench/image_0003.jpg").unlink()
    with pytest.raises(DatasetError, match="not safe to unpack"):
        caltech101.repair(root, tmp_path / "data/caltech-101.zip")


def test_an_evil_zip_entry_stops_the_unpacking(
    get: Callable[..., Path], server: Server, photos: dict[str, bytes]
) -> None:
    link = zipfile.ZipInfo("caltech-101/evil")
    link.external_attr = 0o120777 << 16
    for info in ("../evil", "/evil", link):
        server.body = pack(photos, zipped=lambda outer, info=info: outer.writestr(info, "evil"))
        with pytest.raises(DatasetError, match="not safe to unpack") as error:
            get()
        assert is_sentence(error)
        (archive,) = (p for p in Path(error.value.args[0].split(" is not")[0]).parent.glob("*.zip"))
        archive.unlink()


@pytest.mark.parametrize("limit", ["MAX_MEMBERS", "MAX_BYTES"])
def test_a_bomb_stops_the_unpacking(
    limit: str,
    get: Callable[..., Path],
    photos: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = {"MAX_MEMBERS": len(photos), "MAX_BYTES": sum(map(len, photos.values()))}[limit]
    monkeypatch.setattr(caltech101, limit, whole - 1)
    with pytest.raises(DatasetError, match="far larger than Caltech-101"):
        get()
    monkeypatch.setattr(caltech101, limit, whole)
    assert contents(get()) == photos


@pytest.mark.parametrize("spoil", ["no zip", "no tar", "broken gzip", "another tar"])
def test_a_damaged_archive_is_told(
    spoil: str, get: Callable[..., Path], server: Server, photos: dict[str, bytes], tmp_path: Path
) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as outer:
        if spoil == "broken gzip":
            outer.writestr("caltech-101/101_ObjectCategories.tar.gz", b"\x1f\x8b\x08" + bytes(500))
        elif spoil == "another tar":
            stream = io.BytesIO()
            with tarfile.open(fileobj=stream, mode="w:gz") as tar:
                tar.addfile(entry("elsewhere/a.jpg", size=4), io.BytesIO(b"abcd"))
            outer.writestr("caltech-101/101_ObjectCategories.tar.gz", stream.getvalue())
    server.body = b"PK" + bytes(100) if spoil == "no zip" else inner.getvalue()
    with pytest.raises(DatasetError, match=r"(is damaged|has no|holds no).*: delete it") as error:
        get()
    assert "\n" not in str(error.value)
    assert caltech101.find([tmp_path / "data"]) is None


def test_a_killed_unpacking_is_not_taken_for_a_whole_one(
    server: Server, photos: dict[str, bytes], small_manifest: pd.DataFrame, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "caltech-101.zip").write_bytes(server.body)
    small_manifest.to_csv(tmp_path / "manifest.csv", index=False)
    md5 = hashlib.md5(server.body).hexdigest()
    script = f"""
import os, pathlib, tarfile
import pandas as pd
from caltech_lab.datasets import caltech101
caltech101.manifest = lambda: pd.read_csv({str(tmp_path / "manifest.csv")!r})
extract, done = tarfile.TarFile.extract, []
def killed_in_the_middle(self, *args, **kwargs):
    extract(self, *args, **kwargs)
    done.append(1)
    if len(done) == 13:
        os.kill(os.getpid(), {int(getattr(signal, "SIGKILL", signal.SIGTERM))})
tarfile.TarFile.extract = killed_in_the_middle
caltech101.download(pathlib.Path({str(data)!r}), md5={md5!r})
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.returncode not in (0, 1), run.stderr
    assert len([p for p in data.rglob("*") if p.is_file() and p.parent.parent != data]) >= 13
    assert caltech101.find([data]) is None
    goal = caltech101.download(data, md5=md5)
    assert contents(goal) == photos
    assert not list(data.rglob(".unpacking"))


def test_an_interrupted_unpacking_leaves_nothing(
    get: Callable[..., Path],
    photos: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    extract, done = tarfile.TarFile.extract, []

    def interrupted(self: tarfile.TarFile, *args: Any, **kwargs: Any) -> None:
        extract(self, *args, **kwargs)
        done.append(1)
        if len(done) == 13:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tarfile.TarFile, "extract", interrupted)
        with pytest.raises(KeyboardInterrupt):
            get()
    assert not list((tmp_path / "data").rglob("*.jpg"))
    assert contents(get()) == photos


def test_a_folder_in_the_way_is_told_and_an_empty_one_is_filled(
    get: Callable[..., Path], photos: dict[str, bytes], tmp_path: Path
) -> None:
    goal = tmp_path / "data/caltech-101/101_ObjectCategories"
    goal.mkdir(parents=True)
    (goal / "mine.txt").write_text("mine")
    with pytest.raises(DatasetError, match=r"holds something else.*move it away") as error:
        get()
    assert is_sentence(error)
    assert contents(goal) == {"mine.txt": b"mine"}
    (goal / "mine.txt").unlink()
    assert contents(get()) == photos


def test_two_downloads_at_once_take_turns(
    get: Callable[..., Path], server: Server, photos: dict[str, bytes]
) -> None:
    results: list[Path] = []
    threads = [threading.Thread(target=lambda: results.append(get())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    assert server.ranges == [None]
    assert contents(results[0]) == photos


# -- Repairing


@pytest.fixture
def archive(server: Server, tmp_path: Path) -> Path:
    path = tmp_path / "somewhere.zip"
    path.write_bytes(server.body)
    return path


def test_repair_restores_only_what_is_wrong(
    root: Path, archive: Path, photos: dict[str, bytes]
) -> None:
    damage(root)
    altered = {path: (root / path).read_bytes() for path in ALTERED}
    untouched = root / "Faces/image_0001.jpg"
    os.utime(untouched, (1, 1))
    inode = untouched.stat().st_ino
    assert caltech101.repair(root, archive) == sorted(MISSING + ALTERED)
    found = caltech101.verify(root)
    assert found.ok
    assert found.extra == EXTRA
    assert (root / "accordion/notes.txt").read_text() == "mine too"
    assert {p: c for p, c in contents(root).items() if p in photos} == photos
    assert (untouched.stat().st_mtime, untouched.stat().st_ino) == (1, inode)
    assert contents(root.parent / "replaced") == altered
    assert caltech101.repair(root, archive) == []


def test_a_second_repair_keeps_both_altered_files(root: Path, archive: Path) -> None:
    for content in (b"first", b"second", b"third"):
        (root / "Faces/image_0001.jpg").write_bytes(content)
        assert caltech101.repair(root, archive) == ["Faces/image_0001.jpg"]
    assert contents(root.parent / "replaced") == {
        "Faces/image_0001.jpg": b"first",
        "Faces/image_0001-2.jpg": b"second",
        "Faces/image_0001-3.jpg": b"third",
    }


def test_repair_keeps_a_folder_or_a_link_in_a_photos_place(root: Path, archive: Path) -> None:
    (root / "Faces/image_0001.jpg").unlink()
    (root / "Faces/image_0001.jpg").mkdir()
    (root / "Faces/image_0001.jpg/mine.txt").write_text("mine")
    (root / "Faces/image_0002.jpg").unlink()
    (root / "Faces/image_0002.jpg").symlink_to("/nowhere")
    assert len(caltech101.repair(root, archive)) == 2
    assert caltech101.verify(root).ok
    assert (root.parent / "replaced/Faces/image_0001.jpg/mine.txt").read_text() == "mine"
    assert (root.parent / "replaced/Faces/image_0002.jpg").is_symlink()
    assert not (root / "Faces/image_0002.jpg").is_symlink()


def test_repair_uses_the_archive_that_download_kept(
    get: Callable[..., Path], server: Server, photos: dict[str, bytes]
) -> None:
    goal = get()
    (goal / "wrench/image_0001.jpg").unlink()
    assert caltech101.repair(goal) == ["wrench/image_0001.jpg"]
    assert contents(goal) == photos
    assert server.ranges == [None]


def test_repair_downloads_the_archive_when_there_is_none(
    root: Path, server: Server, over_http: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "wrench/image_0001.jpg").unlink()
    checked = partial(
        caltech101._checked_archive, url=server.address, md5=hashlib.md5(server.body).hexdigest()
    )
    monkeypatch.setattr(caltech101, "_checked_archive", checked)
    assert caltech101.repair(root) == ["wrench/image_0001.jpg"]
    assert (root.parent / "caltech-101.zip").read_bytes() == server.body


def test_repair_believes_the_manifest_and_not_the_archive(
    root: Path, photos: dict[str, bytes], tmp_path: Path
) -> None:
    damage(root)
    archive = tmp_path / "other.zip"
    archive.write_bytes(pack(photos | {"accordion/image_0001.jpg": b"not the true photo"}))
    with pytest.raises(
        DatasetError, match=r"lacks a true copy of 1 .*accordion/image_0001"
    ) as error:
        caltech101.repair(root, archive)
    assert is_sentence(error)
    assert (root / "accordion/image_0001.jpg").read_bytes() == b"mine"
    assert caltech101.verify(root).altered == ["accordion/image_0001.jpg"]


def test_a_repair_that_fails_in_writing_loses_nothing(
    root: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "Faces/image_0001.jpg").write_bytes(b"mine")

    def full(self: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(Path, "write_bytes", full)
        with pytest.raises(DatasetError, match="no space") as error:
            caltech101.repair(root, archive)
    assert is_sentence(error)
    assert (root / "Faces/image_0001.jpg").read_bytes() == b"mine"
    assert caltech101.verify(root).extra == []


# -- The real photos


@pytest.mark.skipif(REAL_PHOTOS is None, reason="the photos of Caltech-101 are not here")
def test_the_real_photos_are_verified_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert REAL_PHOTOS is not None
    monkeypatch.setattr(caltech101, "manifest", REAL_MANIFEST)
    start = time.monotonic()
    found = caltech101.verify(REAL_PHOTOS)
    seconds = time.monotonic() - start
    assert found.ok, str(found)
    assert found.sha256 == REAL_MANIFEST().set_index("path")["sha256"].to_dict()
    assert seconds < 10
