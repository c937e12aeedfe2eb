"""The resolutions of a pass, coarse to fine, and the layers that it looks at."""

from __future__ import annotations

import dataclasses
import itertools
import math
from dataclasses import dataclass

import numpy as np

from deep_image_blending.errors import InputError
from deep_image_blending.networks.backbones import default_taps
from deep_image_blending.networks.network import Network
from deep_image_blending.objectives.regions import thrifty_tile
from deep_image_blending.options.options import PassName, PassOptions
from deep_image_blending.pictures.scene import Scene, Window


@dataclass(frozen=True)
class Level:
    """One resolution of a pass: its window, and the evaluation at which it ends."""

    window: Window
    until: int


def taps_of(options: PassOptions) -> tuple[tuple[str, ...], str]:
    """The style layers and the content layer of a pass."""
    style, content = default_taps(options.backbone)
    return options.style_layers or style, options.content_layer or content


def wanted_taps(options: PassOptions) -> frozenset[str]:
    """The layers that a pass's weights ask for."""
    style, content = taps_of(options)
    weights = options.weights
    wanted = set(style) if weights.style or weights.histogram else set()
    if weights.content:
        wanted.add(content)
    return frozenset(wanted)


def pass_levels(name: PassName, scene: Scene, pass_options: PassOptions, network: Network) -> list[Level]:
    """The resolutions of a pass, coarse to fine, with the share of the evaluations that each gets."""
    window = scene.window(*surroundings(scene, pass_options, network))
    if repaints_canvas(name, pass_options):
        window = dataclasses.replace(window, mask=np.ones_like(window.mask))
    return [Level(window.coarser(scale), until) for scale, until in schedule(scene, pass_options)]


def schedule(scene: Scene, pass_options: PassOptions) -> list[tuple[int, int]]:
    """The scales of a pass, coarse to fine, and the evaluation at which each ends."""
    top, left, bottom, right = scene.region()
    longer = max(bottom - top, right - left)
    count = pass_options.levels or max(1, min(4, int(math.log2(max(longer, 1) / 128)) + 1))
    count = min(count, pass_options.evaluations)
    levels, spent = [], 0
    for i in range(count - 1, -1, -1):
        # The finest level gets half of the evaluations, the others share the rest.
        share = pass_options.evaluations // 2 // (count - 1) if i else pass_options.evaluations - spent
        spent += max(1, share)
        levels.append((2**i, spent))
    return levels


def repaints_canvas(name: PassName, pass_options: PassOptions) -> bool:
    """Whether every pixel of the canvas is optimised and may change."""
    return name == "second_pass" and pass_options.region == "canvas"


def surroundings(scene: Scene, pass_options: PassOptions, network: Network) -> tuple[int | None, int]:
    """The margin and the alignment of a pass's window; a margin of None is the whole canvas.

    The region has as much of its surroundings as it is large itself: what the style can be taken from.
    """
    if pass_options.objective == "published" or pass_options.region == "canvas":
        return None, 1
    top, left, bottom, right = scene.region()
    margin = max(128, bottom - top, right - left, network.reach())
    return margin, 16 * max(network.strides().values())


def tile_of(network: Network, thrifty: bool) -> int:
    """The side of the tiles in which features are evaluated; 0 is all at once."""
    return thrifty_tile(network) if thrifty else 0


def require_on_canvas(scene: Scene) -> None:
    """Raise InputError where a part of the source's frame is off the canvas: the published objective needs it."""
    height, width = scene.canvas
    bottom, right = scene.top + scene.mask.shape[0], scene.left + scene.mask.shape[1]
    if scene.top < 0 or scene.left < 0 or bottom > height or right > width:
        raise InputError(
            f"preset wacv2020 needs the whole source on the canvas: it covers rows {scene.top}..{bottom} and "
            f"columns {scene.left}..{right} of a {width}x{height} canvas; move it with --x and --y, "
            "or use --preset natural"
        )


def require_room(scene: Scene, options: PassOptions, network: Network) -> None:
    """Raise InputError where a resolution of a pass is too small for the deepest layer to have a value."""

    def fits(rows: int, columns: int) -> bool:
        return min(rows, columns) > 0 and all(min(size) > 0 for size in network.sizes((rows, columns)).values())

    least = next(side for side in itertools.count(1) if fits(side, side))
    height, width = scene.canvas
    coarsest = schedule(scene, options)[0][0]
    if not fits(height, width):
        raise InputError(
            f"'{scene.target.path}' is {width}x{height}, too small for the layers of {network.name}: give "
            f"at least {least}x{least} pixels (see --ts), or shallower --style-layers and --content-layer"
        )
    if not fits(height // coarsest, width // coarsest):
        raise InputError(
            f"'{scene.target.path}' is {width}x{height}, too small for so many resolutions; give fewer --levels"
        )
    if options.objective == "published" and not fits(*scene.mask.shape):
        raise InputError(
            f"the source is {scene.mask.shape[1]}x{scene.mask.shape[0]}, too small for {network.name}'s layers: "
            f"give at least {least}x{least} pixels (see --ss)"
        )
