"""The options of the object's size, place and edge; `scene.py` puts it there."""

from __future__ import annotations

from dataclasses import dataclass

from deep_image_blending.declaration import check, option

_PLACEMENT, _PICTURES = "Placement", "Pictures"


@dataclass(frozen=True)
class Placement:
    """Where the object goes. Raises InputError for a value out of its range.

    x, y: vertical and horizontal centre of the source on the canvas; None is the canvas's centre. square: rescale
    to ss×ss and ts×ts whatever the shape, and make the mask hard, as published.
    """

    ss: int | None = option(
        None, "Longer side to rescale the source to, in pixels.", _PLACEMENT, low=1, high=100_000, common=True
    )
    ts: int | None = option(
        None, "Longer side to rescale the target to, in pixels.", _PLACEMENT, low=1, high=100_000, common=True
    )
    x: float | None = option(
        None,
        "VERTICAL centre of the source on the canvas, in pixels; default: the middle.",
        _PLACEMENT,
        low=-1e6,
        high=1e6,
        common=True,
    )
    y: float | None = option(
        None,
        "HORIZONTAL centre of the source on the canvas, in pixels; default: the middle.",
        _PLACEMENT,
        low=-1e6,
        high=1e6,
        common=True,
    )
    rotate: float = option(
        0.0, "Degrees by which the object turns, against the clock.", _PLACEMENT, low=-360, high=360
    )
    flip: bool = option(False, "Mirror the object, left to right, before it turns.", _PLACEMENT)
    square: bool = False
    grow: int = option(
        0, "Pixels by which the mask grows; negative: shrinks.", _PLACEMENT, low=-10_000, high=10_000
    )
    feather: float = option(
        0.0, "Pixels over which the mask's edge fades, inwards.", _PLACEMENT, low=0, high=10_000
    )
    fit_mask: bool = option(False, "Rescale a mask of another size to the source.", _PICTURES)
    max_pixels: int | None = option(
        None, "Largest picture to read, in pixels; default: 200 million.", _PICTURES, low=1, decides=False
    )

    def __post_init__(self) -> None:
        check(self)
