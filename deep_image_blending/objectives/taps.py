"""The layers that a pass looks at."""

from __future__ import annotations

import dataclasses

from deep_image_blending.losses.declaration import declared
from deep_image_blending.networks.backbones import default_taps
from deep_image_blending.networks.network import Network
from deep_image_blending.objectives.kinds import kind_of
from deep_image_blending.options.pass_options import PassOptions


def taps_of(options: PassOptions) -> tuple[tuple[str, ...], str]:
    """The style layers and the content layer of a pass."""
    style, content = default_taps(options.backbone)
    return options.style_layers or style, options.content_layer or content


def shallow(options: PassOptions, network: Network) -> PassOptions:
    """The options without the layers that are coarser than the content's: what those see, coarser scales have
    settled."""
    (style, content), strides = taps_of(options), network.strides()
    kept = tuple(tap for tap in style if tap in strides and strides[tap] <= strides.get(content, 1))
    return dataclasses.replace(options, style_layers=kept or style[:1])


def wanted_taps(options: PassOptions) -> frozenset[str]:
    """The layers that the losses of a pass ask for, and its objective."""
    style, content = taps_of(options)
    looked_at = {loss.taps for name, loss in declared().items() if options.weights[name]}
    looked_at |= kind_of(options.objective).sees
    return frozenset((*(style if "style" in looked_at else ()), *((content,) if "content" in looked_at else ())))
