"""Small and uneven collections, through every command, in this process.

Each command works, or says in one sentence what is missing: defaults shrink to what there is, and
what somebody typed is refused with what is possible.
"""

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from caltech_lab.cli import learning
from tests.cli.test_cli import Done, run

Command = Callable[..., Done]

# Photos per category (a flat folder is one category without a name), and how many are different.
CASES: dict[str, tuple[dict[str, int], int | None]] = {
    "one": ({"": 1}, None),
    "two": ({"": 2}, None),
    "three": ({"": 3}, None),
    "five": ({"": 5}, None),
    "one photo twenty times": ({"": 20}, 1),
    "two photos ten times": ({"": 20}, 2),
    "a photo per category": ({"a": 1, "b": 1}, None),
    "three and two": ({"a": 3, "b": 2}, None),
    "a large category and a lonely one": ({"a": 7, "misc": 1}, None),
    "a lonely category": ({"a": 6, "b": 6, "misc": 1}, None),
    "a category of two": ({"a": 6, "b": 6, "c": 6, "few": 2}, None),
    "copies in two categories": ({"a": 6, "b": 6}, 1),
}
UNLABELED = {case for case, (sizes, _) in CASES.items() if "" in sizes}
TRAINED = {"a lonely category": 2, "a category of two": 3, "copies in two categories": 2}
LINKAGES = [
    ("average", "euclidean"),
    ("average", "cosine"),
    ("complete", "euclidean"),
    ("complete", "cosine"),
    ("single", "euclidean"),
    ("single", "cosine"),
]
# What is only told, and not what a command answers: on standard error too, or a progress bar.
TOLD = re.compile(
    r"^(Photos|Backbone|Outputs|Seed) |it/s\]|%\||photos extracted|no embeddings|left out:|s/it\]"
)


def collection(root: Path, sizes: dict[str, int], different: int | None) -> Path:
    number = 0
    for category, size in sizes.items():
        (root / category).mkdir(parents=True, exist_ok=True)
        for _ in range(size):
            seed = number % different if different else number
            pixels = np.random.default_rng(seed).integers(0, 255, (12, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / category / f"p{number:02d}.png")
            number += 1
    return root


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def command(case: str, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Give a way to run a command on the collection, where a warning is an error."""
    place = tmp_path_factory.mktemp("small")
    root = collection(place / "photos", *CASES[case])

    def command(*words: object) -> Done:
        known = [next(root.rglob("*.png")) if word == "PHOTO" else word for word in words]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            # BLAS may compute with what lies behind a small array, and throw it away.
            warnings.filterwarnings("ignore", "invalid value encountered in matmul")
            return run(
                *known, "--dataset", root, "--backbone", "pixels", "--outputs", place / "out"
            )

    return command


def n_photos(case: str) -> int:
    return sum(CASES[case][0].values())


def most_clusters(case: str) -> int:
    """Return how many clusters there can be; with fewer than two, none."""
    n, different = n_photos(case), CASES[case][1]
    return min(n - 1, different or n)


def refusal(done: Done) -> str:
    """Return the one sentence that a command failed with."""
    assert done.code == 1
    assert done.out == ""
    said = [line for line in done.err.splitlines() if line.strip() and not TOLD.search(line)]
    assert len(said) == 1, done.err
    assert said[0].endswith(".")
    return said[0]


def result(done: Done) -> Any:
    assert done.code == 0, done.err
    return done.json["result"]


def test_photos_are_embedded_checked_indexed_and_exported(case: str, command: Command) -> None:
    n = n_photos(case)
    assert result(command("extract", "--json"))["n_embeddings"] == n
    assert result(command("verify", "--json"))["n_photos"] == n
    assert result(command("index", "--json"))["n_photos"] == n
    for kind in ("parquet", "npy", "projector")[: 3 if n < 3 else 2]:
        assert result(command("export", "--format", kind, "--json"))["n_embeddings"] == n
    done = command("export", "--format", "projector", "--components", 3)
    if n < 3:
        assert refusal(done) == (
            f"3 components are too many: {n} embeddings of 3,072 dimensions have {n}."
        )
    else:
        assert done.code == 0


def test_copies_and_only_copies_are_duplicates(case: str, command: Command) -> None:
    found = result(command("duplicates", "--json"))
    assert found["n_groups"] == (CASES[case][1] or 0)
    assert found["n_in_groups"] == (n_photos(case) if CASES[case][1] else 0)


@pytest.mark.parametrize("method", ["kmeans", "hierarchical", "smoothed"])
def test_there_are_as_many_clusters_as_the_photos_allow(
    case: str, command: Command, method: str
) -> None:
    n, most = n_photos(case), most_clusters(case)
    done, typed = command("cluster", method, "--json"), command("cluster", method, "-k", 100)
    if n < 3:
        sentence = f"Clustering needs at least 3 photos, but this dataset has {n}."
        assert refusal(typed) == sentence
        assert done.json["error"] == sentence
        return
    if different := CASES[case][1]:
        s, are = ("", "is") if different == 1 else ("s", "are")
        few = (
            f"here {are} only {different} different photo{s} among these {n}, so at most "
            f"{different} cluster{s}."
        )
        assert refusal(typed) == f"-k 100 is too large: t{few}"
    else:
        assert refusal(typed) == (
            f"-k 100 is too large: this dataset has {n} photos, so at most {most} clusters."
        )
    if most < 2:
        assert done.json["error"] == f"T{few}"
        return
    value = result(done)
    assert value["k"] == len(value["clusters"]) == most
    shares = [row["share"] for row in value["clusters"]]
    assert all((share is None) == (case in UNLABELED) for share in shares)
    assert ("nmi" in value["scores"]) == (case not in UNLABELED)


@pytest.mark.parametrize("case", ["five", "two photos ten times"], indirect=True)
def test_every_linkage_gives_no_more_clusters_than_different_photos(
    case: str, command: Command
) -> None:
    for linkage, metric in LINKAGES:
        words = ("cluster", "hierarchical", "--linkage", linkage, "--metric", metric, "--json")
        value = result(command(*words))
        assert len(value["clusters"]) == most_clusters(case)


@pytest.mark.parametrize("case", ["two photos ten times"], indirect=True)
def test_a_sample_of_one_cluster_is_not_scored(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "SCORED", 1)
    done = command("cluster")
    assert done.code == 0
    assert "The clusters are too small to be scored." in done.out


@pytest.mark.parametrize("classifier", ["svm", "random-forest"])
def test_both_classifiers_take_the_same_categories(
    case: str, command: Command, classifier: str
) -> None:
    train = command("train", classifier)
    if case in UNLABELED:
        assert "Training a classifier needs categories" in refusal(train)
        assert "needs categories" in refusal(command("predict", "PHOTO"))
        return
    if case not in TRAINED:
        large = sum(size >= 5 for size in CASES[case][0].values())
        for done in (train, command("predict", "PHOTO", "--classifier", classifier)):
            assert refusal(done) == (
                "A classifier needs at least two categories of 5 photos or more, and this dataset "
                f"has {large}: add photos (clustering and retrieval work without)."
            )
        return
    assert train.code == 0, train.err
    assert f"{classifier} of {TRAINED[case]} categories" in train.out
    told = {
        "a lonely category": "`misc` has 1 photo and is left out",
        "a category of two": "`few` has 2 photos and is left out",
    }.get(case)
    if told:
        sentence = f"{told}: a classifier needs 5 photos per category."
        assert train.err.splitlines().count(sentence) == 1
    done = command("predict", "PHOTO", "--classifier", classifier, "--top", 2, "--json")
    (answer,) = result(done)["predictions"]
    assert {best["category"] for best in answer["best"]} <= {"a", "b", "c"}
    assert len(answer["best"]) == 2


def test_evaluation_shrinks_to_what_there_is(case: str, command: Command) -> None:
    done, report = command("evaluate"), command("report")
    if case in UNLABELED:
        assert "Evaluation needs categories" in refusal(done)
        assert "The report needs categories" in refusal(report)
        return
    assert "needs at least 52" in refusal(report)
    if case not in TRAINED:
        assert refusal(done).startswith("A classifier needs at least two categories")
        return
    assert done.code == 0, done.err
    assert done.out.count("accuracy") == 2
    assert done.out.count("NMI") == (2 if most_clusters(case) > 1 else 0)
    assert refusal(command("evaluate", "-k", 100)).startswith("-k 100 is too large")
