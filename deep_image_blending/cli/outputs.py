"""Files that a command writes into a run's folder."""

from __future__ import annotations

from pathlib import Path


def remember(path: Path) -> None:
    """Say in a run's manifest that a file in its folder is the run's, so that --force may replace it.

    A run that another process writes just now keeps its manifest to itself: the file then counts as the user's.
    """
    from contextlib import suppress

    from deep_image_blending.errors import BlendError
    from deep_image_blending.runs.directory import MANIFEST, RunDirectory

    if (path.parent / MANIFEST).is_file():
        with suppress(BlendError), RunDirectory.open(path.parent) as run:
            run.remember(run.path / path.name)
