"""Distributed extraction with Ray; the embeddings are those of an extraction on one machine.

Reading tasks load the files of one part of the photos at a time, ahead of a pool of workers with
the backbone; Ray pauses the reading while its object store is full. A worker embeds a part and
writes it as one Parquet shard. The embedding of a photo depends only on the photo and the config,
so it does not matter which worker computes it, or whether it is computed twice.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np

from caltech_lab.datasets.photos import Photos
from caltech_lab.embedding.backbones import Backbone, backbone
from caltech_lab.embedding.engines import Runtime, choose_runtime, compile_backbone
from caltech_lab.embedding.extraction import (
    Embedding,
    ExtractionConfig,
    ExtractionReport,
    unit_rows,
)
from caltech_lab.embedding.images import load_pixels
from caltech_lab.errors import ArgumentError, DatasetError, LabError, PhotoError, shown_name
from caltech_lab.scale.addresses import Item, Part, file_system, parts_at, parts_of, read, shown
from caltech_lab.scale.shards import (
    is_finished,
    name_of,
    names_in,
    note_of,
    read_shards,
    write_shard,
)
from caltech_lab.settings import settings

OBJECT_STORE = 512 * 2**20  # bytes, for photos in transit, if Ray is started here
PARTS_AHEAD = 2  # parts to read per worker while it embeds another


def ray_embedding(
    backbone: Backbone,
    runtime: Runtime,
    to: str,
    *,
    address: str | None = None,
    workers: int | None = None,
) -> Embedding:
    """Return a function for `extraction.extract` that embeds photos with Ray.

    Parameters
    ----------
    backbone, runtime
        As in `extraction.extract`.
    to : str
        Folder for the shards, to which all machines can write.
    address, workers
        As in `extract_shards`.

    Returns
    -------
    callable
        For `extract(..., embedding=...)`; the folder of the photos must exist under the same path
        on all machines.
    """

    def embed(
        photos: Photos, todo: list[int], reasons: dict[str, str]
    ) -> Iterator[tuple[str, np.ndarray]]:
        # All photos are divided, not only the remaining ones, so that finished shards stay valid.
        parts, root = parts_of(photos), str(photos.root.absolute())
        run(root, parts, backbone, runtime, to, address=address, workers=workers)
        wanted = {photos.sha256[i] for i in todo}
        for table in read_shards(*file_system(to)):
            for path, sha, row, fault in zip(
                table["path"], table["sha256"], table["embedding"], table["outcome"], strict=True
            ):
                if sha in wanted:
                    wanted.discard(sha)
                    if fault:
                        reasons[sha] = fault.removeprefix(shown_name(shown(root, path)))
                    else:
                        yield sha, row

    return embed


def extract_shards(
    source: str,
    backbone: Backbone,
    to: str,
    *,
    address: str | None = None,
    workers: int | None = None,
) -> ExtractionReport:
    """Embed the photos at an address and write the rows as shards; see `shards.write_shard`.

    It can be interrupted at any time: finished shards whose photos have not changed are kept.

    Parameters
    ----------
    source : str
        Address of the photos; see `addresses`.
    backbone : Backbone
        Backbone to embed with.
    to : str
        Folder or address for the shards.
    address : str, optional
        Address of a Ray cluster, such as `ray://head:10001` or `auto`; by default, Ray is started
        on this machine for this run.
    workers : int, optional
        Number of workers, each with a copy of the backbone; by default as many as fit, each with
        as many threads as the smallest machine has cores.

    Returns
    -------
    ExtractionReport
        As for an extraction on one machine; also written to `outcome.json` next to the shards.

    Raises
    ------
    DatasetError
        When there are no photos at the address, or none of them can be read.
    ArgumentError
        When Ray is not installed, or a machine of the cluster would compute different rows.
    """
    started = time.perf_counter()
    runtime = choose_runtime(backbone)  # the same for all workers
    parts = parts_at(source)
    done = run(source, parts, backbone, runtime, to, address=address, workers=workers)
    system, folder = file_system(to)
    failed: dict[str, str] = {}
    n_photos = n_new = 0
    columns = ["path", "outcome"]
    for number, table in enumerate(read_shards(system, folder, columns)):
        bad = table[table["outcome"] != ""]
        failed |= dict(zip(bad["path"], bad["outcome"], strict=True))
        n_photos += len(table)
        n_new += (len(table) - len(bad)) * (number in done)
    if len(failed) == n_photos:
        first = next(iter(failed.values()), "there are none.")
        raise DatasetError(f"None of the {n_photos:,} photos could be read; the first: {first}")
    outcome = ExtractionReport(
        why=f"{len(done):,} of {len(parts):,} shards were written, the others were up to date.",
        n_photos=n_photos,
        n_extracted=n_new,
        n_reused=n_photos - len(failed) - n_new,
        failed=failed,
        seconds=round(time.perf_counter() - started, 2),
        engine=str(runtime) if done else "",
    )
    with system.open_output_stream(f"{folder}/outcome.json") as file:
        file.write(json.dumps(asdict(outcome), indent=2, ensure_ascii=False).encode())
    return outcome


def run(
    source: str,
    parts: list[Part],
    backbone: Backbone,
    runtime: Runtime,
    to: str,
    *,
    address: str | None = None,
    workers: int | None = None,
) -> set[int]:
    """Write the missing shards, and remove those that belong to no part.

    Parameters
    ----------
    source : str
        Address that the parts are relative to.
    parts : list of Part
        The photos.
    backbone, runtime, to, address, workers
        As in `extract_shards`.

    Returns
    -------
    set of int
        Numbers of the shards that were written in this run.
    """
    system, folder = file_system(to)
    system.create_dir(folder, recursive=True)
    config = ExtractionConfig(
        backbone.name, backbone.weights(), backbone.transform, runtime.precision
    )
    for stale in set(names_in(system, folder)) - {name_of(part.number) for part in parts}:
        system.delete_file(f"{folder}/{stale}")

    def is_done(part: Part) -> bool:
        return is_finished(system, f"{folder}/{name_of(part.number)}", note_of(part, config))

    with ThreadPoolExecutor(16) as pool:
        finished = list(pool.map(is_done, parts))
    todo = [part for part, done in zip(parts, finished, strict=True) if not done]
    if todo:
        with _cluster(address, workers) as ray:
            _through_ray(ray, source, todo, config, runtime, to, workers)
    return {part.number for part in todo}


def _through_ray(
    ray: Any,
    source: str,
    todo: list[Part],
    config: ExtractionConfig,
    runtime: Runtime,
    to: str,
    workers: int | None,
) -> None:
    threads, workers = _shares(ray, workers, len(todo))
    rows = [{"part": json.dumps(asdict(part))} for part in todo]
    # A worker requests half of the cores that it uses, so that when a machine is lost, its worker
    # fits on another one.
    resources: dict[str, Any] = {"num_cpus": threads / 2}
    if runtime.engine == "cuda":
        resources["num_gpus"] = 1
    pool = ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=PARTS_AHEAD)
    embedded = (
        ray.data.from_items(rows, override_num_blocks=len(rows))
        # Reading is I/O-bound, so it takes no cores from the workers.
        .map(_reader(source), num_cpus=0, compute=ray.data.TaskPoolStrategy(PARTS_AHEAD * workers))
        .map(
            Worker,
            fn_constructor_args=(source, asdict(config), asdict(runtime), to, threads),
            compute=pool,
            **resources,
        )
    )
    try:
        # The result is in the shards; Ray only returns their numbers.
        for _ in embedded.iter_batches(batch_size=None):
            pass
    except ray.exceptions.RayError as error:
        raise _cause(error) from error


def _reader(source: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def fetch(row: dict[str, Any]) -> dict[str, Any]:
        items = list(read(source, Part(**json.loads(row["part"]))))
        names = ("paths", "categories", "data", "faults")
        return row | dict(zip(names, map(list, zip(*items, strict=True)), strict=True))

    return fetch


class Worker:
    """Ray actor with a copy of the backbone, which embeds parts and writes them as shards."""

    def __init__(
        self, source: str, config: dict[str, Any], runtime: dict[str, Any], to: str, threads: int
    ) -> None:
        os.environ["CALTECH_LAB_THREADS"] = str(threads)
        settings.cache_clear()
        self.source, self.to = source, to
        self.config, self.runtime = ExtractionConfig(**config), Runtime(**runtime)
        self.backbone = backbone(self.config.backbone)
        here = choose_runtime(self.backbone, self.runtime.precision)
        if here != self.runtime or self.backbone.weights() != self.config.weights_sha256:
            raise ArgumentError(
                f"A machine of the cluster would run {self.backbone.title} with {here} instead of "
                f"{self.runtime}, or with other weights: install the same on all machines, or "
                "set CALTECH_LAB_PRECISION=f32."
            )
        self.engine = compile_backbone(self.backbone, self.runtime)
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Embed a part and write its shard."""
        part = Part(**json.loads(row["part"]))
        fields = (row["paths"], row["categories"], row["data"], row["faults"])
        items = [Item(*fields) for fields in zip(*fields, strict=True)]
        faults = [item.fault for item in items]
        rows = np.zeros((len(items), self.backbone.width), np.float32)
        good: list[int] = []

        def batches() -> Iterator[np.ndarray]:
            pixels: list[np.ndarray] = []
            for i, decoded in enumerate(self.pool.map(self._decode, items)):
                if isinstance(decoded, str):
                    faults[i] = decoded
                    continue
                good.append(i)
                pixels.append(decoded)
                if len(pixels) == self.engine.batch:
                    yield np.stack(pixels)
                    pixels = []
            if pixels:
                yield np.stack(pixels)

        start = 0
        for embedded in self.engine.embed(batches()):
            rows[good[start : start + len(embedded)]] = unit_rows(embedded)
            start += len(embedded)
        system, folder = file_system(self.to)
        write_shard(system, folder, part, note_of(part, self.config), items, faults, rows)
        return {"shard": part.number}

    def _decode(self, item: Item) -> np.ndarray | str:
        if item.fault:
            return item.fault
        name = shown(self.source, item.path)
        try:
            return load_pixels(item.data, self.backbone.size, self.backbone.fit, name)
        except PhotoError as error:
            return str(error)


@contextmanager
def _cluster(address: str | None, workers: int | None) -> Iterator[Any]:
    """Connect to a Ray cluster, or start one on this machine for this run; yield Ray."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # workers run at normal priority
    try:
        import ray.data
    except ImportError as error:
        raise ArgumentError(
            "Extraction with Ray needs an extra package: install it with "
            "`pip install 'caltech-lab[scale]'`."
        ) from error
    if ray.is_initialized():
        yield ray
        return
    options: dict[str, Any] = {"address": address}
    if not address:
        processors = max(settings().threads, workers or 1)
        options = {"address": "local", "num_cpus": processors, "include_dashboard": False,
                   "object_store_memory": OBJECT_STORE}  # fmt: skip
    try:
        ray.init(**options, log_to_driver=False, logging_level="WARNING")
    except Exception as error:  # Ray also raises bare exceptions
        where = f"There is no Ray cluster at {address}" if address else "Ray could not be started"
        raise ArgumentError(
            f"{where} ({str(error).splitlines()[0]}): start one with `ray start --head`, or try "
            "again when the machine is less busy."
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _shares(ray: Any, workers: int | None, n_parts: int) -> tuple[int, int]:
    """Return the number of threads per worker and the number of workers."""
    machines = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    machines = [cores for cores in machines if cores]
    if workers is None:
        threads = min(machines)
        workers = sum(cores // threads for cores in machines)
    else:
        threads = max(1, min(max(machines), sum(machines) // workers))
    return threads, max(1, min(workers, n_parts))


def _cause(error: BaseException) -> BaseException:
    """Return the `LabError` that caused an error of Ray, if there is one."""
    seen: BaseException | None = error
    while seen is not None:
        for inner in (seen, getattr(seen, "cause", None)):
            if isinstance(inner, LabError):
                return LabError(str(inner).strip().splitlines()[-1])
        seen = seen.__cause__
    return error
