"""Measurements that take too long for a notebook, read from `benchmarks/results/`."""

from typing import Any

from caltech_lab.errors import DatasetError
from caltech_lab.settings import settings
from caltech_lab.storage.files import read_json


def recorded(name: str) -> Any:
    """Read the results of a benchmark from `benchmarks/results/`.

    Raises
    ------
    DatasetError
        When the results are missing, as in an installation without a checkout.
    """
    path = settings().home / "benchmarks" / "results" / f"{name}.json"
    if not path.is_file():
        raise DatasetError(f"{path} is missing: run this from a checkout of the project.")
    return read_json(path)
