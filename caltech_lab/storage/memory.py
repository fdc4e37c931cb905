"""What a step will take of the memory: known, said and refused before it is taken."""

import ctypes
import gc
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from caltech_lab.errors import MemoryLimitError

CHUNK_BYTES = 256 * 2**20
"""Working memory, in bytes, that a chunked computation aims to stay under."""
GIB = 2**30
WORTH_SAYING = GIB  # what takes less than this, in bytes, is not worth a line
CONTROL_GROUP = Path("/sys/fs/cgroup")  # where Linux tells what a container may take


def require(step: str, needed: int, instead: str) -> None:
    """Say what a step will take, and refuse it when that does not fit.

    Parameters
    ----------
    step : str
        What takes the memory, as the subject of a sentence, such as "t-SNE of 9,000 photos".
    needed : int
        An estimate, in bytes.
    instead : str
        What to do when it does not fit, as an order.

    Raises
    ------
    MemoryLimitError
        When more is needed than is free.

    Examples
    --------
    >>> require("A dream of all photos", 10**15, "dream of a sample")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    caltech_lab.errors.MemoryLimitError: A dream of all photos takes 931,322.6 GiB of memory and ...
    """
    free = free_bytes()
    if needed > free:
        raise MemoryLimitError(
            f"{step} takes {needed / GIB:,.1f} GiB of memory and only {free / GIB:,.1f} GiB are "
            f"free: {instead}."
        )
    if needed >= WORTH_SAYING:
        print(f"{step} takes about {needed / GIB:,.1f} GiB of the {free / GIB:,.1f} GiB free.")


def free_bytes() -> int:
    """Return the memory that can still be taken, in bytes: of the machine, or of the container.

    References
    ----------
    Linux kernel documentation, "Control Group v2", memory interface files.
    """
    free = psutil.virtual_memory().available
    try:
        limit = int((CONTROL_GROUP / "memory.max").read_text())
        used = int((CONTROL_GROUP / "memory.current").read_text())
        statistics = (CONTROL_GROUP / "memory.stat").read_text()
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return int(free)
    # What was read from files and not looked at since is given up when memory is short.
    files = re.search(r"^inactive_file (\d+)$", statistics, re.MULTILINE)
    return int(min(free, max(limit - used + (int(files[1]) if files else 0), 0)))


def require_pairs(n: int, m: int, bytes_each: int = 4) -> None:
    """Refuse a matrix of similarities or distances between n and m photos that does not fit.

    Parameters
    ----------
    n, m : int
        Rows and columns.
    bytes_each : int
        Of a number: 4 for float32, 8 for float64.

    Raises
    ------
    MemoryLimitError
        When it does not fit into the memory that is free.
    """
    require(
        f"The matrix of {n:,} by {m:,} pairs of photos",
        n * m * bytes_each,
        "take a sample of the photos, or search an index of them with "
        "caltech_lab.retrieval.index.Index, which goes through the pairs in pieces",
    )


def tsne_bytes(n: int, perplexity: float = 30.0) -> int:
    """Estimate what t-SNE of n photos takes beside the photos' vectors, in bytes.

    Parameters
    ----------
    n : int
        Number of photos.
    perplexity : float
        That of the t-SNE; three times as many neighbors are looked at.

    Returns
    -------
    int
        Bytes, rounded up generously.
    """
    return round(n * (2000 + 3 * perplexity * 64))


def require_tsne(n: int, perplexity: float = 30.0) -> None:
    """Refuse a t-SNE of n photos that does not fit; parameters as in `tsne_bytes`.

    Raises
    ------
    MemoryLimitError
        When it does not fit into the memory that is free.
    """
    require(
        f"t-SNE of {n:,} photos",
        tsne_bytes(n, perplexity),
        "draw a sample of the photos, or take a smaller perplexity",
    )


@contextmanager
def watch(every: float = 0.1) -> Iterator[Callable[[], int]]:
    """Watch the memory of the processes that this one has started, and of theirs.

    Parameters
    ----------
    every : float
        Seconds between two looks.

    Yields
    ------
    callable
        Gives the most memory that they had together so far, in bytes: all that is resident of
        each process that this one started, and what those started have for themselves, since
        a process that has just forked seems to have all of its parent's memory again.
    """
    peak, done, own = 0, threading.Event(), psutil.Process()

    def look() -> None:
        nonlocal peak
        while not done.wait(every):
            total = 0
            for process in own.children(recursive=True):
                with suppress(psutil.Error):  # it ended meanwhile
                    if process.ppid() == own.pid:
                        total += process.memory_info().rss
                    else:
                        total += process.memory_full_info().uss
            peak = max(peak, total)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield lambda: peak
    finally:
        done.set()
        watcher.join()


def release() -> None:
    """Give freed memory back to the system.

    What the threads of a random forest freed, glibc keeps for each of them: five forests in turn
    would hold as much as five at once.

    References
    ----------
    Linux Programmer's Manual, malloc_trim(3).
    """
    gc.collect()
    with suppress(OSError, AttributeError):  # another system, or another C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)
