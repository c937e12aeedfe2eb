"""How far the object's gradients are from those that the source and the target ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deep_image_blending.measures.measure import measure

if TYPE_CHECKING:
    from deep_image_blending.measures.blend import Blend
    from deep_image_blending.measures.measure import Array


@measure(
    "energy of the Laplacian's error over the guidance's, in the mask",
    range="0..",
    better="lower",
    about="object",
)
def laplacian_residual(blend: Blend) -> float:
    close = blend.close
    return laplacian_error(close.picture, close.source, close.target, close.mask)


def laplacian_error(picture: Array, source: Array, target: Array, mask: Array) -> float:
    """`sum m (∇²B - V)² / sum m V²` over the mask m, with `V = m ∇²S + (1 - m) ∇²T` (Pérez et al., 2003).

    0.., lower is better: 0 for Poisson cloning under a hard mask.
    """
    from deep_image_blending.solve.poisson import guidance_laplacian

    weight = mask[..., None]
    wanted = guidance_laplacian(source) * weight + guidance_laplacian(target) * (1 - weight)
    error = ((guidance_laplacian(picture) - wanted) ** 2 * weight).sum()
    return float(error) / max(float((wanted**2 * weight).sum()), 1e-9)
