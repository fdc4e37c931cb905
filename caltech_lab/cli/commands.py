"""The commands of `caltech-lab`: what can be typed, with its help.

Each is carried out by the function of the same name in the module that is named above it, which
is imported only when the command runs, so that `--help` is there at once.
"""

from pathlib import Path
from typing import Annotated

import typer

from caltech_lab.cli.common import app, command, one_of, starting

__all__ = ["app"]

METHODS = ("kmeans", "hierarchical", "smoothed")
LINKAGES = ("ward", "average", "complete", "single")
METRICS = ("euclidean", "cosine")
CLASSIFIERS = ("svm", "random-forest")
FORMATS = ("parquet", "npy", "projector")
GALLERY = Annotated[
    str | None,
    typer.Option(
        help="What is searched: exact, hnsw, ivf-pq, milvus:FILE.db or milvus:URL.",
        autocompletion=starting("exact", "hnsw", "ivf-pq", "milvus:"),
        metavar="NAME",
    ),
]
# Written out, since the package of datasets takes pandas with it; a test holds both together.
PHOTO_FORMATS = "JPEG, PNG, WebP, BMP, GIF, TIFF, HEIC or AVIF"
FILES = Annotated[
    list[Path], typer.Argument(help=f"Query photos: {PHOTO_FORMATS}.", metavar="PHOTO...")
]


@command("data")
def download() -> None:
    """Download Caltech-101 (137 MB), or unpack the offline sample with --dataset drawn."""


@command("data")
def verify() -> None:
    """Check every photo: against the manifest of Caltech-101, or that it can be read."""


@command("data")
def repair(
    archive: Annotated[
        Path | None, typer.Option(help="The official archive, where it is at hand.")
    ] = None,
) -> None:
    """Restore missing and altered photos of Caltech-101, and no others."""


@command("doctor")
def doctor() -> None:
    """Check this machine: packages, dataset, weights, disk and memory."""


@command("data")
def extract(
    engine: Annotated[
        str,
        typer.Option(
            help="direct, or ray: by workers on one or many machines.", **one_of("direct", "ray")
        ),
    ] = "direct",
    address: Annotated[
        str | None,
        typer.Option(
            help="Address of a Ray cluster, such as auto or ray://head:10001; by default Ray is "
            "started here."
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="How many workers hold the backbone.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="ADDRESS",
            help="Read the photos from here instead of --dataset: a folder, "
            "an address such as s3://bucket/photos, or tar files in either.",
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Where the Parquet shards go, with --engine ray."),
    ] = None,
) -> None:
    """Embed the photos; those that were embedded before are not read again."""


@command("data")
def export(
    format: Annotated[  # noqa: A002
        str,
        typer.Option(
            help="parquet, npy (with CSV), or projector (two TSV files).", **one_of(*FORMATS)
        ),
    ] = "parquet",
    to: Annotated[
        Path | None, typer.Option(help="The folder to write to.", metavar="FOLDER")
    ] = None,
    components: Annotated[
        int | None, typer.Option(help="For the projector: principal components to write.", min=2)
    ] = None,
) -> None:
    """Write embeddings, labels and paths for other programs."""


@command("demo")
def demo(gallery: GALLERY = None) -> None:
    """Open the retrieval demo in a browser, through Voilà."""


@command("learning")
def cluster(
    method: Annotated[
        str,
        typer.Argument(
            help="kmeans, hierarchical, or smoothed: average linkage after neighbor smoothing.",
            metavar="[METHOD]",
            **one_of(*METHODS),
        ),
    ] = "kmeans",
    k: Annotated[
        int | None,
        typer.Option("-k", "--k", min=2, help="Number of clusters; 20 for kmeans, else 50."),
    ] = None,
    linkage: Annotated[
        str, typer.Option(help="Linkage of hierarchical: ward, average, complete, single.",
                          **one_of(*LINKAGES))
    ] = "ward",
    metric: Annotated[
        str, typer.Option(help="Distance of hierarchical: euclidean or cosine.",
                          **one_of(*METRICS))
    ] = "euclidean",
) -> None:  # fmt: skip
    """Group similar photos; no labels are needed."""


@command("learning")
def train(
    classifier: Annotated[
        str,
        typer.Argument(help="svm or random-forest.", metavar="[CLASSIFIER]",
                       **one_of(*CLASSIFIERS)),
    ] = "svm",
) -> None:  # fmt: skip
    """Train a classifier on 80 % of the photos, and test it on the rest."""


@command("learning")
def index(gallery: GALLERY = None) -> None:
    """Write all embeddings into a faiss index for exact search, or into another gallery."""


@command("learning")
def evaluate(
    k: Annotated[
        int | None, typer.Option("-k", "--k", min=1, help="Cut-off of precision@k; 10.")
    ] = None,
) -> None:  # fmt: skip
    """Measure classification, retrieval and clustering."""


@command("learning")
def report() -> None:
    """Measure everything for the final report; it takes some minutes on Caltech-101."""


@command("queries")
def predict(
    photos: FILES,
    classifier: Annotated[
        str, typer.Option(help="svm or random-forest.", **one_of(*CLASSIFIERS))
    ] = "svm",
    top: Annotated[
        int | None, typer.Option(min=1, help="Categories to name for each photo; 3 by default.")
    ] = None,
) -> None:
    """Predict the categories of photos, with probabilities."""


@command("queries")
def retrieve(
    photos: Annotated[
        list[Path] | None,
        typer.Argument(help=f"Query photos: {PHOTO_FORMATS}.", metavar="PHOTO"),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(
            help="A query in words, such as 'a red boat', with --backbone clip-NAME. May be given "
            "several times.",
            metavar="WORDS",
        ),
    ] = None,
    k: Annotated[
        int | None, typer.Option("-k", "--k", min=1, help="Results per query; 10 by default.")
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(help="Draw queries and results into this PNG.", metavar="PNG", dir_okay=False),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(help="Write the results to this CSV.", metavar="CSV", dir_okay=False),
    ] = None,
    gallery: GALLERY = None,
    category: Annotated[
        list[str] | None, typer.Option(help="Only results of this category; may be repeated.")
    ] = None,
) -> None:
    """Find the photos most similar to photos or words; no labels are needed.

    A photo of the dataset is left out of its own results; copies of it under other names are not.
    """


@command("queries")
def duplicates(
    crops: Annotated[
        bool, typer.Option(help="Whether to look for crops too, which takes most of the time.")
    ] = True,
    top: Annotated[int, typer.Option(min=0, help="Groups to list, at most.")] = 10,
) -> None:
    """Group near-duplicates, by perceptual hash and by embedding."""
