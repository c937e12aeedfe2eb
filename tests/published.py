"""The published algorithm (Zhang, Wen and Shi, *Deep Image Blending*, WACV 2020), restated plainly.

A reference for fidelity and the baseline of benchmarks. It shares no code with the package. Every evaluation
of the first pass runs the network four times, as the published program does: on the target, on Z, on the
source's object and on the blend's. Nothing else that never changes is computed again: the baseline is fair.

Pictures are (1, 3, H, W) float in 0..255. Everything follows the device and the precision of the case.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor
from torch.nn.functional import conv2d, mse_loss

MEAN = (0.4488, 0.4371, 0.4040)
TAPS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
CONTENT = "relu2_2"


class Vgg(torch.nn.Module):
    """A frozen torchvision VGG (`vgg16`, `vgg19`) up to the deepest tap; gives all its taps, every time.

    state: torchvision's names (`features.0.weight`); layers beyond the deepest tap may be absent. seen: what the
    first layer gets of a picture in 0..255, by default the published program's `shifted`. Raises
    ValueError where a tap is unknown, the tap that content needs is left out, or a layer is missing.
    """

    def __init__(
        self,
        state: Mapping[str, Tensor],
        name: str = "vgg16",
        taps: Sequence[str] = TAPS,
        seen: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.seen = shifted if seen is None else seen
        # Without storage: torchvision would spend seconds on a classifier that nobody wants.
        with torch.device("meta"):
            features = getattr(torchvision.models, name)(weights=None).features
        names = tap_names(features)
        if unknown := set(taps) - set(names.values()):
            raise ValueError(f"{name} has no {sorted(unknown)}; it has {list(names.values())}")
        if CONTENT not in taps:
            raise ValueError(f"taps must hold {CONTENT}, where content is measured")
        self.wanted = {at: tap for at, tap in names.items() if tap in taps}
        self.layers = features[: max(self.wanted) + 1]
        keys = list(self.layers.state_dict())
        if missing := [f"features.{key}" for key in keys if f"features.{key}" not in state]:
            raise ValueError(f"the weights do not reach {self.wanted[max(self.wanted)]}: no {missing}")
        self.layers.load_state_dict({key: state[f"features.{key}"].float() for key in keys}, assign=True)
        for parameter in self.layers.parameters():
            parameter.requires_grad = False

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.seen(x)
        found = {}
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if i in self.wanted:
                # No later layer writes into it: after a rectifier comes a convolution or a pool.
                found[self.wanted[i]] = x
        return found


def plain_vgg16(state: Mapping[str, Tensor], taps: Sequence[str] = TAPS) -> Vgg:
    """The published network."""
    return Vgg(state, "vgg16", taps)


def tap_names(features: torch.nn.Sequential) -> dict[int, str]:
    """`relu{block}_{n}` by position; a pool ends a block."""
    names, block, n = {}, 1, 0
    for i, layer in enumerate(features):
        if isinstance(layer, torch.nn.ReLU):
            n += 1
            names[i] = f"relu{block}_{n}"
        elif isinstance(layer, torch.nn.MaxPool2d):
            block, n = block + 1, 0
    return names


@dataclass(frozen=True)
class Case:
    """source (1, 3, ss, ss), mask (ss, ss) of zeros and ones, target (1, 3, ts, ts), the object's corner."""

    source: Tensor
    mask: Tensor
    target: Tensor
    top: int
    left: int

    def to(self, to: torch.device | torch.dtype) -> Case:
        """The same case on another device or in another precision."""
        return Case(self.source.to(to), self.mask.to(to), self.target.to(to), self.top, self.left)

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns of the canvas that the source's frame covers."""
        size = self.mask.shape[0]
        return slice(self.top, self.top + size), slice(self.left, self.left + size)

    @cached_property
    def canvas_mask(self) -> Tensor:
        """The mask on the canvas, (ts, ts)."""
        canvas = self.mask.new_zeros(self.target.shape[2:])
        canvas[self.box] = self.mask
        return canvas

    @cached_property
    def guidance(self) -> list[Tensor]:
        """`∇²S·M + ∇²T·(1−M)` by channel, (ts, ts); the source's Laplacian is taken on its own frame."""
        of_source, of_target = laplacian(self.source), laplacian(self.target)
        fields = []
        for c in range(3):
            foreground = torch.zeros_like(self.canvas_mask)
            foreground[self.box] = of_source[c] * self.mask
            fields.append(foreground + of_target[c] * (1 - self.canvas_mask))
        return fields


def load_case(source: Path, mask: Path, target: Path, ss: int, ts: int, x: float, y: float) -> Case:
    """Files resized to ss×ss and ts×ts; x is the object's vertical centre, y its horizontal one.

    Raises ValueError where a part of the source's frame is off the canvas, for which nothing is published.
    """

    def picture(path: Path, size: int) -> Tensor:
        image = Image.open(path).convert("RGB").resize((size, size))
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float().contiguous()

    top, left = int(x - ss / 2), int(y - ss / 2)
    if min(top, left) < 0 or max(top, left) + ss > ts:
        raise ValueError(f"a {ss} px source at row {top}, column {left} is not wholly on a {ts} px canvas")
    grey = np.array(Image.open(mask).convert("L").resize((ss, ss)))
    hard = torch.from_numpy((grey > 0).astype(np.float32))
    return Case(picture(source, ss), hard, picture(target, ts), top, left)


def laplacian(image: Tensor) -> list[Tensor]:
    """(1, 3, h, w) to three (h, w)."""
    kernel = image.new_tensor([[0, -1, 0], [-1, 4, -1], [0, -1, 0]])[None, None]
    return [conv2d(image[:, c : c + 1], kernel, padding=1)[0, 0] for c in range(3)]


def gram(features: Tensor) -> Tensor:
    """(1, C, h, w) to `F Fᵀ / (C·h·w)`, (C, C)."""
    _, channels, height, width = features.shape
    flat = features.view(channels, height * width)
    return torch.mm(flat, flat.t()) / (channels * height * width)


def shifted(image: Tensor) -> Tensor:
    """What the published network sees of a picture in 0..255."""
    return image - image.new_tensor(MEAN).view(1, 3, 1, 1)


def standardised(image: Tensor) -> Tensor:
    """What torchvision's networks were trained on, of a picture in 0..255."""
    mean, deviation = image.new_tensor((0.485, 0.456, 0.406)), image.new_tensor((0.229, 0.224, 0.225))
    return (image / 255 - mean.view(1, 3, 1, 1)) / deviation.view(1, 3, 1, 1)


Features = Mapping[str, Tensor]


def style(of_image: Features, of_target: Features) -> Tensor:
    """Mean over layers of the MSE of Gram matrices."""
    parts = [mse_loss(gram(of_image[tap]), gram(of_target[tap])) for tap in of_target]
    return torch.stack(parts).mean()


def histogram(of_image: Features, of_target: Features) -> Tensor:
    """Mean over layers of the MSE between features and the same features given the target's histogram.

    Left out by default (Wilmot et al., 2017). Matched by rank in place of binned histograms: in each channel
    the i-th smallest value becomes the target's i-th smallest.
    """
    parts = []
    for tap in of_target:
        own, wanted = of_image[tap].flatten(2), of_target[tap].flatten(2)
        matched = torch.zeros_like(wanted).scatter(2, own.detach().argsort(2), wanted.sort(2).values)
        parts.append(mse_loss(own, matched))
    return torch.stack(parts).mean()


def variation(image: Tensor) -> Tensor:
    """Sum of absolute horizontal and vertical differences."""
    across = torch.abs(image[:, :, :, :-1] - image[:, :, :, 1:]).sum()
    return across + torch.abs(image[:, :, :-1, :] - image[:, :, 1:, :]).sum()


def blended(z: Tensor, case: Case) -> Tensor:
    """`B = Z·M + T·(1−M)`."""
    return z * case.canvas_mask + case.target * (1 - case.canvas_mask)


def first_pass_terms(z: Tensor, case: Case, vgg: Vgg) -> dict[str, Tensor]:
    """Weighted terms at z (1, 3, ts, ts); their sum is the objective."""
    blend = blended(z, case)
    fields = laplacian(blend)
    gradient = torch.stack([mse_loss(fields[c], case.guidance[c]) for c in range(3)]).mean()
    of_target, of_z = vgg(case.target), vgg(z)
    of_source = vgg(case.source * case.mask)
    of_blend = vgg(blend[:, :, *case.box] * case.mask)
    return {
        "gradient": 1e4 * gradient,
        "style": 1e4 * style(of_z, of_target),
        "content": mse_loss(of_blend[CONTENT], of_source[CONTENT]),
        "tv": 1e-6 * variation(blend),
    }


def second_pass_terms(
    z: Tensor,
    first: Tensor,
    case: Case,
    vgg: Vgg,
    *,
    zero_content: bool = False,
    tv_weight: float = 0.0,
    histogram_weight: float = 0.0,
) -> dict[str, Tensor]:
    """Weighted terms at the whole canvas z, with the first picture held; a weight of 0 leaves its term out.

    zero_content: compare z with itself, as the published code does.
    """
    of_target, of_z = vgg(case.target), vgg(z)
    held = of_z[CONTENT].detach() if zero_content else vgg(first)[CONTENT]
    terms = {"style": 1e7 * style(of_z, of_target), "content": mse_loss(of_z[CONTENT], held)}
    if histogram_weight:
        terms["histogram"] = histogram_weight * histogram(of_z, of_target)
    if tv_weight:
        terms["tv"] = tv_weight * variation(z)
    return terms


Callback = Callable[[int, dict[str, float], Tensor], None]
"""Gets the number of the evaluation (from 1), its weighted terms, and the pixels it was made at."""


def optimised(
    z: Tensor,
    terms: Callable[[Tensor], dict[str, Tensor]],
    num_steps: int,
    callback: Callback | None,
) -> Tensor:
    """L-BFGS with PyTorch's defaults, 20 evaluations a step, until their number exceeds num_steps."""
    z = z.clone().requires_grad_(True)
    solver = torch.optim.LBFGS([z])
    evaluations = 0

    def closure() -> Tensor:
        nonlocal evaluations
        solver.zero_grad()
        parts = terms(z)
        loss = torch.stack(list(parts.values())).sum()
        torch.autograd.backward(loss)
        evaluations += 1
        if callback is not None:
            callback(evaluations, {name: value.item() for name, value in parts.items()}, z.detach())
        return loss

    while evaluations <= num_steps:
        solver.step(closure)  # type: ignore[no-untyped-call]
    return z.detach()


def run_first_pass(
    case: Case,
    vgg: Vgg,
    num_steps: int,
    start: Tensor | None = None,
    callback: Callback | None = None,
    *,
    seed: int = 0,
) -> Tensor:
    """The blend (1, 3, ts, ts), its Z clamped to 0..255 at the end; start: by default the seed's noise."""
    if start is None:
        start = torch.randn(case.target.shape, generator=torch.Generator().manual_seed(seed)).to(case.target)
    z = optimised(start, lambda z: first_pass_terms(z, case, vgg), num_steps, callback)
    return blended(z.clamp(0, 255), case)


def run_second_pass(
    case: Case,
    vgg: Vgg,
    first: Tensor,
    num_steps: int,
    callback: Callback | None = None,
    *,
    zero_content: bool = False,
    tv_weight: float = 0.0,
    histogram_weight: float = 0.0,
) -> Tensor:
    """The whole canvas (1, 3, ts, ts) refined from the first pass's picture, clamped to 0..255."""

    def terms(z: Tensor) -> dict[str, Tensor]:
        return second_pass_terms(
            z,
            first,
            case,
            vgg,
            zero_content=zero_content,
            tv_weight=tv_weight,
            histogram_weight=histogram_weight,
        )

    return optimised(first, terms, num_steps, callback).clamp(0, 255)
