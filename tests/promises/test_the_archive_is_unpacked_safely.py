"""Archives fetched from a server on this machine, and unpacked."""

import hashlib
import io
import random
import shutil
import ssl
import subprocess
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from caltech_lab.datasets import archives
from caltech_lab.datasets.archives import Archive
from caltech_lab.errors import DatasetError
from tests.served import Server, contents, entry, is_sentence, pack, serving


@pytest.fixture(scope="module")
def photos() -> dict[str, bytes]:
    folders = ("BACKGROUND_Google", "Faces", "wrench")
    names = [f"{folder}/image_{i:04d}.jpg" for folder in folders for i in range(1, 6)]
    return {name: random.Random(name).randbytes(10_000) for name in names}


@pytest.fixture
def server(photos: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    with serving(pack(photos)) as running:
        yield running


@pytest.fixture
def over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test fetch over http, which the package never does."""
    monkeypatch.setattr(archives, "SCHEMES", ("http",))


def archive_of(server: Server) -> Archive:
    return Archive(
        dataset="Caltech-101",
        url=server.address,
        md5=hashlib.md5(server.body).hexdigest(),
        name="caltech-101.zip",
        size=1_000_000,
        folder="101_ObjectCategories",
        max_members=100,
        max_bytes=1_000_000,
    )


def bring(archive: Archive, data: Path) -> Path:
    goal = data / "caltech-101/101_ObjectCategories"
    archive.unpack(archive.fetch(data), goal)
    return goal


@pytest.fixture
def get(server: Server, over_http: None, tmp_path: Path) -> Callable[..., Path]:
    """Fetch and unpack the server's archive; arguments change what is known of it."""
    return lambda **known: bring(replace(archive_of(server), **known), tmp_path / "data")


# -- Fetching


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
    server.faults = [f"cut {10_000 * n}" for n in range(1, archives.ATTEMPTS + 1)]
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


@pytest.mark.parametrize("fault", ["hang", "stall 0"])
def test_a_hung_server_is_given_up(
    fault: str, get: Callable[..., Path], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "TIMEOUT", 0.3)
    server.faults = [fault] * 10
    start = time.monotonic()
    with pytest.raises(DatasetError, match=r"cannot be reached|stalled") as error:
        get()
    assert is_sentence(error)
    assert time.monotonic() - start < 3
    assert len(server.ranges) == 1


def test_an_unreachable_server_is_told_at_once(get: Callable[..., Path], server: Server) -> None:
    server.shutdown()
    server.server_close()
    start = time.monotonic()
    with pytest.raises(
        DatasetError, match=r"127\.0\.0\.1:\d+ cannot be reached .*by hand"
    ) as error:
        get()
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
            replace(archive_of(server), url=url).fetch(tmp_path)
        assert is_sentence(error)
    assert server.ranges == []


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
    with serving(server.body, context) as secure:
        archive = archive_of(secure)
        archive = replace(archive, url=archive.url.replace("http:", "https:"))
        secure.faults = [f"redirect {server.address}"]
        with pytest.raises(DatasetError, match="is not an https address") as error:
            archive.fetch(tmp_path / "data")
        assert is_sentence(error)
        assert server.ranges == []
        goal = bring(archive, tmp_path / "data")
    assert contents(goal) == photos


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
    with pytest.raises(DatasetError, match="not safe to unpack"):
        list(archive_of(server).read(tmp_path / "data/caltech-101.zip", photos))


def test_an_evil_zip_entry_stops_the_unpacking(
    get: Callable[..., Path], server: Server, photos: dict[str, bytes]
) -> None:
    def put(info: zipfile.ZipInfo | str, outer: zipfile.ZipFile) -> None:
        outer.writestr(info, "evil")

    link = zipfile.ZipInfo("caltech-101/evil")
    link.external_attr = 0o120777 << 16
    for info in ("../evil", "/evil", link):
        server.body = pack(photos, zipped=partial(put, info))
        with pytest.raises(DatasetError, match="not safe to unpack") as error:
            get()
        assert is_sentence(error)
        (archive,) = (p for p in Path(error.value.args[0].split(" is not")[0]).parent.glob("*.zip"))
        archive.unlink()


@pytest.mark.parametrize("limit", ["max_members", "max_bytes"])
def test_a_bomb_stops_the_unpacking(
    limit: str, get: Callable[..., Path], photos: dict[str, bytes]
) -> None:
    whole = {"max_members": len(photos), "max_bytes": sum(map(len, photos.values()))}[limit]
    with pytest.raises(DatasetError, match="far larger than Caltech-101"):
        get(**{limit: whole - 1})
    assert contents(get(**{limit: whole})) == photos


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
    assert not list((tmp_path / "data/caltech-101").iterdir())


def test_an_interrupted_unpacking_leaves_nothing(
    get: Callable[..., Path],
    photos: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write, done = archives._write, []

    def interrupted(*args: Any) -> None:
        write(*args)
        done.append(1)
        if len(done) == 13:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(archives, "_write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            get()
    assert not list((tmp_path / "data").rglob("*.jpg"))
    assert contents(get()) == photos


def test_a_folder_with_files_is_never_replaced(get: Callable[..., Path]) -> None:
    goal = get()
    (goal / "mine.txt").write_text("mine")
    before = contents(goal)
    with pytest.raises(OSError, match="not empty"):
        get()
    assert contents(goal) == before


def test_read_gives_what_is_wanted_and_there(
    server: Server, photos: dict[str, bytes], tmp_path: Path
) -> None:
    path = tmp_path / "somewhere.zip"
    path.write_bytes(server.body)
    wanted = {"Faces/image_0002.jpg", "wrench/image_0005.jpg", "Faces/none.jpg", "Faces"}
    read = dict(archive_of(server).read(path, wanted))
    assert read == {name: photos[name] for name in wanted if name in photos}
    assert list(tmp_path.iterdir()) == [path]
