"""Settings take paths as people write them."""

from pathlib import Path

import pytest

from caltech_lab.settings import from_home


def test_a_tilde_is_a_home_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert from_home("~/photos") == tmp_path / "photos"
    assert from_home(Path("a/~")) == Path("a/~")
    assert from_home("~nobody-of-this-name/x") == Path("~nobody-of-this-name/x")
