"""Chooses the notebooks that this machine can run on Caltech-101 in a given time.

`python -m tools.caltech101 --minutes 15` measures the speed of the network on this machine and
prints the paths of the chosen notebooks. The others are listed on standard error.
"""

import argparse
import sys
from dataclasses import dataclass

from caltech_lab.embedding.backbones import backbone
from caltech_lab.embedding.timing import forward_milliseconds
from caltech_lab.settings import settings


@dataclass(frozen=True)
class Need:
    """Cost of a notebook on Caltech-101, if the notebooks before it have been run.

    Attributes
    ----------
    photos : int
        Number of forward passes, in units of ResNet-50.
    seconds : int
        Approximate time for everything else, on two cores with AVX-512.
    after : str
        Notebook that must run before, because this one uses its embeddings.
    """

    photos: int
    seconds: int
    after: str = ""


NEEDS: dict[str, Need] = {
    "01_dataset": Need(0, 30),
    "02_feature_extraction": Need(9_500, 150),
    "03_kmeans": Need(0, 60, "02_feature_extraction"),
    "04_hierarchical_clustering": Need(0, 180, "02_feature_extraction"),
    "05_svm_and_random_forest": Need(0, 300, "02_feature_extraction"),
    "06_retrieval": Need(0, 70, "02_feature_extraction"),
    "07_evaluation": Need(0, 150, "02_feature_extraction"),
    "08_better_vectors": Need(6_000, 130, "02_feature_extraction"),
    "09_better_clusters": Need(0, 260, "08_better_vectors"),
    "10_per_class_performance": Need(0, 90, "07_evaluation"),
    "11_robustness_and_unfamiliar_photos": Need(5_000, 200, "08_better_vectors"),
    "12_when_it_no_longer_fits": Need(500, 110, "02_feature_extraction"),
    "13_retrieval_demo": Need(200, 60, "02_feature_extraction"),
    "appendix_report": Need(500, 90, "02_feature_extraction"),
    "appendix_weights": Need(200, 30, "02_feature_extraction"),
    "own_photos": Need(100, 25),
}


def plan(milliseconds: float, minutes: float) -> tuple[list[str], list[str]]:
    """Choose notebooks, in order, that together fit into the given time.

    Parameters
    ----------
    milliseconds : float
        Time of a ResNet-50 forward pass per photo.
    minutes : float
        Total time for the chosen notebooks.

    Returns
    -------
    chosen, left_out : list of str
        Names of notebooks.

    Examples
    --------
    >>> plan(1000.0, 0.0)[0]
    []
    """
    chosen: list[str] = []
    left = 60 * minutes
    for name, need in NEEDS.items():
        takes = need.photos * milliseconds / 1000 + need.seconds
        if takes <= left and (not need.after or need.after in chosen):
            chosen.append(name)
            left -= takes
    return chosen, [name for name in NEEDS if name not in chosen]


def main() -> int:
    """Print the plan; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m tools.caltech101", description=__doc__)
    parser.add_argument("--minutes", type=float, default=15)
    options = parser.parse_args()
    milliseconds = forward_milliseconds(backbone("resnet50"), repeats=5)
    chosen, left_out = plan(milliseconds, options.minutes)
    print(
        f"Caltech-101 in {options.minutes:g} minutes, at {milliseconds:.1f} ms per photo: "
        f"{len(chosen)} notebooks; left out: {', '.join(left_out) or 'none'}.",
        file=sys.stderr,
    )
    print(*(settings().home / "notebooks" / f"{name}.ipynb" for name in chosen))
    return 0


if __name__ == "__main__":
    sys.exit(main())
