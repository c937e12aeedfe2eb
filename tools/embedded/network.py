"""The student as a trainable module; its state dict is the shipped file."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deep_image_blending.networks.embedded import CHANNELS, DEPTHS, POOL, TAPS, TEACHER_CHANNELS


def pool(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, H // 2, W // 2)."""
    return F.max_pool2d(x, 2) if POOL == "max" else F.avg_pool2d(x, 2)


class Stage(nn.Module):
    """3x3 convolutions, each rectified."""

    def __init__(self, inputs: int, width: int, depth: int) -> None:
        super().__init__()
        self.depth = depth
        for i in range(1, depth + 1):
            self.add_module(f"conv{i}", nn.Conv2d(inputs if i == 1 else width, width, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, width, H, W)."""
        for i in range(1, self.depth + 1):
            # Not in place: training differentiates twice.
            x = F.relu(self.get_submodule(f"conv{i}")(x))
        return x


class Student(nn.Module):
    """Stages with 2x2 pooling between, and a linear head for each that predicts the teacher."""

    def __init__(self) -> None:
        super().__init__()
        inputs = 3
        for i, (width, depth, wide) in enumerate(zip(CHANNELS, DEPTHS, TEACHER_CHANNELS, strict=True), 1):
            self.add_module(f"stage{i}", Stage(inputs, width, depth))
            self.add_module(f"head{i}", nn.Linear(width, wide))
            inputs = width

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Normalised RGB (N, 3, H, W) -> the student's own features by tap; see `predict` for the teacher's."""
        found = {}
        for i, tap in enumerate(TAPS, 1):
            if i > 1:
                x = pool(x)
            x = self.get_submodule(f"stage{i}")(x)
            found[tap] = x
        return found

    def predict(self, tap: str, features: Tensor) -> Tensor:
        """The teacher's features (N, C_teacher, H, W) at a tap from the student's."""
        head = self.get_submodule(f"head{TAPS.index(tap) + 1}")
        return torch.movedim(head(torch.movedim(features, 1, -1)), -1, 1)

    def gram(self, tap: str, features: Tensor) -> Tensor:
        """The teacher's Gram matrix (N, C_teacher, C_teacher), mean over positions, as the student predicts it.

        With heads `P f + b`: `P E[f fᵀ] Pᵀ + P E[f] bᵀ + b E[f]ᵀ Pᵀ + b bᵀ`; the wide features are never made.
        """
        head = self.get_submodule(f"head{TAPS.index(tap) + 1}")
        assert isinstance(head, nn.Linear)
        flat = features.flatten(2)
        ones = torch.ones_like(flat[:, :1])
        flat = torch.cat((flat, ones), 1)
        moment = flat @ flat.transpose(1, 2) / flat.shape[2]
        lift = torch.cat((head.weight, head.bias[:, None]), 1)
        return lift @ moment @ lift.T
