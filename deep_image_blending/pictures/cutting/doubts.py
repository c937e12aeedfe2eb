"""Where a cut-out is worth a stroke: what was taken off although it is foreign, what was kept although it is not.

A contour alone doesn't tell. From a box, GrabCut leaves an orange suit out along edges as clear as any; but the
suit has none of the colours around the box. And what looks like the background beside it may be some.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from deep_image_blending.pictures.cutting.evidence import (
    as_areas,
    background_evidence,
    contour_trust,
    grown_background,
    lab_of,
)
from deep_image_blending.pictures.cutting.grabcut import (
    BACKGROUND,
    PERHAPS_BACKGROUND,
    PERHAPS_OBJECT,
    Hints,
    enlarged_field,
    reduced_hints,
    reduced_picture,
    reduced_share,
    reduction,
)
from deep_image_blending.pictures.cutting.regions import (
    Bool,
    contour_of,
    grown,
    pieces_of,
    share_of_pieces,
    shrunk,
)

Corners = tuple[int, int, int, int]
"""Top, left, bottom, right in pixels, the last two excluded."""

# So many places are named, the largest first.
MOST = 3
# Below this trust a contour is worth a stroke; so long a piece of it, over the whole, is worth saying.
_UNSURE, _WORTH_SAYING = 0.5, 0.03
# An area is worth saying if it has this share of what is in question, in a picture of so many pixels a side.
_AREA, _SIDE = 0.015, 256
# Specks narrower than twice this are none.
_SPECK = 1.5
# The object's colours run into the means so many pixels beside it.
_MIXED = 5.0


def contour_confidence(picture: npt.NDArray[np.uint8], inside: Bool) -> tuple[float, list[Corners]]:
    """The contour's mean trust, 0..1, and the boxes of its unsure pieces, longest first.

    picture (H, W, 3) uint8, inside (H, W) bool.
    """
    edge = contour_of(inside)
    if not edge.any():
        return 0.0, []
    evidence = background_evidence(lab_of(picture), ~inside, inside & grown(edge, 3))
    trust = contour_trust(evidence, inside)
    unsure = grown(edge & (trust < _UNSURE), 1.5) & edge
    return float(trust[edge].mean()), _boxes(unsure, _WORTH_SAYING * float(edge.sum()))


def foreign_parts(picture: npt.NDArray[np.uint8], hints: Hints) -> Bool:
    """(H, W) bool: what may be the object and differs from the background next to it, found at a bounded size.

    picture (H, W, 3) uint8, hints (H, W). Nothing where no background is known.
    """
    factor = reduction(hints, _SIDE)
    small, given = reduced_picture(picture, factor), reduced_hints(hints, factor)
    background, asked = given == BACKGROUND, given != BACKGROUND
    if not background.any():
        return np.zeros(hints.shape, np.bool_)
    distance = background_evidence(lab_of(small), background, asked).distance
    return enlarged_field(asked & (distance >= 1), hints.shape) > 0.5


def doubtful_areas(picture: npt.NDArray[np.uint8], hints: Hints, inside: Bool, decided: Bool) -> list[Corners]:
    """The boxes of areas that the cut-out may have wrong, largest first.

    picture (H, W, 3) uint8; hints and inside (H, W); decided (H, W) bool: strokes, beside which nothing is asked.
    Without any background that is known there is nothing to compare with, and no area.
    """
    factor = reduction(hints, _SIDE)
    small, given = reduced_picture(picture, factor), reduced_hints(hints, factor)
    kept, stroked = reduced_share(inside, factor) > 0.5, reduced_share(decided, factor) > 0
    # Pixels under strokes are asked as well, and tell nothing of others: a stroke answers for the area around it.
    background = (given == BACKGROUND) & ~stroked
    asked = (given == PERHAPS_OBJECT) | (given == PERHAPS_BACKGROUND) | stroked
    if not background.any() or not asked.any():
        return []
    evidence = background_evidence(lab_of(small), background, asked)
    foreign = as_areas(evidence, asked).distance >= 1
    # Next to a dark wood, a sky behind the object is foreign too, until the sky is known from its other end.
    lost = foreign & (grown_background(lab_of(small), ~asked, asked).distance >= 1)
    lost &= grown(lost & ~grown(kept, _MIXED), _MIXED)
    wrong = asked & np.where(kept, ~foreign, lost)
    wrong &= grown(shrunk(wrong, _SPECK), _SPECK)
    numbers, count = pieces_of(wrong)
    answered = share_of_pieces(numbers, count, grown(stroked, 1.5)) > 0
    boxes = _boxes(wrong & ~answered[numbers], _AREA * float(asked.sum()))
    height, width = hints.shape
    return [
        (
            int(top * factor),
            int(left * factor),
            min(int(np.ceil(bottom * factor)), height),
            min(int(np.ceil(right * factor)), width),
        )
        for top, left, bottom, right in boxes
    ]


def _boxes(there: Bool, least: float) -> list[Corners]:
    """The boxes of the region's pieces of at least so many pixels, largest first."""
    numbers, count = pieces_of(there)
    sizes = np.bincount(numbers.ravel(), minlength=count + 1)[1:]
    found = []
    for number in np.argsort(-sizes, kind="stable"):
        if sizes[number] < least:
            break
        rows, columns = np.nonzero(numbers == number + 1)
        found.append((int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1))
    return found
