"""Arrays as `.npy`, read without pickle."""

import math
from pathlib import Path

import numpy as np

from caltech_lab.errors import CacheError
from caltech_lab.storage.files import write_atomically


def save_array(path: Path, array: np.ndarray) -> None:
    """Write an array atomically as `.npy`."""
    with write_atomically(path) as temporary:
        np.save(temporary, array, allow_pickle=False)


def load_array(path: Path) -> np.ndarray:
    """Read an array from `.npy`, without pickle.

    Raises
    ------
    CacheError
        When the file is not a plain array.
    """
    try:
        with open(path, "rb") as file:
            if np.lib.format.read_magic(file) != (1, 0):
                raise ValueError("arrays written here have the first version of the header")
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            # The header is checked against the size of the file before memory is allocated.
            size = file.tell() + math.prod(shape) * dtype.itemsize
            if dtype.hasobject or min(shape, default=0) < 0 or size != path.stat().st_size:
                raise ValueError("the header and the size of the file do not agree")
            file.seek(0)
            array: np.ndarray = np.load(file, allow_pickle=False)
            return array
    except (ValueError, EOFError, OSError) as error:
        raise CacheError(
            f"{path} is not a NumPy array: delete it to have it made again."
        ) from error
