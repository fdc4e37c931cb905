"""Turns a photo, a part of one, several photos or words into a query."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from caltech_lab.demo.results import Box, Part, Query, timed
from caltech_lab.embedding.engines import Engine, compile_backbone
from caltech_lab.embedding.extraction import unit_rows
from caltech_lab.embedding.images import load_pixels, read_photo
from caltech_lab.errors import ArgumentError
from caltech_lab.retrieval.feedback import combined
from caltech_lab.storage.files import sha256_of
from caltech_lab.widgets.thumbnails import shrunk, thumbnail

if TYPE_CHECKING:
    from caltech_lab.lab import Lab

VIEW = 420  # pixels per side of the query as it is shown
KEPT = 1024  # pixels per side of the query as it is kept, for selecting parts of it
LEAST_PART = 8  # pixels


class Encoder:
    """Embeds queries with the backbone of a lab, in the same way as the gallery's photos.

    The backbone is loaded and compiled when a photo first has to be embedded, because the
    gallery's embeddings already exist.

    Parameters
    ----------
    lab : Lab
        The lab whose photos are the gallery.
    engine : Engine, optional
        The compiled backbone, if there is one already.
    """

    def __init__(self, lab: "Lab", engine: Engine | None = None) -> None:
        self.lab, self._engine = lab, engine
        self._row_of: dict[str, int] = {}
        for row, sha in enumerate(lab.embeddings.photos.sha256):
            if sha:
                self._row_of.setdefault(sha, row)

    @property
    def is_compiled(self) -> bool:
        """Whether the backbone is compiled."""
        return self._engine is not None

    @property
    def engine(self) -> Engine:
        """The compiled backbone; the first access takes some seconds."""
        if self._engine is None:
            backbone = self.lab.backbone
            engine = compile_backbone(backbone, self.lab.runtime)
            # What the first photo loads and compiles is not counted as reading and embedding it.
            blank = Image.new("RGB", (backbone.size, backbone.size))
            engine.embed_one(load_pixels(blank, backbone.size, backbone.fit))
            self._engine = engine
        return self._engine

    def gallery_photo(self, row: int) -> Query:
        """Make a query from a photo of the gallery, with its stored embedding.

        Raises an `ArgumentError` when there is no such row, and a `PhotoError` when its file can
        no longer be read.
        """
        gallery = self.lab.embeddings
        if not 0 <= row < len(gallery):
            raise ArgumentError(f"The gallery has the rows 0 to {len(gallery) - 1}, not {row}.")
        return self._known(row, read_photo(gallery.photos.file(row)), {})

    def photo(self, source: str | Path | bytes, name: str | None = None) -> Query:
        """Make a query from any photo.

        A file that is identical to a photo in the gallery is recognized, and that photo is
        excluded from its results.

        Parameters
        ----------
        source : str, Path or bytes
            A file, or the content of one, such as an upload.
        name : str, optional
            Name of the query; the file's name by default.

        Raises
        ------
        PhotoError
            When the photo cannot be read.
        """
        seconds: dict[str, float] = {}
        with timed(seconds, "read"):
            photo = read_photo(source, name)
            row = self._row_of.get(_sha256(source))
        if row is not None:
            return self._known(row, photo, seconds)
        if name is None:
            name = "The upload" if isinstance(source, bytes) else Path(source).name
        return self._embedded(photo, name, None, seconds)

    def part(self, query: Query, box: Box) -> Query:
        """Make a query from a part of the query's photo.

        Parameters
        ----------
        query : Query
            A query with a `photo`; if it is itself a part, the whole photo is used.
        box : tuple of float
            Left, top, right and bottom, as fractions of width and height, 0 to 1.

        Raises
        ------
        ArgumentError
            When there is no photo, or the part is too small.
        """
        whole = query.whole or query
        if whole.photo is None:
            raise ArgumentError("This query has no photo that a part could be cut from.")
        width, height = whole.photo.size
        left, right = (round(min(max(x, 0.0), 1.0) * width) for x in (box[0], box[2]))
        top, bottom = (round(min(max(y, 0.0), 1.0) * height) for y in (box[1], box[3]))
        if right - left < LEAST_PART or bottom - top < LEAST_PART:
            raise ArgumentError(
                f"This part has {max(right - left, 0)} x {max(bottom - top, 0)} pixels: "
                f"drag over a larger one, at least {LEAST_PART} x {LEAST_PART}."
            )
        part = whole.photo.crop((left, top, right, bottom))
        query = self._embedded(part, f"a part of {whole.name}", whole.row, {})
        return replace(query, whole=whole, box=box)

    def words(self, text: str) -> Query:
        """Make a query from words, if the backbone has a text tower.

        Raises an `ArgumentError` when it has none, or the text is empty.
        """
        if self.lab.backbone.text is None:
            raise ArgumentError(f"{self.lab.backbone.title} has no vectors for words.")
        if not (text := text.strip()):
            raise ArgumentError("The text is empty: enter words such as: a red boat.")
        seconds: dict[str, float] = {}
        with timed(seconds, "embed"):
            (vector,) = self.lab.backbone.text([text])
        return Query(vector, f'"{text}"', None, b"", seconds)

    def mixture(self, parts: Sequence[Part]) -> Query:
        """Make one query of several, some of which may be subtracted; see `feedback.combined`.

        Raises an `ArgumentError` if nothing is added, or nothing is left after the subtraction.
        """
        vector = combined([p.query.vector for p in parts], [p.sign for p in parts])
        name = " ".join(f"{'+' if p.sign > 0 else '−'} {p.query.name}" for p in parts)
        return Query(vector, name.removeprefix("+ "), None, b"", {}, parts=tuple(parts))

    def _known(self, row: int, photo: Image.Image, seconds: dict[str, float]) -> Query:
        gallery, photo = self.lab.embeddings, shrunk(photo, KEPT)
        name = str(gallery.photos.table["path"].iat[row])
        return Query(gallery.X[row], name, row, thumbnail(photo, VIEW), seconds, photo)

    def _embedded(
        self,
        photo: Image.Image,
        name: str,
        row: int | None,
        seconds: dict[str, float],
    ) -> Query:
        backbone = self.lab.backbone
        engine = self.engine  # not timed, because only the first photo waits for it
        with timed(seconds, "read"):
            pixels = load_pixels(photo, backbone.size, backbone.fit)
            kept = shrunk(photo, KEPT)
            picture = thumbnail(kept, VIEW)
        with timed(seconds, "embed"):
            (vector,) = unit_rows(engine.embed_one(pixels)[None])
        return Query(vector, name, row, picture, seconds, kept)


def _sha256(source: str | Path | bytes) -> str:
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    return sha256_of(Path(source))
