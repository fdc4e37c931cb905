"""Progress bars for notebooks and terminals."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def progress(iterable: Iterable[Any] | None = None, **options: Any) -> "tqdm[Any]":
    """Return a tqdm bar: on standard output in a notebook, on standard error elsewhere.

    JupyterLab shows standard error in red, like an error message.

    Parameters
    ----------
    iterable : iterable, optional
        Items to iterate over.
    **options
        Options of tqdm: `total`, `desc`, `unit` ...

    Returns
    -------
    tqdm
        The bar, which disappears when it is finished.
    """
    stream = sys.stdout if in_notebook() else sys.stderr
    return tqdm(iterable, **{"file": stream, "leave": False, "dynamic_ncols": True, **options})


def in_notebook() -> bool:
    """Return whether this runs in a Jupyter kernel."""
    return "ipykernel" in sys.modules
