"""Nearest-neighbor search: indexes, galleries, calibration, novelty, relevance feedback."""
