"""The closing lines of a blend, for whoever wants to look at it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deep_image_blending.pictures.scene import Scene
    from deep_image_blending.runs.execution import Outcome


def lines(outcome: Outcome) -> Iterator[str]:
    """The finished picture with its size and how long it took; what changed; where the rest lies."""
    if outcome.folder is None or not outcome.results:
        return
    from deep_image_blending.runs.directory import RunDirectory

    run = RunDirectory.open(outcome.folder, write=False)
    last = list(outcome.results)[-1]
    height, width = outcome.scene.canvas
    seconds = sum(result.seconds for result in outcome.results.values())
    yield f"{run.picture_path(last)}"
    yield f"  {width}x{height} pixels, optimised for {seconds:.1f} s"
    said = changes(run.manifest.get("metrics", {}).get(last, {}), _seam_of_paste(outcome.scene))
    if said:
        yield f"  {said}"
    for name, result in outcome.results.items():
        ended = "" if result.status == "budget" else f", {result.status} early"
        count = "1 evaluation" if result.evaluations == 1 else f"{result.evaluations} evaluations"
        yield f"  {name.replace('_', ' ')}: {count}{ended}, {result.seconds:.1f} s"
    yield f"  beside it: composite.png, the paste; first_pass.png; all of the run in {run.path}"


def changes(measures: Mapping[str, float], pasted: float) -> str:
    """Measures of the finished picture in words. pasted: the seam of the plain paste; nan where it has none."""
    parts = []
    if "seam" in measures:
        before = f"{pasted:.1f} → " if math.isfinite(pasted) else ""
        parts.append(f"seam {before}{measures['seam']:.1f} (1: no more visible than what lies beside it)")
    if "saturation_kept" in measures:
        parts.append(f"colour kept {100 * measures['saturation_kept']:.0f} %")
    if "contrast_kept" in measures:
        parts.append(f"contrast kept {100 * measures['contrast_kept']:.0f} %")
    return "; ".join(parts)


def _seam_of_paste(scene: Scene) -> float:
    from deep_image_blending.measures.blend import Blend
    from deep_image_blending.measures.seam import seam_visibility
    from deep_image_blending.pictures import in_srgb

    return seam_visibility(Blend(scene, in_srgb(scene.composed(*scene.pasted()), scene.target), "", None).close)
