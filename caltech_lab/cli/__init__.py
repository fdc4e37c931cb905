"""The command line: `caltech-lab`, the same as `python -m caltech_lab`.

Each command is a thin layer over the package, makes what it needs first, and ends with 0 when it
was done, 1 when it could not be done (a sentence on standard error says why), or 2 when the
command line itself was wrong. Results go to standard output, progress to standard error.
`--json` prints one object instead, as `output.schema.json` beside this file says.

Only Typer and the standard library are imported here, so that `--help` is there at once.
"""

from caltech_lab.cli.common import app

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line, and exit with its code."""
    from importlib import import_module

    for commands in ("data", "learning", "queries"):  # each makes its own known
        import_module(f"{__name__}.{commands}")
    app(prog_name="caltech-lab")
