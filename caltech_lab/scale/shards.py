"""Embeddings as Parquet shards, each written atomically."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import PurePosixPath
from uuid import uuid4

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from caltech_lab.embedding.extraction import ExtractionConfig
from caltech_lab.errors import CacheError, DatasetError
from caltech_lab.scale.addresses import Item, Part

NOTE = b"caltech_lab"  # metadata key of the hash of everything that a shard depends on


def name_of(number: int) -> str:
    """Return the file name of a shard."""
    return f"shard-{number:06d}.parquet"


def note_of(part: Part, config: ExtractionConfig) -> str:
    """Return a hash of everything that a shard depends on."""
    text = json.dumps([part.key, asdict(config)])
    return hashlib.sha256(text.encode()).hexdigest()


def write_shard(
    system: fs.FileSystem,
    folder: str,
    part: Part,
    note: str,
    items: Sequence[Item],
    faults: Sequence[str],
    rows: np.ndarray,
) -> None:
    """Write a shard.

    Its columns are `path`, `category`, `sha256` (hexadecimal, of the file), `embedding`
    (fixed-size list of float32, null for a photo that could not be read) and `outcome` (empty, or
    the reason why the photo could not be read).

    Parameters
    ----------
    system, folder : FileSystem and str
        Destination of the shard.
    part : Part
        Part that is embedded in this shard.
    note : str
        From `note_of`.
    items : sequence of Item
        The n photos of the part.
    faults : sequence of str, length n
        Reason why each photo could not be read, or empty.
    rows : ndarray of float32, shape (n, width)
        Embeddings, zero for photos that could not be read.
    """
    bad = pa.array([bool(fault) for fault in faults], pa.bool_())
    flat = pa.array(np.ascontiguousarray(rows, np.float32).ravel())
    width = rows.shape[1]
    table = pa.table(
        {
            "path": pa.array([item.path for item in items], pa.string()),
            "category": pa.array([item.category for item in items], pa.string()),
            "sha256": pa.array(
                ["" if i.fault else hashlib.sha256(i.data).hexdigest() for i in items], pa.string()
            ),
            "embedding": pa.FixedSizeListArray.from_arrays(flat, width, mask=bad),
            "outcome": pa.array(list(faults), pa.string()),
        },
        metadata={NOTE: note.encode()},
    )
    path = f"{folder}/{name_of(part.number)}"
    temporary = f"{folder}/.{name_of(part.number)}.{uuid4().hex[:8]}"
    with system.open_output_stream(temporary) as file:
        # Embeddings hardly compress. Checksums detect flipped bits.
        pq.write_table(table, file, compression="none", use_dictionary=False,
                       write_statistics=False, write_page_checksum=True)  # fmt: skip
    system.move(temporary, path)


def is_finished(system: fs.FileSystem, path: str, note: str) -> bool:
    """Return whether a shard exists, is complete and has this note."""
    try:
        with system.open_input_file(path) as file:
            return bool((pq.read_schema(file).metadata or {}).get(NOTE) == note.encode())
    except (OSError, pa.ArrowInvalid):
        return False


def names_in(system: fs.FileSystem, folder: str) -> list[str]:
    """Return the names of the shards in a folder, in order."""
    found = system.get_file_info(fs.FileSelector(folder, allow_not_found=True))
    names = [PurePosixPath(info.path).name for info in found if info.is_file]
    return sorted(n for n in names if n.startswith("shard-") and n.endswith(".parquet"))


def read_shards(
    system: fs.FileSystem, folder: str, columns: list[str] | None = None
) -> Iterator[pd.DataFrame]:
    """Read shards one by one, in order, and verify the checksum of every page.

    Parameters
    ----------
    system, folder : FileSystem and str
        Location of the shards.
    columns : list of str, optional
        Columns to read; all by default.

    Yields
    ------
    DataFrame
        One per shard; `embedding`, if it is read, has arrays of float32, or None for a photo
        without an embedding.

    Raises
    ------
    CacheError
        When a shard is damaged; it is set aside, so that the next run writes it again.
    DatasetError
        When there are no shards.
    """
    names = names_in(system, folder)
    if not names:
        raise DatasetError(f"There are no shards in {folder}: extract photos into it first.")
    for name in names:
        path = f"{folder}/{name}"
        try:
            with system.open_input_file(path) as file:
                table = pq.read_table(file, columns=columns, page_checksum_verification=True)
        except (OSError, pa.ArrowInvalid) as error:
            system.move(path, f"{path}.damaged")
            raise CacheError(
                f"{path} was damaged and is kept as {name}.damaged: extract again to restore it."
            ) from error
        yield table.to_pandas()
