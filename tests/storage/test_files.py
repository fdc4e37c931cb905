"""A file is written whole or not at all, also where the power fails."""

import csv
import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans

from caltech_lab.errors import CacheError
from caltech_lab.settings import settings
from caltech_lab.storage.files import (
    json_text,
    make_folder,
    read_json,
    write_atomically,
    write_json,
)
from caltech_lab.storage.models import save_model
from caltech_lab.storage.tables import csv_text, write_csv


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
    with pytest.raises(CacheError, match=r"cannot be written: choose another folder\.$"):
        write_json(tmp_path / "x.json", 1)


def test_what_stands_in_the_way_of_the_outputs_is_named_as_it_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    by = r" with --outputs or CALTECH_LAB_OUTPUTS\.$"
    for outputs, sentence in (
        (tmp_path / "file", f"^{tmp_path}/file is not a folder: choose another folder{by}"),
        (tmp_path / "file/a", f"^{tmp_path}/file/a cannot be made, since {tmp_path}/file is not a"),
        (Path("/proc/nothing"), f"^/proc/nothing cannot be made: choose another folder{by}"),
    ):
        monkeypatch.setenv("CALTECH_LAB_OUTPUTS", str(outputs))
        settings.cache_clear()
        for make in (lambda folder: write_json(folder / "x.json", 1), make_folder):
            with pytest.raises(CacheError, match=sentence):
                make(outputs / "dataset" / "pixels")
    settings.cache_clear()
    with pytest.raises(CacheError, match="folder is a folder: name a file in it"):
        write_json(tmp_path / "folder", 1)
    with pytest.raises(CacheError, match="is too long for a name"):
        write_json(tmp_path / ("x" * 300), 1)


ODD = ["=1+1", "+a", "-k", "@x", "\tx", "\rx", "＝1", "plain", "a=b", "'q", 'quo"te,', "two\nlines"]


def test_a_table_for_people_holds_no_formula_and_numbers_as_they_are(tmp_path: Path) -> None:
    names = pd.Index([*ODD, "q\udcff", ""], dtype=object)
    table = pd.DataFrame({"-name": names, "n": -np.arange(len(names))}, index=names)
    table["share"] = np.full(len(names), -0.1, np.float32)
    table["none"] = None
    write_csv(tmp_path / "x.csv", table.rename_axis("id"))
    with open(tmp_path / "x.csv", encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["id", "'-name", "n", "share", "none"]
    told = [f"'{name}" for name in ODD[:7]] + [*ODD[7:], r"q\udcff", ""]
    assert [row[0] for row in rows] == [row[1] for row in rows] == told
    assert [row[2:] for row in rows] == [[str(-i), "-0.1", ""] for i in range(len(names))]
    assert csv_text(table).count("'=1+1") == 0  # what is read back is as it was


def test_json_is_valid_whatever_the_names(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"name": "q\udcff é"})
    assert json.loads((tmp_path / "x.json").read_bytes().decode("utf-8")) == {"name": "q\udcff é"}
    assert "é" in json_text("é")
    for encoding in ("ascii", "cp1252", "utf-16", "unknown"):
        assert json_text("é", encoding) == r'"\u00e9"'


def test_reading_a_model_imports_neither_pytorch_nor_pytest(tmp_path: Path) -> None:
    save_model(tmp_path / "kmeans.skops", KMeans(2, n_init=1).fit(np.eye(3)))
    code = (
        "import sys; from pathlib import Path\n"
        "from caltech_lab.storage.models import load_model\n"
        f"print(load_model(Path({str(tmp_path / 'kmeans.skops')!r})).n_clusters)\n"
        "print({'torch', 'pytest'} & set(sys.modules))\n"
        "import pytest"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "2\nset()\n"
