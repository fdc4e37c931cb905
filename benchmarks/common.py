"""What the benchmarks share: peers in alternation, medians with their spread, and the machine."""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import faiss

from caltech_lab.datasets import open_photos
from caltech_lab.embedding.backbones import backbone
from caltech_lab.lab import Lab
from caltech_lab.retrieval.faiss_store import FaissStore
from caltech_lab.settings import settings
from caltech_lab.storage.files import write_json

RESULTS = Path(__file__).parent / "results"
INSTRUCTION_SETS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")


def arguments(description: str | None) -> argparse.Namespace:
    """Read the command line; `--quick` checks on the drawn sample that results agree."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="small, on the drawn sample")
    parser.add_argument("--rounds", type=int, default=3, help="how often each peer runs")
    options = parser.parse_args()
    if options.quick:
        options.rounds = 1
    return options


def lab(quick: bool, dataset: str = "caltech101") -> Lab:
    """Open the lab on Caltech-101, or on the drawn sample when quick."""
    return Lab(open_photos("drawn" if quick else dataset), backbone("resnet50"))


def alternate(
    peers: Mapping[str, Callable[[], Any]], rounds: int
) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """Run each peer once a round, in an order that turns, and time it.

    Parameters
    ----------
    peers : mapping
        What to call, by name.
    rounds : int
        How often.

    Returns
    -------
    results : dict
        What each gave in the last round.
    seconds : dict
        Wall seconds of each round, by name.
    """
    names = list(peers)
    results: dict[str, Any] = {}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            start = time.perf_counter()
            results[name] = peers[name]()
            seconds[name].append(time.perf_counter() - start)
    return results, seconds


def compared(seconds: Mapping[str, list[float]]) -> dict[str, dict[str, float]]:
    """Print and return the median, spread and ratio of each peer to the first one.

    The ratio is the median of the ratios within a round, so that what slows the machine down for
    a while slows both.
    """
    against = next(iter(seconds.values()))
    rows = {}
    for name, values in seconds.items():
        ratios = [b / a for a, b in zip(values, against, strict=True)]
        row = {
            "median_s": statistics.median(values),
            "least_s": min(values),
            "most_s": max(values),
            "times_as_fast": statistics.median(ratios),
            "rounds": len(values),
        }
        print(
            f"  {name:44} {row['median_s']:9.3f} s  [{row['least_s']:.3f}, {row['most_s']:.3f}]"
            f"  {row['times_as_fast']:7.2f} x",
            flush=True,
        )
        rows[name] = row
    return rows


def machine() -> dict[str, Any]:
    """Describe the machine: processor, cores, instruction sets that matter, load."""
    processor, flags = platform.processor(), set[str]()
    if (info := Path("/proc/cpuinfo")).is_file():
        for line in info.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "flags":
                flags = set(value.split())
            if name.strip() == "model name":
                processor = value.strip()
    return {
        "processor": processor,
        "cores": settings().threads,
        "instruction_sets": [flag for flag in INSTRUCTION_SETS if flag in flags],
        "load_before": round(LOAD_BEFORE, 2),
        "python": platform.python_version(),
    }


def save(name: str, results: Mapping[str, Any], quick: bool) -> None:
    """Write what was measured beside the machine it was measured on; a quick run writes nothing."""
    if not quick:
        write_json(RESULTS / f"{name}.json", {"machine": machine(), **results})


LOAD_BEFORE = os.getloadavg()[0]


def bytes_per_vector(store: FaissStore) -> float:
    """Return the size of the saved index in bytes per vector."""
    return float(faiss.serialize_index(store._index).size / store._index.ntotal)
