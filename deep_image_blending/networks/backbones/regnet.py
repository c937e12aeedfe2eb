"""RegNetX: Radosavovic et al., Designing Network Design Spaces, 2020.

The taps are the `stem`, every block's sum (`block1.0`), and every stage's last, named as the stage (`block1`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from deep_image_blending.networks.backbone import Pretrained

if TYPE_CHECKING:
    from deep_image_blending.networks.tracing import Step

_WORK = {
    "400mf": "0.4",
    "800mf": "0.8",
    "1_6gf": "1.6",
    "3_2gf": "3.2",
    "8gf": "8",
    "16gf": "16",
    "32gf": "32",
}
"""Thousand million multiply-adds for a picture of 224x224."""


def _taps(steps: Sequence[Step]) -> Iterator[str | None]:
    for step in steps:
        if step.layer.inputs == ("image",):
            yield "stem"
        elif step.layer.kind == "add":
            # `trunk_output.block1.block1-0`, or `trunk_output.block1` for a stage's last.
            _, stage, *block = next(path for path in step.closes if "." in path).split(".")
            yield ".".join((stage, *(name.rpartition("-")[2] for name in block)))
        else:
            yield None


DECLARATIONS = [
    Pretrained(
        name=f"regnet_x_{size}",
        style=("stem", "block1", "block2"),
        content="block1",
        help=f"RegNetX of {work} thousand million multiply-adds",
        taps=_taps,
    )
    for size, work in _WORK.items()
]
