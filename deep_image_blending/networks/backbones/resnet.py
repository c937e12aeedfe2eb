"""ResNet and its relatives: He et al., Deep Residual Learning for Image Recognition, 2016.

ResNeXt: Xie et al., Aggregated Residual Transformations for Deep Neural Networks, 2017. Wide ResNet: Zagoruyko and
Komodakis, Wide Residual Networks, 2016. The taps are the `stem`, every block's sum (`layer1.0`), and every stage's
last, which has the stage's name (`layer1`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from deep_image_blending.networks.backbone import Pretrained

if TYPE_CHECKING:
    from deep_image_blending.networks.tracing import Step

_NAMES = {
    "resnet18": "ResNet-18",
    "resnet34": "ResNet-34",
    "resnet50": "ResNet-50",
    "resnet101": "ResNet-101",
    "resnet152": "ResNet-152",
    "resnext50_32x4d": "ResNeXt-50, 32 groups of 4 channels",
    "resnext101_32x8d": "ResNeXt-101, 32 groups of 8 channels",
    "resnext101_64x4d": "ResNeXt-101, 64 groups of 4 channels",
    "wide_resnet50_2": "ResNet-50, twice as wide inside its blocks",
    "wide_resnet101_2": "ResNet-101, twice as wide inside its blocks",
}


def _taps(steps: Sequence[Step]) -> Iterator[str | None]:
    for step in steps:
        if step.layer.inputs == ("image",):
            yield "stem"
        else:
            yield step.closes[0] if step.layer.kind == "add" else None


DECLARATIONS = [
    Pretrained(
        name=name,
        style=("stem", "layer1", "layer2", "layer3", "layer4"),
        content="layer1",
        help=text,
        taps=_taps,
    )
    for name, text in _NAMES.items()
]
