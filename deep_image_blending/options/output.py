"""Where a run goes, and what is shown of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deep_image_blending.declaration import check, option
from deep_image_blending.options.groups import OUTPUT


@dataclass(frozen=True)
class Output:
    """Where a run goes, and what is shown of it. Raises InputError for a value out of its range."""

    output_dir: Path | None = option(
        None,
        "Folder of the run; default: a new one in results/.",
        OUTPUT,
        metavar="FOLDER",
        common=True,
        decides=False,
    )
    save_video: bool = option(
        False,
        "Make a video at the end.",
        OUTPUT,
        kind="True or False",
        metavar="True|False",
        common=True,
        decides=False,
    )
    dry_run: bool = option(
        False,
        "Print what would be done, in how much memory and time; write nothing.",
        OUTPUT,
        common=True,
        decides=False,
    )
    resume: bool = option(False, "Continue the run in --output-dir.", OUTPUT, common=True, decides=False)
    force: bool = option(
        False,
        "Replace the run in --output-dir: what it wrote, and nothing else.",
        OUTPUT,
        common=True,
        decides=False,
    )
    checkpoint_every: float = option(30.0, "Seconds between checkpoints.", OUTPUT, low=0, high=1e6, decides=False)
    timings: bool = option(False, "Print where the seconds went.", OUTPUT, decides=False)
    plain: bool = option(False, "Plain lines in place of the live table.", OUTPUT, decides=False)
    quiet: bool = option(False, "Print errors alone.", OUTPUT, common=True, decides=False)

    def __post_init__(self) -> None:
        check(self)
