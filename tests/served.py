"""Archives of the official shape, and a server on this machine that hands them out."""

import io
import ssl
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


def contents(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def is_sentence(error: pytest.ExceptionInfo[BaseException]) -> bool:
    text = str(error.value)
    return text.endswith(".") and "\n" not in text and ". " not in text.replace("..", "")


def entry(name: str, kind: bytes = tarfile.REGTYPE, **fields: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def pack(
    photos: dict[str, bytes],
    extra: tarfile.TarInfo | None = None,
    zipped: Callable[[zipfile.ZipFile], None] = lambda _: None,
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


class Server(ThreadingHTTPServer):
    """Serves `body` with Range support; each entry of `faults` spoils one request."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, body: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = body
        self.faults: list[str] = []
        self.ranges: list[str | None] = []
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
