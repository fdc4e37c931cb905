"""The final report, the model and dataset cards, and the recorded figures of the notebooks."""
