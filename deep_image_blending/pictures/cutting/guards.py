"""What segmentation may not do to a mask: lose a part, bite a thin bar off, or tear a hole.

GrabCut shortens contours, so that thin bars go, and it knows colours of the whole picture alone, so that a window
becomes sky. Everything that it took off is looked at again: it stays off only where it looks like the background
beside it and hangs together with the outside, or is a hole for which colour, position and size speak.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from deep_image_blending.pictures.cutting.evidence import (
    Evidence,
    as_areas,
    background_evidence,
    grown_background,
    lab_of,
)
from deep_image_blending.pictures.cutting.grabcut import (
    BACKGROUND,
    PERHAPS_OBJECT,
    Segmentation,
    colour_segmentation,
    surroundings,
)
from deep_image_blending.pictures.cutting.regions import (
    EIGHT,
    Bool,
    Float,
    grown,
    pieces_of,
    share_of_pieces,
    shrunk,
)

# The object's colours run into the background's over so many pixels; what lies there is no part of its own.
_MIXED = 2.0
# The least pixels of a part that hangs at the object, and the least share of a component of one that doesn't; so
# many of them are strikingly foreign, so many times what counts as a difference.
_PART, _APART, _STRIKING, _FOREIGN = 6, 0.02, 4, 1.7
# A hole has at least so many pixels, so much of it looks like background, and it is no further from the outside
# than so many pixels or this share of the component's longer side.
_HOLE, _HOLE_LIKE, _HOLE_AWAY, _HOLE_DEPTH = 20, 0.8, 30, 0.25
# A gap narrower than twice this is no way in.
_GAP = 2.5
# GrabCut's own likelihood must agree about a hole.
_HOLE_LIKELIHOOD = -1.0
# A component of which GrabCut leaves less than this is lost; one that looks like background but for this is none.
_LOST, _NOTHING = 0.03, 0.01


@dataclass(frozen=True)
class Guarded:
    """inside: (H, W) bool, what is the object. evidence: of what was taken off or nearly so. likelihood (H, W):
    GrabCut's own, as in `Segmentation`.

    parts, holes_shut, holes_open, components_kept: how many parts and components were given back, how many holes
    were closed again, how many stay open. dropped: components that are nearly all background.
    given_back: the pixels given back over the object's.
    """

    inside: Bool
    evidence: Evidence
    likelihood: Float
    parts: int
    holes_shut: int
    holes_open: int
    components_kept: int
    dropped: int
    given_back: float


def guarded(picture: npt.NDArray[np.uint8], loose: Bool, found: Segmentation) -> Guarded:
    """Look again at all that a segmentation took off the loose mask. All (H, W), picture (H, W, 3)."""
    found, kept, dropped = _no_component_lost(picture, loose, found)
    inside = found.inside & loose
    removed = loose & ~inside
    evidence = grown_background(lab_of(picture), ~loose, removed)
    # Pixels beside the object have some of its colour, and are no part of the area behind them.
    distance = as_areas(evidence, removed & ~grown(inside, _MIXED)).distance
    rim = _rim(loose, removed)
    like = (distance < 1) & removed
    back, parts = _parts(loose, inside, rim & ~like, distance)
    shut, holes_open, holes_shut = _holes(loose, inside, removed & ~rim, like, found.evidence)
    whole = inside | _joined(inside, back) | shut
    # No way leads any more to what parts given back enclose, and no hole was seen there.
    whole |= rim & enclosed(whole, loose)
    share = float((whole & ~inside).sum()) / max(int(inside.sum()), 1)
    return Guarded(whole, evidence, found.evidence, parts, holes_shut, holes_open, kept, dropped, share)


def _no_component_lost(
    picture: npt.NDArray[np.uint8], loose: Bool, found: Segmentation
) -> tuple[Segmentation, int, int]:
    """Cut out a lost component again by its own colours; if it is lost again it stays as it was given.

    Returns the segmentation, how many components were saved, and how many are nothing but background.
    """
    numbers, count = pieces_of(loose)
    shares = share_of_pieces(numbers, count, found.inside)
    inside, likelihood = found.inside.copy(), found.evidence.copy()
    kept = dropped = 0
    for number in range(1, count + 1):
        if shares[number] >= _LOST:
            continue
        own = numbers == number
        box = surroundings(own)
        hints = np.where(own[box], PERHAPS_OBJECT, BACKGROUND).astype(np.uint8)
        again = colour_segmentation(picture[box], hints)
        evidence = background_evidence(lab_of(picture[box]), ~loose[box], own[box])
        foreign = own[box] & (evidence.distance >= 1)
        if foreign.sum() < _NOTHING * own.sum():
            inside[own] = False
            dropped += 1
            continue
        kept += 1
        taken = again.inside & own[box]
        if taken.sum() < max(_LOST * own.sum(), 0.5 * foreign.sum()):
            taken = own[box]
        inside[box] = np.where(own[box], taken, inside[box])
        likelihood[box] = np.where(own[box], again.evidence, likelihood[box])
    return Segmentation(inside, likelihood), kept, dropped


def _rim(loose: Bool, removed: Bool) -> Bool:
    """What was removed and hangs together with the outside by more than a narrow gap."""
    ground = shrunk(removed | ~loose, _GAP)
    reached = np.asarray(ndimage.binary_propagation(ground & ~loose, EIGHT, mask=ground))
    return removed & grown(reached, _GAP + 1)


def enclosed(whole: Bool, loose: Bool) -> Bool:
    """What the object cuts off from all that is outside the mask."""
    reached = np.asarray(ndimage.binary_propagation(~loose, EIGHT, mask=~whole))
    return ~whole & ~reached


def _parts(loose: Bool, inside: Bool, foreign: Bool, distance: Float) -> tuple[Bool, int]:
    """The foreign pixels that are parts of the object: those that hang at it, and large ones that don't."""
    clear = foreign & ~grown(inside, _MIXED)
    numbers, count = pieces_of(clear)
    if not count:
        return np.zeros(loose.shape, np.bool_), 0
    sizes = np.bincount(numbers.ravel(), minlength=count + 1)
    # A part hangs at the object by foreign pixels of its own.
    beside = share_of_pieces(numbers, count, grown(inside, _MIXED + 1.5)) > 0
    components, parts = pieces_of(loose)
    areas = np.bincount(components.ravel(), minlength=parts + 1)
    large = np.zeros(count + 1, np.int64)
    large[numbers[clear]] = areas[components[clear]]
    striking = np.bincount(numbers[clear & (distance >= _FOREIGN)], minlength=count + 1)
    takes = ((sizes >= _PART) & beside) | (sizes >= np.maximum(_APART * large, 4 * _PART))
    takes &= striking >= _STRIKING
    takes[0] = False
    taken = takes[numbers]
    return (grown(taken, _MIXED) & foreign) | taken, int(takes.sum())


def _joined(inside: Bool, back: Bool) -> Bool:
    """What was given back without the crumbs: small pieces that do not touch the object."""
    numbers, count = pieces_of(inside | back)
    sizes = np.bincount(numbers.ravel(), minlength=count + 1)
    keeps = (share_of_pieces(numbers, count, inside) > 0) | (sizes >= 4 * _PART)
    keeps[0] = False
    return back & keeps[numbers]


def _holes(loose: Bool, inside: Bool, enclosed: Bool, like: Bool, likelihood: Float) -> tuple[Bool, int, int]:
    """The enclosed pieces that are to be closed again; how many stay open, and how many of some size do not."""
    numbers, count = pieces_of(enclosed)
    if not count:
        return np.zeros(loose.shape, np.bool_), 0, 0
    sizes = np.bincount(numbers.ravel(), minlength=count + 1)
    # Pixels at the object have some of its colour, and in a gap they are many.
    clear = np.where(grown(inside, 1.0), 0, numbers).astype(np.int32)
    has_clear = np.bincount(clear.ravel(), minlength=count + 1) > 0
    alike = np.where(has_clear, share_of_pieces(clear, count, like), share_of_pieces(numbers, count, like))
    speaks = share_of_pieces(numbers, count, likelihood)
    depth = np.asarray(ndimage.distance_transform_edt(loose), np.float32)
    nearest = ndimage.minimum(depth, numbers, np.arange(count + 1))
    components, parts = pieces_of(loose)
    reach = np.zeros(parts + 1)
    for number, box in enumerate(ndimage.find_objects(components, parts), 1):
        reach[number] = max(_HOLE_AWAY, _HOLE_DEPTH * max(part.stop - part.start for part in box))
    allowed = np.zeros(count + 1)
    allowed[numbers[enclosed]] = reach[components[enclosed]]
    corner = share_of_pieces(numbers, count, grown(loose & ~inside & ~enclosed, 1)) > 0
    large = (sizes >= _HOLE) | corner
    opens = (alike >= _HOLE_LIKE) & (speaks < _HOLE_LIKELIHOOD) & (nearest <= allowed) & large
    opens[0] = False
    shuts = ~opens
    shuts[0] = False
    return shuts[numbers], int(opens.sum()), int((shuts & (sizes >= _HOLE)).sum())
