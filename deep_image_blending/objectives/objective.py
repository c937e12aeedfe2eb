"""What the loop minimises, and what a pass asks of a kind of objective."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from deep_image_blending.networks.network import Network
    from deep_image_blending.options.pass_options import PassName, PassOptions
    from deep_image_blending.pictures import Float
    from deep_image_blending.pictures.scene import Scene, Window
    from deep_image_blending.solve.pixels import Pixels


class Objective(Protocol):
    """A function of the optimised pixels."""

    pixels: Pixels

    def terms(self, x: Tensor) -> dict[str, Tensor]:
        """The weighted loss terms (0-dim) at the pixels x (3, n)."""
        ...

    def picture(self, x: Tensor) -> Tensor:
        """The blend (1, 3, h, w), 0..255, not clamped."""
        ...


class Prepared:
    """What passes on one scene with the same networks have in common, computed once: give one to all of them."""

    def __init__(self) -> None:
        self._kept: dict[object, Any] = {}

    def once(self, key: object, make: Callable[[], Any]) -> Any:
        """What `make` gave when it was first asked for by this key, which holds all that it depends on."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]


@dataclass(frozen=True)
class Setting:
    """What an objective is built from: a pass at one resolution.

    begun: (h, w, 3), 0..255, what this resolution begins with; in the second pass the frozen first-pass picture.
    tile: side of the tiles in which features are evaluated; 0: all at once.
    """

    name: PassName
    scene: Scene
    window: Window
    options: PassOptions
    network: Network
    begun: Float
    device: torch.device
    prepared: Prepared
    tile: int = 0


class Kind(Protocol):
    """A kind of objective: the questions that a pass, its plan and its checks ask of it.

    whole_canvas: it sees the canvas, not a window around the object. every_pixel: it optimises every pixel that it
    sees, not the mask's alone. thrifty: it can be evaluated tile by tile. harmonises: its first pass takes the
    source made to meet the target by a membrane.
    """

    whole_canvas: bool
    every_pixel: bool
    thrifty: bool
    harmonises: bool

    def evaluations(self, num_steps: int) -> int:
        """Evaluations that a pass of so many steps makes."""
        ...

    def require(self, scene: Scene) -> None:
        """Raise InputError where the scene is not one that it can be computed on."""
        ...

    def smallest(self, scene: Scene) -> tuple[tuple[int, int], str]:
        """The smallest picture (rows, columns) that its features are computed of, and what it is."""
        ...

    def build(self, setting: Setting) -> Objective:
        """The objective of a pass at one resolution."""
        ...
