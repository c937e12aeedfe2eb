"""The kinds of objective by their names: each answers for itself, and nobody asks which one it is."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from deep_image_blending.errors import InputError
from deep_image_blending.objectives import recipe
from deep_image_blending.objectives.objective import Kind, Objective, Setting, Unknowns
from deep_image_blending.objectives.schedule import (
    Stage,
    finest_scale,
    resolutions,
    rounds,
    seen_margin,
    studied_margin,
)

if TYPE_CHECKING:
    from torch import Tensor

    from deep_image_blending.networks.network import Network
    from deep_image_blending.options.pass_options import PassOptions
    from deep_image_blending.pictures import Float
    from deep_image_blending.pictures.scene import Scene


class Normalised:
    """Relative losses inside the mask; see `natural.py`."""

    whole_canvas = False
    every_pixel = False
    mask_alone = True
    thrifty = True
    harmonises = True
    matches = False
    sees: frozenset[str] = frozenset()

    def evaluations(self, num_steps: int) -> int:
        return num_steps

    def schedule(self, scene: Scene, options: PassOptions) -> list[Stage]:
        return resolutions(scene, options, self.evaluations(options.num_steps))

    def surroundings(self, scene: Scene, network: Network) -> tuple[int | None, int]:
        return seen_margin(scene, network.reach()), 16 * max(network.strides().values())

    def require(self, scene: Scene) -> None:
        return None

    def smallest(self, scene: Scene) -> tuple[tuple[int, int], str]:
        return scene.canvas, f"'{scene.target.path}'"

    def build(self, setting: Setting) -> Objective:
        from deep_image_blending.objectives.natural import NormalisedObjective, WindowTensors
        from deep_image_blending.objectives.statistics import statistics_of
        from deep_image_blending.objectives.taps import taps_of
        from deep_image_blending.pictures.tensors import image_tensor, plane_tensor

        window, device = setting.window, setting.device
        reference = setting.begun if setting.name == "second_pass" else window.source
        # Before the tensors: it has its own.
        statistics = statistics_of(setting, reference)
        tensors = WindowTensors(
            image_tensor(reference, device), plane_tensor(window.mask, device), image_tensor(window.target, device)
        )
        taps = taps_of(setting.options)
        return NormalisedObjective(setting.network, setting.options, tensors, statistics, taps, setting.tile)

    def unknowns(self, target: Tensor, mask: Tensor) -> Unknowns:
        from deep_image_blending.solve.pixels import Pixels

        return Pixels(target, mask)

    def finisher(self, setting: Setting) -> Callable[[Float], Float]:
        return _as_it_is


class Published:
    """The losses of the published program, number for number; see `published.py`."""

    whole_canvas = True
    every_pixel = True
    mask_alone = False
    thrifty = False
    harmonises = False
    matches = False
    sees: frozenset[str] = frozenset()

    def evaluations(self, num_steps: int) -> int:
        # The published program steps 20 evaluations at a time until their number exceeds the steps.
        return 20 * (num_steps // 20 + 1)

    def schedule(self, scene: Scene, options: PassOptions) -> list[Stage]:
        return [Stage(1, self.evaluations(options.num_steps))]

    def surroundings(self, scene: Scene, network: Network) -> tuple[int | None, int]:
        return None, 1

    def require(self, scene: Scene) -> None:
        height, width = scene.canvas
        bottom, right = scene.top + scene.mask.shape[0], scene.left + scene.mask.shape[1]
        if scene.top < 0 or scene.left < 0 or bottom > height or right > width:
            raise InputError(
                f"preset wacv2020 needs the whole source on the canvas: it covers rows {scene.top}..{bottom} and "
                f"columns {scene.left}..{right} of a {width}x{height} canvas; move it with --x and --y, "
                "or use --preset natural"
            )

    def smallest(self, scene: Scene) -> tuple[tuple[int, int], str]:
        return (scene.mask.shape[0], scene.mask.shape[1]), "the source"

    def build(self, setting: Setting) -> Objective:
        from deep_image_blending.objectives import published

        make = published.first_pass if setting.name == "first_pass" else published.second_pass
        return make(setting)

    def unknowns(self, target: Tensor, mask: Tensor) -> Unknowns:
        from deep_image_blending.solve.pixels import Pixels

        return Pixels(target, None)

    def finisher(self, setting: Setting) -> Callable[[Float], Float]:
        return _as_it_is


class Painted:
    """The object painted with the painting's strokes, in rounds of matching; see `painted.py`. A second pass's."""

    whole_canvas = False
    every_pixel = False
    mask_alone = False
    thrifty = False
    harmonises = False
    matches = True
    sees = frozenset({"style"})

    def evaluations(self, num_steps: int) -> int:
        return num_steps

    def schedule(self, scene: Scene, options: PassOptions) -> list[Stage]:
        return rounds(scene, options, self.evaluations(options.num_steps))

    def surroundings(self, scene: Scene, network: Network) -> tuple[int | None, int]:
        # Every resolution's pixels are whole ones.
        return studied_margin(scene), 2 ** (len(recipe.ROUNDS) - 1) * finest_scale(scene)

    def require(self, scene: Scene) -> None:
        return None

    def smallest(self, scene: Scene) -> tuple[tuple[int, int], str]:
        # Pictures are framed before the network sees them.
        rows, columns = scene.canvas
        return (rows + 2 * recipe.FRAME, columns + 2 * recipe.FRAME), f"'{scene.target.path}'"

    def build(self, setting: Setting) -> Objective:
        from deep_image_blending.objectives import painted

        return painted.build(setting)

    def unknowns(self, target: Tensor, mask: Tensor) -> Unknowns:
        from deep_image_blending.objectives.painted import PaintedPixels

        return PaintedPixels(target, mask)

    def finisher(self, setting: Setting) -> Callable[[Float], Float]:
        from deep_image_blending.objectives import painted

        return functools.partial(painted.finished, setting)


def _as_it_is(blend: Float) -> Float:
    return blend


_KINDS: Mapping[str, Kind] = {"normalised": Normalised(), "published": Published(), "painted": Painted()}


def kind_of(name: str) -> Kind:
    """The kind of objective by its name."""
    return _KINDS[name]
