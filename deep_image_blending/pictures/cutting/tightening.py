"""A loosely drawn mask, tightened to the object: `--matte auto|off|hard|soft`.

The mask bounds the result: nothing outside it is ever added. `hard` cuts the object out by GrabCut and gives back
what that may not take; `soft` has alpha and the object's own colours in a band around the contour as well. `auto`
does the same where both sides of the new contour differ clearly, and leaves the mask as given where they don't.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from deep_image_blending.errors import InputError, require_one_of
from deep_image_blending.pictures.bit_depth import as_bytes
from deep_image_blending.pictures.cutting.band import own_colours, soft_alpha
from deep_image_blending.pictures.cutting.evidence import background_evidence, contour_trust
from deep_image_blending.pictures.cutting.grabcut import (
    BACKGROUND,
    MISSING,
    PERHAPS_OBJECT,
    colour_segmentation,
    has_opencv,
    reduced_picture,
    reduced_share,
    reduction,
    surroundings,
)
from deep_image_blending.pictures.cutting.guards import Guarded, enclosed, guarded
from deep_image_blending.pictures.cutting.regions import (
    Bool,
    Float,
    contour_of,
    grown,
    pieces_of,
    share_of_pieces,
    smoothed,
)

Pixels = npt.NDArray[Any]
"""uint8 or uint16."""
MODES = ("auto", "off", "hard", "soft")

# A mask is soft if it has more grey pixels than so many for every pixel of its contour: smooth edges have fewer.
_GREY_EDGE = 2.5
# A mask fits if what comes off is a strip of less than so many pixels, or less than this share of it.
_FITS, _FITS_SHARE = 1.5, 0.01
# Contours of less trust than this are no contours; a component of less mean trust stays as given.
_TRUSTED, _SURE = 0.5, 0.55
# Contours of more trust are edges; a mask fits if its own contour has so much of the trust of the new one.
_EDGE, _FITS_EDGE = 0.65, 0.72
# Where more of the mask than this would go, what is left is rather a part than the object.
_TOO_MUCH = 0.75
# A contour has strayed if it is so many times as far from the given one as is usual, and so many cells further.
_STRAYED, _STRAYED_LEAST = 2.5, 8.0
# A lobe lies so many times as far from the object as a hand strays, and so many cells further.
_AWAY, _AWAY_LEAST = 1.5, 4.0
# It was drawn around something thin if it is so many times as deep as a hand strays, and has lost this much of it.
_LOBE, _LOST = (1.5, 4.0), 0.5
# A hand goes round the object, so that what lies much deeper in the mask than the hand usually strays was covered
# on purpose: so many times as deep, so many cells more at least, and larger than so many such squares. It goes
# only where its colours are this much likelier, in logarithms, among the background's.
_DEEP, _DEEP_LEAST, _DEEP_AREA, _PLAIN = 3.0, 15.0, 8.0, -5.0
# A background whose colours differ by more than this, in Lab, from those beside them is restless: there a part
# soon looks like background, and stays if its colours are as likely the object's. So large and thick is a part.
_RESTLESS, _PART, _THICK = 14.0, 80, 4.0
# Where more than this, over what is left, had to be given back, segmentation has failed.
_FAILED = 0.35


@dataclass(frozen=True)
class Tightened:
    """mask: (H, W) float32 in 0..1, never above the given one. foreground: (H, W, 3) of the picture's own type,
    with the object's colours for the mask's grey pixels; None where the mask has none of its own. way: what was
    done, one of `off`, `hard`, `soft`. confidence: 0..1, None where nothing was measured. said: one line, which
    and why. numbers: for run.json.
    """

    mask: Float
    foreground: Pixels | None
    way: str
    confidence: float | None
    said: str
    numbers: dict[str, float | int | str | None] = field(default_factory=dict)


def tighten(picture: Pixels, loose_mask: Float, mode: str = "auto") -> Tightened:
    """Tighten a loose mask to the object in the picture.

    picture (H, W, 3) uint8 or uint16 in sRGB, loose_mask (H, W) float32 in 0..1. The same input gives the same
    result. Raises InputError for an unknown mode, sizes that differ, and, unless the mode is `auto` or `off`,
    where OpenCV is missing.
    """
    require_one_of("--matte", mode, MODES)
    if picture.shape[:2] != loose_mask.shape:
        raise InputError(
            f"the mask is {loose_mask.shape[1]}x{loose_mask.shape[0]} but the picture is "
            f"{picture.shape[1]}x{picture.shape[0]}: give them the same size"
        )
    if mode == "off":
        return _as_given(loose_mask, "off: the mask as given")
    inside = loose_mask > 0.5
    if not inside.any() or inside.all():
        return _as_given(loose_mask, f"{mode}: the mask has no contour in the picture; left as given")
    if mode == "auto":
        if is_soft(loose_mask):
            return _as_given(loose_mask, "auto: the mask is soft already; left as given")
        if not has_opencv():
            return _as_given(loose_mask, f"auto: left as given; {MISSING}")
    return _tightened(picture, loose_mask, mode)


def is_soft(mask: Float) -> bool:
    """Whether a mask has more grey than the smooth edge of a hard outline. mask (H, W) in 0..1."""
    grey = int(((mask > 0.03) & (mask < 0.97)).sum())
    return grey > _GREY_EDGE * max(int(contour_of(mask > 0.5).sum()), 1)


def _as_given(mask: Float, said: str, **numbers: float | int | str | None) -> Tightened:
    confidence = numbers.get("confidence")
    measure = float(confidence) if isinstance(confidence, float) else None
    return Tightened(mask.astype(np.float32, copy=False), None, "off", measure, said, {"way": "off", **numbers})


def _tightened(picture: Pixels, loose_mask: Float, mode: str) -> Tightened:
    box = surroundings(loose_mask > 0)
    crop, given = as_bytes(picture[box]), loose_mask[box]
    factor = reduction(given)
    small = reduced_picture(crop, factor)
    loose = reduced_share(given > 0.5, factor) > 0.5
    hints = np.where(loose, PERHAPS_OBJECT, BACKGROUND).astype(np.uint8)
    checked = guarded(small, loose, colour_segmentation(small, hints))
    inside, numbers = checked.inside, _counted(checked)
    held = np.zeros_like(inside)
    trust = contour_trust(checked.evidence, inside)
    edge = _new_edge(inside, loose & ~inside)
    confidence = float(trust[edge].mean()) if edge.any() else 1.0
    if mode == "auto":
        judged = _where_sure(checked, loose, factor, trust)
        numbers |= {"confidence": round(confidence, 3), "components_left": judged.left}
        if judged.refusal:
            return _as_given(loose_mask, f"auto: {judged.refusal}; left as given", **numbers)
        inside, held = judged.inside, judged.held
    numbers["confidence"] = round(confidence, 3)
    taken = 1 - float((inside & loose).sum()) / max(int(loose.sum()), 1)
    numbers["taken_off"] = round(taken, 4)
    result, foreground = loose_mask.astype(np.float32, copy=True), None
    way = "hard" if mode == "hard" else "soft"
    alpha = soft_alpha(crop, given, inside, _fuzz(checked, inside), factor, held)
    if way == "hard":
        result[box] = np.where(alpha > 0.5 * given, given, 0)
    else:
        result[box] = alpha
        foreground = own_colours(picture, alpha, box)
    said = _said(mode, way, taken, confidence, numbers)
    return Tightened(result, foreground, way, confidence, said, {"way": way, **numbers})


@dataclass(frozen=True)
class _Judged:
    """inside: what stays. held: of it, what looks like background all the same. left: components as given.
    refusal: why nothing is tightened, or nothing.
    """

    inside: Bool
    held: Bool
    left: int
    refusal: str


def _where_sure(checked: Guarded, loose: Bool, factor: float, trust: Float) -> _Judged:
    """The object where its contour is sure, the loose mask where it is not, component by component.

    A loose mask's own contour has background on both sides, so that little differs across it; the contour of one
    that fits is an edge. What was taken off is kept off where the new contour is an edge, the given one is none,
    and the way from one to the other is as long as elsewhere, or nearly so.
    """
    inside = checked.inside
    removed = loose & ~inside
    edge, given = _new_edge(inside, removed), contour_of(loose)

    def refused(why: str) -> _Judged:
        return _Judged(loose, loose, 0, why)

    length = int(edge.sum())
    if length == 0 or removed.sum() / length * factor < _FITS or removed.sum() < _FITS_SHARE * loose.sum():
        return refused("the mask fits already")
    around = background_evidence(checked.evidence.lab, ~loose, loose & grown(given, 4))
    fits = contour_trust(around, loose)
    if fits[given].mean() > _FITS_EDGE * trust[edge].mean():
        return refused("the mask fits already")
    if removed.sum() > _TOO_MUCH * loose.sum():
        return refused("the object resembles its surroundings")
    if checked.given_back > _FAILED:
        return refused("a part of the object would be lost")
    gap = np.asarray(ndimage.distance_transform_edt(~inside), np.float32)
    usual = float(np.median(gap[given & removed]))
    strayed = gap > max(_STRAYED * usual, usual + _STRAYED_LEAST)
    unsure = _spread(trust < _TRUSTED, edge, removed)
    unsure |= _spread((fits > _EDGE) | strayed, given, removed)
    unsure |= _covered_on_purpose(loose, removed, usual, checked.likelihood)
    unsure |= _before_restless(checked, removed)
    numbers, count = pieces_of(loose)
    means = share_of_pieces(np.where(edge, numbers, 0).astype(np.int32), count, np.where(edge, trust, 0))
    there = np.bincount(numbers[edge], minlength=count + 1) > 0
    left = (there & (means < _SURE)) | (share_of_pieces(numbers, count, inside) == 0)
    left[0] = False
    result = inside | (removed & (unsure | left[numbers]))
    held = _drawn_around(loose, gap, _spread(strayed, given, removed), usual)
    result |= held
    # What is given back may enclose something: no hole was seen there.
    result |= enclosed(result, loose) & ~enclosed(inside, loose)
    off = loose & ~result
    if off.sum() < 0.2 * removed.sum() or off.sum() < _FITS_SHARE * loose.sum():
        return refused("the object resembles its surroundings")
    return _Judged(result, held, int(left.sum()), "")


def _covered_on_purpose(loose: Bool, removed: Bool, usual: float, likelihood: Float) -> Bool:
    """What was taken off deep in the mask although its colours may be the object's as well."""
    depth = np.asarray(ndimage.distance_transform_edt(loose), np.float32)
    numbers, count = pieces_of(removed & (depth > 1.5 * usual + 2))
    if not count:
        return np.zeros(loose.shape, np.bool_)
    far = np.asarray(ndimage.maximum(depth, numbers, np.arange(count + 1)))
    large = np.bincount(numbers.ravel(), minlength=count + 1) > _DEEP_AREA * usual**2
    plain = share_of_pieces(numbers, count, likelihood) < _PLAIN
    kept = (far > max(_DEEP * usual, usual + _DEEP_LEAST)) & large & ~plain
    kept[0] = False
    return np.asarray(kept[numbers], np.bool_)


def _drawn_around(loose: Bool, gap: Float, lost: Bool, usual: float) -> Bool:
    """The thin lobes of the mask that lost all that they were drawn around, and what holds them: basket and ropes.

    A lobe is what lies further from the object (`gap`, (H, W)) than a hand strays, and half as deep in the mask at
    least. It hangs at the object by what lies between them as deep as a hand strays. It was drawn around something
    if much of it is `lost`, with no way to the object, and it is deeper than a hand strays.
    """
    numbers, count = pieces_of(lost)
    touches = share_of_pieces(numbers, count, gap <= 1.5) > 0
    apart = lost & ~touches[numbers]
    if not apart.any():
        return apart
    depth = np.asarray(ndimage.distance_transform_edt(loose), np.float32)
    away = max(_AWAY * usual, usual + _AWAY_LEAST)
    numbers, count = pieces_of((depth > 0.5 * usual) & (gap > away))
    lobes = (share_of_pieces(numbers, count, apart) > 0)[numbers]
    lobes |= grown(lobes, away + 1) & (depth > usual) & (gap > 0)
    numbers, count = pieces_of(lobes | apart)
    most = np.asarray(ndimage.maximum(depth, numbers, np.arange(count + 1)))
    kept = share_of_pieces(numbers, count, apart) > _LOST * share_of_pieces(numbers, count, lobes)
    kept &= (most > _LOBE[0] * usual) & (most < _LOBE[1] * usual)
    return lobes & kept[numbers]


def _before_restless(checked: Guarded, removed: Bool) -> Bool:
    """What may be a part of the object that is lost before a restless background."""
    likely = smoothed(checked.likelihood, removed, 3) > 0
    numbers, count = pieces_of(removed & likely & (checked.evidence.scale > _RESTLESS))
    if not count:
        return np.zeros(removed.shape, np.bool_)
    depth = np.asarray(ndimage.distance_transform_edt(numbers > 0), np.float32)
    thick = np.asarray(ndimage.maximum(depth, numbers, np.arange(count + 1))) >= _THICK
    hangs = share_of_pieces(numbers, count, grown(checked.inside, 1.0)) > 0
    kept = thick & hangs & (np.bincount(numbers.ravel(), minlength=count + 1) > _PART)
    kept[0] = False
    return np.asarray(kept[numbers], np.bool_)


def _spread(what: Bool, curve: Bool, region: Bool) -> Bool:
    """The pixels of the region whose nearest pixel of the curve is, with most of its neighbours, `what`."""
    along = smoothed(what, curve, 3)
    nearest = ndimage.distance_transform_edt(~curve, return_distances=False, return_indices=True)
    return np.asarray(region & (along[nearest[0], nearest[1]] > 0.5), np.bool_)


def _new_edge(inside: Bool, removed: Bool) -> Bool:
    """The contour's pixels beside which something was taken off."""
    return contour_of(inside) & grown(removed, 1.0)


def _counted(checked: Guarded) -> dict[str, float | int | str | None]:
    return {
        "parts_given_back": checked.parts,
        "holes_open": checked.holes_open,
        "holes_closed": checked.holes_shut,
        "components_saved": checked.components_kept,
        "components_dropped": checked.dropped,
    }


def _said(mode: str, way: str, taken: float, confidence: float, numbers: dict[str, Any]) -> str:
    words = "tightened" if way == "hard" else "tightened, with a soft edge"
    left = numbers.get("components_left")
    but = f"; {left} part{'s' if left > 1 else ''} left as given" if left else ""
    return f"{mode}: {words}: {taken:.0%} of the mask was background (confidence {confidence:.2f}){but}"


def _fuzz(checked: Guarded, inside: Bool) -> Float:
    """The share of a pixel's surroundings that is neither clearly background nor the object, 0..1."""
    strange = (checked.evidence.distance > 0.8) & ~inside
    return smoothed(strange, np.ones(inside.shape, np.float32), 2.0)
