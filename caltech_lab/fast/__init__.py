"""A few algorithms of the libraries, computed faster; the rooms above build on them.

Each module names the function in whose place it stands, and where the two are compared. The results
of K-Means starts, linkage, silhouette, PCA and SVM are those of the library up to rounding, and
tests compare them. t-SNE is the exception: its map is a different one of about the same quality,
which a benchmark compares. benchmarks/README.md lists the speedups.
"""
