"""Clustering beyond K-Means and linkage: consensus, graphs, deep clustering heads."""
