"""The command line: `caltech-lab`, the same as `python -m caltech_lab`.

A command makes what it needs first, and ends with 0 when it was carried out, 1 when it could not
be (a sentence on standard error says why), or 2 when the command line itself was wrong. Results go
to standard output, progress to standard error. `--json` prints one object instead, as
`output.schema.json` beside this file says.

Only Typer and the standard library are imported here, so that `--help` is there at once.
"""

import io
import sys

from caltech_lab.cli.commands import app

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line, and exit with its code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a console's encoding lacks is an escape
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="caltech-lab")
