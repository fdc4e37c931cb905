"""Drop-in replacements: the results of the libraries' own functions, in less time.

Each module names what it replaces and the test that compares the two; benchmarks/README.md says
how much faster it is. Whoever imports the library's function in its place gets the same results,
later.
"""
