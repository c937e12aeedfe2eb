"""The layers that a pass looks at."""

from __future__ import annotations

from deep_image_blending.losses.declaration import declared
from deep_image_blending.networks.backbones import default_taps
from deep_image_blending.objectives.kinds import kind_of
from deep_image_blending.options.pass_options import PassOptions


def taps_of(options: PassOptions) -> tuple[tuple[str, ...], str]:
    """The style layers and the content layer of a pass."""
    style, content = default_taps(options.backbone)
    return options.style_layers or style, options.content_layer or content


def wanted_taps(options: PassOptions) -> frozenset[str]:
    """The layers that the losses of a pass ask for, and its objective."""
    style, content = taps_of(options)
    looked_at = {loss.taps for name, loss in declared().items() if options.weights[name]}
    looked_at |= kind_of(options.objective).sees
    return frozenset((*(style if "style" in looked_at else ()), *((content,) if "content" in looked_at else ())))
