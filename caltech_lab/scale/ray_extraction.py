"""Extraction by Ray: the same rows, made by as many workers as there are machines.

Reading tasks fetch the bytes of one part of the photos after the other, ahead of a pool of workers
that hold the backbone; Ray stops the reading while its store of objects is full. A worker embeds a
part and writes it as one Parquet shard. Rows depend on nothing but their photo and the config, so
that it does not matter which worker made them, beside which others, or whether it was twice.
"""

import json
import os
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
from caltech_lab.errors import ArgumentError, DatasetError, LabError, PhotoError
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

OBJECT_STORE = 512 * 2**20  # bytes for photos on their way, where Ray is started here
PARTS_AHEAD = 2  # read for each worker while it embeds another


def ray_embedding(
    backbone: Backbone,
    runtime: Runtime,
    to: str,
    *,
    address: str | None = None,
    workers: int | None = None,
) -> Embedding:
    """Return what lets `extraction.extract` have its rows made by Ray.

    Parameters
    ----------
    backbone, runtime
        As for `extraction.extract`.
    to : str
        A folder for the shards, which all machines can write to.
    address, workers
        As for `extract_shards`.

    Returns
    -------
    callable
        For `extract(..., embedding=...)`; the folder of the photos must be there, under the same
        path, on all machines.
    """

    def embed(
        photos: Photos, todo: list[int], reasons: dict[str, str]
    ) -> Iterator[tuple[str, np.ndarray]]:
        # All photos are divided, whatever is left to do, so that finished shards fit.
        parts, root = parts_of(photos), str(photos.root.absolute())
        run(root, parts, backbone, runtime, to, address=address, workers=workers)
        wanted = {photos.sha256[i] for i in todo}
        for table in read_shards(*file_system(to)):
            for sha, row, fault in zip(
                table["sha256"], table["embedding"], table["outcome"], strict=True
            ):
                if sha in wanted:
                    wanted.discard(sha)
                    if fault:
                        reasons[sha] = fault
                    else:
                        yield sha, row

    return embed


def extract_shards(
    source: str,
    backbone: Backbone,
    to: str,
    *,
    runtime: Runtime | None = None,
    address: str | None = None,
    workers: int | None = None,
) -> ExtractionReport:
    """Embed the photos at an address, and write the rows as shards; see `shards.write_shard`.

    It may be stopped at any moment: shards that are finished, of photos that have not changed, are
    kept.

    Parameters
    ----------
    source : str
        Where the photos are; see `addresses`.
    backbone : Backbone
        With what.
    to : str
        Where the shards go, a folder or an address.
    runtime : Runtime, optional
        Engine and precision, the same for all workers; chosen for this machine by default.
    address : str, optional
        Of a Ray cluster, such as `ray://head:10001` or `auto`; Ray is started here by default, for
        this run.
    workers : int, optional
        How many hold the backbone; by default as many as have the processors of one machine each.

    Returns
    -------
    ExtractionReport
        As of an extraction on one machine; also written as `outcome.json` beside the shards.

    Raises
    ------
    DatasetError
        When nothing is at the address, or no photo there can be read.
    ArgumentError
        When Ray is not installed, or a machine of the cluster would give other rows.
    """
    import time

    started = time.perf_counter()
    runtime = runtime or choose_runtime(backbone)
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
        why=f"{len(done):,} of {len(parts):,} shards were made, the others were there.",
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
    """Make the shards that are not there, and remove those of other photos.

    Parameters
    ----------
    source : str
        What the parts lie below.
    parts : list of Part
        The photos.
    backbone, runtime, to, address, workers
        As for `extract_shards`.

    Returns
    -------
    set of int
        The numbers of the shards that were made now.
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
        with _cluster(address, workers):
            _through_ray(source, todo, config, runtime, to, workers)
    return {part.number for part in todo}


def _through_ray(
    source: str,
    todo: list[Part],
    config: ExtractionConfig,
    runtime: Runtime,
    to: str,
    workers: int | None,
) -> None:
    import ray

    threads, workers = _shares(workers, len(todo))
    rows = [{"part": json.dumps(asdict(part))} for part in todo]
    # Half of the processors that a worker uses are asked for: when a machine is lost, there is
    # room for its worker on another.
    resources: dict[str, Any] = {"num_cpus": threads / 2}
    if runtime.engine == "cuda":
        resources["num_gpus"] = 1
    pool = ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=PARTS_AHEAD)
    embedded = (
        ray.data.from_items(rows, override_num_blocks=len(rows))
        # Reading waits for disks and networks, and so takes no processor from the workers.
        .map(_reader(source), num_cpus=0, compute=ray.data.TaskPoolStrategy(PARTS_AHEAD * workers))
        .map(
            Worker,
            fn_constructor_args=(source, asdict(config), asdict(runtime), to, threads),
            compute=pool,
            **resources,
        )
    )
    try:
        # The shards are the result; what comes back is a number each, and Ray's own progress.
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
    """Holds the backbone, embeds parts and writes them as shards; Ray makes and calls it."""

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
                f"A machine of the cluster would run {self.backbone.title} with {here} and not "
                f"with {self.runtime}, or with other weights: give all the same, or "
                "CALTECH_LAB_PRECISION=f32."
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
def _cluster(address: str | None, workers: int | None) -> Iterator[None]:
    """Join a cluster, or start one here for the time being."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # workers are what this run is for
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ArgumentError(
            "Extraction by Ray needs an extra: install it with `pip install 'caltech-lab[scale]'`."
        ) from error
    if ray.is_initialized():
        yield
        return
    options: dict[str, Any] = {"address": address}
    if not address:
        processors = max(settings().threads, workers or 1)
        options = {"address": "local", "num_cpus": processors, "include_dashboard": False,
                   "object_store_memory": OBJECT_STORE}  # fmt: skip
    try:
        ray.init(**options, log_to_driver=False, logging_level="WARNING")
    except Exception as error:  # Ray raises anything, bare exceptions among it
        where = f"There is no Ray cluster at {address}" if address else "Ray could not be started"
        raise ArgumentError(
            f"{where} ({str(error).splitlines()[0]}): start one with `ray start --head`, or try "
            "again when the machine is less busy."
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _shares(workers: int | None, n_parts: int) -> tuple[int, int]:
    """Return how many threads a worker has, and how many workers there are."""
    import ray

    machines = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    machines = [cores for cores in machines if cores]
    if workers is None:
        threads = min(machines)
        workers = sum(cores // threads for cores in machines)
    else:
        threads = max(1, min(max(machines), sum(machines) // workers))
    return threads, max(1, min(workers, n_parts))


def _cause(error: BaseException) -> BaseException:
    """Return the sentence of ours that made Ray fail, where there is one."""
    seen: BaseException | None = error
    while seen is not None:
        for inner in (seen, getattr(seen, "cause", None)):
            if isinstance(inner, LabError):
                return LabError(str(inner).strip().splitlines()[-1])
        seen = seen.__cause__
    return error
