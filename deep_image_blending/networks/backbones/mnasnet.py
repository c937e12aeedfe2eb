"""MnasNet: Tan et al., MnasNet: Platform-Aware Neural Architecture Search for Mobile, 2019.

The taps are the `stem` and the last block of each of the six stacks, which is not rectified.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from deep_image_blending.networks.backbone import Pretrained

if TYPE_CHECKING:
    from deep_image_blending.networks.tracing import Step


def _taps(steps: Sequence[Step]) -> Iterator[str | None]:
    stack = 0
    for step in steps:
        # `layers.8` is a stack, `layers.8.0` one of its blocks.
        ends_a_stack = any(path.count(".") == 1 for path in step.closes)
        stack += ends_a_stack
        if step.layer.inputs == ("image",):
            yield "stem"
        else:
            yield f"stack{stack}" if ends_a_stack else None


DECLARATIONS = [
    Pretrained(
        name=f"mnasnet{width.replace('.', '_')}",
        style=("stem", "stack1", "stack2"),
        content="stack1",
        help=f"MnasNet, {width} times its usual width: small",
        taps=_taps,
    )
    for width in ("0.5", "0.75", "1.0", "1.3")
]
