"""Assembles an uploaded file from the chunks that a page sends."""

from collections.abc import Sequence
from typing import Any

from caltech_lab.datasets.formats import FORMATS_LISTED
from caltech_lab.embedding.pillow_readers import MAX_BYTES, MAX_JPEG_PIXELS, MAX_PIXELS, MAX_SIDE
from caltech_lab.errors import PhotoError

LIMITS = (
    f"{FORMATS_LISTED}, up to {MAX_BYTES / 2**20:.0f} MB, {MAX_PIXELS / 1e6:.0f} million pixels "
    f"({MAX_JPEG_PIXELS / 1e6:.0f} million for JPEG) and {MAX_SIDE:,} pixels per side"
)


class Upload:
    """The file that is being uploaded; a new one replaces an unfinished one."""

    def __init__(self) -> None:
        self._data, self._number = bytearray(), -1

    def take(self, chunk: dict[str, Any], buffers: Sequence[Any]) -> bytes | None:
        """Take one chunk, and return the file once it is complete.

        Parameters
        ----------
        chunk : dict
            ``upload``: a number per file; ``name``; ``size``: that of the file, in bytes;
            ``start``: the position of the chunk in the file; ``fault``: what the browser reports
            instead of a chunk.
        buffers : sequence of bytes-like
            The chunk.

        Returns
        -------
        bytes or None
            The complete file; None until then, and for chunks of a file that was replaced.

        Raises
        ------
        PhotoError
            When the file is too large, or the browser could not read it.
        """
        name, size = str(chunk["name"]), int(chunk["size"])
        if size > MAX_BYTES:
            raise PhotoError(
                f"{name} has {size / 2**20:,.0f} MB, but the limit is {MAX_BYTES / 2**20:.0f} MB: "
                "save a smaller copy."
            )
        if chunk.get("fault"):
            raise PhotoError(f"The browser could not read {name}: choose it again.")
        if chunk["start"] == 0:
            self._data, self._number = bytearray(), int(chunk["upload"])
        if chunk["upload"] != self._number or chunk["start"] != len(self._data):
            return None
        self._data += buffers[0]
        if len(self._data) < size:
            return None
        data, self._data, self._number = bytes(self._data[:size]), bytearray(), -1
        return data
