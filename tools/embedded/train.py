"""Train the embedded backbone: `python -m tools.embedded.train --teacher VGG19 --out DIR`.

The student begins as a selection of the teacher's channels (`initial`), and learns the teacher's features through
its heads, its Gram matrices, and above all the gradient of the style loss with respect to the pixels, on pairs of
crops and on pictures along the student's own descent, where the errors of a small network would show as noise.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from deep_image_blending.networks.backbones import load_backbone
from deep_image_blending.networks.embedded import TAPS
from deep_image_blending.networks.network import Network
from tools.embedded.initial import initialise
from tools.embedded.network import Student
from tools.embedded.pictures import Picture, corpus, crop

COLUMNS = ("step", "seconds", "gradient", "cosine", "features", "gram", "path_gradient", "path_cosine")


class Pairs:
    """Pictures to be changed and the crops whose style they should take; half of them follow the descent."""

    def __init__(self, pictures: list[Picture], random: np.random.Generator, batch: int, size: int) -> None:
        self.pictures, self.random, self.batch, self.size = pictures, random, batch, size
        self.moving = batch // 2
        self.x = torch.stack([self._fresh() for _ in range(batch)])
        self.y = torch.stack([self.fresh_crop() for _ in range(batch)])
        self.velocity = torch.zeros_like(self.x)
        self.rate = torch.full((batch,), 2.0)

    def fresh_crop(self) -> Tensor:
        picture = self.pictures[int(self.random.integers(len(self.pictures)))]
        return torch.from_numpy(crop(self.random, picture, self.size)).permute(2, 0, 1) * 255

    def _fresh(self) -> Tensor:
        """A crop, or one with a patch of another in it, or near noise."""
        kind = self.random.random()
        first = self.fresh_crop()
        if kind < 0.5:
            return first
        if kind < 0.85:
            other, half = self.fresh_crop(), self.size // 2
            top, left = self.random.integers(0, half, 2)
            first[:, top : top + half, left : left + half] = other[:, top : top + half, left : left + half]
            return first
        return (first + torch.randn(3, self.size, self.size) * float(self.random.uniform(5, 60))).clamp(0, 255)

    def advance(self, gradient: Tensor) -> None:
        """Move the first half along the student's gradient (momentum, normalised); renew the rest."""
        for i in range(self.batch):
            if i < self.moving and gradient[i].any() and self.random.random() > 0.03:
                g = gradient[i] / (gradient[i].square().mean().sqrt() + 1e-12)
                self.velocity[i] = 0.7 * self.velocity[i] + 0.3 * g
                self.x[i] = (self.x[i] - self.rate[i] * self.velocity[i]).clamp(0, 255)
            else:
                self.x[i], self.y[i] = self._fresh(), self.fresh_crop()
                self.velocity[i] = 0
                self.rate[i] = float(np.exp(self.random.uniform(np.log(0.7), np.log(6))))


def gram(features: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, C), mean over positions."""
    flat = features.float().flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def distance(a: Tensor, b: Tensor) -> Tensor:
    """`‖a - b‖² / ‖b‖²` by sample."""
    return (a - b).square().flatten(1).sum(1) / b.square().flatten(1).sum(1).clamp_min(1e-12)


def teacher_gradient(
    teacher: Network, x: Tensor, y: Tensor
) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """The style loss's gradient at x, the features of x, and the Gram matrices of y."""
    with torch.no_grad():
        wanted = {tap: gram(found) for tap, found in teacher.features(y, set(TAPS)).items()}
    x = x.clone().requires_grad_(True)
    found = teacher.features(x, set(TAPS))
    loss = torch.stack([distance(gram(found[tap]), wanted[tap]) for tap in TAPS]).mean(0).sum()
    (gradient,) = torch.autograd.grad(loss, x)
    return gradient.detach(), {tap: f.detach().float() for tap, f in found.items()}, wanted


def student_gradient(
    student: Student, teacher: Network, x: Tensor, y: Tensor
) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """The same by the student, differentiable in its parameters."""
    wanted_features = student(teacher.normalisation(y))
    wanted = {tap: student.gram(tap, wanted_features[tap]) for tap in TAPS}
    x = x.clone().requires_grad_(True)
    found = student(teacher.normalisation(x))
    loss = torch.stack([distance(student.gram(tap, found[tap]), wanted[tap]) for tap in TAPS]).mean(0).sum()
    (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
    return gradient, found, wanted


def train(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    random = np.random.default_rng(arguments.seed)
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    device = torch.device(arguments.device)
    precision = torch.bfloat16 if arguments.bf16 else torch.float32
    network = load_backbone("vgg19", set(TAPS), weights=arguments.teacher).network
    teacher = network.to(device, precision)
    student = Student().to(device)
    optimiser = torch.optim.Adam(student.parameters(), lr=arguments.rate, betas=(0.9, 0.98))
    step, spent = 0, 0.0
    checkpoint = out / "training.pt"
    resumed = arguments.resume and checkpoint.is_file()
    if resumed:
        state = torch.load(checkpoint, weights_only=True)
        student.load_state_dict(state["student"])
        optimiser.load_state_dict(state["optimiser"])
        average, step, spent = state["average"], state["step"], state["spent"]
        random = np.random.default_rng(arguments.seed + step)
    pictures = corpus(np.random.default_rng(arguments.seed))
    pairs = Pairs(pictures, random, arguments.batch, arguments.size)
    if not resumed:
        start = torch.stack([pairs.fresh_crop() for _ in range(arguments.start)])
        initialise(student.cpu(), network.to(torch.device("cpu"), precision), start, random)
        student.to(device)
        average = {name: value.detach().clone() for name, value in student.state_dict().items()}
    budget = arguments.minutes * 60
    began = time.perf_counter() - spent
    with (out / "log.csv").open("a", newline="") as stream:
        log = csv.writer(stream)
        if step == 0:
            log.writerow(COLUMNS)
        rows: list[list[float]] = []
        while (seconds := time.perf_counter() - began) < budget:
            progress = seconds / budget
            rate = arguments.rate * min(1.0, (step + 1) / 50)
            rate *= 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress))
            for group in optimiser.param_groups:
                group["lr"] = rate
            x, y = pairs.x.to(device), pairs.y.to(device)
            wanted, features, grams = teacher_gradient(teacher, x, y)
            got, own, own_grams = student_gradient(student, teacher, x, y)
            errors = distance(got, wanted)
            cosines = torch.cosine_similarity(got.flatten(1), wanted.flatten(1))
            of_features = torch.stack([distance(student.predict(t, own[t]), features[t]) for t in TAPS]).mean()
            of_gram = torch.stack([distance(own_grams[t], grams[t]) for t in TAPS]).mean()
            loss = of_features + 0.5 * of_gram + torch.log(errors + 0.02).mean()
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            optimiser.step()
            step += 1
            keep = min(0.995, step / (step + 10))
            with torch.no_grad():
                for name, value in student.state_dict().items():
                    average[name].lerp_(value, 1 - keep)
            pairs.advance(got.detach().cpu())
            moving = pairs.moving
            rows.append(
                [
                    float(value.detach().mean())
                    for value in (
                        errors[moving:], cosines[moving:], of_features, of_gram, errors[:moving], cosines[:moving]
                    )
                ]
            )  # fmt: skip
            if step % 50 == 0:
                means = np.mean(rows, 0)
                log.writerow([step, f"{seconds:.0f}", *(f"{value:.4f}" for value in means)])
                stream.flush()
                rows = []
            if step % 200 == 0:
                _save(out, student, optimiser, average, step, seconds)
    _save(out, student, optimiser, average, step, time.perf_counter() - began)


def _save(
    out: Path,
    student: Student,
    optimiser: torch.optim.Optimizer,
    average: dict[str, Tensor],
    step: int,
    spent: float,
) -> None:
    state = {
        "student": student.state_dict(),
        "optimiser": optimiser.state_dict(),
        "average": average,
        "step": step,
        "spent": spent,
    }
    temporary = out / "training.tmp"
    torch.save(state, temporary)
    temporary.replace(out / "training.pt")
    halves = {name: value.contiguous().cpu().half() for name, value in average.items()}
    save_file(halves, out / "weights.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", type=Path, required=True, help="VGG-19 state dict in torchvision's naming")
    parser.add_argument("--out", type=Path, required=True, help="folder for weights, log and checkpoint")
    parser.add_argument("--minutes", type=float, default=50)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--start", type=int, default=64, help="crops that the initial fit sees")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bf16", action="store_true", help="evaluate the teacher in bfloat16")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
