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

    weight, error, energy = mask[..., None], 0.0, 0.0
    # A channel at a time: Laplacians are in double precision.
    for channel in (slice(c, c + 1) for c in range(picture.shape[2])):
        ours, own, theirs = (guidance_laplacian(image[..., channel]) for image in (picture, source, target))
        wanted = own * weight + theirs * (1 - weight)
        error += float(((ours - wanted) ** 2 * weight).sum())
        energy += float((wanted**2 * weight).sum())
    return error / max(energy, 1e-9)
