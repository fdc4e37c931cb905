"""Better clusters, for `report.beyond`: linkage of smoothed and whitened vectors."""
