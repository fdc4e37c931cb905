"""`python -m caltech_lab.demo.server` is `python -m voila`, and starts two seconds earlier.

A package that checks international addresses compiles its grammar when it is imported, which takes
half of the start of Voilà. It is an option of jsonschema, for data that the demo does not have.
"""

import runpy
import sys

if __name__ == "__main__":
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]  # as if not installed
    runpy.run_module("voila", run_name="__main__", alter_sys=True)
