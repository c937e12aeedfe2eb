"""Pictures made for the tests, and the real weights where they are at hand."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tiny tensors gain nothing from threads."""
    torch.set_num_threads(1)


@dataclass(frozen=True)
class Case:
    """Three files of a tiny blend."""

    source: Path
    mask: Path
    target: Path

    def files(self) -> dict[str, Path]:
        """The options that name the pictures."""
        return {"source_file": self.source, "mask_file": self.mask, "target_file": self.target}

    def options(self) -> list[str]:
        return [
            *("--source-file", str(self.source)),
            *("--mask-file", str(self.mask)),
            *("--target-file", str(self.target)),
        ]


def smooth_picture(seed: int, height: int, width: int) -> np.ndarray:
    """(H, W, 3) uint8 with structure at several scales."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 8
    planes = [
        np.sin(x * random.uniform(0.3, 2) + y * random.uniform(0.3, 2) + random.uniform(0, 6)) for _ in "rgb"
    ]
    image = 128 + 70 * np.stack(planes, -1) + random.normal(0, 8, (height, width, 3))
    return image.clip(0, 255).astype(np.uint8)


def disc_mask(height: int, width: int) -> np.ndarray:
    """(H, W) uint8, a white ellipse on black."""
    y, x = np.mgrid[:height, :width]
    inside = ((y - height / 2 + 0.5) / (0.36 * height)) ** 2 + ((x - width / 2 + 0.5) / (0.4 * width)) ** 2 < 1
    return (inside * 255).astype(np.uint8)


def written_case(folder: Path, height: int, width: int) -> Case:
    """A source with an elliptic mask, and a target of twice its size."""
    paths = Case(folder / "source.png", folder / "mask.png", folder / "target.png")
    Image.fromarray(smooth_picture(1, height, width)).save(paths.source)
    Image.fromarray(disc_mask(height, width)).save(paths.mask)
    Image.fromarray(smooth_picture(2, 2 * height, 2 * width)).save(paths.target)
    return paths


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """A 24x28 source with an elliptic mask, and a 48x56 target."""
    return written_case(tmp_path, 24, 28)


@pytest.fixture(scope="session")
def vgg19_weights() -> Path:
    """Real VGG-19 weights to relu3_4; DIB_TEST_WEIGHTS names the file."""
    path = os.environ.get("DIB_TEST_WEIGHTS")
    if not path:
        pytest.skip("DIB_TEST_WEIGHTS names no VGG-19 weights")
    return Path(path)
