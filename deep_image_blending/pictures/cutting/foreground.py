"""Foreground colours by the multi-level method of Germer, Uelwer, Conrad and Harmeling (2020).

Foreground F and background B are to explain the picture, `alpha F + (1 - alpha) B = I`, and to be smooth, the
more so where alpha changes. From one pixel up, every level starts with the colours of the level below and improves
them by a few Jacobi sweeps, each a 2x2 system a pixel. Large levels are swept in the band alone: where alpha is 1
the foreground is the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from deep_image_blending.pictures.cutting.regions import EIGHT, Float, box_of

REGULARISATION = 1e-5
_GRADIENT_WEIGHT = 1.0
# Levels up to this many pixels a side are small: they are swept more often, as they set the colours' drift.
_SMALL, _SWEEPS_SMALL, _SWEEPS = 32, 10, 4
# Larger levels are swept in the band alone.
_WHOLE = 128
# The means that the first level starts with are of so many pixels a side.
_FEW = 512
_CLEAR = 1 / 512
Places = npt.NDArray[np.intp]


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
    few = _nearest(min(height, _FEW), height), _nearest(min(width, _FEW), width)
    image, cover = _taken(picture, *few), _taken(alpha, *few)
    start = image[cover > 0.9].mean(0) if (cover > 0.9).any() else image.mean((0, 1))
    behind = image[cover < 0.1].mean(0) if (cover < 0.1).any() else image.mean((0, 1))
    fore = np.broadcast_to(start, (1, 1, 3)).astype(np.float32)
    back = np.broadcast_to(behind, (1, 1, 3)).astype(np.float32)
    for level in range(count + 1):
        shape = (round(height ** (level / count)), round(width ** (level / count)))
        down, across = (_nearest(old, new, up=True) for old, new in zip(fore.shape, shape, strict=False))
        if level == count and max(shape) > _WHOLE:
            return _last(picture, alpha, (fore, back), (down, across), regularisation)
        rows, columns = _nearest(shape[0], height), _nearest(shape[1], width)
        image, cover = _taken(picture, rows, columns), _taken(alpha, rows, columns)
        fore, back = _taken(fore, down, across), _taken(back, down, across)
        if max(shape) > _WHOLE:
            # Outside the band one of the two is the picture itself.
            solid, empty = cover > 1 - _CLEAR, cover < _CLEAR
            fore[solid], back[empty] = image[solid], image[empty]
        own, beside = _band(cover, whole=max(shape) <= _WHOLE)
        nodes = _Nodes(image.reshape(-1, 3), cover.ravel(), fore.reshape(-1, 3), back.reshape(-1, 3))
        _swept(nodes, own, beside, _SWEEPS_SMALL if max(shape) <= _SMALL else _SWEEPS, regularisation)
    return fore


def _last(
    picture: Float, alpha: Float, below: tuple[Float, Float], at: tuple[Places, Places], regularisation: float
) -> Float:
    """The level of the picture's own pixels: it has most of them all, so that only the band's are ever copied.

    below: fore and back of the level before; `at` says from which of its rows and columns each of ours starts.
    """
    height, width = alpha.shape
    own, beside = _band(alpha, whole=False)
    places = np.unique(np.concatenate([own, *beside]))
    number = np.zeros(height * width, np.int32)
    number[places] = np.arange(len(places), dtype=np.int32)
    rows, columns = at[0][places // width], at[1][places % width]
    fore, back = (plane[rows, columns] for plane in below)
    nodes = _Nodes(picture.reshape(-1, 3)[places], alpha.ravel()[places], fore, back)
    solid, empty = nodes.cover > 1 - _CLEAR, nodes.cover < _CLEAR
    nodes.fore[solid], nodes.back[empty] = nodes.image[solid], nodes.image[empty]
    _swept(nodes, number[own], [number[place] for place in beside], _SWEEPS, regularisation)
    result = picture.copy()
    result.reshape(-1, 3)[own] = nodes.fore[number[own]]
    return result


def _band(cover: Float, *, whole: bool) -> tuple[Places, list[Places]]:
    """Flat places of the grey pixels and all that touch them (`whole`: of all), and of their four neighbours."""
    height, width = cover.shape
    if whole:
        own = np.arange(height * width)
    else:
        grey = (cover > _CLEAR) & (cover < 1 - _CLEAR)
        own = np.flatnonzero(ndimage.binary_dilation(grey, EIGHT))
    rows, columns = own // width, own % width
    steps = ((-1, 0), (1, 0), (0, -1), (0, 1))
    return own, [np.clip(rows + y, 0, height - 1) * width + np.clip(columns + x, 0, width - 1) for y, x in steps]


@dataclass(frozen=True)
class _Nodes:
    """Pixels in a row: image, fore and back (n, 3), cover (n,)."""

    image: Float
    cover: Float
    fore: Float
    back: Float


def _swept(nodes: _Nodes, own: Places, beside: list[Places], sweeps: int, least: float) -> None:
    """Improve `fore` and `back` in place at `own` (m,), with their neighbours `beside`, four times (m,)."""
    a = nodes.cover[own]
    weights = [least + _GRADIENT_WEIGHT * np.abs(a - nodes.cover[place]) for place in beside]
    total = np.sum(weights, axis=0)
    # [a a + w, a b; a b, b b + w] [F; B] = [a I + sum w F'; b I + sum w B'], with b = 1 - alpha.
    b = 1 - a
    first, mixed, second = a * a + total, a * b, b * b + total
    scale = 1 / (first * second - mixed * mixed)
    pixels = nodes.image[own]
    for _ in range(sweeps):
        right = a[:, None] * pixels
        behind = b[:, None] * pixels
        for place, weight in zip(beside, weights, strict=True):
            right += weight[:, None] * nodes.fore[place]
            behind += weight[:, None] * nodes.back[place]
        nodes.fore[own] = ((second * scale)[:, None] * right - (mixed * scale)[:, None] * behind).clip(0, 1)
        nodes.back[own] = ((first * scale)[:, None] * behind - (mixed * scale)[:, None] * right).clip(0, 1)


def _taken(plane: Float, rows: Places, columns: Places) -> Float:
    return np.take(np.take(plane, rows, axis=0), columns, axis=1)


def _nearest(count: int, length: int, *, up: bool = False) -> Places:
    """Which of `length` samples each of `count` takes; `up`: which of `count` each of `length` takes."""
    taken, given = (length, count) if up else (count, length)
    return np.minimum(((np.arange(taken) + 0.5) * given / taken).astype(np.intp), given - 1)
