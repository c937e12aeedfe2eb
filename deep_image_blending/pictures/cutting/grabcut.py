"""Segmentation by GrabCut (Rother, Kolmogorov, Blake 2004), as OpenCV has it, from hints of any kind.

The object's surroundings are cut out at a bounded size, where a second is enough whatever the picture; the
contour is then found again in the picture's own pixels, in a narrow band around it. OpenCV is an extra, imported
when it is first needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deep_image_blending.errors import InputError
from deep_image_blending.pictures.cutting.closed_form import closed_form_alpha
from deep_image_blending.pictures.cutting.regions import Bool, Float, box_of, contour_of, grown

Pixels = npt.NDArray[np.uint8]
Hints = npt.NDArray[np.uint8]
"""(H, W), of the four below: the numbers are OpenCV's."""

BACKGROUND, OBJECT, PERHAPS_BACKGROUND, PERHAPS_OBJECT = 0, 1, 2, 3
LONGEST = 800
"""The longer side, in pixels, at which an object's surroundings are cut out."""
MISSING = "cutting out needs OpenCV: pip install opencv-python-headless"

_ROUNDS = 5
_SEED = 20_040_801
_COMPONENTS = 5
# Pictures with a longer side than this are large: their colours are learned at half the size.
_LARGE = 640
# Half the band, in cells of the reduced picture, in which the contour is found again.
_BAND = 1.5
# Log likelihoods beyond this are as good as certain.
_CERTAIN = 30.0


@dataclass(frozen=True)
class Segmentation:
    """What GrabCut found.

    inside: (H, W) bool. evidence: (H, W) float32, the log of how much likelier a pixel's colour is among the
    object's colours than among the background's, at most 30 either way; 0 where nothing was in question.
    """

    inside: Bool
    evidence: Float


def has_opencv() -> bool:
    """Whether OpenCV can be imported."""
    try:
        _opencv()
    except InputError:
        return False
    return True


def _opencv() -> Any:
    """The module cv2. Raises InputError, with the install command, where it is not there."""
    try:
        import cv2
    except ImportError as error:
        raise InputError(MISSING) from error
    return cv2


def segment(picture: Pixels, hints: Hints, *, longest: int = LONGEST) -> Segmentation:
    """Cut out at a bounded size, then find the contour in the picture's own pixels.

    picture (H, W, 3) uint8, hints (H, W). What is surely background far from the object is left out. The same
    input gives the same result. Raises InputError where OpenCV is missing.
    """
    inside, evidence = np.zeros(hints.shape, np.bool_), np.zeros(hints.shape, np.float32)
    box = surroundings(hints != BACKGROUND)
    factor = reduction(hints[box], longest)
    small = reduced_picture(picture[box], factor)
    found = colour_segmentation(small, reduced_hints(hints[box], factor))
    evidence[box] = enlarged_field(found.evidence, hints[box].shape)
    inside[box] = enlarged(found.inside, picture[box], factor)
    inside[hints == OBJECT] = True
    inside[hints == BACKGROUND] = False
    return Segmentation(inside, evidence)


def surroundings(there: Bool) -> tuple[slice, slice]:
    """The box of the object and a strip of its background: wide enough to know the background's colours."""
    tight = box_of(there, 0)
    side = max(part.stop - part.start for part in tight)
    return box_of(there, max(20, side // 5))


def reduction(region: npt.NDArray[Any], longest: int = LONGEST) -> float:
    """By how much the region (H, W) is to be reduced, 1 or more, so that its longer side is at most `longest`."""
    return max(float(max(region.shape[:2])) / longest, 1.0)


def reduced_shape(shape: tuple[int, ...], factor: float) -> tuple[int, int]:
    return max(round(shape[0] / factor), 3), max(round(shape[1] / factor), 3)


def reduced_picture(picture: Pixels, factor: float) -> Pixels:
    """(H, W, 3) -> the mean of every cell."""
    if factor == 1:
        return np.ascontiguousarray(picture)
    cv2 = _opencv()
    height, width = reduced_shape(picture.shape, factor)
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def reduced_share(there: npt.NDArray[Any], factor: float) -> Float:
    """(H, W) bool or 0..1 -> the share of every cell, float32."""
    field = there.astype(np.float32)
    if factor == 1:
        return field
    cv2 = _opencv()
    height, width = reduced_shape(there.shape, factor)
    return np.asarray(cv2.resize(field, (width, height), interpolation=cv2.INTER_AREA), np.float32)


def reduced_hints(hints: Hints, factor: float) -> Hints:
    """A cell that any object hint touches is object; otherwise what most of it is."""
    if factor == 1:
        return hints.copy()
    result = np.full(reduced_shape(hints.shape, factor), PERHAPS_OBJECT, np.uint8)
    shares = {kind: reduced_share(hints == kind, factor) for kind in (PERHAPS_BACKGROUND, BACKGROUND, OBJECT)}
    result[shares[PERHAPS_BACKGROUND] > 0.5] = PERHAPS_BACKGROUND
    result[shares[BACKGROUND] > 0.5] = BACKGROUND
    result[shares[OBJECT] > 1e-4] = OBJECT
    return result


def enlarged_field(small: npt.NDArray[Any], shape: tuple[int, ...]) -> Float:
    """(h, w) -> (H, W) float32, bilinear."""
    if small.shape == shape:
        return small.astype(np.float32)
    cv2 = _opencv()
    resized = cv2.resize(small.astype(np.float32), (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.float32)


def enlarged(small: Bool, picture: Pixels, factor: float) -> Bool:
    """A region of the reduced picture in the picture's own pixels: its contour where alpha is one half.

    small (h, w), picture (H, W, 3) uint8. Alpha is closed-form in a band of a few cells around the contour.
    """
    if factor == 1:
        return small.copy()
    inside = enlarged_field(small, picture.shape[:2]) > 0.5
    band = grown(contour_of(inside), _BAND * factor)
    box = box_of(band, 2) if band.any() else (slice(0, 0), slice(0, 0))
    if band.any():
        colours = (picture[box] / np.float32(255)).astype(np.float32)
        alpha = closed_form_alpha(colours, inside[box].astype(np.float32), band[box])
        inside[box] = alpha > 0.5
    return inside


def colour_segmentation(picture: Pixels, hints: Hints, *, rounds: int = _ROUNDS) -> Segmentation:
    """GrabCut at the picture's own size. picture (H, W, 3) uint8, hints (H, W) with some object in it.

    Where the hints know no background, or nothing else, there is nothing to divide: the hints are the result.
    """
    cv2 = _opencv()
    labels = np.ascontiguousarray(hints.copy())
    foreground = np.isin(labels, (OBJECT, PERHAPS_OBJECT))
    # OpenCV asks for as many pixels on each side as a mixture has components.
    if min(int(foreground.sum()), int((~foreground).sum())) < 2 * _COMPONENTS:
        return Segmentation(foreground, np.zeros(hints.shape, np.float32))
    behind, before = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(_SEED)
    if max(hints.shape) <= _LARGE:
        cv2.grabCut(np.ascontiguousarray(picture), labels, None, behind, before, rounds, cv2.GC_INIT_WITH_MASK)
    else:
        # A large picture's colours are learned at half its size, in a fifth of the time; one round then suffices.
        half, hinted = reduced_picture(picture, 2.0), reduced_hints(hints, 2.0)
        cv2.grabCut(half, hinted, None, behind, before, rounds, cv2.GC_INIT_WITH_MASK)
        found = enlarged_field(np.isin(hinted, (OBJECT, PERHAPS_OBJECT)), hints.shape) > 0.5
        asked = np.isin(labels, (PERHAPS_BACKGROUND, PERHAPS_OBJECT))
        labels[asked] = np.where(found, PERHAPS_OBJECT, PERHAPS_BACKGROUND)[asked]
        cv2.grabCut(np.ascontiguousarray(picture), labels, None, behind, before, 1, cv2.GC_EVAL)
    inside = np.isin(labels, (OBJECT, PERHAPS_OBJECT))
    evidence = _log_likelihood(picture, before) - _log_likelihood(picture, behind)
    return Segmentation(inside, evidence.clip(-_CERTAIN, _CERTAIN).astype(np.float32))


def _log_likelihood(picture: Pixels, mixture: npt.NDArray[np.float64]) -> Float:
    """(H, W): of every pixel's colour under OpenCV's Gaussian mixture (1, 65): weights, means, covariances."""
    weights, means = mixture[0, :5], mixture[0, 5:20].reshape(5, 3)
    covariances = mixture[0, 20:].reshape(5, 3, 3)
    colours = picture.reshape(-1, 3).astype(np.float32)
    total = np.full(len(colours), -np.inf, np.float32)
    for weight, mean, covariance in zip(weights, means, covariances, strict=True):
        if weight <= 0:
            continue
        # A component of one colour has no spread; a quarter of a grey level is its least.
        covariance = covariance + np.eye(3) * 0.25
        root = np.linalg.cholesky(np.linalg.inv(covariance)).astype(np.float32)
        spread = (((colours - mean.astype(np.float32)) @ root) ** 2).sum(1)
        size = np.log(weight) - 0.5 * float(np.linalg.slogdet(covariance)[1])
        total = np.logaddexp(total, size - 0.5 * spread)
    return np.asarray(total, np.float32).reshape(picture.shape[:2])
