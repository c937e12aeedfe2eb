"""What speaks for a pixel being background: its colour, beside the colours of the background next to it.

A mixture of colours of the whole background, as GrabCut has, calls a white stripe of a balloon sky because there
is a cloud somewhere. Here a pixel is compared with samples of the background around the nearest known background
pixel, and how much these differ among themselves says what is a difference. The same is asked of the means around
pixels, in which grain is gone and a small difference of whole areas shows. All distances are in CIE Lab.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.color import rgb2lab

from deep_image_blending.pictures.cutting.regions import EIGHT, Bool, Float, contour_of, grown, smoothed

# Samples around the nearest background pixel: so many, in a disc of this radius, this far beyond it.
_SAMPLES, _DISC, _BEYOND = 32, 11.0, 8.0
# Colours nearer than this are the same to the eye, whatever the background's own variation.
_JUST_NOTICED = 5.0
# A colour is foreign beyond so many times what background pixels differ from their own surroundings.
_TIMES = 2.2
_RING = 14
# The Gaussian of the means.
_MEAN = 2.0
# Background grows into what is asked for so many times from what is known by then.
_ROUNDS = 4
# Areas: half their window; lightness that varies less than this is even; a greater distance says no more.
_AREA, _EVEN, _CLEARLY = 5, 6.0, 2.0


@dataclass(frozen=True)
class Evidence:
    """distance: (H, W) float32, how far a pixel's colour is from the background beside it, over what counts as a
    difference there: below 1 it looks like background. scale, coarse_scale: that difference in Lab, for pixels and
    for means. lab, means: (H, W, 3) float32, the picture and the means around its pixels.
    """

    distance: Float
    scale: Float
    coarse_scale: Float
    lab: Float
    means: Float


def lab_of(picture: npt.NDArray[np.uint8]) -> Float:
    """(H, W, 3) uint8 -> CIE Lab, float32."""
    return np.asarray(rgb2lab((picture / np.float32(255)).astype(np.float32)), np.float32)


def background_evidence(lab: Float, background: Bool, asked: Bool) -> Evidence:
    """The evidence for every pixel `asked`; elsewhere its distance is 0. All (H, W), lab (H, W, 3).

    What is neither background nor asked for, the object, takes no part in the means.
    """
    means = smoothed(lab, background | asked, _MEAN)
    ring = background & grown(~background, _RING)
    outward = _outward(ring, _nearest(~background))
    at = _nearest(background)
    scales = []
    for colours, times, least in ((lab, _TIMES, _JUST_NOTICED), (means, 1.5 * _TIMES, 0.7 * _JUST_NOTICED)):
        own = _sampled_distance(colours, background, ring, outward, _DISC + 4)
        scale = np.maximum(least, times * smoothed(own, ring, 12))
        scale[asked] = scale[at[0][asked], at[1][asked]]
        scales.append(scale)
    empty = Evidence(np.zeros(background.shape, np.float32), scales[0], scales[1], lab, means)
    return renewed(empty, background, asked, at)


def renewed(
    evidence: Evidence, background: Bool, asked: Bool, at: npt.NDArray[np.int32] | None = None
) -> Evidence:
    """The same for the pixels `asked`, of more background; what counts as a difference stays, and all others."""
    start = _outward(asked, _nearest(background) if at is None else at, past=True)
    fine = _sampled_distance(evidence.lab, background, asked, start, _BEYOND) / evidence.scale
    coarse = _sampled_distance(evidence.means, background, asked, start, _BEYOND) / evidence.coarse_scale
    return replace(evidence, distance=np.where(asked, np.maximum(fine, coarse), evidence.distance))


def grown_background(lab: Float, background: Bool, asked: Bool) -> Evidence:
    """Evidence for the pixels `asked`, from background that grows into them by what looks like it."""
    known = background
    evidence = background_evidence(lab, background, asked)
    for _ in range(_ROUNDS - 1):
        like = asked & ~known & (evidence.distance < 1)
        reached = np.asarray(ndimage.binary_propagation(known, EIGHT, mask=known | like))
        left = asked & ~reached
        if (reached & ~known).sum() < 0.01 * asked.sum() or not left.any():
            break
        known = reached
        later = renewed(evidence, known, left)
        evidence = replace(later, distance=np.minimum(later.distance, evidence.distance))
    return evidence


def as_areas(evidence: Evidence, where: Bool) -> Evidence:
    """The same where a pixel is at least as foreign as the area of like lightness that it lies in.

    A shaded strip of a white rocket may pass for the wall behind it while the rocket does not. Areas are what a
    guided filter keeps apart (He, Sun, Tang 2010): in every window, distance as a linear function of lightness.
    Only pixels `where` (H, W) bool take part.
    """
    there = where.astype(np.float32)
    count = np.maximum(_summed(there), 1)

    def mean(field: Float) -> Float:
        return np.asarray(_summed(field * there) / count, np.float32)

    lightness, distance = evidence.lab[..., 0], np.minimum(evidence.distance, _CLEARLY)
    middle, usual = mean(lightness), mean(distance)
    slope = (mean(lightness * distance) - middle * usual) / (mean(lightness**2) - middle**2 + _EVEN**2)
    smooth = mean(slope) * lightness + mean(usual - slope * middle)
    return replace(evidence, distance=np.where(where, np.maximum(evidence.distance, smooth), evidence.distance))


def _summed(field: Float) -> Float:
    """Sums over a window around every pixel."""
    side = 2 * _AREA + 1
    return np.asarray(ndimage.uniform_filter(field, side, mode="constant") * side**2, np.float32)


def contour_trust(evidence: Evidence, inside: Bool) -> Float:
    """How sure the contour of `inside` is: (H, W) float32 in 0..1 on its pixels, 0 elsewhere.

    One half where the mean colours of both sides, some pixels from the contour, differ by what counts as a
    difference there.
    """
    edge = contour_of(inside)
    within, beyond = inside & ~edge, ~np.asarray(ndimage.binary_dilation(inside, EIGHT))
    gap = np.sqrt(((smoothed(evidence.lab, within, 2.5) - smoothed(evidence.lab, beyond, 2.5)) ** 2).sum(-1))
    trust = gap / (gap + evidence.scale)
    along = smoothed(trust, edge, 4)
    return np.where(edge, along, 0).astype(np.float32)


def _nearest(there: Bool) -> npt.NDArray[np.int32]:
    """(2, H, W): row and column of the nearest pixel that is there."""
    return np.asarray(ndimage.distance_transform_edt(~there, return_distances=False, return_indices=True))


def _outward(asked: Bool, at: npt.NDArray[np.int32], *, past: bool = False) -> tuple[Any, Any, Any, Any]:
    """Where the pixels' samples start, and which way is out, for those asked: rows, columns, and a direction.

    `at` is the nearest background pixel (`past`: start there), or the nearest one that isn't background.
    """
    rows, columns = np.nonzero(asked)
    to_row, to_column = at[0][asked], at[1][asked]
    y, x = (to_row - rows).astype(np.float32), (to_column - columns).astype(np.float32)
    length = np.maximum(np.hypot(y, x), 1e-6)
    return (to_row, to_column, y / length, x / length) if past else (rows, columns, -y / length, -x / length)


def _sampled_distance(lab: Float, background: Bool, asked: Bool, start: tuple[Any, ...], beyond: float) -> Float:
    """The second smallest distance of a pixel's colour from the samples around its start, moved by `beyond`."""
    rows, columns, y, x = start
    height, width = background.shape
    colours = lab[asked]
    least = np.full(len(colours), np.inf, np.float32)
    second = least.copy()
    pixels, known = lab.reshape(-1, 3), background.ravel()
    for k in range(_SAMPLES):
        # A spiral by the golden angle covers a disc evenly.
        radius, angle = _DISC * np.sqrt((k + 0.5) / _SAMPLES), 2.399963 * k
        row = np.rint(rows + beyond * y + radius * np.sin(angle)).astype(np.int64).clip(0, height - 1)
        column = np.rint(columns + beyond * x + radius * np.cos(angle)).astype(np.int64).clip(0, width - 1)
        place = row * width + column
        away = np.sqrt(((pixels[place] - colours) ** 2).sum(1))
        away[~known[place]] = np.inf
        second = np.minimum(second, np.maximum(least, away))
        least = np.minimum(least, away)
    result = np.zeros(background.shape, np.float32)
    # At a border of the picture there may be no sample: then nothing is known to differ.
    result[asked] = np.where(np.isfinite(second), second, np.where(np.isfinite(least), least, 0))
    return result
