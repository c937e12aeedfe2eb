"""What a pass made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deep_image_blending.errors import RunError
from deep_image_blending.options.pass_options import PassName
from deep_image_blending.pictures import Float, in_srgb
from deep_image_blending.pictures import Pixels as WrittenPixels
from deep_image_blending.pictures.scene import Scene, Window


@dataclass(frozen=True)
class PassResult:
    """What a pass made.

    blend: (h, w, 3) float32, 0..255, the part of the scene that `window` shows, to be taken where its mask is
    above 0. status: `budget`, `settled`, `converged` or `stalled`. first, last: weighted terms of the first and of
    the last evaluation at full resolution.
    """

    name: PassName
    scene: Scene
    window: Window
    blend: Float
    status: str
    evaluations: int
    seconds: float
    first: Mapping[str, float]
    last: Mapping[str, float]

    @property
    def picture(self) -> Float:
        """The whole canvas, (H, W, 3) float32, 0..255."""
        return self.scene.on_canvas(self.window, self.blend)[0]

    @property
    def changed(self) -> npt.NDArray[np.bool_]:
        """(H, W), where the picture may differ from the target."""
        return self.scene.on_canvas(self.window, self.blend)[1]

    def written(self) -> WrittenPixels:
        """The whole canvas as a file has it: (H, W, 3) in the target's depth, its own pixels where unmasked."""
        return self.scene.composed(self.window, self.blend)

    def seen(self) -> WrittenPixels:
        """The same in sRGB, as reading the file gives it."""
        return in_srgb(self.written(), self.scene.target)


class PassFailed(RunError):
    """A pass could not go on; `result` is its last good picture."""

    def __init__(self, message: str, result: PassResult) -> None:
        super().__init__(message)
        self.result = result
