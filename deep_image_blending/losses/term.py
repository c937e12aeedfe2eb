"""A loss at work: what it is made from, and what an objective asks of it."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from deep_image_blending.networks.box import Box
    from deep_image_blending.networks.mask_regions import Region
    from deep_image_blending.networks.network import Network

    Parts = Mapping[str, Tensor]
else:
    Parts = Mapping


@dataclass(frozen=True)
class TargetStatistics:
    """What style and histogram compare with, by layer.

    moments: second moments (C+1, C+1). log_totals: the constants of activation smoothing, where it is used.
    sorted_values: (K, C), every channel in ascending order.
    """

    moments: Mapping[str, Tensor] = field(default_factory=dict)
    log_totals: Mapping[str, Tensor] = field(default_factory=dict)
    sorted_values: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """What a loss is made from: one window of the scene, its regions, and what the target is like.

    reference, target (1, 3, h, w), mask (1, 1, h, w). reference: whose edges and content are kept. frame:
    the mask's box with what a Laplacian and total variation see around it. area: the sum of the mask. options: the
    pass's.
    """

    network: Network
    options: Any
    mask: Tensor
    target: Tensor
    reference: Tensor
    style_taps: tuple[str, ...]
    content_tap: str
    statistics: TargetStatistics
    regions: Sequence[Region]
    frame: Box
    area: Tensor

    def weight(self, name: str) -> float:
        """The weight of a loss."""
        return float(self.options.weights[name])

    def framed(self, image: Tensor) -> Tensor:
        """The frame's part of an image (1, C, h, w)."""
        rows, columns = self.frame.slices()
        return image[:, :, rows, columns]

    def reference_features(self, region: Region, tap: str) -> Tensor:
        """The reference's features at a tap, where the region's vary."""
        from deep_image_blending.networks.region import RegionFeatures

        rows, columns = region.box.slices()
        found = region.features
        if not self._around_alike:
            found = RegionFeatures(found.network, self.reference, region.box, found.taps)
        return found(self.reference[:, :, rows, columns])[tap]

    @functools.cached_property
    def _around_alike(self) -> bool:
        """Whether the reference is the target outside the mask: it has the same surroundings then."""
        return bool(((self.mask > 0) | (self.reference == self.target)).all())


class Term(Protocol):
    """A weighted loss on one window.

    An objective shows it the features of each region, one after the other, and then all that it made of them.
    """

    def of_region(self, index: int, features: Parts) -> Parts:
        """What the loss keeps of one region: tensors by name, of which `value` is a function."""
        ...

    def value(self, parts: list[Parts], framed: Tensor) -> Tensor:
        """The weighted loss (0-dim). parts: one for each region. framed: the blend (1, 3, h, w) in the frame."""
        ...
