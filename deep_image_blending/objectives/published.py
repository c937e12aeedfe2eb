"""The objectives of Deep Image Blending (Zhang, Wen, Shi, WACV 2020), number for number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from deep_image_blending import losses
from deep_image_blending.losses.features import rows_of, wide
from deep_image_blending.networks.box import Box, whole
from deep_image_blending.networks.mask_regions import bounding_box, cut
from deep_image_blending.networks.network import Network
from deep_image_blending.networks.region import RegionFeatures
from deep_image_blending.objectives.objective import Setting
from deep_image_blending.objectives.taps import taps_of
from deep_image_blending.options.pass_options import Weights
from deep_image_blending.pictures.tensors import image_tensor, plane_tensor
from deep_image_blending.solve.pixels import Pixels


class PublishedFirstPass:
    """The first pass of Deep Image Blending (Zhang, Wen, Shi, WACV 2020), number for number.

    source, mask: the object on its own frame, (1, 3, ss, ss) and (1, 1, ss, ss); target (1, 3, ts, ts); top,
    left: the frame's corner on the canvas.
    """

    start = None

    def __init__(
        self,
        network: Network,
        weights: Weights,
        *,
        source: Tensor,
        mask: Tensor,
        target: Tensor,
        top: int,
        left: int,
        style_taps: Sequence[str],
        content_tap: str,
    ) -> None:
        self.weights, self.target = weights, target
        self.frame_mask = mask
        self.frame = Box(top, left, top + mask.shape[2], left + mask.shape[3])
        self.pixels = Pixels(target, None)
        self.style_taps, self.content_tap = tuple(style_taps), content_tap
        size = (target.shape[2], target.shape[3])
        margins = (left, size[1] - self.frame.right, top, size[0] - self.frame.bottom)
        self.mask = F.pad(mask, margins)
        with torch.no_grad():
            foreground = F.pad(losses.laplacian(source) * mask, margins)
            self.guidance = foreground + losses.laplacian(target) * (1 - self.mask)
            self.canvas_features = RegionFeatures(network, target, whole(size), set(style_taps))
            self.style = {tap: losses.gram_matrix(found) for tap, found in self.canvas_features(target).items()}
            own = source * mask
            # Outside the mask both pictures are black, and their features the same.
            self.object_box = bounding_box(mask)
            self.object_features = RegionFeatures(network, torch.zeros_like(own), self.object_box, {content_tap})
            self.content = wide(self.object_features(cut(own, self.object_box))[content_tap])
            rows, columns = self.object_features.sizes[content_tap]
            self.content_share = self.content[0, 0].numel() / (rows * columns)

    def terms(self, x: Tensor) -> dict[str, Tensor]:
        raw = self.pixels.scatter(x)
        blend = raw * self.mask + self.target * (1 - self.mask)
        weights, found = self.weights, dict[str, Tensor]()
        if weights["gradient"]:
            found["gradient"] = weights["gradient"] * losses.gradient_loss(losses.laplacian(blend), self.guidance)
        if weights["style"]:
            found["style"] = weights["style"] * published_style(
                self.canvas_features(raw), self.style, self.style_taps
            )
        if weights["content"]:
            seen = cut(cut(blend, self.frame) * self.frame_mask, self.object_box)
            features = wide(self.object_features(seen)[self.content_tap])
            found["content"] = (
                weights["content"] * self.content_share * losses.content_loss(features, self.content)
            )
        if weights["tv"]:
            found["tv"] = weights["tv"] * losses.total_variation(blend)
        return found

    def picture(self, x: Tensor) -> Tensor:
        return self.pixels.scatter(x) * self.mask + self.target * (1 - self.mask)


class PublishedSecondPass:
    """The second pass: the whole canvas from the frozen first-pass image (1, 3, H, W) to the target's style."""

    start = None

    def __init__(
        self,
        network: Network,
        weights: Weights,
        *,
        first: Tensor,
        target: Tensor,
        style_taps: Sequence[str],
        content_tap: str,
        zero_content: bool,
    ) -> None:
        self.weights, self.zero_content = weights, zero_content
        self.pixels = Pixels(target, None)
        self.style_taps, self.content_tap = tuple(style_taps), content_tap
        size = (target.shape[2], target.shape[3])
        with torch.no_grad():
            self.features = RegionFeatures(network, target, whole(size), {*style_taps, content_tap})
            of_target = self.features(target)
            self.style = {tap: losses.gram_matrix(of_target[tap]) for tap in self.style_taps}
            self.content = wide(self.features(first)[content_tap])
            self.sorted_targets = {
                tap: rows_of(of_target[tap]).sort(0).values
                for tap in (self.style_taps if weights["histogram"] else ())
            }

    def terms(self, x: Tensor) -> dict[str, Tensor]:
        raw = self.pixels.scatter(x)
        weights, found = self.weights, dict[str, Tensor]()
        features = self.features(raw)
        if weights["style"]:
            found["style"] = weights["style"] * published_style(features, self.style, self.style_taps)
        if weights["content"]:
            own = wide(features[self.content_tap])
            reference = own.detach() if self.zero_content else self.content
            found["content"] = weights["content"] * losses.content_loss(own, reference)
        if weights["histogram"]:
            parts = [
                losses.histogram_loss(rows_of(features[tap]), self.sorted_targets[tap]) for tap in self.style_taps
            ]
            found["histogram"] = weights["histogram"] * torch.stack(parts).mean()
        if weights["tv"]:
            found["tv"] = weights["tv"] * losses.total_variation(raw)
        return found

    def picture(self, x: Tensor) -> Tensor:
        return self.pixels.scatter(x)


def published_style(features: Mapping[str, Tensor], target: Mapping[str, Tensor], taps: Sequence[str]) -> Tensor:
    """Mean over layers of the mean squared difference of Gram matrices (Zhang et al., 2020)."""
    return torch.stack(
        [(losses.gram_matrix(wide(features[tap])) - target[tap]).square().mean() for tap in taps]
    ).mean()


def first_pass(setting: Setting) -> PublishedFirstPass:
    """The published objective of the first pass of a setting."""
    scene, device = setting.scene, setting.device
    style_taps, content_tap = taps_of(setting.options)
    return PublishedFirstPass(
        setting.network,
        setting.options.weights,
        source=image_tensor(scene.source, device),
        mask=plane_tensor(scene.mask, device),
        target=image_tensor(setting.window.target, device),
        top=scene.top,
        left=scene.left,
        style_taps=style_taps,
        content_tap=content_tap,
    )


def second_pass(setting: Setting) -> PublishedSecondPass:
    """The published objective of the second pass of a setting."""
    style_taps, content_tap = taps_of(setting.options)
    return PublishedSecondPass(
        setting.network,
        setting.options.weights,
        first=image_tensor(setting.begun, setting.device),
        target=image_tensor(setting.window.target, setting.device),
        style_taps=style_taps,
        content_tap=content_tap,
        zero_content=setting.options.reproduce_zero_content,
    )
