"""`python -m caltech_lab.demo.kernel` imports what the demo needs, and then becomes its kernel.

It reads the order from standard input, one line of JSON: the arguments of `ipykernel_launcher`, the
folder and the environment. Without an order it ends.
"""

import importlib
import json
import os
import runpy
import sys
from pathlib import Path

# Without widgets, which look for the kernel when they are imported.
NEEDED = (
    "caltech_lab.demo.session",
    "caltech_lab.demo.takeaway",
    "caltech_lab.lab",
    "pyarrow.parquet",
    "ipykernel.kernelapp",
    "ipykernel.ipkernel",
)


def main() -> None:
    """Import, wait for the order, and run the kernel."""
    if sys.path[0] in ("", str(Path.cwd())):  # a file there must not stand for a package
        del sys.path[0]
    for name in NEEDED:
        importlib.import_module(name)
    if not (line := sys.stdin.readline()):
        return  # the server has ended
    order = json.loads(line)
    os.environ.clear()
    os.environ.update(order["environment"])
    if order["folder"]:
        os.chdir(order["folder"])
    sys.argv[1:] = order["arguments"]
    sys.path.insert(0, "")  # which the launcher removes
    runpy.run_module("ipykernel_launcher", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
