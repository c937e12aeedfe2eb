"""SqueezeNet: Iandola et al., SqueezeNet: AlexNet-level accuracy with 50x fewer parameters, 2016.

The fire modules are numbered as in the paper, where the first convolution is 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from deep_image_blending.networks.backbone import Pretrained

if TYPE_CHECKING:
    from deep_image_blending.networks.tracing import Step


def _taps(steps: Sequence[Step]) -> Iterator[str | None]:
    index = 1
    for step in steps:
        if step.layer.kind == "concat":
            index += 1
            yield f"fire{index}"
        elif step.layer.kind == "max":
            yield f"pool{index}"
        else:
            yield "relu1" if step.layer.inputs == ("image",) else None


DECLARATIONS = [
    Pretrained(
        name="squeezenet1_0",
        style=("relu1", "fire3", "fire5"),
        content="fire3",
        help="SqueezeNet 1.0: small; its first layer is of 7x7 pixels",
        taps=_taps,
    ),
    Pretrained(
        name="squeezenet1_1",
        style=("relu1", "fire3", "fire5"),
        content="fire3",
        help="SqueezeNet 1.1: small and quick; its first layer is of 3x3 pixels",
        taps=_taps,
    ),
]
