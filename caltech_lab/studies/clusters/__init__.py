"""Clustering beyond K-Means and linkage, for the final report."""
