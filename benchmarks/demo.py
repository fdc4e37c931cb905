"""Latency of the demo, without the forward pass of the network.

`python benchmarks/demo.py [DATASET]` measures it on all 9,144 photos of Caltech-101, or
on another dataset, and prints a table.
"""

import sys
import time
from typing import Any

import pandas as pd

from caltech_lab.demo.page import RetrievalDemo
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
    taken: dict[str, list[float]] = {}

    def timed(what: str, action: str, /, **details: Any) -> None:
        began = time.perf_counter()
        demo.act(action, **details)
        taken.setdefault(what, []).append(1000 * (time.perf_counter() - began))

    def upload(number: int, data: bytes) -> dict[str, Any]:
        return {"upload": number, "name": "photo.jpg", "size": len(data), "start": 0,
                "buffers": [data]}  # fmt: skip

    demo.act("upload", **upload(-2, files[0].read_bytes() + b" "))  # compiles the backbone
    categories, most = demo.dataset["categories"], session.searcher.max_k
    for number, file in enumerate(files):
        timed("upload", "upload", **upload(number, file.read_bytes() + b"  "))
        assert session.results is not None
        taken["upload"][-1] -= 1000 * session.results.seconds["embed"]
        for k in (most, min(10, most)):
            timed(f"k = {k}", "show", k=k)
        category = categories[number % len(categories)]
        timed("category filter", "filter", categories=[category])
        demo.act("filter", categories=[])
        for name, option in (("cluster", "cluster"), ("near-duplicate", "hide_near_duplicates")):
            timed(f"{name} filter", "filter", **{option: True})
            demo.act("filter", **{option: False})
        timed("mark", "mark", row=demo.results["items"][0]["row"], mark="bad")
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
