"""Commands for single photos, and for near-duplicates."""

from collections import Counter
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import typer
from PIL import Image

from caltech_lab.cli.common import Result, open_lab, use_gallery
from caltech_lab.embedding.engines import compile_backbone
from caltech_lab.embedding.exports import results_table, write_results
from caltech_lab.embedding.extraction import embed_few
from caltech_lab.embedding.images import read_photo
from caltech_lab.errors import ArgumentError, shown_name
from caltech_lab.retrieval.lab_store import store_of
from caltech_lab.retrieval.stores import found, matching
from caltech_lab.storage.files import sha256_of, write_atomically
from caltech_lab.storage.tables import write_csv
from caltech_lab.studies.duplicates import groups, near_duplicates

if TYPE_CHECKING:
    from caltech_lab.lab import Lab


def _embedded(lab: "Lab", files: list[Path]) -> "tuple[np.ndarray, list[list[int]]]":
    """Return the vectors of files, and for each file the gallery rows with the same bytes."""
    gallery = lab.embeddings
    rows_of: dict[str, list[int]] = {}
    for row, sha in enumerate(gallery.photos.sha256):
        rows_of.setdefault(sha, []).append(row)
    rows = [rows_of.get(sha256_of(file), []) for file in files]
    new = [file for file, same in zip(files, rows, strict=True) if not same]
    engine = compile_backbone(lab.backbone, lab.runtime) if new else None
    made = iter(embed_few(new, lab.backbone, engine)) if new else iter(())
    return np.stack([gallery.X[same[0]] if same else next(made) for same in rows]), rows


def _itself(lab: "Lab", file: Path, rows: list[int]) -> int | None:
    """Return the row of the file itself, among rows with the same bytes; None if all are copies."""
    place_of = lab.embeddings.photos.file
    itself = [row for row in rows if file.samefile(place_of(row))]
    # Of several hard links to one file, take the path that was given.
    return min(itself, key=lambda row: place_of(row).resolve() != file.resolve(), default=None)


def _check(files: list[Path]) -> None:
    """Raise an error for a photo that cannot be read, before any slow step."""
    for file in files:
        read_photo(file)


def predict(photos: list[Path], classifier: str, top: int | None) -> Result:
    """Predict the categories of photos, with probabilities."""
    _check(photos)
    lab = open_lab()
    lab.photos.check_labels("Naming what is on a photo")
    gallery = lab.embeddings
    trained = set(lab.split()[0].tolist())
    X, rows = _embedded(lab, photos)
    model = lab.svm() if classifier == "svm" else lab.random_forest()
    shares = model.predict_proba(X)
    names = [gallery.categories[label] for label in model.classes_]
    if top is not None and top > len(names):
        raise ArgumentError(
            f"--top {top} is too large: the classifier knows {len(names):,} categories."
        )
    lines, data = [], []
    for photo, same, share in zip(photos, rows, shares, strict=True):
        best = [int(i) for i in np.argsort(-share, kind="stable")[: top or 3]]
        found = [{"category": names[i], "probability": float(share[i])} for i in best]
        known = not trained.isdisjoint(same)
        data.append({"photo": str(photo), "in_training_set": known, "best": found})
        words = ", ".join(f"{a['category']} {a['probability']:.3f}" for a in found)
        lines.append(f"{photo}: {words}" + (" (a training photo)" if known else ""))
    return Result(lines, {"classifier": classifier, "predictions": data}, [], lab)


def retrieve(
    photos: list[Path] | None,
    text: list[str] | None,
    k: int | None,
    sheet: Path | None,
    csv: Path | None,
    gallery: str | None,
    category: list[str] | None,
) -> Result:
    """Find the photos most similar to photos or words; no labels are needed.

    A photo of the dataset is left out of its own results; copies of it under other names are not.
    """
    if sheet is not None and sheet.suffix.lower() != ".png":
        raise typer.BadParameter(f"--sheet writes a PNG; {sheet.name} should end in .png.")

    photos, texts = photos or [], text or []
    if not photos and not texts:
        raise typer.BadParameter("There is no query: name a photo, or describe one with --text.")
    use_gallery(gallery)
    _check(photos)
    lab = open_lab()
    described = _described(lab, texts)
    if category:
        if not lab.photos.categories:
            lab.photos.check_labels("Searching a category")
        category = matching(category, lab.photos.categories)
    X, same = _embedded(lab, photos) if photos else (described[:0], [])
    rows = [_itself(lab, *query) for query in zip(photos, same, strict=True)]
    X, rows = np.concatenate([X, described]), [*rows, *(None for _ in texts)]
    n = len(lab.embeddings)
    most = n - any(row is not None for row in rows)
    if most < 1:
        raise ArgumentError("This dataset has no other photo to find: add photos.")
    if k is not None and k > most:
        raise ArgumentError(
            f"-k {k} is too large: this dataset has {n:,} photos, so at most {most:,} results."
        )
    search = store_of(lab).search
    counts = [k or min(10, n - (row is not None)) for row in rows]
    results = [
        found(*search(x, count, categories=category or None, exclude=row))
        for x, count, row in zip(X, counts, rows, strict=True)
    ]
    ids, similarities = [ids for _, ids in results], [near for near, _ in results]
    asked = [*(("photo", str(photo)) for photo in photos), *(("text", words) for words in texts)]
    table = results_table([name for _, name in asked], lab.embeddings, ids, similarities)
    lines, queries = _told(asked, [len(its_ids) for its_ids in ids], table)
    wrote = []
    if csv is not None:
        wrote.append(write_results(csv, table))
    if sheet is not None:
        _draw(sheet, lab, [*photos, *texts], ids, similarities)
        wrote.append(sheet)
    data = {"k": max(counts), "root": str(lab.photos.root), "queries": queries}
    return Result(lines, data, wrote, lab)


def _told(
    asked: list[tuple[str, str]], counts: list[int], table: pd.DataFrame
) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the lines for people and the data for programs: each query, and its results."""
    rows = iter(table.itertuples(index=False))
    lines: list[str] = []
    queries: list[dict[str, Any]] = []
    for (kind, name), count in zip(asked, counts, strict=True):
        title = f'"{name}"' if kind == "text" else name
        lines.append(f"{title}:" if count else f"{title}: no results")
        queries.append({kind: name, "answers": []})
        for _, rank, path, label, similarity in islice(rows, count):
            queries[-1]["answers"].append(
                {"rank": rank, "path": path, "category": label or None, "similarity": similarity}
            )
            lines.append(f"{rank:>4}  {similarity:.3f}  {path}")
    return lines, queries


def _described(lab: "Lab", texts: list[str]) -> np.ndarray:
    """Return the vectors of texts."""
    if not texts:
        return np.empty((0, lab.backbone.width), np.float32)
    if lab.backbone.text is None:
        raise ArgumentError(
            f"{lab.backbone.title} cannot embed words: use a network with a text tower, such as "
            "--backbone clip-ViT-B-32."
        )
    return lab.backbone.text(texts)


def _draw(
    sheet: Path,
    lab: "Lab",
    queries: list[Path | str],
    ids: "list[np.ndarray]",
    similarities: "list[np.ndarray]",
) -> None:
    """Write a contact sheet with one row per query, the query first."""
    from caltech_lab.plots.photos import grid_of_photos, words_as_photo  # imports matplotlib

    def small(path: Path) -> Image.Image:
        photo = read_photo(path)
        photo.thumbnail((240, 240))
        return photo

    photos, columns = lab.embeddings.photos, max(map(len, ids)) + 1
    pictures, titles = [], []
    for query, rows, near in zip(queries, ids, similarities, strict=True):
        if isinstance(query, str):
            pictures.append(words_as_photo(query, 240))
            titles.append("\n(query)")
        else:
            pictures.append(small(query))
            titles.append(f"{shown_name(query.name)}\n(query)")
        pictures += [small(photos.file(int(row))) for row in rows]
        for row, similarity in zip(rows, near, strict=True):
            path = photos.file(int(row))
            name = str(photos.table["category"].iat[int(row)]) or path.name
            titles.append(f"{shown_name(name)}\n{similarity:.3f}")
        missing = columns - 1 - len(rows)
        pictures += [Image.new("RGB", (240, 240), "white")] * missing
        titles += [""] * missing
    figure = grid_of_photos(pictures, titles, columns).get_figure(root=True)
    assert figure is not None
    with write_atomically(sheet) as temporary:
        figure.savefig(temporary, dpi=min(250, 18 * columns + 40))


def duplicates(crops: bool, top: int) -> Result:
    """Group near-duplicates, by perceptual hash and by embedding."""
    lab = open_lab()
    pairs = near_duplicates(lab, crops=crops)
    table = lab.embeddings.photos.table
    group = groups(pairs, len(table))
    paths, categories = table["path"].to_numpy(), table["category"].to_numpy()
    members = [np.flatnonzero(group == g) for g in range(group.max() + 1)]
    across = pairs[categories[pairs["a"]] != categories[pairs["b"]]]
    between = zip(categories[across["a"]], categories[across["b"]], strict=True)
    counts = Counter(between).most_common(20)
    folder = lab.folder("results/duplicates")
    wrote = [folder / "groups.csv", folder / "pairs_by_path.csv"]
    order = sorted(np.flatnonzero(group >= 0).tolist(), key=lambda row: (group[row], paths[row]))
    write_csv(wrote[0], table[["path", "category"]].assign(group=group).iloc[order], index=False)
    by_path = {side: table["path"].iloc[pairs[side]].set_axis(pairs.index) for side in "ab"}
    write_csv(wrote[1], pairs.assign(**by_path), index=False)
    kinds = {str(kind): int(n) for kind, n in pairs["kind"].value_counts().items()}
    data = {
        "n_photos": len(table),
        "n_groups": len(members),
        "n_in_groups": int((group >= 0).sum()),
        "n_pairs": kinds,
        "across_categories": [{"a": a, "b": b, "n_pairs": int(n)} for (a, b), n in counts],
        "groups": [paths[rows].tolist() for rows in members],
    }
    kinds_told = ", ".join(f"{n:,} {kind}" for kind, n in kinds.items()) or "none"
    lines = [
        f"{data['n_in_groups']:,} of {len(table):,} photos have a near-duplicate, in "
        f"{len(members):,} group{'s'[: len(members) != 1]}; pairs: {kinds_told}."
    ]
    lines += [f"{a} and {b}: {n:,} pairs" for (a, b), n in counts]
    for number, rows in enumerate(members[:top], start=1):
        lines += [f"group {number}, {len(rows)} photos:", *(f"  {path}" for path in paths[rows])]
    return Result(lines, data, wrote, lab)
