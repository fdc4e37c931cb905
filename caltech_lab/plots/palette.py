"""The colors and markers of figures and widgets, safe for color-blind readers.

Apart from `style`, whose seaborn takes seconds to import: the demo needs no more than the colors.
"""

# The palette of Okabe and Ito, in the order in which it is used, with gray instead of its yellow,
# which is hard to see on white.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#8C8C8C", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # so that no figure depends on color alone
