"""Clusters beyond K-Means and linkage: consensus, graphs, learned heads."""
