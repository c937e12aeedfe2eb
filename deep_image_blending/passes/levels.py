"""The windows of a pass at its resolutions, coarse to fine, and whether the networks have room in them."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass

import numpy as np

from deep_image_blending.errors import InputError
from deep_image_blending.networks.mask_regions import thrifty_tile
from deep_image_blending.networks.network import Network
from deep_image_blending.objectives.kinds import kind_of
from deep_image_blending.objectives.schedule import Round, Stage
from deep_image_blending.options.pass_options import PassName, PassOptions
from deep_image_blending.pictures.scene import Scene, Window


@dataclass(frozen=True)
class Level:
    """A stage of a pass on its window; see `Stage`."""

    window: Window
    until: int
    round: Round | None = None
    corrects: bool = False


def pass_window(name: PassName, scene: Scene, pass_options: PassOptions, network: Network) -> Window:
    """What a pass sees, at full resolution: the source in the first pass alone."""
    window = scene.window(*surroundings(scene, pass_options, network), sourceless=name == "second_pass")
    if repaints_canvas(name, pass_options):
        window = dataclasses.replace(window, mask=np.ones_like(window.mask))
    return window


def pass_levels(name: PassName, scene: Scene, pass_options: PassOptions, network: Network) -> list[Level]:
    """The stages of a pass, coarse to fine, with the share of the evaluations that each gets."""
    return levels_of(pass_window(name, scene, pass_options, network), scene, pass_options)


def levels_of(window: Window, scene: Scene, pass_options: PassOptions) -> list[Level]:
    """The same of a window at full resolution."""
    coarser: dict[int, Window] = {}
    levels = []
    for stage in schedule(scene, pass_options):
        if stage.scale not in coarser:
            coarser[stage.scale] = window.coarser(stage.scale)
        levels.append(Level(coarser[stage.scale], stage.until, stage.round, stage.corrects))
    return levels


def schedule(scene: Scene, pass_options: PassOptions) -> list[Stage]:
    """The scales of a pass, coarse to fine, and the evaluation at which each ends."""
    return kind_of(pass_options.objective).schedule(scene, pass_options)


def evaluations_of(pass_options: PassOptions) -> int:
    """Evaluations that the pass makes."""
    return kind_of(pass_options.objective).evaluations(pass_options.num_steps)


def optimises_mask_alone(pass_options: PassOptions) -> bool:
    """Whether the unknowns are the mask's pixels alone."""
    return kind_of(pass_options.objective).mask_alone and not pass_options.canvas


def repaints_canvas(name: PassName, pass_options: PassOptions) -> bool:
    """Whether every pixel of the canvas is optimised and may change."""
    return name == "second_pass" and pass_options.canvas


def surroundings(scene: Scene, pass_options: PassOptions, network: Network) -> tuple[int | None, int]:
    """The margin and the alignment of a pass's window; a margin of None is the whole canvas."""
    if pass_options.canvas:
        return None, 1
    return kind_of(pass_options.objective).surroundings(scene, network)


CORRECTING_TILE = 384
"""Side of the tiles where only shallow layers are evaluated, which see little around a tile."""


def tile_of(network: Network, thrifty: bool, corrects: bool = False) -> int:
    """The side of the tiles in which features are evaluated; 0 is all at once."""
    if corrects:
        return CORRECTING_TILE
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
    coarsest = schedule(scene, options)[0].scale
    if not fits(canvas[0] // coarsest, canvas[1] // coarsest):
        raise InputError(
            f"'{scene.target.path}' is {canvas[1]}x{canvas[0]}, too small for so many resolutions; "
            "give fewer --levels"
        )
