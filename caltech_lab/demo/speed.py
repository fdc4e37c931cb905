"""Latency of the demo, without the forward pass of the network.

`python -m caltech_lab.demo.speed [DATASET]` measures it on all 9,144 photos of Caltech-101, or
on another dataset, and prints a table.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pandas as pd

from caltech_lab.demo.page import ANY, RetrievalDemo
from caltech_lab.demo.session import SearchSession
from caltech_lab.lab import open_lab

UPLOADS = 36


def demo_speed(demo: RetrievalDemo, uploads: int = UPLOADS) -> pd.DataFrame:
    """Time the work of the kernel between a user action and the update of the page.

    Parameters
    ----------
    demo : RetrievalDemo
        Demo of a gallery with a test set. Test photos are uploaded with an appended byte, so that
        they are not found in the gallery.
    uploads : int
        Number of uploads.

    Returns
    -------
    DataFrame
        One row per action: number of ``times``, ``median_ms`` and ``largest_ms``, in milliseconds;
        for uploads, without the forward pass.
    """
    gallery, session = demo.session.gallery, demo.session
    _, test = session.lab.split()
    files = [gallery.photos.file(row) for row in test[:: max(1, len(test) // uploads)][:uploads]]
    demo._uploaded("first.jpg", files[0].read_bytes() + b" ")  # loads and compiles the backbone
    taken: dict[str, list[float]] = {}

    @contextmanager
    def timed(act: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        taken.setdefault(act, []).append(1000 * (time.perf_counter() - began))

    for number, file in enumerate(files):
        data = file.read_bytes() + b"  "
        with timed("upload"):
            demo._uploaded(file.name, data)
        assert demo.answer is not None
        taken["upload"][-1] -= 1000 * demo.answer.seconds["embed"]
        for k in (session.max_k, min(10, session.max_k)):
            with timed(f"k = {k}"):
                demo.k.value = k
        with timed("category filter"):
            demo.categories.value = [gallery.categories[number % len(gallery.categories)]]
        demo.categories.value = []
        boxes = {"cluster filter": demo.own_cluster, "near-duplicate filter": demo.no_copies}
        for name, box in boxes.items():
            with timed(name):
                box.value = True
            box.value = False
        with timed("mark"):
            demo._act("bad", demo.grid.items[0]["row"])
    demo.add_category.value = ANY
    times = {act: pd.Series(values) for act, values in taken.items()}
    return pd.DataFrame(
        {
            "times": {act: len(values) for act, values in times.items()},
            "median_ms": {act: values.median() for act, values in times.items()},
            "largest_ms": {act: values.max() for act, values in times.items()},
        }
    )


def main() -> int:
    """Print the table; return 1 if the median is 150 ms or more for uploads, 100 ms for others."""
    demo = RetrievalDemo(SearchSession(open_lab(*(sys.argv[1:] or ["all+background"]))))
    table = demo_speed(demo)
    print(f"{len(demo.session.gallery):,} photos, without the forward pass:")
    print(table.to_string(float_format="{:.0f}".format))
    medians = table["median_ms"]
    return int(medians["upload"] >= 150 or medians.drop("upload").max() >= 100)


if __name__ == "__main__":
    sys.exit(main())
