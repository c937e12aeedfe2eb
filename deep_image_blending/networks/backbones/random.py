"""The embedded network's architecture with random filters: no training at all, to compare with.

Ustyuzhaninov et al., What does it take to generate natural textures?, 2017.
"""

from __future__ import annotations

import hashlib

from deep_image_blending.networks import embedded
from deep_image_blending.networks.backbone import Backbone, Shipped

_SEED = 20170


def _build() -> Backbone:
    """Orthogonal filters of a fixed seed."""
    import torch

    from deep_image_blending.networks.embedded.architecture import network

    generator = torch.Generator().manual_seed(_SEED)
    state, digest = {}, hashlib.sha256()
    for key, shape in embedded.shapes().items():
        if key.startswith("head"):
            continue
        if key.endswith("bias"):
            state[key] = torch.zeros(shape)
            continue
        state[key] = torch.nn.init.orthogonal_(torch.empty(shape), gain=2**0.5, generator=generator)
        digest.update(state[key].numpy().tobytes())
    return Backbone(network("random", state), "fixed-seed random filters", digest.hexdigest())


DECLARATIONS = [
    Shipped(
        name="random",
        style=embedded.TAPS,
        content="relu2_2",
        help="random filters of a fixed seed; needs no download",
        build=_build,
    )
]
