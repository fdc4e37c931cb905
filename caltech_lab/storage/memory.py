"""Checks that a step fits into memory before it runs."""

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
"""Target for the working memory of chunked computations, in bytes."""
GIB = 2**30
WORTH_SAYING = GIB  # steps that need less than this, in bytes, are not announced
CONTROL_GROUP = Path("/sys/fs/cgroup")  # memory limits of a container on Linux


def require(step: str, needed: int, instead: str) -> None:
    """Print the memory that a step needs, or raise an error if that exceeds the free memory.

    Parameters
    ----------
    step : str
        Name of the step, as the subject of a sentence, such as "t-SNE of 9,000 photos".
    needed : int
        Estimated memory, in bytes.
    instead : str
        What to do if the memory is too small, in the imperative.

    Raises
    ------
    MemoryLimitError
        When more memory is needed than is free.

    Examples
    --------
    >>> require("t-SNE of all photos", 10**15, "draw a sample")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    caltech_lab.errors.MemoryLimitError: t-SNE of all photos needs 931,322.6 GiB of memory, but ...
    """
    free = free_bytes()
    if needed > free:
        raise MemoryLimitError(
            f"{step} needs {needed / GIB:,.1f} GiB of memory, but only {free / GIB:,.1f} GiB are "
            f"free: {instead}."
        )
    if needed >= WORTH_SAYING:
        print(
            f"{step} needs about {needed / GIB:,.1f} GiB of memory; {free / GIB:,.1f} GiB are free."
        )


def free_bytes() -> int:
    """Return the free memory of the machine or container, in bytes.

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
    # Linux frees the inactive file cache when memory is short.
    files = re.search(r"^inactive_file (\d+)$", statistics, re.MULTILINE)
    return int(min(free, max(limit - used + (int(files[1]) if files else 0), 0)))


@contextmanager
def watch(every: float = 0.1) -> Iterator[Callable[[], int]]:
    """Measure the peak memory of all child processes.

    Parameters
    ----------
    every : float
        Seconds between two measurements.

    Yields
    ------
    callable
        Returns the peak of their total memory so far, in bytes: the resident memory of direct
        children, plus the unshared memory of their descendants, because a forked process shares
        the memory of its parent.
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
    """Return freed memory to the operating system.

    glibc keeps the memory that each thread of a random forest has freed, so that five forests in
    turn would hold as much memory as five at once.

    References
    ----------
    Linux Programmer's Manual, malloc_trim(3).
    """
    gc.collect()
    with suppress(OSError, AttributeError):  # another system, or another C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)
