"""Nearest-neighbor search: indexes, vector stores, calibration, novelty, relevance feedback."""
