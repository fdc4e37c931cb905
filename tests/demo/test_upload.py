"""An upload arrives in chunks, whatever the page or the browser does meanwhile."""

import pytest

from caltech_lab.demo import upload as module
from caltech_lab.demo.upload import Upload
from caltech_lab.errors import PhotoError


def chunks(data: bytes, number: int, size: int = 4) -> list[tuple[dict[str, object], list[bytes]]]:
    about = {"upload": number, "name": "a.jpg", "size": len(data)}
    return [
        (about | {"start": start}, [data[start : start + size]])
        for start in range(0, max(1, len(data)), size)
    ]


def test_the_file_is_complete_with_its_last_chunk():
    upload = Upload()
    *most, last = chunks(b"0123456789", 1)
    assert [upload.take(*chunk) for chunk in most] == [None, None]
    assert upload.take(*last) == b"0123456789"
    assert upload.take(*last) is None  # and not twice


def test_the_same_file_can_be_sent_again():
    upload = Upload()
    for number in (1, 2):
        assert [upload.take(*c) for c in chunks(b"01234567", number)] == [None, b"01234567"]


def test_an_empty_file_is_a_file():
    assert Upload().take(*chunks(b"", 1)[0]) == b""


def test_a_newer_upload_replaces_an_unfinished_one():
    old, new = chunks(b"aaaaaaaaaaaa", 1), chunks(b"bbbbbbbbbbbb", 2)
    upload = Upload()
    for chunk in (old[0], new[0], old[1], new[1], old[2]):
        assert upload.take(*chunk) is None
    assert upload.take(*new[2]) == b"bbbbbbbbbbbb"


def test_what_the_browser_reports_is_a_sentence(monkeypatch):
    upload = Upload()
    about = {"upload": 1, "name": "b.png", "size": 130 * 2**20, "start": 0}
    with pytest.raises(PhotoError, match=r"b\.png has 130 MB, but the limit is 128 MB: save"):
        upload.take(about, [])
    with pytest.raises(PhotoError, match=r"could not read b\.png: choose it again"):
        upload.take(about | {"size": 10, "fault": True}, [])
    monkeypatch.setattr(module, "MAX_BYTES", 5)
    with pytest.raises(PhotoError, match="limit is"):
        upload.take(*chunks(b"0123456789", 1)[0])


def test_more_than_was_announced_is_cut():
    about = {"upload": 1, "name": "a.jpg", "size": 4, "start": 0}
    assert Upload().take(about, [b"01234567"]) == b"0123"
