"""The final report, the cards, and the record of the notebooks' figures."""
