"""Files to a matrix of embeddings on disk: the lab against the loop that a user would write."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import openvino.opset13 as opset
import pandas as pd
import torch
from common import alternate, arguments, compared, lab, save
from torch.utils.data import DataLoader

from caltech_lab.datasets.photos import Photos
from caltech_lab.embedding.architectures import CAFFE_MEANS_BGR, load_resnet50
from caltech_lab.embedding.backbones import Backbone, backbone
from caltech_lab.embedding.embeddings import load
from caltech_lab.embedding.engines import Runtime, choose_runtime, compile_backbone
from caltech_lab.embedding.extraction import extract
from caltech_lab.embedding.images import load_pixels
from caltech_lab.settings import settings

from torchvision import transforms  # isort: skip
from torchvision.datasets import ImageFolder  # isort: skip

GFLOP = 8.18  # of ResNet-50 on 224 x 224 pixels, a multiplication and an addition counted as two
WITHOUT = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "CALTECH_LAB_PRECISION": "f32",
}


def plain_loop(folder: Path) -> np.ndarray:
    """Embed as a tutorial would: ImageFolder, DataLoader with two workers, eager float32."""
    means = torch.tensor(CAFFE_MEANS_BGR).view(3, 1, 1)
    photos = ImageFolder(
        str(folder),
        transforms.Compose(
            [
                transforms.Resize((224, 224)),
                transforms.ToTensor(),
                transforms.Lambda(lambda image: image.flip(0) * 255 - means),
            ]
        ),
    )
    network = load_resnet50()
    network.fc = torch.nn.Identity()
    with torch.no_grad():
        rows = [network(batch) for batch, _ in DataLoader(photos, batch_size=32, num_workers=2)]
    X: np.ndarray = torch.nn.functional.normalize(torch.cat(rows)).numpy()
    np.save(folder.parent / "plain.npy", X)
    return X


def ours(photos: Photos, network: Backbone, goal: Path, **how: Any) -> np.ndarray:
    """Embed with the lab, with nothing kept from before."""
    shutil.rmtree(goal, ignore_errors=True)
    extract(photos, network, goal, **how)
    return load(goal, photos).X


def linked(photos: Photos, goal: Path, copies: int = 1) -> Photos:
    """Lay the photos out in a folder of their own, as links, with copies of different bytes."""
    rows = []
    for copy in range(copies):
        for i in range(len(photos)):
            name = Path(photos.table["path"][i])
            path = goal / name.with_name(f"{copy}_{name.name}")
            path.parent.mkdir(parents=True, exist_ok=True)
            if copy:  # a few bytes behind the end of a JPEG change its hash, not its pixels
                path.write_bytes(photos.file(i).read_bytes() + str(copy).encode())
            else:
                path.symlink_to(photos.file(i).resolve())
            rows.append((path.relative_to(goal).as_posix(), photos.table["category"][i]))
    table = pd.DataFrame(rows, columns=["path", "category"])
    table = table.sort_values("path", ignore_index=True)
    return Photos("bench", goal, table, "links")


def peak_megabytes(photos: Photos, scratch: Path) -> float:
    """Extract in a fresh process, and return the most memory that it held."""
    listing = scratch / "photos.csv"
    photos.table.to_csv(listing, index=False)
    command = [sys.executable, __file__, "--child", str(photos.root), str(listing), str(scratch)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def child(root: str, listing: str, scratch: str) -> None:
    """Do the work of `peak_megabytes`."""
    photos = Photos("bench", Path(root), pd.read_csv(listing), "links")
    goal = Path(scratch) / "peak" / "bench" / "resnet50" / "features"
    ours(photos, backbone("resnet50"), goal)
    # Not `getrusage`, which begins at what the parent process held.
    status = Path("/proc/self/status").read_text()
    print(int(status.split("VmHWM:")[1].split()[0]) / 1024)


def without_amx() -> dict[str, dict[str, float]]:
    """Run this benchmark in a process that may use AVX2 and nothing newer."""
    command = [sys.executable, __file__, "--without"]
    environment = {**os.environ, **WITHOUT}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    rows: dict[str, dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return rows


def sampled(quick: bool, n: int) -> Photos:
    """Return n photos spread over the whole dataset, or all if there are fewer."""
    photos = lab(quick, "all+background").photos
    some = np.random.default_rng(0).permutation(len(photos))[:n]
    return photos.subset(np.sort(some))


PLAIN, COLD, WARM, FORWARD = (
    "plain loop",
    "the lab, cold start",
    "the lab, network already compiled",
    "forward pass alone",
)


def measure(
    photos: Photos, rounds: int, names: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Time the plain loop, the lab, and the network alone, in alternation."""
    with tempfile.TemporaryDirectory() as scratch:
        return _measure(photos, rounds, names, Path(scratch))


def _measure(
    photos: Photos, rounds: int, names: Sequence[str], scratch: Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    network = backbone("resnet50")
    sample = linked(photos, scratch / "photos")
    goal = scratch / "outputs" / "bench" / "resnet50" / "features"
    warm = compile_backbone(network)
    few = [sample.file(i) for i in range(min(512, len(sample)))]
    pixels = np.stack([load_pixels(path, network.size, network.fit) for path in few])

    def forward() -> int:
        repeated = np.resize(np.arange(len(few)), len(sample))
        batches = (pixels[repeated[i : i + warm.batch]] for i in range(0, len(sample), warm.batch))
        return sum(len(rows) for rows in warm.embed(batches))

    peers = {
        PLAIN: lambda: plain_loop(sample.root),
        COLD: lambda: ours(sample, network, goal),
        WARM: lambda: ours(sample, network, goal, engine=warm),
        FORWARD: forward,
    }
    return alternate({name: peers[name] for name in names}, rounds)


def engines(photos: Photos) -> dict[str, dict[str, float]]:
    """Measure the photos per second and the startup seconds of each engine."""
    network = backbone("resnet50")
    pixels = np.stack(
        [
            load_pixels(photos.file(i), network.size, network.fit)
            for i in range(min(256, len(photos)))
        ]
    )
    rows, exact = {}, None
    for choice in (
        Runtime("torch", "f32"),
        Runtime("openvino", "f32"),
        Runtime("torch", "bf16"),
        Runtime("openvino", "bf16"),
    ):
        start = time.perf_counter()
        engine = compile_backbone(network, choice)
        parts = [pixels[i : i + engine.batch] for i in range(0, len(pixels), engine.batch)]
        list(engine.embed(islice(parts, 2)))
        started = time.perf_counter()
        X = np.concatenate(list(engine.embed(parts)))
        seconds = time.perf_counter() - started
        X /= np.linalg.norm(X, axis=1, keepdims=True)
        exact = X if exact is None else exact
        cosine = (X * exact).sum(axis=1)
        rows[str(choice)] = {
            "photos_per_s": len(pixels) / seconds,
            "start_s": started - start,
            "cosine_mean": float(cosine.mean()),
            "cosine_least": float(cosine.min()),
        }
        print(
            f"  {choice!s:24}", {k: round(v, 5) for k, v in rows[str(choice)].items()}, flush=True
        )
    return rows


def peak_gflops() -> dict[str, float]:
    """Measure what the cores do in products of matrices, in GFLOP/s by precision.

    The best of several sizes, each core with matrices of its own, as in the network.
    """
    peaks = {}
    for precision in ("f32", "bf16"):
        found = [product_gflops(n, precision) for n in (512, 1024, 2048)]
        peaks[precision] = max(found)
        print(f"  GFLOP/s of products, {precision}:", [round(value) for value in found])
    return peaks


def product_gflops(n: int, precision: str) -> float:
    """Measure products of n x n matrices through OpenVINO, the right one known beforehand."""
    random = np.random.default_rng(0)
    left = opset.parameter([n, n], np.float32)
    right = opset.constant(random.random((n, n), np.float32))
    threads = settings().threads
    product = openvino.Core().compile_model(
        openvino.Model([opset.matmul(left, right, False, False)], [left]),
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": precision,
            "NUM_STREAMS": threads,
            "INFERENCE_NUM_THREADS": threads,
        },
    )
    requests = [product.create_infer_request() for _ in range(threads)]
    values, seconds, each = random.random((n, n), np.float32), [], max(2**33 // n**3, 2)
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(each):
            for request in requests:
                request.start_async(values, share_inputs=True)
            for request in requests:
                request.wait()
        seconds.append(time.perf_counter() - start)
    return 2 * n**3 * each * threads / min(seconds) / 1e9


def main() -> None:
    """Measure and save."""
    if sys.argv[1:2] == ["--child"]:
        return child(*sys.argv[2:])
    if sys.argv[1:2] == ["--without"]:
        _, seconds = measure(sampled(False, 256), 3, (PLAIN, WARM))
        print(json.dumps(compared(seconds)))
        return None
    options = arguments(__doc__)
    photos = sampled(options.quick, 48 if options.quick else 10_000)
    print(f"{len(photos):,} photos, {choose_runtime(backbone('resnet50'))}")
    # The plain loop takes ten minutes for all photos, so it runs once beside ours on all.
    results, seconds = measure(photos, 1, (PLAIN, COLD, WARM, FORWARD))
    rows = compared(seconds)
    cosine = (results[PLAIN] * results[COLD]).sum(axis=1)
    print(f"  cosine to the plain loop: mean {cosine.mean():.6f}, least {cosine.min():.6f}")
    assert cosine.mean() > 0.999
    assert cosine.min() > 0.99
    if options.quick:
        return None
    forward = rows[FORWARD]["median_s"]
    share = {name: forward / rows[name]["median_s"] for name in (COLD, WARM)}
    print(f"  share of the forward pass's own throughput: {share}")
    print("In alternation, on a part:")
    part = sampled(False, 512)
    _, seconds = measure(part, options.rounds, (PLAIN, WARM, FORWARD))
    alternated = compared(seconds)
    print("AVX2 and nothing newer, float32:")
    narrow = without_amx()
    print({name: round(row["times_as_fast"], 2) for name, row in narrow.items()})
    print("Engines:")
    by_engine = engines(part)
    with tempfile.TemporaryDirectory() as scratch:
        peaks = {}
        for copies in (1, 10):
            many = linked(sampled(False, 256), Path(scratch) / str(copies), copies)
            peaks[len(many)] = peak_megabytes(many, Path(scratch) / str(copies))
    print("Peak memory, MB:", peaks)
    save(
        "extraction",
        {
            "n_photos": len(photos),
            "engine": str(choose_runtime(backbone("resnet50"))),
            "all": rows,
            "alternated": alternated,
            "avx2": narrow,
            "engines": by_engine,
            "peak_gflops": peak_gflops(),
            "cosine_mean": float(cosine.mean()),
            "cosine_least": float(cosine.min()),
            "share_of_forward": share,
            "peak_megabytes": peaks,
            "gflop_per_photo": GFLOP,
        },
        options.quick,
    )
    return None


if __name__ == "__main__":
    main()
