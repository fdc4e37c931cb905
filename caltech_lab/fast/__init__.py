"""Faster drop-in replacements for functions of the libraries, with the same results.

Each module names what it replaces and the test that compares the two; benchmarks/README.md lists
the speedups.
"""
