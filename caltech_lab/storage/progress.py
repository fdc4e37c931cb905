"""Progress bars for notebooks and terminals."""

import sys
from collections.abc import Iterable, Sized
from typing import Any

from tqdm import tqdm

LOG_SECONDS = 30.0


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
        The bar, which disappears when it is finished. Where there is nothing to do there is none;
        in a log it appears after `LOG_SECONDS`, and changes no more often.
    """
    stream = sys.stdout if in_notebook() else sys.stderr
    defaults: dict[str, Any] = {"file": stream, "leave": False, "dynamic_ncols": True}
    if not (in_notebook() or stream.isatty()):  # a log, which keeps each state of the bar
        defaults |= {"delay": LOG_SECONDS, "mininterval": LOG_SECONDS}
    sized = iterable if isinstance(iterable, Sized) else None
    count = options.get("total", None if sized is None else len(sized))
    if count == 0:
        options["disable"] = True
    return tqdm(iterable, **{**defaults, **options})


def in_notebook() -> bool:
    """Return whether this runs in a Jupyter kernel."""
    return "ipykernel" in sys.modules
