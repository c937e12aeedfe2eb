"""From a run and what was asked for to a video's file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deep_image_blending.errors import InputError, require_one_of
from deep_image_blending.files import atomic_write, require_writable
from deep_image_blending.runs.directory import RunDirectory
from deep_image_blending.views.video.encoding import ENCODERS, Progress, Reel
from deep_image_blending.views.video.film import LAYOUTS, Film
from deep_image_blending.views.video.moments import saved_moments
from deep_image_blending.views.video.pace import changes, stays, timeline

FORMATS = tuple(ENCODERS)


@dataclass(frozen=True)
class VideoOptions:
    """What a video is to be.

    seconds: for what the passes do, besides the stillness at either end. layout: `blend`, `side-by-side` with the
    plain paste on the left, and either with the loss curves below. format: None goes by the file, and is MP4 where
    none is named. output: None is `blend.FORMAT` in the run.
    """

    fps: float = 12.0
    seconds: float = 6.0
    layout: str = "blend"
    format: str | None = None
    output: Path | None = None


def make_video(
    run: RunDirectory,
    options: VideoOptions | None = None,
    progress: Progress = lambda done, total: None,
) -> tuple[Path, int]:
    """Encode a run's frames; the file and the number of frames in it at `options.fps`.

    In GIF and WebP, a picture that stays is one frame of a longer duration.

    Raises InputError for an unknown layout or format, for a file whose suffix is another format's or that can't be
    written, for a run without frames or, for curves, without a loss table; RunError where ffmpeg is missing or
    fails; OSError where the disk does.
    """
    options = options or VideoOptions()
    require_one_of("--layout", options.layout, LAYOUTS)
    format = _format_of(options)
    path = options.output if options.output is not None else run.path / f"blend.{format}"
    require_writable(path)
    film = Film(run, saved_moments(run), options.layout)
    positions = timeline(changes(film), fps=options.fps, seconds=options.seconds)
    data = ENCODERS[format](Reel(film, stays(positions), options.fps, progress))
    with atomic_write(path) as stream:
        stream.write(data)
    return path, len(positions)


def _format_of(options: VideoOptions) -> str:
    """The format, which the file's suffix names as well. Raises InputError where the two differ."""
    if options.format is not None:
        require_one_of("--format", options.format, FORMATS)
    if options.output is None:
        return options.format or "mp4"
    named = options.output.suffix.lower().removeprefix(".")
    if options.format is not None and named != options.format:
        raise InputError(
            f"--output-file '{options.output}' is not named as {options.format}; "
            f"give '{options.output.with_suffix(f'.{options.format}').name}', or another --format"
        )
    if named not in FORMATS:
        raise InputError(
            f"--output-file '{options.output}': a video is written as {', '.join(f'.{one}' for one in FORMATS)}; "
            f"give '{options.output.with_suffix('.mp4').name}'"
        )
    return named
