"""The target's style: second moments of its features, over the part of the target that the blend should match."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from deep_image_blending import losses
from deep_image_blending.networks.box import Box, whole
from deep_image_blending.networks.network import Network
from deep_image_blending.networks.region import RegionFeatures

Smoothing = Callable[[str, Tensor], Tensor]

TILE = 512
"""Side of the parts, in pixels, that a target is looked at by."""

MOST_GAIN = 1.5
"""How far recolouring stretches an axis of colour, or shrinks it."""

STROKE = 6.0
"""Standard deviation, in pixels, of the blur that fine texture is told from."""


def tiles(size: tuple[int, int], tile: int) -> Iterator[Box]:
    """A canvas of `size` cut into boxes of at most `tile`×`tile`."""
    for top in range(0, size[0], tile):
        for left in range(0, size[1], tile):
            yield Box(top, left, min(size[0], top + tile), min(size[1], left + tile))


@torch.no_grad()
def tiled_features(
    network: Network, image: Tensor, taps: frozenset[str] | set[str], tile: int = TILE
) -> Iterator[tuple[dict[str, Tensor], dict[str, Box]]]:
    """Features of image (1, 3, h, w), tile by tile, equal to the whole's; with the positions that each tile gives.

    Memory is that of one tile with its surroundings, not that of the image: each dictionary of features is emptied
    when the next is asked for.
    """
    network = network.truncated(taps)
    strides = network.strides()
    total = max(strides.values())
    sizes = network.sizes((image.shape[2], image.shape[3]))
    reach = network.reach()
    tile = max(total, tile // total * total)
    for box in tiles((image.shape[2], image.shape[3]), tile):
        top, left = max(0, box.top - reach), max(0, box.left - reach)
        bottom, right = min(image.shape[2], box.bottom + reach), min(image.shape[3], box.right + reach)
        crop = image[:, :, top:bottom, left:right]
        found = RegionFeatures(network, crop, whole((bottom - top, right - left)), taps)(crop)
        core, places = {}, {}
        for tap in taps:
            stride = strides[tap]
            place = Box(
                box.top // stride,
                box.left // stride,
                min(-(-box.bottom // stride), sizes[tap][0]),
                min(-(-box.right // stride), sizes[tap][1]),
            )
            local = place.shifted(-(top // stride), -(left // stride))
            core[tap] = found[tap][:, :, local.top : local.bottom, local.left : local.right]
            places[tap] = place
        del found
        yield core, places
        core.clear()


@torch.no_grad()
def target_moments(
    network: Network,
    image: Tensor,
    taps: Sequence[str],
    weights: Mapping[str, Tensor] | None = None,
    smoothing: Smoothing | None = None,
) -> dict[str, Tensor]:
    """Second moments (C+1, C+1) by tap of an image (1, 3, h, w), each position counted by its weight.

    weights: by tap, (1, 1, h_l, w_l); None counts all alike.
    """
    moments: dict[str, Tensor] = {}
    for found, places in tiled_features(network, image, set(taps)):
        for tap in taps:
            place = places[tap]
            features = found[tap] if smoothing is None else smoothing(tap, found[tap])
            if not features.numel():
                continue
            counted = None
            if weights is not None:
                counted = weights[tap][:, :, place.top : place.bottom, place.left : place.right]
            moment = losses.second_moment(features, counted)
            moments[tap] = moments[tap] + moment if tap in moments else moment
    return moments


@torch.no_grad()
def log_totals(network: Network, image: Tensor, taps: Sequence[str]) -> dict[str, Tensor]:
    """The logarithm of the mean of `exp(F)` over the image, by tap: the constant of activation smoothing."""
    parts: dict[str, list[tuple[Tensor, int]]] = {tap: [] for tap in taps}
    for found, _ in tiled_features(network, image, set(taps)):
        for tap in taps:
            if found[tap].numel():
                parts[tap].append((torch.logsumexp(found[tap].float().flatten(), 0), found[tap].numel()))
    totals = {}
    for tap in taps:
        total = torch.logsumexp(torch.stack([value for value, _ in parts[tap]]), 0)
        count = float(sum(number for _, number in parts[tap]))
        totals[tap] = total - torch.log(total.new_tensor(count))
    return totals


@torch.no_grad()
def sorted_values(network: Network, image: Tensor, taps: Sequence[str], most: int = 65536) -> dict[str, Tensor]:
    """Every channel's values over the image in ascending order, (K, C) by tap; every n-th where there are more."""
    values: dict[str, list[Tensor]] = {tap: [] for tap in taps}
    for found, _ in tiled_features(network, image, set(taps)):
        for tap in taps:
            values[tap].append(found[tap].permute(0, 2, 3, 1).reshape(-1, found[tap].shape[1]).float())
    result = {}
    for tap in taps:
        flat = torch.cat(values[tap])
        step = -(-flat.shape[0] // most)
        result[tap] = flat[::step].sort(0).values
    return result


@torch.no_grad()
def similarity(
    network: Network, of_target: Tensor, blend: Tensor, mask: Tensor, tap: str, temperature: float = 0.1
) -> Tensor:
    """How much each part of the target resembles parts of the object: (1, 1, h, w), mean 1 over the target.

    Every position of the object (`blend` where `mask` is above a half) spreads one unit over the target's
    positions by a softmax of the cosine of their centred features over `temperature`.
    of_target: the target as `pooled` gives it; blend (1, 3, h, w), mask (1, 1, h, w), of the target's size.
    """
    size = (blend.shape[2], blend.shape[3])
    strides = network.strides()
    cell = _cell(size, strides[tap])
    of_blend = pooled(network, blend, tap)
    inside = F.avg_pool2d(mask, cell, cell, ceil_mode=True, count_include_pad=False)
    rows, columns = of_target.shape[2:]
    inside = inside[:, :, :rows, :columns].flatten()
    flat_target = of_target.permute(0, 2, 3, 1).reshape(rows * columns, -1)
    flat_blend = of_blend.permute(0, 2, 3, 1).reshape(rows * columns, -1)
    chosen = flat_blend[inside > min(0.5, 0.5 * float(inside.max()))]
    centre = flat_target.mean(0)
    a = F.normalize(chosen - centre, dim=1)
    b = F.normalize(flat_target - centre, dim=1)
    spread = torch.zeros(b.shape[0], device=b.device)
    for part in torch.split(a, 512):
        spread += torch.softmax(part @ b.T / temperature, 1).sum(0)
    spread = (spread / spread.mean()).view(1, 1, rows, columns)
    return F.interpolate(spread, size=size, mode="bilinear", align_corners=False)


@torch.no_grad()
def recolouring(
    target: Tensor, counted: Tensor | None, blend: Tensor, mask: Tensor, palette: float, stretch: float = MOST_GAIN
) -> Tensor:
    """The affine map (3, 4) of colours that gives the target the object's palette but for a share `palette`.

    target (1, 3, h, w), counted by (1, 1, h, w), or all alike; the object is `blend` (1, 3, h', w') in `mask`
    (1, 1, h', w'). Means meet, and covariances as far as no axis is stretched more than `stretch`, or shrunk more
    than 1.5 times: flat grounds would turn to noise. The linear Monge-Kantorovich map (Pitié and Kokaram, 2007),
    for the end of Gatys et al., *Preserving Color in Neural Artistic Style Transfer*, 2016.
    """
    mean, covariance = _colours(target, counted)
    wanted, spread = _colours(blend, mask)
    root = _square_root(covariance)
    inverse = torch.linalg.inv(root)
    values, axes = torch.linalg.eigh(inverse @ _square_root(root @ spread @ root) @ inverse)
    matrix = axes @ torch.diag(values.clamp(1 / MOST_GAIN, stretch)) @ axes.T
    kept = palette * torch.eye(3, dtype=matrix.dtype) + (1 - palette) * matrix
    offset = (1 - palette) * (wanted - matrix @ mean)
    return torch.cat((kept, offset[:, None]), 1)


@torch.no_grad()
def recoloured(image: Tensor, colours: Tensor) -> Tensor:
    """image (1, 3, h, w) with the affine map (3, 4) applied to every pixel, in 0..255."""
    matrix = colours.to(image)
    return F.conv2d(image, matrix[:, :3, None, None], matrix[:, 3]).clamp(0, 255)


@torch.no_grad()
def fine_texture(target: Tensor) -> Tensor:
    """The target's grain and brush strokes (1, 3, h, w): what a Gaussian of six pixels leaves out of it."""
    covered = losses.gaussian_blur(torch.ones_like(target[:, :1]), STROKE)
    return target - losses.gaussian_blur(target, STROKE) / covered


def _colours(image: Tensor, counted: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mean (3,) and covariance (3, 3), in double precision on the CPU."""
    flat = image.reshape(3, -1)
    weights = torch.ones_like(flat[:1]) if counted is None else counted.reshape(1, -1)
    weights = weights / weights.sum()
    mean = (flat * weights).sum(1, keepdim=True)
    centred = flat - mean
    # Two grey levels of noise: a picture of one colour has a covariance too.
    noise = 4 * torch.eye(3, dtype=torch.float64)
    return mean[:, 0].cpu().double(), ((centred * weights) @ centred.T).cpu().double() + noise


def _square_root(matrix: Tensor) -> Tensor:
    """Of a symmetric matrix without negative eigenvalues."""
    values, axes = torch.linalg.eigh(matrix)
    root: Tensor = (axes * values.clamp_min(0).sqrt()) @ axes.T
    return root


def _cell(size: tuple[int, int], stride: int) -> int:
    return max(stride, -(-max(size) // 64) // stride * stride)


@torch.no_grad()
def pooled(network: Network, image: Tensor, tap: str) -> Tensor:
    """Features of an image (1, 3, h, w) averaged over cells, (1, C, h', w'): at most about 64×64 of them."""
    strides = network.strides()
    size = (image.shape[2], image.shape[3])
    cell = _cell(size, strides[tap])
    grid: Tensor | None = None
    rows, columns = network.sizes(size)[tap]
    for found, places in tiled_features(network, image, {tap}):
        features, place = found[tap].float(), places[tap]
        if grid is None:
            grid = features.new_zeros(1, features.shape[1], rows, columns)
        grid[:, :, place.top : place.bottom, place.left : place.right] = features
    assert grid is not None
    step = cell // strides[tap]
    return F.avg_pool2d(grid, step, step, ceil_mode=True, count_include_pad=False)
