"""VGG: Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, 2015.

Its activations are named as in the literature on style transfer: `relu3_2` is the second of the third block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from deep_image_blending.networks.backbone import Pretrained

if TYPE_CHECKING:
    from deep_image_blending.networks.tracing import Step

# The deepest activation of the first three blocks.
_STYLE = {
    11: ("relu1_1", "relu2_1", "relu3_2"),
    13: ("relu1_2", "relu2_2", "relu3_2"),
    16: ("relu1_2", "relu2_2", "relu3_3"),
    19: ("relu1_2", "relu2_2", "relu3_3"),
}


def _taps(steps: Sequence[Step]) -> Iterator[str]:
    block, index = 1, 0
    for step in steps:
        if step.layer.kind == "max":
            yield f"pool{block}"
            block, index = block + 1, 0
        else:
            index += 1
            yield f"relu{block}_{index}"


DECLARATIONS = [
    Pretrained(
        name=f"vgg{depth}{suffix}",
        style=style,
        content=style[1],
        help=f"VGG-{depth}{' with batch normalisation' if suffix else ''}",
        taps=_taps,
    )
    for suffix in ("", "_bn")
    for depth, style in _STYLE.items()
]
