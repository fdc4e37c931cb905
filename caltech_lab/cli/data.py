"""Commands for data: download, verify, repair, extract and export."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from caltech_lab.cli.common import Result, open_lab, shown
from caltech_lab.datasets import caltech101, open_photos
from caltech_lab.datasets.caltech101 import SUBSETS, manifest
from caltech_lab.embedding import exports
from caltech_lab.embedding.backbones import backbone
from caltech_lab.embedding.extraction import extract as run
from caltech_lab.embedding.images import read_photo
from caltech_lab.errors import DatasetError, PhotoError
from caltech_lab.scale.addresses import file_system
from caltech_lab.scale.ray_extraction import extract_shards, ray_embedding
from caltech_lab.scale.shards import read_shards
from caltech_lab.settings import settings
from caltech_lab.storage.progress import progress

if TYPE_CHECKING:
    from caltech_lab.datasets import Photos
    from caltech_lab.embedding.extraction import ExtractionReport


def _subset() -> str | None:
    """Return the requested subset of Caltech-101; None for other photos."""
    wanted = settings().dataset or "caltech101"
    return "all" if wanted == "caltech101" else wanted if wanted in SUBSETS else None


def _caltech101() -> tuple[Path, bool]:
    """Return the folder of Caltech-101, and whether it was downloaded just now."""
    root = caltech101.find(settings().photo_places)
    return (root, False) if root else (caltech101.download(settings().data), True)


def _own(what: str) -> "Photos":
    """Return photos other than Caltech-101; raise an error if the command cannot process them."""
    photos = open_photos()
    if what and settings().dataset != "drawn":
        raise DatasetError(f"Only Caltech-101 can be {what}; {photos.root} is yours alone.")
    return photos


def download() -> Result:
    """Download Caltech-101 (137 MB), or unpack the offline sample with --dataset drawn."""
    if _subset() is None:
        photos = _own("downloaded")
        root, fetched, n = photos.root, False, len(photos)
        line = photos.origin
    else:
        (root, fetched), n = _caltech101(), len(manifest())
        line = "Caltech-101 was downloaded" if fetched else "Caltech-101 is there already"
    data = {"root": str(root), "downloaded": fetched, "n_photos": n}
    return Result([f"{line}: {n:,} photos in {shown(root)}"], data, [root] if fetched else [])


def verify() -> Result:
    """Check every photo: against the manifest of Caltech-101, or that it can be read."""
    subset = _subset()
    if subset is None:
        photos = _own("")
        unreadable = _unreadable(photos)
        data = {"root": str(photos.root), "n_photos": len(photos), "missing": [], "altered": [],
                "extra": [], "unreadable": unreadable}  # fmt: skip
        lines = [f"{len(photos) - len(unreadable):,} of {len(photos):,} photos can be read."]
        return Result(lines + list(unreadable.values()), data, ok=not unreadable)

    root, _ = _caltech101()
    found = caltech101.verify(root, subset)
    n = len(caltech101.select(subset))
    data = {"root": str(root), "n_photos": n, "missing": found.missing, "altered": found.altered,
            "extra": found.extra, "unreadable": {}}  # fmt: skip
    advice = [] if found.ok else ["`caltech-lab repair` restores them."]
    line = str(found).partition("; `")[0]
    return Result([f"{line} ({shown(root)})", *advice], data, ok=found.ok)


def _unreadable(photos: "Photos") -> dict[str, str]:

    def fault(i: int) -> str:
        try:
            read_photo(photos.file(i))
        except PhotoError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(settings().threads) as pool:
        faults = pool.map(fault, range(len(photos)), chunksize=16)
        bar = progress(faults, total=len(photos), desc="Reading", unit=" photos")
        return {path: why for path, why in zip(photos.table["path"], bar, strict=True) if why}


def repair(archive: Path | None) -> Result:
    """Restore missing and altered photos of Caltech-101, and no others."""
    if _subset() is None:
        photos = _own("repaired")  # opening the drawn sample restores missing pictures
        return Result([photos.origin], {"root": str(photos.root), "restored": []})

    if archive is not None and not archive.is_file():
        raise DatasetError(f"There is no file {archive}: check the path.")
    root, _ = _caltech101()
    restored = caltech101.repair(root, archive)
    line = f"{len(restored):,} photos restored in {shown(root)}"
    return Result(
        [line if restored else f"Nothing to repair in {shown(root)}", *restored[:10]],
        {"root": str(root), "restored": restored},
        [root] if restored else [],
    )


def extract(
    engine: str, address: str | None, workers: int | None, source: str | None, to: str | None
) -> Result:
    """Embed the photos; those that were embedded before are not read again."""
    if engine != "ray" and (address or workers or source or to):
        raise typer.BadParameter("--address, --workers, --from and --to need --engine ray.")
    if source and not to:
        raise typer.BadParameter("--from needs --to, an address for the shards.")
    if source and to:
        return _extract_from(source, to, address, workers)
    lab = open_lab()
    done = None
    if engine == "ray":
        folder = lab.folder("features")
        shards = to or str((folder / "shards").absolute())
        rows = ray_embedding(lab.backbone, lab.runtime, shards, address=address, workers=workers)
        done = run(lab.photos, lab.backbone, folder, runtime=lab.runtime, embedding=rows)
    n, d = lab.embeddings.X.shape
    outcome = done or lab.extraction
    data = {**_counts(outcome), "n_embeddings": n, "width": d, "labeled": lab.photos.labeled}
    lines = [*str(outcome).split("\n"), f"{n:,} embeddings of {d:,} dimensions."]
    return Result(lines, data, [lab.folder("features")], lab)


def _counts(outcome: "ExtractionReport") -> dict[str, Any]:
    return {
        "n_photos": outcome.n_photos,
        "n_extracted": outcome.n_extracted,
        "n_reused": outcome.n_reused,
        "failed": outcome.failed,
        "seconds": outcome.seconds,
    }


def _extract_from(source: str, to: str, address: str | None, workers: int | None) -> Result:
    network = backbone()
    outcome = extract_shards(source, network, to, address=address, workers=workers)
    n = outcome.n_extracted + outcome.n_reused
    tables = read_shards(*file_system(to), ["category"])
    labeled = all(bool(table["category"].ne("").all()) for table in tables)
    made = f"{n:,} embeddings of {network.width:,} dimensions"
    lines = [*str(outcome).split("\n"), f"{made}, in {to}."]
    data = {**_counts(outcome), "n_embeddings": n, "width": network.width,
            "labeled": labeled, "shards": to}  # fmt: skip
    return Result(lines, data, [] if "://" in to else [Path(to)])


def export(
    format: str,  # noqa: A002
    to: Path | None,
    components: int | None,
) -> Result:
    """Write embeddings, labels and paths for other programs."""
    if components is not None and format != "projector":
        raise typer.BadParameter("--components is for --format projector.")

    lab = open_lab()
    wrote = exports.export(lab.embeddings, format, to or lab.folder("exports"), components)
    n, d = lab.embeddings.X.shape
    return Result(
        [f"{n:,} embeddings of {components or d:,} dimensions, as {format}."],
        {"format": format, "n_embeddings": n, "width": components or d},
        wrote,
        lab,
    )
