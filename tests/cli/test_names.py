"""Names of files and categories on the command line: any of them, typed and shown."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from caltech_lab.cli.common import shown
from caltech_lab.errors import shown_name
from tests.cli.test_cli import Done, ended, environment, failed, run, start
from tests.pictures import encode

POSIX = pytest.mark.skipif(os.name != "posix", reason="names that Windows does not take")


def photo(path: Path, seed: int) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(Image.fromarray(pixels), "PNG"))
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give photos in categories with odd names, and a byte copy of one of them."""
    root = tmp_path_factory.mktemp("home") / "photos"
    for seed, category in enumerate(("Cafe\u0301", "Café", "dog", "-k", "Ba$$in", "=1+1", "猫")):
        for number in range(3):
            photo(root / category / f"p{number}.png", 10 * seed + number)
    shutil.copy(root / "dog" / "p0.png", root / "dog" / "z.png")
    return root


@pytest.fixture(scope="module")
def lab(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Done]:
    outputs = tmp_path_factory.mktemp("outputs")
    options = ("--dataset", photos, "--backbone", "pixels", "--outputs", outputs)
    assert run("extract", *options).code == 0
    return lambda *words: run(*words[:1], *options, *words[1:])


def answers(done: Done) -> list[list[str]]:
    assert done.code == 0, done.err
    return [[a["path"] for a in q["answers"]] for q in done.json["result"]["queries"]]


# ---- names that are shown -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("two\nlines", r"two\nlines"),
        ("a\x1b[2J\r\x1b]0;x\x07.png", r"a\x1b[2J\r\x1b]0;x\x07.png"),
        ("q\udcff.jpg", r"q\udcff.jpg"),
        ("\u202egpj.exe\u2028\x9b", r"\u202egpj.exe\u2028\x9b"),
        ("Bild 3.04\u202fPM é 猫 👩\u200d🚀", "Bild 3.04\u202fPM é 猫 👩\u200d🚀"),
        (r"C:\photos", r"C:\photos"),
    ],
)
def test_a_console_obeys_no_name(name: str, escaped: str) -> None:
    assert shown_name(name) == escaped


@POSIX
def test_odd_queries_are_found_and_shown_as_escapes(lab: Any, photos: Path, tmp_path: Path) -> None:
    odd = []
    for name in ("two\nlines.png", "a\x1b[2J\r.png", "q\udcff.png"):
        odd.append(tmp_path / name)
        shutil.copy(photos / "dog" / "p1.png", odd[-1])
    sheet, table = tmp_path / "s.png", tmp_path / "t.csv"
    done = lab("retrieve", *odd, "-k", 1, "--sheet", sheet, "--csv", table)
    assert done.code == 0, done.err
    first = [line for line in done.out.splitlines() if line.endswith(":")]
    assert first == [f"{shown_name(path)}:" for path in odd]
    assert "\x1b" not in done.out + done.err
    with open(table, encoding="utf-8", newline="") as file:
        queries = [row[0] for row in csv.reader(file)]
    assert queries[1:] == [str(odd[0]), str(odd[1]), shown_name(odd[2])]
    with Image.open(sheet) as picture:
        assert picture.width > 100
    value = lab("retrieve", *odd, "-k", 1, "--json").json
    assert [query["photo"] for query in value["result"]["queries"]] == [str(path) for path in odd]
    failed(lab("retrieve", tmp_path / "no\nthing\x1b.png"), r"no\nthing\x1b.png does not exist")


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_console_of_another_encoding_fails_nothing(
    photos: Path, tmp_path: Path, encoding: str
) -> None:
    words = ("retrieve", photos / "猫/p0.png", "-k", 1, "--dataset", photos, "--backbone", "pixels",
             "--outputs", tmp_path / "é", "--csv", tmp_path / "é.csv")  # fmt: skip
    for more in ((), ("--json",)):
        command = [sys.executable, "-m", "caltech_lab", *map(str, words), *more]
        done = subprocess.run(
            command, capture_output=True, env=environment(PYTHONIOENCODING=encoding), check=False
        )
        assert done.returncode == 0, done.stderr
        assert encoding == "ascii" or rb"\u732b" in done.stdout  # Typer takes ascii for UTF-8
    value = json.loads(done.stdout.decode("utf-8"))
    assert value["result"]["queries"][0]["photo"].endswith("猫/p0.png")


def test_a_sheet_of_odd_categories_warns_of_nothing(
    lab: Any, photos: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    sheet = tmp_path / "s.png"
    done = lab("retrieve", photos / "Ba$$in/p0.png", "-k", 20, "--sheet", sheet)
    assert done.code == 0, done.err
    assert sheet.is_file()
    assert not [w for w in recwarn if "Glyph" in str(w.message) or "layout" in str(w.message)]


def test_paths_are_shown_from_here_and_never_without_their_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert shown(tmp_path / "a" / "b") == str(Path("a") / "b")
    assert shown(Path("a")) == "a"
    assert shown(tmp_path.parent / "c") == str(tmp_path.parent / "c")
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert shown(Path("link/x")) == str(Path("link") / "x")
    monkeypatch.chdir(tmp_path.anchor)
    assert shown(tmp_path) == str(tmp_path)


def test_a_home_that_the_shell_left_is_found(
    lab: Any, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    done = lab("retrieve", photos / "dog/p0.png", "--csv=~/t.csv")
    assert f"Written    {tmp_path / 't.csv'}" in done.out
    assert (tmp_path / "t.csv").is_file()


# ---- search -------------------------------------------------------------------------------------


def test_a_query_finds_its_copies_and_never_itself(lab: Any, photos: Path, tmp_path: Path) -> None:
    inside, copy = photos / "dog" / "p0.png", tmp_path / "copy.png"
    shutil.copy(inside, copy)
    link = tmp_path / "link.png"
    link.symlink_to(inside)
    for gallery in ("exact", "hnsw"):
        done = lab("retrieve", inside, inside, photos / "dog/z.png", link, copy, "-k", 2, "--json",
                   "--gallery", gallery)  # fmt: skip
        first, again, of_copy, of_link, outside = answers(done)
        assert first[0] == again[0] == of_link[0] == "dog/z.png"
        assert of_copy[0] == "dog/p0.png"
        assert outside == ["dog/p0.png", "dog/z.png"]
        assert done.json["result"]["queries"][0]["answers"][0]["similarity"] == pytest.approx(1)


@POSIX
def test_of_hard_links_the_one_that_was_named_is_the_query(tmp_path: Path) -> None:
    for seed in range(3):
        photo(tmp_path / "photos" / f"p{seed}.png", seed)
    os.link(tmp_path / "photos/p0.png", tmp_path / "photos/same.png")
    photos = tmp_path / "photos"
    options = ("--dataset", photos, "--backbone", "pixels", "--outputs", tmp_path / "o")
    for name, other in (("p0.png", "same.png"), ("same.png", "p0.png")):
        assert answers(run("retrieve", photos / name, "-k", 1, "--json", *options)) == [[other]]


def test_categories_are_the_same_whichever_way_they_are_encoded(lab: Any, photos: Path) -> None:
    query = photos / "dog" / "p0.png"
    for typed in ("Café", "Cafe\u0301"):
        (found,) = answers(lab("retrieve", query, "--category", typed, "--json"))
        assert {path.split("/")[0] for path in found} == {"Café", "Cafe\u0301"}
    (found,) = answers(lab("retrieve", query, "--category", "-k", "--category", "dog", "--json"))
    assert len(found) == 6
    assert {path.split("/")[0] for path in found} == {"-k", "dog"}


def test_an_unknown_category_is_an_error_that_names_similar_ones(lab: Any, photos: Path) -> None:
    query = photos / "dog" / "p0.png"
    for typed in ("doog", "Dogs"):
        done = lab("retrieve", query, "--category", typed)
        assert done.code == 1
        assert done.err.endswith(f"There is no category '{typed}'. Did you mean 'dog'?\n")
    failed(lab("retrieve", query, "--category", "zzzzz"), "There is no category 'zzzzz': there are")


def test_a_category_with_nothing_else_in_it_is_told(tmp_path: Path) -> None:
    for seed, name in enumerate(("a/1.png", "b/1.png", "b/2.png")):
        photo(tmp_path / "photos" / name, seed)
    one, two = tmp_path / "photos/a/1.png", tmp_path / "photos/b/1.png"
    options = ("--category", "a", "--dataset", tmp_path / "photos", "--backbone", "pixels",
               "--outputs", tmp_path / "o")  # fmt: skip
    done = run("retrieve", one, two, "--sheet", tmp_path / "s.png", *options)
    assert done.out.startswith(f"{one}: no results\n{two}:\n   1  ")
    assert answers(run("retrieve", one, two, "--json", *options)) == [[], ["a/1.png"]]


@POSIX
def test_a_file_that_looks_like_an_option_is_told_how_to_be_named(
    lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("-k.jpg", "-x.jpg", "--fast"):
        photo(tmp_path / name, 1)
        for command in ("retrieve", "predict"):
            done = lab(command, name)
            assert done.code == 2
            hint = f"To name the file {name}, put -- before it: caltech-lab {command} -- {name}"
            assert hint in " ".join(done.err.split())
        assert lab("retrieve", "-k", 1, "--", name).code == 0
    done = lab("retrieve", "-y.jpg")
    assert done.code == 2
    assert "put --" not in done.err


# ---- as many as there are -----------------------------------------------------------------------


def test_defaults_shrink_to_what_there_is_and_what_was_typed_is_refused(
    lab: Any, photos: Path, tmp_path: Path
) -> None:
    for seed in range(3):
        photo(tmp_path / "three" / f"p{seed}.png", seed)
    few = ("--dataset", tmp_path / "three", "--backbone", "pixels", "--outputs", tmp_path / "o")
    query, other = tmp_path / "three/p0.png", photos / "dog/p0.png"
    assert [len(found) for found in answers(run("retrieve", query, other, "--json", *few))] == [
        2,
        3,
    ]
    sentence = "-k 100 is too large: this dataset has 3 photos, so at most 2 results."
    failed(run("retrieve", query, "-k", 100, *few), sentence)
    assert run("duplicates", "--top", 100, *few).code == 0


def test_predict_names_as_many_categories_as_there_are(tmp_path: Path) -> None:
    for seed in range(12):
        photo(tmp_path / "two" / "ab"[seed % 2] / f"{seed}.png", seed)
    words = ("predict", tmp_path / "two/a/0.png", "--dataset", tmp_path / "two", "--backbone",
             "pixels", "--outputs", tmp_path / "o")  # fmt: skip
    assert len(run(*words, "--json").json["result"]["predictions"][0]["best"]) == 2
    failed(run(*words, "--top", 3), "--top 3 is too large: the classifier knows 2 categories.")


# ---- what cannot be written ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [("extract",), ("cluster", "-k", "2"), ("duplicates",), ("index",), ("export",)]
)
def test_outputs_that_cannot_be_made_are_a_sentence(
    words: tuple[str, ...], photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    for outputs in (tmp_path / "file", tmp_path / "file" / "deeper", Path("/proc/nothing")):
        done = run(*words, "--dataset", photos, "--backbone", "pixels", "--outputs", outputs)
        failed(done, str(outputs), "choose another folder with --outputs")


def test_a_table_or_sheet_that_cannot_be_written_is_a_sentence(
    lab: Any, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    query = photos / "dog" / "p0.png"
    for option, name in (("--csv", "file/t.csv"), ("--sheet", "file/s.png")):
        failed(lab("retrieve", query, option, tmp_path / name), "is not a folder: choose another")
        assert lab("retrieve", query, option, tmp_path).code == 2


def test_whatever_the_system_refuses_is_a_sentence(
    lab: Any, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for names, sentence in (
        ([], "The system refused a request (Input/output error): check"),
        (["/a\nb"], r"/a\nb cannot be used (Input/output error): check"),
    ):
        fault = OSError(5, "Input/output error", *names)
        monkeypatch.setattr("caltech_lab.cli.queries.read_photo", Mock(side_effect=fault))
        failed(lab("retrieve", photos / "dog/p0.png"), sentence)


def test_nothing_but_sentences_is_on_standard_error(photos: Path, tmp_path: Path) -> None:
    options = ("--dataset", photos, "--backbone", "pixels", "--outputs", tmp_path / "out")
    for words in (("verify",), ("retrieve", photos / "dog/p0.png"), ("duplicates",)):
        done = ended(start(*words, *options))
        assert done.code == 0, done.err
        for line in done.err.splitlines():
            assert line.startswith(("Photos  ", "Backbone", "Outputs", "Seed", "There are no emb",
                                    "21 photos extracted")), line  # fmt: skip
