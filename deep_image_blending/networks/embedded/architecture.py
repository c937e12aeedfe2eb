"""The embedded network's layers, with the weights of a state dict in its own naming."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from deep_image_blending.networks.embedded import DEPTHS, POOL, TAPS
from deep_image_blending.networks.network import IMAGENET, Head, Layer, Network


def network(name: str, state: Mapping[str, Tensor]) -> Network:
    """The whole network; `state` holds the tensors of `embedded.shapes()`, of which heads may be absent."""
    parameters, heads = {}, {}
    for stage, (tap, outputs) in enumerate(_outputs().items(), 1):
        for i, output in enumerate(outputs, 1):
            key = f"stage{stage}.conv{i}"
            parameters[output] = (state[f"{key}.weight"], state[f"{key}.bias"])
        if f"head{stage}.weight" in state:
            heads[tap] = Head(state[f"head{stage}.weight"], state[f"head{stage}.bias"])
    return Network(name, layers(), parameters, IMAGENET, heads)


def layers() -> tuple[Layer, ...]:
    """Stages of rectified 3x3 convolutions with 2x2 pooling between."""
    found: list[Layer] = []
    last = "image"
    for stage, (tap, outputs) in enumerate(_outputs().items(), 1):
        for output in outputs:
            found.append(Layer("conv", output, (last,), kernel=3, padding=1, relu=True))
            last = output
        if stage < len(TAPS):
            last = f".{stage}.pool"
            found.append(Layer(POOL, last, (tap,), kernel=2, stride=2))
    return tuple(found)


def _outputs() -> dict[str, list[str]]:
    """The activations of each stage's convolutions, the last of which is the stage's tap."""
    stages = enumerate(zip(TAPS, DEPTHS, strict=True), 1)
    return {tap: [*(f".{stage}.{i}" for i in range(1, depth)), tap] for stage, (tap, depth) in stages}
