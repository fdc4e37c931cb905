"""Progress bars are seen where they help, and nowhere else."""

import io
import sys

import pytest

from caltech_lab.datasets.photos import hash_files
from caltech_lab.storage.progress import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("log", [True, False])
def test_a_bar_is_for_a_terminal_and_for_something_to_do(
    log: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO() if log else Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    assert list(progress([], desc="Reading")) == []
    assert list(progress(iter(()), total=0, desc="Reading")) == []
    with progress(total=0, desc="Reading"):
        pass
    assert hash_files([], "Reading") == []
    assert stream.getvalue() == ""
    assert list(progress(iter("ab"), total=2, desc="Reading")) == ["a", "b"]
    assert ("Reading" in stream.getvalue()) is not log
