"""An object lit otherwise, before it is placed."""

from __future__ import annotations

import dataclasses

import numpy as np

from deep_image_blending.batch.columns import Alteration
from deep_image_blending.pictures import Pixels
from deep_image_blending.runs.inputs import Inputs


def altered(inputs: Inputs, alteration: Alteration) -> Inputs:
    """The same object on the same target, brighter or darker."""
    if alteration.nothing:
        return inputs
    source = inputs.source
    native = _lit(source.native, alteration.brightness)
    pixels = native if source.native is source.pixels else _lit(source.pixels, alteration.brightness)
    return dataclasses.replace(inputs, source=dataclasses.replace(source, pixels=pixels, native=native))


def _lit(pixels: Pixels, factor: float) -> Pixels:
    most = np.iinfo(pixels.dtype).max
    return np.asarray(np.rint(pixels.astype(np.float32) * np.float32(factor)).clip(0, most), pixels.dtype)
