"""The embedded backbone: a small network that ships with the package, taught by VGG-19. See README.md beside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from deep_image_blending.errors import RunError

if TYPE_CHECKING:
    from torch import Tensor

TAPS = ("relu1_2", "relu2_2", "relu3_3")
"""The teacher's layers that the three stages stand for."""
CHANNELS = (20, 56, 96)
DEPTHS = (2, 2, 3)
"""Convolutions of each stage."""
TEACHER_CHANNELS = (64, 128, 256)
POOL: Literal["max", "avg"] = "avg"
WEIGHTS = Path(__file__).with_name("weights.safetensors")
SHA256 = "7cc562a5687b6ae2921d1d314f31f5ffab24910d6c7fcbd4a416377df519b307"


def shapes() -> dict[str, tuple[int, ...]]:
    """The tensors of the weights file and their shapes."""
    found: dict[str, tuple[int, ...]] = {}
    inputs = 3
    for stage, (width, depth, wide) in enumerate(zip(CHANNELS, DEPTHS, TEACHER_CHANNELS, strict=True), 1):
        for i in range(1, depth + 1):
            found[f"stage{stage}.conv{i}.weight"] = (width, inputs, 3, 3)
            found[f"stage{stage}.conv{i}.bias"] = (width,)
            inputs = width
        found[f"head{stage}.weight"] = (wide, width)
        found[f"head{stage}.bias"] = (wide,)
    return found


def load(path: Path = WEIGHTS, sha256: str | None = None) -> dict[str, Tensor]:
    """The weights, as float32. Raises RunError when the file is missing, damaged or of other shapes."""
    from safetensors import SafetensorError
    from safetensors.torch import load as parse

    from deep_image_blending.files import sha256_of

    remedy = "install the package again"
    if not path.is_file():
        raise RunError(f"the embedded backbone's weights '{path}' are missing; {remedy}")
    if sha256_of(path) != (SHA256 if sha256 is None else sha256):
        raise RunError(f"the embedded backbone's weights '{path}' are damaged (wrong SHA-256); {remedy}")
    try:
        state = {name: tensor.float() for name, tensor in parse(path.read_bytes()).items()}
    except SafetensorError as error:
        raise RunError(f"the embedded backbone's weights '{path}' can't be read ({error}); {remedy}") from error
    if {name: tuple(tensor.shape) for name, tensor in state.items()} != shapes():
        raise RunError(f"the embedded backbone's weights '{path}' have other shapes than expected; {remedy}")
    return state
