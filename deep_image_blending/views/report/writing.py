"""From runs to a report's file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from deep_image_blending.errors import InputError
from deep_image_blending.files import atomic_write, require_writable
from deep_image_blending.runs.directory import RunDirectory
from deep_image_blending.views.names import distinct_names
from deep_image_blending.views.report.gathering import gathered
from deep_image_blending.views.report.page import page


def write_report(
    runs: Sequence[RunDirectory],
    path: Path,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> None:
    """Write the page: pictures, losses, measures, options, timings, versions of each run, side by side.

    Pictures are inline, lossless and in sRGB; nothing is fetched. The Poisson solution is computed anew where the
    run's inputs are still there, and measured with the paste. progress: told the runs that are gathered, and all
    of them. Raises InputError for no run, a run without pictures, or a path that can't be
    written; OSError where the disk fails.
    """
    if not runs:
        raise InputError("there is nothing to report; give one run directory or more")
    require_writable(path)
    shown = []
    for run, name in zip(runs, distinct_names([run.path for run in runs]), strict=True):
        shown.append(gathered(run, name))
        progress(len(shown), len(runs))
    text = page(shown)
    with atomic_write(path) as stream:
        stream.write(text.encode(errors="backslashreplace"))
