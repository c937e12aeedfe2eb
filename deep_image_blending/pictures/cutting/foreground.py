"""Foreground colours by the multi-level method of Germer, Uelwer, Conrad and Harmeling (2020).

Foreground F and background B are to explain the picture, `alpha F + (1 - alpha) B = I`, and to be smooth, the
more so where alpha changes. From one pixel up, every level starts with the colours of the level below and improves
them by a few Jacobi sweeps, each a 2x2 system a pixel. Large levels are swept in the band alone: where alpha is 1
the foreground is the picture.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from deep_image_blending.pictures.cutting.regions import EIGHT, Bool, Float, box_of

REGULARISATION = 1e-5
_GRADIENT_WEIGHT = 1.0
# Levels up to this many pixels a side are small: they are swept more often, as they set the colours' drift.
_SMALL, _SWEEPS_SMALL, _SWEEPS = 32, 10, 4
# Larger levels are swept in the band alone.
_WHOLE = 128
_CLEAR = 1 / 512


def foreground_colours(picture: Float, alpha: Float, *, regularisation: float = REGULARISATION) -> Float:
    """The object's own colours: (H, W, 3) float32 in 0..1, the picture's where alpha is 1.

    picture (H, W, 3) and alpha (H, W), float32 in 0..1. Where alpha is 0 the colours are continued ones of no
    consequence; without any foreground they are the picture's. Composed as `alpha F + (1 - alpha) T` they bring
    nothing of the old background along.
    """
    if not (alpha > _CLEAR).any():
        return picture.copy()
    box = box_of(alpha > _CLEAR, 2)
    result = picture.copy()
    found = _levels(np.ascontiguousarray(picture[box]), np.ascontiguousarray(alpha[box]), regularisation)
    whole = alpha[box] > 1 - _CLEAR
    result[box] = np.where(whole[..., None], picture[box], found)
    return result


def _levels(picture: Float, alpha: Float, regularisation: float) -> Float:
    height, width = alpha.shape
    count = max(int(np.ceil(np.log2(max(height, width, 2)))), 1)
    start = picture[alpha > 0.9].mean(0) if (alpha > 0.9).any() else picture.mean((0, 1))
    behind = picture[alpha < 0.1].mean(0) if (alpha < 0.1).any() else picture.mean((0, 1))
    fore = np.broadcast_to(start, (1, 1, 3)).astype(np.float32)
    back = np.broadcast_to(behind, (1, 1, 3)).astype(np.float32)
    for level in range(count + 1):
        shape = (round(height ** (level / count)), round(width ** (level / count)))
        rows, columns = _nearest(shape[0], height), _nearest(shape[1], width)
        image, cover = _taken(picture, rows, columns), _taken(alpha, rows, columns)
        down, across = (_nearest(old, new, up=True) for old, new in zip(fore.shape, shape, strict=False))
        fore, back = _taken(fore, down, across), _taken(back, down, across)
        if max(shape) > _WHOLE:
            band = (cover > _CLEAR) & (cover < 1 - _CLEAR)
            # Outside the band one of the two is the picture itself.
            solid, empty = cover > 1 - _CLEAR, cover < _CLEAR
            fore[solid], back[empty] = image[solid], image[empty]
            band = np.asarray(ndimage.binary_dilation(band, EIGHT))
        else:
            band = np.ones(shape, np.bool_)
        sweeps = _SWEEPS_SMALL if max(shape) <= _SMALL else _SWEEPS
        _swept(image, cover, band, fore, back, sweeps, regularisation)
    return fore


def _swept(image: Float, cover: Float, band: Bool, fore: Float, back: Float, sweeps: int, least: float) -> None:
    """Improve `fore` and `back` (H, W, 3) in place where `band`."""
    height, width = cover.shape
    own = np.flatnonzero(band)
    if not len(own):
        return
    rows, columns = own // width, own % width
    a = cover.ravel()[own]
    beside = [
        np.clip(rows + y, 0, height - 1) * width + np.clip(columns + x, 0, width - 1)
        for y, x in ((-1, 0), (1, 0), (0, -1), (0, 1))
    ]
    weights = [least + _GRADIENT_WEIGHT * np.abs(a - cover.ravel()[place]) for place in beside]
    total = np.sum(weights, axis=0)
    # [a a + w, a b; a b, b b + w] [F; B] = [a I + sum w F'; b I + sum w B'], with b = 1 - alpha.
    b = 1 - a
    first, mixed, second = a * a + total, a * b, b * b + total
    scale = 1 / (first * second - mixed * mixed)
    pixels, fores, backs = image.reshape(-1, 3)[own], fore.reshape(-1, 3), back.reshape(-1, 3)
    for _ in range(sweeps):
        right = a[:, None] * pixels
        behind = b[:, None] * pixels
        for place, weight in zip(beside, weights, strict=True):
            right += weight[:, None] * fores[place]
            behind += weight[:, None] * backs[place]
        fores[own] = ((second * scale)[:, None] * right - (mixed * scale)[:, None] * behind).clip(0, 1)
        backs[own] = ((first * scale)[:, None] * behind - (mixed * scale)[:, None] * right).clip(0, 1)


def _taken(plane: Float, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]) -> Float:
    return np.take(np.take(plane, rows, axis=0), columns, axis=1)


def _nearest(count: int, length: int, *, up: bool = False) -> npt.NDArray[np.intp]:
    """Which of `length` samples each of `count` takes; `up`: which of `count` each of `length` takes."""
    taken, given = (length, count) if up else (count, length)
    return np.minimum(((np.arange(taken) + 0.5) * given / taken).astype(np.intp), given - 1)
