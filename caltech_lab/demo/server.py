"""`python -m caltech_lab.demo.server` is `python -m voila`, started two seconds earlier."""

import runpy
import sys


def main() -> None:
    """Run Voilà with the arguments of this process."""
    # jsonschema checks international addresses by a package that compiles its grammar when it is
    # imported, for two seconds. It does without the package, and the demo has no such addresses.
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
    runpy.run_module("voila", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
