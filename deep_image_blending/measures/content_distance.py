"""Whether the object still looks like its source to a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deep_image_blending.measures.measure import measure

if TYPE_CHECKING:
    from deep_image_blending.measures.blend import Blend
    from deep_image_blending.measures.features import Features


@measure(
    "relative squared distance of the object's features to its source's",
    range="0..",
    better="lower",
    about="object",
    of_features=True,
)
def content_distance(blend: Blend) -> float:
    return feature_distance(blend.features)


def feature_distance(features: Features) -> float:
    """`sum m |F - F_S|² / sum m |F_S|²` at the content layer, m the mask resampled to it. 0.., lower is better."""
    import torch

    from deep_image_blending import losses

    layer = features.content_layer
    with torch.no_grad():
        ours, own = (
            losses.apply_head(seen[layer], features.heads.get(layer)) for seen in (features.ours, features.own)
        )
        return float(losses.content_loss(ours, own, features.weight[layer]))
