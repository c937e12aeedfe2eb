"""Whether the object is as sharp and as grainy as what is around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deep_image_blending.measures.measure import mean, measure, ratio

if TYPE_CHECKING:
    from deep_image_blending.measures.blend import Blend, View


@measure(
    "Laplacian energy of the object over the surroundings'", range="0..", better="near 1", about="surroundings"
)
def high_frequencies(blend: Blend) -> float:
    return laplacian_energy_ratio(blend.wide)


def laplacian_energy_ratio(view: View) -> float:
    """Mean squared Laplacian of L* in the eroded mask over that of the surroundings (mask 0). Near 1 is better.

    0..; below 1 the object is smoother or less grainy than what is around it. nan without surroundings.
    """
    from scipy import ndimage

    from deep_image_blending.solve.poisson import guidance_laplacian

    field = guidance_laplacian(view.lab[..., :1])[..., 0] ** 2
    # The Laplacian of a pixel at the seam sees both sides.
    around = ndimage.binary_erosion(view.mask == 0, border_value=1)
    return ratio(mean(field[view.inner]), mean(field[around]))
