"""The two passes: scene + objective + solver -> picture."""

from deep_image_blending.passes.levels import pass_levels, require_on_canvas, require_room, schedule, wanted_taps
from deep_image_blending.passes.prepared import Prepared
from deep_image_blending.passes.result import PassFailed, PassResult
from deep_image_blending.passes.start import membrane_for, poisson_start
from deep_image_blending.passes.two_passes import Phase, blend_of, first_pass, second_pass

__all__ = [
    "PassFailed",
    "PassResult",
    "Phase",
    "Prepared",
    "blend_of",
    "first_pass",
    "membrane_for",
    "pass_levels",
    "poisson_start",
    "require_on_canvas",
    "require_room",
    "schedule",
    "second_pass",
    "wanted_taps",
]
