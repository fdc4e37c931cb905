"""A small stand-in for Caltech-101: 336 computer-drawn pictures that come with the package.

The files are identical on every machine. They were drawn by `tools/sample_painter` in the
repository.
"""

import json
import shutil
import zipfile
from pathlib import Path

from caltech_lab.errors import DatasetError
from caltech_lab.storage.files import lock, sha256_of

ARCHIVE = Path(__file__).with_name("drawn.zip")
SHA256 = "b87d27b7d5bdf640b3e1a3968c712fb9eb556e5a87a4f32e0685b5d70d468f69"
CATEGORIES: tuple[str, ...] = (
    "butterfly", "cup", "ketch", "lotus", "pizza", "pyramid", "schooner", "soccer_ball", "starfish",
    "stop_sign", "sunflower", "umbrella", "watch", "water_lilly",
)  # fmt: skip
PHOTOS_PER_CATEGORY: int = 24
MARKER = "drawn.json"  # marks a folder that was unpacked here


def opened() -> zipfile.ZipFile:
    """Open the archive of the sample.

    Its entries are `drawn/<category>/image_0001.jpg` and so on, and `copies/`, which is described
    in `datasets.unlabeled_sample`.

    Raises
    ------
    DatasetError
        When the archive is missing or its sha256 is not the expected one.
    """
    try:
        sound = sha256_of(ARCHIVE) == SHA256
    except OSError:
        sound = False
    if not sound:
        raise DatasetError(f"{ARCHIVE} is missing or damaged: install caltech-lab again.")
    return zipfile.ZipFile(ARCHIVE)


def unpack(folder: Path) -> Path:
    """Unpack the sample into a folder with the same layout as Caltech-101.

    The folder appears only once it is complete. A complete folder is left as it is; one with
    missing or damaged pictures, or with an older version of the sample, is replaced.

    Parameters
    ----------
    folder : Path
        Target folder of `<category>/image_0001.jpg` and so on.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    DatasetError
        When the folder contains other files or is not writable, or the archive is damaged.
    """
    folder = Path(folder).absolute()
    photos = dict.fromkeys(CATEGORIES, PHOTOS_PER_CATEGORY)
    marker: dict[str, object] = {"sha256": SHA256, "photos": photos}
    with opened() as archive:
        try:
            with lock(folder):
                if not _is_finished(folder, marker, archive):
                    _refuse_foreign(folder)
                    _unpack_anew(folder, marker, archive)
        except OSError as error:
            raise DatasetError(
                f"The drawn sample could not be written to {folder} ({error.strerror or error}): "
                "make room there, or choose another folder."
            ) from error
    return folder


def _files(marker: dict[str, object]) -> set[str]:
    """Return the paths of a sample's pictures, relative to its folder."""
    photos = marker.get("photos")
    counts = photos if isinstance(photos, dict) else {}
    return {f"{name}/image_{i:04d}.jpg" for name, n in counts.items() for i in range(1, n + 1)}


def _read_marker(folder: Path) -> dict[str, object]:
    """Return the content of a folder's marker file; empty if there is no valid one."""
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return marker if isinstance(marker, dict) else {}


def _is_finished(folder: Path, marker: dict[str, object], archive: zipfile.ZipFile) -> bool:
    def is_whole(name: str) -> bool:
        path, entry = folder / name, archive.getinfo(f"drawn/{name}")
        return path.is_file() and path.stat().st_size == entry.file_size

    return _read_marker(folder) == marker and all(map(is_whole, _files(marker)))


def _refuse_foreign(folder: Path) -> None:
    """Raise an error if replacing the folder would delete other files."""
    if not folder.exists():
        return
    own = _files(_read_marker(folder)) | {MARKER}
    found = [p for p in folder.rglob("*") if not p.is_dir()] if folder.is_dir() else [folder]
    foreign = sorted(p for p in found if p.relative_to(folder).as_posix() not in own)
    if foreign:
        raise DatasetError(
            f"{foreign[0]} does not belong to the drawn sample, and unpacking the sample there "
            "would delete it: move it elsewhere, or choose another folder."
        )


def _unpack_anew(folder: Path, marker: dict[str, object], archive: zipfile.ZipFile) -> None:
    """Unpack beside the folder, then replace the folder with the result."""
    aside = folder.with_name(f".{folder.name}.unpacking")
    shutil.rmtree(aside, ignore_errors=True)  # left by a process that was killed
    try:
        for name in sorted(_files(marker)):
            path = aside / "new" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.read(f"drawn/{name}"))
        (aside / "new" / MARKER).write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")
        if folder.exists():
            folder.rename(aside / "old")
        (aside / "new").rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
