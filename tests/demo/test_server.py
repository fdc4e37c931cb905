"""The server of the demo."""

import subprocess
import sys


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL,
        timeout=240, check=False,
    )  # fmt: skip


def test_the_server_is_voila_with_its_own_arguments() -> None:
    done = run("-m", "caltech_lab.demo.server", "--version")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == run("-m", "voila", "--version").stdout.strip()
