"""A small lab for the demo, and ways to act on its page."""

from collections.abc import Callable
from typing import Any

import pytest

from caltech_lab.demo import RetrievalDemo, SearchSession
from caltech_lab.lab import Lab


@pytest.fixture(scope="module", name="lab")
def lab_of_this_module(small_lab: Lab) -> Lab:
    return small_lab


@pytest.fixture(name="session")
def new_session(lab: Lab) -> SearchSession:
    return SearchSession(lab)


@pytest.fixture(name="demo")
def retrieval_demo(session: SearchSession) -> RetrievalDemo:
    return RetrievalDemo(session)


@pytest.fixture(scope="session")
def upload() -> Callable[..., None]:
    """Give a way to upload a file as the page does, in chunks."""
    numbers = iter(range(10**6))

    def send(
        demo: RetrievalDemo, data: bytes, name: str = "holiday.jpg", chunk: int = 1000, **more: Any
    ) -> None:
        number = next(numbers)
        for start in range(0, max(len(data), 1), chunk):
            message = {
                "do": "upload", "upload": number, "name": name, "size": len(data), "start": start,
            }  # fmt: skip
            demo._received(demo, message | more, [memoryview(data[start : start + chunk])])

    return send


@pytest.fixture(scope="session")
def photo_bytes() -> Callable[..., bytes]:
    """Give the file of a gallery photo; with a byte more it is unknown to the gallery."""

    def read(session: SearchSession, row: int) -> bytes:
        return session.gallery.photos.file(row).read_bytes()

    return read
