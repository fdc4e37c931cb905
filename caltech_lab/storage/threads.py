"""Parallel map over threads, with results in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from caltech_lab.settings import settings

S = TypeVar("S")
T = TypeVar("T")

# Passing a result on costs a thread switch, which takes half as long as decoding and resampling a
# small photo, so results are passed on in batches.
AT_ONCE = 16


def map_ahead(
    work: Callable[[S], T], items: Iterable[S], at_once: int = AT_ONCE, ahead: int = 2
) -> Iterator[T]:
    """Apply a function to each item in several threads, slightly ahead of the consumer.

    Parameters
    ----------
    work : callable
        Function of one item; it should release the global interpreter lock, as reading, decoding
        and numeric code do.
    items : iterable
        Items, which are consumed lazily.
    at_once : int
        Number of items per batch; a thread processes one batch at a time.
    ahead : int
        Number of batches per thread that may wait.

    Yields
    ------
    object
        Result of `work` for each item, in the order of the items; exceptions are propagated.
    """
    rest, threads = iter(items), settings().threads
    waiting: deque[Future[list[T]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="ahead") as pool:
        try:
            while portion := list(islice(rest, at_once)):
                waiting.append(pool.submit(lambda some: [work(item) for item in some], portion))
                if len(waiting) > ahead * threads:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:  # if the caller stops early, only the running batches are finished
            pool.shutdown(cancel_futures=True)
