"""The closing lines of a blend, for whoever wants to look at it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deep_image_blending.pictures.scene import Scene
    from deep_image_blending.runs.execution import Outcome

_SENSELESS = 10.0


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
    said = _changes(run.manifest.get("metrics", {}).get(last, {}), _seam_of_paste(outcome.scene))
    if said:
        yield f"  {said}"
    for name, result in outcome.results.items():
        ended = "" if result.status == "budget" else f", {result.status} early"
        yield f"  {name.replace('_', ' ')}: {result.evaluations} evaluations{ended}, {result.seconds:.1f} s"
    yield f"  beside it: composite.png, the paste; first_pass.png; all of the run in {run.path}"


def _seam_of_paste(scene: Scene) -> float:
    from deep_image_blending.measures.blend import CLOSE
    from deep_image_blending.measures.seam import seam_visibility

    window = scene.window(CLOSE)
    pasted = window.target + (window.source - window.target) * window.mask[..., None]
    return seam_visibility(pasted, window.mask)


def _changes(measures: dict[str, float], pasted: float) -> str:
    """Measures in words, without those that a picture of one colour makes senseless. pasted: the paste's seam."""
    found = {name: value for name, value in measures.items() if value < _SENSELESS}
    parts = []
    if "seam" in found:
        before = f"{pasted:.2f} → " if pasted < _SENSELESS else ""
        parts.append(f"seam {before}{found['seam']:.2f} (1: no more visible than what lies beside it)")
    for name in ("saturation", "contrast"):
        if f"{name}_kept" in found:
            word = "colour" if name == "saturation" else name
            parts.append(f"{word} kept {100 * found[f'{name}_kept']:.0f} %")
    return "; ".join(parts)
