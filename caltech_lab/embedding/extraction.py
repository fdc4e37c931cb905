"""Embedding extraction: rows are computed once, stored safely, and never used when stale.

A row depends only on the bytes of its photo and on the `ExtractionConfig`. Rows are therefore
stored under the sha256 of their photo, and reused whenever the configuration is the same: for this
set of photos or another, before or after an interruption.
"""

import hashlib
import json
import os
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pandas as pd
from PIL.Image import Image

from caltech_lab.datasets.photos import Photos
from caltech_lab.embedding.backbones import Backbone
from caltech_lab.embedding.engines import Engine, Runtime, choose_runtime, compile_backbone
from caltech_lab.embedding.images import load_pixels
from caltech_lab.embedding.processor_noise import perturbed
from caltech_lab.errors import CacheError, DatasetError, LabError, PhotoError, shown_name
from caltech_lab.storage.arrays import save_array
from caltech_lab.storage.files import (
    explain,
    lock,
    make_way,
    read_json,
    set_aside,
    sha256_of,
    write_atomically,
    write_json,
)
from caltech_lab.storage.progress import progress
from caltech_lab.storage.tables import csv_text, load_table, save_table
from caltech_lab.storage.threads import AT_ONCE, map_ahead

VERSION = 2  # incremented whenever this code gives different rows for the same config
ROWS_AT_ONCE = 1024  # rows in memory while the matrix is written
SECONDS_BETWEEN_FLUSHES = 2.0
ITEMS = ["path", "category", "sha256"]  # the columns of the table of items
UNREAD = "{} could not be read when the photos were embedded."
CANNOT_BE_OPENED = "{} cannot be opened: check that it is there and may be read."

# Takes photos, the indices of those to embed, and a dict for the reasons why some cannot be read,
# by sha256: what follows the file's name in the sentence, as several files may have the same bytes.
# Yields the sha256 and the row of unit length of each of the others.
Embedding = Callable[[Photos, list[int], dict[str, str]], Iterator[tuple[str, np.ndarray]]]

WORDS = {
    "photos": "the photos",
    "backbone": "the backbone",
    "weights_sha256": "the weights",
    "transform": "the transform",
    "precision": "the precision",
    "version": "the extraction code",
}


@dataclass(frozen=True)
class ExtractionConfig:
    """The settings that a photo's row depends on.

    Attributes
    ----------
    backbone : str
        Name in the registry.
    weights_sha256 : str
        Hash of the file of pretrained weights.
    transform : str
        Preprocessing of the pixels.
    precision : str
        Number format of the multiplications.
    version : int
        Version of this module's code.
    """

    backbone: str
    weights_sha256: str
    transform: str
    precision: str
    version: int = VERSION


@dataclass(frozen=True)
class ExtractionReport:
    """The outcome of an extraction.

    Attributes
    ----------
    why : str
        One line: why the cache may be used, or what had changed.
    n_photos, n_extracted, n_reused : int
        Number of photos in total, extracted now, and reused.
    failed : dict
        Path of each unreadable photo, and a sentence with the reason.
    seconds : float
        Wall time of the extraction.
    engine : str
        The engine that ran the network; empty when nothing was extracted.
    """

    why: str
    n_photos: int
    n_extracted: int
    n_reused: int
    failed: dict[str, str]
    seconds: float
    engine: str

    def __str__(self) -> str:
        """Return the lines that a notebook prints."""
        lines = [self.why]
        if self.n_extracted:
            rate = self.n_extracted / max(self.seconds, 1e-9)
            lines.append(
                f"{self.n_extracted:,} photos extracted in {self.seconds:.0f} s "
                f"({rate:.0f} per second, {self.engine}), {self.n_reused:,} known already."
            )
        if self.failed:
            shown = "; ".join(
                f"{shown_name(path)}: {reason}" for path, reason in list(self.failed.items())[:3]
            )
            lines.append(
                f"{len(self.failed):,} of {self.n_photos:,} photos could not be read and are left "
                f"out (all are named in outcome.json): {shown}"
            )
        return "\n".join(lines)


def extract(
    photos: Photos,
    backbone: Backbone,
    folder: Path,
    *,
    runtime: Runtime | None = None,
    engine: Engine | None = None,
    embedding: Embedding | None = None,
) -> ExtractionReport:
    """Bring the embeddings of `photos` in `folder` up to date, extracting only new rows.

    The files are `embeddings.npy` (float32, (n, width), rows of unit length), `labels.npy` (int64,
    (n,), index into the sorted categories), `items.parquet` (path, category, sha256 of each row),
    `outcome.json` (see `ExtractionReport`) and, written last, `identity.json`: what they were made
    from, and their checksums. Finished rows are kept in `journal.rows` during the run, so that it
    can be interrupted at any time. Only one process at a time works on a folder.

    Parameters
    ----------
    photos : Photos
        The photos to embed.
    backbone : Backbone
        The backbone to embed them with.
    folder : Path
        The `features` folder, `outputs/<dataset>/<backbone>/features`.
    runtime : Runtime, optional
        Engine and precision; chosen for this machine by default.
    engine : Engine, optional
        A compiled backbone to use; compiled when needed by default.
    embedding : callable, optional
        Another function that computes the rows, with bit-identical results, such as
        `ray_extraction.ray_embedding`.

    Returns
    -------
    ExtractionReport
        What was done, and which photos failed.

    Raises
    ------
    DatasetError
        When none of the photos can be read.
    CacheError
        When the disk is full or the folder cannot be written.
    WeightsError
        When the weights are missing or not the expected ones.
    """
    runtime = runtime or choose_runtime(backbone)
    config = ExtractionConfig(
        backbone.name, backbone.weights(), backbone.transform, runtime.precision
    )
    with lock(folder):
        before = read_identity(folder)
        identity = {"photos": photos.fingerprint, **asdict(config)}
        why = what_changed(before, identity)
        if before is None:
            _set_aside(folder / "identity.json")
        else:
            if not why:
                _mend_items(folder, before, photos)
            if not intact(folder, before):
                why = "The embeddings are damaged or incomplete."
                _set_aside_what_is_damaged(folder, before)
        if not why:
            return _current(folder, photos)
        return _extract(photos, backbone, folder, config, identity, why, runtime, engine, embedding)


def _extract(
    photos: Photos,
    backbone: Backbone,
    folder: Path,
    config: ExtractionConfig,
    identity: dict[str, Any],
    why: str,
    runtime: Runtime,
    engine: Engine | None,
    embedding: Embedding | None,
) -> ExtractionReport:
    started = time.perf_counter()
    known = known_rows(folder, config)
    reasons: dict[str, str] = {}
    with Journal(folder / "journal.rows", config, backbone.width) as journal:
        known |= journal.rows()
        # Identical files share a row; a file that could not be hashed has no key and is skipped.
        first = {sha: i for i, sha in reversed(list(enumerate(photos.sha256))) if sha}
        todo = sorted(i for sha, i in first.items() if sha not in known)
        if todo:
            if embedding is None:
                engine = engine or compile_backbone(backbone, runtime)
                rows = _embed(photos, todo, backbone, engine, reasons)
            else:
                rows = embedding(photos, todo, reasons)
            for sha, row in rows:
                journal.append(sha, row)
            known |= journal.rows()
    failed = {
        path: f"{shown_name(photos.file(i))}{reasons[sha]}"
        if sha in reasons
        else CANNOT_BE_OPENED.format(photos.file(i))
        for i, (path, sha) in enumerate(zip(photos.table["path"], photos.sha256, strict=True))
        if sha not in known
    }
    if len(failed) == len(photos):
        raise DatasetError(
            f"None of the {len(photos):,} photos could be read; the first: "
            f"{next(iter(failed.values()), 'there are none.')}"
        )
    n_extracted = len(todo) - len(reasons)
    outcome = ExtractionReport(
        why=why,
        n_photos=len(photos),
        n_extracted=n_extracted,
        n_reused=len(photos) - len(failed) - n_extracted,
        failed=failed,
        seconds=round(time.perf_counter() - started, 2),
        engine=str(runtime) if todo else "",
    )
    _write(folder, photos, known, identity, outcome, backbone.width)
    journal.path.unlink(missing_ok=True)
    return outcome


def embed_few(
    photos: Sequence[str | Path | bytes | Image],
    backbone: Backbone,
    engine: Engine | None = None,
) -> np.ndarray:
    """Embed a few photos with low latency, without storing anything.

    Fewer photos than a batch are embedded one by one, so that no batch has to be filled up.

    Parameters
    ----------
    photos : sequence of str, Path, bytes or PIL.Image.Image
        Files, the contents of files, or images from `images.read_photo`.
    backbone : Backbone
        The backbone to embed them with.
    engine : Engine, optional
        The compiled backbone; compiled for this machine by default.

    Returns
    -------
    ndarray of float32, shape (number of photos, width)
        Rows of unit length, equal to those of `extract` up to rounding.

    Raises
    ------
    PhotoError
        When a photo cannot be read.
    """
    pixels = [load_pixels(photo, backbone.size, backbone.fit) for photo in photos]
    engine = engine or compile_backbone(backbone)
    if len(pixels) < engine.batch:
        rows = unit_rows(np.stack([engine.embed_one(photo) for photo in pixels]))
    else:
        parts = (
            np.stack(pixels[i : i + engine.batch]) for i in range(0, len(pixels), engine.batch)
        )
        rows = unit_rows(np.concatenate(list(engine.embed(parts))))
    return rows if backbone.classical else perturbed(rows)


def embed_photos(
    photos: Photos,
    backbone: Backbone,
    *,
    runtime: Runtime | None = None,
    engine: Engine | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Embed many photos with a progress bar, without storing anything.

    Parameters
    ----------
    photos, backbone, runtime, engine
        As in `extract`.

    Returns
    -------
    X : ndarray of float32, shape (m, width)
        Rows of unit length, one per photo that could be read.
    read : ndarray of bool, shape (n,)
        Which photos could be read.
    """
    first = {sha: i for i, sha in reversed(list(enumerate(photos.sha256))) if sha}
    known: dict[str, np.ndarray] = {}
    if first:
        engine = engine or compile_backbone(backbone, runtime)
        known = dict(_embed(photos, sorted(first.values()), backbone, engine, {}))
    rows = [known[sha] for sha in photos.sha256 if sha in known]
    X = np.stack(rows) if rows else np.empty((0, backbone.width), np.float32)
    X = X if backbone.classical else perturbed(X)
    return X, np.array([sha in known for sha in photos.sha256], bool)


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Scale rows to unit length, float32."""
    # The row of a black photo may be zero, and stays zero.
    norms = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    unit: np.ndarray = (rows / norms).astype(np.float32)
    return unit


def _embed(
    photos: Photos, todo: list[int], backbone: Backbone, engine: Engine, reasons: dict[str, str]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the sha256 and the row of unit length of each photo in `todo` that can be read."""
    under_way: deque[list[str]] = deque()

    def decode(some: Sequence[int]) -> tuple[list[str], np.ndarray]:
        shas: list[str] = []
        pixels = np.empty((len(some), backbone.size, backbone.size, 3), np.uint8)
        for i in some:
            try:
                photo = load_pixels(photos.file(i), backbone.size, backbone.fit, name="")
            except PhotoError as error:
                reasons[photos.sha256[i]] = str(error)
                continue
            pixels[len(shas)] = photo
            shas.append(photos.sha256[i])
        return shas, pixels[: len(shas)]

    def batches() -> Iterator[np.ndarray]:
        # Batches are assembled in the decoding threads, while the pixels are still in the cache.
        parts = [todo[i : i + engine.batch] for i in range(0, len(todo), engine.batch)]
        decoded = map_ahead(decode, parts, max(1, AT_ONCE // engine.batch))
        for part, (shas, pixels) in zip(parts, decoded, strict=True):
            bar.update(len(part))
            if shas:
                under_way.append(shas)
                yield pixels

    with progress(total=len(todo), desc=backbone.title, unit=" photos") as bar:
        for rows in engine.embed(batches()):
            yield from zip(under_way.popleft(), unit_rows(rows), strict=True)


# ---- stored rows ---------------------------------------------------------------------------


class Journal:
    """The rows of an unfinished run, each stored completely or not at all.

    The first line is the config as JSON. One record per row follows: the 32 bytes of the photo's
    sha256, the row as little-endian float32, and a CRC-32 of both. If a kill truncated a record,
    that record and everything after it are dropped the next time the journal is opened.
    """

    def __init__(self, path: Path, config: ExtractionConfig, width: int) -> None:
        self.path = path
        self.record = np.dtype([("photo", "V32"), ("row", "<f4", (width,)), ("check", "<u4")])
        self.header = json.dumps(asdict(config)).encode() + b"\n"
        self.index: dict[str, int] = {}
        self.flushed = time.monotonic()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            make_way(self.path)
            # Unbuffered, so that a kill loses no row, and a full disk is noticed at once.
            self.file = open(path, "rb+" if path.exists() else "wb+", buffering=0)  # noqa: SIM115
            if self.file.read(len(self.header)) != self.header:
                self.file.seek(0)
                self.file.truncate()
                self._write(self.header)
            self._read()
        except OSError as error:
            raise explain(error, path) from error

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self.file.write(rest) :]

    def _read(self) -> None:
        size = self.record.itemsize
        good = self.file.tell()
        while len(record := self.file.read(size)) == size:
            if zlib.crc32(record[:-4]).to_bytes(4, "little") != record[-4:]:
                break
            self.index[record[:32].hex()] = len(self.index)
            good += size
        self.file.seek(good)
        self.file.truncate()

    def __contains__(self, sha: str) -> bool:
        return sha in self.index

    def append(self, sha: str, row: np.ndarray) -> None:
        """Store one row, float32 of shape (width,), under the sha256 of its photo."""
        body = bytes.fromhex(sha) + row.astype("<f4").tobytes()
        try:
            self._write(body + zlib.crc32(body).to_bytes(4, "little"))
            self.index[sha] = len(self.index)
            if time.monotonic() - self.flushed > SECONDS_BETWEEN_FLUSHES:
                self.flush()
        except OSError as error:
            raise explain(error, self.path) from error

    def flush(self) -> None:
        """Flush all rows so far to disk."""
        os.fsync(self.file.fileno())
        self.flushed = time.monotonic()

    def rows(self) -> dict[str, np.ndarray]:
        """Return a view of each row so far, by the sha256 of its photo."""
        if not self.index:
            return {}
        self.flush()
        table = np.memmap(self.path, self.record, "r", len(self.header), (len(self.index),))
        return {sha: table["row"][i] for sha, i in self.index.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.flush()
        except OSError as full:
            raise explain(full, self.path) from full
        finally:
            self.file.close()


def known_rows(folder: Path, config: ExtractionConfig) -> dict[str, np.ndarray]:
    """Find finished rows with the same config, in `folder` and for other sets of photos.

    Parameters
    ----------
    folder : Path
        A `features` folder, `outputs/<dataset>/<backbone>/features`.
    config : ExtractionConfig
        The config that the rows must have been made with.

    Returns
    -------
    dict
        A read-only view of each row, float32 of shape (width,), by the sha256 of its photo.
    """
    known: dict[str, np.ndarray] = {}
    outputs, backbone = folder.parents[2], folder.parent.name
    for other in sorted(outputs.glob(f"*/{backbone}/{folder.name}")):
        # Damage there is reported when that dataset is opened.
        with suppress(LabError, OSError, ValueError):
            identity = read_identity(other)
            if identity and {**identity, **asdict(config)} == identity and intact(other, identity):
                rows = np.load(other / "embeddings.npy", mmap_mode="r", allow_pickle=False)
                known |= dict(zip(read_items(other, identity)["sha256"], rows, strict=True))
    return known


def read_identity(folder: Path) -> dict[str, Any] | None:
    """Read what the embeddings in `folder` were made from; None if there is no valid record."""
    path = folder / "identity.json"
    if not path.is_file():
        return None
    try:
        identity = read_json(path)
    except (LabError, OSError):
        return None
    return identity if isinstance(identity, dict) else None


def read_items(folder: Path, identity: dict[str, Any]) -> pd.DataFrame:
    """Read the photo of each row of the embeddings in `folder`.

    Raises
    ------
    CacheError
        When the table is missing, or does not match `identity`.
    """
    path = folder / "items.parquet"
    table = load_table(path)
    if not {*ITEMS} <= {*table} or items_sha256(table) != identity.get("items_sha256"):
        raise CacheError(f"{path} is damaged: extract the photos again.")
    return table


def items_sha256(table: pd.DataFrame) -> str:
    """Return a hash of the paths, categories and sha256 in a table."""
    text = csv_text(table[ITEMS])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def intact(folder: Path, identity: dict[str, Any]) -> bool:
    """Return whether the embeddings and items in `folder` match `identity`."""
    return _holds_rows(folder, identity) and _holds_items(folder, identity)


def _holds_rows(folder: Path, identity: dict[str, Any]) -> bool:
    path = folder / "embeddings.npy"
    try:
        return path.is_file() and sha256_of(path) == identity.get("embeddings_sha256")
    except OSError:
        return False


def _holds_items(folder: Path, identity: dict[str, Any]) -> bool:
    try:
        read_items(folder, identity)
    except (LabError, OSError):
        return False
    return True


def _mend_items(folder: Path, identity: dict[str, Any], photos: Photos) -> None:
    """Rebuild the table of items from the photos if it is the only damaged file."""
    if _holds_items(folder, identity) or not _holds_rows(folder, identity):
        return
    table = photos.table.assign(sha256=photos.sha256)
    kept = table[~table["path"].isin([*(_failed(folder) or {})])].reset_index(drop=True)
    if items_sha256(kept) == identity.get("items_sha256"):
        _set_aside(folder / "items.parquet")
        save_table(folder / "items.parquet", kept[ITEMS])


def _set_aside_what_is_damaged(folder: Path, identity: dict[str, Any]) -> None:
    if not _holds_rows(folder, identity):
        _set_aside(folder / "embeddings.npy")
    if not _holds_items(folder, identity):
        _set_aside(folder / "items.parquet")


def _set_aside(path: Path) -> None:
    if path.exists():
        print(f"{path} is damaged: it is made again, and kept as {set_aside(path).name}.")


def _failed(folder: Path) -> dict[str, str] | None:
    """Read which photos could not be read, and why; None if the file is damaged or missing."""
    try:
        failed = read_json(folder / "outcome.json")["failed"]
        sound = all(isinstance(part, str) for item in failed.items() for part in item)
    except (LabError, OSError, KeyError, TypeError, AttributeError):
        return None
    return failed if sound else None


def what_changed(before: dict[str, Any] | None, now: dict[str, Any]) -> str:
    """Return one line on why embeddings must be made.

    Parameters
    ----------
    before : dict or None
        The identity of the existing embeddings; None if there are none.
    now : dict
        The identity that they would have now.

    Returns
    -------
    str
        A sentence; empty when nothing changed.
    """
    if before is None:
        return "There are no embeddings of these photos yet."
    changed = []
    for key, word in WORDS.items():
        if before.get(key) != now[key]:
            short = key in ("photos", "weights_sha256")
            changed.append(word if short else f"{word} ({before.get(key)}, now {now[key]})")
    if not changed:
        return ""
    return f"Since these embeddings were made, {' and '.join(changed)} changed."


def _current(folder: Path, photos: Photos) -> ExtractionReport:
    failed = _failed(folder)
    sound = failed is not None
    if failed is None:
        known = {*read_items(folder, read_identity(folder) or {})["path"]}
        paths = enumerate(photos.table["path"])
        failed = {p: UNREAD.format(photos.file(i)) for i, p in paths if p not in known}
    report = ExtractionReport(
        why="The embeddings are current: made from the same photos by the same weights, "
        "transform, precision and extraction code.",
        n_photos=len(photos),
        n_extracted=0,
        n_reused=len(photos) - len(failed),
        failed=failed,
        seconds=0.0,
        engine="",
    )
    if not sound:
        _set_aside(folder / "outcome.json")
        write_json(folder / "outcome.json", asdict(report))
    return report


# ---- output files --------------------------------------------------------------------------


def _write(
    folder: Path,
    photos: Photos,
    known: dict[str, np.ndarray],
    identity: dict[str, Any],
    outcome: ExtractionReport,
    width: int,
) -> None:
    kept = np.array([sha in known for sha in photos.sha256])
    items = photos.subset(kept)
    # Until the new identity is written, the folder must not be taken for the old embeddings.
    for name in ("embeddings.npy", "items.parquet", "labels.npy", "outcome.json", "identity.json"):
        make_way(folder / name)
    with write_atomically(folder / "embeddings.npy") as embeddings:
        with open(embeddings, "wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (len(items), width)}
            np.lib.format.write_array_header_1_0(file, header)
            for start in range(0, len(items), ROWS_AT_ONCE):
                shas = items.sha256[start : start + ROWS_AT_ONCE]
                file.write(np.stack([known[sha] for sha in shas]).tobytes())
        sums = {
            "embeddings_sha256": sha256_of(embeddings),
            "items_sha256": items_sha256(items.table),
        }
        # Rows from the old matrix are in the new one now; release it before it is replaced.
        known.clear()
    save_table(folder / "items.parquet", items.table[ITEMS])
    save_array(folder / "labels.npy", items.labels)
    write_json(folder / "outcome.json", asdict(outcome))
    write_json(folder / "identity.json", {**identity, **sums})
