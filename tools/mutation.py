"""Mutation testing: how many small faults in the core the unit tests detect.

    python -m tools.mutation --mutants 150 --seed 0

The mutants are a seeded random sample. Each is one small change that cosmic-ray makes to a module
(a reversed comparison, a number increased by one, a negated condition), in a copy of the checkout;
the module's unit tests run until one fails. The output is the number of detected mutants per
module, their share in total, and the diff of each survivor.
"""

import argparse
import os
import random
import resource
import shlex
import shutil
import sys
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.testing import run_tests
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkResult

ROOT = Path(__file__).parents[1]
# Modules, and the tests that should detect a fault in them.
ROOMS = {
    "caltech_lab/metrics": "tests/metrics",
    "caltech_lab/clustering": "tests/clustering",
    "caltech_lab/classification": "tests/classification",
    "caltech_lab/retrieval/index.py": "tests/retrieval",
    "caltech_lab/retrieval/calibration.py": "tests/retrieval",
    "caltech_lab/retrieval/novelty.py": "tests/retrieval",
    "caltech_lab/retrieval/feedback.py": "tests/retrieval",
    "caltech_lab/embedding/embeddings.py": "tests/embedding/test_embeddings.py",
    "caltech_lab/storage/cache.py": "tests/storage/test_cache.py",
    "caltech_lab/datasets/folder.py": "tests/datasets tests/test_own_photos.py",
}
# `|` occurs in type hints, where a fault is detected as soon as the module is imported.
LEFT_OUT = "ReplaceBinaryOperator_BitOr"
# A mutant may loop forever. It has three times the processor time of the tests and this many
# seconds more; a limit on the time of day would count as detected what a busy machine delays.
SURE_TO_PASS = 20
PATIENCE = 3600.0  # seconds of the time of day, for a mutant that waits without computing


def mutants(n: int, seed: int, rooms: dict[str, str]) -> list[MutationSpec]:
    """Draw a random sample of n mutants, the same for the same seed and code."""
    modules: list[Path] = []
    for place in rooms:
        path = ROOT / place
        modules += sorted(path.glob("*.py")) if path.is_dir() else [path]
    with tempfile.TemporaryDirectory() as folder, use_db(Path(folder) / "all.sqlite") as database:
        db: WorkDB = database
        init([path.relative_to(ROOT) for path in modules], db, {})
        every = [item.mutations[0] for item in db.work_items]
    every = [spec for spec in every if LEFT_OUT not in spec.operator_name]
    every.sort(key=lambda spec: (str(spec.module_path), spec.start_pos, spec.operator_name))
    return random.Random(seed).sample(every, min(n, len(every)))


def copy_checkout(goal: Path) -> None:
    """Copy the code; other files, such as weights, are linked."""

    def copy(source: str, target: str) -> str:
        if source.endswith((".py", ".toml")):
            return str(shutil.copyfile(source, target))
        Path(target).symlink_to(os.path.realpath(source))
        return target

    for name in ("caltech_lab", "tests", "tools"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, goal / name, copy_function=copy, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "Makefile", "constraints.txt", "notebooks"):
        copy(str(ROOT / name), str(goal / name))


def command(tests: str, seconds: int) -> str:
    """Return the command that runs tests until one fails or the processor time is used up."""
    pytest = f"{sys.executable} -m pytest -x -q -p no:cacheprovider -p no:xdist {tests}"
    return f"bash -c {shlex.quote(f'ulimit -t {seconds}; exec {pytest} --timeout=0')}"


def enter(places: Path) -> None:
    """Give a worker its own copy of the checkout, imported instead of the installed package."""
    goal = places / str(os.getpid())
    copy_checkout(goal)
    os.chdir(goal)
    os.environ |= {"PYTHONPATH": str(goal), "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}


def seconds_of(tests: str) -> float:
    """Return the processor time of tests; without a mutant, they must pass."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    outcome, output = run_tests(command(tests, 900), PATIENCE)
    assert outcome == TestOutcome.SURVIVED, output
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def attempt(spec: MutationSpec, tests: str, limit: int) -> WorkResult:
    """Run the tests with one mutant."""
    return mutate_and_test([spec], command(tests, limit), PATIENCE)


def tests_of(spec: MutationSpec, rooms: dict[str, str]) -> str:
    """Return the tests for the module of a mutant."""
    return next(tests for place, tests in rooms.items() if str(spec.module_path).startswith(place))


def main() -> None:
    """Draw mutants, run the tests on each, and print the survivors."""
    parser = argparse.ArgumentParser(description="Mutation testing of the core.")
    parser.add_argument("--mutants", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--only", default="", help="modules whose path contains this")
    options = parser.parse_args()
    rooms = {place: tests for place, tests in ROOMS.items() if options.only in place}
    chosen = mutants(options.mutants, options.seed, rooms)
    drawn, noticed = Counter[str](), Counter[str]()
    with (
        tempfile.TemporaryDirectory() as places,
        ProcessPoolExecutor(options.jobs, initializer=enter, initargs=(Path(places),)) as pool,
    ):
        kinds = sorted({tests_of(spec, rooms) for spec in chosen})
        limits = {
            tests: int(3 * seconds) + SURE_TO_PASS
            for tests, seconds in zip(kinds, pool.map(seconds_of, kinds), strict=True)
        }
        places_of = [tests_of(spec, rooms) for spec in chosen]
        results = pool.map(attempt, chosen, places_of, [limits[tests] for tests in places_of])
        say = partial(print, flush=True)
        for spec, result in zip(chosen, results, strict=True):
            module = str(spec.module_path)
            drawn[module] += 1
            noticed[module] += result.is_killed
            if not result.is_killed:
                lines = [line for line in (result.diff or "").splitlines()
                         if line[:1] in "+-" and line[:3] not in ("+++", "---")]  # fmt: skip
                say(f"\nsurvived  {module}:{spec.start_pos[0]}", *lines, sep="\n    ")
    print()
    for module in sorted(drawn):
        print(f"{noticed[module]:4d} of {drawn[module]:3d}  {module}")
    share = noticed.total() / drawn.total()
    print(f"{noticed.total():4d} of {drawn.total():3d}  noticed: {share:.1%}")


if __name__ == "__main__":
    main()
