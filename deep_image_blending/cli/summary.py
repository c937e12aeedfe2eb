"""The closing lines of a blend, for whoever wants to look at it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
    said = _changes(run.manifest.get("metrics", {}).get(last, {}))
    if said:
        yield f"  {said}"
    for name, result in outcome.results.items():
        ended = "" if result.status == "budget" else f", {result.status} early"
        yield f"  {name.replace('_', ' ')}: {result.evaluations} evaluations{ended}, {result.seconds:.1f} s"
    yield f"  beside it: composite.png, the paste; first_pass.png; all of the run in {run.path}"


def _changes(measures: dict[str, float]) -> str:
    """Measures in words."""
    parts = []
    if "seam" in measures:
        parts.append(f"seam {measures['seam']:.2f} (1: no more visible than what lies beside it)")
    if "saturation_kept" in measures:
        parts.append(f"colour kept {100 * measures['saturation_kept']:.0f} %")
    if "contrast_kept" in measures:
        parts.append(f"contrast kept {100 * measures['contrast_kept']:.0f} %")
    return "; ".join(parts)
