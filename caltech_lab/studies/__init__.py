"""Studies: longer computations of the advanced notebooks, the reports and the demo."""
