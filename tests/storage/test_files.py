"""A file is written whole or not at all, also where the power fails."""

import errno
import os
import stat
from pathlib import Path

import pytest

from caltech_lab.errors import CacheError
from caltech_lab.storage.files import read_json, write_atomically, write_json


@pytest.mark.skipif(os.name != "posix", reason="folders are flushed where the system offers it")
def test_a_file_is_on_the_disk_before_it_has_its_name_and_the_name_before_it_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a power cut leaves an empty file of that name, or none."""
    path, done = tmp_path / "new" / "x.json", []
    fsync, replace = os.fsync, os.replace

    def flushed(descriptor: int) -> None:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            done.append(("flush", status.st_ino, list(path.parent.iterdir())))
        else:
            done.append(("flush", status.st_ino, status.st_size))
        fsync(descriptor)

    def renamed(source: Path, target: Path) -> None:
        done.append(("rename", source.stat().st_ino, target))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "replace", renamed)
    write_json(path, [1, 2])
    file, folder = path.stat(), path.parent.stat()
    assert done == [
        ("flush", file.st_ino, file.st_size),
        ("rename", file.st_ino, path),
        ("flush", folder.st_ino, [path]),
    ]


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_step_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, there: bool
) -> None:
    path = tmp_path / "x.json"
    if there:
        write_json(path, "old")

    def fails(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def write() -> None:
        with write_atomically(path) as temporary:
            temporary.write_text("half of")
            if step == "write":
                fails()

    if step != "write":
        monkeypatch.setattr(os, step, fails)
    with pytest.raises(CacheError, match=r"^No space is left for .*\.$"):
        write()
    monkeypatch.undo()
    assert sorted(tmp_path.iterdir()) == ([path] if there else [])
    assert not there or read_json(path) == "old"


def test_the_temporary_file_lies_beside_the_other_and_has_its_ending(tmp_path: Path) -> None:
    with write_atomically(tmp_path / "x.npy") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".npy"
        temporary.touch()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EPERM])
def test_a_folder_that_cannot_be_written_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fails(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(CacheError, match=r"cannot be written: set CALTECH_LAB_OUTPUTS .*\.$"):
        write_json(tmp_path / "x.json", 1)
