"""Parallel map over threads, with results in order."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
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


class Budget:
    """Something that threads take shares of, and wait for while others have too much of it.

    Parameters
    ----------
    total : int
        How much there is. Who wants more takes all of it.

    Examples
    --------
    >>> memory = Budget(1000)
    >>> with memory.share(600):
    ...     memory.free
    400
    """

    def __init__(self, total: int) -> None:
        self.total = self.free = total
        self._changed = threading.Condition()

    @contextmanager
    def share(self, amount: int) -> Iterator[None]:
        """Hold a share; a thread that holds one must not ask for another."""
        amount = min(amount, self.total)
        with self._changed:
            self._changed.wait_for(lambda: self.free >= amount)
            self.free -= amount
        try:
            yield
        finally:
            with self._changed:
                self.free += amount
                self._changed.notify_all()
