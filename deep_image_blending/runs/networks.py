"""Loading the networks of the passes, or what takes their place."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from deep_image_blending.errors import InputError
from deep_image_blending.networks import backbones
from deep_image_blending.networks.backbones import Backbone, Download, load_backbone
from deep_image_blending.objectives.taps import wanted_taps
from deep_image_blending.options.pass_options import PassName, PassOptions
from deep_image_blending.options.run_options import Options
from deep_image_blending.runs.inputs import Say


@dataclasses.dataclass(frozen=True)
class Wanted:
    """Which networks are asked for.

    named: asked for by name, so that nothing takes its place. weights: a local state dict. download: fetches
    pretrained weights; None: what is not at hand can't be had. planning: weights that are not at hand may be
    zeros.
    """

    named: bool = False
    weights: Path | None = None
    download: Download | None = None
    planning: bool = False


def load_backbones(
    options: Options, passes: Sequence[PassName], wanted: Wanted, say: Say
) -> tuple[Options, dict[PassName, Backbone]]:
    """The networks of the passes.

    A preset's backbone whose weights can't be had gives way to the embedded one, which is said. A backbone asked
    for by name never does.
    """
    loaded: dict[PassName, Backbone] = {}
    for name in passes:
        own = options.of(name)
        try:
            loaded[name] = load_backbone(
                own.backbone,
                wanted_taps(own),
                weights=wanted.weights,
                download=wanted.download,
                planning=wanted.planning,
            )
        except InputError as error:
            if wanted.named or wanted.weights is not None or own.backbone in ("embedded", "random"):
                raise
            line_search = ", and a line search" if own.line_search == "fixed" else ""
            say(f"{name.replace('_', ' ')}: using the embedded backbone{line_search}, since {error}")
            own = on_embedded(own)
            options = options.with_pass(name, own)
            loaded[name] = load_backbone("embedded", wanted_taps(own))
    return options, loaded


def on_embedded(options: PassOptions) -> PassOptions:
    """The same pass on the embedded backbone, with its layers where it lacks the ones asked for.

    The published fixed step goes with VGG-16's features and diverges on others: a line search takes its place.
    """
    style, content = backbones.default_taps("embedded")
    kept = tuple(tap for tap in options.style_layers or style if tap in style) or style
    return dataclasses.replace(
        options,
        backbone="embedded",
        style_layers=kept,
        content_layer=options.content_layer if options.content_layer in style else content,
        line_search="armijo",
        history=min(options.history, 20),
    )
