"""Progress bars that look right in a notebook and in a terminal."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def progress(iterable: Iterable[Any] | None = None, **options: Any) -> "tqdm[Any]":
    """Return a tqdm bar: on standard output in a notebook, on standard error elsewhere.

    JupyterLab paints what comes on standard error red, as if something had gone wrong.

    Parameters
    ----------
    iterable : iterable, optional
        What to go through.
    **options
        What tqdm takes: `total`, `desc`, `unit` ...

    Returns
    -------
    tqdm
        The bar, which disappears when it is done.
    """
    stream = sys.stdout if in_notebook() else sys.stderr
    return tqdm(iterable, **{"file": stream, "leave": False, "dynamic_ncols": True, **options})


def in_notebook() -> bool:
    """Tell whether this runs in a Jupyter kernel."""
    return "ipykernel" in sys.modules
