"""Writes the tables of `README.md` from what the benchmarks left in `results/`."""

from pathlib import Path
from typing import Any

from common import RESULTS

from caltech_lab.storage.files import read_json, write_atomically

PAGE = Path(__file__).parent / "README.md"
START, END = "<!-- measured: {} -->", "<!-- end -->"


def peers(rows: dict[str, dict[str, float]]) -> str:
    """Make a table of peers in alternation."""
    lines = ["| | median, s | min | max | speedup |", "|---|---:|---:|---:|---:|"]
    lines += [
        f"| {name} | {row['median_s']:.3g} | {row['least_s']:.3g} | {row['most_s']:.3g} "
        f"| {row['times_as_fast']:.2f} |"
        for name, row in rows.items()
    ]
    return "\n".join(lines)


def machine(found: dict[str, Any]) -> str:
    """Say in a line what was measured on."""
    sets = ", ".join(found["instruction_sets"])
    return (
        f"{found['processor']}, {found['cores']} cores, {sets}; Python {found['python']}; load "
        f"average before the run {found['load_before']}."
    )


def extraction(found: dict[str, Any]) -> str:
    """Tables of `extraction.py`."""
    limits = found["peak_gflops"]
    engines = "\n".join(
        f"| {name} | {row['photos_per_s']:.0f} | {row['start_s']:.1f} "
        f"| {row['photos_per_s'] * found['gflop_per_photo']:,.0f} "
        f"| {row['photos_per_s'] * found['gflop_per_photo'] / limits[precision]:.0%} "
        f"| {row['cosine_mean']:.5f} | {row['cosine_least']:.5f} |"
        for name, row in found["engines"].items()
        for precision in ("bf16" if "bfloat16" in name else "f32",)
    )
    peaks = ", ".join(f"{mb:,.0f} MB for {int(n):,}" for n, mb in found["peak_megabytes"].items())
    shares = ", ".join(f"{share:.0%} ({name})" for name, share in found["share_of_forward"].items())
    return "\n\n".join(
        [
            f"All {found['n_photos']:,} photos, {found['engine']}, one run each:",
            peers(found["all"]),
            f"Share of the forward pass's throughput: {shares}. Cosine similarity to the plain "
            f"loop's embeddings: mean {found['cosine_mean']:.5f}, minimum "
            f"{found['cosine_least']:.5f}.",
            "512 photos, in alternation:",
            peers(found["alternated"]),
            "AVX2 only, float32, 256 photos, three runs each:",
            peers(found["avx2"]),
            "The network alone:",
            "| engine | photos per second | startup, s | GFLOP/s | share of matrix-product rate "
            "| cosine, mean | min |\n|---|---:|---:|---:|---:|---:|---:|\n" + engines,
            f"**Roofline.** A photo takes {found['gflop_per_photo']} GFLOP. In matrix products "
            f"(the best of 512, 1,024 and 2,048 rows and columns), the cores reach "
            f"{limits['f32']:,.0f} GFLOP/s in float32 and {limits['bf16']:,.0f} in bfloat16, "
            f"which would be {limits['f32'] / found['gflop_per_photo']:.0f} and "
            f"{limits['bf16'] / found['gflop_per_photo']:.0f} photos per second. A convolution "
            "can exceed this rate, because it uses each weight at many positions.",
            f"Peak memory by number of photos: {peaks}.",
        ]
    )


def svm(found: dict[str, Any]) -> str:
    """Table of `svm.py`."""
    accuracies = ", ".join(f"{row['accuracy']:.4f} ({name})" for name, row in found["rows"].items())
    return "\n\n".join(
        [
            f"{found['n_train']:,} training photos of `report51`, {found['points']} grid points, "
            "three folds, one run each:",
            peers(found["rows"]),
            f"Held-out accuracy: {accuracies}.",
        ]
    )


def clustering(found: dict[str, Any]) -> str:
    """Tables of `clustering.py`."""
    one, several = found["silhouette"]["one"], found["silhouette"]["several"]
    return "\n\n".join(
        [
            f"{found['n']:,} photos.",
            f"Silhouette of one clustering (the two means differ by {one['off']:.0e}):",
            peers(one["rows"]),
            f"Silhouettes of {several['clusterings']} clusterings of the same photos:",
            peers(several["rows"]),
            f"K-Means for five values of k, with silhouettes (inertia "
            f"{found['kmeans']['inertia_over_plain']:.4f} times scikit-learn's):",
            peers(found["kmeans"]["rows"]),
            f"K-Means, k = {found['ten_starts']['k']}, the best of ten starts (adjusted Rand index "
            f"between the two clusterings {found['ten_starts']['agreement']:.4f}):",
            peers(found["ten_starts"]["rows"]),
            f"Ward's linkage (adjusted Rand index between the clusterings "
            f"{found['ward']['agreement']:.4f}):",
            peers(found["ward"]["rows"]),
        ]
    )


def tsne(found: dict[str, Any]) -> str:
    """Table of `tsne.py`."""
    quality = "; ".join(
        f"{name} {row['divergence']:.4f} and {row['trustworthiness']:.4f}"
        for name, row in found["rows"].items()
    )
    return (
        f"{found['n']:,} photos on 50 principal components.\n\n{peers(found['rows'])}\n\n"
        f"Kullback-Leibler divergence and trustworthiness: {quality}."
    )


def search(found: dict[str, Any]) -> str:
    """Table of `search.py`."""
    parts = [f"Approximate indexes, vectors of {found['dimensions']} dimensions:"]
    lines = [
        "| vectors | index | recall@10 | ms per query | build, s | bytes per vector |",
        "|---:|---|---:|---:|---:|---:|",
    ]
    for n, rows in found["approximate"].items():
        lines += [
            f"| {int(n):,} | {name} | {row['recall']:.4f} | {row['query_ms']:.2f} "
            f"| {row['build_s']:.1f} | {row['bytes_per_vector']:.0f} |"
            for name, row in rows.items()
        ]
    return "\n\n".join([*parts, "\n".join(lines)])


def passes(found: dict[str, Any]) -> str:
    """Table of `passes.py`."""
    datasets = ("all", "report51")
    lines = [
        "| passes | views | pooling | `all`, micro | macro | `report51`, micro | macro |",
        "|---:|---|---|---:|---:|---:|---:|",
    ]
    for row in sorted(found["sets"].values(), key=lambda row: row["passes"]):
        figures = " | ".join(f"{row[name][kind]:.4f}" for name in datasets
                             for kind in ("micro", "macro"))  # fmt: skip
        lines.append(
            f"| {row['passes']} | {', '.join(row['views'])} | {', '.join(row['parts'])} "
            f"| {figures} |"
        )
    return "\n".join(lines)


def query(found: dict[str, Any]) -> str:
    """Tables of `query.py`."""
    return "\n\n".join(
        [
            f"{found['n_photos']} photos, one at a time, {found['engine']}; cosine similarity to "
            f"the stored embedding: median {found['cosine_median']:.6f}, minimum "
            f"{found['cosine_least']:.6f}.",
            peers(found["plain"]),
            f"The {len(found['passes'])} passes of the learned vectors "
            f"({', '.join(found['passes'])}):",
            peers(found["learned"]),
        ]
    )


def main() -> None:
    """Put each table between its marks."""
    page = PAGE.read_text(encoding="utf-8")
    for make in (extraction, query, svm, clustering, tsne, search, passes):
        path = RESULTS / f"{make.__name__}.json"
        start = START.format(make.__name__)
        if not path.is_file() or start not in page:
            continue
        found = read_json(path)
        before, _, rest = page.partition(start)
        after = rest.partition(END)[2]
        on = f"{machine(found['machine'])}\n\n" if "machine" in found else ""
        page = f"{before}{start}\n{on}{make(found)}\n\n{END}{after}"
    with write_atomically(PAGE) as temporary:
        temporary.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
