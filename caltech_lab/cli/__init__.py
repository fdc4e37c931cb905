"""The command line: `caltech-lab`, the same as `python -m caltech_lab`.

A command first makes whatever it needs. It exits with 0 on success, with 1 on failure (a sentence
on standard error says why), or with 2 if the command line is invalid. Results go to standard
output, progress to standard error. With `--json`, one object is printed instead, as specified in
`output.schema.json` beside this file.

Only Typer and the standard library are imported here, so that `--help` is fast.
"""

import io
import sys

from caltech_lab.cli.commands import app

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line, and exit with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # escape what the console cannot encode
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="caltech-lab")
