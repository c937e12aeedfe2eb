"""What a network sees in a blend, in its source and in its target: what style and content are measured of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from deep_image_blending.measures.blend import View
    from deep_image_blending.measures.measure import Array
    from deep_image_blending.networks.network import Head

LONGEST = 640
"""Features are taken at full size up to this longer side of the window, in larger ones at a half, a third, ..."""
SAMPLES = 4096
"""Most positions of a layer that a cloud holds."""


@dataclass(frozen=True)
class Features:
    """Features by layer, (1, C, H, W): `ours` of the blend and `own` of its source, both around the object,
    `theirs` of the whole window's target.

    weight: the mask resampled to each layer, (1, 1, H, W). heads: what each layer is seen through.
    """

    style_layers: tuple[str, ...]
    content_layer: str
    ours: Mapping[str, Tensor]
    own: Mapping[str, Tensor]
    theirs: Mapping[str, Tensor]
    weight: Mapping[str, Tensor]
    heads: Mapping[str, Head]

    @property
    def empty(self) -> bool:
        """Whether the picture is too small for the deepest layer to have a value."""
        return any(not found.numel() for seen in (self.ours, self.theirs) for found in seen.values())

    def clouds(self, layer: str) -> tuple[Array, Array]:
        """The blend's features in the mask, (N, C), and the target's, (M, C), at `SAMPLES` positions at most."""
        weight, head = self.weight[layer], self.heads.get(layer)
        inside = weight.flatten() >= min(0.5, float(weight.max()))
        return _cloud(self.ours[layer], head, inside), _cloud(self.theirs[layer], head)


def features_of(view: View, backbone: str, weights: Path | None = None) -> Features:
    """What a backbone sees. Windows larger than `LONGEST` are scaled down by a whole number.

    Raises InputError where the backbone can't be had.
    """
    import torch

    from deep_image_blending.networks.backbones import default_taps, load_backbone
    from deep_image_blending.networks.mask_regions import resample

    factor = -(-max(view.mask.shape) // LONGEST)
    blend = dataclasses.replace(view.window, source=np.asarray(view.picture, np.float32)).coarser(factor).source
    window = view.window.coarser(factor)
    style_layers, content_layer = default_taps(backbone)
    layers = {*style_layers, content_layer}
    network = load_backbone(backbone, layers, weights=weights).network.to(torch.device("cpu"))
    strides = network.strides()
    place = _seen_by(window.mask, network.reach(), max(strides.values()))
    mask = torch.from_numpy(window.mask[place])[None, None]
    with torch.no_grad():
        ours, own, theirs = (
            network.features(torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None], layers)
            for image in (blend[place], window.source[place], window.target)
        )
        weight = {
            layer: resample(mask, strides[layer], (found.shape[2], found.shape[3]))
            for layer, found in ours.items()
        }
    return Features(tuple(style_layers), content_layer, ours, own, theirs, weight, network.heads)


def _seen_by(mask: Array, reach: int, align: int) -> tuple[slice, slice]:
    """The mask's box with all that the features in it see, its corner a multiple of `align`."""
    from scipy import ndimage

    rows, columns = ndimage.find_objects((mask > 0).astype(np.uint8))[0]
    top, left = (max(0, span.start - reach) // align * align for span in (rows, columns))
    return slice(top, rows.stop + reach), slice(left, columns.stop + reach)


def _cloud(features: Tensor, head: Head | None, chosen: Tensor | None = None) -> Array:
    """Features (1, C, H, W) at the chosen positions (H·W), or a sample of them, seen through the head: (N, C')."""
    from deep_image_blending import losses

    flat = features[0].flatten(1)
    places = np.arange(flat.shape[1]) if chosen is None else chosen.nonzero().flatten().numpy()
    if len(places) > SAMPLES:
        places = np.random.default_rng(0).choice(places, SAMPLES, replace=False)
    seen = losses.apply_head(flat[:, places][None, :, :, None], head)
    return np.asarray(seen[0, :, :, 0].T.numpy())
