"""`python -m caltech_lab report51 caltech101` makes the final report of each dataset named."""

import sys

from caltech_lab.errors import LabError
from caltech_lab.lab import open_lab


def main(datasets: list[str]) -> int:
    """Make the final reports.

    Parameters
    ----------
    datasets : list of str
        Names or folders, as `open_lab` takes them; the settings' dataset when empty.

    Returns
    -------
    int
        0 when all were made, 1 when one could not be.
    """
    names: list[str | None] = [*datasets] or [None]
    for dataset in names:
        try:
            lab = open_lab(dataset)
            lab.features()
            lab.report()
        except LabError as error:
            print(error, file=sys.stderr)
            return 1
        print("Report     final_report.json and performance_summary.png\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
