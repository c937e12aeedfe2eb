"""The network that ships with the package: small, taught by VGG-19. See the model card in `networks/embedded`."""

from __future__ import annotations

from deep_image_blending.networks import embedded
from deep_image_blending.networks.backbone import Backbone, Shipped


def _build() -> Backbone:
    from deep_image_blending.networks.embedded.architecture import network

    return Backbone(network("embedded", embedded.load()), "shipped with the package", embedded.SHA256)


DECLARATIONS = [
    Shipped(
        name="embedded",
        style=embedded.TAPS,
        content="relu2_2",
        help="a small network that ships with the package, taught by VGG-19; needs no download",
        build=_build,
    )
]
