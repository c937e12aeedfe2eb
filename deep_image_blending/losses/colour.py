"""The shift of colour, at the scale of patches and in every pixel's hue: a part of the content term."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from deep_image_blending.losses.term import Context


def gaussian_blur(image: Tensor, sigma: float) -> Tensor:
    """Separable Gaussian of (1, C, H, W), sigma in pixels, cut at 3 sigma, zeros outside.

    >>> import torch
    >>> inside = gaussian_blur(torch.ones(1, 1, 9, 9), 1.0)[0, 0, 4, 4]
    >>> round(float(inside), 4)
    1.0
    """
    import torch
    from torch.nn import functional as F

    radius = max(1, round(3 * sigma))
    offsets = torch.arange(-radius, radius + 1, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma).square())
    kernel = kernel / kernel.sum()
    channels = image.shape[1]
    rows = kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
    columns = kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
    blurred = F.conv2d(image, rows, padding=(radius, 0), groups=channels)
    return F.conv2d(blurred, columns, padding=(0, radius), groups=channels)


class ColourShift:
    """Mean squared shift of colour inside the mask, in units of 64 levels: low-passed, and without brightness.

    Texture may change brightness at its own scale, but hue and saturation nowhere: second moments are met as well
    by a few glaring pixels, and their square costs more than a texture's.
    """

    def __init__(self, context: Context) -> None:
        self.area = context.area
        # Patches of colour from about a twentieth of the object's size on are held; finer brightness is texture.
        sigma = max(2.0, float(self.area.sqrt()) / 20)
        # A wide blur has no detail: blocks of an eighth of its width stand for their pixels.
        self.block = max(1, int(sigma / 8))
        self.sigma = sigma / self.block
        # Not views, which would hold the whole window.
        self.reference, self.mask = (context.framed(image).clone() for image in (context.reference, context.mask))
        self.blocks = self._blocks(self.mask)
        self.coverage = gaussian_blur(self.blocks, self.sigma).clamp_min(0.05)

    def __call__(self, framed: Tensor) -> Tensor:
        from deep_image_blending.losses.by_hand import chroma

        difference = self.mask * (framed - self.reference)
        shift = gaussian_blur(self._blocks(difference), self.sigma) / self.coverage
        low = (shift.square() * self.blocks).sum() * self.block**2
        return (low + chroma(difference, self.mask)) / (64**2 * 3 * self.area)

    def _blocks(self, image: Tensor) -> Tensor:
        """Means of blocks, with zeros beyond the border."""
        from torch.nn import functional as F

        if self.block == 1:
            return image
        rows, columns = (-side % self.block for side in image.shape[2:])
        return F.avg_pool2d(F.pad(image, (0, columns, 0, rows)), self.block)
