"""K-Means, hierarchical clustering and neighbor smoothing."""
