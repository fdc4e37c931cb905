"""Checkpoints: what a reader is told, what tests fail on, and where tolerances come from."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest

from caltech_lab.datasets.photos import Photos
from caltech_lab.embedding.backbones import backbone
from caltech_lab.embedding.embeddings import load
from caltech_lab.embedding.engines import NumpyEngine, Runtime
from caltech_lab.embedding.extraction import embed_few, embed_photos, extract
from caltech_lab.embedding.processor_noise import PERTURB, RELATIVE, perturbed
from caltech_lab.errors import LabError
from caltech_lab.lab import Lab
from caltech_lab.report import checkpoints
from caltech_lab.report.checkpoints import (
    RECORD,
    STRICT,
    read_record,
)
from caltech_lab.settings import settings
from tools import recording
from tools.recording import tolerance, too_wide, write_record

SAME = {"n": 10, "accuracy": 0.9}
ENTRIES = {"n": {"value": 10, "tolerance": 0}, "accuracy": {"value": 0.9, "tolerance": 0.01}}
GARBLED = [
    '{"all', "[]", "3", '{"a": 1}', '{"a": {"05": {"n": 3}}}', '{"a": {"05": {"n": {}}}}',
    '{"a": {"05": {"n": {"value": "3", "tolerance": 0}}}}',
    '{"a": {"05": {"n": {"value": NaN, "tolerance": 0}}}}',
]  # fmt: skip


def chosen(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    """Set a variable of the environment, as before the settings are read."""
    environment.setenv(name, value)
    settings.cache_clear()


@pytest.fixture
def lab(photos: Photos, environment: pytest.MonkeyPatch) -> Lab:
    return Lab(photos, backbone("pixels"))


@pytest.fixture
def place(environment: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return where the record is: in a home of the test's own."""
    for module in (checkpoints, recording):
        environment.setattr(module, "settings", lambda: replace(settings(), home=tmp_path))
    return tmp_path / "notebooks" / "checkpoints.json"


@pytest.fixture
def kind(lab: Lab) -> str:
    return f"{lab.photos.name}/pixels"


@pytest.fixture
def told(
    lab: Lab, place: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> Callable[[Mapping[str, Any]], str]:
    """Return what gives the line that a reader gets of figures."""
    write_record(place, {f"{kind}/f32": {"05": ENTRIES}})

    def line(figures: Mapping[str, Any]) -> str:
        checkpoints.check(lab, "05", figures)
        printed = capsys.readouterr().out
        assert printed.count("\n") == 1, "a reader gets one line"
        return printed.strip()

    return line


# ---- a reader --------------------------------------------------------------------------------


def test_a_reader_is_told_that_figures_are_as_recorded(
    told: Callable[[Mapping[str, Any]], str],
) -> None:
    assert told(SAME) == "2 figures as recorded."
    assert told({"n": np.int64(10), "accuracy": np.float32(0.905)}) == "2 figures as recorded."


def test_a_reader_is_told_what_differs_by_how_much_and_why(
    told: Callable[[Mapping[str, Any]], str], environment: pytest.MonkeyPatch
) -> None:
    assert told({"n": 11, "accuracy": 0.95}) == (
        "2 of 2 figures differ from the record: n 11 (recorded 10), accuracy 0.950 (recorded "
        "0.900); the likely reason is a changed cell, another processor or other versions of the "
        "packages."
    )
    chosen(environment, PERTURB, "1")
    assert "perturbed" in told({"n": 11, "accuracy": 0.9})


def test_another_seed_is_the_likely_reason(
    told: Callable[[Mapping[str, Any]], str], environment: pytest.MonkeyPatch
) -> None:
    seeded = replace(checkpoints.settings(), seed=3)
    environment.setattr(checkpoints, "settings", lambda: seeded)
    assert told({"n": 11, "accuracy": 0.9}) == (
        "1 of 2 figures differs from the record: n 11 (recorded 10); the likely reason is the "
        "seed, 3 instead of 0."
    )


@pytest.mark.parametrize(
    ("figures", "part"),
    [
        ({"n": 10}, "accuracy (recorded, but not measured here); the notebook and the record"),
        ({**SAME, "m": 1}, "1 of 3 figures differs from the record: m (measured, but not recorded"),
        ({}, "2 of 2 figures differ"),
        ({"n": 10, "accuracy": float("nan")}, "accuracy nan (recorded 0.900)"),
        ({"n": 10, "accuracy": math.inf}, "accuracy inf"),
        ({"n": 10, "accuracy": "high"}, "accuracy nan"),
        ({"n": 10, "accuracy": None}, "accuracy nan"),
        ({"n": 10, "accuracy": np.ones(2)}, "accuracy nan"),
        ({"n": 10, "accuracy": 0.9100011}, "accuracy 0.910 (recorded 0.900)"),
    ],
)
def test_a_reader_is_never_stopped(
    told: Callable[[Mapping[str, Any]], str], figures: dict[str, Any], part: str
) -> None:
    assert part in told(figures)


def test_long_lists_are_cut_and_near_values_told_apart() -> None:
    recorded = {name: {"value": 0.5, "tolerance": 0.0} for name in "abcde"}
    line = checkpoints.summary(dict.fromkeys("abcde", 0.50001), recorded, "f32", "f32")
    assert "a 0.50001 (recorded 0.50000)" in line
    assert ", and 2 more; " in line
    assert ", d 0" not in line


@pytest.mark.parametrize("text", GARBLED)
def test_a_damaged_record_is_no_error(
    told: Callable[[Mapping[str, Any]], str], place: Path, text: str
) -> None:
    place.write_text(text)
    assert told(SAME) == "2 figures; notebooks/checkpoints.json is missing or damaged."
    with pytest.raises(LabError, match="missing or damaged"):
        read_record(place)


def test_a_missing_record_is_no_error(
    told: Callable[[Mapping[str, Any]], str], place: Path
) -> None:
    place.unlink()
    assert "is missing or damaged" in told(SAME)


def test_nothing_is_recorded_for_a_folder_of_ones_own(
    told: Callable[[Mapping[str, Any]], str], place: Path
) -> None:
    write_record(place, {"all/resnet50/bf16": {"05": ENTRIES}})
    assert told(SAME) == "2 figures; there are no recorded values for these photos."


def test_without_a_record_in_this_precision_the_other_is_taken_and_named(
    told: Callable[[Mapping[str, Any]], str], place: Path, kind: str
) -> None:
    write_record(place, {f"{kind}/bf16": {"05": ENTRIES}})
    assert told(SAME) == (
        "2 figures as recorded, although this machine computes in float32 and the record is in "
        "bfloat16."
    )
    assert told({"n": 12, "accuracy": 0.9}).endswith(
        "n 12 (recorded 10); the likely reason is that this machine computes in float32, the "
        "record in bfloat16."
    )


# ---- the tests -------------------------------------------------------------------------------


def test_tests_see_the_table_and_fail_on_a_figure(
    lab: Lab,
    place: Path,
    kind: str,
    environment: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_record(place, {f"{kind}/f32": {"05": ENTRIES}})
    chosen(environment, STRICT, "strict")
    checkpoints.check(lab, "05", {"n": 10, "accuracy": 0.91})
    assert {"measured", "recorded", "tolerance", "accuracy"} <= {*capsys.readouterr().out.split()}
    for wrong in ({"n": 11, "accuracy": 0.9}, {"n": 10}, {**SAME, "m": 1}):
        with pytest.raises(AssertionError, match="differs from the record"):
            checkpoints.check(lab, "05", wrong)
    with pytest.raises(AssertionError, match=r"(?s)accuracy 0\.920 .*0\.92 +0\.9 +0\.01 "):
        checkpoints.check(lab, "05", {"n": 10, "accuracy": 0.92})
    with pytest.raises(AssertionError, match="accuracy nan"):
        checkpoints.check(lab, "05", {"n": 10, "accuracy": float("nan")})
    with pytest.raises(AssertionError, match="Nothing is recorded for notebook 06"):
        checkpoints.check(lab, "06", SAME)
    place.write_text("{")
    with pytest.raises(AssertionError, match="missing or damaged"):
        checkpoints.check(lab, "05", SAME)


# ---- tolerances and the record ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "others", "n_photos", "expected"),
    [
        (336, [336, 336], 336, 0),
        (13, [13, 12], 336, 3),
        (13, [12.5], 336, 2),
        (0.9, [0.9], 8677, 0.002),
        (0.9, [], 336, 0.015),  # one photo of 67
        (0.9, [0.9, 0.89, 0.92], 8677, 0.06),
        (0.9, [0.9013], 8677, 0.0039),
        (0.5, [0.6234], 8677, 0.38),
        (-0.002, [0.002], 8677, 0.012),
        (1234.5, [1200.0], 8677, 110.0),
        (0.96, [0.98, 0.97], 8677, 0.03),  # half way from the highest that was seen to 1
        (0.96, [0.98, 1.0], 8677, 0.12),
        (0.97, [0.98, 0.93], 336, 0.04),  # but not less than was seen
        (0.99, [0.99], 336, 0.015),
    ],
)
def test_a_tolerance_is_three_times_the_largest_movement_or_the_least_one(
    value: float, others: list[float], n_photos: int, expected: float
) -> None:
    assert tolerance(value, others, n_photos) == pytest.approx(expected, abs=1e-12)


def test_tolerances_that_cannot_fail_are_named() -> None:
    record = {
        "all/resnet50/bf16": {
            "03": {
                "k": {"value": 10, "tolerance": 25},
                "nmi": {"value": 0.7, "tolerance": 0.25},
                "ari": {"value": 0.7, "tolerance": 0.24},
                "n": {"value": 0, "tolerance": 0},
                "components": {"value": 472, "tolerance": 15},
            }
        }
    }
    named = ["all/resnet50/bf16 03 k: 10 ± 25", "all/resnet50/bf16 03 nmi: 0.7 ± 0.25"]
    assert too_wide(record) == named


def test_the_record_is_written_in_order_with_one_figure_per_line(tmp_path: Path) -> None:
    record = {"b/x/f32": {"own_photos": ENTRIES, "02": ENTRIES}, "a/x/bf16": {"05": ENTRIES}}
    write_record(tmp_path / "record.json", record)
    text = (tmp_path / "record.json").read_text()
    assert json.loads(text) == record == read_record(tmp_path / "record.json")
    assert [*json.loads(text)] == ["a/x/bf16", "b/x/f32"]
    assert text.count('"n": {"value": 10, "tolerance": 0}') == 3
    assert text.index('"02"') < text.index('"own_photos"')


def test_both_precisions_and_what_lies_between_them_widen_a_tolerance() -> None:
    def run(**figures: float) -> dict[str, Any]:
        return {"figures": figures, "photos": 8677}

    bf16 = {0: run(a=0.5, n=3), 1: run(a=0.51, n=3)}
    f32 = {0: run(a=0.52, n=3), 1: run(a=0.55, n=4)}
    alone = recording.recorded_from(bf16, {})
    assert alone == {"a": {"value": 0.5, "tolerance": 0.03}, "n": {"value": 3, "tolerance": 0}}
    both = recording.recorded_from(bf16, f32)
    assert both == {"a": {"value": 0.5, "tolerance": 0.09}, "n": {"value": 3, "tolerance": 3}}
    far = recording.recorded_from(bf16, {0: run(a=0.6, n=3)})
    assert far["a"]["tolerance"] == 0.3
    with pytest.raises(LabError, match=r"do not all have the figures \['n'\]"):
        recording.recorded_from(bf16, {0: run(a=0.52)})


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    path = tmp_path / "05_small.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")]), path)
    return path


def test_a_recording_goes_on_where_it_was_stopped(
    lab: Lab, place: Path, kind: str, notebook: Path, environment: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    stop_at = ["2"]

    def execute(path: Path, given: Mapping[str, str]) -> None:
        if given[PERTURB] in stop_at:
            raise LabError("stopped")
        ran.append(given[PERTURB])
        with pytest.MonkeyPatch.context() as kernel:
            for name, value in given.items():
                chosen(kernel, name, value)
            checkpoints.check(
                lab, "05", {"n": 10, "accuracy": 0.9 + 0.001 * int(given[PERTURB] or 0)}
            )

    environment.setattr(recording, "execute", execute)
    environment.setattr(recording, "open_photos", lambda: lab.photos)
    environment.setattr(recording, "backbone", lambda name: lab.backbone)
    chosen(environment, STRICT, "strict")  # does not keep figures from being recorded
    runs = place.parent / "runs"
    with pytest.raises(LabError, match="stopped"):
        recording.record([notebook], runs)
    assert ran == ["", "1"]
    assert not place.exists(), "a notebook is recorded when all its runs are there"
    stop_at.clear()
    recording.record([notebook], runs)
    assert ran == ["", "1", "2", "3"]
    assert read_record(place)[f"{kind}/f32"]["05"] == {
        "n": {"value": 10, "tolerance": 0},
        "accuracy": {"value": 0.9, "tolerance": recording.floor(0.9, len(lab.photos))},
    }
    recording.record([notebook], runs)
    assert len(ran) == 4
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("2")]), notebook)
    recording.record([notebook], runs, any_code=True)
    assert len(ran) == 4
    recording.record([notebook], runs)
    assert len(ran) == 8


def test_recorded_figures_are_written_and_compared_with_nothing(
    lab: Lab, place: Path, tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    chosen(environment, RECORD, str(tmp_path / "runs"))
    chosen(environment, PERTURB, "2")
    checkpoints.check(lab, "05", SAME)
    run = json.loads((tmp_path / "runs" / "05.json").read_text())
    assert (run["figures"], run["perturbed"], run["precision"]) == (SAME, 2, "f32")
    assert not place.exists()


# ---- perturbed embeddings --------------------------------------------------------------------


@pytest.fixture
def rows() -> np.ndarray:
    X = np.abs(np.random.default_rng(0).standard_normal((50, 512))).astype(np.float32)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    X[7] = 0
    return X


def test_nothing_is_perturbed_unless_asked_for(rows: np.ndarray) -> None:
    assert perturbed(rows) is rows


def test_the_noise_is_seeded_has_the_measured_size_and_keeps_lengths(
    rows: np.ndarray, environment: pytest.MonkeyPatch
) -> None:
    chosen(environment, PERTURB, "1")
    noisy = perturbed(rows)
    assert noisy.dtype == np.float32
    np.testing.assert_array_equal(noisy, perturbed(rows))
    np.testing.assert_array_equal(noisy[3:9], perturbed(rows[3:9]))  # whichever others there are
    lengths = np.linalg.norm(rows, axis=1)
    np.testing.assert_allclose(np.linalg.norm(noisy, axis=1), lengths, atol=1e-6)
    full = lengths > 0
    change = noisy[full] / rows[full] - 1
    assert change.std() == pytest.approx(RELATIVE, rel=0.05)
    assert abs(change.mean()) < RELATIVE / 10
    assert abs(np.corrcoef(change[0], change[1])[0, 1]) < 0.2
    chosen(environment, PERTURB, "2")
    assert not np.array_equal(noisy[0], perturbed(rows)[0])


def test_perturbed_embeddings_have_an_identity_and_models_of_their_own(
    small_lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Lab(small_lab.photos, small_lab.backbone)
    kmeans, X = plain.kmeans(3), plain.embeddings.X
    on_disk = (plain.folder("features") / "embeddings.npy").read_bytes()
    chosen(monkeypatch, PERTURB, "1")
    other = Lab(small_lab.photos, small_lab.backbone)
    noisy = other.embeddings
    assert other.extraction.n_extracted == 0, "no photo goes through the network again"
    np.testing.assert_allclose(noisy.X, X, atol=0.1)
    assert not np.array_equal(noisy.X, X)
    key = "embeddings_sha256"
    assert noisy.identity[key] != plain.embeddings.identity[key]
    assert {**noisy.identity, key: ""} == {**plain.embeddings.identity, key: ""}
    again = load(other.folder("features"), other.photos).identity
    assert again == noisy.identity
    assert not np.array_equal(other.kmeans(3).cluster_centers_, kmeans.cluster_centers_)
    chosen(monkeypatch, PERTURB, "")
    assert (plain.folder("features") / "embeddings.npy").read_bytes() == on_disk
    seconds = [(plain.folder("models/clustering") / "kmeans_k3.skops").stat().st_mtime_ns]
    plain.kmeans(3)  # not fitted again, since the perturbed one lies elsewhere
    seconds.append((plain.folder("models/clustering") / "kmeans_k3.skops").stat().st_mtime_ns)
    assert seconds[0] == seconds[1]


def test_a_photo_has_the_same_perturbed_row_however_it_was_embedded(
    photos: Photos, tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    network = replace(backbone("pixels"), name="learned", classical=False)
    engine = NumpyEngine(network.build())
    chosen(environment, PERTURB, "1")
    folder = tmp_path / "outputs" / "few" / "learned" / "features"
    extract(photos, network, folder, runtime=Runtime("numpy", "f32"), engine=engine)
    X = load(folder, photos).X
    np.testing.assert_array_equal(X, embed_photos(photos, network, engine=engine)[0])
    few = embed_few([photos.file(5), photos.file(3)], network, engine)
    np.testing.assert_array_equal(X[[5, 3]], few)
    chosen(environment, PERTURB, "")
    assert not np.array_equal(
        X[[5, 3]], embed_few([photos.file(5), photos.file(3)], network, engine)
    )


def test_descriptors_without_a_network_are_not_perturbed(
    lab: Lab, environment: pytest.MonkeyPatch
) -> None:
    X = lab.embeddings.X
    chosen(environment, PERTURB, "1")
    same = Lab(lab.photos, lab.backbone)
    np.testing.assert_array_equal(same.embeddings.X, X)
    few = embed_few([lab.photos.file(0)], lab.backbone)
    np.testing.assert_array_equal(few, X[:1])
