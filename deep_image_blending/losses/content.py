"""The content loss: features of the object against a reference (Gatys et al., 2016)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deep_image_blending.losses.colour import ColourShift
from deep_image_blending.losses.declaration import Loss
from deep_image_blending.losses.features import rows_of, wide
from deep_image_blending.losses.term import Context, Parts

if TYPE_CHECKING:
    from torch import Tensor

    from deep_image_blending.networks.mask_regions import Region
    from deep_image_blending.networks.network import Head


def content_loss(features: Tensor, reference: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean squared difference of features (Gatys et al., 2016), or weighted and over the reference's energy.

    >>> import torch
    >>> float(content_loss(torch.full((1, 2, 1, 1), 3.0), torch.ones(1, 2, 1, 1)))
    4.0
    """
    difference = (features - reference).square()
    if weights is None:
        return difference.mean()
    return (difference * weights).sum() / (reference.square() * weights).sum().clamp_min(1e-12)


def apply_head(features: Tensor, head: Head | None) -> Tensor:
    """Features (1, C, H, W) in the channels of the network that taught them."""
    if head is None:
        return features
    from torch.nn import functional as F

    exact = features.to(head.weight.dtype)
    return F.conv2d(exact, head.weight[:, :, None, None], head.bias)


class ContentTerm:
    """Features of the object against the reference's, relative to their energy, and the shift of colour."""

    def __init__(self, context: Context) -> None:
        import torch

        self.weight = context.weight("content")
        self.tap = context.content_tap
        self.head = context.network.heads.get(self.tap)
        self.regions = context.regions
        # The reference's own surroundings count: its features are those of an undisturbed picture.
        self.references = [context.reference_features(region, self.tap) for region in self.regions]
        energies = [
            (apply_head(wide(own), self.head).square() * region.weights[self.tap]).sum()
            for own, region in zip(self.references, self.regions, strict=True)
        ]
        self.energy = torch.stack(energies).sum().clamp_min(1e-12)
        self.colour_weight = context.options.colour_weight
        self.shift = ColourShift(context) if self.colour_weight else None

    def of_region(self, index: int, features: Parts) -> Parts:
        return {"content": self._distance(features[self.tap], self.references[index], self.regions[index])}

    def value(self, parts: list[Parts], framed: Tensor) -> Tensor:
        import torch

        content = torch.stack([part["content"] for part in parts]).sum() / self.energy
        if self.shift is not None:
            content = content + self.colour_weight * self.shift(framed)
        return self.weight * content

    def _distance(self, features: Tensor, own: Tensor, region: Region) -> Tensor:
        """Weighted sum of squared differences from the reference's features, seen through the head."""
        from deep_image_blending.losses.by_hand import weighted_form

        difference, weights = features - own, region.weights[self.tap]
        if self.head is None:
            return (wide(difference).square() * weights).sum()
        # |P d|² as dᵀ(PᵀP)d: the bias cancels, and the wide features are never made.
        return weighted_form(rows_of(difference), self.head.weight.T @ self.head.weight, weights.flatten())


LOSS = Loss(
    name="content",
    order=3,
    help="Weight of content: how closely the object keeps its form.",
    colour="#2b8a3e",
    taps="content",
    term=ContentTerm,
    copies=1,
    copies_by_head=3,
    common=True,
)
