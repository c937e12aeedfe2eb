"""AlexNet: Krizhevsky, One weird trick for parallelizing convolutional neural networks, 2014."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from deep_image_blending.networks.backbone import Pretrained

if TYPE_CHECKING:
    from deep_image_blending.networks.tracing import Step


def _taps(steps: Sequence[Step]) -> Iterator[str]:
    index = 0
    for step in steps:
        index += step.layer.kind == "conv"
        yield f"{'relu' if step.layer.kind == 'conv' else 'pool'}{index}"


DECLARATIONS = [
    Pretrained(
        name="alexnet",
        style=("relu1", "relu2", "relu3"),
        content="relu2",
        help="AlexNet: five layers, the first of 11x11 pixels, coarse",
        taps=_taps,
    )
]
