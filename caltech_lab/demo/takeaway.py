"""What can be taken away from a search: a table, a contact sheet, copies, and a line of Python."""

import io
import re
import shutil
from collections.abc import Iterable
from itertools import chain
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from caltech_lab.demo.results import Query, Ranking
from caltech_lab.embedding.exports import results_table
from caltech_lab.embedding.images import read_photo
from caltech_lab.errors import ArgumentError, DatasetError, shown_name
from caltech_lab.storage.files import explain, make_folder, valid_unicode
from caltech_lab.storage.tables import write_csv

if TYPE_CHECKING:
    from caltech_lab.demo.session import SearchSession
    from caltech_lab.embedding.embeddings import Embeddings
    from caltech_lab.lab import Lab

NAMED = ("all", "all+background", "report51", "drawn")
COLUMNS = 6
LONGEST_NAME = 200  # bytes; file systems allow 255
UNSAFE = re.compile(r'[\x00-\x1f<>:"/\\|?*]')  # what Windows does not allow in a name


def csv_bytes(gallery: "Embeddings", query: Query, ranking: Ranking) -> bytes:
    """Return the results as CSV in UTF-8; see `exports.results_table` for the columns."""
    table = results_table([query.name], gallery, [ranking.ids], [ranking.similarities])
    if ranking.same_category is not None:
        table["same_category_probability"] = ranking.same_category.round(4)
    with TemporaryDirectory() as folder:
        write_csv(path := Path(folder) / "results.csv", table, index=False)
        return path.read_bytes()


def sheet_png(gallery: "Embeddings", query: Query, ranking: Ranking) -> bytes:
    """Return a contact sheet of the query, if it has a photo, and the results, as PNG."""
    import matplotlib.pyplot as plt  # takes a second

    from caltech_lab.plots.photos import grid_of_photos

    photos = gallery.photos
    asked = [query.first.photo] if query.first.photo else []
    titles = [f"{shown_name(query.first.name)}\n(query)" for _ in asked]
    for row, cosine in zip(ranking.ids.tolist(), ranking.similarities, strict=True):
        name = str(photos.table["category"].iat[row]) or photos.file(row).name
        titles.append(f"{shown_name(name)}\n{cosine:.3f}")
    found = (read_photo(photos.file(row)) for row in ranking.ids.tolist())
    columns = min(COLUMNS, len(titles))
    figure = grid_of_photos(chain(asked, found), titles, columns).get_figure(root=True)
    assert figure is not None
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    plt.close(figure)
    return buffer.getvalue()


def copy_photos(gallery: "Embeddings", rows: Iterable[int], folder: Path) -> list[Path]:
    """Copy photos into a folder, numbered in the order of the results.

    Parameters
    ----------
    gallery : Embeddings
        The gallery.
    rows : iterable of int
        Its rows to copy, the best first.
    folder : Path
        The folder, which is created if needed. Existing files are not overwritten: a copy with
        the same name and other content gets a number.

    Returns
    -------
    list of Path
        The copies.

    Raises
    ------
    ArgumentError
        When the folder is inside the dataset, where the copies would become photos of it.
    CacheError
        When the folder cannot be written.
    DatasetError
        When photos are missing; the others are copied.
    """
    photos, folder = gallery.photos, folder.absolute()
    if folder.resolve().is_relative_to(photos.root.resolve()):
        raise ArgumentError(
            f"{folder} is inside the dataset, where copies would become photos of it: choose "
            "another folder."
        )
    make_folder(folder)
    copied, missing = [], []
    for rank, row in enumerate(rows, start=1):
        source, path = photos.file(int(row)), str(photos.table["path"].iat[int(row)])
        if not source.is_file():
            missing.append(path)
            continue
        goal = folder / _name(rank, path)
        try:
            copied.append(_copied(source, goal))
        except OSError as error:
            raise explain(error, goal) from error
    if missing:
        raise DatasetError(
            f"{len(copied)} photos were copied to {folder}; these no longer exist: "
            f"{', '.join(map(shown_name, missing))}."
        )
    return copied


def _name(rank: int, path: str) -> str:
    """Return a flat name such as ``003_lotus_image_0007.jpg`` that every file system allows."""
    flat = PurePosixPath(UNSAFE.sub("_", valid_unicode(path)).rstrip(" ."))
    room = LONGEST_NAME - len(flat.suffix.encode())
    stem = flat.stem.encode()[:room].decode(errors="ignore").rstrip(" .")
    return f"{rank:03d}_{stem}{flat.suffix}"


def _copied(source: Path, goal: Path) -> Path:
    """Copy a file under the first free name, unless the same file is there already."""
    data, number, free = source.read_bytes(), 1, goal
    while free.exists():
        if free.is_file() and free.read_bytes() == data:
            return free
        number += 1
        free = goal.with_stem(f"{goal.stem}-{number}")
    with open(free, "xb") as file:
        file.write(data)
    shutil.copystat(source, free)
    return free


def python_line(session: "SearchSession") -> str:
    """Return Python that repeats the query of a session, with its marks and filters."""
    if session.results is None:
        return ""
    lines = ["import caltech_lab", "from caltech_lab.demo import SearchSession", ""]
    lines.append(f"session = SearchSession({_lab(session.lab)})")
    if session.searcher.space.name != "plain":
        lines.append(f"session.use({session.searcher.space.name!r})")
    query = session.results.query
    parts = [(part.query, part.sign) for part in query.parts] or [(query, 1)]
    # What is added comes first, because there must be something to subtract from.
    for number, (part, sign) in enumerate(sorted(parts, key=lambda part: -part[1])):
        source = f"session.encoder.{_source(part, session)}"
        more = "" if sign > 0 else ", -1"
        lines.append(f"session.{'add' if number else 'search'}({source}{more})")
    options, names = session.options, session.gallery.categories
    filters = []
    if options.categories:
        chosen = [names[label] for label in sorted(options.categories)]
        filters.append(f"categories=session.labels({chosen!r})")
    if options.cluster is not None:
        filters.append("cluster=True")
    if options.hide_near_duplicates:
        filters.append("hide_near_duplicates=True")
    if filters:
        lines.append(f"session.filter({', '.join(filters)})")
    for row, mark in session.marks.items():
        lines.append(f"session.mark(session.row({session.path(row)!r}), {mark!r})")
    lines.append(f"session.show({session.k})")
    lines.append('print(*map(session.path, session.ranking.ids), sep="\\n")')
    return "\n".join(lines)


def _lab(lab: "Lab") -> str:
    """Return the call that opens a lab."""
    dataset = lab.photos.name if lab.photos.name in NAMED else str(lab.photos.root)
    return f"caltech_lab.open_lab({dataset!r}, {lab.backbone.name!r})"


def _source(query: Query, session: "SearchSession") -> str:
    """Return the call of the encoder that makes a query of one part."""
    if query.whole is not None:
        return f"part(session.encoder.{_source(query.whole, session)}, {query.box!r})"
    if query.row is not None:
        return f"gallery_photo(session.row({session.path(query.row)!r}))"
    if query.photo is None:
        return f"words({query.name[1:-1]!r})"
    return f"photo({'path/to/' + query.name!r})"
