"""The student before training: the teacher's own channels, as few as the student has, fitted layer by layer.

Of each layer of the teacher the channels that say most are chosen (QR with column pivoting of its activations),
and the student's filters for them are fitted by least squares on what the student itself passes on, so that errors
do not add up; then the heads, likewise. He, Zhang and Sun (2017) prune networks so, choosing channels otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.linalg import qr
from torch import Tensor, nn

from deep_image_blending.networks.embedded import CHANNELS, DEPTHS, TAPS
from deep_image_blending.networks.network import Network
from tools.embedded.network import Student, pool

_SAMPLES = 40_000


@dataclass(frozen=True)
class Fit:
    """A linear map and its offset, (outputs, inputs) and (outputs,)."""

    weight: Tensor
    bias: Tensor


@torch.no_grad()
def initialise(student: Student, teacher: Network, pictures: Tensor, random: np.random.Generator) -> None:
    """Set the student's weights. pictures (N, 3, H, W), 0..255; the teacher on the CPU."""
    names = [layer.output for layer in teacher.layers if layer.kind == "conv"]
    activations = teacher.features(pictures, set(names))
    x = teacher.normalisation(pictures).float()
    layers = iter(names)
    for i, (width, depth, tap) in enumerate(zip(CHANNELS, DEPTHS, TAPS, strict=True), 1):
        if i > 1:
            x = pool(x)
        stage = student.get_submodule(f"stage{i}")
        for j in range(1, depth + 1):
            wanted = activations[next(layers)].float()
            channels = chosen(_rows(wanted, random, 6000), width)
            convolution = stage.get_submodule(f"conv{j}")
            assert isinstance(convolution, nn.Conv2d)
            patches, values = _patches(x, wanted[:, channels], random)
            found = rectified_fit(patches, values)
            convolution.weight.copy_(found.weight.view_as(convolution.weight))
            assert convolution.bias is not None
            convolution.bias.copy_(found.bias)
            x = F.relu(convolution(x))
        head = student.get_submodule(f"head{i}")
        assert isinstance(head, nn.Linear)
        found = fit(_rows(x, None, None), _rows(activations[tap].float(), None, None))
        head.weight.copy_(found.weight)
        head.bias.copy_(found.bias)


def chosen(rows: Tensor, count: int) -> list[int]:
    """The `count` columns of (N, C) that pivoted QR takes first: each the least explained by those before."""
    _, _, order = qr(rows.numpy(), mode="economic", pivoting=True)
    return sorted(int(column) for column in order[:count])


def fit(inputs: Tensor, outputs: Tensor, damping: float = 1e-4) -> Fit:
    """Least squares with an offset: inputs (N, A), outputs (N, B); ridge of `damping` times the mean square."""
    rows = torch.cat((inputs, torch.ones(len(inputs), 1)), 1).double()
    return _solved(_normal(rows, damping), rows, outputs.double())


def rectified_fit(inputs: Tensor, outputs: Tensor, damping: float = 1e-3, rounds: int = 6) -> Fit:
    """As `fit`, so that the *rectified* prediction is right: where the output is 0, anything below 0 will do."""
    rows = torch.cat((inputs, torch.ones(len(inputs), 1)), 1).double()
    normal, wanted = _normal(rows, damping), outputs.double()
    found = _solved(normal, rows, wanted)
    for _ in range(rounds):
        predicted = inputs.double() @ found.weight.double().T + found.bias.double()
        found = _solved(normal, rows, torch.where(wanted > 0, wanted, predicted.clamp_max(0)))
    return found


def _normal(rows: Tensor, damping: float) -> Tensor:
    normal = rows.T @ rows
    return normal + damping * normal.diagonal().mean() * torch.eye(len(normal), dtype=normal.dtype)


def _solved(normal: Tensor, rows: Tensor, outputs: Tensor) -> Fit:
    solution = torch.linalg.solve(normal, rows.T @ outputs)
    return Fit(solution[:-1].T.float(), solution[-1].float())


def _rows(features: Tensor, random: np.random.Generator | None, count: int | None) -> Tensor:
    """(N, C, H, W) -> (positions, C), all or `count` of them."""
    rows = features.movedim(1, -1).reshape(-1, features.shape[1])
    return rows if random is None else rows[torch.from_numpy(random.permutation(len(rows))[:count])]


def _patches(x: Tensor, wanted: Tensor, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """3x3 patches (M, 9 C) of random positions, and the wanted values (M, K) there."""
    share = max(1, _SAMPLES // len(x))
    patches, values = [], []
    for one, target in zip(x, wanted, strict=True):
        at = torch.from_numpy(random.permutation(target[0].numel())[:share])
        patches.append(F.unfold(one[None], 3, padding=1)[0].T[at])
        values.append(target.flatten(1).T[at])
    return torch.cat(patches), torch.cat(values)
