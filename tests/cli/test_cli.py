"""The command line: each command, done right and done wrong.

Most of it runs in this process, since one of its own takes two seconds to import what it needs;
what only a process shows (imports, side by side, no more on standard error than the sentence) is
tested with one.
"""

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any
from unittest.mock import patch

import jsonschema
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from threadpoolctl import threadpool_limits
from typer.testing import CliRunner

from caltech_lab.cli import app, commands, common
from caltech_lab.datasets import caltech101, folder
from caltech_lab.datasets.formats import FORMATS_LISTED
from caltech_lab.embedding import backbones
from caltech_lab.settings import settings

SCHEMA = json.loads((files("caltech_lab.cli") / "output.schema.json").read_text("utf-8"))
COMMANDS = (
    "download", "verify", "repair", "doctor", "extract", "export", "demo", "cluster", "train",
    "index", "evaluate", "report", "predict", "retrieve", "duplicates",
)  # fmt: skip
OPTIONS = ("--dataset", "--exclude", "--backbone", "--outputs", "--seed", "--json")


@dataclass
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        value = json.loads(self.out)
        jsonschema.validate(value, SCHEMA)
        return value


def environment(**more: str) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("CALTECH_LAB_")}
    # Processes run side by side; each takes one core.
    threads = {"OMP_NUM_THREADS": "1", "CALTECH_LAB_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    return clean | threads | more


def start(*words: object, **more: str) -> "subprocess.Popen[str]":
    """Start a command as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "caltech_lab", *map(str, words)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
        env=environment(**more),
    )  # fmt: skip


def ended(process: "subprocess.Popen[str]") -> Done:
    out, err = process.communicate(timeout=240)
    return Done(process.returncode, out, err)


def run(*words: object) -> Done:
    """Run a command in this process; what a process would show as a traceback is raised."""
    # A command writes its options into the environment.
    with patch.dict(os.environ, environment(), clear=True), threadpool_limits(1):
        settings.cache_clear()
        done = CliRunner().invoke(
            app, [*map(str, words)], prog_name="caltech-lab", catch_exceptions=False
        )
    settings.cache_clear()
    return Done(done.exit_code, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def photos(drawn_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a few drawn photos of four categories, as somebody's own folder."""
    root = tmp_path_factory.mktemp("home") / "my photos é"
    for category in ("pizza", "lotus", "watch", "ketch"):
        for number in range(1, 15):
            path = root / category / f"photo {number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(drawn_sample / category / f"image_{number:04d}.jpg", path)
    return root


@pytest.fixture(scope="module")
def lab(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Done]:
    """Give a way to run a command on these photos, with outputs that all tests share."""
    outputs = tmp_path_factory.mktemp("shared")
    options = ("--dataset", photos, "--backbone", "pixels", "--outputs", outputs)
    first = ended(start("extract", *options))
    assert first.code == 0, first.err
    return lambda *words: run(*words, *options)


# ---- every command, done right ---------------------------------------------------------------


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from caltech_lab.cli import main\n"
        "for word in sys.argv[1:]:\n"
        "    sys.argv[1:] = [*word.split(), '--help']\n"
        "    try: main()\n"
        "    except SystemExit as end: assert not end.code\n"
        "    print('\\f')\n"
        "    print(sorted({'torch', 'sklearn', 'faiss', 'numpy', 'pandas', 'matplotlib'}"
        " & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "", *COMMANDS], capture_output=True, text=True, check=True
    )
    assert done.stderr.split() == ["[]"] * (1 + len(COMMANDS))
    pages = done.stdout.split("\f")[:-1]
    for words, page in zip(("", *COMMANDS), pages, strict=True):
        for name in OPTIONS if words else COMMANDS:
            assert name in page


def test_each_step_on_its_own_makes_what_it_needs_first(photos: Path, tmp_path: Path) -> None:
    one = photos / "pizza" / "photo 1.jpg"
    steps = (("cluster", "-k", 5), ("retrieve", one, "-k", 3), ("predict", one))
    options = ("--dataset", photos, "--backbone", "pixels", "--json")
    for step in steps:
        done = run(*step, *options, "--outputs", tmp_path / step[0])
        assert done.code == 0, done.err
        assert done.json["command"] == step[0]


def test_what_is_excluded_is_left_out_and_counted(photos: Path, tmp_path: Path) -> None:
    root = tmp_path / "mine"
    shutil.copytree(photos, root)
    shutil.copytree(photos, root / "drafts")
    n = sum(1 for path in photos.rglob("*.jpg"))
    common_options = ("--dataset", root, "--backbone", "pixels", "--outputs", tmp_path / "out")
    words = ("extract", *common_options, "--exclude", "drafts/", "--exclude", "*.gif", "--json")
    done = run(*words)
    assert done.code == 0, done.err
    assert done.json["result"]["n_photos"] == n
    assert f"; {n} excluded." in done.err
    assert run("extract", *common_options, "--json").json["result"]["n_photos"] == 2 * n
    refused = run("extract", "--dataset", "drawn", "--exclude", "drafts/")
    assert refused.code == 1
    assert "'drafts/' exclude photos of a folder of your own" in refused.err


def test_extract_says_what_it_did_and_is_quick_the_second_time(lab: Any) -> None:
    told, value = lab("extract"), lab("extract", "--json").json
    assert "embeddings are current" in told.out
    assert "Photos" in told.err
    assert "Photos  " not in told.out
    assert value["result"]["n_extracted"] == 0
    assert value["result"]["n_photos"] == value["result"]["n_embeddings"]
    assert (Path(value["wrote"][0]) / "embeddings.npy").is_file()


@pytest.mark.parametrize(
    "words",
    [("kmeans", "-k", "4"), ("hierarchical", "-k", "3"), ("smoothed", "-k", "3"),
     ("hierarchical", "-k", "3", "--linkage", "average", "--metric", "cosine")],
    ids=" ".join,
)  # fmt: skip
def test_cluster_writes_the_cluster_of_each_photo(lab: Any, words: tuple[str, ...]) -> None:
    value = lab("cluster", *words, "--json").json
    table = pd.read_csv(value["wrote"][0])
    sizes = {row["cluster"]: row["size"] for row in value["result"]["clusters"]}
    assert table["cluster"].value_counts().to_dict() == sizes
    assert list(table) == ["path", "category", "cluster"]
    assert value["result"]["k"] == len(sizes) == int(words[2])


def test_classifiers_are_trained_tested_and_asked(
    lab: Any, photos: Path, drawn_sample: Path, tmp_path: Path
) -> None:
    for classifier in ("svm", "random-forest"):
        value = lab("train", classifier, "--json").json["result"]
        assert value["classifier"] == classifier
        assert value["accuracy_interval"][0] <= value["accuracy"] <= value["accuracy_interval"][1]
    known, new = photos / "pizza" / "photo 1.jpg", tmp_path / "new one.jpg"
    shutil.copyfile(drawn_sample / "pizza" / "image_0020.jpg", new)
    for classifier in ("svm", "random-forest"):
        done = lab("predict", known, new, "--classifier", classifier, "--json")
        answers = done.json["result"]["predictions"]
        assert [Path(answer["photo"]) for answer in answers] == [known, new]
        assert not answers[1]["in_training_set"]
        shares = [entry["probability"] for entry in answers[0]["best"]]
        assert shares == sorted(shares, reverse=True)


def test_retrieve_ranks_and_can_draw_a_contact_sheet(
    lab: Any, photos: Path, tmp_path: Path
) -> None:
    one, two = photos / "pizza" / "photo 1.jpg", tmp_path / "same as 2, twice as large.png"
    with Image.open(photos / "pizza" / "photo 2.jpg") as photo:
        photo.resize((photo.width * 2, photo.height * 2)).save(two)
    sheet, table = tmp_path / "sheet.png", tmp_path / "answers.csv"
    done = lab("retrieve", one, two, "-k", 4, "--sheet", sheet, "--csv", table, "--json")
    first, second = (query["answers"] for query in done.json["result"]["queries"])
    assert [len(first), len(second)] == [4, 4]
    assert "pizza/photo 1.jpg" not in [answer["path"] for answer in first]
    assert second[0]["path"] == "pizza/photo 2.jpg"
    assert pd.read_csv(table)["rank"].tolist() == [1, 2, 3, 4] * 2
    with Image.open(sheet) as picture:
        assert picture.width > 400


def test_index_evaluate_and_export_say_where(lab: Any, tmp_path: Path) -> None:
    index = lab("index", "--json").json
    assert index["result"]["n_photos"] == 56
    value = lab("evaluate", "-k", 3, "--json").json
    assert json.loads(Path(value["wrote"][0]).read_text()) == value["result"]
    kinds = {"parquet": ["embeddings.parquet"], "npy": ["embeddings.npy", "photos.csv"],
             "projector": ["vectors.tsv", "metadata.tsv"]}  # fmt: skip
    for kind, names in kinds.items():
        value = lab("export", "--format", kind, "--to", tmp_path / kind, "--json").json
        assert [Path(path).name for path in value["wrote"]] == names
        assert all(Path(path).is_file() for path in value["wrote"])


def test_duplicates_and_verify_and_doctor(lab: Any) -> None:
    value = lab("duplicates", "--json").json["result"]
    assert value["n_in_groups"] == sum(map(len, value["groups"]))
    assert lab("verify", "--json").json["result"]["unreadable"] == {}
    done = lab("doctor", "--json")
    checks = {check["name"]: check for check in done.json["result"]["checks"]}
    assert set(checks) >= {"Python", "packages", "processor", "weights", "dataset", "memory"}
    assert done.code == (1 if "missing" in {c["status"] for c in checks.values()} else 0)


@pytest.mark.parametrize("name", ["resnet50-v2", "vit_b_16"])
def test_doctor_downloads_no_weights_of_torchvision(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("CALTECH_LAB_DATA", str(tmp_path))
    with patch("torch.hub.download_url_to_file") as download:
        done = run("doctor", "--json", "--dataset", photos, "--backbone", name)
    checks = {check["name"]: check for check in done.json["result"]["checks"]}
    assert not download.called
    assert (checks["weights"]["status"], checks["speed"]["status"]) == ("note", "note")


def test_the_drawn_sample_is_there_for_every_command_that_gets_photos() -> None:
    for command in ("download", "repair", "verify"):
        assert run(command, "--dataset", "drawn", "--json").json["ok"]


def test_the_report_of_own_photos(lab: Any) -> None:
    done = lab("report", "--json")
    assert done.code == 0, done.err
    names = [Path(path).name for path in done.json["wrote"]]
    assert names[0] == "final_report.json"
    assert names[-2:] == ["model_card.md", "dataset_card.md"]
    assert all(Path(path).is_file() for path in done.json["wrote"])


def test_completion_is_offered_for_names() -> None:
    done = ended(start(
        _CALTECH_LAB_COMPLETE="complete_bash", COMP_WORDS="caltech-lab extract --backbone pix",
        COMP_CWORD="3",
    ))  # fmt: skip
    assert done.out.split() == ["pixels"]


# ---- every command, done wrong ----------------------------------------------------------------

USAGE = [
    ("cluster", "sorting"),
    ("cluster", "-k", "1"),
    ("cluster", "-k", "many"),
    ("cluster", "hierarchical", "--metric", "cosine"),
    ("train", "perceptron"),
    ("extract", "--backbone", "resnet51"),
    ("extract", "--seed", "-1"),
    ("index", "--fast"),
    ("evaluate", "-k", "0"),
    ("report", "more"),
    ("predict",),
    ("predict", "a.jpg", "--top", "0"),
    ("retrieve",),
    ("retrieve", "a.jpg", "-k", "0"),
    ("retrieve", "-k", "3"),
    ("retrieve", "a.jpg", "--sheet", "sheet.jpg"),
    ("duplicates", "--top", "-1"),
    ("export", "--format", "xlsx"),
    ("export", "--components", "5"),
    ("download", "there"),
    ("verify", "--seed", "one"),
    ("repair", "--backbone", "none"),
    ("doctor", "please"),
    ("demo", "--port", "80"),
    ("walk",),
]


def refused(done: Done, words: tuple[str, ...]) -> None:
    assert (done.code, done.out) == (2, "")
    assert "Traceback" not in done.err
    assert words[0] in done.err or "Usage" in done.err


@pytest.mark.parametrize("words", USAGE, ids=" ".join)
def test_wrong_usage_is_two(words: tuple[str, ...]) -> None:
    refused(run(*words), words)


def test_wrong_usage_of_a_process_is_two() -> None:
    refused(ended(start(*USAGE[0])), USAGE[0])


def failed(done: Done, *words: str) -> None:
    assert done.code == 1, (done.out, done.err)
    assert done.out == ""
    assert "Traceback" not in done.err
    last = done.err.replace("\r", "\n").strip().splitlines()[-1]
    assert last.endswith((".", ").", "without)."))
    for word in words:
        assert word in last


EVERY = [
    ("extract",), ("cluster",), ("train",), ("index",), ("evaluate",), ("report",),
    ("duplicates",), ("export",), ("download",), ("verify",), ("repair",),
]  # fmt: skip


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_a_missing_and_an_empty_folder_are_a_sentence(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("no folder")
    for name, sentence in (
        ("nothing", "There is no folder"),
        ("empty", "No photos were found"),
        ("file.txt", "There is no folder"),
    ):
        done = run(*words, "--outputs", tmp_path / "out", "--dataset", tmp_path / name)
        failed(done, sentence, name)


def test_a_wrong_photo_is_a_sentence(lab: Any, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no photo")
    wrong = {
        tmp_path / "nothing.jpg": "does not exist",
        tmp_path / "text.jpg": "is not a JPEG",
        photos: "is a folder",
    }
    for command in ("predict", "retrieve"):
        for path, words in wrong.items():
            failed(lab(command, path), words)


def test_k_larger_than_the_photos_is_a_sentence(lab: Any, photos: Path) -> None:
    one = photos / "pizza" / "photo 1.jpg"
    wrong = {
        ("retrieve", one, "-k", 5000): "so at most 55 results.",
        ("cluster", "-k", 5000): "-k 5000 is too large: this dataset has",
        ("cluster", "hierarchical", "-k", 5000): "-k 5000 is too large: this dataset has",
        ("evaluate", "-k", 5000): "-k 5000 is too large: the training set has",
        ("export", "--format", "projector", "--components", 5000): "components",
    }
    for step, words in wrong.items():
        failed(lab(*step), words)


def test_with_json_a_failure_is_an_object_too(tmp_path: Path) -> None:
    done = ended(start("extract", "--dataset", tmp_path / "nothing", "--json"))
    assert done.code == 1
    assert done.json["ok"] is False
    assert done.json["error"] == done.err.strip()


def test_what_cannot_be_written_is_a_sentence(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = run("extract", "--dataset", photos, "--backbone", "pixels",
               "--outputs", tmp_path / "file")  # fmt: skip
    assert done.code == 1
    assert "Traceback" not in done.err


def test_repair_names_a_missing_archive_and_spares_own_photos(photos: Path, tmp_path: Path) -> None:
    failed(run("repair", "--dataset", photos), "Only Caltech-101 can be repaired")
    failed(run("download", "--dataset", photos), "Only Caltech-101 can be downloaded")
    failed(run("repair", "--archive", tmp_path / "nothing.zip"), "There is no file")


def test_verify_finds_what_cannot_be_read(drawn_sample: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        shutil.copy(drawn_sample / "pizza" / "image_0001.jpg", tmp_path / "photos" / name)
    (tmp_path / "photos/a/bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    done = run("verify", "--dataset", tmp_path / "photos", "--json", "--outputs", tmp_path / "out")
    assert done.code == 1
    assert list(done.json["result"]["unreadable"]) == ["a/bad.png"]


def test_the_demo_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "voila.py").write_text("import os, sys; print(sys.argv[1:], os.environ)")
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "photos" / "a.png")
    relative = os.path.relpath(tmp_path / "photos")
    done = ended(start("demo", "--dataset", relative, PYTHONPATH=str(tmp_path)))
    assert done.code == 0, done.err
    assert "demo.ipynb', '--template=photos'" in done.err
    # The kernel starts in another folder.
    assert f"'CALTECH_LAB_FOLDER': '{Path.cwd()}'" in done.err
    assert f"'CALTECH_LAB_DATASET': '{relative}'" in done.err
    failed(ended(start("demo", "--dataset", tmp_path / "nothing")), "nothing")
    blocked = "import sys; sys.modules['voila'] = None\n"
    (tmp_path / "sitecustomize.py").write_text(blocked)
    (tmp_path / "voila.py").unlink()
    failed(ended(start("demo", PYTHONPATH=str(tmp_path))), "pip install voila")


# ---- photos without labels ----------------------------------------------------------------------


def test_a_flat_folder_clusters_and_is_searched_and_cannot_be_classified(
    photos: Path, tmp_path: Path
) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in photos.glob("*/photo [1-5].jpg"):
        (flat / f"{path.parent.name} {path.name}").write_bytes(path.read_bytes())
    one = flat / "pizza photo 1.jpg"
    options = ("--dataset", flat, "--backbone", "pixels", "--outputs", tmp_path / "out")
    assert run("extract", *options, "--json").json["result"]["labeled"] is False
    good = (("cluster", "-k", 3), ("retrieve", one, "-k", 2), ("duplicates",), ("index",),
            ("export",), ("verify",))  # fmt: skip
    side_by_side = [start(*step, *options, "--json") for step in good[:3]]
    for done in (*map(ended, side_by_side), *(run(*step, *options, "--json") for step in good[3:])):
        assert done.code == 0, done.err
        assert done.json["ok"]
    bad = (("train",), ("evaluate",), ("report",), ("predict", one))
    for step in bad:
        failed(run(*step, *options), "needs categories", "one sub-folder per category")


# ---- what the commands above share ---------------------------------------------------------


def test_the_help_of_a_command_is_that_of_the_function_behind_it() -> None:
    # Written out twice, because the modules of the functions take seconds to import.
    text = Path(commands.__file__).read_text(encoding="utf-8")
    pairs = re.findall(r'@command\("(\w+)"\)\ndef (\w+)', text)
    assert len(pairs) == len(app.registered_commands)
    for module, name in pairs:
        behind = getattr(import_module(f"caltech_lab.cli.{module}"), name)
        assert inspect.getdoc(getattr(commands, name)) == inspect.getdoc(behind)


def test_the_names_written_out_are_those_of_the_registries() -> None:
    assert tuple(backbones.BACKBONES) == common.BACKBONES
    assert common.BACKBONE_PREFIXES == (backbones.TIMM, backbones.CLIP, backbones.CLIP_FOLDER)
    assert commands.PHOTO_FORMATS == FORMATS_LISTED
    assert set(caltech101.SUBSETS) | {"caltech101", "drawn"} >= set(common.DATASETS)


def test_the_same_seed_gives_the_same_file(photos: Path, tmp_path: Path) -> None:
    words = ("cluster", "-k", 4, "--dataset", photos, "--backbone", "pixels", "--seed", 3, "--json")
    written = []
    for done in (
        run(*words, "--outputs", tmp_path / "a"),
        ended(start(*words, "--outputs", tmp_path / "b")),
    ):
        assert done.json["seed"] == 3
        written.append(Path(done.json["wrote"][0]).read_bytes())
    assert written[0] == written[1]


def test_own_folders_of_one_name_do_not_share_outputs(photos: Path, tmp_path: Path) -> None:
    for place in ("one", "two"):
        (tmp_path / place / "all" / "x").mkdir(parents=True)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / place / "all/x/a.png")
    names = {folder.scan(tmp_path / place / "all").name for place in ("one", "two")}
    assert len(names) == 2
    assert not names & set(caltech101.SUBSETS)
