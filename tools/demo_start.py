"""How long `caltech-lab demo` takes to its first results, in a headless Chromium.

`python -m tools.demo_start [--rounds 5] [DATASET] [--package FOLDER ...]` starts the command, opens
its page and prints when the server listened, when the page appeared, and when results and
predictions were on it: seconds from the command, and in brackets the processor seconds of command,
server and kernel until then, which other work on the machine changes less. Several packages are
taken in turn, in each round.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HERE = Path(__file__).resolve().parents[1]
MARKS = {
    "page": "document.querySelector('.cl-demo')",
    "results": "document.querySelector('.cl-tile img') && "
    "document.querySelector('.cl-status').textContent.startsWith('Results for')",
    "predictions": "document.querySelector('.cl-tile img') && "
    "document.querySelector('.cl-status').textContent.includes('classify')",
}
Times = dict[str, tuple[float, float]]


def start(browser: Browser, package: Path, dataset: str, outputs: Path | None) -> Times:
    """Start the demo of a checkout once, and return wall and processor seconds of each mark."""
    environment = os.environ | {"PYTHONPATH": str(package), "BROWSER": shutil.which("true") or ""}
    if outputs:
        environment["CALTECH_LAB_OUTPUTS"] = str(outputs)
    marks: Times = {}
    with tempfile.TemporaryFile("w+") as log:
        began = time.perf_counter()
        command = subprocess.Popen(
            [sys.executable, "-m", "caltech_lab", "demo", "--dataset", dataset],
            env=environment, stdout=log, stderr=log, cwd=package, start_new_session=True,
        )  # fmt: skip
        spent: dict[int, float] = {}  # of each process, when it was last seen

        def mark(name: str) -> None:
            seconds = time.perf_counter() - began
            process = psutil.Process(command.pid)
            for one in [process, *process.children(recursive=True)]:
                with suppress(psutil.Error):
                    spent[one.pid] = sum(one.cpu_times()[:2])
            marks[name] = seconds, sum(spent.values())

        page: Any = browser.new_page()
        try:
            address = _address(command, log)
            mark("server")
            page.goto(address, wait_until="commit", timeout=300_000)
            for name, found in MARKS.items():
                page.wait_for_function(f"() => Boolean({found})", polling=50, timeout=300_000)
                mark(name)
        finally:
            page.close()
            with suppress(ProcessLookupError):
                os.killpg(command.pid, 2)
            command.wait(60)
    return marks


def _address(command: "subprocess.Popen[bytes]", log: Any) -> str:
    while command.poll() is None:
        log.seek(0)
        if found := re.search(r"running at:\n(http\S+)", log.read()):
            return found[1]
        time.sleep(0.02)
    log.seek(0)
    sys.exit(log.read())


def main() -> None:
    """Print the times of each round, and their medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", nargs="?", default="drawn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--package", type=Path, action="append", help="a checkout; this one")
    parser.add_argument("--outputs", type=Path, action="append", help="one for each package")
    options = parser.parse_args()
    packages = options.package or [HERE]
    outputs = options.outputs or [None] * len(packages)
    path = next(filter(None, map(shutil.which, NAMES)))
    rounds: dict[Path, list[Times]] = {package: [] for package in packages}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for _ in range(options.rounds):
            for package, folder in zip(packages, outputs, strict=True):
                rounds[package].append(start(browser, package, options.dataset, folder))
                print(package, _line(rounds[package][-1]), flush=True)
        browser.close()
    print("Medians:")
    for package, times in rounds.items():
        medians = {
            name: tuple(statistics.median(one[name][i] for one in times) for i in (0, 1))
            for name in times[0]
        }
        print(package, _line(medians), flush=True)


def _line(times: dict[str, Any]) -> str:
    return ", ".join(f"{name} {wall:.1f} ({cpu:.1f})" for name, (wall, cpu) in times.items())


if __name__ == "__main__":
    main()
