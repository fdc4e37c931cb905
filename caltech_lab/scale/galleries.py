"""Search galleries filled with the embeddings of a lab."""

import hashlib
from typing import TYPE_CHECKING

from caltech_lab.retrieval.gallery import Gallery, fill, open_gallery
from caltech_lab.settings import settings
from caltech_lab.storage.files import lock, read_json, write_json

if TYPE_CHECKING:
    from caltech_lab.lab import Lab


def gallery(lab: "Lab", name: str | None = None) -> Gallery:
    """Return a gallery of all embeddings and categories; the ids are row numbers.

    A gallery with other embeddings is emptied and filled again.

    Parameters
    ----------
    lab : Lab
        Provides the embeddings.
    name : str, optional
        As in `gallery.open_gallery`; that of the settings by default.
    """
    embeddings = lab.embeddings
    name = name or settings().gallery
    folder = lab.folder("models/galleries")
    # One record per gallery, because several galleries may share this folder.
    key = hashlib.sha256(name.encode()).hexdigest()[:12]
    record = folder / f"{key}.json"
    key_now = {"gallery": name, **lab.cache.made_from}
    with lock(record):
        current = record.is_file() and read_json(record) == key_now
        found = open_gallery(name, embeddings.X.shape[1], folder, new=not current)
        if not current or found.ntotal != len(embeddings):
            record.unlink(missing_ok=True)
            fill(found, embeddings.X, embeddings.photos.table["category"].tolist())
            write_json(record, key_now)
    return found
