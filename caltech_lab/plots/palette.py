"""The colors of figures and widgets, safe for color-blind readers."""

# The palette of Okabe and Ito, in the order in which it is used.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#000000")
SEQUENTIAL = "viridis"
