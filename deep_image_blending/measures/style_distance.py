"""Whether the object's texture is the target's, by Gram matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deep_image_blending.measures.measure import measure

if TYPE_CHECKING:
    from deep_image_blending.measures.blend import Blend
    from deep_image_blending.measures.features import Features


@measure(
    "normalised Gram distance of the object's features to the target's",
    range="0..",
    better="lower",
    about="surroundings",
    of_features=True,
)
def style_distance(blend: Blend) -> float:
    return gram_distance(blend.features)


def gram_distance(features: Features) -> float:
    """Mean over layers of `‖G - G_T‖² / ‖G_T‖²`, G in the mask, G_T over the window's target (Gatys et al., 2016).

    0.., lower is better.
    """
    import torch

    from deep_image_blending import losses

    found = []
    with torch.no_grad():
        for layer in features.style_layers:
            moments = (
                losses.second_moment(features.ours[layer], features.weight[layer]),
                losses.second_moment(features.theirs[layer]),
            )
            head = features.heads.get(layer)
            ours, theirs = (losses.style_statistics(losses.project_moment(moment, head)) for moment in moments)
            found.append(float(losses.style_distance(ours, theirs)))
    return float(np.mean(found))
