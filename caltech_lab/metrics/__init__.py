"""Scores of rankings, clusterings, categories and probabilities: pure functions of arrays."""
