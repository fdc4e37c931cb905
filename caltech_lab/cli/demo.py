"""The command `demo`: the page of the demo, served by Voilà.

Little is imported here, because the server should start at once.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from caltech_lab.cli.common import Result, use_gallery
from caltech_lab.errors import LabError
from caltech_lab.settings import settings

SERVED = Path(__file__).parents[1] / "demo" / "served"


def demo(gallery: str | None) -> Result:
    """Open the retrieval demo in a browser, through Voilà."""
    if gallery is not None or settings().gallery != "exact":
        use_gallery(gallery)
    command, environment = voila()
    with subprocess.Popen(command, stdout=sys.stderr, env=environment) as server:
        try:
            _check_photos()
            code = server.wait()
        except KeyboardInterrupt:
            code = server.wait()  # Ctrl+C reaches Voilà too, which first ends its kernels
        except BaseException:
            server.kill()
            raise
    if code not in (0, -2, 130):
        raise LabError(f"Voilà stopped with the code {code}; its output is above.")
    return Result(["The demo was closed."], {"dataset": settings().dataset})


def _check_photos() -> None:
    """Find the photos while the server starts: an error belongs here, and not on the page."""
    if hasattr(os, "nice"):
        os.nice(10)  # the server goes first; after this, the process only waits for it
    from caltech_lab.datasets import open_photos

    open_photos()


def voila() -> tuple[list[str], dict[str, str]]:
    """Return the command that serves the demo, and its environment."""
    if find_spec("voila") is None:
        raise LabError(
            "The demo needs Voilà: install it with `pip install voila`, or show "
            "`caltech_lab.demo.open_page()` in a cell of a notebook."
        )
    environment = {
        **os.environ,
        # The kernel starts in the folder of the notebook; relative paths are meant from this one.
        "CALTECH_LAB_FOLDER": str(Path.cwd()),
        "JUPYTER_PATH": os.pathsep.join(filter(None, [str(SERVED), os.getenv("JUPYTER_PATH")])),
    }
    notebook = str(SERVED / "demo.ipynb")
    server = [sys.executable, "-m", "caltech_lab.demo.server"]
    return [*server, notebook, "--template=photos"], environment
