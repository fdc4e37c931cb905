"""How long a person waits for the demo, apart from the network's own forward pass.

`python -m caltech_lab.demo.speed [DATASET]` measures it on all 9,144 photos of Caltech-101, or
on another dataset, and prints the table.
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
    """Time what the kernel does between a person's act and what the page is sent.

    Parameters
    ----------
    demo : RetrievalDemo
        On a gallery with held-out photos, which are uploaded with one more byte, so that they are
        not recognized.
    uploads : int
        How many of them.

    Returns
    -------
    DataFrame
        One row an act: ``times`` it was done, ``median_ms`` and ``largest_ms``, in milliseconds;
        of an upload without the forward pass.
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
        with timed("a category alone"):
            demo.categories.value = [gallery.categories[number % len(gallery.categories)]]
        demo.categories.value = []
        boxes = {"its cluster alone": demo.own_cluster, "near-duplicates": demo.no_copies}
        for name, box in boxes.items():
            with timed(name):
                box.value = True
            box.value = False
        with timed("a mark"):
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
    """Measure, print, and return 1 where a promise is broken: 150 ms, and 100 ms for the rest."""
    demo = RetrievalDemo(SearchSession(open_lab(*(sys.argv[1:] or ["all+background"]))))
    table = demo_speed(demo)
    print(f"{len(demo.session.gallery):,} photos, without the forward pass:")
    print(table.to_string(float_format="{:.0f}".format))
    medians = table["median_ms"]
    return int(medians["upload"] >= 150 or medians.drop("upload").max() >= 100)


if __name__ == "__main__":
    sys.exit(main())
