"""How much of the surroundings' colour has run into the object."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deep_image_blending.measures.measure import measure

if TYPE_CHECKING:
    from deep_image_blending.measures.blend import Blend, View
    from deep_image_blending.measures.measure import Array


@measure(
    "mean low-pass shift in CIELAB of the object against its source",
    range="0..",
    better="lower",
    about="object",
)
def colour_bleed(blend: Blend) -> float:
    return colour_shift(blend.close)


def colour_shift(view: View) -> float:
    """Mean CIELAB distance (ΔE 1976) of low-passed object and source, inside the eroded mask.

    0.., lower is better; 2.3 is about a just noticeable difference. The low pass is a Gaussian of a twentieth of
    the root of the mask's area (1 pixel at least), weighted by the mask.
    """
    from scipy import ndimage

    mask = view.mask
    sigma = max(1.0, float(np.sqrt(mask.sum())) / 20)
    # A wide low pass has no detail: blocks of an eighth of its width stand for their pixels.
    block = max(1, int(sigma / 8))
    shift = _blocks((view.lab - view.source_lab) * mask[..., None], block)
    cover = ndimage.gaussian_filter(_blocks(mask[..., None].astype(np.float64), block)[..., 0], sigma / block)
    smooth = ndimage.gaussian_filter(shift, (sigma / block, sigma / block, 0)) / np.maximum(cover, 1e-6)[..., None]
    amount = np.linalg.norm(smooth, axis=2).repeat(block, 0).repeat(block, 1)[: mask.shape[0], : mask.shape[1]]
    return float(amount[view.inner].mean())


def _blocks(image: Array, block: int) -> Array:
    """Means of blocks of (h, w, C), the border repeated to whole ones."""
    from deep_image_blending.pictures.scene import averaged

    if block == 1:
        return image
    rows, columns = (-side % block for side in image.shape[:2])
    return averaged(np.pad(image, ((0, rows), (0, columns), (0, 0)), mode="edge"), block).astype(np.float64)
