"""What Ray and Milvus cost and give: three measurements, each of which may be run alone.

`large`: 100,000 photos in tar files, re-encoded from drawn ones, through Ray and a small
backbone, with the memory of all its processes. `overhead`: Ray against the direct engine, on all
photos of Caltech-101. `galleries`: all stores on its embeddings, against exact search.
"""

import argparse
import io
import shutil
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
from common import RESULTS, alternate, bytes_per_vector, compared, machine

from caltech_lab.datasets import open_photos
from caltech_lab.embedding.backbones import backbone
from caltech_lab.embedding.engines import choose_runtime
from caltech_lab.embedding.extraction import extract
from caltech_lab.embedding.images import read_photo
from caltech_lab.lab import Lab
from caltech_lab.retrieval.faiss_store import FaissStore
from caltech_lab.retrieval.stores import fill, found, open_store
from caltech_lab.scale.ray_extraction import extract_shards, ray_embedding
from caltech_lab.storage.files import read_json, write_json

A_TAR = 1000
WIDTH_OF_VARIANTS = 96


@contextmanager
def watched() -> Iterator[dict[str, float]]:
    """Watch memory and processor seconds of this process and all below it, once a second.

    Pages that processes share are counted once.
    """
    told = {"peak_gb": 0.0, "seconds": 0.0, "processor_s": 0.0}
    used: dict[int, float] = {}
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(1.0):
            held = 0
            for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
                try:
                    held += process.memory_full_info().pss
                    used[process.pid] = sum(process.cpu_times()[:2])
                except psutil.Error:
                    continue
            told["peak_gb"] = max(told["peak_gb"], held / 1e9)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    start, before = time.perf_counter(), sum(psutil.Process().cpu_times()[:2])
    try:
        yield told
    finally:
        told["processor_s"] = sum(used.values()) - before
        told["seconds"] = time.perf_counter() - start
        stop.set()
        watcher.join()


def write_tars(folder: Path, n: int, seed: int = 0) -> None:
    """Write n photos as a WebDataset: cut and re-encoded anew from the drawn ones."""
    photos, random = open_photos("drawn"), np.random.default_rng(seed)
    pictures = [read_photo(photos.file(i)) for i in range(len(photos))]
    for start in range(0, n, A_TAR):
        with tarfile.open(folder / f"photos-{start // A_TAR:06d}.tar", "w") as tar:
            for i in range(start, min(start + A_TAR, n)):
                picture = pictures[i % len(pictures)]
                w, h = picture.size
                x, y = (int(random.integers(1, side // 5)) for side in (w, h))
                part = picture.resize((WIDTH_OF_VARIANTS,) * 2, box=(x, y, w - x // 2, h - y // 2))
                file = io.BytesIO()
                part.save(file, "JPEG", quality=int(random.integers(40, 95)))
                _put(tar, f"{i:07d}.jpg", file.getvalue())
                category = str(photos.table["category"].iat[i % len(pictures)])
                _put(tar, f"{i:07d}.cls", category.encode())


def _put(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def large(place: Path, n: int, small: str) -> dict[str, Any]:
    """Extract many photos, and tell the memory that it took; then a tenth of them."""
    told: dict[str, Any] = {"backbone": small}
    for count in (n // 10, n):
        source, to = place / f"tars-{count}", place / f"shards-{count}"
        source.mkdir()
        write_tars(source, count)
        with watched() as memory:
            outcome = extract_shards(str(source), backbone(small), str(to))
        assert (outcome.n_extracted, outcome.failed) == (count, {})
        told[str(count)] = memory
        print(count, memory, flush=True)
        shutil.rmtree(source)
    return told


def overhead(place: Path, dataset: str, network: str, rounds: int) -> dict[str, Any]:
    """Time both ways from files to matrix, start of Ray and workers included."""
    photos, back = open_photos(dataset), backbone(network)
    runtime = choose_runtime(back)
    turns = iter(range(1000))

    def folder() -> Path:
        return place / f"round-{next(turns)}" / "photos" / network / "features"

    def by_ray() -> Path:
        goal = folder()
        rows = ray_embedding(back, runtime, str(goal.parent / "shards"))
        extract(photos, back, goal, runtime=runtime, embedding=rows)
        return goal

    def directly() -> Path:
        goal = folder()
        extract(photos, back, goal, runtime=runtime)
        return goal

    _ = photos.sha256  # both need it, and it is made once
    spent: dict[str, list[float]] = {"directly": [], "by Ray": []}

    def counted(name: str, way: Callable[[], Path]) -> Callable[[], Path]:
        def run() -> Path:
            with watched() as told:
                goal = way()
            spent[name].append(told["processor_s"])
            return goal

        return run

    ways = {"directly": directly, "by Ray": by_ray}
    goals, seconds = alternate({name: counted(name, way) for name, way in ways.items()}, rounds)
    read = [read_json(goal / "identity.json") for goal in goals.values()]
    assert read[0] == read[1], "the matrices differ"
    rows = compared(seconds)
    return {
        "n": len(photos),
        "network": network,
        "rows": rows,
        "identical": True,
        "overhead": 1 / rows["by Ray"]["times_as_fast"] - 1,
        "processor_s": {name: median(values) for name, values in spent.items()},
    }


def galleries(place: Path, dataset: str, rounds: int, n_queries: int) -> dict[str, Any]:
    """Hold all stores against exact search: recall, time a query, bytes; and their filters."""
    embeddings = Lab(open_photos(dataset), backbone("resnet50")).embeddings
    X, names = embeddings.X, embeddings.photos.table["category"].tolist()
    random = np.random.default_rng(0)
    rows = random.choice(len(X), min(n_queries, len(X)), replace=False)
    every = np.array(names)
    chosen = [[names[row]] for row in rows]
    told: dict[str, Any] = {"n": len(X), "width": X.shape[1], "queries": len(rows), "rows": {}}
    kinds = ["exact", "hnsw", "ivf-pq", f"milvus:{place / 'milvus.db'}"]
    opened = {}
    for name in kinds:
        store = open_store(name, X.shape[1], place)
        start = time.perf_counter()
        fill(store, X, names)
        short = name.partition(":")[0]
        opened[short] = store
        told["rows"][short] = {"fill_s": time.perf_counter() - start}
        print(short, told["rows"][short], flush=True)
    size = sum(f.stat().st_size for f in (place / "milvus.db").rglob("*") if f.is_file())
    truth, filtered = {}, {}
    for row, wanted in zip(rows, chosen, strict=True):
        near = X @ X[row]
        truth[row] = np.lexsort((np.arange(len(X)), -near))[:10]
        near[every != wanted[0]] = -2
        filtered[row] = np.lexsort((np.arange(len(X)), -near))[: min(10, (near > -2).sum())]
    ms: dict[str, list[float]] = {short: [] for short in opened}
    seen: dict[str, list[tuple[float, ...]]] = {short: [] for short in opened}
    for _ in range(rounds):  # in alternation, query by query
        for row, wanted in zip(rows, chosen, strict=True):
            for short, store in opened.items():
                start = time.perf_counter()
                near, ids = found(*store.search(X[row], 10))
                ms[short].append(1e3 * (time.perf_counter() - start))
                _, within = found(*store.search(X[row], 10, categories=wanted))
                holds = (every[within] == wanted[0]).all() and len(within) == len(filtered[row])
                # Exact copies may change places; their cosines may not.
                same = np.allclose(near, X[truth[row]] @ X[row], atol=1e-5)
                right = np.isin(filtered[row], within).mean()
                recall = np.isin(truth[row], ids).mean()
                seen[short].append((recall, float(same), float(holds), right))
    for short, store in opened.items():
        recall, same, holds, right = np.mean(seen[short], axis=0).tolist()
        told["rows"][short] |= {
            "recall": recall, "same_cosines": same, "filter_holds": holds,
            "filtered_recall": right, "query_ms": float(np.median(ms[short])),
            "bytes": bytes_per_vector(store) if isinstance(store, FaissStore) else size / len(X),
        }  # fmt: skip
        print(short, told["rows"][short], flush=True)
    opened["milvus"].close()
    return told


def main() -> None:
    """Run what is asked for, and add it to the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", default=["large", "overhead", "galleries"])
    parser.add_argument("--quick", action="store_true", help="small, on the drawn sample")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--small", default="efficientnet-lite0", help="the backbone of `large`")
    options = parser.parse_args()
    path = RESULTS / "scale.json"
    dataset = "drawn" if options.quick else "all+background"
    with tempfile.TemporaryDirectory() as folder:
        for what in options.what:
            place = Path(folder) / what
            place.mkdir()
            if what == "large":
                told = large(place, 2000 if options.quick else 100_000, options.small)
            elif what == "overhead":
                network = "hog" if options.quick else "resnet50"
                told = overhead(place, dataset, network, options.rounds)
            else:
                of = "drawn" if options.quick else "caltech101"
                told = galleries(place, of, options.rounds, 50 if options.quick else 200)
            if not options.quick:
                results = read_json(path) if path.is_file() else {}  # another run may have added
                write_json(path, results | {what: told | {"machine": machine()}})


if __name__ == "__main__":
    main()
