"""The cache: an entry is used only when all that it was made from is as it was."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans

from caltech_lab.clustering.kmeans import kmeans
from caltech_lab.storage import cache as module
from caltech_lab.storage.cache import Cache, provenance

MADE_FROM = {"embeddings": "abc", "seed": 0}


class Counted:
    """Makes a value, and counts how often."""

    def __init__(self, value: object = 1.5) -> None:
        self.value, self.calls = value, 0

    def __call__(self, *args: object, **parameters: object) -> object:
        self.calls += 1
        return self.value


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path, MADE_FROM)


def test_an_entry_is_made_once(cache: Cache) -> None:
    make = Counted({"a": [1, 2.5, None]})
    for _ in range(3):
        assert cache.get("results/x.json", make, k=3) == {"a": [1, 2.5, None]}
    assert make.calls == 1


@pytest.mark.parametrize("part", [*MADE_FROM, "grid", "array", "table", "dictionary", "list"])
def test_another_part_of_the_key_is_another_entry(cache: Cache, part: str, tmp_path: Path) -> None:
    make, X = Counted(), np.arange(6.0).reshape(2, 3)
    args = {"array": X, "table": pd.DataFrame(X), "dictionary": {"a": X}, "list": [X, X]}
    cache.get("x.json", make, *args.values(), grid={"C": [1.0, 3.0]})
    cache.get("x.json", make, *args.values(), grid={"C": [1.0, 3.0]})
    assert make.calls == 1
    if part in MADE_FROM:
        Cache(tmp_path, MADE_FROM | {part: "other"}).get(
            "x.json", make, *args.values(), grid={"C": [1.0, 3.0]}
        )
    elif part == "grid":
        cache.get("x.json", make, *args.values(), grid={"C": [1.0, 4.0]})
    else:
        Y = X + np.eye(2, 3)
        args |= {"array": Y, "table": pd.DataFrame(Y), "dictionary": {"a": Y}, "list": [X, Y]}
        cache.get("x.json", make, *args.values(), grid={"C": [1.0, 3.0]})
    assert make.calls == 2


def test_another_version_of_a_library_is_another_entry(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = np.eye(4, dtype=np.float32)
    assert {"numpy", "sklearn"} <= set(provenance(kmeans)["libraries"])
    first = cache.get("kmeans.skops", kmeans, X, k=2)
    assert cache.key(kmeans, (X,), {"k": 2}) == cache.key(kmeans, (X,), {"k": 2})
    monkeypatch.setattr(module, "_version", lambda library: f"{library} of next year")
    fitted = Counted(first)
    monkeypatch.setattr("caltech_lab.clustering.kmeans.kmeans", fitted)
    monkeypatch.setattr(module, "_parts", lambda make: iter([kmeans]))
    cache.get("kmeans.skops", fitted, X, k=2)
    assert fitted.calls == 1


def test_other_code_is_another_entry_and_a_comment_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clustering").mkdir()
    (tmp_path / "fast").mkdir()
    (tmp_path / "clustering" / "kmeans.py").write_text(
        "from caltech_lab.fast.kmeans_starts import draw\nimport sklearn\n"
    )
    starts = tmp_path / "fast" / "kmeans_starts.py"
    monkeypatch.setattr(module, "PACKAGE", tmp_path)

    def code(text: str) -> str:
        starts.write_text(text)
        module._read_module.cache_clear()
        return str(provenance(kmeans)["code"])

    try:
        first = code('def draw():\n    """Draw."""\n    return 1\n')
        assert code('def draw():\n    """Draw starts."""\n    # why\n    return 1\n') == first
        assert code("def draw():\n    return 2\n") != first
    finally:
        module._read_module.cache_clear()


def test_the_code_of_a_folder_counts_and_that_for_type_checkers_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clustering").mkdir()
    (tmp_path / "fast").mkdir()
    (tmp_path / "clustering" / "kmeans.py").write_text("from caltech_lab import fast\n")
    monkeypatch.setattr(module, "PACKAGE", tmp_path)

    def provenance_with(text: str) -> dict[str, object]:
        (tmp_path / "fast" / "__init__.py").write_text(text)
        module._read_module.cache_clear()
        return dict(provenance(kmeans))

    try:
        first = provenance_with("K = 1\n")
        assert provenance_with("K = 2\n")["code"] != first["code"]
        assert provenance_with("K = 1\nif TYPE_CHECKING:\n    import torch\n") == first
        for flag in ("A_FLAG", "Z_FLAG"):
            assert "torch" in str(provenance_with(f"K = 1\nif {flag}:\n    import torch\n"))
    finally:
        module._read_module.cache_clear()


def one(X: np.ndarray) -> KMeans:
    return kmeans(X, 3)


def two(X: np.ndarray) -> KMeans:
    return kmeans(X, 4)


def test_a_function_of_a_notebook_counts_by_its_text_and_the_package_behind_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for function in (one, two):
        monkeypatch.setattr(function, "__module__", "__main__")
    assert provenance(one)["code"] != provenance(two)["code"]
    assert "sklearn" in provenance(one)["libraries"]
    first = provenance(one)["code"]
    monkeypatch.setattr(module, "_closure", lambda roots: set(roots) - {kmeans.__module__})
    assert provenance(one)["code"] != first
    assert provenance(partial(kmeans, k=3)) == provenance(kmeans)


def cut_off(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut off": cut_off,
    "one bit": flipped,
    "longer": lambda data: data + b"x",
    "zeros": lambda data: bytes(len(data)),
    "another program's": lambda data: b"PK\x03\x04 something else",
}
VALUES = {
    "x.json": {"a": 1},
    "x.npy": np.arange(5.0),
    "x.parquet": pd.DataFrame({"a": [1.5, 2.5]}, index=pd.Index(["r\rs", "t\nu"], name="n")),
    "x.skops": KMeans(2, n_init=1, random_state=0).fit(np.arange(8.0).reshape(4, 2)),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", VALUES)
def test_a_damaged_entry_is_named_set_aside_and_made_again(
    cache: Cache, name: str, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make = Counted(VALUES[name])
    cache.get(name, make)
    path = cache.folder / name
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    bad = path.read_bytes()
    cache.get(name, make)
    assert make.calls == 2
    assert path.with_name(f"{name}.damaged").read_bytes() == bad
    printed = capsys.readouterr().out
    assert str(path) in printed
    assert f"{name}.damaged" in printed
    cache.get(name, make)
    assert make.calls == 2


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_record_makes_the_entry_again(
    cache: Cache, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make = Counted()
    cache.get("x.json", make)
    record = cache.folder / "x.json.json"
    record.write_bytes(DAMAGE[damage](record.read_bytes()))
    bad = record.read_bytes()
    assert cache.get("x.json", make) == 1.5
    assert make.calls == 2
    assert record.with_name("x.json.json.damaged").read_bytes() == bad
    assert "x.json.json is damaged" in capsys.readouterr().out


def test_an_outdated_record_is_not_damaged(
    cache: Cache, capsys: pytest.CaptureFixture[str]
) -> None:
    for k in (1, 2):
        cache.get("x.json", Counted(k), k=k)
    assert capsys.readouterr().out == ""
    assert sorted(path.name for path in cache.folder.glob("x*")) == ["x.json", "x.json.json"]


def test_a_record_without_its_entry_makes_the_entry_again(cache: Cache) -> None:
    make = Counted()
    cache.get("x.json", make)
    (cache.folder / "x.json").unlink()
    assert cache.peek("x.json") is None
    assert cache.get("x.json", make) == 1.5
    assert make.calls == 2


def test_a_new_file_is_never_married_to_an_old_record(cache: Cache) -> None:
    cache.get("x.json", Counted(1), k=1)
    record = cache.folder / "x.json.json"
    old = record.read_bytes()
    cache.get("x.json", Counted(2), k=2)
    record.write_bytes(old)  # as if the process had been killed between the two files
    assert cache.get("x.json", Counted(1), k=1) == 1


def test_a_table_keeps_names_and_numbers_exactly(cache: Cache) -> None:
    made = cache.get("x.parquet", Counted(VALUES["x.parquet"]))
    again = cache.get("x.parquet", Counted())
    pd.testing.assert_frame_equal(made, again, check_exact=True)


def test_peek_gives_what_these_embeddings_gave_and_nothing_else(
    cache: Cache, tmp_path: Path
) -> None:
    assert cache.peek("x.json") is None
    cache.get("x.json", Counted(7), k=1)
    assert cache.peek("x.json") == 7
    assert Cache(tmp_path, MADE_FROM | {"seed": 1}).peek("x.json") is None
    (tmp_path / "x.json").write_text("8")
    assert cache.peek("x.json") is None


def test_functions_and_their_arguments_are_not_taken_for_one_another(cache: Cache) -> None:
    X = np.arange(4.0)
    keys = [
        cache.key(make, args, {})["arguments"]
        for make, args in (
            (one, (X,)),
            (two, (X,)),
            (partial(one, k=1), (X,)),
            (partial(one, k=2), (X,)),
            (one, ([[1], [2]],)),
            (one, ([1, [2]],)),
            (one, ([1], 2)),
            (one, ([1, 2],)),
            (one, (np.int64(3),)),
            (one, (np.int64(4),)),
            (one, (np.array(["a"], object),)),
            (one, (np.array(["b"], object),)),
            (one, (np.array([3, 4], np.int32),)),
            (one, (np.array([3, 4], np.int64),)),
            (one, (pd.Series(["a", "\udcff"], dtype=object),)),
            (one, (pd.Series(["b", "\udcff"], dtype=object),)),
            (one, (pd.Series([1.0, 2.0]),)),
            (one, (pd.Series([1.0, 3.0]),)),
            (one, (KMeans(2, n_init=1, random_state=0).fit(X[:, None]),)),
            (one, (KMeans(2, n_init=1, random_state=0).fit(X[:, None] * 2),)),
            (KMeans(2, n_init=1, random_state=0).fit(X[:, None]).predict, ()),
            (KMeans(2, n_init=1, random_state=0).fit(X[:, None] * 2).predict, ()),
        )
    ]
    assert len(set(keys)) == len(keys)


def test_equal_objects_in_an_array_are_the_same_argument(cache: Cache) -> None:
    first, again = (np.array(["".join(["a", tail])], object) for tail in ("bc", "bc"))
    assert first[0] is not again[0]
    assert cache.key(one, (first,), {}) == cache.key(one, (again,), {})


SCALE = 2.0


def helped(X: np.ndarray) -> float:
    return helper(X) * SCALE


def helper(X: np.ndarray) -> float:
    return float(X.sum())


def other_helper(X: np.ndarray) -> float:
    return float(X.mean())


@pytest.mark.parametrize("change", [{"SCALE": 3.0}, {"helper": other_helper}])
def test_what_a_function_of_a_notebook_names_counts(
    change: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = provenance(helped)["code"]
    for name, value in change.items():
        monkeypatch.setitem(helped.__globals__, name, value)
    assert provenance(helped)["code"] != before


@pytest.mark.parametrize("record", ["[]", "{}", '{"made_from": [], "sha256": 1}'])
def test_a_record_of_another_shape_makes_the_entry_again(cache: Cache, record: str) -> None:
    cache.get("x.json", Counted(1))
    (cache.folder / "x.json.json").write_text(record)
    assert cache.get("x.json", Counted(1)) == 1
    (cache.folder / "x.json.json").write_text(record)
    assert cache.peek("x.json") is None


def test_the_first_call_returns_what_later_ones_do(cache: Cache) -> None:
    first = cache.get("x.json", Counted({1: (2, 3)}))
    assert first == cache.get("x.json", Counted({1: (2, 3)})) == {"1": [2, 3]}


@pytest.mark.parametrize("name", [name for name in VALUES if name != "x.json"])
def test_what_was_just_made_is_not_read_back(cache: Cache, name: str) -> None:
    assert cache.get(name, Counted(VALUES[name])) is VALUES[name]


def test_an_entry_is_found_where_nothing_can_be_written(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.get("x.json", Counted(5))
    monkeypatch.setattr(module, "lock", lambda path: pytest.fail("a lock was asked for"))
    assert cache.get("x.json", Counted(5)) == 5


def test_a_library_that_is_not_installed_has_no_version() -> None:
    assert module._version("no such library") is None
    assert module._version("numpy") == np.__version__
