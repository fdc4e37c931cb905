"""Better vectors: fused views, learned projections, and their evaluation."""
