"""Vectors beyond the plain embedding: projections, reranking, unseen categories."""
