"""The resolutions of a pass, coarse to fine, and the layers that it looks at."""

from __future__ import annotations

import dataclasses
import itertools
import math
from dataclasses import dataclass

import numpy as np

from deep_image_blending.errors import InputError
from deep_image_blending.networks.mask_regions import thrifty_tile
from deep_image_blending.networks.network import Network
from deep_image_blending.objectives.kinds import kind_of
from deep_image_blending.options.pass_options import PassName, PassOptions
from deep_image_blending.pictures.scene import Scene, Window


@dataclass(frozen=True)
class Level:
    """One resolution of a pass: its window, and the evaluation at which it ends."""

    window: Window
    until: int


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
    evaluations = evaluations_of(pass_options)
    count = min(count, evaluations)
    levels, spent = [], 0
    for i in range(count - 1, -1, -1):
        # The finest level gets half of the evaluations, the others share the rest.
        share = evaluations // 2 // (count - 1) if i else evaluations - spent
        spent += max(1, share)
        levels.append((2**i, spent))
    return levels


def evaluations_of(pass_options: PassOptions) -> int:
    """Evaluations that the pass makes."""
    return kind_of(pass_options.objective).evaluations(pass_options.num_steps)


def optimises_mask_alone(pass_options: PassOptions) -> bool:
    """Whether the mask's pixels alone are optimised."""
    return not (pass_options.canvas or kind_of(pass_options.objective).every_pixel)


def repaints_canvas(name: PassName, pass_options: PassOptions) -> bool:
    """Whether every pixel of the canvas is optimised and may change."""
    return name == "second_pass" and pass_options.canvas


def surroundings(scene: Scene, pass_options: PassOptions, network: Network) -> tuple[int | None, int]:
    """The margin and the alignment of a pass's window; a margin of None is the whole canvas.

    The region has as much of its surroundings as it is large itself: what the style can be taken from.
    """
    if kind_of(pass_options.objective).whole_canvas or pass_options.canvas:
        return None, 1
    top, left, bottom, right = scene.region()
    margin = max(128, bottom - top, right - left, network.reach())
    return margin, 16 * max(network.strides().values())


def tile_of(network: Network, thrifty: bool) -> int:
    """The side of the tiles in which features are evaluated; 0 is all at once."""
    return thrifty_tile(network) if thrifty else 0


def require_room(scene: Scene, options: PassOptions, network: Network) -> None:
    """Raise InputError where a resolution of a pass is too small for the deepest layer to have a value."""

    def fits(rows: int, columns: int) -> bool:
        return min(rows, columns) > 0 and all(min(size) > 0 for size in network.sizes((rows, columns)).values())

    least = next(side for side in itertools.count(1) if fits(side, side))
    canvas = scene.canvas
    for (height, width), what in ((canvas, f"'{scene.target.path}'"), kind_of(options.objective).smallest(scene)):
        if not fits(height, width):
            raise InputError(
                f"{what} is {width}x{height}, too small for the layers of {network.name}: give at least "
                f"{least}x{least} pixels (see --ts and --ss), or shallower --style-layers and --content-layer"
            )
    coarsest = schedule(scene, options)[0][0]
    if not fits(canvas[0] // coarsest, canvas[1] // coarsest):
        raise InputError(
            f"'{scene.target.path}' is {canvas[1]}x{canvas[0]}, too small for so many resolutions; "
            "give fewer --levels"
        )
