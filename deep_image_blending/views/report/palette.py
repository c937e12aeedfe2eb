"""The colours that a part of a picture is made of."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from deep_image_blending.views.contact_sheet import Pixels

Palette = list[tuple[float, tuple[int, int, int]]]
"""Shares of an area and the sRGB colours that fill them, the largest first."""

SWATCHES = 7
SAMPLES = 65536
"""Most pixels that are looked at."""


def palette(picture: Pixels, where: npt.NDArray[np.bool_]) -> Palette:
    """The colours that fill `where` (H, W) of a picture (H, W, 3), at most SWATCHES of them, and their shares."""
    pixels = picture[where]
    if len(pixels) > SAMPLES:
        pixels = pixels[np.random.default_rng(0).choice(len(pixels), SAMPLES, replace=False)]
    reduced = Image.fromarray(pixels[None]).quantize(SWATCHES, Image.Quantize.MEDIANCUT, kmeans=3)
    colours = np.asarray(reduced.getpalette(), np.uint8).reshape(-1, 3)
    counts = np.bincount(np.asarray(reduced).ravel(), minlength=len(colours))
    order = [int(i) for i in np.argsort(-counts, kind="stable") if counts[i]]
    return [
        (float(counts[i] / len(pixels)), (int(c[0]), int(c[1]), int(c[2]))) for i in order for c in [colours[i]]
    ]
