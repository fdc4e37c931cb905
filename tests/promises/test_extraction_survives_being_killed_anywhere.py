"""Extraction survives being killed anywhere, and ends with the same bits."""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from caltech_lab.datasets import folder
from caltech_lab.datasets.photos import Photos
from caltech_lab.embedding import extraction
from caltech_lab.embedding.backbones import backbone
from caltech_lab.embedding.embeddings import load
from caltech_lab.embedding.extraction import extract
from caltech_lab.errors import CacheError

HOG = backbone("hog")
KILLS = 20
RUN = """
import sys
from pathlib import Path
from caltech_lab.embedding.backbones import backbone
from caltech_lab.datasets import folder
from caltech_lab.embedding.extraction import extract
print("ready", flush=True)
outcome = extract(folder.scan(Path(sys.argv[1])), backbone("hog"), Path(sys.argv[2]))
print(outcome.n_extracted, outcome.n_reused, flush=True)
"""


def start(photos: Photos, goal: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", RUN, str(photos.root), str(goal)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, process_group=0
    )


def start_working(photos: Photos, goal: Path) -> "subprocess.Popen[str]":
    run = start(photos, goal)
    assert run.stdout is not None
    assert run.stdout.readline() == "ready\n"
    return run


def bits(goal: Path) -> list[str]:
    names = ("embeddings.npy", "labels.npy", "items.parquet")
    return [hashlib.sha256((goal / name).read_bytes()).hexdigest() for name in names]


@pytest.fixture(scope="module")
def sample(drawn_sample: Path) -> Photos:
    return folder.scan(drawn_sample)


@pytest.fixture(scope="module")
def uninterrupted(
    sample: Photos, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[str], float]:
    goal = tmp_path_factory.mktemp("whole") / "outputs" / "drawn" / "hog" / "features"
    run = start_working(sample, goal)  # a process of its own, since that is what will be killed
    started = time.monotonic()
    assert run.wait(240) == 0
    return bits(goal), time.monotonic() - started


@pytest.mark.timeout(900)
def test_killed_at_random_moments_it_resumes_to_the_same_bits(
    sample: Photos, uninterrupted: tuple[list[str], float], tmp_path: Path
) -> None:
    expected, seconds = uninterrupted
    chance = random.Random(7)
    kills, rounds, resumed = 0, 0, 0
    while kills < KILLS:
        rounds += 1
        goal = tmp_path / str(rounds) / "drawn" / "hog" / "features"
        while True:
            run = start_working(sample, goal)
            # One run in four is let through to its end, and so is the one after the last kill.
            patience = chance.uniform(0, 1.3 * seconds) if kills < KILLS else 240
            try:
                run.wait(patience)
            except subprocess.TimeoutExpired:
                os.killpg(run.pid, signal.SIGKILL)
                run.wait()
                kills += 1
                continue
            extracted, reused = map(int, run.stdout.readline().split())
            assert extracted + reused == len(sample)
            resumed += extracted < len(sample)
            break
        assert bits(goal) == expected
        assert not (goal / "journal.rows").exists()
        assert [path.name for path in goal.glob(".*.npy")] == [] or kills
    assert resumed > 0


def stop_at_rename(
    n_renames: int, photos: Photos, goal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Extract, and stop instead of the rename that follows the first `n_renames`."""
    replace, left = os.replace, n_renames

    def stops(source: str, target: str) -> None:
        nonlocal left
        if left == 0:
            raise KeyboardInterrupt
        left -= 1
        replace(source, target)

    monkeypatch.setattr(os, "replace", stops)
    with pytest.raises(KeyboardInterrupt):
        extract(photos, HOG, goal)
    monkeypatch.undo()


def test_stopped_in_the_middle_of_writing_the_matrix(
    photos: Photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between any two of the renames at the end, the folder is never taken for a whole one."""
    whole = tmp_path / "a" / "photos" / "hog" / "features"
    extract(photos, HOG, whole)
    for n_renames in range(5):
        goal = tmp_path / f"stopped{n_renames}" / "photos" / "hog" / "features"
        stop_at_rename(n_renames, photos, goal, monkeypatch)
        with pytest.raises(CacheError):
            load(goal, photos)
        again = extract(photos, HOG, goal)
        assert (again.n_extracted, again.n_reused) == (0, len(photos))  # all from the journal
        assert bits(goal) == bits(whole)


def test_stopped_in_the_middle_of_replacing_an_older_matrix(
    photos: Photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Items of the new set beside the matrix of the old one are never taken for a pair."""
    photos_before = photos.sha256
    before = tmp_path / "before" / "photos" / "hog" / "features"
    extract(photos, HOG, before)
    photos.file(0).unlink()  # so that all the other rows move up by one
    fewer = folder.scan(photos.root)
    assert fewer.sha256 == photos_before[1:]
    whole = tmp_path / "whole" / "photos" / "hog" / "features"
    extract(fewer, HOG, whole)
    for n_renames in range(5):
        goal = tmp_path / f"stopped{n_renames}" / "photos" / "hog" / "features"
        shutil.copytree(before, goal)
        stop_at_rename(n_renames, fewer, goal, monkeypatch)
        extract(fewer, HOG, goal)
        assert bits(goal) == bits(whole)
        assert len(load(goal, fewer)) == len(fewer)


@pytest.mark.parametrize("at", [5, 40, -2])
def test_a_row_that_the_disk_garbled_is_dropped(tmp_path: Path, at: int) -> None:
    """A power cut may leave a record of the right length that was never written."""
    recipe = extraction.ExtractionConfig("pixels", "none", "squash", "f32")
    shas = [f"{i:064x}" for i in range(3)]
    path = tmp_path / "journal.rows"
    with extraction.Journal(path, recipe, 4) as journal:
        for i, sha in enumerate(shas):
            journal.append(sha, np.full(4, i, np.float32))
        size = journal.record.itemsize
    data = bytearray(path.read_bytes())
    data[len(data) - 2 * size + at % size] ^= 1  # in the second of the three
    path.write_bytes(data)
    with extraction.Journal(path, recipe, 4) as journal:
        assert list(journal.rows()) == shas[:1]
        journal.append(shas[1], np.full(4, 8, np.float32))
        assert journal.rows()[shas[1]].tolist() == [8, 8, 8, 8]


def test_an_exception_in_the_decoder_loses_nothing_done_before(
    photos: Photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goal = tmp_path / "outputs" / "photos" / "hog" / "features"
    load_pixels = extraction.load_pixels
    bad = photos.file(len(photos) - 1)

    def breaks(path: Path, *arguments: object, **options: object) -> np.ndarray:
        if path == bad:
            raise RuntimeError("a fault in the decoder")
        return load_pixels(path, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(extraction, "load_pixels", breaks)
    with pytest.raises(RuntimeError, match="a fault in the decoder"):
        extract(photos, HOG, goal)
    monkeypatch.undo()
    assert extract(photos, HOG, goal).n_extracted < len(photos) / 2


@pytest.mark.parametrize("restarts", [3])
def test_a_restarted_kernel_goes_on(
    sample: Photos, uninterrupted: tuple[list[str], float], tmp_path: Path, restarts: int
) -> None:
    """Restart the kernel in the middle of the cell, as the button of JupyterLab does."""
    from jupyter_client.manager import start_new_kernel

    expected, seconds = uninterrupted
    goal = tmp_path / "outputs" / "drawn" / "hog" / "features"
    code = RUN.replace("sys.argv[1]", repr(str(sample.root))).replace(
        "sys.argv[2]", repr(str(goal))
    )
    manager, client = start_new_kernel()
    try:
        known = 0
        for _ in range(restarts):
            client.execute(code)
            while not (goal / "journal.rows").exists():
                time.sleep(0.02)
            time.sleep(seconds / 5)
            manager.restart_kernel(now=True)
            client.wait_for_ready(timeout=60)
            size = (goal / "journal.rows").stat().st_size
            assert size >= known
            known = size
        assert known > 0
        reply = client.execute_interactive(code, timeout=240, output_hook=lambda _: None)
        assert reply["content"]["status"] == "ok"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert bits(goal) == expected


def test_two_kernels_on_one_cache_end_with_one_right_result(
    sample: Photos, uninterrupted: tuple[list[str], float], tmp_path: Path
) -> None:
    goal = tmp_path / "outputs" / "drawn" / "hog" / "features"
    runs = [start(sample, goal) for _ in range(3)]
    extracted = []
    for run in runs:
        out, _ = run.communicate(timeout=240)
        assert run.returncode == 0
        extracted.append(int(out.split()[1]))
    assert sorted(extracted) == [0, 0, len(sample)]
    assert bits(goal) == uninterrupted[0]


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0, reason="mounting a small disk takes root"
)
def test_a_full_disk_is_a_sentence_and_what_was_done_stays(
    sample: Photos, uninterrupted: tuple[list[str], float], tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        goal = disk / "outputs" / "drawn" / "hog" / "features"
        with pytest.raises(CacheError, match=r"^No space is left for .*\.$"):
            extract(sample, HOG, goal)
        with pytest.raises(CacheError):
            load(goal, sample)
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        outcome = extract(sample, HOG, goal)
        assert outcome.n_reused > 0
        assert bits(goal) == uninterrupted[0]
    finally:
        subprocess.run(["umount", str(disk)], check=False)


def test_a_second_kernel_waits_for_the_first(photos: Photos, tmp_path: Path) -> None:
    goal = tmp_path / "outputs" / "photos" / "hog" / "features"
    with extraction.lock(goal):
        second = threading.Thread(target=extract, args=(photos, HOG, goal))
        second.start()
        time.sleep(0.5)
        assert not (goal / "identity.json").exists()
    second.join(60)
    assert (goal / "identity.json").exists()
