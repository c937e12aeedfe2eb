"""The published algorithm (Zhang, Wen and Shi, *Deep Image Blending*, WACV 2020), restated plainly.

A reference for fidelity and the baseline of benchmarks. It shares no code with the package, and recomputes in
every evaluation what the published program recomputes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image

MEAN = (0.4488, 0.4371, 0.4040)
TAPS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
POSITIONS = {
    "vgg16": {3: "relu1_2", 8: "relu2_2", 15: "relu3_3", 22: "relu4_3"},
    "vgg19": {3: "relu1_2", 8: "relu2_2", 15: "relu3_3", 24: "relu4_3"},
}


class Vgg(torch.nn.Module):
    """All taps up to the deepest wanted one, every time."""

    def __init__(self, state: Mapping[str, torch.Tensor], name: str = "vgg16", taps: Sequence[str] = TAPS) -> None:
        super().__init__()
        features = getattr(torchvision.models, name)(weights=None).features
        wanted = {at: tap for at, tap in POSITIONS[name].items() if tap in taps}
        self.layers = features[: max(wanted) + 1]
        known = self.layers.state_dict()
        self.layers.load_state_dict({key: state[f"features.{key}"] for key in known})
        for parameter in self.layers.parameters():
            parameter.requires_grad = False
        self.wanted = wanted

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        found = {}
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if i in self.wanted:
                # The next layer rectifies or pools a copy.
                found[self.wanted[i]] = x
        return found


@dataclass(frozen=True)
class Case:
    """(1, 3, ss, ss), (ss, ss), (1, 3, ts, ts), and the object's top-left corner."""

    source: torch.Tensor
    mask: torch.Tensor
    target: torch.Tensor
    top: int
    left: int

    @property
    def canvas_mask(self) -> torch.Tensor:
        canvas = torch.zeros(self.target.shape[2:])
        size = self.mask.shape[0]
        canvas[self.top : self.top + size, self.left : self.left + size] = self.mask
        return canvas


def load_case(source: Path, mask: Path, target: Path, ss: int, ts: int, x: float, y: float) -> Case:
    def picture(path: Path, size: int) -> torch.Tensor:
        image = Image.open(path).convert("RGB").resize((size, size))
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float().contiguous()

    grey = np.array(Image.open(mask).convert("L").resize((ss, ss)))
    hard = torch.from_numpy((grey > 0).astype(np.float32))
    return Case(picture(source, ss), hard, picture(target, ts), int(x - ss / 2), int(y - ss / 2))


def laplacian(image: torch.Tensor) -> list[torch.Tensor]:
    kernel = torch.tensor([[0, -1, 0], [-1, 4, -1], [0, -1, 0]], dtype=image.dtype)[None, None]
    return [F.conv2d(image[:, c : c + 1], kernel, padding=1)[0, 0] for c in range(3)]


def guidance(case: Case) -> list[torch.Tensor]:
    of_source, of_target = laplacian(case.source), laplacian(case.target)
    size, mask = case.mask.shape[0], case.canvas_mask
    fields = []
    for c in range(3):
        foreground = torch.zeros_like(mask)
        foreground[case.top : case.top + size, case.left : case.left + size] = of_source[c] * case.mask
        fields.append(foreground + of_target[c] * (1 - mask))
    return fields


def gram(features: torch.Tensor) -> torch.Tensor:
    _, channels, height, width = features.shape
    flat = features.view(channels, height * width)
    return torch.mm(flat, flat.t()) / (channels * height * width)


def shifted(image: torch.Tensor) -> torch.Tensor:
    return image - torch.tensor(MEAN).view(1, 3, 1, 1)


def style(vgg: Vgg, image: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    of_target, of_image = vgg(shifted(target)), vgg(shifted(image))
    total = torch.zeros(())
    for tap in of_target:
        total = total + F.mse_loss(gram(of_image[tap]), gram(of_target[tap]))
    return total / len(of_target)


def variation(image: torch.Tensor) -> torch.Tensor:
    across = torch.abs(image[:, :, :, :-1] - image[:, :, :, 1:]).sum()
    return across + torch.abs(image[:, :, :-1, :] - image[:, :, 1:, :]).sum()


def blended(z: torch.Tensor, case: Case) -> torch.Tensor:
    mask = case.canvas_mask
    return z * mask + case.target * (1 - mask)


def first_pass_terms(z: torch.Tensor, case: Case, vgg: Vgg) -> dict[str, torch.Tensor]:
    blend = blended(z, case)
    fields, wanted = laplacian(blend), guidance(case)
    gradient = sum((F.mse_loss(fields[c], wanted[c]) for c in range(3)), torch.zeros(())) / 3
    size = case.mask.shape[0]
    cropped = blend[:, :, case.top : case.top + size, case.left : case.left + size]
    of_source = vgg(shifted(case.source * case.mask))["relu2_2"]
    of_blend = vgg(shifted(cropped * case.mask))["relu2_2"]
    return {
        "gradient": 1e4 * gradient,
        "style": 1e4 * style(vgg, z, case.target),
        "content": F.mse_loss(of_blend, of_source),
        "tv": 1e-6 * variation(blend),
    }


def second_pass_terms(
    z: torch.Tensor, first: torch.Tensor, case: Case, vgg: Vgg, *, zero_content: bool = False
) -> dict[str, torch.Tensor]:
    own = vgg(shifted(z))["relu2_2"]
    frozen = own.detach() if zero_content else vgg(shifted(first))["relu2_2"]
    return {"style": 1e7 * style(vgg, z, case.target), "content": F.mse_loss(own, frozen)}


Callback = Callable[[int, dict[str, float], torch.Tensor], None]


def optimised(
    z: torch.Tensor,
    terms: Callable[[torch.Tensor], dict[str, torch.Tensor]],
    num_steps: int,
    callback: Callback | None,
) -> torch.Tensor:
    z = z.clone().requires_grad_(True)
    solver = torch.optim.LBFGS([z])
    evaluations = [0]
    while evaluations[0] <= num_steps:

        def closure() -> torch.Tensor:
            solver.zero_grad()
            parts = terms(z)
            loss = torch.stack(list(parts.values())).sum()
            loss.backward()
            evaluations[0] += 1
            if callback is not None:
                callback(
                    evaluations[0], {name: float(value.detach()) for name, value in parts.items()}, z.detach()
                )
            return loss

        solver.step(closure)
    return z.detach()


def run_first_pass(
    case: Case, vgg: Vgg, num_steps: int, start: torch.Tensor, callback: Callback | None = None
) -> torch.Tensor:
    """The blend (1, 3, ts, ts), clamped to 0..255."""
    z = optimised(start, lambda x: first_pass_terms(x, case, vgg), num_steps, callback)
    return blended(z.clamp(0, 255), case)


def run_second_pass(
    case: Case, vgg: Vgg, first: torch.Tensor, num_steps: int, callback: Callback | None = None
) -> torch.Tensor:
    """The refined canvas, clamped to 0..255."""
    return optimised(first, lambda x: second_pass_terms(x, first, case, vgg), num_steps, callback).clamp(0, 255)
