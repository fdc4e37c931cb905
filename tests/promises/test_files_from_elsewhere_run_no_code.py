"""Files from elsewhere cannot run code, nor exhaust the memory; nothing is ever unpickled."""

import ast
import io
import json
import pickle
import re
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faiss
import nbformat
import numpy as np
import psutil
import pytest
import skops.io
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from caltech_lab.embedding.architectures import load_resnet50
from caltech_lab.embedding.backbones import backbone
from caltech_lab.embedding.pretrained import resnet50_weights
from caltech_lab.errors import CacheError, LabError, WeightsError
from caltech_lab.retrieval.index import Index
from caltech_lab.settings import settings
from caltech_lab.storage import arrays, files, models, tables
from tests.tiny_clip import tiny_clip

ROOT = Path(__file__).resolve().parents[2]


class Attack:
    """Unpickling this leaves a file behind."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.fixture
def attack(tmp_path: Path) -> Iterator[Attack]:
    made = Attack(tmp_path / "it ran")
    pickle.loads(pickle.dumps(made))
    assert made.mark.exists()  # so the attack is one
    made.mark.unlink()
    yield made
    assert not made.mark.exists()


# -- Arrays


def test_an_array_of_objects_is_refused(attack: Attack, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([attack], dtype=object), allow_pickle=True)
    with pytest.raises(CacheError, match="is not a NumPy array"):
        arrays.load_array(tmp_path / "a.npy")


def test_a_pickle_called_npy_is_refused(attack: Attack, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(pickle.dumps(attack))
    with pytest.raises(CacheError, match="is not a NumPy array"):
        arrays.load_array(tmp_path / "a.npy")


@pytest.mark.parametrize("shape", [(10**13,), (10**6, 10**6), (2**62, 4), (-1,), (1001,), (999,)])
def test_an_array_that_claims_another_size_is_refused(
    shape: tuple[int, ...], tmp_path: Path
) -> None:
    path = tmp_path / "a.npy"
    with open(path, "wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(8 * 1000))
    before = psutil.Process().memory_info().rss
    with pytest.raises(CacheError, match="is not a NumPy array"):
        arrays.load_array(path)
    assert psutil.Process().memory_info().rss - before < 50e6


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (7,), (3, 5)])
def test_honest_arrays_pass(shape: tuple[int, ...], tmp_path: Path) -> None:
    array = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    arrays.save_array(tmp_path / "a.npy", array)
    found = arrays.load_array(tmp_path / "a.npy")
    np.testing.assert_array_equal(found, array)
    assert (found.dtype, found.flags.writeable) == (array.dtype, True)


# -- JSON and tables


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "\udcff", "1" * 10_000])
def test_json_that_is_none_is_a_sentence(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(CacheError, match="is not valid JSON"):
        files.read_json(path)


@pytest.mark.parametrize("content", [b"", b'a,b\n"', b"a,b\n1,2\n1,2,3\n", b"\xff\xfe\0"])
def test_a_table_that_is_none_is_a_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(CacheError, match="is not a table"):
        tables.load_table(tmp_path / "a.csv")


# -- Models


def test_a_model_of_other_types_is_refused(attack: Attack, tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    skops.io.dump({"model": attack, "callable": subprocess.run}, path)
    with pytest.raises(CacheError, match=r"types that are not trusted \(.*Attack"):
        models.load_model(path)


def test_a_pickle_called_skops_is_refused(attack: Attack, tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    path.write_bytes(pickle.dumps(attack))
    with pytest.raises(CacheError, match="is damaged"):
        models.load_model(path)


def test_a_model_that_unpacks_to_far_more_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.skops"
    models.save_model(path, KMeans(2, n_init=1).fit(np.eye(4)))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("more.npy", bytes(50_000_000))
    assert path.stat().st_size < 100_000
    monkeypatch.setattr(models, "MAX_MODEL_BYTES", 40_000_000)

    def read(*_: object) -> None:
        raise AssertionError("it was read")

    monkeypatch.setattr(zipfile.ZipFile, "read", read)
    with pytest.raises(CacheError, match="more than any model of ours"):
        models.load_model(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_model_cut_short_is_refused(share: float, tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    models.save_model(path, KMeans(2, n_init=1).fit(np.eye(4)))
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(CacheError, match="is damaged"):
        models.load_model(path)


def test_our_models_pass(tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    model = KMeans(2, n_init=1, random_state=0).fit(np.eye(4))
    models.save_model(path, model)
    np.testing.assert_array_equal(models.load_model(path).labels_, model.labels_)


# -- Weights


def test_other_weights_in_the_place_of_ours_are_refused(
    tmp_path: Path, attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.pth"
    torch.save(attack, path)
    with pytest.raises(WeightsError, match="sha256"):
        resnet50_weights(path)
    with pytest.raises(WeightsError, match="sha256"):
        load_resnet50(path)


def test_a_downloaded_file_of_weights_is_checked_each_time(
    tmp_path: Path, attack: Attack, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("CALTECH_LAB_DATA", str(tmp_path))
    settings.cache_clear()
    (tmp_path / "weights").mkdir()
    path = tmp_path / "weights" / "resnet50-0676ba61.pth"
    torch.save(attack, path)
    with pytest.raises(WeightsError, match=r"does not match .*delete it"):
        backbone("resnet50-v1").weights()
    with pytest.raises(WeightsError, match=r"does not match .*delete it"):
        backbone("resnet50-v1").build()


def test_weights_of_open_clip_are_loaded_without_unpickling(attack: Attack, tmp_path: Path) -> None:
    pytest.importorskip("open_clip")
    folder = tiny_clip(tmp_path / "model", ".bin")
    for save in (torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))):
        save({"logit_scale": attack}, folder / "open_clip_pytorch_model.bin")
        text = backbone(f"clip:{folder}").text
        assert text is not None
        with pytest.raises(WeightsError, match="do not fit"):
            text(["a cat"])


# -- Indexes


@pytest.fixture(name="X")
def embeddings() -> np.ndarray:
    X = np.random.default_rng(0).normal(size=(40, 8))
    rows: np.ndarray = (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)
    return rows


@pytest.mark.parametrize(("dimension", "count"), [(8, 39), (9, 40), (16, 20)])
def test_index_of_another_shape_is_refused(
    X: np.ndarray, tmp_path: Path, dimension: int, count: int
) -> None:
    path = tmp_path / "index.faiss"
    Index(X).save(path)
    with pytest.raises(
        CacheError, match=f"exact index of {count} vectors of {dimension} dimensions"
    ):
        Index.load(path, dimension, count)


def test_index_of_another_type_is_refused(X: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "index.faiss"
    for other in (faiss.IndexFlatL2(8), faiss.IndexHNSWFlat(8, 4)):
        other.add(X)
        faiss.write_index(other, str(path))
        with pytest.raises(CacheError):
            Index.load(path, 8, 40)


def test_damaged_length_never_reaches_faiss(
    X: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "index.faiss"
    Index(X).save(path)
    good = path.read_bytes()

    def refuse(data: object) -> None:
        raise AssertionError("faiss was given a file that does not fit")

    monkeypatch.setattr(faiss, "deserialize_index", refuse)
    for bad in (b"", good[:20], good[:-1], good + b"\0", good[:37] + b"\xff" * 8 + good[45:]):
        path.write_bytes(bad)
        with pytest.raises(CacheError):
            Index.load(path, 8, 40)
    with open(path, "wb") as file:
        file.truncate(2**40)  # a terabyte of holes
    with pytest.raises(CacheError):
        Index.load(path, 8, 40)


@given(position=st.integers(0, 44), value=st.integers(0, 255))
def test_any_changed_header_byte_is_refused(
    tmp_path_factory: pytest.TempPathFactory, position: int, value: int
) -> None:
    X = np.eye(3, dtype=np.float32)
    path = tmp_path_factory.mktemp("index") / "index.faiss"
    Index(X).save(path)
    data = bytearray(path.read_bytes())
    if data[position] == value:
        return
    data[position] = value
    path.write_bytes(data)
    with pytest.raises(CacheError):
        Index.load(path, 3, 3)


# -- The lint: no code that unpickles, anywhere


UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
HARMLESS = {"parallel_config"}  # joblib's, which only chooses threads or processes


def unpickles(tree: ast.AST) -> list[str]:
    """Name what could unpickle a file in a module: in calls, imports and arguments."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = {alias.name.partition(".")[0] for alias in node.names}
            found += [ast.unparse(node)] if names & UNPICKLERS else []
        elif isinstance(node, ast.ImportFrom):
            module = (node.module or "").partition(".")[0]
            names = {alias.name for alias in node.names}
            bad = (module in UNPICKLERS and not names <= HARMLESS) or "read_pickle" in names
            bad |= module == "torch" and "load" in names
            found += [ast.unparse(node)] if bad else []
        elif isinstance(node, ast.Attribute) and node.attr in ("read_pickle", "load_pickle"):
            found.append(ast.unparse(node))
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            bad = given.get("allow_pickle", "False") != "False"
            bad |= given.get("weights_only", "True") != "True"
            bad |= name.endswith("torch.load") and given.get("weights_only") != "True"
            bad |= name.endswith("load_state_dict_from_url") and "weights_only" not in given
            bad |= name in ("eval", "exec", "__import__")
            found += [ast.unparse(node)] if bad else []
    return found


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "import joblib as jl",
        "from pickle import load",
        "from joblib import load",
        "pd.read_pickle(path)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "from torch import load",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=trust)",
        "eval(text)",
    ],
)
def test_the_lint_sees_each_way(line: str) -> None:
    assert unpickles(ast.parse(line))


@pytest.mark.parametrize(
    "line",
    [
        "np.load(path)",
        "np.load(path, allow_pickle=False)",
        "torch.load(path, weights_only=True)",
        "json.load(file)",
        "network.eval()",
    ],
)
def test_the_lint_lets_the_rest_pass(line: str) -> None:
    assert not unpickles(ast.parse(line))


def tracked(*patterns: str) -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / line for line in listed.splitlines() if (ROOT / line).is_file()]


def sources() -> Iterator[tuple[str, str]]:
    for path in tracked("*.py"):
        if path != Path(__file__):  # which makes pickles, to attack with
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
    for path in tracked("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                source = re.sub(r"^\s*%.*$", "", cell.source, flags=re.MULTILINE)
                yield f"{path.name}, cell {cell.id}", source


def test_nothing_is_ever_unpickled() -> None:
    looked_at = dict(sources())
    assert len(looked_at) > 150
    found = {
        name: lines for name, source in looked_at.items() if (lines := unpickles(ast.parse(source)))
    }
    assert found == {}


def test_every_fault_here_is_a_sentence(tmp_path: Path) -> None:
    buffer = io.BytesIO(b"nothing of the kind")
    for name, read in {
        "a.npy": arrays.load_array,
        "a.json": files.read_json,
        "a.skops": models.load_model,
        "a.faiss": lambda path: Index.load(path, 8, 40),
    }.items():
        (tmp_path / name).write_bytes(buffer.getvalue())
        with pytest.raises(LabError) as error:
            read(tmp_path / name)
        assert str(error.value).endswith(".")
        assert "\n" not in str(error.value)
    assert json.loads("1") == 1
