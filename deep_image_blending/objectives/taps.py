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


def correcting(options: PassOptions, network: Network) -> PassOptions:
    """The options of a scale that only corrects what a coarser one has made.

    Where the gradient loss holds the object, pixels alone are looked at: what features ask for is there already.
    Elsewhere the layers that are coarser than the content's are left out.
    """
    if options.weights["gradient"]:
        features = {name: 0.0 for name, loss in declared().items() if loss.taps}
        return dataclasses.replace(options, weights=options.weights.changed(**features))
    (style, content), strides = taps_of(options), network.strides()
    kept = tuple(tap for tap in style if tap in strides and strides[tap] <= strides.get(content, 1))
    return dataclasses.replace(options, style_layers=kept or style[:1])


def wanted_taps(options: PassOptions) -> frozenset[str]:
    """The layers that the losses of a pass ask for, and its objective."""
    style, content = taps_of(options)
    looked_at = {loss.taps for name, loss in declared().items() if options.weights[name]}
    looked_at |= kind_of(options.objective).sees
    return frozenset((*(style if "style" in looked_at else ()), *((content,) if "content" in looked_at else ())))
