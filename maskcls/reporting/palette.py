"""Colours of Okabe and Ito's palette (https://jfly.uni-koeln.de/color), which colour-blind readers can tell apart.

They are apart from `style`, because not everything that draws needs matplotlib.
"""

BLUE, VERMILION = "#0072B2", "#D55E00"
# of the classes, in their order; each is lighter or darker than its neighbours
CLASS_COLOURS = (BLUE, "#E69F00", "#009E73", "#CC79A7", "#56B4E9", VERMILION)
