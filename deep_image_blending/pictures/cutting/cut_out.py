"""Cut an object out of a picture, from a box, strokes, a loose mask or a trimap: what `blend cut-out` does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from deep_image_blending.errors import InputError
from deep_image_blending.pictures.bit_depth import as_bytes
from deep_image_blending.pictures.cutting.band import own_colours, soft_alpha
from deep_image_blending.pictures.cutting.closed_form import closed_form_alpha
from deep_image_blending.pictures.cutting.doubts import (
    MOST,
    Corners,
    contour_confidence,
    doubtful_areas,
    foreign_parts,
)
from deep_image_blending.pictures.cutting.grabcut import (
    BACKGROUND,
    LONGEST,
    OBJECT,
    PERHAPS_BACKGROUND,
    PERHAPS_OBJECT,
    Hints,
    Segmentation,
    colour_segmentation,
    enlarged,
    reduced_hints,
    reduced_picture,
    reduced_share,
    reduction,
    surroundings,
)
from deep_image_blending.pictures.cutting.guards import guarded
from deep_image_blending.pictures.cutting.regions import (
    Bool,
    Box,
    Float,
    box_of,
    grown,
    pieces_of,
    share_of_pieces,
)

Pixels = npt.NDArray[Any]
"""uint8 or uint16."""

# Strokes and trimaps: white from here, black up to here, grey between.
_WHITE, _BLACK = 0.75, 0.25
# Pieces smaller than this, over the largest, are crumbs.
_CRUMB = 0.01
# So much of a box is foreign to what is around it, or it tells nothing; so much of that is not to be lost.
_SOMETHING, _KEPT = 0.05, 2 / 3
_GREY, _MAGENTA = (128, 128, 128), (255, 0, 255)


@dataclass(frozen=True)
class Start:
    """Where the object is, in one way or several; a trimap stands alone.

    box: top, left, bottom, right in pixels, the last two excluded. strokes (H, W) in 0..1: white object, black
    background, grey unknown. loose (H, W) in 0..1: nothing outside it is the object. trimap (H, W) in 0..1: white
    object, black background, grey unknown. names: the files' names by field, for messages.
    """

    box: tuple[int, int, int, int] | None = None
    strokes: Float | None = None
    loose: Float | None = None
    trimap: Float | None = None
    names: Mapping[str, str] = field(default_factory=dict)

    def name(self, what: str) -> str:
        """`strokes 's.png'`, or the word alone."""
        words = {"loose": "mask"}.get(what, what)
        return f"{words} {self.names[what]!r}" if what in self.names else words


@dataclass(frozen=True)
class CutOut:
    """alpha: (H, W) float32 in 0..1. foreground: (H, W, 3) of the picture's type, with the object's own colours
    where alpha is grey. confidence: 0..1, of the contour. unsure: boxes of what is worth a stroke: areas that may
    be wrong, and pieces of the contour. said: one line. numbers: for a record.
    """

    alpha: Float
    foreground: Pixels
    confidence: float
    unsure: tuple[Corners, ...]
    said: str
    numbers: dict[str, float | int] = field(default_factory=dict)

    def rgba(self) -> Pixels:
        """(H, W, 4): the object with alpha, black where there is none of it."""
        greatest = np.iinfo(self.foreground.dtype).max
        colours = np.where((self.alpha > 0)[..., None], self.foreground, 0)
        alpha = np.rint(self.alpha * greatest)
        return np.concatenate([colours, alpha[..., None]], -1).astype(self.foreground.dtype)

    def preview(self) -> npt.NDArray[np.uint8]:
        """(H, 2W, 3) uint8: the object on grey, and on magenta."""
        colours, alpha = as_bytes(self.foreground).astype(np.float32), self.alpha[..., None]
        sides = [alpha * colours + (1 - alpha) * np.array(ground, np.float32) for ground in (_GREY, _MAGENTA)]
        return np.rint(np.concatenate(sides, 1)).astype(np.uint8)


def cut_out(picture: Pixels, start: Start, *, soft: bool = True, longest: int = LONGEST) -> CutOut:
    """Cut the object out: a hard contour, and with `soft` alpha in a band around it.

    picture (H, W, 3) uint8 or uint16 in sRGB. longest: the longer side, in pixels, at which the object is looked
    for. Raises InputError, one line that says what to do, for a start that
    says nothing, that does not fit the picture, or that contradicts itself, and where OpenCV is missing.
    """
    _check(picture.shape[:2], start)
    if start.trimap is not None:
        return _by_trimap(picture, start.trimap)
    hints = hints_of(picture.shape[:2], start)
    box = surroundings(hints != BACKGROUND)
    crop = as_bytes(picture[box])
    factor = reduction(crop, longest)
    small, given = reduced_picture(crop, factor), reduced_hints(hints[box], factor)
    found = colour_segmentation(small, given)
    if start.box is not None:
        found = _compared(small, given, found)
    if start.loose is not None:
        checked = guarded(
            small, given != BACKGROUND, Segmentation(found.inside & (given != BACKGROUND), found.evidence)
        )
        found = Segmentation(checked.inside, found.evidence)
    inside = _without_crumbs(found.inside | (given == OBJECT), given)
    confidence, unsure = contour_confidence(small, inside)
    if start.loose is None:
        # Strokes answer for the places that they touch.
        drawn = np.zeros(given.shape, np.bool_) if start.strokes is None else _drawn(start.strokes[box], factor)
        unsure = doubtful_areas(small, given, inside, drawn) + unsure
    whole = enlarged(inside, crop, factor)
    whole = (whole | (hints[box] == OBJECT)) & (hints[box] != BACKGROUND)
    bound = (hints[box] != BACKGROUND).astype(np.float32)
    if start.loose is not None:
        bound = np.minimum(bound, start.loose[box])
    alpha = np.minimum(whole, bound).astype(np.float32)
    if soft and whole.any():
        alpha = soft_alpha(crop, bound, inside, np.zeros(inside.shape, np.float32), factor)
        alpha[hints[box] == OBJECT] = bound[hints[box] == OBJECT]
    result = np.zeros(picture.shape[:2], np.float32)
    result[box] = alpha
    places = tuple(_in_picture(corners, factor, box) for corners in unsure[:MOST])
    foreground = own_colours(picture, alpha, box) if soft else picture.copy()
    return _told(CutOut(result, foreground, confidence, places, ""), start)


def hints_of(shape: tuple[int, ...], start: Start) -> Hints:
    """What is known of every pixel of a picture of that shape: (H, W), GrabCut's labels."""
    bounded = start.box is not None or start.loose is not None
    drawn = np.zeros(shape, np.float32) + 0.5 if start.strokes is None else start.strokes
    inside = np.ones(shape, np.bool_)
    if start.box is not None:
        top, left, bottom, right = start.box
        inside[:] = False
        inside[top:bottom, left:right] = True
    if start.loose is not None:
        inside &= start.loose > 0.5
    # Strokes for the object alone mark the little that it is; those for the background, the little that it isn't.
    likely = PERHAPS_OBJECT if bounded or not (drawn >= _WHITE).any() else PERHAPS_BACKGROUND
    hints = np.where(inside, likely, BACKGROUND).astype(np.uint8)
    hints[drawn >= _WHITE] = OBJECT
    hints[drawn <= _BLACK] = BACKGROUND
    return hints


def _compared(picture: npt.NDArray[np.uint8], hints: Hints, found: Segmentation) -> Segmentation:
    """What was found in a box, corrected where the background beside it says otherwise.

    What lies around a box may have the object's colours somewhere, as other balloons have. So segmentation starts
    once more, from what is foreign to the background next to it. Where the results differ, every piece is what
    most of it is, foreign or not. Where next to nothing is foreign, or the second result lost much of what is and
    was found before, the first stands.
    """
    foreign = foreign_parts(picture, hints) & (hints == PERHAPS_OBJECT)
    if foreign.sum() < _SOMETHING * (hints == PERHAPS_OBJECT).sum():
        return found
    alike = (hints == PERHAPS_OBJECT) & ~foreign
    again = colour_segmentation(picture, np.where(alike, PERHAPS_BACKGROUND, hints).astype(np.uint8))
    if (again.inside & foreign).sum() < _KEPT * (found.inside & foreign).sum():
        return found
    inside = found.inside & again.inside
    for other in (found.inside & ~inside, again.inside & ~inside):
        numbers, count = pieces_of(other)
        inside |= (share_of_pieces(numbers, count, foreign) > 0.5)[numbers]
    return replace(again, inside=inside)


def _check(shape: tuple[int, ...], start: Start) -> None:
    """Raise InputError for what can't be a start."""
    height, width = shape[:2]
    for what in ("strokes", "loose", "trimap"):
        plane = getattr(start, what)
        if plane is not None and plane.shape != (height, width):
            raise InputError(
                f"{start.name(what)} is {plane.shape[1]}x{plane.shape[0]} but the picture is {width}x{height}: "
                "give them the same size"
            )
    if start.trimap is not None:
        if any(other is not None for other in (start.box, start.strokes, start.loose)):
            raise InputError(f"{start.name('trimap')} says all there is to know: leave box, strokes and mask out")
        _check_trimap(start.trimap, start)
        return
    if start.box is None and start.strokes is None and start.loose is None:
        raise InputError("nothing says where the object is: give --box, --strokes, --mask-file or --trimap")
    if start.box is not None:
        _check_box(start.box, height, width)
    if start.loose is not None and not (start.loose > 0.5).any():
        raise InputError(f"{start.name('loose')} marks nothing: paint the object white")
    if start.strokes is not None:
        _check_strokes(start.strokes, start)


def _check_box(box: tuple[int, int, int, int], height: int, width: int) -> None:
    top, left, bottom, right = box
    given = ",".join(str(number) for number in box)
    if not (top < bottom and left < right):
        raise InputError(f"box {given} is empty: give top,left,bottom,right with top < bottom and left < right")
    if top < 0 or left < 0 or bottom > height or right > width:
        raise InputError(
            f"box {given} reaches outside the picture of {width}x{height}: stay within 0,0,{height},{width}"
        )
    if (top, left, bottom, right) == (0, 0, height, width):
        raise InputError(f"box {given} is the whole picture and leaves no background: draw it around the object")


def _check_strokes(strokes: Float, start: Start) -> None:
    white, black = strokes >= _WHITE, strokes <= _BLACK
    if not white.any() and not black.any():
        raise InputError(f"{start.name('strokes')} marks nothing: paint the object white and the background black")
    plain = Start(box=start.box, loose=start.loose)
    allowed = hints_of(strokes.shape, plain) != BACKGROUND
    if (white & ~allowed).any():
        bound = "box" if start.box is not None else start.name("loose")
        raise InputError(
            f"{start.name('strokes')} contradicts the {bound}: white strokes lie outside it; widen the one "
            "or shorten the other"
        )
    if not (allowed & ~black).any():
        raise InputError(f"{start.name('strokes')} contradicts the rest: black covers all that may be the object")
    if start.box is None and start.loose is None and not black.any() and white.all():
        raise InputError(f"{start.name('strokes')} marks the whole picture as the object: leave the rest grey")


def _check_trimap(trimap: Float, start: Start) -> None:
    white, black = trimap >= 0.95, trimap <= 0.05
    if (white | black).all():
        raise InputError(
            f"{start.name('trimap')} has no unknown pixels: paint grey where the edge is soft, or give it "
            "by --mask-file"
        )
    for there, word, what in ((white, "white", "object"), (black, "black", "background")):
        if not there.any():
            raise InputError(f"{start.name('trimap')} has no {word}: paint some of what is surely {what} {word}")


def _by_trimap(picture: Pixels, trimap: Float) -> CutOut:
    unknown = (trimap > 0.05) & (trimap < 0.95)
    known = (trimap >= 0.95).astype(np.float32)
    around = grown(known > 0, 2) | unknown
    box = box_of(around, 3)
    crop = (picture[box] / np.float32(np.iinfo(picture.dtype).max)).astype(np.float32)
    alpha = closed_form_alpha(crop, known[box], unknown[box])
    result = np.zeros(trimap.shape, np.float32)
    result[box] = alpha
    decided = float((np.abs(alpha[unknown[box]] - 0.5) * 2).mean())
    said = f"trimap: alpha of {int(unknown.sum())} unknown pixels"
    numbers: dict[str, float | int] = {"unknown": int(unknown.sum()), "confidence": round(decided, 3)}
    return CutOut(result, own_colours(picture, alpha, box), decided, (), said, numbers)


def _drawn(strokes: Float, factor: float) -> Bool:
    return reduced_share((strokes >= _WHITE) | (strokes <= _BLACK), factor) > 0


def _in_picture(corners: Corners, factor: float, box: Box) -> Corners:
    """A box of the reduced crop in the picture's own pixels."""
    top, left = box[0].start, box[1].start
    return (
        round(corners[0] * factor) + top,
        round(corners[1] * factor) + left,
        min(round(corners[2] * factor) + top, box[0].stop),
        min(round(corners[3] * factor) + left, box[1].stop),
    )


def _without_crumbs(inside: Bool, hints: Hints) -> Bool:
    """The pieces with a stroke of the object; without strokes, all but crumbs."""
    numbers, count = pieces_of(inside)
    if count < 2:
        return inside
    marked = share_of_pieces(numbers, count, hints == OBJECT) > 0
    sizes = np.bincount(numbers.ravel(), minlength=count + 1)
    sizes[0] = 0
    keeps = marked if (hints == PERHAPS_BACKGROUND).any() and marked.any() else sizes >= _CRUMB * sizes.max()
    keeps = keeps | marked
    keeps[0] = False
    return np.asarray(keeps[numbers], np.bool_)


def _told(result: CutOut, start: Start) -> CutOut:
    kinds = [what for what in ("box", "strokes", "loose") if getattr(start, what) is not None]
    share = float((result.alpha > 0.5).mean())
    words = " and ".join({"loose": "mask"}.get(kind, kind) for kind in kinds)
    said = f"{words}: the object is {share:.1%} of the picture (confidence {result.confidence:.2f})"
    if share == 0:
        said = f"{words}: no object found; mark it with white strokes (--strokes)"
    elif result.unsure:
        where = "; ".join(",".join(map(str, corners)) for corners in result.unsure)
        said += f"; unsure in {where} (T,L,B,R): add strokes there (--strokes, white object, black background)"
    elif start.box is not None and start.strokes is None:
        said += "; where it took too much or too little, add strokes (--strokes, white object, black background)"
    numbers: dict[str, float | int] = {"share": round(share, 4), "confidence": round(result.confidence, 3)}
    return replace(result, said=said, numbers=numbers)
