"""Results come in order, a little ahead of their use."""

import time
from itertools import count, islice

import pytest

from caltech_lab.settings import settings
from caltech_lab.storage.threads import map_ahead


def test_the_results_are_in_order_however_long_each_takes():
    def work(i: int) -> int:
        time.sleep(0.01 if i % 7 == 0 else 0)
        return i * i

    assert list(map_ahead(work, range(50), at_once=3)) == [i * i for i in range(50)]
    assert list(map_ahead(work, [])) == []


def test_an_endless_stream_is_read_only_as_far_as_it_is_needed():
    taken = []
    results = map_ahead(taken.append, count(), at_once=4, ahead=2)
    assert list(islice(results, 3)) == [None] * 3
    results.close()
    assert len(taken) <= 4 * (2 * settings().threads + 1)


def test_an_exception_comes_where_its_item_is():
    def work(i: int) -> float:
        return 1 / (i - 5)

    results = map_ahead(work, range(10), at_once=2)
    assert list(islice(results, 4)) == [1 / (i - 5) for i in range(4)]
    with pytest.raises(ZeroDivisionError):
        list(results)
