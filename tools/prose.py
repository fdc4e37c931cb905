"""Checks the prose of the notebooks: words, numbers that no output supports, and durations.

`python -m tools.prose [03 04]` prints one line per fault, and fails if there are any.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat

from caltech_lab.settings import settings
from tools.series import notebooks

# Home-made words with the field's term, and British spellings.
WORDS = {
    r"strangers?": "query, unfamiliar photo",
    r"(near|dear)[- ]cop(y|ies)": "near-duplicate",
    r"(holds?|leaves? out) zero": "includes zero, excludes zero",
    r"drawers?": "catch-all cluster",
    r"exams?": "test set",
    r"who pays": "per-class performance",
    r"(photos?|machines?|networks?) (that )?(asks?|asked)": "query",
    r"relatives": "photos of the same category",
    r"(numbers|photos|vectors|bytes|seconds|milliseconds) an? (photo|second|query|row|minute)":
        "per",
    r"colou?rles+": "without color, gray",
    r"\w*(colour|grey|neighbour|centre|favour|behaviour|artefact)\w*": "American spelling",
    r"\w+(ogn|rmal|al|im|ar|or)is(e|es|ed|ing|ation)\b(?<!raise)(?<!raised)(?<!raising)":
        "American spelling: -ize",
    r"(analyse|analysed|labelled|modelled|modelling|labelling)": "American spelling",
}  # fmt: skip
FALSE_FRIENDS = re.compile(
    r"(other|like|pre|prom|comprom|surpr|exerc|prec|conc|adv|rev|superv|improv|no|ra|ar|disgu|"
    r"minim|real|vis)(is|wis)(e|es|ed|ing|ation)",
    re.IGNORECASE,
)
NUMBER = re.compile(r"(?<![\w.,/\-–])[−-]?\d[\d,]*(?:\.\d+)?(?![\w])(?:\s?(%|percent))?")
DURATION = re.compile(r"about (\w+) (seconds?|minutes?) on", re.IGNORECASE)
# Not measured here: code, formulas, links, citations with their years, headings and lists.
LEFT_OUT = re.compile(
    r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$\n]*\$|\]\([^)]*\)|https?://\S+|\b(19|20)\d\d\b|"
    r"arXiv:\S+|^#+ [^\n]*$|^\*\*\d+[.:].*?\*\*|^\d+\. |[Nn]otebooks? [\d, and]+|"
    r"<svg.*?</svg>|<[^>]+>|\*\*Further reading\.\*\*.*",
    re.DOTALL | re.MULTILINE,
)
# Given or worked out by hand, and not measured: 80 : 20, 1.28 million photos of ImageNet, sizes of
# the largest category and of the sample, 32 x 32 x 3 pixels, 7 x 7 regions, 1 - 0.05 / 3 ...
GIVEN = {14, 1.28, 1.6, 1.8, 32, 49, 0.204, 80, 98.3, 336, 800, 1024, 3072}
WRITTEN = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
SMALL = 12  # whole numbers up to this one are counts of things in the text


def faults(path: Path) -> list[str]:
    """Return one sentence per fault in the prose of a notebook."""
    cells = nbformat.read(path, as_version=4).cells
    known = GIVEN.union(*(_measured(cell) for cell in cells))
    found = []
    for number, cell in enumerate(cells):
        if cell.cell_type != "markdown":
            continue
        text = LEFT_OUT.sub(" ", cell.source)
        found += [f"[{number}] “{word}”: {better}" for word, better in _words(text)]
        found += [f"[{number}] {shown} is in no output" for shown in _unsupported(text, known)]
    return found


def _words(text: str) -> Iterator[tuple[str, str]]:
    """Yield each home-made or British word with what to write instead."""
    for pattern, better in WORDS.items():
        for match in re.finditer(rf"\b{pattern}\b", text, re.IGNORECASE):
            if not FALSE_FRIENDS.search(match[0]):
                yield match[0], better


def _measured(cell: nbformat.NotebookNode) -> Iterator[float]:
    """Yield the numbers in the outputs of a code cell and in its source."""
    if cell.cell_type != "code":
        return
    texts = [cell.source]
    for output in cell.outputs:
        data = output.get("data", {})
        texts += [output.get("text", ""), data.get("text/plain", ""), data.get("text/html", "")]
    for text in texts:
        plain = re.sub(r"<style.*?</style>|<[^>]+>", " ", text, flags=re.DOTALL)
        for number in re.findall(r"\d[\d,]*\.?\d*(?:e-?\d+)?", plain):
            try:
                yield float(number.replace(",", "").rstrip("."))
            except ValueError:
                continue


def _unsupported(text: str, known: set[float]) -> Iterator[str]:
    """Yield the numbers of a text that are the rounded value of no measured number."""
    for match in NUMBER.finditer(text):
        digits = match[0].lstrip("−-").split("%")[0].split("percent")[0].strip()
        value = float(digits.replace(",", ""))
        decimals = len(digits.partition(".")[2])
        if not decimals and value <= SMALL and not match[1]:
            continue
        scales = (1, 100) if match[1] else (1,)
        half = 0.5 * 10.0**-decimals * 1.0001
        if not any(abs(scale * other - value) <= half for other in known for scale in scales):
            yield match[0].strip()


def _durations(path: Path) -> list[str]:
    """Return a fault if the opening of a notebook and the README differ in its duration."""
    opening = nbformat.read(path, as_version=4).cells[0].source
    row = re.search(
        rf"\[{path.stem}\].*\| (\d+) \|", (settings().home / "README.md").read_text("utf-8")
    )
    told = DURATION.search(opening)
    if row is None or told is None:
        return [f"[0] the opening or the README does not say how long {path.stem} takes"]
    word = told[1].lower()
    amount = 1 if word == "a" else WRITTEN.index(word) if word in WRITTEN else int(word)
    minutes = 1 if told[2].startswith("second") else amount
    wrong = f"[0] {told[0]}, but the README says {row[1]} min"
    return [] if minutes == int(row[1]) else [wrong]


def main() -> int:
    """Print the faults of the notebooks with these prefixes, or of all that are checked."""
    prefixes = tuple(sys.argv[1:]) or ("",)
    chosen = [path for path in notebooks() if path.name.startswith(prefixes)]
    found = [f"{path.name} {fault}" for path in chosen for fault in faults(path) + _durations(path)]
    print("\n".join(found) or f"The prose of {len(chosen)} notebooks has no faults.")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
