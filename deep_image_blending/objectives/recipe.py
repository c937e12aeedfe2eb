"""The numbers of painting, all in one place: what was found by trials and by looking, and nothing else.

Lengths are in pixels of the resolution that is painted, colours of CIELAB in delta E, cosines in -1..1.
"""

from __future__ import annotations

from collections.abc import Mapping

ROUNDS = (((0.9, 14), (0.6, 14)), ((0.5, 12), (0.4, 12)), ((0.5, 8), (0.3, 10)))
"""By resolution, coarse to fine, and round: the wanted picture's share in what is matched, and evaluations."""
FINEST = {"dots": ((0.5, 10), (0.3, 12))}
"""The finest resolution's rounds by kind of painting, where they are others: dots take longer to appear."""
LEAST_SIDE = 32
"""The longer side of the smallest object that is painted at one resolution more."""
MOST_STUDIED = 800_000
"""Pixels of the painting around the object that it is painted from, where the object itself is smaller."""
LEAST_STUDIED = 32
"""Pixels of painting on each side of the object that are looked at, however large it is."""
MOST_PAINTED = 1_500_000
"""Pixels of the object's box that are painted one by one; a larger object is painted at half its size or less."""

GRID = 4
"""Pixels from one matched position to the next."""
MARGIN = 12
"""Pixels of unchanged painting around the object whose features are evaluated with it."""
FRAME = 16
"""Pixels that a picture is reflected by at its border: the network's own padding is no painting."""

# Matching.
MOST_CANDIDATES = 16_000
AXES = 24
"""Principal axes of the features that are compared."""
COLOUR = 1.5
"""Weight of low-pass colour beside them."""
GAIN = (1.0, 1.6)
"""How far the object's features are stretched to spread as the painting's."""
MEAN = 0.8
"""Share of the way on which the mean of the object's features goes to the painting's."""
POPULARITY = 0.35
"""How much a candidate loses that is near to everything."""
AGREEMENT, REPETITION = 0.03, 0.03
"""What a match gains by each neighbour that implies it, and loses by each that repeats it (of a cosine)."""
REUSE, MOST_REUSED = 0.02, 15
"""What it loses by each further position that copies the same place, wherever it is, and how many count."""
OTHER_TONE = 1.5
"""What it loses where the lightness around it differs from the wanted by `LEGIBLE`; it goes with the square."""
BREADTH = {"broad": 2.0}
"""How much broader than usual strokes are, by kind: larger pieces follow the object's colour less."""
SEED, SWEEPS = 2, 4
"""Side of the blocks that matching begins with, and how often every position chooses anew."""
RARE = 0.06
"""Share of the painting whose colours are the rarest: nothing is copied from there."""

# Losses.
SURROUNDINGS = 0.5
"""Share of the painting around the object in the statistics aimed at; the matched positions have the rest.

Less by as much as the object has to stay lighter or darker than the painting to be seen."""
SILHOUETTE, SILHOUETTE_REACH = 10.0, 8
"""How much more an edge of the object counts in form and tone, half of it at the very edge, and pixels inwards."""
FORM_SCALES = (2, 4, 8)
STANDS_OUT = 3.0
"""A contour counts half where its squared gradient is this many times the painting's."""
TONE_SCALE = 10
"""Pixels at full resolution over which tone is averaged before it is compared."""
TONE_FREEDOM = 0.8
"""Share of the contrast of the painting's strokes by which tone may stray; less where it counts more."""
FIRMNESS, LEAST_STRENGTH = -4, 0.5
"""The power of strength that tone's weight goes with, and the strength below which it grows no further."""

# The wanted palette.
LEGIBLE = 25.0
"""A difference of lightness at the object's edge that the eye takes for an edge at a glance."""
KEPT_EDGE = 0.65
"""Share of the object's own difference there that is kept, up to `LEGIBLE`."""
VISIBLE, LOST_EDGE = 10.0, 0.4
"""A difference that is seen still, and the share of the edge that may fall below it at strength 1."""
REGAINED, REGAINED_REACH, REGAINED_TONES = 14.0, 0.08, 8
"""The difference that such an edge gets back, how far inwards (over the object's size), and levels kept apart."""
LIGHTNESS = (0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
"""Shares of the way on which lightness goes to the painting's; the first that keeps the edge is taken."""
STEEPEST = 0.7
"""How much the map of lightness may steepen or flatten: noise would show."""
SPREAD = 6.0
"""Lightness by which colours of the painting may differ and be drawn for one another."""
NEAREST_HUE = 0.5
"""Share of the way on which colours go to the painting's nearest hue, not to its commonest, at strength 1."""
HUE_SPREAD, RICHER, COLOURED = 0.2, 1.4, 15.0
"""How far hues may differ and be near (chroma over 10 more), what chroma may gain, and the chroma of a colour."""
LEAST_CHROMA = 4.0
"""Chroma that is kept in a hue that the painting has not."""
SOURCES_RIM = 2.5
"""Pixels inside a hard mask's edge where the source's own background still shows."""
NEAR, FAR = 0.7, 0.15
"""Reach of the surroundings that give the palette, over the object's size, and what the rest of them counts."""

RIM = 1.5
"""Pixels over which a hard mask's contour is painted, and not cut."""

# Kinds of painting.
FLAT, DOTTED, GREY, DIRECTED, BROAD, GRAINY = 0.6, 0.05, 8.0, 0.5, 1.25, 2.0
FACTORS: Mapping[str, Mapping[str, float]] = {
    "strokes": {},
    "broad": {},
    "dots": {"moments": 5 / 3, "covariance": 2.0},
    "soft": {"form": 16 / 13},
    "poster": {"form": 16 / 13, "covariance": 0.5},
    "drawing": {"form": 16 / 13, "covariance": 0.5},
}
"""What the weights of losses are multiplied with, by kind of painting."""
