"""Vector stores filled with the embeddings of a lab."""

import hashlib
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from caltech_lab.errors import CacheError, LabError
from caltech_lab.retrieval.faiss_store import FaissStore
from caltech_lab.retrieval.stores import VectorStore, fill, open_store
from caltech_lab.settings import settings
from caltech_lab.storage.files import lock, make_way, read_json, set_aside, write_json

if TYPE_CHECKING:
    from caltech_lab.lab import Lab


def store_of(lab: "Lab", name: str | None = None) -> VectorStore:
    """Return a vector store of all embeddings and categories; the ids are row numbers.

    An exact store is made in memory; of the others, one that is kept with other embeddings is
    emptied and filled again.

    Parameters
    ----------
    lab : Lab
        Provides the embeddings.
    name : str, optional
        As in `stores.open_store`; that of the settings by default.
    """
    embeddings = lab.embeddings
    name = name or settings().gallery
    categories = embeddings.photos.table["category"].tolist()
    if name == "exact":
        exact = FaissStore(name, embeddings.X.shape[1])
        exact.add(np.arange(len(embeddings)), embeddings.X, categories)
        return exact
    folder = lab.folder("models/galleries")
    # One record per store, because several stores may share this folder.
    key = hashlib.sha256(name.encode()).hexdigest()[:12]
    record = folder / f"{key}.json"
    key_now = {"gallery": name, **lab.cache.made_from}
    with lock(record):
        current = _is(record, key_now)
        open_one = partial(open_store, name, embeddings.X.shape[1], folder)
        try:
            found = open_one(new=not current)
        except CacheError:
            if not current:
                raise
            place = folder / name
            if place.exists():
                print(
                    f"{place} is damaged: it is filled again, and kept as {set_aside(place).name}."
                )
            found = open_one(new=True)
            current = False
        if not current or found.ntotal != len(embeddings):
            make_way(record)
            record.unlink(missing_ok=True)
            fill(found, embeddings.X, categories)
            write_json(record, key_now)
    return found


def _is(record: Path, key: dict[str, Any]) -> bool:
    with suppress(LabError, OSError):
        return bool(read_json(record) == key)
    return False
