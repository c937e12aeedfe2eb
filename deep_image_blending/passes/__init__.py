"""The two passes: scene + objective + solver -> picture."""

from deep_image_blending.objectives.objective import Prepared
from deep_image_blending.objectives.taps import taps_of, wanted_taps
from deep_image_blending.passes.levels import (
    evaluations_of,
    optimises_mask_alone,
    pass_levels,
    repaints_canvas,
    require_room,
    schedule,
    surroundings,
    tile_of,
)
from deep_image_blending.passes.result import PassFailed, PassResult
from deep_image_blending.passes.start import membrane_for, poisson_start
from deep_image_blending.passes.two_passes import Conduct, Phase, blend_of, first_pass, second_pass

__all__ = [
    "Conduct",
    "PassFailed",
    "PassResult",
    "Phase",
    "Prepared",
    "blend_of",
    "evaluations_of",
    "first_pass",
    "membrane_for",
    "optimises_mask_alone",
    "pass_levels",
    "poisson_start",
    "repaints_canvas",
    "require_room",
    "schedule",
    "second_pass",
    "surroundings",
    "taps_of",
    "tile_of",
    "wanted_taps",
]
