"""Better vectors: learned projections, re-ranking, and unseen categories."""
